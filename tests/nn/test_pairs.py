from dataclasses import replace

import pytest
import torch

from sslbench.errors import ConfigError
from sslbench.nn import Level, hierarchical_kmeans, pairs, proto_nce, unit

GENERATOR = torch.Generator().manual_seed(0)
FEATURES = unit(torch.randn(300, 16, generator=GENERATOR))
LEVELS = hierarchical_kmeans(FEATURES, [30, 15, 5], 0.1)
QUEUE = unit(torch.randn(40, 16, generator=GENERATOR))
CLUSTER = LEVELS[0].assignment[:8]


def at(uniforms):
    """What happens where these are drawn: a number, or N x K of them."""
    return lambda probability, rows: uniforms < probability[rows]


def test_all_negatives_draw_nothing_and_keep_everything():
    assert pairs.INSTANCE_NEGATIVES["all"] is None
    assert pairs.PROTOTYPE_NEGATIVES["all"] is None


def test_a_uniform_of_zero_keeps_every_negative_and_the_largest_keeps_none():
    lowest, largest = at(0.0), at(0.9999)
    parents = LEVELS[0].parents[CLUSTER]
    assert lowest(pairs.semantic_prototypes(*LEVELS[:2]), parents).all()
    assert not largest(pairs.semantic_prototypes(*LEVELS[:2]), parents).any()
    assert not largest(pairs.semantic_instances(LEVELS[0], QUEUE), CLUSTER).any()
    assert lowest(pairs.semantic_instances(LEVELS[0], QUEUE), CLUSTER).all()


def test_selection_equals_a_double_loop():
    level, uniforms = LEVELS[1], torch.rand(8, 40, generator=GENERATOR)
    cluster = level.assignment[:8]
    mask = at(uniforms)(pairs.semantic_instances(level, QUEUE), cluster)
    for row in range(8):
        for column in range(40):
            scores = level.prototypes @ QUEUE[column] / level.concentration
            share = float(scores.double().softmax(0)[cluster[row]])
            assert bool(mask[row, column]) == (float(uniforms[row, column]) < min(1 - share, 0.999))


def test_a_key_of_the_querys_own_cluster_is_rejected():
    own = LEVELS[0].prototypes[CLUSTER[0]][None]
    other = LEVELS[0].prototypes[(CLUSTER[0] + 1) % 30][None]
    mask = at(0.5)(pairs.semantic_instances(LEVELS[0], torch.cat([own, other])), CLUSTER[:1])
    assert mask.tolist() == [[False, True]]


def test_prototypes_of_the_own_parent_are_rejected():
    parents = LEVELS[1].parents
    own = parents[LEVELS[1].assignment[:8]]
    mask = at(0.5)(pairs.semantic_prototypes(*LEVELS[1:]), own)
    share = own[:, None] == parents[None]
    agree = (mask == ~share).float().mean()
    assert agree > 0.9


def void(level, dropped):
    """The level with one cluster discarded, its images at the next one."""
    kept = level.kept.clone()
    kept[dropped] = False
    assignment = torch.where(level.assignment == dropped, dropped + 1, level.assignment)
    prototypes = level.prototypes * kept[:, None]
    return Level(assignment, prototypes, level.concentration, kept, level.parents)


def test_a_discarded_cluster_takes_no_part():
    level = void(LEVELS[0], dropped=3)
    cluster = level.assignment[:8]
    assert not pairs.candidates(level, cluster)[:, 3].any()
    left = [m for m in range(30) if m != 3]
    smaller = Level(
        level.assignment, level.prototypes[left], level.concentration[left], level.kept[left], None
    )
    uniforms = torch.rand(8, 40, generator=GENERATOR)
    place = torch.tensor([left.index(c) for c in cluster.tolist()])
    assert torch.equal(
        at(uniforms)(pairs.semantic_instances(level, QUEUE), cluster),
        at(uniforms)(pairs.semantic_instances(smaller, QUEUE), place),
    )


def test_a_discarded_parent_takes_no_share():
    upper = void(LEVELS[1], dropped=2)
    lower = replace(LEVELS[0], parents=torch.where(LEVELS[0].parents == 2, 3, LEVELS[0].parents))
    uniforms = torch.rand(8, 30, generator=GENERATOR)
    mask = at(uniforms)(pairs.semantic_prototypes(lower, upper), lower.parents[CLUSTER])
    left = [m for m in range(15) if m != 2]
    scores = lower.prototypes @ upper.prototypes[left].T / upper.concentration[left]
    share = scores.softmax(1)[:, [left.index(m) for m in lower.parents[CLUSTER].tolist()]].T
    assert torch.equal(mask, uniforms < (1 - share).clamp(1e-4, 0.999))


