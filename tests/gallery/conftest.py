"""A results folder with real encoders, untrained, and manifests that say how they were trained."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from sslbench.config import fingerprint
from sslbench.data.datasets import open_dataset
from sslbench.data.recipe import ViewConfig, recipe
from sslbench.data.spec import dataset_spec
from sslbench.gallery.collection import Collection, open_collection
from sslbench.gallery.exhibits import select
from sslbench.nn.clustering import Clusters, hierarchical_kmeans, independent_kmeans
from sslbench.nn.config import EncoderConfig
from sslbench.nn.encoder import Encoder
from sslbench.nn.losses import unit
from sslbench.run import OptimConfig, PretrainConfig
from sslbench.store import Manifest, PlanFile, Record, Row, Score, Store
from sslbench.train.export import export_tensors
from sslbench.train.outcome import run_checkpoints

RESNET = EncoderConfig(
    name="resnet18",
    options={"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 16]},
    stem="small",
    stem_stride=2,
)
VIT = EncoderConfig(
    name="vit_tiny_patch16_224",
    options={"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 2, "num_heads": 3},
)


@dataclass
class House:
    """Builds a suite run by run."""

    store: Store
    rows: list[Row] = field(default_factory=list)
    resnet: ClassVar[EncoderConfig] = RESNET
    vit: ClassVar[EncoderConfig] = VIT

    def hang(
        self,
        label: str,
        encoder: EncoderConfig = RESNET,
        *,
        seed: int = 0,
        dataset: str = "objects_tiny",
        family: str | None = None,
        trained: bool = True,
        views: tuple[ViewConfig, ...] = (ViewConfig(), ViewConfig()),
        measured: str | None = None,
    ) -> Path:
        """A row with its run; the folder of it."""
        torch.manual_seed(int(fingerprint([label, seed])[:8], 16))
        spec = dataset_spec(dataset)
        pretrain = PretrainConfig(
            dataset=spec,
            epochs=1,
            batch_size=64,
            image_size=32,
            augment=recipe("moco_v2"),
            views=views,
            views_path="batched",
            optim=OptimConfig(lr=0.1),
        )
        run = f"{label}-s{seed}"
        config: dict[str, Any] = {"encoder": encoder.model_dump(mode="json"), "seed": seed}
        if trained:
            config["pretrain"] = pretrain.model_dump(mode="json")
        digest = export_tensors(
            self.store.run_folder(run) / "encoder.safetensors", Encoder(encoder).state_dict()
        )
        data = open_dataset(spec, None).digest if spec.source == "rendered" else "0" * 64
        self.store.write_manifest(
            Manifest(
                run=run,
                hash=fingerprint(run),
                config=config,
                status="done",
                data_digest=data if trained else "",
                encoder_digest=digest,
            )
        )
        row = Row(label=label, seed=seed, run=run, title=label.title(), card={"family": family})
        if measured is not None:
            row = row.model_copy(update={"evaluations": {"knn": "knn-0"}})
            self._measured(run, measured)
        self.rows.append(row)
        return self.store.run_folder(run)

    def _measured(self, run: str, dataset: str) -> None:
        marks = {
            "preprocessing": {
                "image_size": 32,
                "crop_fraction": 1.0,
                "filter": "bilinear",
                "antialias": True,
            },
            "data": {"digest": open_dataset(dataset_spec(dataset), None).digest, "subset": {}},
        }
        record = Record(
            run=run,
            evaluation="knn",
            dataset=dataset,
            identity="0",
            status="done",
            scores={"top1": Score(value=41.25, unit="%", higher_is_better=True, n=192)},
            headline="top1",
            fingerprint=marks,
        )
        self.store.write_record("knn-0", record)

    def cluster(self, folder: Path, *, nested: bool = True) -> Clusters:
        """Clusters of the training images, as a method leaves them in its run's folder."""
        features = unit(torch.randn(384, 16, generator=torch.Generator().manual_seed(0)))
        sizes = [40, 12, 5]
        levels = (hierarchical_kmeans if nested else independent_kmeans)(features, sizes, 0.2)
        clusters = Clusters(384, sizes, 16)
        clusters.store(levels)
        export_tensors(folder / "artifacts.safetensors", clusters.artifacts())
        state = {f"parts.{name}": tensor for name, tensor in clusters.state_dict().items()}
        run_checkpoints(folder, fingerprint(folder.name)).save({"method": state})
        return clusters

    @property
    def plan(self) -> PlanFile:
        return PlanFile(
            suite="tiny", title="Tiny", command="sslbench run", rows=tuple(self.rows), tables={}
        )

    def collection(self) -> Collection:
        return open_collection(self.store, select(self.store, self.plan), None)[0]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.delenv("SSLBENCH_DATA", raising=False)
    return House(Store(tmp_path / "results"))
