"""A picture of a report, before it is drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
