"""Every card is whole, true to its module, and says where its figures are from."""

import csv
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from sslbench.api import methods
from sslbench.card import FAMILIES, build_card, by_family, layout
from sslbench.conformance import every_plugin
from sslbench.conformance.agreement import check_card
from sslbench.conformance.trial import built, planned
from sslbench.errors import PluginError
from sslbench.registry import METHODS

OURS = [n for n, m in METHODS.modules().items() if m.startswith(f"{METHODS.package}.")]
LABELS = [label for label in every_plugin() if label.partition("@")[0] in OURS]
ARXIV = re.compile(r"arXiv:\d{4}\.\d{4,5}")
COSTS = Path(__file__).parent.parent / "results" / "cost" / "cost.csv"


@pytest.mark.parametrize("label", LABELS)
def test_a_card_is_valid_and_every_figure_has_a_source(label: str) -> None:
    name, _, variant = label.partition("@")
    card = build_card(name, variant)
    assert card.family in FAMILIES
    assert ARXIV.fullmatch(card.paper)
    assert 2010 <= card.year <= 2030
    assert card.title
    assert card.pretext
    assert card.equation
    assert layout(name, variant)
    for figure in card.published:
        assert re.search(r"at [0-9a-f]{7,}$|^README of \S+/\S+$|arXiv:\S+, \w+", figure.source)
        assert 0 < figure.value <= 100
        assert figure.what


@pytest.mark.parametrize("name", OURS)
def test_a_method_says_its_loss_in_words_and_what_departs_from_the_paper(name: str) -> None:
    card = build_card(name)
    for text in (card.equation, *card.departs):
        assert text.endswith(".")
        assert len(text.split()) > 5
    assert card.departs


@pytest.mark.parametrize("name", OURS)
def test_card_and_module_cite_the_same_paper(name: str) -> None:
    module = sys.modules[methods.get(name).__module__]
    assert build_card(name).paper in ARXIV.findall(module.__doc__ or "")


@pytest.mark.parametrize("name", OURS)
def test_a_variant_that_is_of_another_paper_is_cited_too(name: str) -> None:
    cited = ARXIV.findall(sys.modules[methods.get(name).__module__].__doc__ or "")
    for variant in METHODS.defaults(name).get("variants", {}):
        assert build_card(name, variant).paper in cited


def test_titles_are_told_apart() -> None:
    titles = [build_card(*label.partition("@")[::2]).title for label in LABELS]
    assert len(set(titles)) == len(titles)


def test_costs_are_those_that_were_measured() -> None:
    with COSTS.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "seconds"]
    seconds = {row["label"]: float(row["value"]) for row in rows if row["status"] == "done"}
    stated = {label: build_card(*label.partition("@")[::2]).cost for label in LABELS}
    stated = {label: cost for label, cost in stated.items() if cost is not None}
    assert stated == {n: round(value / seconds["simclr"], 1) for n, value in seconds.items()}


def test_methods_come_in_the_order_of_the_families_and_years() -> None:
    places = [(FAMILIES.index(build_card(n).family), build_card(n).year) for n in by_family()]
    assert places == sorted(places)


# ---- cards and modules --------------------------------------------------------------------------


def disagreement(name: str, own: bool = True, **changes: Any) -> str:
    card = build_card(name).model_copy(update=changes)
    try:
        check_card(card, built(planned(name)), own)
    except PluginError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("moco", {"momentum_encoder": False}, "False, but a MomentumCopy among the modules"),
        ("simclr", {"momentum_encoder": True}, "True, but no MomentumCopy among the modules"),
        ("moco", {"memory": "none", "negatives": "none"}, "none, but a FeatureQueue"),
        ("moco", {"memory": "memory bank", "negatives": "none"}, "memory bank, but no MemoryBank"),
        ("moco", {"negatives": "memory bank"}, "negatives: memory bank, but memory: queue"),
        ("moco", {"negatives": "dictionary"}, "which is none of batch, queue, memory bank"),
        ("simclr", {"family": "contrastive"}, "which is none of end-to-end, memory bank"),
        ("simclr", {"clustering": True}, "True, but no Clusters among the modules"),
        ("hcsc", {"family": "momentum encoder", "clustering": False}, "False, but a Clusters"),
        ("hcsc", {"clustering": False}, "family: clustering, but clustering: false"),
        ("swav", {"family": "no negatives", "clustering": False}, "but an artifact prototypes_0"),
    ],
)
def test_a_card_that_is_not_of_its_method_is_told_where(
    name: str, changes: dict[str, Any], message: str
) -> None:
    assert disagreement(name) == ""
    assert message in disagreement(name, **changes)


def test_a_third_party_has_its_own_words_for_family_and_memory() -> None:
    assert disagreement("simclr", own=False, family="distillation", memory="a tree") == ""
