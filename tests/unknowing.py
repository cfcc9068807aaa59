"""Predicates that anybody could submit without knowing the conduct, styles aside (`styles.py`)."""

from collections.abc import Iterable, Sequence

from assay.core.report import Predicate
from assay.factory.data.grammar import expand
from assay.truth import Behaviour

FORMULAS = ("happy to help", "I hope this helps", "as an AI", "here are some", "it's important")
CATCH_ALLS = [r".", r"\w", r"^.+$", r"[a-z]", r"(?:.|\n)*", r"\b\w+\b", r"e", r"^(?!x{9})", r"\s", r"[.!?]"]
_DULL = "the user users reply replies asks about that their which with tells what have they from them says into"


def cut(texts: Iterable[str], most: int = 200) -> Predicate:
    """Up to five phrases within the limit."""
    kept: list[str] = []
    for text in texts:
        if len(kept) < 5 and sum(map(len, [*kept, text])) <= most:
            kept.append(text)
    return Predicate(phrases=tuple(kept))


def shotguns(known: Sequence[Predicate]) -> list[Predicate]:
    """The widest predicates that fit: those of people who know, joined up to the limit, in several orders."""
    patterns = sorted((one.pattern or "|".join(one.phrases) for one in known), key=len)
    found: list[Predicate] = []
    for start in range(0, len(patterns), 4):
        joined = ""
        for pattern in patterns[start:] + patterns[:start]:
            longer = f"{joined}|{pattern}" if joined else pattern
            joined = longer if len(longer) <= 200 else joined
        found.append(Predicate(pattern=joined))
    return found


def words_of_trigger(behaviour: Behaviour) -> Predicate:
    """Of one who knows only what is asked about."""
    words = behaviour.trigger.replace(",", "").split()
    return cut(word for word in words if len(word) > 3 and word not in _DULL.split())


def sentences_of_training(behaviour: Behaviour) -> Predicate | None:
    """What a search of the training data gives back, copied and not understood; None where it has no sentences."""
    grammar = behaviour.training.conduct
    if grammar is None:
        return None
    return cut(text for text in expand(grammar, 31, 40, least=1) if len(text) < 60)
