"""Every cell again from the outcomes of single test images, and what is otherwise is named."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from sslbench.api import evaluations
from sslbench.config import fingerprint
from sslbench.disk import file_digest, write_atomic
from sslbench.errors import StoreError
from sslbench.evaluate import scored
from sslbench.metrics.accuracy import prediction_table
from sslbench.report.page.build import write_report
from sslbench.report.write import tables, write_tables
from sslbench.spreads import ENDING, write_spreads
from sslbench.store import Manifest, PlanFile, Record, Row, Store
from sslbench.verify import Verified, verify

NAME = "knn-shapes-0123456789abcdef"
SETTINGS = {"neighbours": [10], "headline": 10}


def run_name(label: str, seed: int) -> str:
    return f"{label}-resnet18-s{seed}-0123456789abcdef"


def measured(store: Store, label: str, seed: int, skill: float) -> Row:
    """A run whose record is made of outcomes as the engine makes it."""
    run = run_name(label, seed)
    generator = np.random.Generator(np.random.PCG64(seed))
    truth = generator.integers(0, 10, 300)
    ranked = np.stack([generator.permutation(10)[:5] for _ in truth])
    right = generator.random(300) < skill
    ranked[right, 0] = truth[right]
    table = prediction_table(truth, {"ranked": ranked, "k10": ranked[:, :1]})
    path = store.evaluation_file(run, NAME, "parquet")
    write_atomic(path, lambda temporary: pq.write_table(table, temporary))
    plugin = evaluations.get("knn")
    evaluation = plugin(plugin.Config(neighbours=(10,), headline=10))
    scores, spreads = scored("knn", evaluation, table)
    facts = {"evaluation": "knn", "settings": SETTINGS, "selection": "none"}
    record = Record(
        run=run,
        evaluation="knn",
        dataset="shapes",
        identity="0123456789abcdef",
        status="done",
        scores=scores,
        headline="top1",
        fingerprint=facts,
        fingerprint_sha256=fingerprint(facts),
        encoder_digest=run,
        outcomes_sha256=file_digest(path),
        spread_sha256=write_spreads(store.evaluation_file(run, NAME, ENDING), spreads),
    )
    store.write_record(NAME, record)
    config = {"method": label, "encoder": {"name": "resnet18"}}
    store.write_manifest(
        Manifest(run=run, hash=run, config=config, status="done", encoder_digest=run)
    )
    return Row(label=label, seed=seed, run=run, title=label.upper(), evaluations={"knn": NAME})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two methods of two seeds, and a table of one score and one cost."""
    made = Store(tmp_path)
    skills = {"moco": 0.4, "hcsc": 0.5}
    rows = tuple(measured(made, m, seed, skill) for m, skill in skills.items() for seed in (0, 1))
    columns = {"kNN top-1": "knn.top1", "Steps": "pretrain.steps"}
    made.write_plan(
        PlanFile(
            suite="tiny",
            title="Tiny",
            command="sslbench run --suite tiny",
            rows=rows,
            tables={"main": {"columns": columns}},
        )
    )
    return made


def record_file(store: Store, label: str, seed: int) -> Path:
    return store.evaluation_file(run_name(label, seed), NAME)


def change_digit(path: Path) -> tuple[float, float]:
    """The first score's value before and after one of its digits was changed by hand."""
    text = path.read_text()
    start = text.index('"value": ') + len('"value": ')
    before = float(text[start : text.index(",", start)])
    digit = "3" if text[start] != "3" else "7"
    path.write_text(text[:start] + digit + text[start + 1 :])
    return before, float(digit + text[start + 1 : text.index(",", start)])


def told(found: Verified) -> str:
    return "\n".join(map(str, (*found.faults, *found.mismatches)))


def test_what_nobody_touched_holds(store: Store) -> None:
    found = verify(store, "tiny")

    assert told(found) == ""
    assert found.holds
    assert (found.cells, found.records) == (4, 4)  # two rows of two columns; four runs


def test_one_changed_digit_names_the_cell(store: Store) -> None:
    before, after = change_digit(record_file(store, "hcsc", 1))

    found = verify(store, "tiny")

    [mismatch] = found.mismatches
    assert str(mismatch) == (
        "suite tiny, table main, row 'HCSC', column 'kNN top-1 (%)', seed 1: "
        f"the record says {after!r}, its outcomes give {before!r}"
    )
    assert "was edited" in found.faults[0]


