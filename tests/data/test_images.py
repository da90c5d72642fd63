"""Decoding, and images held in memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sslbench.data.images import FileImages, decode, decoded, held
from sslbench.errors import DataError


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_pixels_are_those_of_pillow_as_rgb(tmp_path: Path, mode: str, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    path = tmp_path / f"a.{kind.lower()}"
    Image.fromarray(noise).convert(mode).save(path, kind)
    with Image.open(path) as image:
        assert image.mode == mode
        expected = np.asarray(image.convert("RGB"))
    made = decode(path)
    assert made.dtype == torch.uint8
    np.testing.assert_array_equal(made.permute(1, 2, 0).numpy(), expected)
    assert torch.equal(decoded(path.read_bytes(), "a"), made)


def test_a_jpeg_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.effect_noise((64, 64), 50).convert("RGB").save(path)
    content = path.read_bytes()
    for length in (0, 100, len(content) // 2, len(content) * 9 // 10):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"a\.jpg: cannot be read as an image"):
            decode(path)
    with pytest.raises(DataError, match="there is none: cannot be read as an image"):
        decoded(content[:-200], "there is none")


def test_a_gigantic_image_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (15, 15)).save(path)
    monkeypatch.setattr("sslbench.data.images.MOST_PIXELS", 225)
    assert decode(path).shape == (3, 15, 15)
    monkeypatch.setattr("sslbench.data.images.MOST_PIXELS", 224)
    with pytest.raises(DataError, match="15 x 15 pixels, more than the 224"):
        decode(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow's own, of twice as many
    with pytest.raises(DataError, match="decompression bomb"):
        decode(path)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_grey_of_16_bits_keeps_its_upper_eight(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    ramp = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(ramp).save(path)
    found = decode(path)
    assert found.shape == (3, 256, 256)
    assert torch.equal(found[0], torch.arange(256, dtype=torch.uint8)[:, None].expand(256, 256))
    assert torch.equal(found[0], found[2])


def test_pixels_of_unknown_range_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(path)
    with pytest.raises(DataError, match=r"a\.tif: pixels are 32-bit numbers \(mode F\)"):
        decode(path)


def test_images_that_are_held_are_one_size(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        Image.new("RGB", (6, 5), (number, 2, 3)).save(path)
    pixels = held(FileImages(paths)).pixels
    assert pixels.shape == (4, 3, 5, 6)
    assert pixels[:, 0, 4, 5].tolist() == [0, 1, 2, 3]
    Image.new("RGB", (5, 6)).save(paths[2])
    with pytest.raises(
        DataError, match=r"one size expected, found sizes \[\(3, 5, 6\), \(3, 6, 5\)"
    ):
        held(FileImages(paths))
