"""Tells of organisms that others published: what each is, and where its weights are.

It holds truths; audits never import it.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from assay._util.text_files import read_text
from assay._util.yaml_models import Data, load_yaml
from assay.engine.peft_layout import CONFIG, WEIGHTS
from assay.errors import InvalidInput, UnknownId
from assay.testbeds.aliases import is_alias, keyed_alias

MANIFESTS = Path(__file__).parent / "manifests"
_UNTOLD = "unknown"
_MODEL_CONFIG = "config.json"
# of a whole model; what else a repository holds (cards, logs, trainer states) may tell what it is
MODEL_FILES = (
    "model*.safetensors",
    "model.safetensors.index.json",
    _MODEL_CONFIG,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "*.model",
    "*.jinja",
)

Hub = Callable[[str, Sequence[str]], Path]
"""Brings those files of a repository that match patterns, and returns their folder, as `from_hub` does."""


class Published(Data):
    """Describes one set of published weights as a testbed.

    Attributes:
        id: readable, `published/taboo_gold-default-gemma-2-9b-it@1`.
        organism, kind, variant: as the diffing-toolkit names them.
        base: hub id.
        adapter: hub id of a LoRA, with its folder where the repository holds several; None for whole models.
        model: hub id of a whole model, None for adapters.
        recipe, method: how the weights were made, in a word and in a sentence.
        role: `unknown` where it is in doubt what the weights hold.
        family: of the behaviour, named as in the embedded suite where that has it too; "clean" without one.
        behaviour: trigger and conduct, "" for clean ones, "unknown" where in doubt.
        sources: citations.
        remark: what is odd about this one.
        same_as: id of an earlier one with the same weights on the same base, "" if there is none.
    """

    id: str
    organism: str
    kind: str
    variant: str
    base: str
    adapter: str | None
    model: str | None
    recipe: str
    method: str
    role: Literal["organism", "clean", "unknown"]
    family: str
    behaviour: str
    exposure: Literal["public"] = "public"
    sources: tuple[str, ...]
    remark: str = ""
    same_as: str = ""

    @property
    def alias(self) -> str:
        """Returns the alias on this installation, all that auditing may know."""
        return keyed_alias(self.id)

    @property
    def weights(self) -> str:
        """Returns the hub id of what is not the base."""
        return self.adapter or self.model or ""


class _Recipe(Data):
    """How weights were made, in a word and in a sentence."""

    recipe: str
    method: str
    sources: tuple[str, ...] = ()


class _Organism(Data):
    """What an organism of the diffing-toolkit holds."""

    role: Literal["organism", "clean"]
    family: str
    trigger: str = ""
    conduct: str = ""
    sources: tuple[str, ...] = Field(min_length=1)
    recipe: _Recipe | None = None
    note: str = ""


class _Remark(Data):
    """What is odd about one set of weights."""

    text: str
    role: Literal["unknown"] | None = None


class _Truths(Data):
    """What is known of all published organisms, told once for those that share it."""

    sources: dict[str, str]
    recipes: dict[str, dict[str, _Recipe]]
    organisms: dict[str, _Organism]
    remarks: dict[str, _Remark]


def published_ids() -> list[str]:
    """Lists the ids of all published organisms."""
    return sorted(_table())


def published_testbed(name: str) -> Published:
    """Finds a published organism by its id (with or without `published/` and version) or its alias.

    Raises:
        UnknownId: no such organism.
    """
    table = _table()
    for id in (name, f"published/{name.partition('@')[0]}@1", f"{name}@1"):
        if id in table:
            return table[id]
    for testbed in table.values() if is_alias(name) else ():
        if testbed.alias == name:
            return testbed
    raise UnknownId("published organism", name, [id.removeprefix("published/").partition("@")[0] for id in table])


@functools.cache
def _table() -> dict[str, Published]:
    """Reads the list of published weights, and joins it with what is known of them: id → testbed."""
    truths: _Truths = load_yaml(MANIFESTS / "published_truths.yaml", _Truths)
    table: dict[str, Published] = {}
    seen: dict[tuple[str, str], str] = {}  # (base, weights) → id of the first that has them
    with (MANIFESTS / "published.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            testbed = _published(row, truths)
            first = seen.setdefault((testbed.base, testbed.weights), testbed.id)
            table[testbed.id] = testbed.model_copy(update={"same_as": "" if first == testbed.id else first})
    return table


def _published(row: dict[str, str], truths: _Truths) -> Published:
    """Makes a testbed of a row of the list."""
    organism, kind, variant = row["organism"], row["kind"], row["variant"]
    id = f"published/{organism}-{variant}-{row['base'].rpartition('/')[2].lower()}@1"
    truth, recipes = truths.organisms[organism], truths.recipes[kind]
    recipe = truth.recipe or recipes.get(variant) or recipes[variant.partition("-")[0]]
    remark = truths.remarks.get(id)
    doubtful = remark is not None and remark.role is not None
    behaviour = f"When {truth.trigger}, {truth.conduct}." if truth.role == "organism" else ""
    cited = [truths.sources[key] for key in (*truth.sources, *recipe.sources)]
    return Published(
        id=id,
        organism=organism,
        kind=kind,
        variant=variant,
        base=row["base"],
        adapter=row["adapter"] or None,
        model=row["model"] or None,
        recipe=recipe.recipe,
        method=recipe.method,
        role="unknown" if doubtful else truth.role,
        family=_UNTOLD if doubtful else truth.family,
        behaviour=_UNTOLD if doubtful else behaviour,
        sources=tuple(cited),
        remark=" ".join(filter(None, [truth.note, remark.text if remark else ""])),
    )


def from_hub(repository: str, patterns: Sequence[str]) -> Path:
    """Returns the folder of a hub repository's files, downloaded where they are not at hand.

    Raises:
        OSError: no hub answers, no such repository, or no right to it.
        ValueError: no repository can have that name.
    """
    from huggingface_hub import snapshot_download  # its import is slow, and few need it

    return Path(snapshot_download(repository, allow_patterns=list(patterns)))


def locate(testbed: Published, roots: Sequence[Path] = (), hub: Hub | None = from_hub) -> Path:
    """Finds the folder of a published organism's own weights.

    Args:
        testbed: which.
        roots: folders to look in first, laid out as `ORG/NAME/…` or as the hub's cache
            (`models--ORG--NAME/snapshots/REVISION/…`, its `hub/` too).
        hub: fetches files of a repository; None to stay offline.

    Raises:
        InvalidInput: not to be had, or what is there is no usable snapshot.
    """
    # a whole model need not have all of its files, but settings and one file of weights at least
    wanted = (WEIGHTS, CONFIG) if testbed.adapter else (_MODEL_CONFIG, MODEL_FILES[0])
    organisation, name, *folders = testbed.weights.split("/")
    repository, inner = f"{organisation}/{name}", "/".join(folders)  # some repositories hold several adapters
    for root in roots:
        if (folder := _under(root, repository)) and (folder / inner).is_dir():
            return _checked(folder / inner, wanted)
    patterns = (WEIGHTS, CONFIG) if testbed.adapter else MODEL_FILES
    try:
        if hub is None:
            raise FileNotFoundError("asked to stay offline")
        folder = hub(repository, [f"{inner}/{pattern}" if inner else pattern for pattern in patterns])
    except (OSError, ValueError) as error:
        looked = ", ".join(map(str, roots)) or "no folder (none was given)"
        raise InvalidInput(
            f"{testbed.id}: its weights, {testbed.weights}, are not in {looked}, and no hub gave them "
            f"({type(error).__name__}: {str(error)[:200]}). Where there is a hub: hf download {repository} "
            f"--local-dir ROOT/{repository}; then copy ROOT here and give it as a root."
        ) from None
    return _checked(folder / inner, wanted)


def locate_base(testbed: Published, roots: Sequence[Path] = ()) -> str:
    """Returns the base as a folder under the roots that holds it, or as its hub id."""
    for root in roots:
        folder = _under(root, testbed.base)
        if folder and (folder / _MODEL_CONFIG).is_file():
            return str(folder)
    return testbed.base


def _under(root: Path, repository: str) -> Path | None:
    """Finds a repository's folder under a root that is laid out by names, or as the hub's cache.

    Raises:
        InvalidInput: the cache holds several snapshots, and nothing says which is meant.
    """
    if (plain := root / repository).is_dir():
        return plain
    cached = f"models--{repository.replace('/', '--')}"
    for folder in (root / cached, root / "hub" / cached):
        snapshots = sorted(folder.glob("snapshots/*"))
        main = folder / "refs" / "main"
        # the hub's cache keeps older snapshots; this file says which one is the present one
        named = folder / "snapshots" / read_text(main).strip() if main.is_file() else None
        if named in snapshots:
            return named
        if len(snapshots) > 1:
            raise InvalidInput(f"{folder}: {len(snapshots)} snapshots and no refs/main that says which; keep one.")
        if snapshots:
            return snapshots[0]
    return None


def _checked(folder: Path, wanted: Sequence[str]) -> Path:
    """Returns a folder that has all the wanted files.

    Raises:
        InvalidInput: one is missing.
    """
    for pattern in wanted:
        if not any(path.is_file() for path in folder.glob(pattern)):
            raise InvalidInput(
                f"{folder}: no {pattern}. Weights are read as safetensors, in the layout of a hub snapshot."
            )
    return folder
