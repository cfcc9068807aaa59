"""Makes testbeds of published organisms, laid out so that they tell nothing, and of deployed models.

What is done here belongs to the person who sets up an audit: it reads truths. An audit is handed the `TargetSpec`.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from assay._util.atomic import replace_folder
from assay._util.strict_json import read_json_object
from assay.core.access import parse_access
from assay.core.target import Target
from assay.core.testbed import TargetSpec
from assay.engine.peft_layout import CONFIG, WEIGHTS
from assay.errors import InvalidInput
from assay.testbeds.aliases import guessable_alias
from assay.testbeds.deployed import Deployed, deployed_ids, open_deployed
from assay.testbeds.layout import ADAPTER
from assay.testbeds.published import MODEL_FILES, Hub, from_hub, locate, locate_base, published_testbed
from assay.testbeds.specs import write_spec
from assay.testbeds.suites import DEPLOYED, PUBLISHED, Suite, own_suite
from assay.testbeds.truths import write_truth
from assay.truth import Control, Truth

_WHOLE = "model"
_NAMING = ("_name_or_path", "name_or_path", "revision", "auto_mapping")  # settings that may name the organism
_SETTINGS = (CONFIG, "config.json", "generation_config.json", "tokenizer_config.json")


def prepare_published(
    name: str, roots: Sequence[Path] = (), suite: Suite | None = None, hub: Hub | None = from_hub
) -> TargetSpec:
    """Makes a published organism a testbed of a suite, under its alias alone.

    The names of published weights give the answer away. So they are linked into `SUITE/testbeds/ALIAS/`, without what
    is beside them and with their configuration's names taken out; this is what an audit is pointed at.

    Args:
        name: id or alias.
        roots: folders to look for weights and base in.
        suite: it goes to; `published` under `ASSAY_HOME` if None.
        hub: where to get what the roots have not; None to stay offline.

    Raises:
        InvalidInput: the weights are not to be had.
        UnknownId: no such organism.
    """
    from assay.engine.local.lora import adapter_digest

    testbed = published_testbed(name)
    source = locate(testbed, roots, hub)
    suite = own_suite(PUBLISHED) if suite is None else suite
    if testbed.adapter is None:
        base = suite.testbeds / testbed.alias / _WHOLE
        _lay_out(source, base, MODEL_FILES, {})
        # its engine holds no earlier checkpoint, so no REFERENCE
        spec = TargetSpec(testbed.alias, str(base), None, "", (), "", parse_access(["white"]))
    else:
        adapter = suite.testbeds / testbed.alias / ADAPTER
        named = {"base_model_name_or_path": testbed.base}
        _lay_out(source, adapter, (WEIGHTS, CONFIG), named)
        access = parse_access(["white", "REFERENCE"])
        base_name = locate_base(testbed, roots)
        spec = TargetSpec(testbed.alias, base_name, adapter, adapter_digest(adapter), (), "", access)
    write_spec(spec, suite)
    return spec


def _lay_out(source: Path, folder: Path, patterns: Sequence[str], named: dict[str, str]) -> None:
    """Links a snapshot's files into a folder, whole or not at all; files that are there already stay."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # beside its place: hard links and the rename at the end need one file system
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".laying-out-") as scratch:
        made = Path(scratch) / folder.name
        made.mkdir()
        found: set[Path] = set()
        for pattern in patterns:
            found |= set(source.glob(pattern))
        for path in sorted(found):
            if path.name in _SETTINGS:
                _write_nameless(path, made / path.name, named)
            else:
                _link(path.resolve(), made / path.name)  # of the hub's cache, not its symbolic link
        if _same_files(made, folder):
            return
        replace_folder(made, folder)


def _write_nameless(source: Path, path: Path, named: dict[str, str]) -> None:
    """Copies a file of settings without those that may name the organism.

    Args:
        source: the file.
        path: of the copy.
        named: settings that are put in their place.

    Raises:
        InvalidInput: the file is no JSON object.
    """
    settings = read_json_object(source)
    kept = {key: value for key, value in settings.items() if key not in _NAMING} | named
    path.write_text(json.dumps(kept, indent=1, sort_keys=True), encoding="utf-8")


def _link(source: Path, path: Path) -> None:
    """Makes a hard link, since a symbolic one would tell the name; a copy where the file system has none."""
    try:
        os.link(source, path)
    except OSError:
        shutil.copy2(source, path)


