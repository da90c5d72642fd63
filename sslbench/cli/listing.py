"""``sslbench list``: what there is to run, from the YAML files alone."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console


def list_(
    methods: Annotated[bool, typer.Option("--methods", help="Only methods.")] = False,
    evaluations: Annotated[bool, typer.Option("--evaluations", help="Only evaluations.")] = False,
    suites: Annotated[bool, typer.Option("--suites", help="Only suites.")] = False,
    data: Annotated[bool, typer.Option("--data", help="Only data sets.")] = False,
    recipes: Annotated[bool, typer.Option("--recipes", help="Only recipes.")] = False,
) -> None:
    """List methods with their variants, evaluations, suites, data sets and recipes."""
    from rich.console import Console

    console = Console()
    everything = not (methods or evaluations or suites or data or recipes)
    for wanted, show in (
        (methods, _methods),
        (evaluations, _evaluations),
        (suites, _suites),
        (data, _data),
        (recipes, _recipes),
    ):
        if wanted or everything:
            show(console)


def _table(console: "Console", title: str, columns: tuple[str, ...], rows: list[list[str]]) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()


def _methods(console: "Console") -> None:
    from sslbench.registry import METHODS

    rows, variants = [], []
    for name in METHODS.names():
        defaults = METHODS.defaults(name)
        card = defaults.get("card", {})
        marks = ["yes" if card.get(key) else "" for key in ("momentum_encoder", "clustering")]
        facts = [str(card.get(key, "")) for key in ("title", "year", "family", "negatives")]
        rows.append([name, *facts, *marks, str(card.get("paper", ""))])
        if defaults.get("variants"):
            variants.append(f"  {name}: {' '.join(f'@{v}' for v in defaults['variants'])}")
    columns = ("method", "title", "year", "family", "negatives", "momentum", "clusters", "paper")
    _table(console, "Methods (--methods)", columns, rows)
    console.print("Variants, as in --methods moco@v1 or 'hcsc@*'", style="bold")
    console.print("\n".join(variants) + "\n", highlight=False, markup=False)


def _evaluations(console: "Console") -> None:
    from sslbench.registry import EVALUATIONS

    rows = []
    for name in EVALUATIONS.names():
        defaults = EVALUATIONS.defaults(name)
        variants = " ".join(f"@{variant}" for variant in defaults.get("variants", {}))
        rows.append([name, str(defaults.get("card", {}).get("title", "")), variants])
    _table(console, "Evaluations (protocol: NAME@SETTINGS)", ("name", "", "settings"), rows)


def _suites(console: "Console") -> None:
    from sslbench.suite import load_suite, suite_names

    rows = []
    for name in suite_names():
        suite = load_suite(name)
        rows.append([name, suite.title, ", ".join(suite.evaluations)])
    _table(console, "Suites (--suite)", ("suite", "", "evaluations"), rows)


def _data(console: "Console") -> None:
    from sslbench.data.spec import catalogue, dataset_spec

    rows = []
    for name in sorted(catalogue()):
        spec = dataset_spec(name)
        train = spec.images("train")
        levels = ", ".join(f"{level.classes} {level.name}" for level in spec.levels)
        rows.append([name, spec.task, f"{train:,}" if train else "?", levels, spec.source])
    _table(console, "Data sets (--data)", ("name", "task", "train", "labels", "source"), rows)


def _recipes(console: "Console") -> None:
    from sslbench.data.recipe import recipes

    rows = [[name, str(tree.get("about", ""))] for name, tree in sorted(recipes().items())]
    _table(console, "Augmentation recipes (pretrain.augment)", ("recipe", ""), rows)
