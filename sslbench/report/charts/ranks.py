"""The critical-difference diagram of every table that has a ranking, as a picture."""

from collections.abc import Sequence
from dataclasses import asdict

from sslbench.report.charts.scores import BEST
from sslbench.report.charts.styles import made
from sslbench.report.diagram import diagram
from sslbench.report.grid import Ranking, Table
from sslbench.report.picture import Picture

TITLE = "Critical-difference diagram"


def ranks(tables: Sequence[Table]) -> tuple[list[Picture], list[str]]:
    """One picture per table with a ranking, and why there is none where there is none."""
    ranked = [(table, table.ranking) for table in tables if table.ranking is not None]
    if not ranked:
        return [], [f"{TITLE}: no table ranks two methods or more over several data sets."]
    return [_picture(table, ranking) for table, ranking in ranked], []


def _picture(table: Table, ranking: Ranking) -> Picture:
    ordered = sorted(ranking.mean_ranks.items(), key=lambda pair: pair[1])
    best = ", ".join(f"{title} {rank:.2f}" for title, rank in ordered[:BEST])
    apart = (
        f"; mean ranks that differ by less than {ranking.critical_difference:.2f} are not told "
        "apart"
        if ranking.critical_difference is not None
        else ""
    )
    return made(
        name=f"ranks-{table.name}",
        title=f"{TITLE}: {table.caption or table.name}",
        caption=(
            f"Mean ranks over {len(ranking.datasets)} data sets ({', '.join(ranking.datasets)}), "
            "the best on the left. A thick bar joins methods that are not told apart "
            f"({ranking.test}, p = {ranking.p_value:.2g})."
        ),
        alternative=f"Best mean ranks of {len(ordered)} methods: {best}{apart}.",
        drawn={"ranking": asdict(ranking)},
        draw=lambda: diagram(ranking),
    )
