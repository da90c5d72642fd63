"""Training of a detector: SGD with momentum, no weight decay on norms."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sslbench.errors import Diverged
from sslbench.nn.detector import Detector, Targets


class DetectorTraining:
    """One training, step by step. Stopped and resumed equals never stopped."""

    def __init__(
        self, detector: Detector, momentum: float, weight_decay: float, clip: float | None
    ) -> None:
        """``clip``: the largest norm of a gradient; None: any."""
        self.detector, self.clip, self.done = detector, clip, 0
        groups = _groups(detector, weight_decay)
        self.optimizer = torch.optim.SGD(groups, lr=0.0, momentum=momentum)

    def step(self, images: list[Tensor], targets: list[Targets], lr: float, seed: int) -> float:
        """The loss before the step. Raises Diverged if it is not finite."""
        torch.manual_seed(seed)  # torchvision samples anchors and regions from the global generator
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        losses = self.detector.losses(images, targets)
        loss = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(loss):
            terms = ", ".join(f"{name} {value.item():g}" for name, value in losses.items())
            raise Diverged(
                f"detection: the loss of step {self.done} is not finite ({terms}). Lower lr "
                f"(now {lr:g} at this step), set clip, or lengthen warmup_steps"
            )
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.detector.parameters(), self.clip)
        self.optimizer.step()
        self.done += 1
        return loss.item()

    def state(self) -> dict[str, Any]:
        """All that steps change."""
        return {
            "step": self.done,
            "detector": self.detector.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from what ``state`` gave."""
        self.done = state["step"]
        self.detector.load_state_dict(state["detector"])
        self.optimizer.load_state_dict(state["optimizer"])


def _groups(detector: Detector, weight_decay: float) -> list[dict[str, Any]]:
    norms = {
        parameter
        for module in detector.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.GroupNorm | nn.LayerNorm)
        for parameter in module.parameters()
    }
    trained = [p for p in detector.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p not in norms], "weight_decay": weight_decay},
        {"params": [p for p in trained if p in norms], "weight_decay": 0.0},
    ]
