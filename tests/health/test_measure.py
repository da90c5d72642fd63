"""Measuring a method: what it finds, and that it leaves no trace."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from sslbench.api import DataInfo, Method
from sslbench.conformance.trial import CPU, built, images, planned
from sslbench.data.images import HeldImages, ImageSet
from sslbench.data.loaders import ViewLoader, embed_batches
from sslbench.errors import Diverged
from sslbench.health.measure import (
    Probe,
    cluster_signals,
    due,
    feature_signals,
    looked_at,
    prototype_signals,
)
from sslbench.metrics import collapse
from sslbench.nn.clustering import Clusters, Level
from sslbench.nn.digest import tensors_digest
from sslbench.plan import Planned

FEATURES = {
    *("rank", "rank_share", "spread", "spread_share"),
    *("deviation", "alignment", "uniformity", "neighbours"),
}


class Files:
    """Images that are read one by one, as files are."""

    def __init__(self, held: HeldImages) -> None:
        self.held = held

    def __len__(self) -> int:
        return len(self.held)

    def read(self, position: int) -> Tensor:
        return self.held.read(position)


def probe_of(
    row: Planned, source: ImageSet | None = None, path: str = "batched", count: int = 128
) -> Probe:
    pretrain = row.config.pretrain.model_copy(update={"views_path": path})
    loader = ViewLoader(
        source or images(row.data.images),
        pretrain.augment,
        pretrain.views,
        pretrain.image_size,
        pretrain.batch_size,
        row.config.seed,
        device=CPU,
        workers=0,
        path=pretrain.views_path,
    )
    return Probe(loader, pretrain, row.config.seed, count, 0, lambda view: view)


@pytest.mark.parametrize(
    ("label", "more"),
    [
        ("simclr", set()),
        ("moco", {"queue_age_steps", "queue_age_epochs"}),
        ("swav", {"prototypes_used", "prototypes_entropy", "prototypes_distinct"}),
        ("dino", {"prototypes_used", "prototypes_entropy", "prototypes_distinct"}),
        ("cpc", set()),  # of patches, measured on whole images
        ("cmc", set()),  # of two towers
    ],
)
def test_every_method_is_measured_and_left_as_it_was(label: str, more: set[str]) -> None:
    row = planned(label)
    method = built(row)
    method.train()
    frozen = next(m for m in method.modules() if isinstance(m, torch.nn.Conv2d))
    frozen.eval()
    probe = probe_of(row)
    modes = {name: part.training for name, part in method.named_modules()}
    state, rng = tensors_digest(method.state_dict()), torch.get_rng_state()
    signals = probe.signals(method)
    assert FEATURES | more <= signals.keys()
    assert {name: part.training for name, part in method.named_modules()} == modes
    assert tensors_digest(method.state_dict()) == state
    assert torch.equal(torch.get_rng_state(), rng)
    assert probe.signals(method) == signals


def test_features_are_those_of_the_evaluated_encoder_on_some_of_the_training_images() -> None:
    row = planned("dino")
    method = built(row)
    for parameter in method.encoder.parameters():  # the student's; the teacher is evaluated
        parameter.data.zero_()
    probe = probe_of(row, count=300)
    encoder = method.evaluated_encoder().eval()
    pixels = images(row.data.images).pixels
    every = {tuple(image.flatten().tolist()) for image in pixels[:, :, ::8, ::8]}
    chosen = [tuple(image.flatten().tolist()) for image in probe.images.pixels[:, :, ::8, ::8]]  # type: ignore[attr-defined]
    assert len(chosen) == len(set(chosen)) == 256  # full batches
    assert set(chosen) <= every
    with torch.no_grad():
        views = embed_batches(probe.images, 32, 512, device=CPU, workers=0)
        features = torch.cat([encoder(view) for view in views])
    signals = probe.signals(method)
    assert signals["rank"] == pytest.approx(collapse.effective_rank(features), rel=1e-5)
    assert signals["deviation"] == pytest.approx(collapse.deviation(features), rel=1e-4)


def test_images_that_are_read_one_by_one_give_the_same_signals() -> None:
    row = planned("simclr")
    method = built(row)
    held = probe_of(row).signals(method)
    read = probe_of(row, Files(images(row.data.images)), "workers").signals(method)
    # Crops made one by one are rounded to whole numbers before their colours.
    assert read == pytest.approx(held, rel=0.02)


def test_the_random_view_belongs_to_the_image_of_its_row() -> None:
    bare = {"recipe": "crop", "crop": [1.0, 1.0], "flip": 0.0}
    row = planned("simclr", {"pretrain": {"augment": bare}})
    signals = probe_of(row).signals(built(row))
    # Without any change but the crop's border, both views of an image show nearly the same.
    assert signals["alignment"] < 0.5 * probe_of(planned("simclr")).signals(built(row))["alignment"]


def test_features_that_are_not_finite_are_a_divergence() -> None:
    centre = torch.randn(6, 3)
    with pytest.raises(Diverged, match="1 of 12 views are not finite"):
        feature_signals(centre, centre.index_fill(0, torch.tensor([2]), torch.inf))


def test_equal_features_lose_their_rank_and_deviation() -> None:
    row = torch.rand(1, 16)
    signals = feature_signals(row.expand(40, 16), row.expand(40, 16))
    assert signals["rank"] == pytest.approx(1, abs=1e-3)
    assert signals["rank_share"] == pytest.approx(1 / 16, abs=1e-3)
    assert signals["deviation"] == pytest.approx(0, abs=1e-6)
    assert signals["spread"] <= 1.01


def test_the_rank_counts_a_common_mean_and_the_spread_does_not() -> None:
    two = torch.tensor([[3.0, 1.0, 0.0], [3.0, -1.0, 0.0]]).repeat(20, 1)
    signals = feature_signals(two, two)
    assert signals["spread"] == pytest.approx(1)
    assert signals["rank"] == pytest.approx(
        collapse.effective_rank(torch.diag(torch.tensor([3.0, 1.0])))
    )


def levels(prototypes: Tensor, assignment: Sequence[int], kept: Sequence[bool]) -> Level:
    count = len(prototypes)
    return Level(
        torch.tensor(assignment),
        prototypes,
        torch.ones(count),
        torch.tensor(kept),
        torch.zeros(count, dtype=torch.long),
    )


def test_clusters_are_found_wherever_a_method_keeps_them_and_the_worst_level_counts() -> None:
    axes = torch.eye(4)
    even = levels(axes, [0, 0, 1, 1, 2, 2, 3, 3], [True] * 4)
    clusters = Clusters(8, (4, 4), 4)
    assert cluster_signals([clusters]) == {}  # before the first clustering
    clusters.store([even, even])
    expected = {"clusters_used": 1.0, "clusters_entropy": 1.0, "clusters_distinct": 1.0}
    assert cluster_signals([clusters]) == pytest.approx(expected)
    clusters.store([even, replace(even, assignment=torch.zeros(8, dtype=torch.long))])
    expected = {"clusters_used": 0.25, "clusters_entropy": 0.0, "clusters_distinct": 1.0}
    assert cluster_signals([clusters]) == pytest.approx(expected)
    clusters.store([replace(even, prototypes=axes[:1].expand(4, 4)), even])
    assert cluster_signals([clusters])["clusters_distinct"] == 0.25


def test_a_discarded_cluster_does_not_count_as_empty() -> None:
    clusters = Clusters(8, (4,), 4)
    clusters.store([levels(torch.eye(4), [0, 0, 1, 1, 2, 2, 2, 2], [True, True, True, False])])
    assert cluster_signals([clusters])["clusters_used"] == 1


def test_the_prototype_in_use_is_the_nearest() -> None:
    scores = torch.tensor([[0.9, 0.1, 0.2, 0.0], [0.8, 0.3, 0.1, 0.0], [0.1, 0.2, 0.7, 0.0]])
    signals = prototype_signals([scores[:2], scores[2:], scores])
    assert signals["prototypes_used"] == 0.5
    assert signals["prototypes_distinct"] == 1
    same = scores[:, :1].expand(3, 4)
    assert prototype_signals([same])["prototypes_distinct"] == 0.25
    assert prototype_signals([]) == {}


def test_the_age_of_a_queue_is_its_size_in_batches() -> None:
    row = planned("moco", {"params": {"queue_size": 160}})
    signals = probe_of(row).signals(built(row))
    assert signals["queue_age_steps"] == 5
    assert signals["queue_age_epochs"] == pytest.approx(5 / 3)


def test_measurements_are_some_ten_a_run_and_fewer_where_epochs_are_short() -> None:
    def epochs(images: int, epochs: int) -> list[int]:
        data = DataInfo(images, 256, 32, epochs, images // 256)
        return [epoch + 1 for epoch in range(epochs) if due(epoch, data)]

    assert epochs(1_281_167, 200) == list(range(20, 201, 20))
    assert epochs(50_000, 15) == [1, 3, 5, 7, 9, 11, 13, 15]
    assert epochs(8000, 16) == [4, 10, 16]  # the quick suite
    assert epochs(512, 2) == [2]


def test_a_short_run_is_measured_on_fewer_images() -> None:
    def count(images: int, epochs: int) -> int:
        return looked_at(DataInfo(images, 256, 32, epochs, images // 256))

    assert count(8000, 16) == count(8000, 0) == 1024
    assert count(8000, 1) == 7936 // 40
    assert count(512, 1) == 64
    assert count(700, 200) == 700


def test_the_outputs_of_dino_are_its_teachers_without_their_centre() -> None:
    method = built(planned("dino")).eval()
    view = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        before = method.prototype_scores(view)
        method.centre[3] = 5.0  # type: ignore[index, operator]
        after = method.prototype_scores(view)
    assert before is not None
    assert after is not None
    moved = (before - after).abs().sum(0).nonzero()[:, 0]
    assert moved.tolist() == [3]


def test_scores_are_asked_of_a_method_that_learns_prototypes_only() -> None:
    row = planned("simclr")
    method: Method = built(row)
    assert method.prototype_scores(torch.rand(2, 3, 32, 32)) is None
    row = planned("swav")
    method = built(row).eval()
    view = torch.rand(4, 3, 32, 32)
    scores = method.prototype_scores(view)
    assert scores is not None
    embedding = normalize(method.head(method.encoder(view)))  # type: ignore[operator]
    torch.testing.assert_close(scores, embedding @ method.artifacts()["prototypes_0"].T)
