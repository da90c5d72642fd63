"""What methods see: views of training images by the recipes of a suite's runs.

The very views of the first epochs: a view depends on the run's seed, the epoch, the image's place
and the view's number, and on nothing else.
"""

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from sslbench.config import canonical, fingerprint
from sslbench.data.augment import View, planned, planned_views
from sslbench.data.images import ImageSet
from sslbench.gallery.collection import Collection
from sslbench.gallery.exhibits import Training
from sslbench.gallery.sheet import LETTER, LINE, Sheet, mosaic, pixels
from sslbench.report.picture import Picture
from sslbench.report.plots import short

JOIN = " · "  # between titles, which may have commas of their own
IMAGES = 3  # rows of a recipe
VIEWS = 8  # columns at most
EPOCHS = 3  # at most
RECIPES = 4  # those of most rows
SIDE, GAP = 0.62, 0.07  # inches


@dataclass(frozen=True)
class Recipe:
    """A recipe with a layout, and who is trained with it."""

    training: Training
    titles: tuple[str, ...]
    plan: tuple[View, ...]

    @property
    def epochs(self) -> int:
        """How many epochs' views fit side by side."""
        return min(EPOCHS, max(1, VIEWS // len(self.plan)))

    @property
    def columns(self) -> int:
        return min(VIEWS, self.epochs * len(self.plan))


def augmented_views(collection: Collection) -> Picture | str:
    """A block per recipe, a row per training image; or why there is none."""
    same = [t for t in collection.trainings if t.pretrain.dataset == collection.spec]
    if not same:
        return "No augmented views: nothing of this suite was trained here, so it has no recipe."
    groups: dict[str, list[Training]] = {}
    for one in same:
        what = one.pretrain
        tree = [what.augment.hashed(), [view.hashed() for view in what.views], what.image_size]
        groups.setdefault(canonical(tree), []).append(one)
    largest = sorted(groups.items(), key=lambda group: -len(group[1]))[:RECIPES]
    recipes = [_recipe(some) for _, some in largest]
    more = len(groups) - len(largest)
    others = f" Not shown: {more} further recipes of fewer rows." if more else ""
    inputs = {
        "picture": "augmented-views",
        "version": 1,
        "seeds": [r.training.seed for r in recipes],
    }
    titles = [r.titles for r in recipes]
    known = collection.known_spec.hashed()
    return Picture(
        name="augmented-views",
        title="Augmented views: what the methods see",
        caption=(
            f"Training images of {collection.known_spec.name}, drawn by seed, and their views in "
            "the first epochs of training, the image itself at the left. Local views are shown in "
            f"proportion to their size, patches apart.{others}"
        ),
        alternative=" ".join(_said(recipe) for recipe in recipes),
        inputs=fingerprint(
            {
                **inputs,
                "recipes": [key for key, _ in largest],
                "titles": titles,
                "data": known,
                "digest": collection.data_digest,
            }
        ),
        draw=lambda: _figure(collection, recipes),
    )


def _recipe(some: list[Training]) -> Recipe:
    what = some[0].pretrain
    plan = planned(what.augment, what.views, what.image_size)
    return Recipe(some[0], tuple(one.title for one in some), plan)


def _said(recipe: Recipe) -> str:
    """The recipe's numbers in words."""
    look = recipe.plan[0].look
    share = f"{100 * look.crop[0]:.3g} to {100 * look.crop[1]:.3g} %"
    chances = {
        "flip": look.flip,
        "rotation": look.rotate.p,
        "colour jitter": look.jitter.p,
        "greyscale": look.grayscale,
        "blur": look.blur.p,
        "noise": look.noise.p,
        "solarisation": look.solarize.p,
    }
    parts = ", ".join(f"{name} {100 * p:.3g} %" for name, p in chances.items() if p > 0)
    kinds = [_kind(view, recipe) for view in recipe.plan]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    return (
        f"{JOIN.join(recipe.titles)}: {counts}; a view's crop is {share} of the image; chances of "
        f"the first view: {parts or 'none'}."
    )


def _kind(view: View, recipe: Recipe) -> str:
    if view.patches != "none":
        return f"{view.grid} x {view.grid} {view.patches}"
    size = recipe.training.pretrain.image_size
    return "full" if view.side == size else f"local of {view.side}"


def _figure(collection: Collection, recipes: list[Recipe]) -> Figure:
    images = collection.dataset.images("train")
    positions = collection.drawn("train", IMAGES).tolist()
    most = max(recipe.columns for recipe in recipes)
    block = 3.4 * LINE + len(positions) * (SIDE + GAP) + GAP
    width = (1 + most) * (SIDE + GAP) + 4 * GAP
    sheet = Sheet(width, len(recipes) * block + GAP)
    for number, recipe in enumerate(recipes):
        top = number * block
        _headings(sheet, recipe, top, int(width / LETTER) - 4)
        for row, position in enumerate(positions):
            y = top + 3.2 * LINE + row * (SIDE + GAP)
            image = images.read(position)
            sheet.image(pixels(_square(image)), GAP, y, SIDE)
            for column, (view, made) in enumerate(_views(recipe, images, position)):
                _placed(sheet, recipe, view, made, 3 * GAP + (1 + column) * (SIDE + GAP), y)
    return sheet.figure


def _square(image: Tensor) -> Tensor:
    """The middle of 3 x H x W, uint8, as floats."""
    side = min(image.shape[1:])
    top, left = ((length - side) // 2 for length in image.shape[1:])
    return image[:, top : top + side, left : left + side].float() / 255


def _headings(sheet: Sheet, recipe: Recipe, top: float, letters: int) -> None:
    sheet.text(short(JOIN.join(recipe.titles), letters), GAP, top + 0.7 * LINE, weight="bold")
    sheet.text("image", GAP + SIDE / 2, top + 2.6 * LINE, ha="center")
    for epoch in range(recipe.epochs):
        first = min(epoch * len(recipe.plan), recipe.columns - 1)
        left = 3 * GAP + (1 + first) * (SIDE + GAP)
        sheet.text(f"epoch {epoch + 1}", left, top + 1.7 * LINE)
    for column in range(recipe.columns):
        view = recipe.plan[column % len(recipe.plan)]
        middle = 3 * GAP + (1 + column) * (SIDE + GAP) + SIDE / 2
        word = "local" if _kind(view, recipe).startswith("local") else "view"
        sheet.text(f"{word} {view.number + 1}", middle, top + 2.6 * LINE, ha="center")


def _views(recipe: Recipe, images: ImageSet, position: int) -> list[tuple[View, Tensor]]:
    """Views of one image in the order of columns: 3 x S x S, or P x 3 x h x w in patches."""
    image, index = images.read(position)[None], torch.tensor([position])
    found = []
    for epoch in range(recipe.epochs):
        made = planned_views(image, recipe.plan, recipe.training.seed, epoch, index)
        found += [(view, one[0]) for view, one in zip(recipe.plan, made, strict=True)]
    return found[: recipe.columns]


def _placed(
    sheet: Sheet, recipe: Recipe, view: View, made: Tensor, left: float, top: float
) -> None:
    if view.patches == "none":
        side = SIDE * min(1, view.side / recipe.training.pretrain.image_size)
        shift = (SIDE - side) / 2
        sheet.image(pixels(made), left + shift, top + shift, side)
        return
    across = round(len(made) ** 0.5)  # a jigsaw's cells, a grid's windows
    tiles = torch.stack([torch.from_numpy(pixels(patch)) for patch in made]).numpy()
    sheet.image(mosaic(tiles, across, 1, 3), left, top, SIDE)
