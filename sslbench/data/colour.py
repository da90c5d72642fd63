"""What happens to the colours of a view: jitter, grayscale, blur, noise and solarize, as a batch.

Every transform means what torchvision's functional of that name means, with one parameter per
image. Which images a transform touches is decided from the table of uniforms on the CPU, so that a
GPU is never waited for; only those images are worked on.
"""

import math
from collections.abc import Callable
from itertools import permutations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from sslbench.data.geometry import at_a_time
from sslbench.data.random import Column, normals
from sslbench.data.recipe import Blur, Jitter, Look

Transform = Callable[[Tensor, Tensor], Tensor]  # some images and their rows of the table

GREY = (0.2989, 0.587, 0.114)  # ITU-R BT.601, as torchvision rounds it

_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)
_ORDERS = torch.tensor(list(permutations(range(4))))  # 24 x 4
_FACTORS = [Column.BRIGHTNESS, Column.CONTRAST, Column.SATURATION, Column.HUE]


def colour(images: Tensor, look: Look, table: Tensor, image_size: int) -> Tensor:
    """All colour transforms of a look, in its order: N x 3 x H x W in [0, 1].

    ``images`` (N x 3 x H x W, float in [0, 1]) are overwritten; ``table`` (N x columns) lies on the
    CPU; the blur's sigma counts in shares of ``image_size`` pixels.
    """
    jitter_images(images, look.jitter, table)

    def noisy(some: Tensor, rows: Tensor) -> Tensor:
        normal = normals(rows[:, Column.NOISE_KEY], some[0].numel())
        return some.add_(normal.view_as(some), alpha=look.noise.std).clamp_(0, 1)

    _change(images, table, _drawn(table, Column.GRAYSCALE, look.grayscale), lambda x, _: greyed(x))
    blur_images(images, look.blur, table, image_size)
    _change(images, table, _drawn(table, Column.NOISE, look.noise.p), noisy)
    _change(
        images,
        table,
        _drawn(table, Column.SOLARIZE, look.solarize.p),
        lambda x, _: torch.where(x >= look.solarize.threshold, 1 - x, x),
    )
    return images


def _drawn(table: Tensor, column: Column, p: float) -> Tensor:
    """The rows that a transform of probability ``p`` touches."""
    return (table[:, column] < p).nonzero()[:, 0]


def _change(images: Tensor, table: Tensor, rows: Tensor, transform: Transform) -> None:
    """Replace some images by what ``transform`` makes of them and of their uniforms."""
    if len(rows) == 0:
        return
    for part in torch.split(rows, at_a_time(images)):
        place = part.to(images.device, non_blocking=True)
        uniform = table[part].to(images.device, non_blocking=True)
        images.index_copy_(0, place, transform(images.index_select(0, place), uniform))


# ---- jitter -----------------------------------------------------------------------------------


def jitter_images(images: Tensor, setting: Jitter, table: Tensor) -> None:
    """Brightness, contrast, saturation and hue, in one of their 24 orders per image, in place."""
    order = _ORDERS[(table[:, Column.ORDER] * 24).long()]  # N x 4
    drawn = table[:, Column.JITTER] < setting.p
    for hue_place in range(4):
        # Where the hue comes at the same time, the other operations are blends: one product each.
        rows = (drawn & (order[:, hue_place] == _HUE)).nonzero()[:, 0]

        def jittered(some: Tensor, uniform: Tensor, hue_place: int = hue_place) -> Tensor:
            operations = _ORDERS.to(some.device)[(uniform[:, Column.ORDER] * 24).long()]
            factors = jitter_factors(setting, uniform)
            for time in range(4):
                operation = operations[:, time]
                if time != hue_place:
                    factor = factors.gather(1, operation[:, None])[:, 0]
                    some = blended(some, operation, factor)
                elif setting.hue > 0:
                    some = hue_shifted(some, factors[:, _HUE])
            return some

        _change(images, table, rows, jittered)


def jitter_factors(setting: Jitter, uniform: Tensor) -> Tensor:
    """N x 4: factors of brightness, contrast and saturation, and the hue's turn."""
    factors = torch.empty(len(uniform), 4, device=uniform.device)
    for place, amount in enumerate((setting.brightness, setting.contrast, setting.saturation)):
        low = max(0.0, 1 - amount)
        factors[:, place] = low + (1 + amount - low) * uniform[:, _FACTORS[place]]
    factors[:, _HUE] = (2 * uniform[:, Column.HUE] - 1) * setting.hue
    return factors


