"""What ``list --methods`` and ``show`` say of methods: all of the card, on any terminal."""

import subprocess
from collections.abc import Callable

import pytest

from sslbench.card import FAMILIES, build_card, by_family, layout
from sslbench.registry import METHODS

Cli = Callable[..., subprocess.CompletedProcess[str]]


def listed(here: Cli, monkeypatch: pytest.MonkeyPatch, width: int) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    done = here("list", "--methods")
    assert done.returncode == 0, done.stderr
    return [line.rstrip() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_terminal_of_any_width_shows_every_fact_of_every_method(
    here: Cli, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    lines = listed(here, monkeypatch, width)
    assert max(map(len, lines)) <= width
    names = [*by_family(), "\0"]
    starts = [next(n for n, ln in enumerate(lines) if ln.split()[:1] == [m]) for m in names[:-1]]
    ends = [*starts[1:], lines.index("")]
    for name, start, end in zip(names, starts, ends, strict=False):
        card, block = build_card(name), " ".join(lines[start:end])
        assert card.paper in lines[start]
        words = {*card.pretext.split(), *card.negatives.split(), *card.memory.split()}
        assert {*words, *layout(name).split()} <= {*block.split(), *block.replace(";", "").split()}
        assert ("yes" in block or "momentum encoder" in block) or not card.momentum_encoder


def test_methods_stand_below_their_family_in_the_surveys_order(
    here: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = listed(here, monkeypatch, 120)
    heads = [line.strip() for line in lines if line.strip() in FAMILIES]
    assert heads == [f for f in FAMILIES if any(build_card(n).family == f for n in by_family())]
    family = ""
    for line in lines[: lines.index("")]:
        family = line.strip() if line.strip() in FAMILIES else family
        for name in line.split()[:1]:
            if name in METHODS.names():
                assert build_card(name).family == family


@pytest.mark.parametrize("width", [80, 200])
def test_every_variant_has_one_line_with_its_title_and_its_changes(
    here: Cli, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    lines = listed(here, monkeypatch, width)
    for name in METHODS.names():
        for variant in METHODS.defaults(name).get("variants", {}):
            (line,) = [ln for ln in lines if ln.split()[:1] == [f"{name}@{variant}"]]
            assert "=" in line or line.endswith("…")
    (line,) = [ln for ln in lines if ln.split()[:1] == ["moco@v1"]]
    assert "MoCo: hidden_layers=0 temperature=0.07" in line
    assert width == 80 or "augment=moco_v1 optim.schedule=step" in line


def test_the_page_of_a_method_says_what_its_card_says_before_the_values(here: Cli) -> None:
    done = here("show", "moco", "--suite", "smoke")
    page, values = done.stdout.split("moco in suite smoke", 1)
    card = build_card("moco")
    assert "MoCo v2 (2020), arXiv:2003.04297" in page
    flat = " ".join(page.split())
    for text in (card.family, card.pretext, card.equation, *card.departs, card.published[0].source):
        assert " ".join(text.split()) in flat
    assert "negatives: queue; memory: queue; momentum encoder" in page
    assert "67.5" in page
    assert "moco@v1" in page
    assert "params.queue_size" in values


def test_the_page_of_a_variant_says_what_it_changes_and_inherits_no_figure(here: Cli) -> None:
    done = here("show", "hcsc@one-level", "--suite", "smoke")
    page = done.stdout.split("in suite smoke", 1)[0]
    assert "HCSC, one level (2022)" in page
    assert "levels=1" in page
    assert "69.2" not in page


def test_a_baseline_has_no_page(here: Cli) -> None:
    assert here("show", "random", "--suite", "smoke").stdout.startswith("random in suite smoke")
