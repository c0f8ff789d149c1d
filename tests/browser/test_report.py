"""The report in a real Chromium without a network: nothing is asked for, nothing complains, everything can be seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knobctl.report.page import render, save
from tests.browser.chromium import Browser, browser, missing
from tests.report.page import recorded

pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(missing()), reason=missing() or "Chromium is here")]

PHONE, DESK = 360, 1200
FIGURES = 7
BOXES = """
return Array.from(document.querySelectorAll("figure")).map(figure => [figure.id,
  Array.from(figure.querySelectorAll("svg[role=img]")).map(svg => svg.getBoundingClientRect())
    .filter(box => box.width > 0).map(box => [box.left, box.right, box.width, box.height])]);
"""
SMALLEST_TEXT = """
return Math.min(...Array.from(document.querySelectorAll("svg[role=img] text")).map(text => {
  const box = text.ownerSVGElement.getBoundingClientRect(), style = getComputedStyle(text);
  return box.width ? parseFloat(style.fontSize) * box.width / text.ownerSVGElement.viewBox.baseVal.width : 99;
}));
"""
SPILLED = """
return Array.from(document.querySelectorAll("svg[role=img]")).flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  return frame.width === 0 ? [] : Array.from(svg.querySelectorAll("text")).filter(text => {
    const box = text.getBoundingClientRect();
    return box.left < frame.left - 2 || box.right > frame.right + 2 ||
           box.top < frame.top - 2 || box.bottom > frame.bottom + 2;
  }).map(text => text.textContent);
});
"""
COLOURS = """
const of = (element, what) => getComputedStyle(document.querySelector(element))[what];
return [of("body", "backgroundColor"), of("body", "color"), of("#scores .wide .mark.tried", "fill"),
        of("#scores .wide .tick", "fill")];
"""


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    save(render(recorded.session()), file)
    return file


def brightness(colour: str) -> float:
    red, green, blue = (float(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_nothing_is_asked_for_and_nothing_complains(window: Browser, report: Path, width: int) -> None:
    window.show_as(width=width)
    window.open(report)
    assert window.run("return navigator.onLine") is False
    window.run("window.scrollTo(0, document.body.scrollHeight)")
    assert window.requests() == [report.as_uri()], "the page itself, and nothing else"
    assert window.console() == []


def test_a_page_that_asks_for_something_would_be_noticed(window: Browser, report: Path, tmp_path: Path) -> None:
    worse = tmp_path / "worse.html"
    asking = "<img src='https://example.invalid/x.png'><script>document.title = 'ran'</script></main>"
    worse.write_text(report.read_text().replace("</main>", asking))
    window.open(worse)
    assert window.run("return document.title") != "ran", "the policy of the page forbids it"
    assert sum("Content Security Policy" in message for message in window.console()) == 2
    window.requests()


@pytest.mark.parametrize(("width", "smallest"), [(PHONE, 8.5), (DESK, 10.0)])
def test_every_plot_is_seen_and_none_is_wider_than_the_window(
    window: Browser, report: Path, width: int, smallest: float
) -> None:
    window.show_as(width=width)
    window.open(report)
    assert window.run("return document.documentElement.scrollWidth") == width, "the page does not scroll sideways"
    figures: list[Any] = window.run(BOXES)
    assert len(figures) == FIGURES
    for name, boxes in figures:
        assert len(boxes) == (6 if name == "slices" else 1), name
        for left, right, across, height in boxes:
            assert left >= 0 and right <= width and across > 200 and height > 60, name
    assert window.run(SPILLED) == []
    assert window.run(SMALLEST_TEXT) >= smallest, "pixels"


def test_light_and_dark_differ_and_both_can_be_read(window: Browser, report: Path) -> None:
    seen = {}
    pictures = {}
    for scheme in ("light", "dark"):
        window.show_as(width=DESK, scheme=scheme)
        window.open(report)
        seen[scheme] = [brightness(colour) for colour in window.run(COLOURS)]
        pictures[scheme] = window.picture()
    assert pictures["light"] != pictures["dark"]
    paper, *inks = seen["light"]
    assert all(paper - ink > 100 for ink in inks)
    paper, *inks = seen["dark"]
    assert all(ink - paper > 100 for ink in inks)


def test_the_table_of_runs_sorts_by_what_is_clicked(window: Browser, report: Path) -> None:
    window.show_as(width=DESK)
    window.open(report)
    click = "document.querySelectorAll('table.sortable th [role=button]')[3].click();"
    column = (
        "return Array.from(document.querySelectorAll('table.sortable tbody tr')).map(row => row.cells[3].dataset.by);"
    )
    down = [float(score) for score in window.run(click + click + column) if score]
    assert down == sorted(down, reverse=True) and len(down) == 48
    assert window.run("return document.querySelectorAll('th[aria-sort=descending]').length") == 1


def test_without_its_script_the_page_is_whole(window: Browser, report: Path) -> None:
    window.cdp("Emulation.setScriptExecutionDisabled", value=True)
    window.show_as(width=DESK)
    window.open(report)
    assert len(window.run(BOXES)) == FIGURES
    assert window.run("return document.querySelectorAll('th [role=button]').length") == 0
    assert window.run("return document.querySelector('table.sortable').getBoundingClientRect().height") > 500
    window.cdp("Emulation.setScriptExecutionDisabled", value=False)


def test_paper_shows_everything(window: Browser, report: Path) -> None:
    window.show_as(width=DESK, scheme="dark")
    window.open(report)
    window.cdp("Emulation.setEmulatedMedia", media="print")
    try:
        assert brightness(window.run(COLOURS)[0]) == pytest.approx(255), "paper is white in the dark too"
        assert window.run("return getComputedStyle(document.querySelector('#scores')).breakInside") == "avoid"
        window.cdp("Emulation.setDeviceMetricsOverride", width=690, height=1000, deviceScaleFactor=1, mobile=False)
        boxes = [box for _, found in window.run(BOXES) for box in found]
        assert boxes and all(left >= 0 and right <= 690 for left, right, _, _ in boxes)
        assert window.run("return document.documentElement.scrollWidth") <= 690
    finally:
        window.cdp("Emulation.setEmulatedMedia", media="")
    printed = window.printed()
    assert printed.startswith(b"%PDF") and 4 <= printed.count(b"/Type /Page\n") <= 40


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_an_unfinished_session_has_a_calm_page(window: Browser, tmp_path: Path, status: str) -> None:
    file = tmp_path / "report.html"
    save(render(recorded.without_a_result(status, "no space left", 3)), file)
    window.show_as(width=PHONE)
    window.open(file)
    assert window.console() == []
    assert window.run("return document.documentElement.scrollWidth") == PHONE
    assert window.run("return document.querySelectorAll('.empty').length") >= 5
