"""Pages of what is no suite: a study whose factors cross, and published numbers alone."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from sslbench.report.page.build import write_report
from sslbench.store import Store
from sslbench.study import FactorFacts, LevelFacts, PartFacts, Place, StudyFacts

REPORTED = Path(__file__).resolve().parents[2] / "results" / "reported"


def page(store: Store, name: str) -> str:
    return write_report(store, [name], lambda *_: ([], []), REPORTED).path.read_text()


def facts(text: str) -> Any:
    found = re.search(r'id="facts">(.*?)</script>', text)
    assert found is not None
    return json.loads(found[1])


def test_a_cell_of_two_crossed_factors_names_its_own_runs(experiment: Any) -> None:
    labels = (("moco", "moco@a"), ("moco@b", "moco@c"))
    for label in (label for row in labels for label in row):
        experiment.row(label, {"knn": 40.0})
    levels = (LevelFacts(title="one", label="moco"), LevelFacts(title="two"))
    part = PartFacts(
        name="grid",
        design="crossed",
        base="moco",
        places=tuple(Place(label=row.label, title=row.label) for row in experiment.rows),
        factors=(FactorFacts(title="x", levels=levels), FactorFacts(title="y", levels=levels)),
        cells=labels,
        interactions=("main",),
    )
    plan = experiment.plan(columns={"kNN": "knn.top1"})
    experiment.store.write_plan(plan.model_copy(update={"study": StudyFacts(parts=(part,))}))

    text = page(experiment.store, "tiny")

    lines = facts(text)["tables"]["table-tiny-main"]["lines"]
    runs = [[cell["runs"]["0"] for cell in line["cells"]] for line in lines]
    known = {row.label: row.run for row in experiment.rows}
    assert runs == [[known[label] for label in row] for row in labels]


def test_published_numbers_alone_are_a_page_of_tables_that_name_their_sources(
    tmp_path: Path,
) -> None:
    text = page(Store(tmp_path), "reported")

    tables = facts(text)["tables"]
    assert tables
    cells = [c for t in tables.values() for line in t["lines"] for c in line["cells"] if c]
    numbers = [cell for cell in cells if "value" in cell]
    assert numbers
    assert all(cell["source"] for cell in numbers)
    assert "reported-runs" not in text


def test_a_page_needs_neither_torch_nor_matplotlib_for_what_it_says(experiment: Any) -> None:
    experiment.row("moco", {"knn": 40.0})
    experiment.plan()
    code = (
        "import sys; from pathlib import Path; from sslbench.store import Store\n"
        "from sslbench.report.page.build import write_report\n"
        f"store = Store(Path({str(experiment.store.root)!r}))\n"
        "write_report(store, ['tiny'], lambda *_: ([], []))\n"
        "print([m for m in ('torch', 'matplotlib', 'scipy.stats') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
