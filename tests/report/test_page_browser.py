"""The page in a real browser, Debian's chromium: what a reader does with it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from sslbench.report.page.build import write_report
from sslbench.report.picture import Picture

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the Debian package chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield launched
        launched.close()


class Opened:
    """A page, what it asked for and what it complained of."""

    def __init__(self, browser: Any, path: Path, width: int) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 800})
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())

    def rows(self, table: str = "table-tiny-main") -> list[str]:
        found = self.page.locator(f"#{table} tbody tr:not(.group) th")
        return [text.strip() for text in found.all_inner_texts()]

    def heading(self, title: str) -> Any:
        return self.page.locator("#table-tiny-main button.sort", has_text=title)


@pytest.fixture
def opened(experiment: Any, browser: Any, request: pytest.FixtureRequest) -> Iterator[Opened]:
    width = getattr(request, "param", 1280)
    for label, value in (("moco", 40.0), ("hcsc", 45.0), ("pcl", 42.0)):
        for seed in (0, 1):
            scores = {"knn": value + seed} | ({} if label == "pcl" else {"linear": 100 - value})
            experiment.row(label, scores, seed=seed, card={"year": 2020}, notes=("t = 0.2",))
    experiment.row("random", {"knn": 10.0})
    experiment.row("supervised", {"knn": 90.0, "linear": 95.0})
    experiment.plan(describe=["year"])

    def draw() -> Figure:
        figure = Figure(figsize=(2, 1))
        figure.subplots().imshow(np.arange(6).reshape(2, 3))
        return figure

    picture = Picture("shades", "Shades", "Six of them.", "darker to lighter", "1", draw)
    made = write_report(experiment.store, ["tiny"], lambda *_: ([picture], []))
    page = Opened(browser, made.path, width)
    yield page
    page.context.close()


BOTH = pytest.mark.parametrize("opened", [1280, 390], indirect=True)


@BOTH
def test_nothing_is_asked_of_the_network_and_nothing_complains(opened: Opened) -> None:
    opened.page.wait_for_load_state("networkidle")

    leaving = [url for url in opened.requests if not url.startswith(("file:", "data:"))]
    assert leaving == []
    assert len([url for url in opened.requests if url.startswith("file:")]) == 1
    assert opened.complaints == []


@BOTH
def test_every_picture_is_there(opened: Opened) -> None:
    sizes = opened.page.evaluate(
        "async () => Promise.all([...document.images].map(async (image) => {"
        " await image.decode(); return [image.naturalWidth, image.alt.length]; }))"
    )

    assert len(sizes) >= 1
    assert all(width > 0 and words > 0 for width, words in sizes)


@BOTH
def test_only_tables_scroll_sideways_and_keep_their_first_column(opened: Opened) -> None:
    page = opened.page

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    before, after = page.evaluate(
        "() => { const region = document.querySelector('.table-scroll');"
        " const first = region.querySelector('tbody th');"
        " const place = () => first.getBoundingClientRect().x - region.getBoundingClientRect().x;"
        " const before = place(); region.scrollLeft = 60; return [before, place()]; }"
    )
    assert abs(before - after) < 1


@BOTH
def test_a_heading_sorts_best_first_then_worst_then_as_it_was(opened: Opened) -> None:
    original = opened.rows()
    heading = opened.heading("kNN")

    heading.click()
    assert opened.rows() == ["random", "hcsc1", "pcl1", "moco1", "supervised"]
    heading.click()
    assert opened.rows() == ["random", "moco1", "pcl1", "hcsc1", "supervised"]
    heading.click()
    assert opened.rows() == original


def test_the_keyboard_sorts_and_a_row_without_a_number_is_last(opened: Opened) -> None:
    opened.heading("Linear").focus()
    opened.page.keyboard.press("Enter")

    assert opened.rows() == ["random", "moco1", "hcsc1", "pcl1", "supervised"]
    heading = opened.page.locator("#table-tiny-main th[aria-sort]")
    assert heading.get_attribute("aria-sort") == "descending"
    assert opened.page.locator("#said").inner_text() == "Sorted by Linear top-1 (%), descending"
    opened.page.keyboard.press("Space")

    assert opened.rows() == ["random", "hcsc1", "moco1", "pcl1", "supervised"]


@BOTH
def test_a_number_says_where_it_comes_from(opened: Opened) -> None:
    row = opened.page.locator("#table-tiny-main tr", has_text="hcsc")
    row.locator("button.why").first.click()

    dialog = opened.page.locator("dialog[open]")
    said = dialog.inner_text()
    assert "hcsc: kNN top-1 (%)" in said
    assert "hcsc-resnet18-s1-" in said
    assert "Student's t over 2 seeds crossed with 2000 test items" in said
    assert "sslbench run --suite tiny --methods hcsc --seeds 0,1" in said
    dialog.locator("summary", has_text="How it was measured").click()
    assert "settings.k" in dialog.inner_text()
    dialog.locator("summary", has_text="seed 1").click()
    assert "pretrain.epochs: 200" in dialog.inner_text()
    assert opened.complaints == []


def test_the_keyboard_opens_and_closes_a_number_and_is_back_where_it_was(opened: Opened) -> None:
    opened.page.locator("#table-tiny-main button.why").nth(2).focus()
    opened.page.keyboard.press("Enter")
    assert opened.page.locator("dialog[open]").count() == 1
    opened.page.keyboard.press("Escape")

    assert opened.page.locator("dialog[open]").count() == 0
    focused = opened.page.evaluate("document.activeElement.className")
    assert focused == "why"


def test_on_paper_everything_is_open(opened: Opened) -> None:
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.page.locator("main details:not([open])").count() == 0
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")

    assert opened.page.locator("main details:not([open])").count() > 0