def _same_files(one: Path, other: Path) -> bool:
    """Tells whether two folders hold the same files with the same contents."""
    names = {path.name for path in one.iterdir()}
    if not other.is_dir() or names != {path.name for path in other.iterdir()}:
        return False
    return all((one / name).samefile(other / name) or filecmp.cmp(one / name, other / name) for name in names)


def deployed_spec(name: str, model: str | None = None) -> TargetSpec:
    """Describes a deployed model as a target.

    Args:
        name: id or alias.
        model: name by which Inspect asks it, where it is not the first of those listed.

    Raises:
        InvalidInput: it is withdrawn, and no model was named in its place.
        UnknownId: no such deployed model.
    """
    deployed = open_deployed(name)
    asked = model or _listed_model(deployed)
    return TargetSpec(deployed.alias, f"inspect:{asked}", None, "", (), "", parse_access(["api"]))


def _listed_model(deployed: Deployed) -> str:
    """Returns the first of a deployed model's listed names.

    Raises:
        InvalidInput: it is withdrawn, or never was behind an API.
    """
    state = deployed.availability
    if state.status == "withdrawn" or not deployed.models:
        raise InvalidInput(
            f"{deployed.id}: {state.status} as of {state.as_of}. {state.note} Where another host still serves it, name "
            f"it as Inspect does: model=PROVIDER/NAME. Of another model these issues are not the truth."
        )
    return deployed.models[0]


@asynccontextmanager
async def open_deployed_target(name: str, model: str | None = None) -> AsyncIterator[Target]:
    """Opens a deployed model, which is talked to through Inspect, and nothing else.

    Raises:
        InvalidInput: withdrawn, or Inspect cannot make the model.
        UnknownId: no such deployed model.
    """
    from assay.engine.remote.inspect_model import open_target

    async with open_target(deployed_spec(name, model)) as target:
        yield target


def fetch(name: str, roots: Sequence[Path] = (), model: str | None = None) -> dict[str, Any]:
    """Makes a published organism or a deployed model a testbed that every command knows.

    Its truth is a text, without detectors: it is audited, and a report on it is read by a person or a judge.

    Args:
        name: `published/…` or `deployed/…`, or an alias.
        roots: folders to look for published weights and base in, before a hub.
        model: name by which Inspect asks a deployed model.

    Raises:
        InvalidInput: weights or model are not to be had, or it is here under an alias of an earlier version.
        UnknownId: neither a published organism nor a deployed model.
    """
    short = name.removeprefix(f"{DEPLOYED}/").partition("@")[0]
    if name.startswith(f"{DEPLOYED}/") or short in deployed_ids():
        deployed = open_deployed(short)
        id = f"{DEPLOYED}/{deployed.id}@{deployed.version}"
        _require_told_alias_is_gone(id)
        spec = deployed_spec(short, model)
        write_spec(spec, own_suite(DEPLOYED))
        truth = _truth(spec, id, "natural", DEPLOYED)
    else:
        published = published_testbed(name)
        _require_told_alias_is_gone(published.id)
        spec = prepare_published(name, roots)
        truth = _truth(spec, published.id, published.family, published.recipe)
    write_truth(truth, own_suite(truth.id.partition("/")[0]))
    return {"testbed": truth.id, "alias": spec.alias, "base": spec.base, "access": sorted(map(str, spec.access))}


def _require_told_alias_is_gone(id: str) -> None:
    """Refuses to fetch a second time what an earlier version fetched, whose aliases anybody can compute.

    Raises:
        InvalidInput: it is here under such an alias.
    """
    suite, alias = own_suite(id.partition("/")[0]), guessable_alias(id)
    folders = [folder / alias for folder in (suite.testbeds, suite.answers) if (folder / alias).exists()]
    if folders:
        raise InvalidInput(
            f"{id} was fetched by an earlier version as {alias}, which can be computed from its id. It can be used "
            f"under that alias as before; to have a hidden one, delete {' and '.join(map(str, folders))} and fetch it "
            f"anew. Audits that a ledger has of {alias} are then no longer graded."
        )


def _truth(spec: TargetSpec, name: str, family: str, method: str) -> Truth:
    """Writes down what is known without detectors: that it is audited, and not graded."""
    return Truth(
        alias=spec.alias,
        id=name,
        role="unknown",
        split="reported",
        recipe=method,
        method=method,
        behaviours=[],
        family=family,
        control=Control(alias="base"),
        exposure="public",
    )
