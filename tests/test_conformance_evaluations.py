"""What ``sslbench check`` finds in an evaluation of somebody else, and what it lets pass."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sslbench.api import evaluations
from sslbench.conformance import check_plugin
from sslbench.registry import EVALUATIONS

TOY = '''
"""The nearest class mean."""
from typing import Literal
import numpy as np
import pyarrow as pa
import torch
from sslbench.api import Evaluation, Metric, Outcome, Settings, register_evaluation
CALLS = []

class Config(Settings):
    selection: Literal["held_out", "paper"] = "held_out"
    {config}

@register_evaluation("toymeans")
class ToyMeans(Evaluation):
    Config = Config
    metrics = (Metric("top1", {unit}),)

    @property
    def selection(self):
        return {selection}

    def unsupported(self, encoder, dataset):
        return None if dataset.task == "classification" else "classes only"

    def run(self, subject, dataset, context):
        parts = dict((s, context.features(subject.encoder, dataset, s)) for s in
                     ("train", "fit", "held_out", "test"))

        def predicted(fit, on, scale):
            y = parts[fit].y[:, 0]
            means = torch.stack([parts[fit].x[y == c].mean(0) for c in range(int(y.max()) + 1)])
            return torch.cdist(parts[on].x ** scale, means ** scale).argmin(1)

        on = "test" if {on_test} else "held_out"
        right = dict((s, (predicted("fit", on, s) == parts[on].y[:, 0]).float().mean().item())
                     for s in (1, 3))
        best = max(right, key=right.get)
        labels = parts["test"].y[:, 0]
        found = predicted("train", "test", best)
        {leak}
        table = pa.table(dict(item=np.arange(len(labels)), label=labels.numpy(),
                              found=found.numpy()))
        return Outcome(table, dict(scale=best, accuracy=right[best]))

    @staticmethod
    def score(table):
        label, found = table["label"].to_numpy(), table["found"].to_numpy()
        right = (label == found)
        {score}
        return dict(top1=float(100 * right.mean()))

    @staticmethod
    def resampler(table):
        right = table["label"].to_numpy() == table["found"].to_numpy()
        order = np.argsort(table["item"].to_numpy())
        return lambda times: dict(top1=float(100 * (right{order} * times).sum() / times.sum()))
'''
PARTS = {
    "config": "pass",
    "unit": '"%"',
    "selection": "self.config.selection",
    "on_test": 'self.config.selection == "paper"',
    "leak": "pass",
    "score": "pass",
    "order": "[order]",
}


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What is found in ``toymeans``, installed as pip would, with some parts replaced."""
    info = tmp_path / "toymeans-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toymeans\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sslbench.benchmarks]\ntoymeans = toybench.toymeans\n")
    (tmp_path / "toybench").mkdir()
    (tmp_path / "toybench" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("toybench", "toybench.toymeans"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delitem(evaluations._classes, "toymeans", raising=False)

    def check(**parts: str) -> list[str]:
        (tmp_path / "toybench" / "toymeans.py").write_text(TOY.format(**{**PARTS, **parts}))
        found = check_plugin("toymeans")
        return [f"{result.title}: {result.fault}" for result in found if result.fault]

    return check


def test_an_evaluation_of_somebody_else_is_accepted(faults: Callable[..., list[str]]) -> None:
    assert not faults()
    assert "toymeans" in EVALUATIONS.names()


def test_a_unit_of_its_own_is_only_asked_to_be_better_than_nothing(
    faults: Callable[..., list[str]],
) -> None:
    assert not faults(unit='""')


@pytest.mark.parametrize(
    ("parts", "title", "message"),
    [
        # Half of the test images are told their label.
        (
            {"leak": "found[::2] = labels[::2]"},
            "plain colours",
            "for shuffled labels, with three standard errors",
        ),
        ({"leak": "found = (labels + 1) % 36"}, "plain colours", "top1 is 0.0 where classes are"),
        ({"unit": '"", False'}, "plain colours", "no better than"),
        ({"unit": '"%", adjusted=True'}, "plain colours", "but chance is 0.0: do test labels"),
        (  # state beside the table
            {"score": "CALLS.append(0); right = right | (np.arange(len(right)) < len(CALLS))"},
            "scores match the metrics",
            "the same seed gave",
        ),
        (  # the first rows are let off
            {"score": "right = right | (np.arange(len(right)) < 12)"},
            "scores come from the stored table alone",
            "the table with its rows in another order gives",
        ),
        ({"order": ""}, "scores come from the stored table alone", "resampler of a draw gives"),
        (
            {"order": "[order] * 2"},
            "scores come from the stored table alone",
            "resampler with every item once gives",
        ),
        ({"on_test": "True"}, "test labels leave what is chosen unchanged", "Select on held_out"),
        (
            {"selection": '"held_out"'},
            "held_out and paper",
            "with settings.selection: paper the fingerprint says 'held_out'",
        ),
        (
            {"config": "hashed = lambda self: dict()"},
            "held_out and paper",
            "have one fingerprint",
        ),
    ],
)
def test_a_broken_promise_is_found_and_named(
    faults: Callable[..., list[str]], parts: dict[str, str], title: str, message: str
) -> None:
    (fault,) = faults(**parts)
    assert fault.startswith(title)
    assert message in fault
