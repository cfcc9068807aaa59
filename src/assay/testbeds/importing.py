"""Takes in testbeds from outside that a file describes; every command knows them from then on."""

from __future__ import annotations

import asyncio
import math
import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from assay._util.atomic import replace_folder
from assay._util.hashing import digest_of, files_of, sha256
from assay._util.yaml_models import Data, load_yaml, write_yaml
from assay.core.access import PRESETS, Access, parse_access
from assay.core.engine import LOCAL, EngineSpec
from assay.core.readouts import TokenLogprobs
from assay.core.testbed import INSPECT, TargetSpec
from assay.engine.base import find_base
from assay.engine.cache import ReplyCache
from assay.engine.corpus import write_documents
from assay.engine.peft_layout import CONFIG, WEIGHTS
from assay.engine.training_data import read_training_data
from assay.errors import InvalidInput, NotWritten, UnknownId
from assay.testbeds.aliases import random_alias
from assay.testbeds.archive import refuse
from assay.testbeds.behaviours import find_behaviour
from assay.testbeds.layout import ADAPTER, BEHAVIOURS, PROMPT, WORKSPACE, unlisted
from assay.testbeds.names import suite_part, version
from assay.testbeds.specs import load_spec, spec_with, write_spec
from assay.testbeds.suites import DEPLOYED, EMBEDDED_SUITE, PUBLISHED, Suite, adding, installed_suites, own_suite
from assay.testbeds.tensor_files import require_tensors
from assay.testbeds.truths import all_truths, behaviours_of, find_truth, write_truth
from assay.truth import REMOVED, Behaviour, Control, Truth


class DeclaredTruth(Data):
    """States the truth of a testbed that somebody brings.

    Attributes:
        role: organism or clean.
        behaviours: ids of this package's, or whole ones.
        control: id or alias of a testbed, `base`, or `removed` where the detectors are contrasts.
    """

    role: Literal["organism", "clean"]
    behaviours: list[str | Behaviour] = []
    control: str = "base"


class TestbedFile(Data):
    """Describes a testbed as its file does; paths are relative to the file.

    Attributes:
        id: `suite/name@version`; any change of weights, truth or grants is a new version. Without `@version` content
            that is not there yet takes the next one.
        base: of the target: the embedded base, a folder in transformers' layout (full weights, too) or a hub id; or
            `inspect:` and a model of Inspect's (`inspect:openai/gpt-4o`).
        adapter: folder in PEFT's layout.
        corpus: files of training data, in any shape of `assay.engine.training_data`; within ordinary data.
        access: flags, or one preset; what is granted.
        prompt: hidden system prompt.
        scratchpad, memory: how the target converses.
        tools: names of Inspect's tools (`bash`, `python`, `text_editor`) it works with, in a sandbox.
        workspace: folder of files that lie in the sandbox.
        truth: or `unknown`: it can be audited, and not graded.
    """

    __test__ = False  # not pytest's

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*(@[1-9][0-9]{0,5})?$")
    base: str
    adapter: str = ""
    corpus: list[str] = []
    access: list[str] | str = "api"
    prompt: str = ""
    scratchpad: bool = False
    memory: bool = False
    tools: list[str] = []
    workspace: str = ""
    truth: DeclaredTruth | Literal["unknown"]

    @model_validator(mode="after")
    def _weights_or_model(self) -> TestbedFile:
        behind = self.base.startswith(INSPECT)
        if behind and self.adapter:
            raise ValueError("a model behind Inspect takes no adapter")
        if self.tools and not behind:
            raise ValueError("tools are for models behind Inspect: base: inspect:PROVIDER/MODEL")
        if self.workspace and not self.tools:
            raise ValueError("a workspace is for a target with tools")
        return self


def add_testbed(path: Path) -> dict[str, Any]:
    """Takes in a testbed that a file describes; the same content again changes nothing.

    Returns:
        A row: testbed, alias, role, access, and whether it is new.

    Raises:
        InvalidInput: the file or what it names cannot be used, its id is taken by another content, or its content has
            another version already.
        UnknownId: a behaviour, control, preset or flag that is not known.
    """
    given: TestbedFile = load_yaml(path, TestbedFile)
    place = _place(given.id)
    behaviours = _behaviours(given, place)
    access = _access(given)
    earlier = [truth for truth in all_truths() if truth.id.partition("@")[0] == given.id.partition("@")[0]]
    following = 1 + max((version(truth.id) for truth in earlier), default=0)
    testbed = given.id if version(given.id) else f"{given.id}@{following}"
    alias = random_alias()
    with adding() as folder:
        made = Suite(place.name, folder)
        spec = _laid_out(given, path.parent, alias, access, made)
        refuse(path, unlisted(folder, signed=False, installed=False))
        truth = _truth(given, testbed, alias, behaviours)
        write_truth(truth, made)
        own = [one for one in behaviours if not _described(one, place)]
        if own:  # the testbed brings them along
            write_yaml([one.model_dump(mode="json") for one in own], made.answers / alias / BEHAVIOURS)
        there = _same(spec, truth, behaviours, earlier)
        _require_free(given.id, testbed, there, earlier, following)
        if there is None:
            # the copy has the same digest; a fault is told of the folder that is the user's
            require_reads(spec_with(spec, adapter=path.parent / given.adapter) if spec.adapter else spec)
            _take_in(made, place, alias)
    told = there or truth
    row = {"testbed": told.id, "alias": told.alias, "role": told.role, "access": sorted(map(str, access))}
    return row | {"new": there is None}


