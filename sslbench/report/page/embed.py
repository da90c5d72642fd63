"""Pictures of a report: drawn into files, and put into the page as data."""

import base64
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sslbench.config import fingerprint
from sslbench.disk import write_text
from sslbench.errors import SSLBenchError, UnwritableError
from sslbench.report.picture import Picture, write_figure

INPUTS = "inputs.json"  # by picture, the digest of what it was last drawn from
VERSION = 2  # bumped by hand when drawing changes, so that older files are drawn again
DOTS_PER_INCH = 200  # of the PNGs of sslbench.report.plots
MOST_LINES = 200_000  # bytes of an SVG that the page prefers, sharp at any size, to a smaller PNG


@dataclass(frozen=True)
class Shown:
    """A picture in the page."""

    name: str
    title: str
    caption: str
    alternative: str
    source: str  # a data: address
    width: int  # CSS pixels, of which there are 96 in an inch of the figure
    height: int


def draw_pictures(pictures: Sequence[Picture], folder: Path) -> tuple[list[Picture], list[str]]:
    """Draws what is not drawn yet from equal inputs, as PNG and SVG; removes all other pictures.

    Returns those that are there, and a sentence for each that could not be drawn.
    Raises UnwritableError if the folder cannot be written.
    """
    known = _known(folder)
    digests: dict[str, str] = {}
    found, left_out = [], []
    for picture in pictures:
        files = [folder / f"{picture.name}.{ending}" for ending in ("png", "svg")]
        digest = fingerprint([VERSION, picture.name, picture.inputs])
        try:
            if known.get(picture.name) != digest or not all(file.is_file() for file in files):
                _draw(picture, *files)
        except UnwritableError:
            raise
        except SSLBenchError as error:
            left_out.append(f"{picture.title}: {error}")
            continue
        digests[picture.name] = digest
        found.append(picture)
    if folder.is_dir():
        for file in folder.iterdir():
            if file.suffix in (".png", ".svg") and file.stem not in digests:
                file.unlink()  # of an earlier plan
    if found:
        text = json.dumps(digests, indent=1, sort_keys=True) + "\n"
        write_text(folder / INPUTS, text)
    return found, left_out


def embed(picture: Picture, folder: Path) -> Shown:
    """The drawn picture as it stands in the page: the SVG if it is small or the smaller one."""
    png, svg = (folder / f"{picture.name}.{ending}" for ending in ("png", "svg"))
    lines, pixels = svg.read_bytes(), png.read_bytes()
    if len(lines) <= max(len(pixels), MOST_LINES):
        kind, data = "image/svg+xml", lines
    else:
        kind, data = "image/png", pixels
    source = f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
    width, height = struct.unpack(">II", pixels[16:24])  # where a PNG says its size
    return Shown(
        name=picture.name,
        title=picture.title,
        caption=picture.caption,
        alternative=picture.alternative,
        source=source,
        width=round(width * 96 / DOTS_PER_INCH),
        height=round(height * 96 / DOTS_PER_INCH),
    )


def _known(folder: Path) -> dict[str, Any]:
    try:
        tree = json.loads((folder / INPUTS).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # none yet, or cut off: all are drawn again
        return {}
    return tree if isinstance(tree, dict) else {}


def _draw(picture: Picture, png: Path, svg: Path) -> None:
    from sslbench.report.plots import save  # half a second, and often not needed

    def draw(first: Path, second: Path) -> None:
        save(picture.draw, first, second)
        _shrink(first)

    write_figure(draw, png, svg)


def _shrink(png: Path) -> None:
    """Keeps the 256 colours that serve best: a half to a third of the bytes."""
    with Image.open(png) as image:
        flat = Image.new("RGB", image.size, "white")
        flat.paste(image, mask=image.getchannel("A") if "A" in image.getbands() else None)
    small = flat.quantize(256, dither=Image.Dither.NONE)
    small.save(png, format="png", optimize=True)
