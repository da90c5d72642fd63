"""What ``sslbench check`` asks of an evaluation of images that may show several classes."""

import numpy as np
import pytest
import torch

from sslbench.benchmarks import svm
from sslbench.conformance.evaluations import evaluation_checks
from sslbench.conformance.patches import CLASSES, patches
from sslbench.errors import PluginError


def test_every_fifth_image_may_show_two_colours() -> None:
    data = patches(shuffled=False, several=True)
    labels, pixels = data.labels("train"), data.images("train").batch(torch.arange(320)).float()
    assert labels.shape == (320, CLASSES)
    assert set(labels.sum(axis=1).tolist()) == {1, 2}
    halves = pixels[:, :, :16].mean(dim=(2, 3)), pixels[:, :, 16:].mean(dim=(2, 3))
    differ = ((halves[0] - halves[1]).abs().amax(dim=1) > 50).numpy()
    np.testing.assert_array_equal(differ, labels.sum(axis=1) == 2)
    mixed = patches(shuffled=True, several=True).labels("train")
    np.testing.assert_array_equal(mixed.sum(axis=0), labels.sum(axis=0))
    assert (mixed != labels).any(axis=1).mean() > 0.5


def test_rankings_turned_round_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [function for _, function in evaluation_checks("svm")]
    resolve, easy_and_hopeless = checks[:2]
    resolve()
    easy_and_hopeless()
    decided = svm.decisions
    monkeypatch.setattr(svm, "decisions", lambda x, weight: -decided(x, weight))
    with pytest.raises(PluginError, match=r"map is .* where classes are plain colours"):
        easy_and_hopeless()
