"""A method or variant on trial: planned, built and trained as in a run, for a few steps."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from sslbench.api import Method
from sslbench.config import Tree
from sslbench.data.datasets import open_dataset
from sslbench.data.images import HeldImages
from sslbench.data.spec import dataset_spec
from sslbench.nn.digest import tensors_digest
from sslbench.plan import Environs, Planned, plan
from sslbench.suite import Suite
from sslbench.train.build import build_method
from sslbench.train.loop import pretrain
from sslbench.train.outcome import Progress

CPU = torch.device("cpu")
DATASET = "objects_tiny"
STEPS, EPOCHS = 3, 3
IMAGES = 1280  # enough for clusters that a batch of 32 does not use up


@dataclass(frozen=True)
class Outcome:
    """All that a training left behind, to be compared bit by bit with another's."""

    encoder: str  # digest of what is exported
    state: Mapping[str, str]  # digest of each tensor of the method: queues, banks, heads, copies
    log: Mapping[tuple[int, int], Tree]  # what train.jsonl says of the steps after, up to and with

    def difference(self, other: "Outcome") -> str | None:
        """In words; None if there is none."""
        if self.state.keys() != other.state.keys():
            return f"other tensors: {', '.join(sorted(self.state.keys() ^ other.state.keys()))}"
        changed = [name for name, digest in self.state.items() if other.state[name] != digest]
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            return f"another {', '.join(changed[:3])}{more}"
        if self.encoder != other.encoder:
            return "another exported encoder"
        if self.log.keys() != other.log.keys():
            return f"other lines in the log: of steps {sorted(self.log)}, not {sorted(other.log)}"
        for steps, one in self.log.items():
            two = other.log[steps]
            names = [name for name in one | two if one.get(name) != two.get(name)]
            if names:
                values = f"{one.get(names[0])} and {two.get(names[0])}"
                return f"another {names[0]} in the log of step {steps[1]}: {values}"
        return None


@cache
def images(count: int = IMAGES) -> HeldImages:
    """The first of the embedded pictures, rendered once for all trials."""
    if count < IMAGES:
        return HeldImages(images().pixels[:count])
    spec = dataset_spec(DATASET, _suite(IMAGES).datasets)
    found = open_dataset(spec, None).images("train")
    assert isinstance(found, HeldImages)
    return found


def planned(label: str, changes: Tree | None = None, count: int = IMAGES) -> Planned:
    """One method or variant in a tiny suite. Raises ConfigError for what a plan refuses."""
    environs = Environs(bf16=False, count=lambda spec: count)
    return plan(_suite(count), [label], [0], changes or {}, environs)[0]


def built(row: Planned) -> Method:
    """The method as a run builds it."""
    return build_method(row.config, row.data, row.label)


def trained(
    row: Planned,
    method: Method,
    folder: Path,
    *,
    stop_at: int | None = None,
    after_step: Callable[[Progress], None] = lambda progress: None,
) -> Outcome:
    """Trains to the end. Raises Interrupted behind step ``stop_at``; goes on if called again."""
    reached = 0

    def watch(progress: Progress) -> None:
        nonlocal reached
        reached = progress.step
        after_step(progress)

    exported = pretrain(
        row.config,
        method,
        row.data,
        images(row.data.images),
        folder,
        device=CPU,
        on_progress=watch,
        stopped=lambda: reached == stop_at,
    )
    state = {name: tensors_digest({name: t}) for name, t in method.state_dict().items()}
    return Outcome(exported.encoder_digest, state, _log(folder / "train.jsonl"))


def _log(path: Path) -> dict[tuple[int, int], Tree]:
    """Each line by the steps that it is the mean of; without the clock, which never repeats."""
    found: dict[tuple[int, int], Tree] = {}
    before = 0
    for text in path.read_text(encoding="utf-8").splitlines():
        line: Tree = json.loads(text)
        del line["seconds"]
        found[before, line["step"]] = line
        before = line["step"]
    return found


def _suite(count: int) -> Suite:
    return Suite(
        name="conformance",
        title="conformance",
        methods=("simclr",),
        baselines=(),
        datasets={DATASET: {"splits": {"train": count, "test": 64}}},
        encoder={
            "name": "resnet18",
            "options": {"layers": [1, 1, 1, 1], "channels": [4, 8, 8, 16]},
            "stem": "small",
            "stem_stride": 2,
        },
        pretrain={
            "dataset": DATASET,
            "epochs": EPOCHS,
            "steps": STEPS,
            "batch_size": 32,
            "image_size": 32,
            "precision": "fp32",
        },
        evaluations={},
        tables={},
    )
