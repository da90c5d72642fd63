import pytest
import torch
from torch import nn

from sslbench.errors import ConfigError
from sslbench.nn import MomentumCopy, cosine_momentum, mlp, shuffled


def test_a_momentum_copy_starts_equal_and_follows_by_the_formula():
    encoder, head = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), nn.Linear(3, 2)
    copy = MomentumCopy(encoder, head).eval()
    images = torch.randn(5, 4)
    torch.testing.assert_close(copy(images), head(encoder.eval()(images)))
    before = [p.clone() for p in copy.parameters()]
    originals = [*encoder.parameters(), *head.parameters()]
    for parameter in originals:
        parameter.data += torch.randn_like(parameter)
    copy.update(encoder, head, momentum=0.9)
    for was, now, original in zip(before, copy.parameters(), originals, strict=True):
        torch.testing.assert_close(now, 0.9 * was + 0.1 * original)
        assert not now.requires_grad


def test_a_momentum_copy_keeps_its_own_batch_statistics():
    norm = nn.BatchNorm1d(3)
    copy = MomentumCopy(norm)
    norm(torch.randn(8, 3) + 5)
    copy.update(norm, momentum=0.0)
    assert not copy.copies[0].running_mean.any()
    assert norm.running_mean.all()


def test_a_momentum_outside_its_range_or_other_modules_are_refused():
    linear = nn.Linear(2, 2)
    copy = MomentumCopy(linear)
    with pytest.raises(ConfigError, match="from 0 to 1"):
        copy.update(linear, momentum=1.5)
    with pytest.raises(ValueError, match="2 parameters"):
        MomentumCopy(linear, linear).update(linear, momentum=0.5)


def test_shuffling_changes_the_chunks_but_not_the_order_of_the_answers():
    class Chunked(nn.Module):
        """The sum of a chunk of two, which tells who shared it."""

        def forward(self, images):
            return torch.cat([chunk.sum(0, keepdim=True).expand(2, 1) for chunk in images.split(2)])

    images = torch.tensor([[1.0], [10.0], [100.0], [1000.0]])
    order = torch.tensor([2, 0, 3, 1])  # chunks {100, 1} and {1000, 10}
    assert shuffled(Chunked(), images, order)[:, 0].tolist() == [101, 1010, 101, 1010]
    assert torch.equal(shuffled(nn.Identity(), images, order), images)
    with pytest.raises(ValueError, match="permutation of 4"):
        shuffled(Chunked(), images, order[:3])


def test_a_head_has_a_bias_only_where_no_norm_follows():
    head = mlp(8, 6, 4, batch_norm=True)
    assert [type(m).__name__ for m in head] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert head[0].bias is None
    assert head[3].bias is not None
    assert [type(m).__name__ for m in mlp(8, 4)] == ["Linear"]
    assert [type(m).__name__ for m in mlp(8, 4, last_norm=True)] == ["Linear", "BatchNorm1d"]
    with pytest.raises(ConfigError, match="two or more"):
        mlp(8)


def test_the_momentum_rises_from_its_base_to_one_along_half_a_cosine():
    assert cosine_momentum(0.99, 0) == pytest.approx(0.99)
    assert cosine_momentum(0.99, 0.5) == pytest.approx(0.995)
    assert cosine_momentum(0.99, 1) == pytest.approx(1)
    assert cosine_momentum(0.8, 1 / 3) == pytest.approx(1 - 0.2 * 0.75)
    rising = [cosine_momentum(0.9, step / 50) for step in range(51)]
    assert rising == sorted(rising)
    assert all(0.9 - 1e-12 <= momentum <= 1 for momentum in rising)
    assert cosine_momentum(1.0, 0.3) == 1
