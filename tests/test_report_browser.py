"""The report in a real browser: no error, no request, sorting, choosing two runs, a narrow screen."""

import pytest
from browser import find_chromium, open_browser
from PIL import Image
from report_made import FINETUNE, GIFT, HOSTILE, many, placed, png, record, results

from avalanche_gift.report import Experiment, Sheet, write_page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed (Debian: apt-get install chromium)"),
]

FIRST_CELLS = "[...document.querySelectorAll('#runs tbody tr')].map((row) => row.cells[0].textContent)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(find_chromium(), tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Addresses of a page of three strategies, one whose names are hostile and long, and one of 500 runs."""
    folder = tmp_path_factory.mktemp("pages")
    kept = {"extra_parameters": 1234, "stored_pictures": 0, "stored_bytes": 0}
    sheets = [Sheet("food", [(Image.new("RGB", (32, 32), "red"), "a photo of a cake.", None)] * 8, 8)]
    hostile = [
        results(
            name, seed, experiences=[HOSTILE, "x" * 80], benchmark=name, config={HOSTILE: f"{HOSTILE}{seed}", "long": "y" * 300}
        )
        for name in (HOSTILE, "z" * 80)
        for seed in (0, 1)
    ]
    drawn = [Experiment.read(record()), Experiment.read(record("figure5"), png(1500))]
    write_page(folder / "plain.html", placed([*FINETUNE, *GIFT, results("l2", 0, footprint=kept)]), sheets, drawn)
    odd = Experiment.read(record(what=HOSTILE, rows={HOSTILE: {HOSTILE: {"ours": 1.0}}}, not_there=[HOSTILE]))
    write_page(folder / "hostile.html", placed(hostile), [Sheet(HOSTILE, sheets[0].pictures, 8)], [odd])
    write_page(folder / "many.html", placed(many(500)), sheets)
    return {path.stem: path.as_uri() for path in folder.iterdir()}


def click(browser, heading):
    browser.run(f"[...document.querySelectorAll('#runs th button')].find((b) => b.textContent === {heading!r}).click()")


@pytest.mark.parametrize("name", ["plain", "hostile", "many"])
def test_a_page_opens_without_errors_or_requests_and_fits_a_phone(browser, pages, name):
    browser.problems.clear()
    browser.requests.clear()
    for width in (1280, 360):
        browser.open(pages[name], width)
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run("document.querySelectorAll('#runs tbody tr').length > 0")
    assert browser.problems == []
    assert {address.split(":")[0] for address in browser.requests} == {"file", "data"}
    assert browser.run("window.hacked") is None


def test_hostile_names_are_shown_as_they_are(browser, pages):
    browser.open(pages["hostile"], 1280)
    assert browser.run(FIRST_CELLS)[0].startswith(HOSTILE.replace("\ud800", "?"))  # half a character


def test_a_heading_sorts_by_its_column_and_back_with_empty_cells_last(browser, pages):
    browser.open(pages["plain"], 1280)
    assert browser.run(FIRST_CELLS) == ["finetune", "gift", "l2"]
    click(browser, "Average")
    assert browser.run(FIRST_CELLS) == ["gift", "l2", "finetune"]
    click(browser, "Average")
    assert browser.run(FIRST_CELLS) == ["finetune", "l2", "gift"]
    assert browser.run("document.querySelector('#runs th[aria-sort]').textContent") == "Average"
    click(browser, "Extra parameters")
    assert browser.run(FIRST_CELLS)[0] == "l2"
    click(browser, "Extra parameters")
    assert browser.run(FIRST_CELLS)[0] == "l2"
    click(browser, "Strategy")
    assert browser.run(FIRST_CELLS) == ["finetune", "gift", "l2"]


def test_two_runs_are_compared_when_chosen(browser, pages):
    browser.open(pages["plain"], 1280)
    browser.run("""(() => {
        const second = document.getElementById("second");
        second.value = 3;
        second.dispatchEvent(new Event("change"));
    })()""")
    lines = browser.run(
        "[...document.querySelectorAll('#difference tr')].map((row) => [...row.cells].map((c) => c.textContent))"
    )
    assert lines[:3] == [
        ["", "finetune, seed 0", "gift, seed 1", "Second minus first"],
        ["Transfer", "20.00", "36.00", "+16.00"],
        ["Average", "60.50", "70.00", "+9.50"],
    ]


def test_five_hundred_runs_are_sorted_at_once(browser, pages):
    browser.open(pages["many"], 1280)
    click(browser, "Last")
    shown = browser.run("[...document.querySelectorAll('#runs tbody tr')].map((row) => Number(row.cells[5].dataset.v))")
    assert len(shown) == 500
    assert shown == sorted(shown, reverse=True)
