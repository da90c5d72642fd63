"""A method's card: what lists, tables and pages say of it. It describes; no run's hash holds it."""

from pydantic import Field

from sslbench.config import Settings, Tree, build, merge
from sslbench.data.recipe import ViewConfig
from sslbench.errors import ConfigError
from sslbench.registry import METHODS

# The survey's families (arXiv:2011.00362, section 3), in its order, and what it leaves out.
FAMILIES = ("end-to-end", "memory bank", "momentum encoder", "clustering", "no negatives")


class Figure(Settings):
    """A published number, for reference."""

    what: str  # ImageNet linear top-1, ResNet-50, 200 epochs
    value: float
    source: str


class Card(Settings):
    """The ``card`` of methods/NAME.yaml; a variant's changes single keys of it."""

    title: str
    paper: str
    year: int
    family: str  # one of FAMILIES, or a third party's own word
    pretext: str = "colour, geometric"  # what the views differ in, in the survey's words
    negatives: str  # batch, queue, memory bank, prototypes or none
    memory: str = "none"  # queue, memory bank or none
    momentum_encoder: bool
    clustering: bool
    equation: str = ""  # the loss in words
    departs: tuple[str, ...] = ()  # from the paper or its code, and why
    published: tuple[Figure, ...] = ()
    cost: float | None = Field(None, gt=0)  # time in suite cost, measured, SimCLR's being 1


def build_card(name: str, variant: str = "") -> Card:
    """The card of a method or of its variant. Raises ConfigError for a wrong or missing key."""
    own = METHODS.defaults(name).get("card", {})
    if not variant:
        return build(Card, own, f"methods/{name}.yaml: card")
    change = variant_of(name, variant).get("card", {})
    # A cost or a figure of the method is not one of its variant.
    inherited = {key: value for key, value in own.items() if key not in ("cost", "published")}
    title = {"title": f"{own.get('title', name)}, {variant.replace('-', ' ')}"}
    whole = merge(merge(inherited, title), change)
    return build(Card, whole, f"methods/{name}.yaml: card of variant {variant}")


def variant_of(name: str, variant: str) -> Tree:
    """What a variant changes. Raises ConfigError if the method has none of that name."""
    known: Tree = METHODS.defaults(name).get("variants", {})
    if variant not in known:
        raise ConfigError(
            f"method {name!r} has no variant {variant!r}. Known: {', '.join(known) or 'none'}"
        )
    chosen: Tree = known[variant]
    return chosen


def all_cards() -> tuple[dict[str, Card], dict[str, str]]:
    """The cards of all methods, and the faults of those whose card cannot be read.

    The survey's families in its order, then others; within one by year and name. One bad card, of
    a third party's say, hides no other method.
    """
    cards: dict[str, Card] = {}
    faults: dict[str, str] = {}
    for name in METHODS.names():
        try:
            cards[name] = build_card(name)
        except ConfigError as error:
            faults[name] = str(error)

    def place(name: str) -> tuple[int, int, str]:
        family, year = cards[name].family, cards[name].year
        return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES), year, name

    return {name: cards[name] for name in sorted(cards, key=place)}, faults


def by_family() -> list[str]:
    """The names of all methods in the order of ``all_cards``; those without a card last."""
    cards, faults = all_cards()
    return [*cards, *faults]


def layout(name: str, variant: str = "") -> str:
    """The views of a method in words: 2, 1 + jigsaw 3 x 3, 2 + 4 local."""
    defaults = METHODS.defaults(name)
    tree = merge(defaults, defaults.get("variants", {}).get(variant, {}))
    entries = tree.get("pretrain", {}).get("views", [{}, {}])
    views = [build(ViewConfig, entry, f"methods/{name}.yaml: views") for entry in entries]
    full = sum(view.repeat for view in views if view.is_full)
    parts = [str(full)] if full else []
    local = sum(view.repeat for view in views if not view.is_full and view.patches == "none")
    parts += [f"{local} local"] if local else []
    parts += [f"{v.patches} {v.grid} x {v.grid}" for v in views if v.patches != "none"]
    return " + ".join(parts)
