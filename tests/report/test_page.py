"""What the page of a report says: of sound records, of others, and of none."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sslbench.errors import StoreError
from sslbench.report.page.build import write_report
from sslbench.report.page.why import embedded, redo
from sslbench.report.picture import Picture
from sslbench.store import Store


def no_pictures(*_: Any) -> tuple[list[Picture], list[str]]:
    return [], []


def written(experiment: Any, *suites: str) -> str:
    """The page of everything so far."""
    if experiment.store.plan("tiny") is None:
        experiment.plan()
    made = write_report(experiment.store, suites or ("tiny",), no_pictures)
    return made.path.read_text(encoding="utf-8")


class Reader(HTMLParser):
    """The words outside scripts and styles, and every address."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self._raw = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._raw = tag in ("script", "style")
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "action")]

    def handle_endtag(self, tag: str) -> None:
        self._raw = False

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self.words.append(data)


def words(text: str) -> str:
    return " ".join(" ".join(Reader(text).words).split())


def facts(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def edit(experiment: Any, row: Any, old: str, new: str) -> None:
    path = experiment.store.evaluation_file(row.run, row.evaluations["knn"])
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def two(experiment: Any) -> None:
    experiment.row("moco", {"knn": 40.0, "linear": 50.0})
    experiment.row("hcsc", {"knn": 45.0, "linear": 55.0})


def test_the_same_records_give_the_same_bytes(experiment: Any) -> None:
    two(experiment)

    assert written(experiment) == written(experiment)


def test_the_page_needs_nothing_but_itself_and_names_no_place_of_this_machine(
    experiment: Any,
) -> None:
    two(experiment)

    text = written(experiment)

    assert all(address[:1] == "#" or address[:5] == "data:" for address in Reader(text).addresses)
    assert "default-src 'none'" in text
    assert str(experiment.store.root) not in text


def test_a_cell_says_where_it_comes_from(experiment: Any) -> None:
    for seed in (0, 1):
        experiment.row("moco", {"knn": 40.0 + seed}, seed=seed)
        experiment.row("hcsc", {"knn": 45.0}, seed=seed)

    found = facts(written(experiment))

    table = found["tables"]["table-tiny-main"]
    assert table["columns"][0]["what"] == "knn.top1"
    line = table["lines"][0]
    assert line["runs"] == {str(r.seed): r.run for r in experiment.rows if r.label == "moco"}
    assert line["redo"] == "sslbench run --suite tiny --methods moco --seeds 0,1"
    cell = line["cells"][0]
    assert (cell["value"], cell["seeds"], cell["n"]) == (40.5, {"0": 40.0, "1": 41.0}, 2000)
    assert cell["interval"] == "Student's t over 2 seeds crossed with 2000 test items"
    assert cell["records"]["1"] == [experiment.rows[0].evaluations["knn"]]
    assert found["conditions"][cell["fingerprints"][0]]["settings.k"] == "20"


def test_text_of_strangers_is_shown_and_never_run(experiment: Any) -> None:
    bad = '</script><script>alert("1")</script><img src=x onerror=alert(1)>'
    experiment.row("moco", {"knn": 40.0}, title=bad, notes=(bad,))
    experiment.row("hcsc", failed=bad)
    experiment.row(bad.replace("/", ""), {"knn": 30.0})

    text = written(experiment)

    reader = Reader(text)
    assert reader.tags.count("script") == 2
    assert "img" not in reader.tags or all(
        a[:5] == "data:" for a in reader.addresses if a[0] != "#"
    )
    assert bad in " ".join(reader.words)
    assert facts(text)["tables"]["table-tiny-main"]["lines"][0]["title"] == bad


def test_json_in_a_page_cannot_end_its_element() -> None:
    tree = {"a": "</script><!-- & \u2028"}

    text = embedded(tree)

    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == tree


def test_an_edited_record_is_named_left_out_and_shown_as_such(experiment: Any) -> None:
    two(experiment)
    edit(experiment, experiment.rows[0], '"value": 40.0', '"value": 48.0')

    text = written(experiment)

    name = f"runs/{experiment.rows[0].run}/evaluations/{experiment.rows[0].evaluations['knn']}.json"
    assert f"{name}: its digest does not fit what it says" in words(text)
    assert "48.0" not in text
    cells = [line["cells"][0] for line in facts(text)["tables"]["table-tiny-main"]["lines"]]
    assert [cell["status"] for cell in cells] == ["excluded", "done"]
    assert [cell["text"][:4] for cell in cells] == ["excl", "45.0"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"schema_version": 1', '"schema_version": 7', "schema_version is 7"),
        ('"status"', "}", "damaged or unreadable"),
    ],
)
def test_a_record_that_cannot_be_read_is_left_out_and_the_rest_stands(
    experiment: Any, old: str, new: str, reason: str
) -> None:
    two(experiment)
    edit(experiment, experiment.rows[0], old, new)

    text = written(experiment)

    assert reason in words(text)
    assert "1 record left out" in words(text)
    assert "45.0" in words(text)


