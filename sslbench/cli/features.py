"""``sslbench features``: the frozen features of a results folder, and how to let go of some.

They can all be computed anew, so removing any is safe; it costs a pass over the images.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sslbench.cli.options import RESULTS, ResultsOption
from sslbench.errors import StoreError

if TYPE_CHECKING:
    from rich.console import Console

    from sslbench.feature_files import FeatureFile, FeatureHeader
    from sslbench.store import Store

HEADINGS = ("data set", "split", "encoder", "layer", "rows x dim", "size", "age", "used")
AGES = ((86_400, "d"), (3_600, "h"), (60, "min"))
Runs = Mapping[str, Sequence[str]]  # by the digest of their encoder


def features(
    results: ResultsOption = RESULTS,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Remove features of encoders that no run here has."),
    ] = False,
    keep: Annotated[
        float | None,
        typer.Option("--keep", min=0.0, help="GiB: remove those used longest ago beyond so many."),
    ] = None,
) -> None:
    """List the frozen features on disk, or remove some: they can be computed anew."""
    from rich.console import Console

    from sslbench.disk import GIB
    from sslbench.feature_files import beyond, feature_files, of_no_use
    from sslbench.store import Store

    console, store = Console(), Store(results)
    files = feature_files(store.features_folder)
    if not files:
        console.print(
            f"No features in {store.features_folder} yet: evaluations put them there.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        return
    runs = _runs(store)
    gone = of_no_use(files, runs) if prune else []
    if keep is not None:
        gone += beyond([file for file in files if file not in gone], int(keep * GIB))
    for file in gone:
        _remove(console, file)
    if prune or keep is not None:
        left = [file for file in files if file not in gone]
        console.print(f"{_total('Removed', gone)}. {_total('Kept', left)}.", highlight=False)
    else:
        _show(console, files, runs)


def _runs(store: "Store") -> Runs:
    """The runs of each encoder. Raises StoreError for a damaged manifest: whose is unknown."""
    runs: dict[str, list[str]] = defaultdict(list)
    for path in sorted((store.root / "runs").glob("*/manifest.json")):
        manifest = store.manifest(path.parent.name)
        if manifest is not None and manifest.encoder_digest:
            runs[manifest.encoder_digest].append(manifest.run)
    return dict(runs)


def _remove(console: "Console", file: "FeatureFile") -> None:
    from sslbench.feature_files import note_path

    try:
        file.path.unlink(missing_ok=True)
        if file.is_unfinished:
            note_path(file.path).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{file.path} cannot be removed ({error.strerror})") from error
    what = file.path.name
    if file.header is not None:
        what = f"{file.header.dataset} {file.header.split}, {file.header.encoder}: {what}"
    console.print(f"removed {what}", highlight=False, markup=False, soft_wrap=True)


def _show(console: "Console", files: "Sequence[FeatureFile]", runs: Runs) -> None:
    """A table of files, those used last first, and below it whose encoders they are of."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Frozen features", title_justify="left", title_style="bold", box=None)
    table.collapse_padding, table.pad_edge = True, False
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    encoders: dict[str, str] = {}
    for file in reversed(files):
        table.add_row(*(Text(cell) for cell in _row(file)))
        if file.header is not None:
            encoders[file.header.encoder_digest] = _encoder(file.header)
    whose = Table(box=None, pad_edge=False)
    whose.add_column("encoder", no_wrap=True)
    whose.add_column("runs", overflow="fold")
    for digest, encoder in encoders.items():
        whose.add_row(
            Text(encoder), Text("\n".join(runs.get(digest, ["none: --prune removes it"])))
        )
    console.print(table, whose, sep="\n")
    for file in files:
        if file.fault:
            console.print(file.fault, style="red", highlight=False, markup=False)
    console.print(_total("Total", files), highlight=False)


def _row(file: "FeatureFile") -> tuple[str, ...]:
    now, header = time.time(), file.header
    used = _age(now - file.used)
    if header is None:
        what = "unfinished" if file.is_unfinished else "damaged"
        return (what, "", "", "", "", _size(file.size), "", used)
    return (
        header.dataset,
        header.split,
        _encoder(header),
        "output" if header.layer == -1 else str(header.layer),
        f"{header.rows:,} x {header.dim:,}",
        _size(file.size),
        _age(now - datetime.fromisoformat(header.created).timestamp()),
        used,
    )


def _encoder(header: "FeatureHeader") -> str:
    return f"{header.encoder} {header.encoder_digest[:8]}"


def _total(word: str, files: "Sequence[FeatureFile]") -> str:
    plural = "" if len(files) == 1 else "s"
    return f"{word}: {len(files)} file{plural}, {_size(sum(file.size for file in files))}"


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.2f} MiB"


def _age(seconds: float) -> str:
    for unit, name in AGES:
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return "now"
