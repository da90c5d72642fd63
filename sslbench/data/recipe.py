"""Augmentation recipes and view layouts as settings. Imports no torch; augment.py does the work.

A recipe says what one view looks like; a layout says how many views there are and which. Sizes and
the blur's sigma are fractions of ``pretrain.image_size``, so one recipe serves 32 and 224 pixels.
"""

from functools import cache
from importlib import resources
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sslbench.config import Settings, Tree, build, load_yaml, merge
from sslbench.errors import ConfigError

Probability = Annotated[float, Field(ge=0, le=1)]


class Jitter(Settings):
    """Colour jitter: each factor uniform in [max(0, 1 - x), 1 + x], hue in turns, random order."""

    p: Probability = 0.0
    brightness: float = Field(0.0, ge=0)
    contrast: float = Field(0.0, ge=0)
    saturation: float = Field(0.0, ge=0)
    hue: float = Field(0.0, ge=0, le=0.5)


class Blur(Settings):
    """Gaussian blur with sigma uniform in a range of fractions of the image size."""

    p: Probability = 0.0
    sigma: tuple[float, float] = (0.1 / 224, 2.0 / 224)


class Rotate(Settings):
    """Rotation by an angle uniform in [-degrees, degrees], bilinear, black outside."""

    p: Probability = 0.0
    degrees: float = Field(0.0, ge=0, le=180)


class Noise(Settings):
    """Additive Gaussian noise, its standard deviation in units of the full range."""

    p: Probability = 0.0
    std: float = Field(0.0, ge=0)


class Solarize(Settings):
    """Pixels at or above the threshold (of 1) are inverted."""

    p: Probability = 0.0
    threshold: float = Field(0.5, ge=0, le=1)


class Look(Settings):
    """What one view looks like, in the order in which it is applied."""

    crop: tuple[float, float] = (0.2, 1.0)  # share of the image's area
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width by height
    flip: Probability = 0.5
    rotate: Rotate = Rotate()
    jitter: Jitter = Jitter()
    grayscale: Probability = 0.0
    blur: Blur = Blur()
    noise: Noise = Noise()
    solarize: Solarize = Solarize()

    @model_validator(mode="after")
    def _ranges_are_ranges(self) -> "Look":
        for name, (low, high) in (("crop", self.crop), ("ratio", self.ratio)):
            if not 0 < low <= high:
                raise ValueError(f"{name} [{low}, {high}] is no range of positive numbers")
        if self.crop[1] > 1:
            raise ValueError(f"crop {list(self.crop)} is larger than the image")
        return self


class Recipe(Look):
    """A look for every view, and what single views change of it (BYOL's asymmetry)."""

    per_view: tuple[Tree, ...] = ()  # changes of the first, second ... full-size view

    @model_validator(mode="after")
    def _views_are_looks(self) -> "Recipe":
        for view in range(len(self.per_view)):
            self.look(view)
        return self

    def look(self, view: int) -> Look:
        """The look of a view; views beyond ``per_view`` have the shared one."""
        shared = {k: v for k, v in self.model_dump(mode="json").items() if k != "per_view"}
        change = self.per_view[view] if view < len(self.per_view) else {}
        return build(Look, merge(shared, change), f"per_view {view + 1}")


class ViewConfig(Settings):
    """An entry of a layout. Only these four may differ from the recipe."""

    size: float = Field(1.0, gt=0, le=1)  # of pretrain.image_size; below 1 it is a local view
    crop: tuple[float, float] | None = None  # instead of the recipe's
    patches: Literal["none", "jigsaw", "grid"] = "none"
    grid: int = Field(0, ge=0)  # cells of a side where there are patches
    repeat: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _patches_have_a_grid(self) -> "ViewConfig":
        if (self.patches == "none") != (self.grid == 0):
            raise ValueError(f"patches: {self.patches} does not go with grid: {self.grid}")
        return self

    @property
    def is_full(self) -> bool:
        return self.patches == "none" and self.size == 1.0


@cache
def recipes() -> dict[str, Tree]:
    """The recipes known by name, from recipes.yaml."""
    text = resources.files("sslbench.data").joinpath("recipes.yaml").read_text(encoding="utf-8")
    return load_yaml(text, "recipes.yaml")


def recipe(name: str) -> Recipe:
    """The recipe called ``name``. Raises ConfigError if there is none."""
    if name not in recipes():
        raise ConfigError(f"no recipe {name!r}. Known: {', '.join(sorted(recipes()))}")
    tree = {key: value for key, value in recipes()[name].items() if key != "about"}
    return build(Recipe, tree, f"recipe {name!r}")


def layered(lower: Tree, upper: Tree) -> Tree:
    """``merge`` of a run's settings, in which a recipe that has a name may be changed by key."""
    trees = [tree.get("pretrain") for tree in (lower, upper)]
    below, above = (tree.get("augment") if isinstance(tree, dict) else None for tree in trees)
    if isinstance(below, str) and isinstance(above, dict) and "recipe" not in above:
        lower = merge(lower, {"pretrain": {"augment": {"recipe": below}}})
    return merge(lower, upper)
