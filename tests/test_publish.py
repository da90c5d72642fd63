"""What is copied for the repository: tables, records and spreads; no weights, no outcomes."""

from pathlib import Path

import pytest

from sslbench.config import fingerprint
from sslbench.errors import StoreError
from sslbench.publish import publish, publish_measured, quote
from sslbench.report.page.build import write_report
from sslbench.report.write import tables, write_tables
from sslbench.store import Manifest, PlanFile, Record, Row, Store


def test_tables_and_records_are_copied_and_nothing_large(tmp_path: Path) -> None:
    store = Store(tmp_path / "local")
    row = Row(label="moco", seed=0, run="moco-x", title="MoCo", evaluations={"knn": "knn-d-1"})
    columns = {"Steps": "pretrain.steps"}
    plan = PlanFile(
        suite="s", title="t", command="c", rows=(row,), tables={"main": {"columns": columns}}
    )
    store.write_plan(plan)
    store.write_manifest(Manifest(run="moco-x", hash="0", config={}, status="done"))
    record = Record(run="moco-x", evaluation="knn", dataset="d", identity="1", status="done")
    record = record.model_copy(update={"fingerprint_sha256": fingerprint({})})
    store.write_record("knn-d-1", record)
    for name in (
        "encoder.safetensors",
        "evaluations/knn-d-1.parquet",
        "evaluations/knn-d-1.spread.parquet",
    ):
        (store.run_folder("moco-x") / name).write_bytes(b"large")
    write_tables(store, tables(store, "s"))
    page = write_report(store, ["s"], lambda *_: ([], [])).path
    (tmp_path / "public" / "s").mkdir(parents=True)
    (tmp_path / "public" / "s" / "old.md").write_text("an older table")
    publish("s", tmp_path / "local", tmp_path / "public")
    found = {str(p.relative_to(tmp_path / "public")) for p in tmp_path.glob("public/**/*.*")}
    assert found == {
        *(f"s/main.{ending}" for ending in ("csv", "json", "md", "png", "tex")),
        "s/plan.json",
        "s/records/moco-x/manifest.json",
        "s/records/moco-x/knn-d-1.json",
        "s/records/moco-x/knn-d-1.spread.parquet",
        "s/report.html",
    }
    publish("s", tmp_path / "local", tmp_path / "public", name="s-moco")
    assert "| MoCo   |" in (tmp_path / "public" / "s-moco" / "main.md").read_text()
    assert (tmp_path / "public" / "s" / "report.html").read_bytes() == page.read_bytes()
    assert (tmp_path / "public" / "s" / "main.md").exists()


def test_a_page_of_another_plan_is_not_published(tmp_path: Path) -> None:
    store = Store(tmp_path / "local")
    row = Row(label="moco", seed=0, run="moco-x", title="MoCo", evaluations={"knn": "knn-d-1"})
    columns = {"Steps": "pretrain.steps"}
    tables = {"main": {"columns": columns}}
    store.write_plan(PlanFile(suite="s", title="t", command="c", rows=(row,), tables=tables))
    store.write_manifest(Manifest(run="moco-x", hash="0", config={}, status="done"))
    page = tmp_path / "local" / "reports" / "s" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("of an earlier call")
    with pytest.raises(StoreError, match=r"index\.html, table main.*`sslbench report s` writes it"):
        publish("s", tmp_path / "local", tmp_path / "public")
    assert not (tmp_path / "public").exists()


def test_a_suite_that_was_not_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="sslbench run --suite s"):
        publish("s", tmp_path, tmp_path)


def test_a_table_replaces_what_stood_between_its_marks_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "main.md").write_text("| new |\n")
    (tmp_path / "s" / "cost.md").write_text("| not asked for |\n")
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- s/main -->\n| old |\n<!-- end -->\nafter <!-- end -->\n")
    for _ in range(2):
        quote("s", page, tmp_path)
        assert page.read_text() == (
            "before\n<!-- s/main -->\n\n| new |\n\n<!-- end -->\nafter <!-- end -->\n"
        )


def test_what_was_timed_is_copied_and_what_was_not_is_named(tmp_path: Path) -> None:
    local, published = tmp_path / "local", tmp_path / "results"
    with pytest.raises(StoreError, match=r"speed\.json is not there: make speed"):
        publish_measured("speed", local, published)
    (local / "speed").mkdir(parents=True)
    (local / "speed" / "speed.json").write_text("{}")
    (local / "speed" / "speed.md").write_text("| a |")
    publish_measured("speed", local, published)
    assert (published / "speed" / "speed.md").read_text() == "| a |"
    publish_measured("speed", local, published, name="speed-of-another-machine")
    assert (published / "speed-of-another-machine" / "speed.md").read_text() == "| a |"