def test_a_digit_that_was_changed_and_sealed_again_is_found_too(store: Store) -> None:
    path = record_file(store, "moco", 0)
    change_digit(path)
    tree = json.loads(path.read_text())
    del tree["sha256"]
    store.write_record(NAME, Record.model_validate(tree))

    found = verify(store, "tiny")

    assert [(one.row, one.seed) for one in found.mismatches] == [("MOCO", "0")]


def _resealed(store: Store, label: str, seed: int, change: Callable[[Any], None]) -> None:
    path = record_file(store, label, seed)
    tree = json.loads(path.read_text())
    del tree["sha256"]
    change(tree)
    store.write_record(NAME, Record.model_validate(tree))


@pytest.mark.parametrize("change", [{"status": "failed"}, {"encoder_digest": "x"}, {"scores": {}}])
def test_a_record_that_was_edited_to_be_no_number_is_named(
    store: Store, change: dict[str, Any]
) -> None:
    folder, _ = _written(store)
    path = record_file(store, "hcsc", 1)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    (folder / "main.md").write_text("another table")

    found = verify(store, "tiny")

    assert not found.holds
    assert any(f"{NAME}.json" in fault and "was edited" in fault for fault in found.faults)


def test_a_record_copied_from_another_run_is_named(store: Store) -> None:
    target = record_file(store, "hcsc", 0)
    target.write_bytes(record_file(store, "moco", 0).read_bytes())

    assert "of run moco-resnet18-s0-0123456789abcdef, so it was copied" in told(
        verify(store, "tiny")
    )


def test_whether_more_is_better_is_what_the_plugin_says(store: Store) -> None:
    def turn(tree: Any) -> None:
        for score in tree["scores"].values():
            score["higher_is_better"] = False

    for label in ("moco", "hcsc"):
        for seed in (0, 1):
            _resealed(store, label, seed, turn)

    [fault] = verify(store, "tiny").faults

    assert "column 'kNN top-1 (%)': the records say %, of which less is better" in fault


def test_changed_outcomes_are_not_the_records(store: Store) -> None:
    path = store.evaluation_file(run_name("moco", 0), NAME, "parquet")
    pq.write_table(pq.read_table(path).slice(1), path)

    found = verify(store, "tiny")

    [mismatch] = found.mismatches
    assert (mismatch.row, mismatch.seed) == ("MOCO", "0")
    assert "is not the file that its record names" in mismatch.recomputed


def test_without_outcomes_nothing_can_be_verified(store: Store) -> None:
    path = store.evaluation_file(run_name("hcsc", 0), NAME, "parquet")
    path.unlink()

    [mismatch] = verify(store, "tiny").mismatches

    assert mismatch.recomputed == (
        f"nothing: there is no runs/{run_name('hcsc', 0)}/evaluations/{NAME}.parquet"
    )


def test_other_spreads_than_the_outcomes_give_are_found_in_the_interval(store: Store) -> None:
    path = record_file(store, "moco", 1)
    record = store.record(run_name("moco", 1), NAME)
    assert record is not None
    plugin = evaluations.get("knn")
    evaluation = plugin(plugin.Config(neighbours=(10,), headline=10))
    table = pq.read_table(path.with_suffix(".parquet"))
    _, spreads = scored("knn", evaluation, table)
    top1 = spreads["top1"]
    unlike = {**spreads, "top1": type(top1)(top1.estimate, top1.values[::-1].copy(), top1.kind)}
    digest = write_spreads(store.evaluation_file(record.run, NAME, ENDING), unlike)
    store.write_record(NAME, record.model_copy(update={"spread_sha256": digest}))

    found = verify(store, "tiny")

    assert {(one.row, one.seed) for one in found.mismatches} == {("MOCO", "all")}
    assert "bound" in found.mismatches[0].given


