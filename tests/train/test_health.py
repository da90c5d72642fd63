"""The verdict of real trainings, and that measuring does not move them."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from sslbench.checkpoints import Checkpoints
from sslbench.conformance.trial import CPU, Outcome, built, images, planned, trained
from sslbench.errors import Diverged, Interrupted, StoreError
from sslbench.health import measure
from sslbench.health.measure import Probe
from sslbench.plan import Planned
from sslbench.train.export import export_tensors
from sslbench.train.loop import pretrain
from sslbench.train.outcome import Trained


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few images, and measured at the end of every epoch."""
    monkeypatch.setattr(measure, "TRAINED_ON", 1)
    monkeypatch.setattr(measure, "IMAGES", 64)
    monkeypatch.setattr(measure, "BATCH", 32)


def run(row: Planned, folder: Path) -> Trained:
    return pretrain(row.config, built(row), row.data, images(), folder, device=CPU)


def health_lines(folder: Path) -> list[tuple[int, dict[str, float]]]:
    lines = map(json.loads, (folder / "train.jsonl").read_text().splitlines())
    return [(line["step"], line["health"]) for line in lines if "health" in line]


@pytest.mark.parametrize("label", ["moco", "swav", "hcsc"])
def test_training_is_the_same_whether_it_is_measured_or_not(
    label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outcome(name: str) -> tuple[Outcome, torch.Tensor]:
        row = planned(label)
        found = trained(row, built(row), tmp_path / name)
        return found, torch.get_rng_state()

    measured, rng = outcome("measured")
    assert len(health_lines(tmp_path / "measured")) == 3
    sound = {"deviation": 1.0, "rank": 9.0, "rank_share": 1.0, "spread": 9.0, "neighbours": 1.0}
    monkeypatch.setattr(Probe, "signals", lambda self, method: sound)
    blind, blind_rng = outcome("blind")
    assert measured.encoder == blind.encoder
    assert measured.state == blind.state
    assert torch.equal(rng, blind_rng)


def test_a_resumed_run_has_the_lines_and_the_verdict_of_one_that_was_not_stopped(
    tmp_path: Path,
) -> None:
    row = planned("moco", {"pretrain": {"optim": {"lr": 400.0, "schedule": "constant"}}})
    whole = run(row, tmp_path / "whole")
    for step in (2, 3, 4, 9):
        with suppress(Interrupted):
            trained(row, built(row), tmp_path / "parts", stop_at=step)
    resumed = run(row, tmp_path / "parts")
    assert [step for step, _ in health_lines(tmp_path / "whole")] == [3, 6, 9]
    assert health_lines(tmp_path / "parts") == health_lines(tmp_path / "whole")
    assert resumed.health == whole.health
    assert "diverged" in whole.health.verdict  # by steps of before the last stop
    assert whole.health.signals == health_lines(tmp_path / "whole")[-1][1]


def test_the_log_has_the_norms_of_gradients_and_weights(tmp_path: Path) -> None:
    run(planned("simclr"), tmp_path)
    line = json.loads((tmp_path / "train.jsonl").read_text().splitlines()[0])
    assert 0 < line["gradient_norm"] <= line["largest_gradient_norm"]
    assert line["weight_norm"] > 0


def test_a_rate_that_is_far_too_large_diverges_though_every_loss_is_finite(tmp_path: Path) -> None:
    row = planned("simclr", {"pretrain": {"optim": {"lr": 400.0, "schedule": "constant"}}})
    health = run(row, tmp_path).health
    assert health.verdict == "diverged at step 2"  # the first one starts the momentum
    assert health.step == 2
    assert "weights" in health.why[0]


def test_a_loss_that_is_not_finite_says_its_step(tmp_path: Path) -> None:
    row = planned("simclr")
    method = built(row)
    loss = method.loss

    def broken(batch, context):  # type: ignore[no-untyped-def]
        terms = loss(batch, context)
        return {
            name: term * (torch.nan if context.step == 4 else 1) for name, term in terms.items()
        }

    method.loss = broken  # type: ignore[method-assign]
    with pytest.raises(Diverged, match="diverged at step 5 of 9") as caught:
        trained(row, method, tmp_path)
    assert caught.value.step == 5


def test_a_gradient_that_is_not_finite_is_a_divergence_of_its_own(tmp_path: Path) -> None:
    row = planned("simclr")
    method = built(row)
    next(method.parameters()).register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(Diverged, match=r"step 1 of 9: gradient_norm, weight_norm not finite"):
        trained(row, method, tmp_path)


def test_features_that_are_all_one_fail_with_the_step_that_was_reached(tmp_path: Path) -> None:
    row = planned("pcl", {"params": {"warmup_epochs": 1}})
    method = built(row)
    with torch.no_grad():
        for parameter in method.key_encoder.parameters():  # type: ignore[union-attr]
            parameter.zero_()
    method.key_encoder.update = lambda *modules, momentum: None  # type: ignore[union-attr, assignment]
    with pytest.raises(Diverged, match="all equal") as caught:
        trained(row, method, tmp_path)
    assert caught.value.step == 3


def test_an_encoder_without_a_step_is_untrained(tmp_path: Path) -> None:
    health = run(planned("simclr", {"pretrain": {"epochs": 0}}), tmp_path).health
    assert health.verdict == "untrained"
    assert health.signals["rank"] > 1


def test_a_checkpoint_of_before_there_were_verdicts_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    Checkpoints(path, {"format": 1, "run": planned("simclr").config.hash}).save({"step": 3})
    with pytest.raises(StoreError, match=r"belongs to format 1, .* Remove it to begin anew"):
        run(planned("simclr"), tmp_path)


def test_what_is_not_finite_is_not_exported(tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    with pytest.raises(Diverged, match=r"bias of encoder\.safetensors not finite"):
        export_tensors(path, {"weight": torch.ones(2), "bias": torch.tensor([torch.nan])})
    assert not path.exists()
    export_tensors(path, {"count": torch.tensor([3])})
