"""CPC against a recorded loss of Löwe et al.'s code."""

import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
SKIPPED = 1


class Identity(nn.Module):
    """In place of an encoder: the patches are embeddings already."""

    dim = 12

    def forward(self, rows):
        return rows


class Recorded(nn.Module):
    """In place of the context network: the recorded contexts of the rows that it is given."""

    def __init__(self, contexts, latents):
        super().__init__()
        self.contexts, self.latents = contexts, latents

    def forward(self, rows):
        torch.testing.assert_close(rows, self.latents[:, :, : rows.shape[2]])
        return self.contexts[:, :, : rows.shape[2]]


class Draws:
    """A context that hands out the recorded draws, in our order of rows."""

    def __init__(self, recorded):
        self.recorded = recorded

    def integers(self, high, rows, *shape):
        drawn = self.recorded.pop(0)
        assert high == rows == len(drawn)
        assert drawn.shape == (rows, *shape)
        return drawn


def image_by_image(flat, height, width, images, negatives):
    """Draws recorded over (height, width, image), as they are over (image, height, width)."""
    places = flat.view(height, width, images, negatives).permute(2, 0, 1, 3).flatten(0, 2)
    row, column, image = places // images // width, places // images % width, places % images
    return (image * height + row) * width + column


def test_golden_cpc_has_the_recorded_loss_and_gradients(golden):
    arrays = golden("cpc_infonce")
    steps, negatives = int(arrays["k"]), int(arrays["n_neg"])
    assert int(arrays["skip"]) == SKIPPED
    latents, contexts = arrays["z"].requires_grad_(), arrays["c"].requires_grad_()
    images, dim, grid, _ = latents.shape
    cpc = methods.get("cpc")
    config = cpc.Config(dim=dim, grid=grid, steps=steps, negatives=negatives)
    method = cpc(Identity(), config, DataInfo(400, images, 64, 300, 100))
    method.head = nn.Identity()
    method.context_networks["down"] = Recorded(contexts, latents.detach())
    draws = []
    for k, predictor in enumerate(method.predictors["down"], start=1):
        predictor.weight.data = arrays[f"k{k}/W"][:, :, None, None].clone()
        height = grid - k - SKIPPED
        recorded = arrays[f"k{k}/rand_index"]
        draws.append(image_by_image(recorded, height, grid, images, negatives))
    patches = latents.flatten(2).transpose(1, 2)  # N x P x D, a row after the other
    terms = method.loss(Batch((patches,), torch.arange(images)), Draws(draws))
    assert not draws
    assert set(terms) == {"down"}
    terms["down"].backward()
    # Their 1e-11 beside the probability is left out: less than the tolerance.
    torch.testing.assert_close(terms["down"], arrays["loss"], **CLOSE)
    torch.testing.assert_close(latents.grad, arrays["grad_z"], **CLOSE)
    torch.testing.assert_close(contexts.grad, arrays["grad_c"], **CLOSE)
    for k, predictor in enumerate(method.predictors["down"], start=1):
        torch.testing.assert_close(
            predictor.weight.grad[:, :, 0, 0], arrays[f"k{k}/grad_W"], **CLOSE
        )
