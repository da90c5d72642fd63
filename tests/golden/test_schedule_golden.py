"""Learning rates and LARS against what the authors' code computed."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sslbench.run import OptimConfig
from sslbench.train.optim import LARS, lr_factor, peak_lr

Golden = Callable[[str], dict[str, Tensor]]


def test_golden_rates_of_hcsc_by_epoch(golden: Golden) -> None:
    vectors = golden("hcsc_lr")
    cosine = OptimConfig(lr=0.03, per_step=False)
    step = OptimConfig(lr=0.03, per_step=False, schedule="step", milestones=(0.6, 0.8))
    for config, key in ((cosine, "lr_cos_200"), (step, "lr_step_200")):
        epochs = range(len(vectors[key]))
        rates = [peak_lr(config, 256) * lr_factor(config, e * 7, 7, 200) for e in epochs]
        torch.testing.assert_close(
            torch.tensor(rates, dtype=torch.float64), vectors[key].double(), rtol=0, atol=1e-9
        )


def test_golden_rates_of_moco_v3_at_fractions_of_epochs(golden: Golden) -> None:
    vectors = golden("mocov3_schedules")
    config = OptimConfig(lr=0.6, lr_per_batch=256, warmup_epochs=10)
    per_epoch = 1000
    steps = (vectors["epoch"].double() * per_epoch).tolist()
    rates = [peak_lr(config, 4096) * lr_factor(config, step, per_epoch, 100) for step in steps]
    torch.testing.assert_close(
        torch.tensor(rates, dtype=torch.float64), vectors["lr"].double(), rtol=0, atol=1e-9
    )


def test_golden_steps_of_lars(golden: Golden) -> None:
    vectors = golden("lars")
    names = [key.removeprefix("p0/") for key in vectors if key.startswith("p0/")]
    params = {name: nn.Parameter(vectors[f"p0/{name}"].clone()) for name in names}
    optimizer = LARS(
        [{"params": list(params.values()), "weight_decay": float(vectors["weight_decay"])}],
        lr=float(vectors["lr"]),
        momentum=float(vectors["momentum"]),
        trust=float(vectors["trust"]),
    )
    for step in range(3):
        for name, param in params.items():
            param.grad = vectors[f"grad{step}/{name}"].clone()
        optimizer.step()
        for name, param in params.items():
            after = vectors[f"p{step + 1}/{name}"]
            torch.testing.assert_close(param.detach(), after, rtol=1e-6, atol=1e-6)
