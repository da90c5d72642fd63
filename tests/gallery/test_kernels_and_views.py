"""First-layer kernels, and the views that methods see."""

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sslbench.data.loaders import ViewLoader
from sslbench.data.recipe import ViewConfig
from sslbench.gallery.augmented_views import _recipe, _views, augmented_views
from sslbench.gallery.kernels import _colourless, _shown, _stem, kernels
from sslbench.report.picture import Picture
from sslbench.train.export import import_tensors


def test_the_first_layer_is_read_alone_and_as_it_is(house: Any) -> None:
    house.hang("moco")
    house.hang("dino", house.vit)
    moco, dino = house.collection().exhibits
    for one, name in ((moco, "network.conv1.weight"), (dino, "network.patch_embed.proj.weight")):
        weights = _stem(one)
        assert weights is not None
        assert (weights == import_tensors(one.path)[name].numpy()).all()


def test_kernels_of_two_towers_are_grey_and_coloured(house: Any) -> None:
    house.hang("cmc", house.resnet.model_copy(update={"input": "lab_split"}))
    weights = _stem(house.collection().exhibits[0])
    assert weights is not None
    lightness, colour = weights[: len(weights) // 2], weights[len(weights) // 2 :]
    assert _colourless(lightness) == 1.0
    assert _colourless(colour) == 0.0


def test_an_encoder_without_such_a_layer_is_named(house: Any) -> None:
    house.hang("moco")
    path = house.hang("other") / "encoder.safetensors"
    save_file({**import_tensors(path), "second.weight": torch.ones(1, 3, 3, 3)}, path)
    picture = kernels(house.collection())
    assert isinstance(picture, Picture)
    assert "for want of such a layer: Other." in picture.caption


def test_kernels_are_scaled_each_by_its_largest_weight() -> None:
    weights = np.random.default_rng(0).normal(size=(100, 3, 3, 3)).astype(np.float32)
    shown = _shown(weights)
    assert shown.shape == (64, 3, 3, 3)
    assert np.allclose(np.abs(shown).max((1, 2, 3)), 1)
    scaled = weights / np.abs(weights).max((1, 2, 3), keepdims=True)
    assert all(np.abs(scaled - one).max((1, 2, 3)).min() < 1e-6 for one in shown)


def test_patch_embeddings_are_shown_by_their_components() -> None:
    draws = np.random.default_rng(0)
    basis = np.linalg.qr(draws.normal(size=(3 * 16 * 16, 4)))[0].T  # 4 orthogonal patterns
    weights = (draws.normal(size=(50, 4)) * [8, 4, 2, 1] @ basis).reshape(50, 3, 16, 16)
    shown = _shown(weights.astype(np.float32))
    assert len(shown) == 36
    rows = shown[:4].reshape(4, -1)
    inside = rows @ basis.T @ basis
    assert np.allclose(inside, rows, atol=1e-3)  # the first four span the patterns


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_colourless_kernels_are_counted(share: float) -> None:
    draws = np.random.default_rng(0)
    weights = draws.normal(size=(40, 3, 3, 3)).astype(np.float32)
    weights -= weights.mean(1, keepdims=True)
    grey = int(share * 40)
    weights[:grey] = draws.normal(size=(grey, 1, 3, 3))
    assert _colourless(weights) == share


def test_views_are_those_of_the_first_epochs_of_training(house: Any) -> None:
    layout = (ViewConfig(), ViewConfig(), ViewConfig(size=0.5, crop=(0.1, 0.4), repeat=2))
    house.hang("hcsc", seed=3, views=layout)
    collection = house.collection()
    images, training = collection.dataset.images("train"), collection.trainings[0]
    loader = ViewLoader(
        images,
        training.pretrain.augment,
        layout,
        32,
        64,
        3,
        device=torch.device("cpu"),
        workers=0,
        path="batched",
    )
    recipe = _recipe([training])
    assert recipe.columns == 8
    seen: dict[tuple[int, int], tuple[torch.Tensor, ...]] = {}
    for epoch in range(2):
        for views, index in loader.epoch(epoch):
            for row, position in enumerate(index.tolist()):
                seen[epoch, position] = tuple(view[row] for view in views)
    for position in collection.drawn("train", 3).tolist():
        expected = [*seen[0, position], *seen[1, position]]
        found = [made for _, made in _views(recipe, images, position)]
        assert [one.shape[-1] for one in found] == [32, 32, 16, 16] * 2
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))


def test_runs_of_one_recipe_share_a_block_and_others_have_their_own(house: Any) -> None:
    house.hang("moco")
    house.hang("hcsc")
    house.hang("pirl", views=(ViewConfig(), ViewConfig(patches="jigsaw", grid=3)))
    picture = augmented_views(house.collection())
    assert isinstance(picture, Picture)
    assert picture.alternative.startswith("Moco · Hcsc: 2 full;")
    assert "Pirl: 1 full, 1 3 x 3 jigsaw;" in picture.alternative
    words = [text.get_text() for text in picture.draw().axes[0].texts]
    assert words.count("image") == 2
