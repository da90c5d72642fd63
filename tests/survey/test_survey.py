"""The suite ``survey`` from its real file formats to its table, two steps a stage."""

import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
COLUMNS = ("ImageNet top-1", "kNN top-1", "Places205 top-1", "Places365 top-1", "VOC AP50", "COCO AP")
Cli = Callable[..., subprocess.CompletedProcess[str]]

# Where the miniature differs from the suite: how many images there are, and how long and wide
# everything is. Protocols, recipes and formats are the suite's.
SMALL_DETECTOR = {
    "short_sides": "[96, 128]",
    "long_side": "192",
    "steps": "2",
    "warmup_steps": "1",
    "batch_size": "2",
    "detector.fpn_width": "16",
    "detector.head_width": "32",
    "detector.proposals": "50",
    "detector.score_threshold": "0.0",
}
MINIATURE = {
    "datasets.imagenet.levels": "[{name: synset, classes: 8}]",
    "datasets.imagenet.splits": "{train: 64, test: 16}",
    "datasets.places205.splits": "{train: 24, test: 12}",
    "datasets.places365.splits": "{train: 24, test: 12}",
    "datasets.voc0712.splits": "{train: 6, test: 4}",
    "datasets.coco2017.splits": "{train: 6, test: 4}",
    "encoder.name": "resnet18",
    "pretrain.image_size": "64",
    "pretrain.batch_size": "16",
    "pretrain.epochs": "2",
    "pretrain.steps": "2",
    "evaluations.knn.settings": "{neighbours: [1, 5], headline: 5}",
    **{
        f"evaluations.{key}.settings": "{epochs: 2}" for key in ("linear", "places205", "places365")
    },
    **{
        f"evaluations.{key}.settings.{setting}": value
        for key in ("voc", "coco")
        for setting, value in SMALL_DETECTOR.items()
    },
}
CHANGES = [part for pair in MINIATURE.items() for part in ("--set", "=".join(pair))]


def arguments(data: Path, results: Path, methods: str) -> list[str]:
    common = ["run", "--suite", "survey", "--methods", methods, "--data", str(data)]
    return [*common, "--results", str(results), "--workers", "2", *CHANGES]
