"""Retrieval: every score against a loop over all cosines, who is asked, and what is kept."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch.nn.functional import normalize

from sslbench.api import DataError
from sslbench.benchmarks import retrieval as module
from sslbench.benchmarks.retrieval import Retrieval, RetrievalConfig
from sslbench.config import build
from sslbench.errors import ConfigError, Interrupted
from sslbench.metrics.retrieval import kept_neighbours
from sslbench.nn import ranking
from sslbench.protocols import resolve_evaluation
from sslbench.suite import EvaluationEntry


@pytest.fixture
def lent(given):
    """A context that keeps what is logged and which layers are asked for."""

    class Lent(given):
        def __init__(self, *data):
            super().__init__(*data)
            self.logged, self.layers = {}, []

        def log(self, name, value):
            self.logged[name] = value

        def features(self, encoder, dataset, split, layer=-1):
            self.layers.append(layer)
            return super().features(encoder, dataset, split, layer)

    return Lent


@pytest.fixture
def data(blobs):
    return blobs(90, 6, 2.0, 0), blobs(40, 6, 2.0, 1)


def expected(train, test, gallery, ranks, depth=None):
    """Scores by item, from all cosines in double precision, one query at a time."""
    values = {f"recall_at_{k}": [] for k in ranks} | {f"precision_at_{k}": [] for k in ranks}
    values |= {"map": []}
    x, y = test if gallery == "test" else train
    bank, of_bank = normalize(x.double()), y[:, 0].numpy()
    for row, (one, label) in enumerate(zip(*test, strict=True)):
        cosines = (bank @ normalize(one.double(), dim=0)).numpy()
        others = np.arange(len(bank)) != row if gallery == "test" else np.full(len(bank), True)
        relevant = (of_bank == int(label))[others]
        if not relevant.any():
            continue
        cosines = cosines[others]
        ranked = relevant[np.argsort(-cosines)]
        for k in ranks:
            values[f"recall_at_{k}"].append(100.0 * any(ranked[:k]))
            values[f"precision_at_{k}"].append(100.0 * sum(ranked[:k]) / k)
        if depth is None:
            values["map"].append(100 * average_precision_score(relevant, cosines))
        else:
            precisions = [ranked[: r + 1].mean() for r in range(depth) if ranked[r]]
            values["map"].append(100 * sum(precisions) / min(depth, relevant.sum()))
    if depth is not None:
        values[f"map_at_{depth}"] = values.pop("map")
    return values


@pytest.mark.parametrize("gallery", ["train", "test"])
@pytest.mark.parametrize("depth", [None, 7])
def test_scores_are_those_of_a_loop_over_all_cosines(lent, measure, data, gallery, depth):
    config = RetrievalConfig(gallery=gallery, ranks=(1, 3, 10), depth=depth)
    evaluation = Retrieval(config)
    outcome = measure(evaluation, lent(*data), 6)
    values = Retrieval.item_values(outcome.table)
    for name, by_item in expected(*data, gallery, (1, 3, 10), depth).items():
        if name != "precision_at_1":
            np.testing.assert_allclose(values.pop(name), by_item, rtol=1e-12, err_msg=name)
    assert not values
    assert evaluation.metrics[0].name == "recall_at_1"
    assert {metric.name for metric in evaluation.metrics} == set(Retrieval.score(outcome.table))
    assert outcome.chosen == {}


def test_a_cut_at_the_whole_gallery_is_the_whole_ranking(lent, measure, data):
    whole, cut = (
        Retrieval.score(measure(Retrieval(RetrievalConfig(depth=d)), lent(*data), 6).table)
        for d in (None, 90)
    )
    assert cut.pop("map_at_90") == pytest.approx(whole.pop("map"), rel=1e-12)
    assert cut == whole


def test_separable_features_are_all_found_and_shuffled_labels_by_chance(lent, measure, blobs):
    train, test = blobs(300, 8, 0.1, 0), blobs(100, 8, 0.1, 1)
    evaluation = Retrieval(RetrievalConfig())
    assert set(Retrieval.score(measure(evaluation, lent(train, test), 8).table).values()) == {100}
    order = torch.randperm(300, generator=torch.Generator().manual_seed(3))
    shuffled = train[0], train[1][order]
    scores = Retrieval.score(measure(evaluation, lent(shuffled, test), 8).table)
    assert 8 < scores["map"] < 20
    assert scores["precision_at_10"] < 25


@pytest.mark.parametrize("gallery", ["train", "test"])
@pytest.mark.parametrize("depth", [None, 12])
def test_the_nearest_are_kept_as_positions_in_the_gallery(lent, measure, data, gallery, depth):
    config = RetrievalConfig(gallery=gallery, ranks=(1, 12), depth=depth)
    items, labels, near, theirs = kept_neighbours(measure(Retrieval(config), lent(*data), 6).table)
    x, y = data[gallery == "test"]
    assert near.shape == (40, 10)
    assert (theirs == y[:, 0].numpy()[near]).all()
    assert (labels == data[1][1][:, 0].numpy()[items]).all()
    cosines = (normalize(data[1][0]) @ normalize(x).T).double()
    if gallery == "test":
        cosines.fill_diagonal_(-2)
    assert near.tolist() == cosines.argsort(dim=1, descending=True)[:, :10].tolist()


def test_a_query_with_nothing_to_find_is_left_out_and_counted(lent, measure, data):
    train, (x, y) = data
    y = y.clone()
    y[:] = y.clamp_max(3)
    y[11], y[12], y[30] = 4, 5, 5  # 4 has no other test image, 5 has one
    config = RetrievalConfig(gallery="test")
    for depth in (None, 20):
        context = lent(train, (x, y))
        table = measure(Retrieval(config.model_copy(update={"depth": depth})), context, 6).table
        assert context.logged == {"queries_without_relevant_images": 1}
        assert table["item"].to_pylist() == [item for item in range(40) if item != 11]
        values = expected(train, (x, y), "test", (1, 5, 10), depth)
        name = "map" if depth is None else "map_at_20"
        np.testing.assert_allclose(Retrieval.item_values(table)[name], values[name], rtol=1e-12)


def test_of_equal_images_the_first_come_first_and_the_query_is_never_its_own(lent, measure):
    x, y = torch.ones(9, 4), torch.arange(9)[:, None] % 2
    config = RetrievalConfig(gallery="test", ranks=(1, 4))
    for depth in (None, 4):
        evaluation = Retrieval(config.model_copy(update={"depth": depth}))
        items, _, near, _ = kept_neighbours(measure(evaluation, lent((x, y), (x, y)), 2).table)
        assert near.tolist() == [[p for p in range(9) if p != item][:4] for item in items.tolist()]


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_stopped_and_resumed_equals_never_stopped(lent, measure, data, monkeypatch, stop):
    monkeypatch.setattr(ranking, "SIMILARITIES", 90 * 11)
    monkeypatch.setattr(ranking, "SORTED", 90 * 4)
    evaluation = Retrieval(RetrievalConfig())
    whole = measure(evaluation, lent(*data), 6)
    context = lent(*data)
    context.stop = stop
    with pytest.raises(Interrupted):
        measure(evaluation, context, 6)
    assert measure(evaluation, context, 6).table.equals(whole.table)
    assert context.seen == [(11, 40), (22, 40), (33, 40), (40, 40)]


def test_a_resumed_one_ranks_no_query_twice(lent, measure, data, monkeypatch):
    monkeypatch.setattr(ranking, "SIMILARITIES", 90 * 11)
    context, ranked = lent(*data), []

    def counted(queries, *others):
        ranked.append(len(queries))
        return ranking.rankings(queries, *others)

    monkeypatch.setattr(module, "rankings", counted)

    def refuse(done, total):
        raise Interrupted("stop")

    context.progress = refuse
    for _ in range(4):
        with pytest.raises(Interrupted):
            measure(Retrieval(RetrievalConfig()), context, 6)
    measure(Retrieval(RetrievalConfig()), context, 6)
    assert ranked == [11, 11, 11, 7]


def test_labels_of_another_level_are_what_is_relevant(lent, measure, data):
    (x, y), (test, of_test) = data
    levels = (x, torch.cat([y, y // 3], 1)), (test, torch.cat([of_test, of_test // 3], 1))
    coarse = (x, y // 3), (test, of_test // 3)
    context = lent(*levels)
    spec = SimpleNamespace(name="toy", levels=[SimpleNamespace(classes=n) for n in (6, 2)])
    subject = SimpleNamespace(encoder=None)
    found = Retrieval(RetrievalConfig(level=1)).run(subject, SimpleNamespace(spec=spec), context)
    assert found.table.equals(measure(Retrieval(RetrievalConfig()), lent(*coarse), 2).table)


def test_features_are_of_the_layer_that_is_named(lent, measure, data):
    context = lent(*data)
    measure(Retrieval(RetrievalConfig(layer=2)), context, 6)
    assert context.layers == [2, 2]


def test_features_are_left_as_they_were(lent, measure, data):
    copies = [x.clone() for pair in data for x in pair]
    for gallery in ("train", "test"):
        measure(Retrieval(RetrievalConfig(gallery=gallery)), lent(*data), 6)
    assert all(torch.equal(x, c) for x, c in zip([*data[0], *data[1]], copies, strict=True))


def test_a_gallery_that_is_too_small_or_has_nothing_to_find_is_an_error(lent, measure, data):
    train, test = data
    with pytest.raises(DataError, match=r"has 90 images of toy \(train\) to find, fewer than 91"):
        measure(Retrieval(RetrievalConfig(depth=91)), lent(train, test), 6)
    with pytest.raises(DataError, match=r"has 39 images of toy \(test\) to find, fewer than 40"):
        measure(Retrieval(RetrievalConfig(gallery="test", ranks=(40,))), lent(train, test), 6)
    apart = torch.arange(40)[:, None]
    with pytest.raises(DataError, match="nothing to find"):
        measure(Retrieval(RetrievalConfig(gallery="test")), lent(train, (test[0], apart)), 40)


@pytest.mark.parametrize(
    "settings", [{"ranks": []}, {"ranks": [0]}, {"ranks": [1, 1]}, {"depth": 0}]
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigError):
        build(RetrievalConfig, settings, "retrieval")


def test_data_with_boxes_or_several_labels_cannot_apply(spec):
    evaluation = Retrieval(RetrievalConfig())
    assert evaluation.unsupported(None, spec(5)) is None
    assert "multilabel" in evaluation.unsupported(None, spec(5, "multilabel"))
    assert "1 label levels" in Retrieval(RetrievalConfig(level=1)).unsupported(None, spec(5))


@pytest.mark.parametrize(
    ("protocol", "headline", "others"),
    [
        ("retrieval", "recall_at_1", {"map", "recall_at_10", "precision_at_10"}),
        ("retrieval@metric-learning", "recall_at_1", {"recall_at_8", "map"}),
        ("retrieval@video-retrieval", "recall_at_1", {"recall_at_20", "map"}),
        ("retrieval@landmarks", "recall_at_1", {"map_at_100"}),
    ],
)
def test_named_settings_measure_what_their_papers_report(protocol, headline, others):
    resolved = resolve_evaluation(
        "x", EvaluationEntry(protocol=protocol, dataset="objects"), {}, 32
    )
    names = [m.name for m in Retrieval(build(RetrievalConfig, resolved.settings, "x")).metrics]
    assert names[0] == headline
    assert others < set(names)
