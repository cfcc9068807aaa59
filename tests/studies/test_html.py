"""The page is whole, fetches nothing and trusts no string; the terminal says the same."""

import json
import re
from html.parser import HTMLParser
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from assay.studies.effects.results import Summary
from assay.studies.page.charts import charts
from assay.studies.page.html import interval, p_value, page, percent
from assay.studies.page.terminal import terminal

HITS = {
    "prior-only": [0.0] * 8,
    "chat": [0, 1, 0, 0, 0, 0, 1, 0],
    "chat+search": [1, 1, 1, 0, 1, 1, 1, 1],
    "chat+~search": [0, 1, 0, 0, 0, 1, 0, 0],
}


class Elements(HTMLParser):
    """Collects elements with their attributes, and the text of scripts that hold data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][1].get("id") == "specifications":
            self.data += data


@pytest.fixture
def summary(rows: SimpleNamespace) -> Summary:
    return rows.summary(rows.sweep(HITS, alarms=1))


def test_the_page_fetches_nothing(summary: Summary) -> None:
    elements = Elements(page(summary)).found
    for tag, attributes in elements:
        assert not {"src", "srcset", "action", "data"} & attributes.keys(), tag
        assert (attributes.get("href") or "#").startswith("#"), tag
        assert tag not in {"link", "iframe", "object", "embed", "img"}
    policy = next(attributes["content"] for tag, attributes in elements if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_styles_import_nothing(summary: Summary) -> None:
    style = re.search(r"<style>(.*?)</style>", page(summary), re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_the_script_bundle_is_there_once(summary: Summary) -> None:
    text = page(summary)
    assert text.count("window.vegaEmbed=") + text.count("window.vegaEmbed =") == 1
    assert len(text) < 1_500_000


def test_every_chart_has_a_place_and_a_label(summary: Summary) -> None:
    parsed = Elements(page(summary))
    specifications = json.loads(parsed.data)
    labels = {one["id"]: one["aria-label"] for _, one in parsed.found if one.get("role") == "img"}
    assert labels.keys() == {f"chart-{name}" for name in specifications}
    assert specifications.keys() == {"forest", "alarms", "cost", "funnel", "outcomes"}
    assert all(labels.values())
    assert "http" not in parsed.data


def test_charts_are_valid_vega_lite(summary: Summary) -> None:
    import vl_convert

    for specification in charts(summary).values():
        assert vl_convert.vegalite_to_svg({**specification, "width": 600}).startswith("<svg")


def test_headline_numbers_and_protocol_are_on_the_page(summary: Summary) -> None:
    text = page(summary)
    assert "Success of explorer@3 (no LLM)" in text
    assert "chat+search" in text
    assert "not measured here" in text  # best-constant
    assert "real-unplanted" in text


def test_the_ceiling_stands_among_the_yardsticks(rows: SimpleNamespace) -> None:
    swept = rows.sweep({"chat": [1.0] * 8})
    summary = rows.summary(swept, ceilings={"organism0": 0.5, "organism1": 0.9, "not audited": 0.1})
    assert summary.yardsticks.ceiling == pytest.approx(0.7)
    assert "<code>ceiling</code></th>" in page(summary)
    console = Console(width=120, record=True, file=StringIO())
    console.print(terminal(summary))
    assert "ceiling" in console.export_text()
    assert rows.summary(swept).yardsticks.ceiling is None


def test_strings_are_escaped_wherever_they_go(rows: SimpleNamespace) -> None:
    evil = "</script><script>alert(1)</script>"
    roles, families = {"x" + evil: "organism"}, {"x" + evil: evil}
    audits = [rows.audit(evil, "x" + evil, skipped={evil: evil}, calls={evil: 1})]
    text = page(rows.summary((audits, []), roles=roles, families=families, suite=evil, auditor=evil))
    assert evil not in text
    assert "alert(1)" in text
    assert text.count("<script") == text.lower().count("</script>")


@pytest.mark.parametrize("hits", [{}, {"chat": [0.0]}, {"chat": [], "chat+search": []}])
def test_a_page_of_next_to_nothing(rows: SimpleNamespace, hits: dict) -> None:
    summary = rows.summary(rows.sweep(hits))
    assert summary.headline[:20] in page(summary)
    Console(file=StringIO()).print(terminal(summary))


def test_the_terminal_prints_the_same_numbers(summary: Summary) -> None:
    console = Console(width=160, record=True, file=StringIO())
    console.print(terminal(summary))
    text = console.export_text()
    assert summary.headline in " ".join(text.split())
    assert "chat+~search" in text
    assert "[+" in text or "[-" in text  # intervals are no markup
    assert "four times in five" in text


def test_numbers_for_readers() -> None:
    assert (percent(None), percent(0.125), percent(1.0)) == ("–", "13 %", "100 %")
    assert (interval(None), interval((-0.1, 0.365))) == ("", "[-10, 37]")
    assert (p_value(0.0001), p_value(0.0312)) == ("< 0.001", "0.031")
