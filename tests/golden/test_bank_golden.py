"""InstDisc and PIRL against recorded steps of four code bases with a memory bank."""

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods
from sslbench.nn import bank_logits

DIM = 16
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


class Identity(nn.Module):
    """In place of an encoder: the recorded rows are embeddings already."""

    dim = DIM

    def forward(self, rows):
        return rows


class Draws:
    """A context that hands out recorded draws, in order, and checks what was asked for."""

    def __init__(self, images, *recorded):
        self.images, self.recorded = images, list(recorded)

    def integers(self, high, rows, *shape):
        drawn = self.recorded.pop(0)[:, 1:]  # column 0 is the positive
        assert high == self.images
        assert drawn.shape == (rows, *shape)
        return drawn


def made(name, arrays, bank, **params):
    """The method around recorded embeddings, its bank as recorded."""
    data = DataInfo(len(bank), batch_size=8, image_size=32, epochs=200, steps_per_epoch=15)
    cls = methods.get(name)
    settings = {"temperature": float(arrays["T"]), "bank_momentum": float(arrays["momentum"])}
    settings |= {"dim": DIM, "negatives": 20, "normaliser": "first", **params}
    config = cls.Config(**settings)
    method = cls(Identity(), config, data)
    for head in ("head", "patch_head", "jigsaw_head"):
        if hasattr(method, head):
            setattr(method, head, nn.Identity())
    method.bank.features = bank.clone()
    return method


def stepped(method, views, index, *draws):
    """The terms of one step, and the gradients at the views."""
    views = [view.clone().requires_grad_() for view in views]
    context = Draws(len(method.bank), *draws)
    terms = method.loss(Batch(tuple(views), index), context)
    sum(terms.values()).backward()
    assert not context.recorded
    return terms, [view.grad for view in views]


def through_unit(rows, gradient):
    """A gradient recorded at unit rows, as it is before they were made unit."""
    raw = rows.clone().requires_grad_()
    return torch.autograd.grad(nn.functional.normalize(raw), raw, gradient)[0]


def assert_loss(terms, recorded):
    torch.testing.assert_close(sum(terms.values()), recorded.reshape(()), **CLOSE)


def assert_log_normaliser(method, recorded):
    """Z is about a million: its relative error is the absolute one of its logarithm."""
    assert method.normaliser.ready
    torch.testing.assert_close(method.normaliser.log, recorded.log(), atol=1e-5, rtol=0)


def test_golden_instdisc_takes_the_recorded_steps_of_its_authors(golden):
    arrays = golden("instdisc_nce")
    method = made("instdisc", arrays, arrays["step0/memory_before"])
    for step in range(3):
        at = f"step{step}/"
        rows, index, drawn = (arrays[f"{at}{name}"] for name in ("x", "y", "idx"))
        bank = method.bank.features
        torch.testing.assert_close(bank, arrays[f"{at}memory_before"], **CLOSE)
        assert torch.equal(drawn[:, 0], index)
        logits = bank_logits(rows, bank, drawn, method.config.temperature)
        terms, (gradient,) = stepped(method, [rows], index, drawn)
        assert set(terms) == {"nce"}
        assert_log_normaliser(method, arrays[f"{at}Z_used"])
        ratio = (logits - method.normaliser.log).exp()  # P of every column
        torch.testing.assert_close(ratio, arrays[f"{at}out"], **CLOSE)
        assert_loss(terms, arrays[f"{at}loss"])
        expected = through_unit(rows, arrays[f"{at}grad_x"])
        torch.testing.assert_close(gradient, expected, **CLOSE)
        torch.testing.assert_close(method.bank.features, arrays[f"{at}memory_after"], **CLOSE)


@pytest.mark.parametrize(
    ("name", "loss"),
    [("bank_nce", "nce"), ("bank_infonce", "info_nce"), ("instdisc_softmax", "softmax")],
)
def test_golden_losses_over_a_bank_take_the_recorded_step(golden, name, loss):
    arrays = golden(name)
    negatives = {"negatives": 119} if loss == "softmax" else {}
    method = made("instdisc", arrays, arrays["memory_before"], loss=loss, **negatives)
    draws = [arrays["idx"]] if "idx" in arrays else []
    terms, (gradient,) = stepped(method, [arrays["x"]], arrays["y"], *draws)
    assert set(terms) == {loss}
    assert_loss(terms, arrays["loss"])
    expected = through_unit(arrays["x"], arrays["grad_x"])
    torch.testing.assert_close(gradient, expected, **CLOSE)
    torch.testing.assert_close(method.bank.features, arrays["memory_after"], **CLOSE)
    if loss == "nce":
        assert_log_normaliser(method, arrays["Z"])


def in_patches(rows):
    """N x 16 as the 2 x 2 patches that, side by side, are those rows again."""
    return rows.reshape(len(rows), 4, -1)


def test_golden_pirl_takes_the_recorded_steps_of_its_authors(golden):
    arrays = golden("pirl_nce")
    method = made("pirl", arrays, arrays["step0/memory_before"], grid=2)
    for step in range(2):
        at = f"step{step}/"
        image, jigsaw = arrays[f"{at}x_raw"], arrays[f"{at}x_jig_raw"]
        index, of_image, of_jigsaw = (arrays[f"{at}{n}"] for n in ("y", "idx_img", "idx_jig"))
        torch.testing.assert_close(method.bank.features, arrays[f"{at}memory_before"], **CLOSE)
        terms, gradients = stepped(method, [image, in_patches(jigsaw)], index, of_jigsaw, of_image)
        assert set(terms) == {"jigsaw", "image"}
        assert_log_normaliser(method, arrays[f"{at}Z"])
        assert_loss(terms, arrays[f"{at}loss"])
        torch.testing.assert_close(gradients[0], arrays[f"{at}grad_x"], **CLOSE)
        torch.testing.assert_close(gradients[1], in_patches(arrays[f"{at}grad_x_jig"]), **CLOSE)
        torch.testing.assert_close(method.bank.features, arrays[f"{at}memory_after"], **CLOSE)


def test_golden_pirl_with_info_nce_and_one_draw_takes_the_recorded_step(golden):
    arrays = golden("pirl_infonce")
    weight = float(arrays["beta"])
    settings = {"loss": "info_nce", "shared_draw": True, "weight": weight, "grid": 2}
    method = made("pirl", arrays, arrays["memory_before"], **settings)
    image, jigsaw = arrays["x"], arrays["x_jig"]
    terms, gradients = stepped(method, [image, in_patches(jigsaw)], arrays["y"], arrays["idx"])
    assert_loss(terms, arrays["loss"])
    for name, key, share in (("image", "logits", 1 - weight), ("jigsaw", "logits_jig", weight)):
        zeros = torch.zeros(len(image), dtype=torch.long)
        recorded = nn.functional.cross_entropy(arrays[key], zeros)
        torch.testing.assert_close(terms[name], share * recorded, **CLOSE)
    expected = through_unit(image, arrays["grad_x"])
    torch.testing.assert_close(gradients[0], expected, **CLOSE)
    expected = in_patches(through_unit(jigsaw, arrays["grad_x_jig"]))
    torch.testing.assert_close(gradients[1], expected, **CLOSE)
    torch.testing.assert_close(method.bank.features, arrays["memory_after"], **CLOSE)
