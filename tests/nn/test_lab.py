"""CIE Lab against known colours, a formula of numbers, and its own inverse."""

import pytest
import torch

from sslbench.nn.lab import CENTRE, HALF_RANGE, lab_to_rgb, rgb_to_lab

KNOWN = {  # of sRGB under D65, as colour tables give them
    "white": ((1.0, 1.0, 1.0), (100.0, 0.0, 0.0)),
    "black": ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    "red": ((1.0, 0.0, 0.0), (53.24, 80.09, 67.20)),
    "green": ((0.0, 1.0, 0.0), (87.73, -86.18, 83.18)),
    "blue": ((0.0, 0.0, 1.0), (32.30, 79.19, -107.86)),
    "mid grey": ((0.5, 0.5, 0.5), (53.39, 0.0, 0.0)),
}


def image(*colour):
    return torch.tensor(colour, dtype=torch.float64).view(1, 3, 1, 1)


def some(count=40, dtype=torch.float64):
    return torch.rand(count, 3, 4, 5, generator=torch.Generator().manual_seed(0)).to(dtype)


def by_numbers(red, green, blue):
    """Lab of one colour, by the definition through X, Y and Z and the white's coordinates."""

    def linear(value):
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    def root(share):
        return share ** (1 / 3) if share > 216 / 24389 else (24389 / 27 * share + 16) / 116

    r, g, b = linear(red), linear(green), linear(blue)
    x = 0.4124564 * r + 0.3575761 * g + 0.1804375 * b
    y = 0.2126729 * r + 0.7151522 * g + 0.0721750 * b
    z = 0.0193339 * r + 0.1191920 * g + 0.9503041 * b
    fx, fy, fz = root(x / 0.95047), root(y), root(z / 1.08883)
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@pytest.mark.parametrize("name", KNOWN)
def test_known_colours_have_their_known_lab(name):
    colour, expected = KNOWN[name]
    assert rgb_to_lab(image(*colour)).flatten().tolist() == pytest.approx(expected, abs=1e-2)


def test_every_pixel_has_the_lab_of_its_own_colour():
    colours = some(4)
    colours[0] *= 0.05  # where both curves are straight lines
    found = rgb_to_lab(colours)
    for n in range(4):
        for row in range(4):
            for column in range(5):
                expected = by_numbers(*colours[n, :, row, column].tolist())
                assert found[n, :, row, column].tolist() == pytest.approx(expected, abs=1e-3)


def test_greys_have_no_colour():
    greys = torch.linspace(0, 1, 256).view(-1, 1, 1, 1).expand(-1, 3, 1, 1)
    found = rgb_to_lab(greys)
    assert found[:, 1:].abs().max() < 1e-3
    assert (found[1:, 0] > found[:-1, 0]).all()


def test_rgb_comes_back_from_lab():
    colours = torch.cat([some(), some() * 0.05])
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(colours)), colours, atol=1e-12, rtol=0)


def test_centre_and_half_range_are_those_of_all_colours_of_srgb():
    steps = torch.linspace(0, 1, 18, dtype=torch.float64)
    cube = torch.cartesian_prod(steps, steps, steps).view(-1, 3, 1, 1)
    lab = rgb_to_lab(cube).flatten(1)
    low, high = lab.amin(0), lab.amax(0)
    assert ((low + high) / 2).tolist() == pytest.approx(CENTRE, abs=5e-3)
    assert ((high - low) / 2).tolist() == pytest.approx(HALF_RANGE, abs=5e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lab_is_computed_in_float32_also_under_autocast(dtype):
    colours = some(dtype=dtype)
    with torch.autocast("cpu", torch.bfloat16):
        found = rgb_to_lab(colours)
    assert found.dtype == torch.float32
    expected = rgb_to_lab(colours.double()).float()
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


def test_colours_at_the_ends_of_the_curves_have_a_gradient():
    ends = torch.tensor([0.0, 0.04045, 1.0], dtype=torch.float64).view(3, 1, 1, 1)
    colours = ends.expand(3, 3, 1, 1).clone().requires_grad_()
    rgb_to_lab(colours).sum().backward()
    assert colours.grad.isfinite().all()