def test_an_edit_that_was_sealed_again_shows_in_the_test_items(
    experiment: Any, sealed: Any
) -> None:
    two(experiment)
    row = experiment.rows[0]
    path = experiment.store.evaluation_file(row.run, row.evaluations["knn"])
    tree = json.loads(path.read_text())
    tree["scores"]["top1"]["value"] = 41.0
    path.write_text(sealed(tree))

    assert "top1 is 41.0, but the test items of" in words(written(experiment))


def test_an_edited_manifest_takes_its_costs_along(experiment: Any) -> None:
    two(experiment)
    path = experiment.store.run_folder(experiment.rows[0].run) / "manifest.json"
    path.write_text(path.read_text().replace('"seconds": 0.0', '"seconds": 9.0'))
    experiment.plan(columns={"kNN": "knn.top1", "Time": "pretrain.seconds"})

    lines = facts(written(experiment))["tables"]["table-tiny-main"]["lines"]

    assert [cell["status"] for cell in lines[0]["cells"]] == ["done", "excluded"]


def test_numbers_not_measured_alike_are_a_table_that_is_not_there(experiment: Any) -> None:
    experiment.row("moco", {"knn": 40.0})
    experiment.row("hcsc", {"knn": 45.0}, settings={"k": 10})

    text = words(written(experiment))

    assert "There is no such table" in text
    assert "settings.k = 10 (else 20)" in text


def test_without_a_record_the_page_says_what_fills_it(experiment: Any) -> None:
    experiment.row("moco", trained=False)

    text = words(written(experiment))

    assert "There are no records yet" in text
    assert "sslbench run --suite tiny" in text
    assert "has not been run" in text


def test_a_suite_that_was_never_run_has_a_page_that_says_so(tmp_path: Path) -> None:
    made = write_report(Store(tmp_path), ["quick"], no_pictures)

    assert "sslbench run --suite quick" in words(made.path.read_text())
    assert made.notices


def test_a_name_that_is_no_suites_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="suite 'quik' has not been run"):
        write_report(Store(tmp_path), ["quik"], no_pictures)


def test_one_method_with_one_seed_makes_a_page(experiment: Any) -> None:
    experiment.row("moco", {"knn": 40.0})

    assert "40.0" in words(written(experiment))


def test_several_suites_share_a_page(experiment: Any) -> None:
    two(experiment)
    experiment.store.write_plan(experiment.plan().model_copy(update={"suite": "other"}))

    text = written(experiment, "tiny", "other")

    assert {"table-tiny-main", "table-other-main"} == set(facts(text)["tables"])
    assert (experiment.store.root / "reports" / "tiny+other" / "index.html").is_file()


def test_settings_held_equal_stand_apart_from_those_that_differ(experiment: Any) -> None:
    two(experiment)
    row = experiment.rows[1]
    manifest = experiment.store.manifest(row.run)
    config = {"encoder": {"name": "resnet18"}, "pretrain": {"epochs": 100}}
    experiment.store.write_manifest(manifest.model_copy(update={"config": config}))

    text = words(written(experiment))

    assert "Settings held equal for all methods (1) encoder.name resnet18" in text
    assert "pretrain.epochs 200 (moco) 100 (hcsc)" in text


def test_failures_stand_with_their_reasons(experiment: Any) -> None:
    two(experiment)
    experiment.row("pcl", failed="loss is nan")

    text = words(written(experiment))

    reason = "pre-training failed: Diverged at step 7: loss is nan"
    assert f"pcl failed pre-training, knn, linear 0 {reason}" in text


def test_redo_names_one_row_and_leaves_other_commands_alone() -> None:
    command = "sslbench run --suite quick --methods 'hcsc@*' --seeds 0,1 --set pretrain.epochs=2"

    assert redo(command, "hcsc@one", [1]) == (
        "sslbench run --suite quick --set pretrain.epochs=2 --methods hcsc@one --seeds 1"
    )
    assert redo("sslbench ablate pair-selection", "hcsc", [0]) == "sslbench ablate pair-selection"
    file = "sslbench evaluate --weights f.pth --label 'a b' --suite quick"
    both = f"sslbench run --suite quick && {file}"
    assert redo(both, "a b", [0]) == file
    assert redo(both, "moco", [0]) == "sslbench run --suite quick --methods moco --seeds 0"
