"""Plans of studies, their records, and what is made of both."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sslbench.report.ablations import ablation_pictures
from sslbench.report.grid import Table
from sslbench.report.picture import Picture
from sslbench.report.write import tables
from sslbench.store import PlanFile
from sslbench.study import FactorFacts, LevelFacts, PartFacts, Place, StudyFacts

SCORES = {"kNN top-1": "knn.top1", "Linear top-1": "linear.top1"}
ITEMS = 500


def answers(percent: float, seed: int) -> np.ndarray:
    """Right or wrong per item, drawn anew for each number and seed."""
    drawn = np.random.default_rng([round(percent * 10), seed]).random(ITEMS)
    return 100.0 * (drawn < percent / 100)


def factor(title: str, key: str, own: Any, **levels: tuple[Any, str]) -> FactorFacts:
    named = [LevelFacts(title=t, value=v, label=label) for t, (v, label) in levels.items()]
    return FactorFacts(title=title, key=key, own=own, levels=tuple(named))


def filled(experiment: Any, scores: dict[str, float], seeds: int = 2, **facts: Any) -> None:
    for label, percent in scores.items():
        for seed in range(seeds):
            both = {"knn": answers(percent, seed), "linear": answers(percent + 10, seed)}
            experiment.row(label, both, seed, title=label, **facts)


def studied(experiment: Any, *parts: PartFacts) -> PlanFile:
    configs: dict[str, Any] = {}
    for part in parts:
        configs[part.name] = {"columns": SCORES, "caption": part.name, "against": part.base}
        for name in part.interactions:
            title = next(t for t, key in SCORES.items() if key.replace(".", "-") in name)
            configs[name] = {"columns": {title: SCORES[title]}, "caption": f"{part.name}: {title}"}
    plan: PlanFile = experiment.plan()
    made = plan.model_copy(update={"tables": configs, "study": StudyFacts(parts=parts)})
    experiment.store.write_plan(made)
    return made


def placed(*labels: str, group: str = "") -> tuple[Place, ...]:
    return tuple(Place(label=x, title=x, group=group if n else "") for n, x in enumerate(labels))


def single(name: str = "main") -> PartFacts:
    levels = factor(
        "queue size", "params.queue_size", 64, few=(16, "m@16"), some=(32, "m@32"), same=(64, "m")
    )
    places = placed("m", "m@16", "m@32", group="queue size")
    return PartFacts(name=name, design="single", base="m", places=places, factors=(levels,))


def square() -> PartFacts:
    """Two by two; the base is the last cell."""
    queue = factor("queue", "params.queue", 64, a=(16, "m@t"), b=(64, "m"))
    temperature = factor("temperature", "params.t", 0.2, c=(0.1, "m@t"), d=(0.2, "m"))
    return PartFacts(
        name="main",
        design="crossed",
        base="m",
        places=placed("m", "m@qt", "m@q", "m@t"),
        factors=(queue, temperature),
        cells=(("m@qt", "m@q"), ("m@t", "m")),
        interactions=("main-knn-top1", "main-linear-top1"),
        reference=(1, 1),
    )


SQUARE = {"m": 40.0, "m@q": 45.0, "m@t": 50.0, "m@qt": 65.0}


def built(experiment: Any) -> dict[str, Table]:
    return {table.name: table for table in tables(experiment.store, "tiny")}


def pictures(experiment: Any, plan: PlanFile) -> dict[str, Picture]:
    found = ablation_pictures(plan, tables(experiment.store, "tiny"))
    return {picture.name: picture for picture in found}


@pytest.fixture
def studies() -> SimpleNamespace:
    """The functions of this file."""
    return SimpleNamespace(
        answers=answers,
        factor=factor,
        filled=filled,
        studied=studied,
        placed=placed,
        single=single,
        square=square,
        built=built,
        pictures=pictures,
        square_scores=SQUARE,
        items=ITEMS,
    )
