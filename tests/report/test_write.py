"""Files of tables: always the same bytes, never half a file, no torch."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sslbench.errors import ConfigError, StoreError
from sslbench.report.write import tables, write_tables
from sslbench.store import Store


def fill(experiment: Any) -> None:
    for seed in (0, 1):
        experiment.row("moco", {"knn": 40.0 + seed, "linear": 50.0}, seed=seed)
        experiment.row("hcsc", {"knn": 45.0 + seed}, seed=seed)
    experiment.row("random", {"knn": (10.0, 9.0, 11.0)})
    experiment.plan()


def contents(paths: list[Path]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths}


def test_the_same_records_give_the_same_bytes(experiment: Any) -> None:
    fill(experiment)
    first = contents(write_tables(experiment.store, tables(experiment.store, "tiny")))
    for name in first:
        (experiment.store.table_folder("tiny") / name).unlink()

    again = contents(write_tables(experiment.store, tables(experiment.store, "tiny")))

    assert set(first) == {f"main.{e}" for e in ("md", "csv", "tex", "html", "json", "png", "svg")}
    assert again == first


def test_a_figure_is_drawn_anew_only_when_the_numbers_change(experiment: Any) -> None:
    fill(experiment)
    png = experiment.store.table_folder("tiny") / "main.png"
    write_tables(experiment.store, tables(experiment.store, "tiny"))
    drawn = png.read_bytes()
    png.write_bytes(b"mine")

    write_tables(experiment.store, tables(experiment.store, "tiny"))
    assert png.read_bytes() == b"mine"

    experiment.record(experiment.rows[1], "linear", 60.0)
    write_tables(experiment.store, tables(experiment.store, "tiny"))
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert png.read_bytes() != drawn


def test_nothing_but_the_tables_is_left_behind(experiment: Any) -> None:
    fill(experiment)

    paths = write_tables(experiment.store, tables(experiment.store, "tiny"))

    left = {path.name for path in experiment.store.table_folder("tiny").iterdir()}
    assert left == {path.name for path in paths} | {"plan.json"}


def test_the_json_tells_where_each_number_came_from(experiment: Any) -> None:
    fill(experiment)
    write_tables(experiment.store, tables(experiment.store, "tiny"))

    path = experiment.store.table_folder("tiny") / "main.json"
    tree = json.loads(path.read_text(encoding="utf-8"))

    moco = next(line for line in tree["lines"] if line["label"] == "moco")
    assert moco["runs"] == [row.run for row in experiment.rows if row.label == "moco"]
    assert moco["cells"][0]["seeds"] == {"0": 40.0, "1": 41.0}
    assert [len(sha) for sha in moco["cells"][0]["fingerprints"]] == [64]
    assert tree["provenance"]["commits"] == ["0123456789ab"]


def test_columns_and_tables_stand_in_the_suites_order(experiment: Any) -> None:
    experiment.row("moco", {"knn": 40.0, "linear": 50.0})
    plan = experiment.plan()
    columns = {"Z": "linear.top1", "A": "knn.top1"}
    two = {"zoo": {"columns": columns}, "ark": {"columns": columns}}
    experiment.store.write_plan(plan.model_copy(update={"tables": two}))

    paths = write_tables(experiment.store, tables(experiment.store, "tiny"))

    assert [path.name for path in paths if path.suffix == ".md"] == ["zoo.md", "ark.md"]
    heading = paths[0].read_text(encoding="utf-8").splitlines()[2]
    assert heading.split() == ["|", "Method", "|", "Z", "(%)", "|", "A", "(%)", "|"]


def test_a_suite_that_was_never_run_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="`sslbench run --suite quick` makes it"):
        tables(Store(tmp_path), "quick")


def test_a_wrong_table_names_itself(experiment: Any) -> None:
    experiment.row("moco")
    experiment.plan(colums={})

    with pytest.raises(ConfigError, match=r"table 'main' of suite 'tiny'.*colums"):
        write_tables(experiment.store, tables(experiment.store, "tiny"))


def test_tables_need_no_torch_and_matplotlib_only_to_draw(experiment: Any) -> None:
    fill(experiment)
    write_tables(experiment.store, tables(experiment.store, "tiny"))
    code = (
        "import sys; from pathlib import Path\n"
        "from sslbench.store import Store; from sslbench.report.write import tables, write_tables\n"
        f"store = Store(Path({str(experiment.store.root)!r}))\n"
        "write_tables(store, tables(store, 'tiny'))\n"
        "print([m for m in ('torch', 'matplotlib', 'scipy.stats') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
