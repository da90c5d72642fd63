"""What the pictures of a suite share: its encoders, its images, features of a part of the test set.

Made at first use and kept, so that a picture that need not be drawn costs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sslbench.api import Split
from sslbench.config import fingerprint
from sslbench.data.datasets import LabelledDataset, check_dataset, chosen_images, open_dataset
from sslbench.data.draws import permutation
from sslbench.data.loaders import embed_batches
from sslbench.data.spec import DatasetSpec, dataset_spec
from sslbench.environment import pick_device
from sslbench.errors import ConfigError
from sslbench.feature_files import feature_path
from sslbench.feature_pass import BATCH
from sslbench.features import FeatureStore, feature_key
from sslbench.gallery.exhibits import Exhibit, Selection, Training
from sslbench.nn.encoder import Encoder
from sslbench.store import Store
from sslbench.train.export import import_tensors

SEED = 0  # of every draw here
POOL_CLASSES, POOL_IMAGES = 36, 2000  # of the test images whose features are compared

Positions = NDArray[np.int64]


@dataclass
class Collection:
    """Encoders and one data set. All draws are by ``SEED``; precision is fp32."""

    store: Store
    selection: Selection
    spec: DatasetSpec | None  # None where no data set is known
    data_digest: str
    data_root: Path | None
    has_images: bool
    _features: dict[str, Tensor] = field(default_factory=dict)

    @property
    def exhibits(self) -> list[Exhibit]:
        return self.selection.exhibits

    @property
    def trainings(self) -> list[Training]:
        return self.selection.trainings

    @cached_property
    def dataset(self) -> LabelledDataset:
        return open_dataset(self.known_spec, self.data_root)

    @property
    def known_spec(self) -> DatasetSpec:
        assert self.spec is not None, "no picture of images is made without a data set"
        return self.spec

    @property
    def has_classes(self) -> bool:
        return self.known_spec.task == "classification"

    @cached_property
    def device(self) -> torch.device:
        return pick_device("auto")

    def inputs(self, exhibits: Sequence[Exhibit], **settings: Any) -> str:
        """The digest of all that a picture is drawn from; opens neither encoders nor images."""
        data = self.spec and {"digest": self.data_digest, "spec": self.spec.hashed()}
        return fingerprint(
            {
                "encoders": [
                    {
                        "title": one.title,
                        "digest": one.digest,
                        "config": one.encoder.hashed(),
                        "preprocessing": one.preprocessing(self.spec.name).hashed()
                        if self.spec
                        else {},
                    }
                    for one in exhibits
                ],
                "data": data,
                "seed": SEED,
                **settings,
            }
        )

    def encoder(self, exhibit: Exhibit) -> Encoder:
        """A fresh copy, as evaluations are handed it. Raises StoreError if its file is damaged."""
        encoder = Encoder(exhibit.encoder)
        encoder.load_state_dict(import_tensors(exhibit.path, exhibit.digest))
        encoder = encoder.float().to(self.device).to(memory_format=torch.channels_last)
        return encoder.eval().requires_grad_(False)

    def seen(self, exhibit: Exhibit, split: str, positions: Positions) -> Tensor:
        """The images as the encoder is shown them: N x 3 x S x S in [0, 1]."""
        return torch.cat(list(self._batches(exhibit, split, positions)))

    def _batches(self, exhibit: Exhibit, split: str, positions: Positions) -> Any:
        how = exhibit.preprocessing(self.known_spec.name)
        return embed_batches(
            chosen_images(self.dataset.images(split), positions),
            how.image_size,
            BATCH,
            self.device,
            0,
            filter=how.filter,
            crop_fraction=how.crop_fraction,
        )

    def features(self, exhibit: Exhibit, split: str, positions: Positions) -> Tensor:
        """N x D, float32, on the CPU: out of the stored features, where there are any."""
        encoder = self.encoder(exhibit)
        how = exhibit.preprocessing(self.known_spec.name)
        place: Split = "test" if split == "test" else "train"
        key = feature_key(exhibit.digest, encoder, self.dataset, place, -1, how)
        if feature_path(self.store.features_folder, key).exists():
            stored = FeatureStore(self.store.features_folder).features(
                encoder,
                self.dataset,
                place,
                -1,
                how,
                seed=SEED,
                device=self.device,
                workers=0,
                on_progress=lambda done, total: None,
            )
            return stored.x[torch.from_numpy(positions)]
        with torch.no_grad():
            rows = [
                encoder(batch.contiguous(memory_format=torch.channels_last)).float().cpu()
                for batch in self._batches(exhibit, split, positions)
            ]
        return torch.cat(rows)

    @cached_property
    def pool(self) -> Positions:
        """Test images whose features are compared: at most so many, of at most so many classes."""
        labels = self.dataset.labels("test")[:, 0]
        classes = np.unique(labels)
        drawn = classes[permutation(SEED, "gallery/classes", len(classes))[:POOL_CLASSES]]
        members = np.flatnonzero(np.isin(labels, drawn))
        chosen = permutation(SEED, "gallery/pool", len(members))[:POOL_IMAGES]
        found: Positions = np.sort(members[chosen]).astype(np.int64)
        return found

    def pool_features(self, exhibit: Exhibit) -> Tensor:
        """Unit rows, in the order of ``pool``."""
        if exhibit.digest not in self._features:
            rows = self.features(exhibit, "test", self.pool)
            self._features[exhibit.digest] = torch.nn.functional.normalize(rows, dim=1)
        return self._features[exhibit.digest]

    def drawn(self, split: str, count: int) -> Positions:
        """Images to look at, by seed, of different classes as far as there are so many."""
        order = permutation(SEED, f"gallery/{split}", len(self.dataset.images(split)))
        if not self.has_classes:
            return order[:count]
        labels = self.dataset.labels(split)[order, 0]
        _, first = np.unique(labels, return_index=True)  # where each class is met first
        distinct = np.sort(first)[:count]
        rest = np.setdiff1d(np.arange(len(order)), distinct)[: count - len(distinct)]
        chosen: Positions = order[np.concatenate([distinct, rest])]
        return chosen


def open_collection(
    store: Store, selection: Selection, data_root: Path | None
) -> tuple[Collection, list[str]]:
    """The collection, and a sentence where its images are not here."""
    spec, digest, missing = _data(selection.exhibits, selection.trainings)
    if spec is not None:
        faults = check_dataset(spec, data_root)
        if faults:
            missing.append(
                f"No pictures of images of {spec.name}, which is not to be had here: {faults[0]}."
            )
    has_images = spec is not None and not missing
    return Collection(store, selection, spec, digest, data_root, has_images), missing


def _data(
    exhibits: list[Exhibit], trainings: list[Training]
) -> tuple[DatasetSpec | None, str, list[str]]:
    """The data set that is shown: what the first run learnt from, else what was measured on."""
    if trainings:
        return trainings[0].pretrain.dataset, trainings[0].data_digest, []
    names = [record.dataset for one in exhibits for record in one.records]
    for record in (record for one in exhibits for record in one.records):
        try:
            spec = dataset_spec(record.dataset)
        except ConfigError:
            continue  # of a suite's own catalogue
        if spec.task == "classification":
            return spec, str(record.fingerprint.get("data", {}).get("digest", "")), []
    said = ", ".join(dict.fromkeys(names)) or "none"
    return (
        None,
        "",
        [
            "No pictures of images: nothing was trained here, and no data set with classes is "
            f"known by name among those measured on ({said})."
        ],
    )
