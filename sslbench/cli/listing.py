"""``sslbench list``: what there is to run, from the YAML files alone."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from sslbench.card import Card

CARD_HEADINGS = ("pretext", "negatives", "memory", "momentum", "clusters", "views", "paper")
UNBOUND = 10_000  # columns: wider than any table


def list_(
    methods: Annotated[bool, typer.Option("--methods", help="Only methods.")] = False,
    evaluations: Annotated[bool, typer.Option("--evaluations", help="Only evaluations.")] = False,
    suites: Annotated[bool, typer.Option("--suites", help="Only suites.")] = False,
    studies: Annotated[bool, typer.Option("--studies", help="Only studies.")] = False,
    data: Annotated[bool, typer.Option("--data", help="Only data sets.")] = False,
    recipes: Annotated[bool, typer.Option("--recipes", help="Only recipes.")] = False,
) -> None:
    """List methods with their variants, evaluations, suites, studies, data sets and recipes."""
    from rich.console import Console

    console = Console()
    everything = not (methods or evaluations or suites or studies or data or recipes)
    for wanted, show in (
        (methods, _methods),
        (evaluations, _evaluations),
        (suites, _suites),
        (studies, _studies),
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
    """By family: a table where the terminal has room for it, else some lines per method."""
    from rich.text import Text

    from sslbench.card import all_cards
    from sslbench.cli.cards import variants_of

    cards, faults = all_cards()
    unbound = console.options.update(width=UNBOUND)
    titled, plain = _methods_table(cards, titles=True), _methods_table(cards, titles=False)
    if console.measure(titled, options=unbound).maximum <= console.width:
        console.print(titled)
    elif console.measure(plain, options=unbound).minimum <= console.width:
        console.print(plain)
    else:
        console.print(_methods_lines(cards))
    for name, fault in faults.items():
        console.print(f"  {name}: {fault}", style="red", highlight=False, markup=False)
    console.print()
    console.print("Variants, as in --methods moco@v1 or 'hcsc@*'", style="bold")
    variants = {label: text for name in cards for label, text in variants_of(name).items()}
    widest = max(map(len, variants), default=0)
    for label, text in variants.items():
        line = Text(f"   {label:{widest}}  {text}")
        console.print(line, no_wrap=True, overflow="ellipsis")
    console.print()


def _methods_table(cards: dict[str, "Card"], titles: bool) -> "Table":
    """A row per method, below its family."""
    from rich.text import Text

    from sslbench.card import layout

    table = _grid("method", *(["title"] if titles else []), *CARD_HEADINGS)
    for name, card in cards.items():
        marks = ["yes" if mark else "" for mark in (card.momentum_encoder, card.clustering)]
        words = [card.title] if titles else []
        words += [card.pretext, card.negatives, card.memory, *marks, layout(name), card.paper]
        _below_family(table, cards, name)
        table.add_row(Text(f"  {name}"), *(Text(word) for word in words))
    table.columns[-1].no_wrap = True
    return table


def _methods_lines(cards: dict[str, "Card"]) -> "Table":
    """The same in two columns."""
    from rich.text import Text

    from sslbench.card import layout
    from sslbench.cli.cards import made_of

    table = _grid("", "")
    table.show_header = False
    for name, card in cards.items():
        first = f"{card.paper}; views: {layout(name)}; {card.pretext}"
        _below_family(table, cards, name)
        table.add_row(Text(f"  {name}"), Text(f"{first}\n{made_of(card)}"))
    return table


def _grid(*headings: str) -> "Table":
    from rich.table import Table

    title = "Methods by family (--methods)"
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    for number, heading in enumerate(headings):
        table.add_column(heading, no_wrap=number == 0)
    return table


def _below_family(table: "Table", cards: dict[str, "Card"], name: str) -> None:
    """The family's own row, before the first of its methods."""
    from rich.text import Text

    family = cards[name].family
    if name == next(other for other, card in cards.items() if card.family == family):
        table.add_row(Text(family, style="bold"))


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


def _studies(console: "Console") -> None:
    from sslbench.study import load_study, study_names

    studies = [load_study(name) for name in study_names()]
    rows = [[study.name, study.title, ", ".join(study.parts), study.suite] for study in studies]
    _table(console, "Studies (sslbench ablate)", ("study", "", "parts", "suite"), rows)


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
