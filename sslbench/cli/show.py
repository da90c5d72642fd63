"""``sslbench show``: what a method is, and every resolved value with the layer it came from."""

import json
from typing import Annotated

import typer

from sslbench.cli.options import DataOption, SetOption, SuiteOption, data_root
from sslbench.errors import ConfigError
from sslbench.suite import DEFAULT_SUITE


def show(
    method: Annotated[str, typer.Argument(help="A method or variant, such as hcsc@one-level.")],
    suite: SuiteOption = DEFAULT_SUITE,
    set_: SetOption = None,
    data: DataOption = None,
    device: Annotated[str, typer.Option("--device", help="Decides precision: auto.")] = "auto",
) -> None:
    """Print what a method is, what it would run with in a suite, and who decided each value."""
    from rich.console import Console
    from rich.table import Table

    from sslbench.cli.cards import page
    from sslbench.cli.planning import planned
    from sslbench.config import flatten
    from sslbench.environment import pick_device
    from sslbench.train.optim import peak_lr

    console = Console()
    loaded, plan = planned(suite, method, "0", set_ or [], data_root(data), pick_device(device))
    labels = list(dict.fromkeys(row.label for row in plan if row.label not in loaded.baselines))
    if len(labels) > 1:
        raise ConfigError(f"{method!r} names {len(labels)} rows, {', '.join(labels)}: give one")
    row = plan[0]
    if row.card:  # a baseline has none
        console.print(page(row.label))
        console.print()
    console.print(f"{row.label} in suite {loaded.name}: {row.title}", style="bold", highlight=False)
    table = Table("key", "value", "from", box=None, pad_edge=False)
    config = row.config
    values = {
        "params": config.params,
        "encoder": config.encoder.model_dump(mode="json"),
        "pretrain": config.pretrain.model_dump(mode="json"),
    }
    for key, value in flatten(values).items():
        table.add_row(key, json.dumps(value), _origin(row.origins, key))
    console.print(table)
    rate = peak_lr(config.pretrain.optim, config.pretrain.batch_size)
    console.print(
        f"learning rate at batch {config.pretrain.batch_size}: {rate:.6g}; "
        f"{row.data.steps:,} steps; run {config.id}",
        highlight=False,
    )


def _origin(origins: dict[str, str], key: str) -> str:
    """The layer of a key, or of the name that the key's value was expanded from."""
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        found = origins.get(".".join(parts[:length]))
        if found is not None and (length == len(parts) or found != "default"):
            return found
    return "default"
