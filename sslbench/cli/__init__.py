"""The command line: one file per command, arguments in, exit code out.

Nothing here or in ``list``, ``table`` and ``report`` imports torch, so help answers at once; the
commands that compute import what they need when they are called.
"""

import os
import sys
from typing import Annotated

import typer

from sslbench import __version__, allocator, amx
from sslbench.cli.ablate import ablate
from sslbench.cli.check import check
from sslbench.cli.doctor import doctor
from sslbench.cli.evaluate import evaluate
from sslbench.cli.features import features
from sslbench.cli.listing import list_
from sslbench.cli.report import report
from sslbench.cli.run import run
from sslbench.cli.show import show
from sslbench.cli.speed import speed
from sslbench.cli.table import table
from sslbench.errors import RankFailed, SSLBenchError
from sslbench.launch import is_speaker

app = typer.Typer(
    name="sslbench",
    help=(
        "Compare contrastive self-supervised methods on shared encoders, augmentations and "
        "budgets, under one protocol.\n\n"
        "Start with: sslbench run   (embedded data, no download, minutes on two cores)\n\n"
        "Then: sslbench run --suite cifar10-mini --methods hcsc,pcl,moco,simclr --data DIR"
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("run")(run)
app.command("ablate")(ablate)
app.command("evaluate")(evaluate)
app.command("list")(list_)
app.command("show")(show)
app.command("table")(table)
app.command("report")(report)
app.command("check")(check)
app.command("features")(features)
app.command("speed")(speed)
app.command("doctor")(doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sslbench {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Nothing but the options that belong to no command."""


def main() -> None:
    """The console script. A user's mistake ends in one message and a code other than 0."""
    allocator.hold_freed_blocks()
    amx.leave_out()
    try:
        app()
    except SSLBenchError as error:
        if is_speaker() or isinstance(error, RankFailed):  # what all ranks meet with is said once
            print(f"sslbench: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        print(
            "sslbench: interrupted; the same command goes on from the last checkpoint",
            file=sys.stderr,
        )
        sys.exit(130)
