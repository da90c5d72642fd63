"""Every plugin keeps its contract, whoever wrote it; and a broken one is told so."""

from pathlib import Path

import pytest

from sslbench.conformance import check_plugin, every_plugin
from sslbench.registry import METHODS

TOY = '''
"""A method of somebody else."""
import torch
from torch import nn
from sslbench.api import Method, Settings, register_method

class Config(Settings):
    scale: float = 1.0

@register_method("toy")
class Toy(Method):
    Config = Config

    def __init__(self, encoder, config, data):
        super().__init__(encoder, config, data)
        self.head = nn.Linear(encoder.dim, 4)
        {state}

    def loss(self, batch, context):
        one, other = (self.head(self.encoder(view)) for view in batch.views)
        {step}
        return {{"toy": (one - other).square().mean() * self.config.scale{extra}}}
'''
YAML = """
card: {title: Toy, paper: none, year: 2026, family: toy, negatives: none,
       momentum_encoder: false, clustering: false}
pretrain: {augment: simclr_small, optim: {name: sgd, lr: 0.03}}
"""


@pytest.fixture
def toy(third_party: Path) -> Path:
    (third_party / "toy.yaml").write_text(YAML)
    return third_party / "toy.py"


def write(path: Path, state: str = "pass", step: str = "pass", extra: str = "") -> None:
    path.write_text(TOY.format(state=state, step=step, extra=extra))


@pytest.mark.slow
@pytest.mark.parametrize("label", every_plugin())
def test_every_plugin_keeps_its_contract(label: str) -> None:
    faults = [f"{result.title}: {result.fault}" for result in check_plugin(label) if result.fault]
    assert not faults


@pytest.mark.parametrize("label", ["simclr", "knn", "linear_probe"])
def test_the_simplest_plugins_keep_their_contract(label: str) -> None:
    faults = [f"{result.title}: {result.fault}" for result in check_plugin(label) if result.fault]
    assert not faults


def test_a_third_party_method_is_accepted(toy: Path) -> None:
    write(toy)
    assert "toy" in METHODS.names()
    assert [result.fault for result in check_plugin("toy") if result.fault] == []


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"extra": " * float('nan')"}, "not finite"),
        ({"state": "self.unused = nn.Linear(2, 2)"}, "no gradient reached unused"),
        (
            {"state": "self.steps = 0", "step": "self.steps += 1", "extra": " * self.steps"},
            "stopped and resumed",
        ),
        ({"step": "context.rand(len(one), 1)[9999]"}, "IndexError"),
    ],
)
def test_a_broken_contract_is_found_and_named(
    toy: Path, parts: dict[str, str], message: str
) -> None:
    write(toy, **parts)
    faults = [f"{result.title}: {result.fault}" for result in check_plugin("toy") if result.fault]
    assert faults
    assert message in faults[0]
