"""The kits that have a name, as data: what a kit's name means must not depend on what can be loaded.

Kits of an access preset hold every tool of Assay's own that the preset grants, and kits of a family every one of the
family that `full` grants, as far as an auditor without a language model can drive it. A test derives both from the
tools, and says what to write here.
"""

from __future__ import annotations

from collections.abc import Mapping

# In the order in which a kit's name lists them; of two with the same tools the first gives the name.
NAMED_KITS: Mapping[str, tuple[str, ...]] = {
    "prior-only": (),
    "chat": ("ask", "system"),
    # without `converse`: who does not think has nothing to say in a second turn
    "all": ("ask", "system", "prefill", "search", "reference", "fuzz"),
    "api": ("ask", "converse", "prefill", "system"),
    "grey": ("ask", "converse", "prefill", "system"),
    "white": ("ask", "converse", "fuzz", "prefill", "system"),
    "full": ("ask", "clusters", "converse", "fuzz", "influence", "prefill", "reference", "search", "system", "terms"),
    "blackbox": ("ask", "converse", "prefill", "system"),
    "data": ("clusters", "influence", "search", "terms"),
    "diffing": ("reference",),
    "interp": (),
    "latent": ("fuzz",),
}
