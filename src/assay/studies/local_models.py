"""Finds what a language model in the local engine is made of, so that an audit's run key knows its weights."""

from __future__ import annotations

from contextlib import closing

from assay._util.hashing import digest_of
from assay.audits.model_choice import OWN_MODELS, ModelChoice
from assay.audits.prepared import target_digest
from assay.core.access import PRESETS
from assay.core.testbed import TargetSpec
from assay.engine.targets import Targets
from assay.testbeds.specs import load_spec


def with_weights(model: ModelChoice) -> ModelChoice:
    """Adds the digest of weights that are on this machine: of `assay/base:…` and `assay/tb-…`, of others none.

    Raises:
        UnknownId: no testbed of that alias.
        InvalidInput: the base cannot be found.
    """
    if not model.name.startswith(OWN_MODELS):
        return model
    alias = model.name.removeprefix(OWN_MODELS).partition("@")[0]
    if alias.startswith("base:"):
        spec = TargetSpec(alias, alias.removeprefix("base:"), None, "", (), "", PRESETS["grey"])
    else:
        spec = load_spec(alias)
    with closing(Targets()) as opener:
        return model.model_copy(update={"weights": digest_of([target_digest(spec), opener.identity(spec)])})