def test_candidates_leave_out_the_own_prototype_or_those_of_the_batch():
    level = LEVELS[0]
    own = pairs.candidates(level, CLUSTER)
    assert own.sum().item() == 8 * 29
    assert not own[torch.arange(8), CLUSTER].any()
    batch = pairs.candidates(level, CLUSTER, exclusion="batch")
    assert set(batch.nonzero()[:, 0].tolist()) == set(range(30)) - set(CLUSTER.tolist())
    without_last = pairs.candidates(level, CLUSTER, last_prototype=False)
    assert not without_last[:, level.assignment.max()].any()
    assert torch.equal(own[:, : level.assignment.max()], without_last[:, : level.assignment.max()])


def test_a_batch_that_occupies_all_clusters_leaves_no_candidate_and_costs_nothing():
    top, own = LEVELS[2], torch.arange(5)
    allowed = pairs.candidates(top, own, exclusion="batch")
    assert not allowed.any()
    query = top.prototypes[:5].clone().requires_grad_()
    loss = proto_nce(query, top.prototypes, top.concentration, own, allowed)
    loss.backward()
    assert loss.item() == 0
    assert not query.grad.any()


def test_the_nearest_row_equals_a_double_loop_whatever_the_lengths():
    query = torch.randn(12, 16, generator=GENERATOR, dtype=torch.float64)
    lengths = torch.rand(40, 1, generator=GENERATOR, dtype=torch.float64) + 0.1
    rows = QUEUE.double() * lengths
    found = pairs.nearest(query, rows)
    assert found.shape == (12,)
    for row, number in zip(query, found.tolist(), strict=True):
        cosines = [float(row @ other / other.norm()) for other in rows]
        assert number == cosines.index(max(cosines))


def test_the_nearest_rows_do_not_depend_on_the_size_of_a_block(monkeypatch):
    query = torch.randn(12, 16, generator=GENERATOR)
    whole = pairs.nearest(query, QUEUE)
    for similarities in (1, 40, 200):  # a query at a time, the same, five at a time
        monkeypatch.setattr(pairs, "_SIMILARITIES", similarities)
        assert torch.equal(pairs.nearest(query, QUEUE), whole)


def test_a_row_is_its_own_nearest_also_in_bfloat16_and_one_of_equal_rows_is_found():
    with torch.autocast("cpu", torch.bfloat16):
        found = pairs.nearest(3 * QUEUE.bfloat16(), QUEUE)
    assert found.tolist() == list(range(40))
    twice = QUEUE.repeat(2, 1)
    assert (pairs.nearest(QUEUE, twice) % 40).tolist() == list(range(40))
    assert pairs.nearest(QUEUE, QUEUE[:1]).tolist() == [0] * 40


def test_the_nearest_of_none_is_refused():
    with pytest.raises(ConfigError, match="no candidates"):
        pairs.nearest(QUEUE, QUEUE[:0])


def test_levels_of_two_prototypes_or_more_leave_every_query_a_candidate():
    pairs.check_candidates(LEVELS)
    pairs.check_candidates(LEVELS, last_prototype=False)
    for level in LEVELS:
        for last_prototype in (True, False):
            everyone = torch.arange(len(level.kept))
            allowed = pairs.candidates(level, everyone, last_prototype=last_prototype)
            assert allowed.any(1).all()


def test_levels_that_may_leave_a_query_no_candidate_are_refused():
    level = LEVELS[2]
    one = replace(level, kept=torch.arange(5) == 3, assignment=torch.full((300,), 3))
    with pytest.raises(ConfigError, match="level 1 of the clusters has 1 of 5 prototypes"):
        pairs.check_candidates([LEVELS[1], one])
    two = replace(level, kept=torch.arange(5) < 2, assignment=level.assignment % 2)
    pairs.check_candidates([two])
    with pytest.raises(ConfigError, match=r"has 1 of 5 .*last_prototype = true"):
        pairs.check_candidates([two], last_prototype=False)
    assert not pairs.candidates(two, torch.zeros(8).long(), last_prototype=False).any()


def test_what_a_discarded_cluster_would_have_is_shared_by_the_others():
    between = unit(torch.tensor([[1.0, 1.0, 0.0]]))  # as near to the one as to the other
    level = Level(
        assignment=torch.tensor([0, 1]),
        prototypes=torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]),
        concentration=torch.full((3,), 10.0),
        kept=torch.tensor([True, True, False]),
        parents=torch.zeros(3, dtype=torch.long),
    )
    cluster = torch.tensor([0])
    for uniform, kept in ((0.49, True), (0.51, False)):  # its share is a half, and no third
        mask = at(uniform)(pairs.semantic_instances(level, between), cluster)
        assert mask.tolist() == [[kept]]
        lower = replace(level, prototypes=between.repeat(3, 1))
        masks = at(uniform)(pairs.semantic_prototypes(lower, level), lower.parents[cluster])
        assert masks.tolist() == [[kept] * 3]
