"""What a method's card says, for a terminal: in a line, or a page of it. Imports no torch."""

from typing import TYPE_CHECKING, Any

from sslbench.card import Card, build_card, layout, variant_of
from sslbench.config import Tree, canonical, flatten
from sslbench.registry import METHODS

if TYPE_CHECKING:
    from rich.table import Table


def made_of(card: Card) -> str:
    """What the method is made of, in one line."""
    words = [f"negatives: {card.negatives}", f"memory: {card.memory}"]
    words += ["momentum encoder"] if card.momentum_encoder else []
    words += ["clusters"] if card.clustering else []
    return "; ".join(words)


def variants_of(name: str) -> dict[str, str]:
    """The labels of a method's variants, each with its title, if it has one, and its changes."""
    found = {}
    for variant, tree in METHODS.defaults(name).get("variants", {}).items():
        title = tree.get("card", {}).get("title", "")
        changed = changes(name, variant, tree)
        found[f"{name}@{variant}"] = ": ".join(text for text in (title, changed) if text)
    return found


def changes(name: str, variant: str, tree: Tree) -> str:
    """What a variant changes of the settings, short: hidden_layers=0 augment=moco_v1."""
    pretrain = dict(tree.get("pretrain", {}))
    views = pretrain.pop("views", None)
    flat = flatten({**tree.get("params", {}), **pretrain})
    flat |= flatten({"encoder": tree["encoder"]} if "encoder" in tree else {})
    words = [f"{key}={_short(value)}" for key, value in flat.items()]
    words += [f"views={layout(name, variant).replace(' + ', '+')}"] if views is not None else []
    return " ".join(words)


def _short(value: Any) -> str:
    return canonical(value).replace('"', "")


def page(label: str) -> "Table":
    """All that the card of a method or variant says, key by key."""
    from rich.table import Table
    from rich.text import Text

    name, _, variant = label.partition("@")
    card = build_card(name, variant)
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")

    def add(key: str, *lines: str) -> None:
        for number, line in enumerate(lines):
            table.add_row(Text("" if number else key, style="bold"), Text(line))

    add("method", f"{card.title} ({card.year}), {card.paper}")
    if variant:
        add("changes", changes(name, variant, variant_of(name, variant)) or "nothing but its card")
    add("family", card.family)
    add("pretext", card.pretext)
    add("views", layout(name, variant))
    add("made of", made_of(card))
    add("loss", *([card.equation] if card.equation else []))
    add("departs", *(f"- {text}" for text in card.departs))
    add("published", *(f"{f.value:g}  {f.what} ({f.source})" for f in card.published))
    if card.cost is not None:
        add("cost", f"{card.cost:g} x SimCLR's time in suite cost, measured")
    add("variants", *(f"{key}  {text}" for key, text in variants_of(name).items() if key != label))
    return table
