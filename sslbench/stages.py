"""A plan as stages: what is done one after the other, and the rows that tables are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from sslbench.data.spec import DatasetSpec
from sslbench.plan import Planned
from sslbench.store import Row


@dataclass(frozen=True)
class Stage:
    """Pre-training (no key), or one evaluation of a run."""

    planned: Planned
    key: str | None

    @property
    def title(self) -> str:
        row = f"{self.planned.label} (seed {self.planned.config.seed})"
        return f"{row} {self.key or 'pre-training'}"


def stages(plan: Sequence[Planned]) -> list[Stage]:
    """All stages, a run's evaluations right behind its pre-training."""
    return [Stage(planned, key) for planned in plan for key in (None, *planned.evaluations)]


def rows(plan: Sequence[Planned]) -> tuple[Row, ...]:
    """The plan as the tables will read it."""
    return tuple(
        Row(
            label=planned.label,
            seed=planned.config.seed,
            run=planned.config.id,
            title=planned.title,
            card=planned.card,
            params=planned.config.params,
            notes=planned.notes,
            evaluations={key: wanted.id for key, wanted in planned.evaluations.items()},
            skipped=planned.skipped,
        )
        for planned in plan
    )


def specs(pending: Sequence[Stage]) -> list[DatasetSpec]:
    """Every data set that the stages touch, once."""
    found = [
        stage.planned.config.pretrain.dataset
        if stage.key is None
        else stage.planned.evaluations[stage.key].dataset
        for stage in pending
    ]
    return list({spec.model_dump_json(): spec for spec in found}.values())