def blended(images: Tensor, operation: Tensor, factor: Tensor) -> Tensor:
    """Each image blended with black, with its mean grey or with its own greys, as chosen.

    Brightness, contrast and saturation are ``factor * x + (1 - factor) * other``, clamped; all
    three are affine in the three channels of a pixel.
    """
    pixels = images.flatten(2)  # N x 3 x HW
    grey = pixels.new_tensor(GREY)
    rest = 1 - factor
    towards_grey = (rest * (operation == _SATURATION))[:, None, None] * grey  # N x 1 x 3
    matrix = factor[:, None, None] * torch.eye(3, device=images.device) + towards_grey
    towards_mean = rest * (operation == _CONTRAST) * (pixels.mean(2) @ grey)  # N
    shift = towards_mean[:, None, None].expand(-1, 3, 1)
    return torch.baddbmm(shift, matrix, pixels).clamp_(0, 1).view_as(images)


def hue_shifted(images: Tensor, turns: Tensor) -> Tensor:
    """The hue of HSV moved by ``turns`` (N) of a full circle, saturation and value kept.

    On the hexagon of hues, in sixths of a turn with red at 0, a channel falls from the value to
    the darkest channel between one and two sixths from its own colour.
    """
    red, green, blue = images.unbind(1)  # N x H x W
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    # lerp with weights of 0 and 1 chooses exactly, and much faster than where.
    from_blue = torch.sub(red, green).add_(chroma, alpha=4)
    from_green = torch.sub(blue, red).add_(chroma, alpha=2)
    hue = from_blue.lerp_(from_green, (green == value).float())
    hue.lerp_(torch.sub(green, blue), (red == value).float())
    # In turns from here, and above 0 until only the fraction counts. Greys have chroma 0 and hue 0.
    hue.div_(torch.mul(chroma, 6).clamp_(min=1e-9)).add_((turns + 1)[:, None, None]).frac_()

    # Red counts from its opposite, cyan at a half, so that no distance goes around the circle.
    colours = images.new_tensor([3 / 6, 2 / 6, 4 / 6])[:, None, None]
    fall = torch.sub(hue[:, None], colours).abs_()
    torch.sub(3 / 6, fall[:, 0], out=fall[:, 0])
    fall.clamp_(1 / 6, 2 / 6).sub_(1 / 6)
    return torch.addcmul(value[:, None], fall, chroma[:, None], value=-6).clamp_(0, 1)


def greyed(images: Tensor) -> Tensor:
    """All three channels replaced by the image's grey."""
    red, green, blue = images.unbind(1)
    grey = (red * GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])
    return grey[:, None].expand_as(images)


# ---- blur -------------------------------------------------------------------------------------


def blur_images(images: Tensor, setting: Blur, table: Tensor, image_size: int) -> None:
    """Gaussian blur in place, the borders reflected."""
    low, high = (share * image_size for share in setting.sigma)
    radius = blur_radius(high, min(images.shape[-2:]))

    def blurred(some: Tensor, uniform: Tensor) -> Tensor:
        return gaussian_blurred(some, low + (high - low) * uniform[:, Column.BLUR_SIGMA], radius)

    _change(images, table, _drawn(table, Column.BLUR, setting.p), blurred)


def blur_radius(sigma: float, side: int) -> int:
    """Three sigma of the widest kernel, at least a pixel; reflection allows less than a side."""
    return min(max(1, math.ceil(3 * sigma)), side - 1)


def gaussian_blurred(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Each of N images by a kernel of its own: a convolution each way, every channel a group."""
    n, channels, height, width = images.shape
    kernel = blur_kernel(sigma, radius).repeat_interleave(channels, 0)  # NC x taps
    padded = pad(images, (radius,) * 4, mode="reflect")
    groups = padded.reshape(1, n * channels, height + 2 * radius, width + 2 * radius)
    wide = conv2d(groups, kernel[:, None, None, :], groups=n * channels)
    return conv2d(wide, kernel[:, None, :, None], groups=n * channels).view(images.shape)


def blur_kernel(sigma: Tensor, radius: int) -> Tensor:
    """N x taps, from ``-radius`` to ``radius``, with the sum 1."""
    offset = torch.arange(-radius, radius + 1, device=sigma.device)
    kernel = (-0.5 * (offset / sigma[:, None]) ** 2).exp()
    kernel /= kernel.sum(1, keepdim=True)
    return kernel
