"""One word for a pre-training, out of its signals and the course of its losses and weights.

In this order: ``diverged at step n``, ``dimensional collapse`` (Jing et al., "Understanding
Dimensional Collapse in Contrastive Self-supervised Learning", ICLR 2022, arXiv:2110.09348; that all
features become one is the end of it), ``cluster collapse``, ``not learning``, ``healthy``;
``untrained`` where there was no step. Free of torch, for manifests are read without it.
"""

from collections.abc import Mapping

from sslbench.config import Settings
from sslbench.errors import Collapsed, Diverged
from sslbench.health.course import JUMP, Course

HEALTHY, UNTRAINED, DIVERGED = "healthy", "untrained", "diverged at step"
DIMENSIONS, CLUSTERS, FLAT_LOSS = "dimensional collapse", "cluster collapse", "not learning"

Signals = Mapping[str, float]


class Thresholds(Settings):
    """Below which a signal counts as collapsed; of features, where both spread and neighbours are.

    Tried on the quick suite shortened to 4 to 6 epochs: its encoder, seed 0, 1,024 images. Spread
    and neighbours as multiples of the untrained encoder's 40.2 and 0.069 (with group norm: 70.1 and
    0.065), learnt prototypes' entropy, and kNN top-1 (untrained: 12.1):

    - sound: SimCLR 1.23 3.9 (19.1), MoCo 1.15 2.2, PCL 0.94 2.3, HCSC 0.84 2.1, BYOL 1.27 1.9,
      SimSiam 1.09 1.5, SwAV 1.16 1.9 0.62, DINO 1.43 1.7 0.51, VICReg 0.96 3.6, Barlow Twins 0.72
      2.6, supervised 0.95 2.5; SimCLR with group norm 0.31 4.7 (20.1). Those last features lie in a
      narrow cone (rank 4.4, deviation 0.07) and are the better ones: so neither is held against a
      run by itself.
    - SimSiam without its stop-gradient: 0.50 1.0 (9.7), 0.17 0.7 after twelve epochs.
    - A rate of 50 instead of 0.48: SimCLR 0.13 1.4 (12.3), BYOL 0.15 0.8 (8.6), MoCo 0.02 and a
      deviation of 0.00000 (2.8). These have diverged besides.
    - All prototypes made equal: SwAV used 0.008, entropy 0, distinct 0.008; HCSC distinct 0.003.
    - A temperature of 100 collapses neither MoCo nor SimCLR, 1.80 1.5 and 1.42 1.7, but their loss
      stays where it began (``sslbench.health.course``), and kNN too: 12.9 and 12.8 after 16 epochs.
    """

    deviation: float = 0.001  # all features are one; neighbours are then decided by rounding
    spread: float = 0.6  # times the untrained encoder's
    neighbours: float = 1.5  # times the untrained encoder's
    used: float = 0.02  # share of clusters or prototypes that have an image
    entropy: float = 0.2  # of their sizes, as a share of the most it can be
    distinct: float = 0.5  # share of them that is left when those that coincide count once


class Health(Settings):
    """What a manifest keeps: the word, why, and what it was told by."""

    verdict: str
    step: int | None = None  # of a divergence, counted from 1
    why: tuple[str, ...] = ()  # what crossed its threshold
    signals: dict[str, float] = {}  # of the last epoch
    untrained: dict[str, float] = {}  # the same before the first step
    thresholds: dict[str, float] = {}  # that held then; plain, for they may change


def judge(signals: Signals, untrained: Signals, course: Course) -> Health:
    """The verdict of a finished pre-training.

    signals and untrained: of the last epoch and from before the first, as
    ``sslbench.health.measure`` names them; course: of all steps.
    """
    if course.steps == 0:
        return Health(verdict=UNTRAINED, signals=dict(signals))
    thresholds = Thresholds()
    found = {
        f"{DIVERGED} {course.diverged}": _divergence(course),
        DIMENSIONS: _dimensions(signals, untrained, thresholds),
        CLUSTERS: _clusters(signals, thresholds),
        FLAT_LOSS: _flatness(course),
    }
    wrong = {word: why for word, why in found.items() if why}
    return Health(
        verdict=next(iter(wrong), HEALTHY),
        step=course.diverged,
        why=tuple(reason for reasons in wrong.values() for reason in reasons),
        signals=dict(signals),
        untrained=dict(untrained),
        thresholds=thresholds.model_dump(),
    )


def judge_failure(error: Exception) -> Health | None:
    """The verdict of a pre-training that ended so; None where that says nothing of its health."""
    if isinstance(error, Collapsed):
        return Health(verdict=DIMENSIONS, step=error.step, why=(str(error),))
    if isinstance(error, Diverged) and error.step is not None:
        verdict = f"{DIVERGED} {error.step}"
        return Health(verdict=verdict, step=error.step, why=(str(error),))
    return None


def _divergence(course: Course) -> list[str]:
    why = []
    if course.is_restless:
        why.append(
            f"the weights' norm changed by over {JUMP:.0%} at once in {course.jumps} of "
            f"{course.steps} steps, first at step {course.jumped}"
        )
    if course.rose is not None:
        why.append(f"the loss was above {course.limit:.4g} from step {course.rose} to the end")
    return why


def _flatness(course: Course) -> list[str]:
    if not course.is_flat:
        return []
    return [
        f"the loss stayed between {course.lowest:.4g} and {course.peak:.4g} for all of "
        f"{course.counted} steps"
    ]


def _dimensions(signals: Signals, untrained: Signals, limits: Thresholds) -> list[str]:
    why = []
    if signals["deviation"] < limits.deviation:
        why.append(_below("deviation", signals["deviation"], limits.deviation))
    least = {name: getattr(limits, name) * untrained[name] for name in ("spread", "neighbours")}
    if all(signals[name] < limit for name, limit in least.items()):
        why += [_below(name, signals[name], limit) for name, limit in least.items()]
    return why


def _clusters(signals: Signals, limits: Thresholds) -> list[str]:
    why = []
    for kind in ("clusters", "prototypes"):
        for signal in ("used", "entropy", "distinct"):
            name, limit = f"{kind}_{signal}", getattr(limits, signal)
            if name in signals and signals[name] < limit:
                why.append(_below(name, signals[name], limit))
    return why


def _below(name: str, value: float, limit: float) -> str:
    return f"{name} {value:.3g} is below {limit:.3g}"
