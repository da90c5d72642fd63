"""Tables that are kept from step to step are those that are made anew."""

from itertools import pairwise

import pytest
import torch

from sslbench.nn import Clusters, FeatureQueue, QueueSelection, hierarchical_kmeans, pairs, unit
from sslbench.nn.selection import _BLOCK, PrototypeSelection

SIZES = [30, 15, 5]


def rows(count, seed=0):
    return unit(torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)))


def clusters(seed=0):
    found = Clusters(300, SIZES, 16)
    found.store(hierarchical_kmeans(rows(300, seed), SIZES, 0.1))
    return found


def queue_of(size):
    torch.manual_seed(0)
    return FeatureQueue(size, 16)


class Counted:
    """The selector of HCSC, which keeps how many rows it was asked of."""

    def __init__(self):
        self.asked = []

    def __call__(self, level, negatives):
        self.asked.append(len(negatives))
        return pairs.semantic_instances(level, negatives)


def assert_fresh(selection, levels, queue):
    found = selection.probabilities(levels, queue)
    anew = QueueSelection(pairs.semantic_instances).probabilities(levels, queue)
    for level, table, other in zip(levels, found, anew, strict=True):
        assert torch.equal(table.probability, other.probability)  # bit by bit
        assert torch.equal(table.whole, other.whole)
        whole = pairs.semantic_instances(level, queue.features)
        torch.testing.assert_close(table.probability, whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [1, 100, _BLOCK, 3 * _BLOCK, 3 * _BLOCK + 17])
@pytest.mark.parametrize("count", [1, 64, 100, _BLOCK, 300, 1000])
def test_after_every_push_the_tables_are_those_of_the_whole_queue(size, count):
    queue, levels = queue_of(size), clusters().levels()
    selection = QueueSelection(pairs.semantic_instances)
    for seed in range(9):
        assert_fresh(selection, levels, queue)
        queue.push(rows(count, seed))
        selection.pushed(count, queue)
    assert_fresh(selection, levels, queue)


def test_a_step_asks_of_the_blocks_that_it_replaced_and_of_no_other():
    queue, levels, select = queue_of(8 * _BLOCK), clusters().levels(), Counted()
    selection = QueueSelection(select)
    selection.probabilities(levels, queue)
    assert select.asked == 8 * len(SIZES) * [_BLOCK]
    for count, blocks in ((_BLOCK, 1), (_BLOCK, 1), (_BLOCK // 2, 1), (_BLOCK, 2)):
        select.asked.clear()
        queue.push(rows(count))
        selection.pushed(count, queue)
        for _ in range(2):  # the second time of none
            selection.probabilities(levels, queue)
        assert select.asked == blocks * len(SIZES) * [_BLOCK]


def test_new_clusters_another_queue_and_a_loaded_state_are_seen_without_being_said():
    queue, held = queue_of(3 * _BLOCK), clusters()
    selection = QueueSelection(pairs.semantic_instances)
    kept = [selection.probabilities(held.levels(), queue)]
    held.store(clusters(seed=1).levels())  # in place
    kept.append(selection.probabilities(held.levels(), queue))
    other = FeatureQueue(3 * _BLOCK, 16)
    queue.load_state_dict(other.state_dict())  # in place
    kept.append(selection.probabilities(held.levels(), queue))
    queue.features = unit(queue.features + rows(3 * _BLOCK))
    kept.append(selection.probabilities(held.levels(), queue))
    assert_fresh(selection, held.levels(), queue)
    for one, two in pairwise(kept):
        assert not torch.equal(one[0].probability, two[0].probability)


def test_prototypes_are_asked_of_once_until_the_clusters_change():
    held, asked = clusters(), []

    def select(level, upper):
        asked.append(len(level.prototypes))
        return pairs.semantic_prototypes(level, upper)

    selection = PrototypeSelection(select)
    for seed in (0, 1):
        held.store(clusters(seed).levels())  # in place
        for _ in range(3):
            *tables, last = selection.probabilities(held.levels())
            assert last is None  # of the last level all are kept
            for table, (level, upper) in zip(tables, pairwise(held.levels()), strict=True):
                assert torch.equal(table.probability, pairs.semantic_prototypes(level, upper))
    assert asked == SIZES[:2] * 2


def test_pushes_before_there_are_clusters_are_no_loss():
    queue, levels = queue_of(3 * _BLOCK), clusters().levels()
    selection = QueueSelection(pairs.semantic_instances)
    for seed in range(3):
        queue.push(rows(100, seed))
        selection.pushed(100, queue)
    assert_fresh(selection, levels, queue)


def test_under_bfloat16_what_is_kept_of_rows_and_of_prototypes_is_as_in_float32():
    queue, levels = queue_of(300), clusters().levels()
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            tables = QueueSelection(pairs.semantic_instances).probabilities(levels, queue)
            upper = pairs.semantic_prototypes(*levels[:2])
            found.append([*(table.probability for table in tables), upper])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
