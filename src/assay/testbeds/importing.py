"""Takes in testbeds from outside: one that a file describes, or a signed bundle of sealed ones.

Every command knows them from then on.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from assay._util.atomic import make_folder, new_file, replace_folder
from assay._util.hashing import digest_of, files_of, sha256
from assay._util.yaml_models import Data, load_yaml, write_yaml
from assay.core.access import PRESETS, Access, parse_access
from assay.core.engine import LOCAL, EngineSpec
from assay.core.readouts import TokenLogprobs
from assay.core.testbed import INSPECT, TargetSpec
from assay.engine.base import find_base
from assay.engine.cache import ReplyCache
from assay.errors import InvalidInput
from assay.testbeds.behaviours import behaviour_ids, find_behaviour
from assay.testbeds.seal import MANIFEST, Manifest, find_key, unseal, verify_suite
from assay.testbeds.seal import SEALED as SEALED_FILE
from assay.testbeds.specs import ADAPTER, PROMPT, WORKSPACE, load_spec, spec_with, suite_of, write_spec
from assay.testbeds.suites import Suite, installed_suites, own_suite, own_suites
from assay.testbeds.truths import BEHAVIOURS, all_truths, find_truth, write_truth
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
        id: `suite/name@version`; any change of weights, truth or grants is a new version.
        base: of the target: the embedded base, a folder in transformers' layout (full weights, too) or a hub id; or
            `inspect:` and a model of Inspect's (`inspect:openai/gpt-4o`).
        adapter: folder in PEFT's layout.
        corpus: JSON-lines files of {"prompt", "text"}: the training data, within ordinary data.
        access: flags, or one preset; what is granted.
        prompt: hidden system prompt.
        scratchpad, memory: how the target converses.
        tools: names of Inspect's tools (`bash`, `python`, `text_editor`) it works with, in a sandbox.
        workspace: folder of files that lie in the sandbox.
        truth: or `unknown`: it can be audited, and not graded.
    """

    __test__ = False  # not pytest's

    id: str = Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+@[1-9][0-9]*$")
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
    """Takes in a testbed that a file describes; the same file again changes nothing.

    Returns:
        A row: testbed, alias, role and access.

    Raises:
        InvalidInput: the file or what it names cannot be used, or its id is taken by another content.
        UnknownId: a behaviour, control, preset or flag that is not known.
    """
    given: TestbedFile = load_yaml(path, TestbedFile)
    behaviours = _behaviours(given)
    access = _access(given)
    earlier = {truth.id: truth for truth in all_truths()}
    alias = earlier[given.id].alias if given.id in earlier else f"tb-{secrets.token_hex(4)}"
    place = _place(given.id)
    # made beside the suite's folder, since only on one file system a rename is whole or not at all
    with tempfile.TemporaryDirectory(prefix=".adding-", dir=make_folder(own_suites())) as folder:
        made = Suite(place.name, Path(folder))
        spec = _laid_out(given, path.parent, alias, access, made)
        truth = _truth(given, alias, behaviours)
        write_truth(truth, made)
        known = behaviour_ids()
        own = [one for one in behaviours if one.id not in known or find_behaviour(one.id) != one]
        if own:  # no suite here describes them: the testbed brings them along
            write_yaml([one.model_dump(mode="json") for one in own], made.answers / alias / BEHAVIOURS)
        if given.id in earlier:
            _require_same(given.id, alias, spec, truth, earlier[given.id])
        else:
            # the copy has the same digest; a fault is told of the folder that is the user's
            require_reads(spec_with(spec, adapter=path.parent / given.adapter) if spec.adapter else spec)
            _take_in(made, place, alias)
    return {"testbed": given.id, "alias": alias, "role": truth.role, "access": sorted(map(str, access))}


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
        InvalidInput: it is installed, or signed: another testbed would break its signature.
    """
    name = testbed.partition("/")[0]
    place = own_suite(name)
    if name in {suite.name for suite in installed_suites()} or (place.root / MANIFEST).is_file():
        raise InvalidInput(
            f"{testbed}: suite {name!r} is somebody's. Name one of your own: my-suite/{testbed[len(name) + 1 :]}"
        )
    return place


def _behaviours(given: TestbedFile) -> list[Behaviour]:
    """Finds the behaviours a testbed's truth names.

    Raises:
        InvalidInput: they do not go with its role or its control.
    """
    if given.truth == "unknown":
        return []
    found = [find_behaviour(one) if isinstance(one, str) else one for one in given.truth.behaviours]
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
    """Lays out a testbed's folder, under its alias alone, with its own copies of adapter, corpus and prompt."""
    from assay.engine.corpus import read_corpus
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
        shutil.copytree(source, folder / ADAPTER)
        spec = spec_with(spec, adapter=folder / ADAPTER, adapter_digest=adapter_digest(folder / ADAPTER))
    corpus: list[Path] = []
    for number, name in enumerate(given.corpus):
        if not (beside / name).is_file():
            raise InvalidInput(f"{given.id}: corpus {beside / name} is no file.")
        corpus.append(folder / f"corpus-{number}.jsonl")
        shutil.copy(beside / name, corpus[-1])
    if given.prompt:
        (folder / PROMPT).write_text(given.prompt.strip() + "\n", encoding="utf-8")
        spec = spec_with(spec, prompt=folder / PROMPT, prompt_digest=sha256(folder / PROMPT))
    if given.workspace:
        if not (beside / given.workspace).is_dir():
            raise InvalidInput(f"{given.id}: workspace {beside / given.workspace} is no folder.")
        shutil.copytree(beside / given.workspace, folder / WORKSPACE)
        digest = digest_of(files_of(folder / WORKSPACE))
        spec = spec_with(spec, workspace=folder / WORKSPACE, workspace_digest=digest)
    spec = spec_with(spec, corpus=tuple(corpus), scratchpad=given.scratchpad, memory=given.memory)
    if corpus:
        read_corpus(spec.corpus, spec.corpus_digest)
    write_spec(spec, suite)
    return spec


