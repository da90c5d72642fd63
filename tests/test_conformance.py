"""Every plugin keeps its contract, whoever wrote it; and a broken one is told so."""

import textwrap
from pathlib import Path

import pytest
import torch

from sslbench.conformance import check_plugin, every_plugin
from sslbench.conformance.descent import RATE, descend
from sslbench.conformance.trial import built, images, planned
from sslbench.registry import METHODS

QUICK = ("simclr", "moco", "hcsc", "knn", "linear_probe")  # one of each kind
TOY = '''
"""A method of somebody else."""
import random
import torch
from torch import nn
from sslbench.api import Method, Settings, register_method
from sslbench.data.datasets import open_dataset
from sslbench.data.spec import dataset_spec
from sslbench.nn import MomentumCopy
{top}

def labels():
    return open_dataset(dataset_spec("objects_tiny"), None).labels("train")

class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient

class Config(Settings):
    scale: float = 1.0

@register_method("toy")
class Toy(Method):
    Config = Config

    def __init__(self, encoder, config, data):
        super().__init__(encoder, config, data)
        self.head = nn.Linear(encoder.dim, 4)
        {state}

    def on_epoch_start(self, context):
        {epoch}

    def loss(self, batch, context):
        one, other = (self.head(self.encoder(view)) for view in batch.views)
        toy = (one - other).square().mean() * self.config.scale
        {step}
        return {terms}
'''
YAML = """
card: {title: Toy, paper: none, year: 2026, family: toy, negatives: none,
       momentum_encoder: MOMENTUM, clustering: false}
pretrain: {augment: simclr_small, optim: {name: sgd, lr: 0.03}}
"""
PARTS = {"top": "", "state": "pass", "epoch": "pass", "step": "pass", "terms": '{"toy": toy}'}


@pytest.fixture
def toy(third_party: Path) -> Path:
    return third_party / "toy.py"


def write(path: Path, momentum: str = "false", **parts: str) -> None:
    path.write_text(TOY.format(**{**PARTS, **parts}))
    path.with_suffix(".yaml").write_text(YAML.replace("MOMENTUM", momentum))


def add(path: Path, method: str) -> None:
    path.write_text(f"{path.read_text()}\n{textwrap.indent(textwrap.dedent(method), '    ')}")


def faults(label: str) -> list[str]:
    return [f"{result.title}: {result.fault}" for result in check_plugin(label) if result.fault]


@pytest.mark.parametrize(
    "label",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in every_plugin()
    ],
)
def test_every_plugin_keeps_its_contract(label: str) -> None:
    assert not faults(label)


def test_a_third_party_method_is_accepted(toy: Path) -> None:
    write(toy)
    assert "toy" in METHODS.names()
    assert not faults("toy")


def test_a_part_that_takes_turns_has_its_gradient_within_the_epoch(toy: Path) -> None:
    write(
        toy,
        state="self.heads = nn.ModuleList(nn.Linear(4, 1) for _ in range(2))",
        step="toy = toy + self.heads[context.step % 2](one).square().mean()",
    )
    assert not faults("toy")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"terms": "toy"}, "loss returns Tensor, expected named terms"),
        ({"terms": "{}"}, "expected named terms"),
        ({"terms": '{"toy": (one - other).square()}'}, "'toy' is no scalar"),
        ({"terms": '{"loss": toy}'}, "a term is called 'loss'"),
        ({"terms": '{"toy": toy, "seen": toy.detach()}'}, "'seen' depends on no parameter"),
        ({"terms": '{"toy": toy * float("nan")}'}, "not finite"),
        ({"step": "context.rand(len(one), 1)[9999]"}, "IndexError"),
        ({"state": "self.unused = nn.Linear(2, 2)"}, "no gradient reached unused"),
        (
            {"terms": '{"toy": toy + random.SystemRandom().random()}'},
            "the same state: PluginError: a second run with the same seed gave another loss in the",
        ),
    ],
)
def test_a_broken_contract_is_found_and_named(
    toy: Path, parts: dict[str, str], message: str
) -> None:
    write(toy, **parts)
    assert message in faults("toy")[0]


def test_a_parameter_that_no_group_holds_is_named(toy: Path) -> None:
    write(
        toy,
        state="self.scale = nn.Parameter(torch.ones(()))",
        step="toy = toy * self.scale.exp()",
        top="from sslbench.api import ParamGroup",
    )
    add(
        toy,
        """
        def param_groups(self):
            return [ParamGroup([*self.encoder.parameters(), *self.head.parameters()])]
        """,
    )
    assert "scale is trainable, but in none of param_groups()" in faults("toy")[0]


