import pytest
import torch

from sslbench.errors import ConfigError
from sslbench.nn import FeatureQueue, info_nce


def numbered(start, count, dim=3):
    return torch.arange(start, start + count).float()[:, None].expand(count, dim)


def test_a_queue_starts_with_unit_rows_of_no_image():
    queue = FeatureQueue(6, 4)
    torch.testing.assert_close(queue.features.norm(dim=1), torch.ones(6))
    assert (queue.index == -1).all()
    assert len(queue) == 6


def test_a_queue_keeps_the_last_keys_and_wraps_around():
    queue, kept = FeatureQueue(5, 3), []
    for start in range(0, 24, 3):  # 3 does not divide 5
        queue.push(numbered(start, 3), torch.arange(start, start + 3))
        kept = (kept + list(range(start, start + 3)))[-5:]
        pointer = int(queue.pointer)
        if start >= 3:
            in_order = queue.index.roll(-pointer).tolist()
            assert in_order == kept
        assert torch.equal(
            queue.features[queue.index >= 0][:, 0].long(), queue.index[queue.index >= 0]
        )


def test_of_a_batch_larger_than_the_queue_the_last_keys_stay():
    queue = FeatureQueue(4, 3)
    queue.push(numbered(0, 10), torch.arange(10))
    assert sorted(queue.index.tolist()) == [6, 7, 8, 9]
    assert queue.index.roll(-int(queue.pointer)).tolist() == [6, 7, 8, 9]


def test_keys_pushed_before_the_backward_pass_do_not_disturb_it():
    queue = FeatureQueue(4, 3)
    query = torch.randn(2, 3, requires_grad=True)
    loss = info_nce(query, torch.randn(2, 3), queue.features, 0.2)
    (expected,) = torch.autograd.grad(loss, query, retain_graph=True)
    queue.push(torch.randn(2, 3))
    loss.backward()
    assert torch.equal(query.grad, expected)


def test_a_queue_is_all_buffers_and_comes_back_from_a_checkpoint():
    queue, other = FeatureQueue(5, 3), FeatureQueue(5, 3)
    queue.push(numbered(1, 3), torch.tensor([7, 8, 9]))
    other.load_state_dict(queue.state_dict())
    for one in (queue, other):
        one.push(numbered(4, 4), torch.tensor([1, 2, 3, 4]))
    assert torch.equal(queue.features, other.features)
    assert torch.equal(queue.index, other.index)


def test_an_empty_queue_is_refused():
    with pytest.raises(ConfigError, match="at least one"):
        FeatureQueue(0, 3)
