"""A speed record as text: what was measured of all sides, the comparisons alone, and how."""

from rich.markup import escape

from sslbench.speed.measurement import Figure, Measurement, SpeedRecord

_AGAINST = "against_"
_DIGITS = ((100, 0), (10, 1), (0, 2))


def markdown(record: SpeedRecord) -> str:
    """The page of a record. The same record gives the same bytes."""
    lines = [
        "| Work | Figures | Ratio | Memory (GiB) |",
        "| --- | --- | --- | --- |",
    ]
    notes: list[str] = []
    for name, one in record.measurements.items():
        mark = ""
        if one.note:
            if one.note not in notes:
                notes.append(one.note)
            mark = f" ({notes.index(one.note) + 1})"
        cells = [
            f"{one.title}{mark} `{name}`",
            "below"
            if one.parts
            else "<br>".join(f"{side}: {shown(f)} {one.unit}" for side, f in one.figures.items()),
            "<br>".join(f"{worded(ratio)}: {shown(f)}" for ratio, f in one.ratios.items()),
            "<br>".join(f"{side}: {number(value)}" for side, value in one.memory_gib.items()),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for name, one in record.measurements.items():
        lines += parts_table(name, one) if one.parts else []
    lines += ["", *(f"{place}. {note}" for place, note in enumerate(notes, start=1))]
    lines += ["", *_how(record)]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def comparisons(record: SpeedRecord) -> str:
    """The page of what was compared with something else. The same record gives the same bytes."""
    lines = ["| Work | Against | Times as fast |", "| --- | --- | ---: |"]
    for one in record.measurements.values():
        title = one.title
        for ratio, found in one.ratios.items():
            if ratio.startswith(_AGAINST):
                lines.append(f"| {title} | {worded(ratio[len(_AGAINST) :])} | {shown(found)} |")
                title = ""
    return "\n".join([*lines, "", *_how(record)]) + "\n"


def _how(record: SpeedRecord) -> list[str]:
    """How to read a page, and where its numbers are from."""
    where = record.environment
    peers = "".join(f"; {peer} {version}" for peer, version in record.peers.items())
    packages = ", ".join(
        f"{name} {where.packages[name]}" for name in ("torch", "torchvision", "faiss-cpu")
    )
    return [
        "Medians over the rounds, in brackets their range. Sides take turns within one run, and a "
        "ratio is taken round by round; *against* above 1: sslbench is faster.",
        "",
        f"{where.machine} ({where.device}), {where.threads} threads; {packages}{peers}; commit "
        f"{where.commit}; {record.created[:10]}. Command: `{record.command}`",
    ]


def parts_table(name: str, one: Measurement) -> list[str]:
    """What the sides' times are made of: a line per side, in the measurement's unit."""
    columns = list(next(iter(one.parts.values())))
    lines = [
        "",
        f"{one.title} `{name}`:",
        "",
        f"| {one.unit} | {' | '.join(columns)} | all |",
        f"| --- | {' | '.join('---:' for _ in columns)} | ---: |",
    ]
    for side, parts in one.parts.items():
        cells = [*(number(parts[column]) for column in columns), shown(one.figures[side])]
        lines.append(f"| {side} | {' | '.join(cells)} |")
    return lines


def terminal(name: str, one: Measurement) -> str:
    """One case for a terminal, in rich's markup."""
    sides = ", ".join(f"{side} {shown(f)} {one.unit}" for side, f in one.figures.items())
    lines = [f"[bold]{escape(name)}[/bold]: {escape(one.title)}", f"  {escape(sides)}"]
    lines += [f"  {escape(worded(ratio))}: {escape(shown(f))}" for ratio, f in one.ratios.items()]
    if one.memory_gib:
        memory = ", ".join(f"{side} {number(value)}" for side, value in one.memory_gib.items())
        lines.append(f"  memory (GiB): {escape(memory)}")
    return "\n".join(lines)


def shown(figure: Figure) -> str:
    """Median and range; the median alone where there is but one round."""
    if figure.low == figure.high:
        return number(figure.median)
    return f"{number(figure.median)} [{number(figure.low)}, {number(figure.high)}]"


def number(value: float) -> str:
    """Three figures or so, thousands separated."""
    digits = next(digits for least, digits in _DIGITS if abs(value) >= least)
    return f"{value:,.{digits}f}"


def worded(name: str) -> str:
    """``against_lightly`` as a reader reads it."""
    return name.replace("_", " ")
