"""A picture of a report, before it is drawn, and how it comes into its files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sslbench.disk import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """What is drawn, out of what, and what it says to those who cannot see it."""

    name: str  # of its files, without ending; unique in a suite
    title: str
    caption: str  # what is seen and how to read it
    alternative: str  # the finding in words or numbers
    inputs: str  # of everything it is drawn from, a digest or the text: equal ones, equal pictures
    draw: Callable[[], "Figure"]


def write_figure(draw: Callable[[Path, Path], None], png: Path, svg: Path) -> None:
    """Both files of a figure, or neither: ``draw`` writes a PNG and an SVG, in that order.

    Raises UnwritableError as ``write_atomic`` does.
    """

    def both(temporary: Path) -> None:
        write_atomic(svg, lambda second: draw(temporary, second))

    write_atomic(png, both)
