"""LaTeX compiles what is written: special characters, groups, all tables of published numbers."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sslbench.report.grid import Table
from sslbench.report.quoted_tables import quoted_tables
from sslbench.report.write import tables

CURATED = Path(__file__).parents[2] / "results" / "reported"
NASTY = "[H] <b>_a_ & 50% of |x| $y$ #2 ~q~ `c` \\ ^ {k} \N{MULTIPLICATION SIGN}"


def compiled(folder: Path, built: list[Table]) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex: apt-get install texlive-latex-recommended")
    body = "\n\\clearpage\n".join(table.to_latex() for table in built)
    text = (
        "\\documentclass{article}\n\\usepackage{booktabs,longtable}\n"
        f"\\begin{{document}}\n{body}\n\\end{{document}}\n"
    )
    (folder / "all.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-2000:]
    assert (folder / "all.pdf").stat().st_size > 0


def test_a_table_of_special_characters_compiles(
    experiment: Any, quoted_row: Any, tmp_path: Path
) -> None:
    experiment.row("random", {"knn": 10.0}, title="Random")
    for seed in range(3):
        experiment.row("moco", {"knn": 40.0}, seed=seed, title=NASTY, notes=(NASTY,))
        experiment.row("hcsc", {"knn": 30.0}, seed=seed, card={"family": NASTY})
    experiment.row("pcl", failed=NASTY)
    experiment.plan(reported=True, group="family", against="moco", caption=NASTY)

    compiled(tmp_path, tables(experiment.store, "tiny", quoted_row(tmp_path, {"note": NASTY})))


def test_every_row_has_as_many_cells_as_the_table_has_columns() -> None:
    for table in quoted_tables(CURATED):
        text = table.to_latex()
        assert text.isascii()
        plain = re.sub(r"\\[{}&$]", "", text)
        assert plain.count("{") == plain.count("}")
        rows = [line for line in plain.splitlines() if line.endswith(r" \\")]
        groups = [line for line in rows if line.startswith(r"\multicolumn")]
        assert len(groups) == len({line.group for line in table.lines})
        heads = rows[:1]
        if "longtable" in text:  # once more, over every page but the first
            heads = rows[:2]
            assert heads[0] == heads[1]
        assert len(rows) == len(heads) + len(groups) + len(table.lines)
        counts = {line.count("&") for line in rows if line not in groups}
        assert counts == {len(table.all_headings) - 1}


def test_the_tables_of_published_numbers_compile(tmp_path: Path) -> None:
    compiled(tmp_path, quoted_tables(CURATED))


def test_a_table_longer_than_a_page_goes_on_with_its_headings_on_the_next(tmp_path: Path) -> None:
    longest = max(quoted_tables(CURATED), key=lambda table: len(table.lines))
    compiled(tmp_path, [longest])
    log = (tmp_path / "all.log").read_text(encoding="utf-8", errors="replace")
    assert "Float too large" not in log
    pages = re.search(r"Output written on all.pdf \((\d+) pages", log)
    assert pages is not None
    assert int(pages[1]) > 1
