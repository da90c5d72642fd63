"""Nearest neighbours, the features that they are found by, and their layout in two dimensions."""

from typing import Any

import numpy as np
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from sslbench.features import FeatureStore
from sslbench.gallery import collection as collections
from sslbench.gallery.collection import Collection
from sslbench.gallery.embedding import laid_out, looks
from sslbench.gallery.retrieval import NEAREST, QUERIES, RIGHT, WRONG, neighbours, retrieval
from sslbench.report.picture import Picture


def test_neighbours_are_the_largest_cosines_and_never_oneself() -> None:
    rows = torch.nn.functional.normalize(
        torch.randn(700, 6, generator=torch.Generator().manual_seed(0)), dim=1
    )
    found = neighbours(rows, 5)
    for row in (0, 1, 511, 512, 699):
        others = [other for other in range(700) if other != row]
        nearest = sorted(others, key=lambda other: -float(rows[row] @ rows[other]))[:5]
        assert found[row].tolist() == nearest


def test_frames_say_whether_a_neighbour_is_of_the_querys_class(house: Any) -> None:
    house.hang("moco")
    collection: Collection = house.collection()
    picture = retrieval(collection)
    assert isinstance(picture, Picture)
    frames = [one for one in picture.draw().axes[0].patches if isinstance(one, Rectangle)]
    assert len(frames) == QUERIES * (1 + NEAREST)
    labels = collection.dataset.labels("test")[collection.pool, 0]
    found = neighbours(collection.pool_features(collection.exhibits[0]), NEAREST).numpy()
    queries = [
        collection.pool.tolist().index(position)
        for position in collection.drawn("test", QUERIES).tolist()
    ]
    for row, query in enumerate(queries):
        shown = frames[row * (1 + NEAREST) + 1 : (row + 1) * (1 + NEAREST)]
        right = [bool(labels[other] == labels[query]) for other in found[query]]
        colours = [RIGHT["edgecolor"] if is_right else WRONG["edgecolor"] for is_right in right]
        assert [to_hex(frame.get_edgecolor()).upper() for frame in shown] == colours
        solid = [frame.get_linestyle() in ("-", "solid") for frame in shown]
        assert solid == right
    share = (labels[found] == labels[:, None]).mean()
    words = [text.get_text() for text in picture.draw().axes[0].texts]
    assert f"Moco: {100 * share:.0f} % right" in words


def test_queries_are_of_different_classes_and_the_same_each_time(house: Any) -> None:
    house.hang("moco")
    collection: Collection = house.collection()
    drawn = collection.drawn("test", 36)
    assert len(set(collection.dataset.labels("test")[drawn, 0])) == 36
    assert drawn.tolist() == house.collection().drawn("test", 36).tolist()
    assert drawn[:4].tolist() == collection.drawn("test", 4).tolist()
    every = collection.drawn("test", 192)
    assert sorted(every.tolist()) == list(range(192))


def test_features_are_those_of_the_encoder_whether_stored_or_not(house: Any) -> None:
    house.hang("moco", measured="objects_tiny")
    collection: Collection = house.collection()
    one, positions = collection.exhibits[0], np.array([7, 3, 150])
    fresh = collection.features(one, "test", positions)
    encoder = collection.encoder(one)
    how = one.preprocessing("objects_tiny")
    assert how.crop_fraction == 1.0  # the record's, not the default
    images = collection.dataset.images("test")
    pixels = torch.stack([images.read(int(p)) for p in positions]).float() / 255
    assert torch.allclose(fresh, encoder(pixels), atol=1e-5)
    stored = FeatureStore(house.store.features_folder).features(
        encoder,
        collection.dataset,
        "test",
        -1,
        how,
        seed=0,
        device=torch.device("cpu"),
        workers=0,
        on_progress=lambda done, total: None,
    )
    assert torch.allclose(fresh, stored.x[torch.from_numpy(positions)], atol=1e-5)
    (file,) = house.store.features_folder.glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-4 * len(stored.x[0]) :] = np.full(len(stored.x[0]), 42, np.float32).tobytes()
    file.write_bytes(content)
    assert (collection.features(one, "test", np.array([191])) == 42).all()  # read, not computed


def test_without_stored_features_nothing_is_written(house: Any) -> None:
    house.hang("moco")
    collection: Collection = house.collection()
    collection.pool_features(collection.exhibits[0])
    assert not house.store.features_folder.exists()


def test_of_many_classes_whole_ones_are_drawn(house: Any, monkeypatch: Any) -> None:
    house.hang("moco")
    monkeypatch.setattr(collections, "POOL_CLASSES", 5)
    monkeypatch.setattr(collections, "POOL_IMAGES", 20)
    collection: Collection = house.collection()
    labels = collection.dataset.labels("test")[:, 0]
    assert len(collection.pool) == 20
    assert len(set(labels[collection.pool])) == 5
    assert (np.diff(collection.pool) > 0).all()


def test_separate_blobs_stay_apart_in_two_dimensions() -> None:
    draws = np.random.default_rng(0)
    centres = np.repeat(np.eye(3, 8), 30, axis=0)
    rows = (centres + draws.normal(0, 0.05, centres.shape)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    points, blob = laid_out(rows), np.repeat(np.arange(3), 30)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (blob[apart.argmin(1)] == blob).all()
    assert (laid_out(rows) == points).all()


def test_finer_classes_are_shades_and_keep_their_kingdoms_shape() -> None:
    kingdom = np.repeat(np.arange(4), 9)
    species = np.arange(36)
    fine, coarse = looks(species, kingdom), looks(kingdom, kingdom)
    assert len({(look.colour, look.shape) for look in fine.values()}) == 36
    assert [fine[one].shape for one in range(36)] == [coarse[k].shape for k in kingdom]
    assert len({look.colour for look in coarse.values()}) == 4


def test_many_classes_of_one_level_differ_in_colour_or_shape() -> None:
    labels = np.arange(36)
    assert len(set(looks(labels, labels).values())) == 36
