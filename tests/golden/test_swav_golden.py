"""SwAV against the Sinkhorn-Knopp of the authors' code, and the losses of lightly and solo-learn.

The files hold scores at prototypes, some of rows longer than 1, which no cosines can be. So scores,
temperature and epsilon are divided by the same power of two, which changes no softmax, and each row
becomes a unit embedding by one more number; the prototypes are the unit vectors.
"""

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods
from sslbench.nn import sinkhorn_knopp, unit

DATA = DataInfo(images=400, batch_size=12, image_size=32, epochs=200, steps_per_epoch=33)


class Rows(nn.Module):
    """An encoder that gives back what it is given."""

    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, rows):
        return rows


class Recorded:
    """SwAV whose scores are the recorded ones, divided by ``shrink``."""

    def __init__(self, arrays, queue):
        self.scores = [arrays[key] for key in sorted(arrays) if key.startswith("out")]
        queued = [arrays["queue_out0"], arrays["queue_out1"]]
        longest = torch.cat([*self.scores, *queued]).norm(dim=1).max()
        self.shrink = float(2 ** longest.log2().ceil())
        count = self.scores[0].shape[1]
        swav = methods.get("swav")
        config = swav.Config(
            dim=count + 1,
            prototypes=count,
            temperature=float(arrays["T"]) / self.shrink,
            epsilon=float(arrays["epsilon"]) / self.shrink,
            rounds=int(arrays["iters"]),
            queue_size=len(queued[0]) if queue else 0,
            queue_from=0,
            frozen_steps=0,
        )
        self.method = swav(Rows(count + 1), config, DATA)
        self.method.head = nn.Identity()
        with torch.no_grad():  # of any length: the method takes it away
            self.method.prototypes.weight.copy_(3 * torch.eye(count, count + 1))
        for memory, rows in zip(self.method.queues, queued, strict=False):
            memory.features = self.embedded(rows)
            memory.index = torch.arange(len(rows))
        self.views = [self.embedded(rows).requires_grad_() for rows in self.scores]

    def embedded(self, scores):
        shrunk = scores.double() / self.shrink
        rest = (1 - shrunk.square().sum(1, keepdim=True)).sqrt()
        return torch.cat([shrunk, rest], 1).float()

    def loss(self, context):
        batch = Batch(tuple(self.views), torch.arange(len(self.views[0])))
        return self.method.loss(batch, context)["swapped_prediction"]

    def gradients(self, recorded):
        """What reached each view, and what the recorded gradient by its scores makes of it."""
        for view, by_scores in zip(self.views, recorded, strict=True):
            raw = view.detach().requires_grad_()
            scores = self.shrink * unit(raw)[:, :-1]
            yield view.grad, torch.autograd.grad(scores, raw, by_scores)[0]


@pytest.mark.parametrize("name", ["lightly_swav", "solo_swav", "lightly_swav_queue"])
def test_golden_swav_gives_the_recorded_loss_and_gradients(name, golden, replay_context):
    arrays = golden("swav")
    recorded = Recorded(arrays, queue=name.endswith("queue"))
    context = replay_context()
    context.step = 1000  # long after the queue has been filled
    loss = recorded.loss(context)
    loss.backward()
    torch.testing.assert_close(loss, arrays[f"{name}/loss"], atol=1e-5, rtol=1e-5)
    by_scores = [arrays[f"{name}/grad_out{view}"] for view in range(len(recorded.scores))]
    for found, expected in recorded.gradients(by_scores):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    # The length of a prototype is taken without gradient, so its whole gradient stays.
    pairs = zip(by_scores, recorded.views, strict=True)
    expected = sum(recorded.shrink * gradient.T @ view for gradient, view in pairs).detach()
    found = recorded.method.prototypes.weight.grad
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_golden_swav_pushes_the_assigning_views_after_their_assignment(golden, replay_context):
    recorded = Recorded(golden("swav"), queue=True)
    recorded.loss(replay_context())
    for queue, view in zip(recorded.method.queues, recorded.views[:2], strict=True):
        torch.testing.assert_close(queue.features[: len(view)], view.detach())


@pytest.mark.parametrize("epsilon", ["0.05", "0.03"])
@pytest.mark.parametrize("source", ["lightly", "solo"])
def test_golden_sinkhorn_knopp_gives_the_libraries_assignments(epsilon, source, golden):
    arrays = golden("swav")
    found = sinkhorn_knopp(arrays["out0"], float(epsilon), int(arrays["iters"]))
    expected = arrays[f"eps{epsilon}/{source}_sinkhorn0"]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_golden_sinkhorn_knopp_gives_the_authors_assignments_with_and_without_a_queue(golden):
    arrays = golden("swav")
    epsilon, rounds, batch = float(arrays["epsilon"]), int(arrays["iters"]), arrays["out0"]
    alone = sinkhorn_knopp(batch, epsilon, rounds)
    torch.testing.assert_close(alone, arrays["official_sinkhorn0"], atol=1e-5, rtol=1e-5)
    queued = sinkhorn_knopp(torch.cat([arrays["queue_out0"], batch]), epsilon, rounds)
    own = queued[-len(batch) :]
    torch.testing.assert_close(own, arrays["official_sinkhorn0_queue"], atol=1e-5, rtol=1e-5)
