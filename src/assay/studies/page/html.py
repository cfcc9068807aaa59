"""Writes the page, one HTML file that opens with the network off."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay._util.paths import DETAILS
from assay.studies.effects.funnel import stages_that_occur
from assay.studies.effects.planned import NO_PRIMARY
from assay.studies.effects.results import Summary
from assay.studies.effects.verdict import points, smallest_effect
from assay.studies.page.caveats import caveats
from assay.studies.page.formats import interval, number, p_value, percent, tokens_spent
from assay.studies.page.games import GAME_WORDS, game_table
from assay.studies.page.listed import ListedAudit, packed
from assay.studies.page.methods import methods
from assay.studies.page.static_beside import StaticBeside

if TYPE_CHECKING:
    import jinja2

_TEMPLATES = Path(__file__).parent / "templates"


def page(summary: Summary, audits: Sequence[ListedAudit] = (), static: Sequence[StaticBeside] = ()) -> str:
    """Writes the report of a sweep as one HTML document.

    Vega, Vega-Lite and the embedder are inlined once for all charts, and the document's content policy forbids every
    fetch but that of scripts beside it. Altair and its dependencies are imported here, not with this module.

    Args:
        summary: as made by `summarise`.
        audits: that a reader can open, whose details are in files beside the page.
        static: tools whose static value is on file.
    """
    from assay.studies.page.charts import charts
    from assay.studies.page.model import ONE_SEED

    drawn = charts(summary, static)
    return (
        templates()
        .get_template("page.html.j2")
        .render(
            s=summary,
            caveats=caveats(summary),
            drawn=drawn,
            primary=any(effect.primary for effect in summary.effects),
            no_primary=NO_PRIMARY,
            stages=stages_that_occur(summary.funnel),
            smallest_effect=smallest_effect(summary),
            words=GAME_WORDS[summary.game],
            game_table=game_table(summary),
            one_seed=ONE_SEED,
            methods=methods(summary),
            static=static,
            details=DETAILS,
            audits_listed=bool(audits),
            specifications=_inline(drawn),
            audits=_inline(packed(audits)),
            bundle=_bundle() if drawn else "",
        )
    )


def templates() -> jinja2.Environment:
    """Opens the templates of all pages; what is put into one is escaped."""
    import jinja2

    from assay.studies.page.model import probability

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent,
        tokens_spent=tokens_spent,
        points=points,
        interval=interval,
        number=number,
        p=p_value,
        probability=probability,
        clamp=_clamp,
    )
    return environment


@cache
def _bundle() -> str:
    """Bundles Vega, Vega-Lite and vega-embed as one script that sets `window.vegaEmbed`."""
    import vl_convert

    # Inside a script element the first closing tag ends it, even one within a string.
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script.replace("</script", r"<\/script")


def _inline(value: Any) -> str:
    """Writes JSON that may stand inside a script element, whatever its strings hold."""
    return json.dumps(value, allow_nan=False).replace("<", r"\u003c")


def _clamp(value: float) -> float:
    """Finds where a rate stands on a bar from 0 to 100 %."""
    return 100 * min(1.0, max(0.0, value))