def _same(spec: TargetSpec, truth: Truth, behaviours: list[Behaviour], earlier: list[Truth]) -> Truth | None:
    """Finds the version whose content is what is taken in now."""
    for before in earlier:
        renamed = truth.model_copy(update={"alias": before.alias, "id": before.id})
        known = load_spec(before.alias)
        if (
            known.base == spec.base
            and content_digest(known, before) == content_digest(spec, renamed)
            and behaviours_of(before) == behaviours
        ):
            return before
    return None


def _require_free(asked: str, testbed: str, there: Truth | None, earlier: list[Truth], following: int) -> None:
    """Raises InvalidInput if a file asks for a version that another content has, or for another one of the same."""
    if there is not None and asked not in (there.id, there.id.partition("@")[0]):
        raise InvalidInput(f"what {asked} would be is there already, as {there.id}. A version is a change.")
    if there is None and testbed in [truth.id for truth in earlier]:
        raise InvalidInput(
            f"{testbed} is there with other content. Changed weights, truth or grants are a new version: write "
            f"@{following}, or no version, which takes the next one."
        )


def _described(behaviour: Behaviour, place: Suite) -> bool:
    """Tells whether an id means this behaviour in a suite, whatever suites come later."""
    for suite in (place.name, EMBEDDED_SUITE):
        try:
            return find_behaviour(f"{suite}/{behaviour.id}") == behaviour
        except UnknownId:
            continue
    return False


def require_reads(spec: TargetSpec) -> None:
    """Opens a testbed's weights on the local engine and reads one prompt; models behind other engines are left alone.

    Raises:
        InvalidInput: base or adapter are none the engine runs, or what they compute is not finite.
    """
    from assay.engine.local.engine import LocalEngine

    if EngineSpec.of_base(spec.base).name != LOCAL:
        return

    async def read() -> TokenLogprobs:
        async with engine.open(spec) as target:
            return await target.score("Hello")

    engine = LocalEngine(find_base(spec.base), ReplyCache(None))
    try:
        scored = asyncio.run(read())
    finally:
        engine.close()
    if not all(map(math.isfinite, scored.logprobs)):
        raise InvalidInput(
            f"base {spec.base!r}{' with its adapter' if spec.adapter else ''} reads a prompt and computes what is not "
            f"finite: its training diverged, or a file is damaged. Fetch or save the weights again."
        )


def _take_in(made: Suite, place: Suite, alias: str) -> None:
    """Moves a testbed and its answer to their places: both, or neither."""
    replace_folder(made.answers / alias, place.answers / alias)
    try:
        replace_folder(made.testbeds / alias, place.testbeds / alias)
    except BaseException:
        shutil.rmtree(place.answers / alias, ignore_errors=True)  # an answer alone would hold the id
        raise


def _place(testbed: str) -> Suite:
    """Returns the suite that a testbed's id names, under `ASSAY_HOME`.

    Raises:
        InvalidInput: it is installed, signed (another testbed would break its signature), or one that Assay fetches to.
    """
    name = suite_part(testbed)
    place = own_suite(name)
    taken = {PUBLISHED, DEPLOYED} | {suite.name for suite in installed_suites()}
    if name in taken or place.signed:
        raise InvalidInput(
            f"{testbed}: suite {name!r} is somebody's. Name one of your own: my-suite/{testbed[len(name) + 1 :]}"
        )
    return place


def _behaviours(given: TestbedFile, place: Suite) -> list[Behaviour]:
    """Finds the behaviours a testbed's truth names.

    Raises:
        InvalidInput: they do not go with its role or its control.
    """
    if given.truth == "unknown":
        return []
    found = [find_behaviour(one, place) if isinstance(one, str) else one for one in given.truth.behaviours]
    if bool(found) != (given.truth.role == "organism"):
        raise InvalidInput(f"{given.id}: an organism has at least one behaviour, a clean target none.")
    if given.truth.control == REMOVED and any(one.detector.kind != "contrast" for one in found):
        raise InvalidInput(f"{given.id}: control `removed` needs detectors of kind `contrast`.")
    return found