def test_a_momentum_copy_takes_no_gradient(toy: Path) -> None:
    write(
        toy,
        momentum="true",
        state="self.copy = MomentumCopy(self.encoder, self.head).requires_grad_(True)",
        step="other = self.copy(batch.views[1]); toy = (one - other).square().mean()",
    )
    assert "a parameter of a MomentumCopy is trainable" in faults("toy")[0]


# What a resumed run does not know of: a number that weighs, one that is only kept, one only logged.
@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"terms": '{"toy": toy * self.steps}'}, "another "),
        (
            {
                "state": 'self.steps = 0; self.register_buffer("seen", torch.zeros(()))',
                "step": "self.steps += 1; self.seen.fill_(self.steps)",
            },
            "another seen",
        ),
        ({"terms": '{"toy": toy + self.steps}'}, "another loss in the log of step 3"),
        ({"step": 'self.steps += 1; context.log("n", self.steps)'}, "another n in the log"),
    ],
)
def test_state_outside_of_parameters_and_buffers_is_named(
    toy: Path, parts: dict[str, str], message: str
) -> None:
    write(toy, **{"state": "self.steps = 0", "step": "self.steps += 1", **parts})
    fault = faults("toy")[0]
    assert fault.startswith("stopped and resumed")
    assert message in fault


@pytest.mark.parametrize(
    "parts",
    [
        {"step": "toy = toy * labels()[batch.index % 384].mean()"},
        {"step": "try: labels()\n        except Exception: pass"},
        {"epoch": "self.labels = labels()"},
        {"state": "self.labels = labels()"},
        {
            "top": 'DATA = open_dataset(dataset_spec("objects_tiny"), None)',
            "step": 'DATA.labels("train")',
        },
        {"top": 'LABELS = open_dataset(dataset_spec("objects_tiny"), None).labels("train")'},
    ],
)
def test_a_method_that_reads_labels_is_found_and_told_what_it_may_see(
    toy: Path, parts: dict[str, str]
) -> None:
    write(toy, **parts)
    # What is read at import is read while planning.
    fault = faults("toy")[0]
    assert fault.startswith("settings" if "top" in parts else "labels cannot reach it")
    assert "opens or reads a data set itself" in fault
    assert "context.embed" in fault


@pytest.mark.parametrize(
    "parts",
    [
        {"terms": '{"toy": Reversed.apply(toy)}'},
        # Nothing holds the embeddings apart but a part that the gradient does not know of.
        {"step": "toy = toy + 10 * torch.cdist(one, one).neg().exp().mean().detach()"},
        {"step": "toy = -toy.detach() + 2 * Reversed.apply(toy)"},
    ],
)
def test_gradients_that_are_not_those_of_the_loss_are_found(
    toy: Path, parts: dict[str, str]
) -> None:
    write(toy, **parts)
    fault = faults("toy")[0]
    assert fault.startswith("its own memory held still")
    assert "its gradients promised" in fault


def test_a_small_step_changes_the_loss_as_its_gradient_says() -> None:
    row = planned("moco")
    method = built(row)
    queue = method.queue.features.clone()
    values, promised = descend(method, row, images())
    assert RATE < 1e-3
    assert values[0] - values[-1] == pytest.approx(promised, rel=0.2)
    assert len(set(values)) == len(values)
    # Beside the last pass nothing was put into the memory.
    kept = method.queue.features
    assert torch.equal(queue[32:], kept[32:])


def test_a_queue_that_only_its_own_batches_fit_is_found(toy: Path) -> None:
    write(
        toy,
        state='self.register_buffer("queue", torch.zeros(int(config.scale), 4))',
        step="""at = context.step * len(one) % len(self.queue)
        self.queue[at:at + len(one)] = one.detach()""",
    )
    add(
        toy,
        """
        @classmethod
        def scaled(cls, config, data):
            if config.scale == 1:  # the rule: whole batches, up to half the images
                size = max(1, data.images // 2 // data.batch_size) * data.batch_size
                config = config.model_copy(update={"scale": float(size)})
            return config
        """,
    )
    assert faults("toy")[0].startswith("other batch sizes")


def test_a_batch_that_is_refused_while_planning_is_no_fault(toy: Path) -> None:
    write(toy, top="from sslbench.api import ConfigError")
    add(
        toy,
        """
        @classmethod
        def scaled(cls, config, data):
            if data.batch_size % 32:
                raise ConfigError("batches of 32")
            return config
        """,
    )
    assert not faults("toy")
