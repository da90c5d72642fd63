"""The row of a foreign encoder in a suite's table: its label, its title, its place in the plan."""

from collections.abc import Sequence

from sslbench.card import build_card
from sslbench.commands import AND, evaluates
from sslbench.config import Tree, merge
from sslbench.errors import ConfigError
from sslbench.plan import BASELINE_TITLES
from sslbench.registry import METHODS
from sslbench.store import PlanFile, Row
from sslbench.suite import Suite
from sslbench.weights.identity import WeightsConfig

ENDINGS = (".pth", ".pt", ".tar", ".safetensors", ".ckpt", ".bin", ".gz")


def default_label(file: str) -> str:
    """A file's name without its endings: ``moco_v2_800ep.pth.tar`` is ``moco_v2_800ep``."""
    label = file
    while ending := next((e for e in ENDINGS if label.endswith(e) and label != e), None):
        label = label.removesuffix(ending)
    return label


def described(label: str) -> tuple[str, Tree]:
    """The title and the card of a row: a method's or variant's, if the label names one.

    Raises ConfigError for a variant that the method has not, and for the untrained encoder's label.
    """
    name, _, variant = label.partition("@")
    if label == "random" or not label.strip():
        raise ConfigError(f"--label {label!r}: is no row for an encoder from a file")
    if name in METHODS.names():
        card = build_card(name, variant)
        return card.title, card.model_dump(mode="json")
    return BASELINE_TITLES.get(label, label), {}


def joined(
    plan: PlanFile | None,
    suite: Suite,
    new: Sequence[Row],
    config: WeightsConfig,
    command: str,
    changes: Tree,
) -> PlanFile:
    """A suite's plan with an encoder's rows: each takes the place of its label's and seed's own.

    ``config`` is the encoder's identity under any seed; ``changes`` are those of ``--set``, of
    which a plan that exists takes what is said of tables. Raises ConfigError if rows of the label
    are left that are of another encoder: a line of the table is one encoder, or one method, over
    its seeds, never a mean of two.
    """
    label = new[0].label
    if plan is not None:
        tables = merge(plan.tables, changes.get("tables", {}))
        plan = plan.model_copy(update={"tables": tables})
    replaced = {row.seed for row in new}
    if plan is None:
        tables = {key: value.model_dump(mode="json") for key, value in suite.tables.items()}
        plan = PlanFile(suite=suite.name, title=suite.title, command="", rows=(), tables=tables)
    left = [row for row in plan.rows if row.label == label and row.seed not in replaced]
    strangers = [r for r in left if r.run != config.model_copy(update={"seed": r.seed}).id]
    if strangers:
        seeds = ",".join(str(row.seed) for row in (*new, *strangers))
        raise ConfigError(
            f"--label {label}: its rows of other seeds are of another encoder, and a line of the "
            f"table is a mean over one. Replace them too with --seeds {seeds}, or choose another "
            "--label"
        )
    by_seed = {row.seed: row for row in new}
    standing = [
        by_seed.pop(row.seed) if row.label == label and row.seed in by_seed else row
        for row in plan.rows
    ]
    last = max((n for n, row in enumerate(standing, 1) if row.label == label), default=None)
    place = len(standing) if last is None else last
    rows = (*standing[:place], *by_seed.values(), *standing[place:])
    commands = [c for c in plan.command.split(AND) if c and not evaluates(c, label)]
    return plan.model_copy(update={"rows": rows, "command": AND.join([*commands, command])})
