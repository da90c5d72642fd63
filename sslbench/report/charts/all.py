"""All charts of a suite, before they are drawn."""

from collections.abc import Callable, Sequence

import pandas as pd

from sslbench.errors import SSLBenchError
from sslbench.report.charts.bars import bars
from sslbench.report.charts.counts import NEIGHBOURS, SHOTS, counts
from sslbench.report.charts.dots import dots
from sslbench.report.charts.healths import healths
from sslbench.report.charts.layers import layers
from sslbench.report.charts.pareto import pareto
from sslbench.report.charts.ranks import ranks
from sslbench.report.charts.scores import Scores
from sslbench.report.charts.training import training
from sslbench.report.charts.trainings import trainings
from sslbench.report.grid import Table
from sslbench.report.picture import Picture
from sslbench.store import PlanFile, Store

Found = tuple[list[Picture], list[str]]


def charts(store: Store, plan: PlanFile, numbers: pd.DataFrame, tables: Sequence[Table]) -> Found:
    """The pictures, and a plain sentence for each that could not be made.

    ``numbers`` is ``frame(store, plan)``, ``tables`` are the suite's; torch is not needed.
    """
    scores = Scores(store, plan, numbers, tables)
    read = trainings(scores)
    makers: dict[str, Callable[[], Found]] = {
        "All methods over all evaluations": lambda: dots(scores),
        "Scores as bars": lambda: bars(scores),
        "Critical-difference diagram": lambda: ranks(tables),
        "Accuracy against cost": lambda: pareto(scores),
        NEIGHBOURS.title: lambda: counts(scores, NEIGHBOURS),
        SHOTS.title: lambda: counts(scores, SHOTS),
        "Accuracy against layer": lambda: layers(scores),
        "Training curves": lambda: training(scores, read),
        "Health of the trainings": lambda: healths(read),
    }
    pictures: list[Picture] = []
    left_out: list[str] = []
    for title, make in makers.items():
        try:
            found, why = make()
        except SSLBenchError as error:  # damaged records: the other pictures are still worth having
            found, why = [], [f"{title}: {error}"]
        pictures += found
        left_out += why
    return pictures, left_out
