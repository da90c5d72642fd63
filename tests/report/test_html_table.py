"""The same table in HTML: read by a parser, every text escaped, every number to be sorted by."""

from html.parser import HTMLParser
from typing import Any

from sslbench.report.html_table import html, identifier
from sslbench.report.write import tables, write_tables

NASTY = "<b>_a_ & 50% \"x\" 'y'</b><script>alert(1)</script>"
VOID = {"meta"}


class Elements(HTMLParser):
    """Every element with its attributes and its text; fails on tags that do not match."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[int] = []
        self.found: list[tuple[str, dict[str, str], list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {key: value or "" for key, value in attrs}, []))
        if tag not in VOID:
            self.open.append(len(self.found) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.found[self.open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for number in self.open:
            self.found[number][2].append(data)

    def of(self, tag: str) -> list[tuple[dict[str, str], str]]:
        return [(attrs, "".join(text)) for name, attrs, text in self.found if name == tag]


def read(text: str) -> Elements:
    elements = Elements()
    elements.feed(text)
    elements.close()
    assert not elements.open
    return elements


def compared(experiment: Any) -> Any:
    experiment.row("random", {"knn": 10.0}, title="Random")
    for seed in range(3):
        experiment.row("moco", {"knn": 40.05, "linear": 50.0}, title=NASTY, seed=seed)
        experiment.row("hcsc", {"knn": 30.0, "linear": 50.0}, title="HCSC", seed=seed)
    experiment.row("pcl", title="PCL", failed="loss is <nan>")
    experiment.plan(caption="a < b")
    return tables(experiment.store, "tiny")[0]


def test_headings_cells_and_notes_are_those_of_the_table(experiment: Any) -> None:
    table = compared(experiment)
    elements = read(html(table))

    assert [text for _, text in elements.of("caption")] == [table.full_title]
    columns = [text for attrs, text in elements.of("th") if attrs["scope"] == "col"]
    assert columns == table.all_headings
    rows = [attrs["data-label"] for attrs, _ in elements.of("tr") if "data-label" in attrs]
    assert rows == [line.label for line in table.lines]
    numbers = [(a, text) for a, text in elements.of("td") if "data-column" in a]
    cells = [cell for line in table.lines for cell in line.cells]
    assert len(numbers) == len(cells)
    for (attrs, text), cell in zip(numbers, cells, strict=True):
        assert text.startswith(cell.text)
        assert cell.spread in text
        assert cell.status in attrs["class"].split()
        assert ("bold" in attrs["class"].split()) == cell.bold
        assert ("tied" in attrs["class"].split()) == cell.tied
        found = attrs.get("data-value")
        assert found is None if cell.value is None else float(found or "") == cell.value
    assert [text for _, text in elements.of("li")] == list(table.footnotes)


def test_all_text_is_escaped(experiment: Any) -> None:
    table = compared(experiment)
    text = html(table)
    elements = read(text)

    assert "<script" not in text
    assert "<b>" not in text
    assert NASTY in [found for attrs, found in elements.of("th") if attrs["scope"] == "row"]
    assert any("loss is <nan>" in found for _, found in elements.of("li"))


def test_every_mark_leads_to_its_note(experiment: Any) -> None:
    elements = read(html(compared(experiment)))
    notes = {attrs["id"] for attrs, _ in elements.of("li")}

    links = [attrs["href"] for attrs, _ in elements.of("a")]

    assert links
    assert {link.removeprefix("#") for link in links} == notes


def test_the_baselines_and_every_group_have_a_body_of_their_own(experiment: Any) -> None:
    experiment.row("random", {"knn": 10.0})
    for label, family in (("moco", "queue"), ("pcl", "clusters"), ("byol", "queue")):
        experiment.row(label, {"knn": 40.0}, card={"family": family})
    experiment.plan(group="family")
    table = tables(experiment.store, "tiny")[0]

    elements = read(html(table))

    assert len(elements.of("tbody")) == 3
    groups = [text for attrs, text in elements.of("th") if attrs["scope"] == "rowgroup"]
    assert groups == ["queue", "clusters"]


def test_published_numbers_stand_apart_only_from_measured_ones(
    experiment: Any, quoted_row: Any, tmp_path: Any
) -> None:
    experiment.row("moco", {"knn": 40.0}, title="MoCo")
    experiment.plan(reported=True)
    folder = quoted_row(tmp_path)
    table = tables(experiment.store, "tiny", folder)[0]

    text = html(table)

    assert "<em>67.5</em>" in text
    assert 'data-verdict="not comparable with 67.5' in text
    assert 'class="number done reported"' in text


def test_the_page_of_a_table_is_written_and_needs_nothing_else(experiment: Any) -> None:
    table = compared(experiment)

    files = write_tables(experiment.store, [table])

    page = next(path for path in files if path.suffix == ".html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>\n")
    assert html(table) in page
    assert "http" not in page.partition("</head>")[0]
    assert page == table.to_html()
    assert [attrs["id"] for attrs, _ in read(page).of("table")] == [identifier(table)]


def test_a_heading_is_broken_at_blanks_and_never_at_a_hyphen(experiment: Any) -> None:
    experiment.row("moco", {"knn": 40.0})
    experiment.plan(columns={"kNN top-1 <b>": "knn.top1"})
    [table] = tables(experiment.store, "tiny")
    words = [(a, t) for a, t in read(html(table)).of("span") if a.get("class") == "whole"]
    assert words == [({"class": "whole"}, "top-1")]
    assert "&lt;b&gt;" in html(table)
