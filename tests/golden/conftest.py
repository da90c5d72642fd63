"""Golden vectors: how they are found, and what stands in for the trainer and the encoder.

The folder is ``vectors/`` here or the one named by SSLBENCH_GOLDEN; a file is found by the end of
its name, so ``dev_hcsc_step.npz`` answers to ``hcsc_step``.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sslbench.nn import Chances

Vectors = dict[str, Tensor]


@pytest.fixture
def golden() -> Callable[[str], Vectors]:
    """``golden("moco_v1_steps")``: the numeric arrays of that file, as tensors."""
    folder = Path(os.environ.get("SSLBENCH_GOLDEN") or Path(__file__).parent / "vectors")

    def load(name: str) -> Vectors:
        files = [f for f in sorted(folder.glob("*.npz")) if f"_{f.stem}".endswith(f"_{name}")]
        assert len(files) == 1, f"one file *_{name}.npz expected in {folder}, found {files}"
        with np.load(files[0]) as arrays:
            return {k: torch.from_numpy(arrays[k]) for k in arrays.files if k[0] != "_"}

    return load


class BatchNormEncoder(nn.Module):
    """The encoder of every ``*_step`` file: one batch norm on rows of 32 numbers."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.bn, self.dim = nn.BatchNorm1d(dim), dim

    def forward(self, rows: Tensor) -> Tensor:
        return self.bn(rows)


class ReplayContext:
    """A trainer's context that hands out recorded draws, in order, and checks their shapes."""

    def __init__(self, epoch: int = 0, uniforms: list[Tensor] | None = None) -> None:
        self.epoch, self.epochs, self.step, self.steps = epoch, 200, 0, 1000
        self.uniforms, self.choices = list(uniforms or []), list[Tensor]()
        self.logged: dict[str, Any] = {}

    @property
    def progress(self) -> float:
        return self.step / self.steps

    def bernoulli(self, chances: Chances, rows: Tensor) -> Tensor:
        drawn = self.uniforms.pop(0)
        assert drawn.shape == (len(rows), chances.probability.shape[1])
        return drawn < chances.probability[rows]

    def choice(self, n: int, k: int) -> Tensor:
        drawn = self.choices.pop(0)
        assert len(drawn) == k
        assert drawn.max() < n
        return drawn

    def permutation(self, n: int) -> Tensor:
        return torch.arange(n).flip(0)  # batch statistics do not depend on the order

    def log(self, name: str, value: Any) -> None:
        self.logged[name] = value


class Replay:
    """A method in the recorded state, and one recorded step of it."""

    def __init__(self, method: Any, arrays: Vectors) -> None:
        self.method, self.arrays = method, arrays
        self.outputs: list[Tensor] = []
        copies = method.key_encoder.copies
        for part, encoder, head in (("q", method.encoder, method.head), ("k", *copies)):
            encoder.load_state_dict(self._state(f"init/encoder_{part}.", "bn."))
            head.load_state_dict(self._state(f"init/encoder_{part}.fc.", "", linear="0."))
        self.set_queue("")
        method.head.register_forward_hook(lambda module, given, output: self._keep(output))
        self.optimizer = torch.optim.SGD(
            [p for p in method.parameters() if p.requires_grad],
            lr=float(arrays["lr"]),
            momentum=float(arrays["momentum"]),
            weight_decay=float(arrays["weight_decay"]),
        )

    def _keep(self, output: Tensor) -> None:
        output.retain_grad()
        self.outputs.append(output)

    def _state(self, prefix: str, kept: str, linear: str = "") -> Vectors:
        """The arrays under a prefix; the one layer of a linear head is layer 0 of ours."""
        found = {k[len(prefix) :]: v for k, v in self.arrays.items() if k.startswith(prefix + kept)}
        return {linear + k if "." not in k else k: v.clone() for k, v in found.items()}

    def set_queue(self, prefix: str) -> None:
        queue = self.method.queue
        queue.features = self.arrays[f"{prefix}queue_before"].T.contiguous()
        queue.pointer = self.arrays[f"{prefix}queue_ptr_before"][0].clone()
        if "queue_index_before" in self.arrays:
            queue.index = self.arrays["queue_index_before"].clone()

    def step(self, batch: Any, context: ReplayContext) -> dict[str, Tensor]:
        """One step of the method's own ``loss``, then backward and SGD."""
        self.outputs.clear()
        self.optimizer.zero_grad()
        terms: dict[str, Tensor] = self.method.loss(batch, context)
        sum(terms.values()).backward()
        self.optimizer.step()
        assert not context.uniforms
        assert not context.choices
        return terms

    def gradient(self, recorded: Tensor, output: int = 0) -> tuple[Tensor, Tensor]:
        """What reached the head's output, and what the recorded gradient by q makes of it."""
        raw = self.outputs[output].detach().requires_grad_()
        query = torch.nn.functional.normalize(raw)
        (expected,) = torch.autograd.grad(query, raw, recorded)
        return self.outputs[output].grad, expected

    def assert_weights_are(self, prefix: str = "after/") -> None:
        copies = self.method.key_encoder.copies
        for part, modules in (("q", (self.method.encoder, self.method.head)), ("k", copies)):
            for module, kept in zip(modules, ("bn.", "fc."), strict=True):
                inner = "bn." if kept == "bn." else ""
                for name, value in module.state_dict().items():
                    path = f"{prefix}encoder_{part}.{kept}{name[len(inner) :]}"
                    recorded = self.arrays.get(path)
                    if recorded is None:  # a linear head
                        recorded = self.arrays[path.replace("fc.0.", "fc.")]
                    torch.testing.assert_close(value, recorded, atol=1e-5, rtol=1e-5)


@pytest.fixture
def batch_norm_encoder() -> type[BatchNormEncoder]:
    return BatchNormEncoder


@pytest.fixture
def replay() -> type[Replay]:
    return Replay


@pytest.fixture
def replay_context() -> type[ReplayContext]:
    return ReplayContext


@pytest.fixture
def widths() -> Callable[[Vectors], dict[str, Any]]:
    """The settings of a method that its recorded weights fix."""

    def read(arrays: Vectors) -> dict[str, Any]:
        first = arrays.get("init/encoder_q.fc.0.weight")
        last = arrays["init/encoder_q.fc.weight" if first is None else "init/encoder_q.fc.2.weight"]
        return {
            "dim": len(last),
            "hidden_layers": 0 if first is None else 1,
            "queue_size": arrays["queue_before"].shape[1],
            "momentum": float(arrays["m"]),
            "temperature": float(arrays["T"]),
        }

    return read
