"""kNN: the vote against a loop, its extremes, what it refuses."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from sslbench.api import DataError, evaluations
from sslbench.benchmarks.knn import KNN, KNNConfig, ranked_classes
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.protocols import resolve_evaluation
from sslbench.suite import EvaluationEntry

SMALL = KNNConfig(neighbours=(1, 5, 20), headline=5)


def test_separable_features_are_told_apart(given, measure, blobs):
    outcome = measure(KNN(SMALL), given(blobs(300, 8, 0.1, 0), blobs(100, 8, 0.1, 1)), 8)
    assert KNN.score(outcome.table)["top1"] == 100
    assert outcome.chosen == {}


def test_shuffled_labels_are_at_chance(given, measure, blobs):
    x, y = blobs(2000, 10, 0.1, 0)
    shuffled = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(3))]
    outcome = measure(KNN(SMALL), given((x, shuffled), blobs(1000, 10, 0.1, 1)), 10)
    scores = KNN.score(outcome.table)
    assert 4 < scores["top1"] < 17
    assert 38 < scores["top5"] < 63


def test_votes_are_those_of_a_loop(given, measure, blobs):
    bank, test = blobs(120, 7, 1.5, 0), blobs(40, 7, 1.5, 1)
    config = KNNConfig(neighbours=(3, 30), headline=30, temperature=0.5)
    table = measure(KNN(config), given(bank, test), 7).table
    near = normalize(bank[0]).double()
    for row, (x, _) in enumerate(zip(*test, strict=True)):
        cosines = (near @ normalize(x, dim=0).double()).tolist()
        for neighbours in (3, 30):
            votes: dict[int, float] = {}
            for position in sorted(range(120), key=lambda p: -cosines[p])[:neighbours]:
                voted = int(bank[1][position])
                votes[voted] = votes.get(voted, 0.0) + math.exp(cosines[position] / 0.5)
            expected = sorted(votes, key=lambda c: -votes[c])[:5]
            found = table[f"k{neighbours}"][row].as_py()
            assert found == expected + [-1] * (5 - len(expected))


def test_the_headline_is_one_of_the_measured_and_all_are_scored(given, measure, blobs):
    evaluation = KNN(SMALL)
    context = given(blobs(200, 10, 2.0, 0), blobs(200, 10, 2.0, 1))
    scores = KNN.score(measure(evaluation, context, 10).table)
    assert list(scores) == [m.name for m in evaluation.metrics]
    assert list(scores) == ["top1", "top5", "top1_k1", "top1_k5", "top1_k20"]
    assert scores["top1"] == scores["top1_k5"] != scores["top1_k20"]
    assert [m.name for m in KNN.metrics] == ["top1", "top5"]


def test_a_class_without_votes_takes_no_rank():
    ranked = ranked_classes(torch.ones(1, 3), torch.tensor([[4, 4, 2]]), 6, (1, 3), 0.07)
    assert ranked[1].tolist() == [[4, -1, -1, -1, -1]]
    assert ranked[3].tolist() == [[4, 2, -1, -1, -1]]


def test_of_classes_with_equal_votes_the_lower_comes_first():
    voted = torch.tensor([[6, 3, 5, 1, 3, 5, 2, 0]])
    ranked = ranked_classes(torch.ones(1, 8), voted, 8, (4, 8), 0.07)
    assert ranked[4].tolist() == [[1, 3, 5, 6, -1]]
    assert ranked[8].tolist() == [[3, 5, 0, 1, 2]]


def test_features_are_left_as_they_were(given, measure, blobs):
    bank, test = blobs(100, 3, 1.0, 0), blobs(30, 3, 1.0, 1)
    copies = [x.clone() for x in (*bank, *test)]
    measure(KNN(SMALL), given(bank, test), 3)
    assert all(torch.equal(x, copy) for x, copy in zip((*bank, *test), copies, strict=True))


def test_the_search_is_told_block_by_block(given, measure, blobs):
    context = given(blobs(100, 3, 1.0, 0), blobs(30, 3, 1.0, 1))
    measure(KNN(SMALL), context, 3)
    assert context.seen == [(1, 1)]


def test_a_small_temperature_does_not_overflow():
    ranked = ranked_classes(
        torch.tensor([[0.9, 0.8, 0.8]]), torch.tensor([[1, 0, 0]]), 2, (3,), 1e-3
    )
    assert ranked[3].tolist() == [[1, 0]]


def test_blocks_of_queries_change_nothing(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    similarity = torch.rand(50, 9, generator=generator).sort(1, descending=True).values
    voted = torch.randint(6, (50, 9), generator=generator)
    whole = ranked_classes(similarity, voted, 6, (2, 9), 0.1)
    monkeypatch.setattr("sslbench.benchmarks.knn.VOTES", 6 * 7)
    parts = ranked_classes(similarity, voted, 6, (2, 9), 0.1)
    assert all(torch.equal(whole[k], parts[k]) for k in (2, 9))


def test_more_neighbours_than_images_is_an_error(given, measure, blobs):
    context = given(blobs(19, 3, 0.1, 0), blobs(10, 3, 0.1, 1))
    with pytest.raises(DataError, match="19 training images, fewer than k = 20"):
        measure(KNN(SMALL), context, 3)


@pytest.mark.parametrize(
    "settings",
    [{"headline": 7}, {"neighbours": [20, 20]}, {"neighbours": [0, 20]}, {"neighbours": []}],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigError):
        build(KNNConfig, settings, "knn")


def test_data_with_boxes_or_several_labels_cannot_apply(spec):
    evaluation = KNN(KNNConfig())
    assert evaluation.unsupported(None, spec(5)) is None
    assert "multilabel" in evaluation.unsupported(None, spec(5, "multilabel"))
    assert "detection" in evaluation.unsupported(None, spec(5, "detection"))
    assert "1 label levels" in KNN(KNNConfig(level=1)).unsupported(None, spec(5))


@pytest.mark.parametrize(
    ("protocol", "headline", "temperature", "resize"),
    [("knn@dino", 20, 0.07, "bicubic"), ("knn@instdisc", 200, 0.1, "bilinear")],
)
def test_named_settings_are_those_of_the_papers(protocol, headline, temperature, resize):
    entry = EvaluationEntry(protocol=protocol, dataset="objects")
    resolved = resolve_evaluation("knn", entry, {}, 32)
    assert evaluations.get("knn") is KNN
    assert resolved.settings["headline"] == headline
    assert resolved.settings["temperature"] == temperature
    assert resolved.preprocessing.filter == resize