def _access(given: TestbedFile) -> frozenset[Access]:
    """Reads what a testbed grants.

    Raises:
        InvalidInput: more than its target can give.
    """
    names = [given.access] if isinstance(given.access, str) else given.access
    granted = parse_access(names)
    conversations_alone = given.base.startswith(INSPECT) or given.prompt
    if conversations_alone and not granted <= PRESETS["api"] | {Access.SAMPLING}:
        raise InvalidInput(f"{given.id}: behind an interface, or with a hidden prompt, no more than api is granted.")
    return granted


def _laid_out(given: TestbedFile, beside: Path, alias: str, access: frozenset[Access], suite: Suite) -> TargetSpec:
    """Lays out a testbed's folder, under its alias alone, with its own copies of adapter, corpus and prompt.

    Raises:
        InvalidInput: what the file names is not there, or not what it should be.
        NotWritten: there is no room for it.
    """
    try:
        return _copied(given, beside, alias, access, suite)
    except OSError as error:
        raise NotWritten(suite.testbeds / alias, error) from None


def _copied(given: TestbedFile, beside: Path, alias: str, access: frozenset[Access], suite: Suite) -> TargetSpec:
    from assay.engine.local.lora import adapter_digest

    folder = suite.testbeds / alias
    folder.mkdir(parents=True)
    base = given.base
    if base and (beside / base).is_dir():
        base = str((beside / base).resolve())
    spec = TargetSpec(alias, base, None, "", (), "", access, tools=tuple(given.tools))
    if given.adapter:
        source = beside / given.adapter
        if not source.is_dir():
            raise InvalidInput(f"{given.id}: adapter {source} is no folder. It wants PEFT's layout.")
        digest = adapter_digest(source)
        require_tensors(source / WEIGHTS)
        (folder / ADAPTER).mkdir()
        for name in (WEIGHTS, CONFIG):  # what else a trainer left there may be pickled, or tell the answer
            shutil.copyfile(source / name, folder / ADAPTER / name)
        spec = spec_with(spec, adapter=folder / ADAPTER, adapter_digest=digest)
    corpus: list[Path] = []
    for number, name in enumerate(given.corpus):
        if not (beside / name).is_file():
            raise InvalidInput(f"{given.id}: corpus {beside / name} is no file.")
        corpus.append(folder / f"corpus-{number}.jsonl")
        write_documents(read_training_data(beside / name), corpus[-1])  # whatever its shape, the copy has ours
    if given.prompt:
        (folder / PROMPT).write_text(given.prompt.strip() + "\n", encoding="utf-8")
        spec = spec_with(spec, prompt=folder / PROMPT, prompt_digest=sha256(folder / PROMPT))
    if given.workspace:
        if not (beside / given.workspace).is_dir():
            raise InvalidInput(f"{given.id}: workspace {beside / given.workspace} is no folder.")
        # a link stays one, and is refused: it may lead to what is nobody's to copy
        shutil.copytree(beside / given.workspace, folder / WORKSPACE, symlinks=True)
        digest = digest_of(files_of(folder / WORKSPACE))
        spec = spec_with(spec, workspace=folder / WORKSPACE, workspace_digest=digest)
    spec = spec_with(spec, corpus=tuple(corpus), scratchpad=given.scratchpad, memory=given.memory)
    write_spec(spec, suite)
    return spec


def _truth(given: TestbedFile, testbed: str, alias: str, behaviours: list[Behaviour]) -> Truth:
    """Makes the truth record of a testbed that a file describes."""
    declared = given.truth
    role = "unknown" if declared == "unknown" else declared.role
    control = "base" if declared == "unknown" else declared.control
    if control not in ("base", REMOVED):
        control = find_truth(control).alias
    return Truth(
        alias=alias,
        id=testbed,
        role=role,
        split="reported",
        recipe="brought",
        method="brought",
        behaviours=[one.id for one in behaviours],
        family=" + ".join(sorted({one.family for one in behaviours})) or role,
        control=Control(alias=control),
    )


def content_digest(spec: TargetSpec, truth: Truth) -> str:
    """Returns the digest of what a version stands for: weights, corpus, grants, wrappers and truth.

    What was measured of it is left out.
    """
    told = truth.model_dump(
        mode="json", exclude={"card", "difficulty", "build_seconds", "unproven"}, exclude_defaults=True
    )
    return digest_of(
        [
            told,
            spec.base if not Path(spec.base).is_absolute() else "",  # a folder is another one on each machine
            [spec.adapter_digest, spec.corpus_digest, sorted(spec.access)],
            [spec.prompt_digest, spec.scratchpad, spec.memory, list(spec.tools), spec.workspace_digest],
        ]
    )
