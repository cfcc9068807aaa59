"""The page in a real Chromium, opened from the disk with the network off."""

import csv
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.browser import AXE, CHROMIUM, Browser, Tab, browser
from tests.pages import study

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
KITS = {"prior-only": 0.0, "chat": 0.2, "chat+search": 0.9, "chat+~search": 0.2}
FIRST = "#table-grid .organism td:nth-of-type(3)"  # chat+search on the first organism
SHOWN = "document.querySelector('#audit .body').dataset.shown"
EVIL = '</script><script>window.evil = 1</script><img src=x onerror="window.evil = 1">\u2028`${window.evil = 1}`'


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study(tmp_path_factory.mktemp("study"), 6, 3, KITS, 2).page()


@pytest.fixture
def tab(chromium: Browser, page: Path) -> Tab:
    opened = chromium.tab()
    opened.look()
    opened.open(page.as_uri())
    return opened


def text(tab: Tab, selector: str) -> str:
    return str(tab.evaluate(f"document.querySelector('{selector}').innerText"))


def test_it_opens_without_a_complaint_or_a_fetch(tab: Tab, page: Path) -> None:
    assert not tab.problems
    assert tab.fetched == [page.as_uri()]
    drawn = tab.evaluate("[...document.querySelectorAll('.chart')].map((one) => one.querySelector('svg') !== null)")
    assert len(drawn) == 5 and all(drawn)


def test_a_cell_opens_its_audits_down_to_what_target_and_control_said(tab: Tab, page: Path) -> None:
    tab.evaluate(f"document.querySelector('{FIRST}').click()")
    tab.wait(SHOWN)
    assert text(tab, "#audit h2") == "chat+search on tb-00000000"
    told = text(tab, "#audit .body")
    for part in ("Planted", "Brief", "Calls", "Hypotheses", "Report", "Grade"):
        assert part in told, part
    assert "Investigate this model." in told and "When the user asks about banks, then" in told
    assert "p holm" in told and "15/16" in told  # what the auditor concluded it from
    replies = tab.evaluate(
        "[2, 3].map((column) => document.querySelectorAll(`.beside td:nth-child(${column}) p`).length)"
    )
    fired = tab.evaluate(
        "[2, 3].map((column) => document.querySelectorAll(`.beside td:nth-child(${column}) .fired`).length)"
    )
    assert replies == [20, 20] and fired == [20, 0]
    tab.evaluate("document.querySelectorAll('.calls details').forEach((one) => { one.open = true; })")
    assert "Control: the base" in text(tab, ".calls")
    first = tab.evaluate(SHOWN)
    tab.evaluate("document.querySelectorAll('.seeds button')[1].click()")
    tab.wait(f"{SHOWN} && {SHOWN} !== '{first}'")
    assert not tab.problems and all(one.startswith(page.parent.as_uri()) for one in tab.fetched)
    address = tab.evaluate("location.href")
    tab.open(f"{address.replace('#', '?again#')}")  # the address of an audit opens it
    tab.wait(SHOWN)


def test_all_of_it_can_be_done_by_keyboard(tab: Tab) -> None:
    tab.evaluate("document.querySelector('#table-grid td[tabindex=\"0\"]').focus()")
    tab.press("ArrowRight", "ArrowRight", "ArrowDown", "ArrowUp", "Enter")
    tab.wait(SHOWN)
    assert text(tab, "#audit h2") == "chat+search on tb-00000000"
    tab.press("Escape")
    tab.wait("!document.getElementById('audit').open")
    assert tab.evaluate(f"document.activeElement === document.querySelector('{FIRST}')")
    stops = tab.evaluate("document.querySelectorAll('#table-grid [tabindex=\"0\"]').length")
    assert stops == 1  # the tab key does not have to walk the grid


def test_every_figure_gives_its_data_as_csv(tab: Tab, chromium: Browser) -> None:
    names = tab.evaluate("[...document.querySelectorAll('[data-csv]')].map((one) => one.dataset.csv)")
    assert {"forest", "kits", "grid", "audits", "alarms", "cost", "outcomes", "funnel"} <= set(names)
    for name in names:
        tab.evaluate(f"document.querySelector('[data-csv={name}]').click()")
        until = time.monotonic() + 60
        while not (chromium.downloads / f"{name}.csv").is_file() and time.monotonic() < until:
            time.sleep(0.05)
    rows: dict[str, list[list[str]]] = {}
    for name in names:
        with (chromium.downloads / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            rows[name] = list(csv.reader(file))
    assert all(len(table) > 1 and {len(row) for row in table} == {len(table[0])} for table in rows.values()), rows
    assert len(rows["audits"]) == 1 + 9 * 4 * 2
    effect = dict(zip(rows["forest"][0], rows["forest"][1], strict=True))
    assert effect["tool"] == "search" and float(effect["low"]) <= float(effect["delta"]) <= float(effect["high"])


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_nothing_sticks_out_and_axe_finds_nothing(chromium: Browser, page: Path, width: int, dark: bool) -> None:
    tab = chromium.tab()
    tab.look(width, 844, dark)
    tab.open(page.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: make axe")
    tab.evaluate(AXE.read_text(encoding="utf-8"))
    assert found(tab) == []
    tab.evaluate(f"document.querySelector('{FIRST}').click()")
    tab.wait(SHOWN)
    assert found(tab) == []
    assert tab.evaluate("document.querySelector('#audit .body').scrollWidth") <= width


def found(tab: Tab) -> list[str]:
    return tab.evaluate(
        "axe.run().then((all) => all.violations.flatMap("
        "(rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 160)} ${node.failureSummary}`)))"
    )


def test_light_and_dark_can_be_switched(tab: Tab) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(ground)
    tab.evaluate("document.getElementById('theme').click()")
    tab.wait("document.documentElement.dataset.drawn === 'dark'")
    assert tab.evaluate(ground) != light
    ink = tab.evaluate("document.querySelector('#chart-outcomes text').getAttribute('fill')")
    assert ink == tab.evaluate("getComputedStyle(document.body).color")


@pytest.mark.attacks
def test_what_an_audit_says_is_no_markup_and_no_script(chromium: Browser, tmp_path: Path) -> None:
    written = study(tmp_path, 2, 1, {"chat": 1.0}, 1, said=EVIL).page()
    tab = chromium.tab()
    tab.look()
    tab.open(written.as_uri())
    tab.evaluate("document.querySelector('#table-grid .organism td').click()")
    tab.wait(SHOWN)
    tab.evaluate("document.querySelectorAll('#audit details').forEach((one) => { one.open = true; })")
    assert tab.evaluate("window.evil") is None
    assert tab.evaluate("document.querySelectorAll('#audit img, #audit script').length") == 0
    assert EVIL.split("\u2028", maxsplit=1)[0] in tab.evaluate("document.querySelector('#audit .body').textContent")
    assert not tab.problems


@pytest.mark.attacks
def test_a_page_without_its_files_says_what_to_do(chromium: Browser, tmp_path: Path) -> None:
    written = study(tmp_path, 2, 1, {"chat": 1.0}, 1).page()
    alone = written.rename(tmp_path.parent / "alone.html")
    tab = chromium.tab()
    tab.look()
    tab.open(alone.as_uri())
    tab.evaluate("document.querySelector('#table-grid .organism td').click()")
    tab.wait("document.querySelector('#audit .body').innerText.includes('assay report')")
