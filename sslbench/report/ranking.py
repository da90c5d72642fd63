"""Ranks of a table's methods over its data sets, or why there are none.

Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from sslbench.report.grid import Column, Line, Ranking
from sslbench.report.remarks import has_scores
from sslbench.stats.ranks import LEAST_DATASETS, rank


def ranking(
    lines: Sequence[Line], columns: Sequence[Column], datasets: Mapping[str, str]
) -> tuple[Ranking | None, list[str]]:
    """The ranks, and the remark that says what they are or why there are none.

    ``datasets``: what each evaluation measured on. Of several columns on one data set the first
    counts, for they are not independent.
    """
    methods = [line for line in lines if line.kind == "method"]
    first: dict[str, int] = {}
    for number, column in enumerate(columns):
        if has_scores(column) and not column.peeks and column.evaluation in datasets:
            first.setdefault(datasets[column.evaluation], number)
    if len(methods) < 2 or not first:
        return None, []
    if len(first) < LEAST_DATASETS:
        count = f"{len(first)} data set{'s' if len(first) > 1 else ''}"
        return None, [
            f"No ranks over data sets: this table has {count}, and a comparison of ranks needs at "
            f"least {LEAST_DATASETS}."
        ]
    whole = [m for m in methods if all(m.cells[n].value is not None for n in first.values())]
    left_out = [line.title for line in methods if line not in whole]
    if len(whole) < 2:
        return None, ["No ranks over data sets: fewer than two methods have a number in each."]
    signs = [1 if columns[n].higher_is_better else -1 for n in first.values()]
    scores = [
        [sign * (line.cells[n].value or 0.0) for n, sign in zip(first.values(), signs, strict=True)]
        for line in whole
    ]
    found = rank(np.array(scores), [line.title for line in whole])
    made = Ranking(
        datasets=tuple(first),
        mean_ranks=dict(zip([m.title for m in whole], found.mean_ranks, strict=True)),
        critical_difference=found.critical_difference,
        p_value=found.p_value,
        test=found.test,
        groups=found.groups,
    )
    without = f" Without {', '.join(left_out)}: a number is missing." if left_out else ""
    ordered = sorted(made.mean_ranks.items(), key=lambda pair: pair[1])
    listed = ", ".join(f"{title} {mean:.2f}" for title, mean in ordered)
    return made, [
        f"Mean ranks over {len(first)} data sets ({', '.join(first)}): {listed}; "
        f"{found.test}, p = {found.p_value:.2g}.{without}"
    ]
