"""``sslbench check``: does a plugin keep its contract?"""

from typing import Annotated

import typer


def check(
    names: Annotated[
        list[str] | None, typer.Argument(help="Methods or evaluations, such as hcsc or knn.")
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Every method, variant and evaluation.")
    ] = False,
) -> None:
    """Run the conformance checks over plugins; those of third parties too."""
    import torch
    from rich.console import Console

    from sslbench.conformance import check_plugin, every_plugin
    from sslbench.errors import ConfigError

    wanted = every_plugin() if all_ else list(names or [])
    if not wanted:
        raise ConfigError("check what? Name methods or evaluations, or say --all")
    torch.set_num_threads(1)  # trials are tiny: threads would wait for one another
    console = Console()
    failed = 0
    for name in wanted:
        for result in check_plugin(name):
            mark = "ok    " if result.fault is None else "FAILED"
            detail = "" if result.fault is None else f": {result.fault}"
            console.print(f"{mark} {name}: {result.title}{detail}", highlight=False, markup=False)
            failed += result.fault is not None
    if failed:
        console.print(f"{failed} checks failed")
        raise typer.Exit(1)