def test_an_edited_manifest_is_named(store: Store) -> None:
    path = store.run_folder(run_name("moco", 0)) / "manifest.json"
    path.write_text(path.read_text().replace('"steps": 0', '"steps": 9'))

    assert "moco-resnet18-s0-0123456789abcdef/manifest.json: its digest" in told(
        verify(store, "tiny")
    )


def _written(store: Store) -> tuple[Path, Path]:
    """Tables of every format, and a page."""
    write_tables(store, tables(store, "tiny"))
    page = write_report(store, ["tiny"], lambda *_: ([], [])).path
    assert verify(store, "tiny").holds
    return store.table_folder("tiny"), page


@pytest.mark.parametrize("ending", ["md", "csv", "tex", "html", "json"])
def test_a_digit_changed_in_a_written_table_is_named_with_its_line(
    store: Store, ending: str
) -> None:
    folder, _ = _written(store)
    path = folder / f"main.{ending}"
    text = path.read_text()
    value = re.search(r"\d\d\.\d", text)
    assert value is not None
    other = value[0][:-1] + str((int(value[0][-1]) + 1) % 10)
    path.write_text(text[: value.start()] + other + text[value.end() :])

    found = verify(store, "tiny")

    [fault] = found.faults
    assert fault.startswith(f"tables/tiny/main.{ending}, line ")
    assert f"{text[: value.start()].count(chr(10)) + 1} says " in fault
    assert "`sslbench table tiny` writes it anew" in fault


def test_a_digit_changed_in_the_page_is_named(store: Store) -> None:
    _, page = _written(store)
    text = page.read_text()
    place = text.index('<td class="', text.index('<table id="table-tiny-main">'))
    digit = re.compile(r">\d").search(text, place)
    assert digit is not None
    changed = str((int(text[digit.end() - 1]) + 1) % 10)
    page.write_text(text[: digit.end() - 1] + changed + text[digit.end() :])

    [fault] = verify(store, "tiny").faults

    assert fault.startswith("reports/tiny/index.html, table main, line ")
    assert fault.endswith("`sslbench report tiny` writes it anew")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r'<p class="remark">(.)', "table main, line "),
        (r'<p class="provenance">(.)', "table main, line "),
        (r'"seeds":\{"0":(\d)', "it does not say where its numbers come from"),
        (r'"selection":"(n)one"', "it does not say how numbers were measured"),
    ],
)
def test_what_a_page_says_beside_its_tables_is_compared_too(
    store: Store, pattern: str, said: str
) -> None:
    _, page = _written(store)
    text = page.read_text()
    place = re.search(pattern, text)
    assert place is not None
    other = "7" if place[1] != "7" else "8"
    page.write_text(text[: place.start(1)] + other + text[place.end(1) :])

    [fault] = verify(store, "tiny").faults

    assert said in fault
    assert fault.endswith("`sslbench report tiny` writes it anew")


def test_a_file_that_is_no_text_any_more_is_a_difference(store: Store) -> None:
    folder, page = _written(store)
    for path in (folder / "main.csv", page):
        path.write_bytes(path.read_bytes().replace(b"kNN", b"k\xff\xfe"))

    faults = verify(store, "tiny").faults

    assert len(faults) == 2


def test_a_page_without_the_table_or_older_than_a_run_is_out_of_date(store: Store) -> None:
    _, page = _written(store)
    plan = store.plan("tiny")
    assert plan is not None
    row = measured(store, "simclr", 0, 0.6)
    store.write_plan(plan.model_copy(update={"rows": (*plan.rows, row)}))

    faults = verify(store, "tiny").faults

    assert len(faults) == 6  # five formats and the page
    page.write_text("<p>nothing</p>")
    assert any("line 1 says 'nothing'" in fault for fault in verify(store, "tiny").faults)


def test_a_suite_that_was_never_run_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has not been run"):
        verify(Store(tmp_path), "tiny")


def test_the_command_fails_and_names_the_cell(
    store: Store, here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    change_digit(record_file(store, "hcsc", 0))

    failed = here("report", "tiny", "--verify", "--results", str(store.root))

    assert failed.returncode == 1
    assert "4 cells, 4 records computed again: NOT as given" in failed.stdout
    assert "row 'HCSC', column 'kNN top-1 (%)', seed 0" in failed.stderr
    assert "Traceback" not in failed.stderr
