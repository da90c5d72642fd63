"""Pictures out of encoders and images: what a number does not tell about a feature.

Test images are looked at here, which chooses nothing: all of it is drawn after the last epoch, from
encoders that are fixed, and which images are shown is drawn by seed. torch is imported when
pictures are asked for; nothing is extracted before one of them is drawn.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sslbench.report.picture import Picture
from sslbench.store import PlanFile, Store

if TYPE_CHECKING:
    from sslbench.gallery.collection import Collection


def gallery(
    store: Store, plan: PlanFile, data_root: Path | None
) -> tuple[list[Picture], list[str]]:
    """The pictures of a suite that can be drawn here, and a sentence for each that cannot.

    ``data_root`` is the folder of all data sets. Drawing may raise SSLBenchError: a damaged encoder
    or image shows only when it is read.
    """
    from sslbench.gallery.collection import open_collection
    from sslbench.gallery.exhibits import select

    selection = select(store, plan)
    if not selection.exhibits and not selection.trainings:
        return [], selection.sentences
    collection, missing = open_collection(store, selection, data_root)
    made = _made(collection)
    pictures = [one for one in made if isinstance(one, Picture)]
    said = [one for one in made if isinstance(one, str)]
    return pictures, [*selection.sentences, *missing, *said]


def _made(collection: "Collection") -> list[Picture | str]:
    from sslbench.gallery.activation_maps import activation_maps
    from sslbench.gallery.attention_maps import attention_maps
    from sslbench.gallery.augmented_views import augmented_views
    from sslbench.gallery.embedding import embedding
    from sslbench.gallery.feature_maps import feature_maps
    from sslbench.gallery.kernels import kernels
    from sslbench.gallery.prototype_tree import prototype_tree
    from sslbench.gallery.retrieval import retrieval

    made: list[Picture | str] = []
    if collection.exhibits:
        made.append(kernels(collection))
    if collection.has_images:
        made.append(augmented_views(collection))
    if collection.exhibits and collection.has_images:
        for picture in (
            feature_maps,
            activation_maps,
            attention_maps,
            retrieval,
            embedding,
            prototype_tree,
        ):
            made.append(picture(collection))
    return made
