"""Tables that hold published numbers only, as a survey has them: ``results/reported/tables.yaml``.

A row is a method with one encoder and, where the table shows it, one set of pre-training data. If
several numbers of a score are known, the better origin is taken, of these one by a protocol that is
known here by name, then that of most epochs, then the first of its file. A variant known from
reproductions alone is left out where more is known of its method. There are no intervals, so that
no row is the best of a column.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from sslbench.config import Settings, build, load_yaml
from sslbench.errors import ConfigError, StoreError
from sslbench.report.describe import method_of
from sslbench.report.grid import NO_NUMBER, Cell, Column, Line, Provenance, Table
from sslbench.report.reported import ORIGINS, Quoted, read_reported

REPORTED = "reported"  # the suite's name under which these tables are built and kept
DEFINITIONS = "tables.yaml"
ELSEWHERE = "other methods"

Key = tuple[str, str, str]  # label, encoder, pre-training data


class Score(Settings):
    """One column: of which evaluation and metric, and which of its protocols may stand in it."""

    score: str  # EVALUATION/DATASET.METRIC
    protocols: tuple[str, ...] = ()  # none: whatever there is
    unit: str = "%"


class QuotedTable(Settings):
    """One table: which rows, and which scores."""

    title: str
    caption: str = ""
    encoders: tuple[str, ...] = ()  # none: any
    data: tuple[str, ...] = ()  # pre-trained on; none: any
    describe: tuple[str, ...] = ("encoder", "epochs")  # fields of the quoted rows
    columns: dict[str, Score] = Field(min_length=1)


class Definitions(Settings):
    """The file: groups of methods in their order, and the tables."""

    groups: dict[str, tuple[str, ...]]  # by name; a method, or METHOD@VARIANT before its method
    tables: dict[str, QuotedTable]


def quoted_tables(folder: Path | None) -> list[Table]:
    """Every table that ``tables.yaml`` of a folder of quoted numbers defines, in its order.

    Raises StoreError if there is no such file, ConfigError for one that is wrong, and for a column
    of which nothing is quoted.
    """
    path = folder / DEFINITIONS if folder is not None else None
    if path is None or not path.is_file():
        raise StoreError(
            f"there is no {path or f'results/reported/{DEFINITIONS}'}: the quoted numbers come "
            "with a checkout of sslbench, not with an installed package"
        )
    found = build(Definitions, load_yaml(path.read_text(encoding="utf-8"), str(path)), str(path))
    quoted = read_reported(folder)
    return [_table(name, config, found.groups, quoted) for name, config in found.tables.items()]


def _table(
    name: str,
    config: QuotedTable,
    groups: Mapping[str, tuple[str, ...]],
    quoted: Sequence[Quoted],
) -> Table:
    fitting = [
        q
        for q in quoted
        if (not config.encoders or q.encoder in config.encoders)
        and (not config.data or q.data in config.data)
    ]
    columns = [_column(title, score) for title, score in config.columns.items()]
    chosen: dict[Key, list[Quoted | None]] = {}
    for number, (title, score) in enumerate(config.columns.items()):
        numbers = [q for q in fitting if _is_of(q, score)]
        if not numbers:
            raise ConfigError(f"table {name!r}, column {title!r}: nothing is quoted of {score}")
        for q in sorted(numbers, key=_preference):
            data = q.data if "data" in config.describe else ""  # else columns may differ in it
            row = chosen.setdefault((q.label, q.encoder, data), [None] * len(columns))
            row[number] = row[number] or q
    footnotes: list[str] = []
    rows = sorted(_told(chosen), key=lambda row: _place(row[0], config, groups))
    lines = [_line(key, row, config, _group(key[0], groups), footnotes) for key, row in rows]
    count = sum(q is not None for _, row in rows for q in row)
    return Table(
        suite=REPORTED,
        name=name,
        title=config.title,
        caption=config.caption,
        headings=tuple(key.replace("_", " ").capitalize() for key in config.describe),
        columns=tuple(columns),
        lines=tuple(lines),
        footnotes=tuple(footnotes),
        leaders=(None,) * len(columns),
        ranking=None,
        remarks=(
            "Published numbers, each with its source; protocols differ between sources, none has "
            "an interval, so none is marked as the best. Of several numbers the paper's own goes "
            "first, then that of the authors' repository, then one quoted by others, then a "
            "reproduction; then that of most epochs.",
        ),
        provenance=Provenance("sslbench table reported", 0, 0, (), (), quoted=count),
    )


def _column(title: str, score: Score) -> Column:
    evaluation, dot, metric = score.score.rpartition(".")
    if not dot or "/" not in evaluation:
        raise ConfigError(
            f"column {title!r}: {score.score!r}: expected EVALUATION/DATASET.METRIC, such as "
            "knn/imagenet.top1"
        )
    return Column(title, evaluation, metric, score.unit)


def _is_of(q: Quoted, score: Score) -> bool:
    allowed = not score.protocols or q.protocol in score.protocols
    return allowed and f"{q.evaluation}.{q.metric}" == score.score


def _preference(q: Quoted) -> tuple[int, bool, int]:
    return ORIGINS.index(q.origin), "@" not in q.protocol, -(q.epochs or 0)


def _told(chosen: Mapping[Key, list[Quoted | None]]) -> list[tuple[Key, list[Quoted | None]]]:
    """The rows, without the variants that only others have trained."""
    others_only = {
        key: all(q is None or q.origin == "reproduction" for q in row)
        for key, row in chosen.items()
    }
    known = {method_of(label) for (label, *_), others in others_only.items() if not others}
    return [
        (key, row)
        for key, row in chosen.items()
        if not (others_only[key] and "@" in key[0] and method_of(key[0]) in known)
    ]


def _group(label: str, groups: Mapping[str, tuple[str, ...]]) -> str:
    for wanted in (label, method_of(label)):
        for name, members in groups.items():
            if wanted in members:
                return name
    return ELSEWHERE


def _place(
    key: Key, config: QuotedTable, groups: Mapping[str, tuple[str, ...]]
) -> tuple[int | str, ...]:
    """Rows by group, in it by the order of its methods, then by encoder and data."""
    label, encoder, data = key
    group = _group(label, groups)
    members = groups.get(group, ())
    method = next((m for m in (label, method_of(label)) if m in members), "")
    order = members.index(method) if method else 0
    position = list(groups).index(group) if group in groups else len(groups)
    first = config.encoders.index(encoder) if encoder in config.encoders else 0
    return position, order, label, first, encoder, data


def _line(
    key: Key, row: Sequence[Quoted | None], config: QuotedTable, group: str, footnotes: list[str]
) -> Line:
    known = [q for q in row if q is not None]
    usual = known[0].epochs
    cells = [_cell(q, usual, footnotes) for q in row]
    words = [_words(known, field) for field in config.describe]
    title = known[0].title
    return Line("reported", key[0], title, tuple(words), tuple(cells), group=group)


def _cell(q: Quoted | None, usual: int | None, footnotes: list[str]) -> Cell:
    if q is None:
        return Cell(status="missing", text=NO_NUMBER)
    epochs = f"{q.epochs} epochs" if q.epochs else "epochs not stated"
    told = [epochs] if q.epochs != usual else []
    note = ": ".join(part for part in (q.source, ", ".join([*told, *q.remarks])) if part)
    if note not in footnotes:
        footnotes.append(note)
    marks = (footnotes.index(note) + 1,)
    return Cell("done", q.text, value=q.value, marks=marks, source=q.source)


def _words(known: Sequence[Quoted], field: str) -> str:
    """What a row's numbers say of one field; of epochs and batch, the first column's."""
    if field in ("epochs", "batch"):
        return str(getattr(known[0], field) or NO_NUMBER)
    values = dict.fromkeys(str(getattr(q, field)) for q in known if getattr(q, field))
    return ", ".join(values) or NO_NUMBER
