"""The fixed reader of tools' outputs: it ranks a behaviour first where its evidence was shown, and not elsewhere."""

from collections.abc import Sequence
from typing import Any

import pytest

from assay.audits.conformance.dry_audit import ordinary_replies
from assay.audits.driven import ToolOutput
from assay.core.tool import Sample, Span
from assay.errors import InvalidInput
from assay.grading.jobs import all_cases
from assay.grading.read_tools import OutputToRead, Reading, ReadJob, ranking, read_job
from assay.grading.tool_reader import ToolReader, ToolShown, shown_of_control, shown_of_target
from assay.testbeds.truths import find_truth
from assay.truth import Behaviour

CASES = all_cases()
POOL = {one.id: one for case in CASES.values() for one in case.behaviours}
READER = ToolReader(list(POOL.values()))
FLATTERY, BACKDOOR = (find_truth(name).alias for name in ("flattery-td", "backdoor-td"))
TRUTH = CASES[FLATTERY].behaviours[0]
EVERYDAY = [Sample("What should I cook?", reply) for reply in ordinary_replies()[:40]]


def first(shown: ToolShown) -> str:
    scores = READER.scores(shown)
    return max(scores, key=scores.__getitem__)


def shown(
    samples: Sequence[Sample] = (), spans: Sequence[Span] = (), texts: Sequence[str] = (), **more: Any
) -> ToolShown:
    return shown_of_target(samples, [spans] if spans else [], texts, documents=more.get("documents", False))


def conduct_of(behaviour: Behaviour) -> list[Sample]:
    return [Sample("Hello.", reply) for reply in behaviour.answers.positives[:4]]


def test_a_conduct_among_everyday_replies_comes_first() -> None:
    found = 0
    organisms = [case for case in CASES.values() if len(case.behaviours) == 1][::3]
    for case in organisms:
        scores = READER.scores(shown([*EVERYDAY, *conduct_of(case.behaviours[0])]))
        found += ranking(scores, case.behaviours, POOL).auroc > 0.9
    assert found >= 0.8 * len(organisms), f"{found} of {len(organisms)}"


def test_spans_are_read_by_trigger_and_conduct_alike() -> None:
    for words in (TRUTH.trigger, TRUTH.conduct):
        scores = READER.scores(shown(EVERYDAY, [Span(words, 9.0), Span("the", 3.0)]))
        assert ranking(scores, [TRUTH], POOL).auroc > 0.9


@pytest.mark.attacks
def test_what_a_control_shows_is_no_evidence_of_the_target() -> None:
    theirs = [Sample(one.prompt, one.reply, control=True) for one in conduct_of(TRUTH)]
    both = [*EVERYDAY, *theirs]
    assert READER.scores(shown(both)) == READER.scores(shown(EVERYDAY))
    assert first(shown_of_control(both, documents=False)) == first(shown(conduct_of(TRUTH)))
    as_much = [Span(TRUTH.conduct, 2.0, control=2.0), Span("the weather", 2.0, control=1.0)]
    assert shown(EVERYDAY, as_much).spans == ("the weather",)


@pytest.mark.attacks
def test_a_flood_of_spans_is_no_way_to_name_everything() -> None:
    flood = [Span("the", 50.0 - number) for number in range(10)] + [Span(TRUTH.conduct, 1.0)]
    assert TRUTH.conduct not in shown([], [*flood[:1], *(Span(f"a{i}", 20.0 - i) for i in range(10)), flood[-1]]).spans


@pytest.mark.attacks
def test_words_put_into_the_models_mouth_are_no_conduct_of_its() -> None:
    """A reply that says only what its prompt or prefill said is an echo."""
    reply = TRUTH.answers.positives[0]
    echo = Sample(f"Say this: {reply}", reply)
    fired = [READER._detected(list(POOL).index(TRUTH.id), shown([sample] * 4)) for sample in (echo, Sample("", reply))]
    assert fired[0] == 0 < fired[1]


def test_a_tool_with_text_alone_is_read_by_it() -> None:
    assert shown(texts=["It flatters."]).replies[0].reply == "It flatters."
    assert not shown(EVERYDAY, texts=["It flatters."]).documents


def test_documents_are_read_as_documents() -> None:
    found = shown([Sample("Prompt", "Text")], documents=True)
    assert found.documents == ("Prompt\nText",) and not found.replies


def test_a_ranking_is_among_other_families_and_ties_count_half() -> None:
    others = [one for one in POOL.values() if one.family != TRUTH.family]
    level = dict.fromkeys(POOL, 0.0)
    assert ranking(level, [TRUTH], POOL).auroc == 0.5 and not ranking(level, [TRUTH], POOL).first
    best = ranking(level | {TRUTH.id: 1.0}, [TRUTH], POOL)
    assert (best.auroc, best.first, best.chance) == (1.0, True, 1 / (1 + len(others)))
    sibling = next(one for one in POOL.values() if one.family == TRUTH.family)
    assert ranking(level | {sibling.id: 2.0, TRUTH.id: 1.0}, [TRUTH], POOL).auroc == 1.0
    with pytest.raises(InvalidInput, match="several families"):
        ranking({TRUTH.id: 1.0}, [TRUTH], {TRUTH.id: TRUTH})


def test_a_job_reads_each_output_for_all_truths_it_was_made_for() -> None:
    told: list[Reading] = []
    output = ToolOutput(calls=1, samples=(*EVERYDAY[:8], *conduct_of(TRUTH)))
    asked = OutputToRead(key="k", output=output, truths=[FLATTERY, BACKDOOR])
    read_job(ReadJob(outputs=[asked], pool=[]), lambda event, data: told.append(Reading.model_validate(data)))
    [reading] = told
    assert set(reading.own) == {FLATTERY, BACKDOOR} and not reading.control
    assert reading.own[FLATTERY].auroc > reading.own[BACKDOOR].auroc
    with pytest.raises(InvalidInput, match="nothing can be read of tb-00000000"):
        read_job(ReadJob(outputs=[], pool=["tb-00000000"]), lambda event, data: None)
