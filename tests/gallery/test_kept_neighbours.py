"""The retrieval grid of a suite that measured retrieval: the neighbours its scores are made of."""

from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from sslbench.data.datasets import open_dataset
from sslbench.data.spec import dataset_spec
from sslbench.environment import environment
from sslbench.errors import StoreError
from sslbench.evaluate import evaluate
from sslbench.features import FeatureStore
from sslbench.gallery.kept_neighbours import kept_by_all
from sslbench.gallery.retrieval import NEAREST, QUERIES, RIGHT, WRONG, retrieval
from sslbench.gallery.sheet import pixels
from sslbench.metrics.retrieval import kept_neighbours
from sslbench.nn.encoder import Encoder
from sslbench.protocols import resolve_evaluation
from sslbench.report.picture import Picture
from sslbench.suite import EvaluationEntry
from sslbench.train.export import import_tensors

CPU = torch.device("cpu")


def measured(house: Any, label: str, **settings: Any) -> str:
    """A row whose retrieval was measured; the name of its record."""
    folder = house.hang(label)
    entry = EvaluationEntry(protocol="retrieval", dataset="objects_tiny", settings=settings)
    wanted = resolve_evaluation("retrieval", entry, {}, 32)
    row, encoder = house.rows[-1], Encoder(house.resnet)
    encoder.load_state_dict(
        import_tensors(folder / "encoder.safetensors", house.store.manifest(row.run).encoder_digest)
    )
    record = evaluate(
        wanted,
        encoder,
        {},
        open_dataset(dataset_spec("objects_tiny"), None),
        run=row.run,
        seed=0,
        store=house.store,
        features=FeatureStore(house.store.features_folder),
        device=CPU,
        environment=environment(CPU),
        workers=0,
        on_progress=lambda done, total: None,
    )
    assert record.status == "done", record.reason
    house.store.write_record(wanted.id, record)
    known = {**row.evaluations, "retrieval": wanted.id}
    house.rows[-1] = row.model_copy(update={"evaluations": known})
    return str(wanted.id)


@pytest.mark.parametrize(
    ("settings", "among"),
    [
        ({}, "all training images"),
        ({"gallery": "test", "level": 1}, "all other test images"),
    ],
)
def test_shown_are_the_neighbours_that_the_scores_speak_of(
    house: Any, settings: dict[str, Any], among: str
) -> None:
    name = measured(house, "moco", **settings)
    collection = house.collection()
    picture = retrieval(collection)
    assert isinstance(picture, Picture)
    assert f"the nearest among {among} of objects_tiny" in picture.caption
    level = collection.known_spec.levels[settings.get("level", 0)].name
    assert f"of the query's {level}" in picture.caption
    scores = house.store.record("moco-s0", name).scores
    assert f"Moco: recall_at_1 {scores['recall_at_1'].value:.1f} %, map " in picture.alternative

    table = pq.read_table(house.store.evaluation_file("moco-s0", name, "parquet"))
    items, labels, neighbours, theirs = kept_neighbours(table)
    right = theirs[:, :NEAREST] == labels[:, None]
    axes = picture.draw().axes[0]
    assert f"Moco: {100 * right.mean():.0f} % right" in [text.get_text() for text in axes.texts]
    frames = [one for one in axes.patches if isinstance(one, Rectangle)]
    images = [image.get_array() for image in axes.images]
    assert len(frames) == len(images) == QUERIES * (1 + NEAREST)
    split = settings.get("gallery", "train")
    for row, query in enumerate(collection.drawn("test", QUERIES).tolist()):
        place = items.tolist().index(query)
        first = row * (1 + NEAREST)
        shown = [("test", query), *((split, n) for n in neighbours[place, :NEAREST].tolist())]
        for image, (part, position) in zip(images[first:], shown, strict=False):
            (wanted,) = collection.seen(collection.exhibits[0], part, np.array([position]))
            assert (image == pixels(wanted)).all()
        colours = [to_hex(one.get_edgecolor()).upper() for one in frames[first + 1 :][:NEAREST]]
        assert colours == [(RIGHT if yes else WRONG)["edgecolor"] for yes in right[place]]


def test_without_outcomes_of_every_encoder_neighbours_are_found_anew(house: Any) -> None:
    name = measured(house, "moco")
    assert len(kept_by_all(house.collection())) == 1
    measured(house, "byol", gallery="test")  # another protocol
    assert kept_by_all(house.collection()) == []
    house.rows.pop()
    house.hang("hcsc")  # none
    assert kept_by_all(house.collection()) == []
    picture = retrieval(house.collection())
    assert isinstance(picture, Picture)
    assert "All are test images of objects_tiny" in picture.caption
    house.rows.pop()
    house.store.evaluation_file("moco-s0", name, "parquet").unlink()
    assert kept_by_all(house.collection()) == []


def test_outcomes_of_an_earlier_training_are_not_shown(house: Any) -> None:
    measured(house, "moco")
    manifest = house.store.manifest("moco-s0")
    house.store.write_manifest(manifest.model_copy(update={"encoder_digest": "1" * 64}))
    assert kept_by_all(house.collection()) == []


def test_other_outcomes_are_another_picture_and_changed_ones_are_refused(house: Any) -> None:
    house.hang("moco")
    before = retrieval(house.collection())
    house.rows.pop()
    name = measured(house, "moco")
    picture = retrieval(house.collection())
    assert isinstance(before, Picture)
    assert isinstance(picture, Picture)
    assert picture.inputs != before.inputs
    assert picture.inputs == retrieval(house.collection()).inputs
    path = house.store.evaluation_file("moco-s0", name, "parquet")
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(StoreError, match="is not the file that its record names"):
        picture.draw()
