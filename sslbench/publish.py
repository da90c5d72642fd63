"""A suite's tables and records for the repository: ``python -m sslbench.publish quick``.

``quick=quick-all`` publishes under another name, where a suite was run with several selections of
methods or on several machines; ``speed``, ``soak`` and ``scale`` stand for what those make targets
wrote. Used by ``make results`` and its like; also puts the tables into README.md and the pages of
``docs/``, between their marks. ``run`` never reads what is written here. What intervals and tests
are computed from goes along, for it is small, and so does the page of ``sslbench report`` if there
is one; all outcomes, features and weights stay behind: they are large, and can be made again by the
command under each table.
"""

import shutil
import sys
from pathlib import Path

from sslbench.errors import SSLBenchError, StoreError
from sslbench.report.page.build import report_page
from sslbench.report.written import differences
from sslbench.spreads import ENDING
from sslbench.store import PICTURES, Store
from sslbench.study import command_of

MEASURED = ("speed", "soak", "scale")  # no suites, but published beside them
LOCAL, PUBLISHED = Path("results/local"), Path("results")
TABLE_ENDINGS = (".md", ".csv", ".tex", ".png", ".json")


def publish(
    suite: str, local: Path = LOCAL, published: Path = PUBLISHED, name: str = ""
) -> list[Path]:
    """``results/NAME``: tables, plan, and a folder of records per run. NAME: the suite, if empty.

    Raises StoreError if the suite has not been run, a run of its plan is not there, or a table or
    page does not say what the records of the plan give.
    """
    store = Store(local)
    plan = store.plan(suite)
    if plan is None:
        raise StoreError(f"{local} holds no plan of suite {suite!r}: {command_of(suite)}")
    stale = differences(store, suite, published / "reported")
    if stale:
        raise StoreError(f"{local}: {stale[0]}")
    folder = published / (name or suite)
    if folder.exists():
        shutil.rmtree(folder)
    copied = []
    for path in sorted(store.table_folder(suite).iterdir()):
        if path.suffix in TABLE_ENDINGS:
            copied.append(_copy(path, folder / path.name))
    for path in sorted((store.table_folder(suite) / PICTURES).glob("*.png")):  # of a study
        copied.append(_copy(path, folder / PICTURES / path.name))
    page = report_page(store, suite)
    if page.exists():
        copied.append(_copy(page, folder / "report.html"))
    for row in plan.rows:
        manifest = store.run_folder(row.run) / "manifest.json"
        if not manifest.exists():
            raise StoreError(f"{manifest} is not there: run the suite again")
        copied.append(_copy(manifest, folder / "records" / row.run / "manifest.json"))
        for record in row.evaluations.values():
            for ending in ("json", ENDING):
                file = store.evaluation_file(row.run, record, ending)
                if file.exists():
                    copied.append(_copy(file, folder / "records" / row.run / file.name))
    return copied


def publish_measured(
    target: str, local: Path = LOCAL, published: Path = PUBLISHED, name: str = ""
) -> list[Path]:
    """``results/NAME``: the records of what is no suite, and its tables. NAME: the make target, if
    empty. Raises StoreError.
    """
    record, tables = local / target / f"{target}.json", sorted((local / target).glob("*.md"))
    if not record.exists() or not tables:
        missing = record.with_suffix(".md") if record.exists() else record
        raise StoreError(f"{missing} is not there: make {target}")
    files = [*sorted((local / target).glob("*.json")), *tables]
    return [_copy(path, published / (name or target) / path.name) for path in files]


def quote(name: str, page: Path, published: Path = PUBLISHED) -> None:
    """Puts the Markdown tables of ``results/NAME`` between their marks in a page.

    A table called ``main`` of ``quick`` goes between ``<!-- quick/main -->`` and ``<!-- end -->``.
    """
    text = page.read_text(encoding="utf-8")
    for table in sorted((published / name).glob("*.md")):
        mark = f"<!-- {name}/{table.stem} -->\n"
        head, found, rest = text.partition(mark)
        if found:
            _, end, tail = rest.partition("<!-- end -->")
            text = f"{head}{mark}\n{table.read_text(encoding='utf-8').strip()}\n\n{end}{tail}"
    page.write_text(text, encoding="utf-8")


def _copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return target


if __name__ == "__main__":
    try:
        for argument in sys.argv[1:]:
            suite, _, name = argument.partition("=")
            name = name or suite
            made = publish_measured if suite in MEASURED else publish
            files = made(suite, name=name)
            print(f"{name}: {len(files)} files in {PUBLISHED / name}")
            for page in (Path("README.md"), *sorted(Path("docs").glob("*.md"))):
                quote(name, page)
    except SSLBenchError as error:
        sys.exit(f"sslbench: {error}")
