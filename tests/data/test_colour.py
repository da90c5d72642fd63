"""Every colour transform against torchvision's with the same parameters."""

from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from sslbench.data.colour import (
    blended,
    blur_radius,
    colour,
    gaussian_blurred,
    hue_shifted,
    jitter_factors,
)
from sslbench.data.random import COLUMNS, Column, uniforms
from sslbench.data.recipe import (
    Blur,
    Jitter,
    Look,
    Noise,
    Solarize,
)

PLAIN = Look(crop=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0)
LIMIT = 2 / 255  # mean difference allowed at most
EXACT = 1e-5  # what float arithmetic reaches

Pictures = Callable[[int, int, int], Tensor]


def table_for(images: Tensor) -> Tensor:
    return uniforms(0, 0, torch.arange(len(images)), 0, COLUMNS)


def unit(images: Tensor) -> Tensor:
    return images.float() / 255


def differences(ours: Tensor, theirs: list[Tensor]) -> Tensor:
    """Mean absolute difference per image."""
    return (ours - torch.stack(theirs)).abs().flatten(1).mean(1)


ADJUST = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)


@pytest.mark.parametrize("operation", [0, 1, 2])
def test_brightness_contrast_and_saturation_are_torchvisions(
    images: Tensor, operation: int
) -> None:
    factors = torch.linspace(0, 2, len(images))
    ours = blended(unit(images), torch.full((len(images),), operation), factors)
    expected = [
        ADJUST[operation](image, float(factor))
        for image, factor in zip(unit(images), factors, strict=True)
    ]
    assert differences(ours, expected).max() < EXACT


def test_hue_is_torchvisions(images: Tensor) -> None:
    turns = torch.linspace(-0.5, 0.5, len(images))
    expected = [
        tv.adjust_hue(image, float(turn)) for image, turn in zip(unit(images), turns, strict=True)
    ]
    assert differences(hue_shifted(unit(images), turns), expected).max() < EXACT


def test_primary_colours_and_greys_have_the_hues_they_should() -> None:
    red_green_blue_grey = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.3, 0.3, 0.3]])
    shifted = hue_shifted(red_green_blue_grey[:, :, None, None], torch.full((4,), 1 / 3))
    expected = red_green_blue_grey[[1, 2, 0, 3]]
    assert torch.allclose(shifted[:, :, 0, 0], expected, atol=1e-6)


def test_jitter_is_torchvisions_in_all_orders(pictures: Pictures) -> None:
    images = pictures(200, 16, 16)
    table = table_for(images)
    jitter = Jitter(p=0.8, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
    orders = list(permutations(range(4)))
    factors = jitter_factors(jitter, table)
    expected, seen = [], set()
    for row, image in enumerate(unit(images)):
        if table[row, Column.JITTER] < jitter.p:
            number = int(table[row, Column.ORDER] * 24)
            seen.add(number)
            for operation in orders[number]:
                image = ADJUST[operation](image, float(factors[row, operation]))
        expected.append(image)
    assert len(seen) == 24
    ours = colour(unit(images), PLAIN.model_copy(update={"jitter": jitter}), table, 16)
    assert differences(ours, expected).max() < LIMIT / 10


def test_jitter_factors_span_their_ranges() -> None:
    jitter = Jitter(p=1.0, brightness=0.4, contrast=1.5, saturation=0.0, hue=0.1)
    factors = jitter_factors(jitter, uniforms(0, 0, torch.arange(5000), 0, COLUMNS))
    low, high = factors.min(0).values, factors.max(0).values
    assert torch.allclose(low, torch.tensor([0.6, 0.0, 1.0, -0.1]), atol=0.003)
    assert torch.allclose(high, torch.tensor([1.4, 2.5, 1.0, 0.1]), atol=0.003)


def test_grayscale_and_solarize_are_torchvisions(images: Tensor) -> None:
    table = table_for(images)
    grey = colour(unit(images), PLAIN.model_copy(update={"grayscale": 1.0}), table, 32)
    expected = [tv.rgb_to_grayscale(image, num_output_channels=3) for image in unit(images)]
    assert differences(grey, expected).max() < EXACT
    look = PLAIN.model_copy(update={"solarize": Solarize(p=1.0, threshold=0.5)})
    expected = [tv.solarize(image, 0.5) for image in unit(images)]
    assert differences(colour(unit(images), look, table, 32), expected).max() < EXACT


@pytest.mark.parametrize("sigma", [0.02, 0.3, 1.0, 3.0])
def test_blur_is_torchvisions(images: Tensor, sigma: float) -> None:
    radius = blur_radius(sigma, 32)
    taps = 2 * radius + 1
    expected = [tv.gaussian_blur(image, [taps, taps], [sigma, sigma]) for image in unit(images)]
    found = gaussian_blurred(unit(images), torch.full((len(images),), sigma), radius)
    assert differences(found, expected).max() < EXACT


def test_the_radius_of_the_blur_suffices_for_its_largest_sigma(pictures: Pictures) -> None:
    images = pictures(8, 64, 64)
    table = table_for(images)
    look = PLAIN.model_copy(update={"blur": Blur(p=1.0, sigma=(0.5 / 64, 2.0 / 64))})
    sigma = 0.5 + 1.5 * table[:, Column.BLUR_SIGMA]
    expected = [
        tv.gaussian_blur(image, [41, 41], [float(s), float(s)])
        for image, s in zip(unit(images), sigma, strict=True)
    ]
    assert differences(colour(unit(images), look, table, 64), expected).max() < LIMIT


def test_noise_has_its_standard_deviation_and_is_clamped() -> None:
    grey = torch.full((64, 3, 32, 32), 0.5)
    look = PLAIN.model_copy(update={"noise": Noise(p=1.0, std=0.1)})
    table = table_for(grey)
    noise = colour(grey.clone(), look, table, 32) - 0.5
    assert noise.mean().abs() < 0.002
    assert (noise.std() - 0.1).abs() < 0.002
    assert torch.corrcoef(noise.flatten(1)).sub(torch.eye(64)).abs().max() < 0.1
    loud = colour(grey.clone(), look.model_copy(update={"noise": Noise(p=1.0, std=9.0)}), table, 32)
    assert loud.min() == 0
    assert loud.max() == 1


@pytest.mark.parametrize("shape", [(97, 131), (224, 224), (96, 110), (7, 9)])
def test_every_image_is_blurred_by_its_own_sigma(shape: tuple[int, int]) -> None:
    images, sigma, radius = torch.rand(3, 3, *shape), torch.tensor([0.1, 1.0, 2.0]), 6
    expected = [
        tv.gaussian_blur(image, [13, 13], [float(s), float(s)])
        for image, s in zip(images, sigma, strict=True)
    ]
    found = gaussian_blurred(images, sigma, radius)
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-6)
