"""What prototypes are worth: every description by itself, learnt alike, stopped and resumed."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import normalize

from sslbench.api import DataError, NotApplicable, Subject
from sslbench.benchmarks.prototypes import PrototypeProbe, PrototypesConfig
from sslbench.config import build
from sslbench.data.shots import by_class, drawn_shots
from sslbench.errors import ConfigError, Interrupted
from sslbench.nn import head_artifacts, mlp
from sslbench.nn.linear import Standardiser

FEW = PrototypesConfig(powers=(-1.0, 1.0), values=3, draws=2, shots=3, tol=1e-4)
OTHERS = ("features", "kmeans", "feature_kmeans")


def artifacts(prototypes, width=16):
    """One level of prototypes in the space of a head of one random layer."""
    torch.manual_seed(0)
    head = mlp(width, 8)
    return {"prototypes_0": normalize(prototypes), **head_artifacts(head)}, head


@pytest.fixture
def probed(given, spec):
    """Runs on given features; the outcome."""

    def run(train, test, left, classes, config=FEW, context=None):
        dataset = SimpleNamespace(
            spec=spec(classes), class_names=lambda level: [f"class {n}" for n in range(classes)]
        )
        return PrototypeProbe(config).run(
            Subject(None, left), dataset, context or given(train, test)
        )

    return run


def test_metrics_name_the_description_and_the_shots(probed, blobs):
    left, _ = artifacts(torch.randn(10, 8, generator=torch.Generator().manual_seed(1)))
    outcome = probed(blobs(300, 4, 1.0, 0), blobs(100, 4, 1.0, 1), left, 4)
    names = [m.name for m in PrototypeProbe(FEW).metrics]
    assert names[:2] == ["top1", "top1_features"]
    assert set(names) == {
        *("top1", "top1_k3"),
        *(f"{kind}_{name}" for kind in ("top1", "top1_k3") for name in OTHERS),
    }
    assert set(PrototypeProbe.score(outcome.table)) == set(names)
    assert outcome.chosen["C_kmeans"] in FEW.grid


def test_the_headline_is_of_cosines_with_the_prototypes_at_the_chosen_c(probed, blobs):
    train, test = blobs(300, 6, 2.0, 0), blobs(300, 6, 2.0, 1)
    left, head = artifacts(torch.randn(10, 8, generator=torch.Generator().manual_seed(1)))
    outcome = probed(train, test, left, 6)

    def cosines(x):
        with torch.no_grad():
            return normalize(head(x)) @ left["prototypes_0"].T

    scaled = Standardiser.of(cosines(train[0]))
    parts = [scaled(cosines(x)).double().numpy() for x in (train[0], test[0])]
    held = np.arange(300) % 10 == 0

    def accuracy(learn, y, judge, labels, c):
        model = LogisticRegression(C=c, tol=1e-8, max_iter=3000).fit(learn, y)
        return 100 * model.score(judge, labels)

    y, labels = train[1][:, 0].numpy(), test[1][:, 0].numpy()
    found = [accuracy(parts[0][~held], y[~held], parts[0][held], y[held], c) for c in FEW.grid]
    best = FEW.grid[int(np.argmax(found))]
    assert outcome.chosen["C_prototypes"] == best
    assert outcome.chosen["held_out_top1_prototypes"] == pytest.approx(max(found), abs=4)
    assert len(set(found)) > 1
    wanted = accuracy(parts[0], y, parts[1], labels, best)
    scores = PrototypeProbe.score(outcome.table)
    assert scores["top1"] == pytest.approx(wanted, abs=0.4)
    shots = []
    for draw in range(FEW.draws):
        few = np.concatenate(drawn_shots(0, draw, by_class(y, 6), FEW.shots))
        shots.append(accuracy(parts[0][few], y[few], parts[1], labels, FEW.shot_c))
    assert scores["top1_k3"] == pytest.approx(np.mean(shots), abs=0.4)


def test_each_description_is_worth_what_it_holds(probed, blobs):
    train, test = blobs(400, 4, 0.3, 0), blobs(200, 4, 0.3, 1)
    blind, _ = artifacts(torch.ones(3, 8))  # three prototypes in one place tell little
    scores = PrototypeProbe.score(probed(train, test, blind, 4).table)
    assert scores["top1_features"] > 99
    assert scores["top1_kmeans"] > 95
    assert scores["top1"] < 80


def test_shuffled_labels_are_at_chance(probed, blobs):
    x, y = blobs(800, 4, 1.0, 0)
    y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(5))]
    left, _ = artifacts(torch.randn(10, 8))
    scores = PrototypeProbe.score(probed((x, y), blobs(800, 4, 1.0, 1), left, 4).table)
    assert all(value == pytest.approx(25, abs=15) for value in scores.values())  # coarse blobs


def test_test_labels_choose_nothing(probed, blobs):
    train, (x, y) = blobs(300, 6, 2.0, 0), blobs(200, 6, 2.0, 1)
    left, _ = artifacts(torch.randn(10, 8, generator=torch.Generator().manual_seed(1)))
    one, other = (probed(train, (x, labels), left, 6) for labels in (y, y.flip(0)))
    assert one.chosen == other.chosen
    columns = [name for name in one.table.column_names if name != "label"]
    assert one.table.select(columns).equals(other.table.select(columns))
    assert PrototypeProbe(FEW).selection == "held_out"


@pytest.mark.parametrize("stop", [1, 4, 6, 9, 23])
def test_stopped_and_resumed_equals_never_stopped(probed, given, blobs, stop):
    train, test = blobs(200, 4, 2.0, 0), blobs(100, 4, 2.0, 1)
    left, _ = artifacts(torch.randn(10, 8, generator=torch.Generator().manual_seed(1)))
    whole = probed(train, test, left, 4)
    context = given(train, test)
    context.stop = stop
    with pytest.raises(Interrupted):
        probed(train, test, left, 4, context=context)
    resumed = probed(train, test, left, 4, context=context)
    assert resumed.table.equals(whole.table)
    assert resumed.chosen == whole.chosen
    assert context.seen == [(done, 24) for done in range(1, 25)]


def test_of_too_many_training_images_some_are_drawn_by_seed(probed, given, blobs):
    train, test = blobs(400, 4, 2.0, 0), blobs(100, 4, 2.0, 1)
    left, _ = artifacts(torch.randn(10, 8, generator=torch.Generator().manual_seed(1)))
    some = build(PrototypesConfig, {**FEW.hashed(), "train_images": 150}, "it")
    tables = []
    for seed in (0, 0, 1):
        context = given(train, test)
        context.seed = seed
        tables.append(probed(train, test, left, 4, some, context).table)
    assert tables[0].equals(tables[1])
    assert not tables[0].equals(tables[2])
    assert not tables[0].equals(probed(train, test, left, 4).table)


def test_equal_features_are_at_chance_and_no_error(probed, blobs):
    (_, y), test = blobs(200, 4, 1.0, 0), blobs(200, 4, 1.0, 1)
    left, _ = artifacts(torch.randn(10, 8))
    one = torch.ones(200, 16)
    scores = PrototypeProbe.score(probed((one, y), (one, test[1]), left, 4).table)
    assert all(value < 40 for value in scores.values())


def test_what_cannot_be_measured_is_said(probed, blobs):
    train, test = blobs(40, 2, 1.0, 0), blobs(40, 2, 1.0, 1)
    left, _ = artifacts(torch.randn(41, 8))
    with pytest.raises(NotApplicable, match="there are no prototypes"):
        probed(train, test, {}, 2)
    with pytest.raises(NotApplicable, match="41 prototypes, more than the 40 training images"):
        probed(train, test, left, 2)
    with pytest.raises(DataError, match="of one class"):
        probed((train[0], 0 * train[1]), test, left, 2)
    few = build(PrototypesConfig, {"shots": 39}, "it")
    with pytest.raises(DataError, match=r"training images of 'class 0'.*fewer than 39 shots"):
        probed(train, test, left, 2, few)


def test_settings_and_data_that_do_not_fit_are_refused(spec):
    with pytest.raises(ConfigError, match="the smaller first"):
        build(PrototypesConfig, {"powers": [2.0, 1.0]}, "x")
    evaluation = PrototypeProbe(PrototypesConfig())
    assert evaluation.unsupported(None, spec(5)) is None
    assert "multilabel" in evaluation.unsupported(None, spec(5, "multilabel"))