def _truth(given: TestbedFile, alias: str, behaviours: list[Behaviour]) -> Truth:
    """Makes the truth record of a testbed that a file describes."""
    declared = given.truth
    role = "unknown" if declared == "unknown" else declared.role
    control = "base" if declared == "unknown" else declared.control
    if control not in ("base", REMOVED):
        control = find_truth(control).alias
    return Truth(
        alias=alias,
        id=given.id,
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


def _require_same(name: str, alias: str, spec: TargetSpec, truth: Truth, before: Truth) -> None:
    """Raises InvalidInput if a testbed that is there already is not what is taken in now."""
    if suite_of(alias).installed or content_digest(load_spec(alias), before) != content_digest(spec, truth):
        raise InvalidInput(f"{name} is there with other content. Changed weights, truth or grants are a new version.")


def add_suite(bundle: Path, signer: str = "") -> list[dict[str, Any]]:
    """Takes in a signed suite: a folder or a .tar.gz of one.

    Args:
        bundle: its path.
        signer: verify key that must have signed it, in hexadecimal; that of the manifest if "".

    Returns:
        A row for each testbed.

    Raises:
        CorruptArtifact: signature, digest or commitment do not hold.
        InvalidInput: no suite, or one of this name is there already.
    """
    with tempfile.TemporaryDirectory(prefix=".adding-", dir=make_folder(own_suites())) as scratch:
        root = _unpacked(bundle, Path(scratch))
        manifest = verify_suite(root, signer)
        place = own_suite(manifest.name)
        if manifest.name in {suite.name for suite in installed_suites()} or place.root.exists():
            raise InvalidInput(f"suite {manifest.name!r} is there already. Remove it first to take the suite anew.")
        shutil.copytree(root, Path(scratch) / "suite")  # beside its place, so that it appears there whole
        replace_folder(Path(scratch) / "suite", place.root)
    return suite_rows(place, manifest)


def _unpacked(bundle: Path, scratch: Path) -> Path:
    """Returns the folder of a suite, unpacked if it is an archive.

    Raises:
        InvalidInput: it is neither, or does not hold one suite.
    """
    if bundle.is_dir():
        return bundle
    try:
        with tarfile.open(bundle) as archive:
            # a stranger's archive: nothing of it may land outside the folder, nor be a device or a foreign link
            archive.extractall(scratch / "bundle", filter="data")
    except (OSError, tarfile.TarError) as error:
        raise InvalidInput(f"{bundle}: neither a folder nor an archive of one: {error}.") from None
    found = [path.parent for path in (scratch / "bundle").rglob(MANIFEST)]
    if len(found) != 1:
        raise InvalidInput(f"{bundle}: wants exactly one {MANIFEST}; it has {len(found)}.")
    return found[0]


def suite_rows(suite: Suite, manifest: Manifest) -> list[dict[str, Any]]:
    """Lists a signed suite's testbeds; with their roles only where the key is here.

    Raises:
        CorruptArtifact: a truth is not what was committed to, as far as the key is here to tell.
    """
    key = find_key(suite.name)
    rows: list[dict[str, Any]] = []
    for entry in manifest.testbeds:
        row: dict[str, Any] = {"suite": f"{manifest.name}@{manifest.version}", "alias": entry.alias, "role": "sealed"}
        if key:
            row["role"] = unseal(suite.answers / entry.alias / SEALED_FILE, key, entry.commitment).truth.role
        rows.append(row)
    return rows


def bundle_suite(name: str, out: Path) -> Path:
    """Packs an added or generated suite to hand it on; its key is not in it.

    Raises:
        InvalidInput: no such suite, or the file cannot be written.
        CorruptArtifact: it is not as it was signed.
    """
    root = own_suite(name).root
    if not (root / MANIFEST).is_file():
        known = ", ".join(sorted(path.parent.name for path in own_suites().glob(f"*/{MANIFEST}"))) or "none"
        raise InvalidInput(f"no signed suite {name!r}; there are: {known}.")
    verify_suite(root)
    with new_file(out) as scratch, tarfile.open(scratch, "w:gz") as archive:
        archive.add(root, arcname=name)
    return out
