"""DINO against a recorded step of the authors' loss and centre."""

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods

DATA = DataInfo(images=400, batch_size=12, image_size=32, epochs=200, steps_per_epoch=33)


class Columns(nn.Module):
    """A view holds the student's and the teacher's outputs side by side; this takes one of them."""

    def __init__(self, start, stop):
        super().__init__()
        self.start, self.stop, self.dim = start, stop, stop - start

    def forward(self, rows, *frozen):
        return rows[:, self.start : self.stop]


# lightly and solo-learn divide and average as the authors do: their values are the same.
@pytest.mark.parametrize("source", ["official", "lightly", "solo"])
def test_golden_dino_gives_the_recorded_loss_gradients_and_centre(source, golden, replay_context):
    arrays = golden("dino")
    names = sorted(key for key in arrays if key.removeprefix("student").isdigit())
    student = [arrays[name] for name in names]
    teacher = [arrays["teacher0"], arrays["teacher1"]]
    width = student[0].shape[1]
    dino = methods.get("dino")
    config = dino.Config(
        outputs=width,
        momentum=0.996,
        student_temperature=float(arrays["student_temp"]),
        teacher_temperature=float(arrays["teacher_temp"]),
        centre_momentum=float(arrays["center_momentum"]),
        frozen_steps=0,
    )
    method = dino(Columns(0, width), config, DATA)
    method.head = nn.Identity()
    method.last_layer = Columns(0, width)
    method.teacher = Columns(width, 2 * width)
    method.centre = arrays["center_before"][0].clone()

    unseen = [torch.full_like(rows, torch.nan) for rows in student[2:]]  # no teacher has these
    pairs = zip(student, [*teacher, *unseen], strict=True)
    views = [torch.cat(pair, 1).requires_grad_() for pair in pairs]
    loss = method.loss(Batch(tuple(views), torch.arange(len(views[0]))), replay_context())
    loss["self_distillation"].backward()

    expected = arrays[f"{source}_dino/loss"]
    torch.testing.assert_close(loss["self_distillation"], expected, atol=1e-5, rtol=1e-5)
    for place, view in enumerate(views):
        expected = arrays[f"{source}_dino/grad_student{place}"]
        torch.testing.assert_close(view.grad[:, :width], expected, atol=1e-5, rtol=1e-5)
        assert not view.grad[:, width:].any()
    expected = arrays[f"{source}_dino/center_after"][0]
    torch.testing.assert_close(method.centre, expected, atol=1e-5, rtol=1e-5)
