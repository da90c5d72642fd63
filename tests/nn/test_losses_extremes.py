"""The contrastive losses where they could break: temperatures, precision, copies, few negatives."""

import math

import pytest
import torch

from sslbench.errors import ConfigError
from sslbench.nn import batch_info_nce, info_nce, nt_xent, proto_nce, unit

N, K, D = 5, 7, 6
TEMPERATURES = [0.01, 0.1, 10.0]


def rows(count, seed=0, dim=D):
    generator = torch.Generator().manual_seed(seed)
    return unit(torch.randn(count, dim, generator=generator, dtype=torch.float64))


def three():
    """Queries, keys and negatives."""
    return rows(N), rows(N, seed=1), rows(K, seed=2)


KEEP = torch.rand(N, K, generator=torch.Generator().manual_seed(3)) < 0.5


def against_prototypes(query, key, negatives, temperature, keep=None):
    """ProtoNCE where the prototypes are the keys, each of one query, and the negatives."""
    prototypes = torch.cat([key, negatives])
    count = len(query)
    positive = torch.arange(count)
    others = torch.arange(len(prototypes)) != positive[:, None]
    precision = torch.promote_types(prototypes.dtype, torch.float32)
    concentration = torch.full((len(prototypes),), temperature, dtype=precision)
    kept = None if keep is None else torch.cat([torch.ones(count, count, dtype=bool), keep], 1)
    return proto_nce(query, prototypes, concentration, positive, others, kept)


def in_batch(loss, decoupled=False):
    return lambda query, key, negatives, temperature: loss(query, key, temperature, decoupled)


# Each loss of (query, key, negatives, temperature), and the kinds of negatives that it compares.
CASES = {
    "info_nce": (info_nce, ["negatives"]),
    "info_nce, selected": (lambda *given: info_nce(*given, KEEP), ["kept"]),
    "info_nce, positive in the queue": (
        lambda query, key, negatives, temperature: info_nce(
            query, key, torch.cat([key, negatives]), temperature, itself=torch.arange(N)
        ),
        ["keys", "negatives"],
    ),
    "batch_info_nce": (in_batch(batch_info_nce), ["keys"]),
    "batch_info_nce, decoupled": (in_batch(batch_info_nce, True), ["keys"]),
    "nt_xent": (in_batch(nt_xent), ["keys", "queries"]),
    "nt_xent, decoupled": (in_batch(nt_xent, True), ["keys", "queries"]),
    "proto_nce": (against_prototypes, ["keys", "negatives"]),
    "proto_nce, selected": (lambda *given: against_prototypes(*given, KEEP), ["keys", "kept"]),
}


def compared(name, row, query, key, negatives):
    """The negatives of one query."""
    found = {
        "queries": [query[i] for i in range(N) if i != row],
        "keys": [key[i] for i in range(N) if i != row],
        "negatives": list(negatives),
        "kept": [n for n, kept in zip(negatives, KEEP[row], strict=True) if kept],
    }
    return [negative for kind in CASES[name][1] for negative in found[kind]]


every_loss = pytest.mark.parametrize("name", CASES)


def dot(one, other):
    return sum(float(x) * float(y) for x, y in zip(one, other, strict=True))


def looped(name, query, key, negatives, temperature):
    """The mean over rows by loops over single numbers; NT-Xent's rows are those of both views."""
    directions = [(query, key), (key, query)] if name.startswith("nt_xent") else [(query, key)]
    losses = []
    for ours, theirs in directions:
        for row in range(len(ours)):
            own = math.exp(dot(ours[row], theirs[row]) / temperature)
            denominator = 0.0 if name.endswith("decoupled") else own
            for negative in compared(name, row, ours, theirs, negatives):
                denominator += math.exp(dot(ours[row], negative) / temperature)
            losses.append(-math.log(own / denominator))
    return sum(losses) / len(losses)


@every_loss
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_each_loss_equals_a_double_loop_in_float64(name, temperature):
    ours = CASES[name][0](*three(), temperature)
    assert ours.dtype == torch.float64
    assert float(ours) == pytest.approx(looped(name, *three(), temperature), rel=1e-10, abs=1e-10)


@every_loss
def test_each_gradient_is_that_of_finite_differences(name):
    given = [t.requires_grad_() for t in three()]
    assert torch.autograd.gradcheck(lambda *tensors: CASES[name][0](*tensors, 0.1), given)


@every_loss
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_float32_is_as_good_as_float64_and_its_gradients_are_finite(name, temperature):
    exact = CASES[name][0](*three(), temperature)
    single = [t.float().requires_grad_() for t in three()]
    loss = CASES[name][0](*single, temperature)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=1e-6, abs=1e-6 / temperature)
    loss.backward()
    assert all(t.grad is None or t.grad.isfinite().all() for t in single)


@every_loss
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_bfloat16_costs_no_more_than_the_rounding_of_the_inputs(name, temperature):
    given = [t.float() for t in three()]
    rounded = [t.bfloat16().requires_grad_() for t in given]
    with torch.autocast("cpu", torch.bfloat16):
        loss = CASES[name][0](*rounded, temperature)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, CASES[name][0](*(t.float() for t in rounded), temperature))
    # A row moves by 2^-8 of its length at most, a similarity by two such; a loss by two of those.
    exact = float(CASES[name][0](*given, temperature))
    assert abs(loss.item() - exact) <= 1.01 * 2**-6 / temperature
    loss.backward()
    assert all(t.grad is None or t.grad.isfinite().all() for t in rounded)


@every_loss
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_among_copies_of_one_row_the_loss_is_the_logarithm_of_how_many_there_are(name, temperature):
    copies = [rows(1).repeat(len(t), 1).requires_grad_() for t in three()]
    loss = CASES[name][0](*copies, temperature)
    counts = [len(compared(name, row, *copies)) for row in range(N)]
    own = 0 if name.endswith("decoupled") else 1
    assert loss.item() == pytest.approx(sum(math.log(own + c) for c in counts) / N, abs=1e-9)
    loss.backward()
    assert all(t.grad is None or t.grad.isfinite().all() for t in copies)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_negative_that_is_a_copy_of_the_key_costs_log_2_at_least(temperature):
    query, key, negatives = three()
    alone = query[:1], key[:1]
    assert float(info_nce(*alone, key[:1], temperature)) == pytest.approx(math.log(2))
    assert float(info_nce(*alone, torch.cat([key[:1], negatives]), temperature)) > math.log(2)
    twice = [t.repeat(2, 1) for t in alone]
    assert float(batch_info_nce(*twice, temperature)) == pytest.approx(math.log(2))
    assert float(nt_xent(*twice, temperature)) > math.log(2)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_with_one_negative_each_loss_is_the_logistic_loss_of_the_difference(temperature):
    query, key, negative = rows(2), rows(2, seed=1), rows(1, seed=2)
    positive = (query * key).sum(1)

    def logistic(negatives):
        difference = ((query * negatives).sum(1) - positive) / temperature
        return torch.nn.functional.softplus(difference).mean()

    swapped = key.flip(0)
    concentration = torch.full((2,), temperature, dtype=torch.float64)
    own = torch.arange(2)
    one = torch.eye(2, dtype=bool)
    for found, expected in (
        (info_nce(query, key, negative, temperature), logistic(negative)),
        (info_nce(query, key, key, temperature, ~one), logistic(swapped)),
        (info_nce(query, key, key, temperature, itself=own), logistic(swapped)),
        (batch_info_nce(query, key, temperature), logistic(swapped)),
        (proto_nce(query, key, concentration, own, ~one), logistic(swapped)),
    ):
        torch.testing.assert_close(found, expected)
    difference = ((query * swapped).sum(1) - positive) / temperature
    torch.testing.assert_close(batch_info_nce(query, key, temperature, True), difference.mean())


def test_without_a_negative_each_loss_is_an_error_that_says_so():
    query, none = rows(3), rows(3)[:0]
    own, concentration = torch.zeros(3, dtype=torch.long), torch.ones(1, dtype=torch.float64)
    for call, message in (
        (lambda: info_nce(query, query, none, 0.1), "without negatives.*queue of 0.*at least 1"),
        (
            lambda: info_nce(query, query, query[:1], 0.1, itself=own),
            "without negatives.*queue of 1.*at least 2",
        ),
        (lambda: batch_info_nce(query[:1], query[:1], 0.1), "no negatives.*batch of at least 2"),
        (lambda: batch_info_nce(none, none, 0.1, True), "no negatives.*batch of at least 2"),
        (lambda: nt_xent(query[:1], query[:1], 0.1), "no negatives.*batch of at least 2"),
        (lambda: nt_xent(none, none, 0.1, True), "no negatives.*batch of at least 2"),
        (
            lambda: proto_nce(query, query[:1], concentration, own, own > 0, columns=own[:0]),
            "no prototype to compare with",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            call()


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_that_is_not_positive_is_refused_by_every_loss_that_takes_one(temperature):
    for name in ("info_nce", "batch_info_nce", "nt_xent"):
        with pytest.raises(ConfigError, match="positive number"):
            CASES[name][0](*three(), temperature)


def lonely(kind, query, key, negatives, temperature, alone):
    """A loss in which the queries ``alone`` have no negative left."""
    if kind == "instances":
        return info_nce(query, key, negatives, temperature, ~alone[:, None].expand(-1, K))
    candidates = torch.ones(N, N + K, dtype=bool)
    candidates[:, :N] = ~torch.eye(N, dtype=bool)
    keep = None
    if kind == "prototypes, no candidate":
        candidates &= ~alone[:, None]
    else:
        keep = ~alone[:, None].expand(-1, N + K)
    prototypes = torch.cat([key, negatives])
    concentration = torch.full((N + K,), temperature).to(prototypes)
    return proto_nce(query, prototypes, concentration, torch.arange(N), candidates, keep)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(
    "kind", ["instances", "prototypes, no candidate", "prototypes, all rejected"]
)
def test_a_query_without_negatives_costs_nothing_has_no_gradient_and_leaves_the_others_alone(
    kind, dtype, temperature
):
    given = [t.to(dtype).requires_grad_() for t in three()]
    alone = torch.tensor([True, False, True, False, False])
    loss = lonely(kind, *given, temperature, alone)
    loss.backward()
    query, key, negatives = given
    assert all(t.grad.isfinite().all() for t in given)
    assert not query.grad[alone].any()
    assert query.grad[~alone].any()
    if kind == "instances":
        assert not key.grad[alone].any()
    everyone = lonely(kind, *given, temperature, torch.zeros(N, dtype=bool))
    only = [t[~alone] for t in (query, key)]
    if kind == "instances":
        rest = info_nce(*only, negatives, temperature) * 3 / 5
        torch.testing.assert_close(loss, rest, check_dtype=False, atol=1e-6, rtol=1e-6)
    assert loss <= everyone
    # A batch of nothing else: 0, and not NaN.
    query.grad = None
    silent = lonely(kind, *given, temperature, torch.ones(N, dtype=bool))
    silent.backward()
    assert silent.item() == pytest.approx(0, abs=1e-6)
    assert not query.grad.any()


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_rejected_negative_that_becomes_zero_still_costs_and_gives_no_nan(temperature):
    query, key, negatives = (t.requires_grad_() for t in three())
    nothing = torch.zeros(N, K, dtype=bool)
    loss = info_nce(query, key, negatives, temperature, nothing, "zero")
    loss.backward()
    positive = ((query * key).sum(1) / temperature).tolist()
    expected = [math.log(math.exp(p) + K) - p for p in positive]
    assert loss.item() == pytest.approx(sum(expected) / N, rel=1e-9)
    assert query.grad.isfinite().all()
    assert not negatives.grad.any()


def test_several_masks_one_of_which_keeps_nothing():
    query, key, negatives = (t.requires_grad_() for t in three())
    keep = torch.stack([KEEP, torch.zeros_like(KEEP)])
    losses = info_nce(query, key, negatives, 0.01, keep)
    losses.sum().backward()
    assert losses[1].item() == 0
    assert all(t.grad.isfinite().all() for t in (query, key, negatives))


@pytest.mark.parametrize("temperature", [1e-5, 0.01])
def test_a_discarded_prototype_takes_no_part_and_gives_no_nan(temperature):
    query, key = -rows(N).abs(), rows(N, seed=1).abs()  # far from all, so 0 would be the nearest
    prototypes = torch.cat([key, torch.zeros(1, D, dtype=torch.float64)]).requires_grad_()
    candidates = ~torch.eye(N, N + 1, dtype=bool)
    candidates[:, N] = False
    concentration = torch.full((N + 1,), temperature, dtype=torch.float64)
    concentration[N] = 1.0
    query.requires_grad_()
    loss = proto_nce(query, prototypes, concentration, torch.arange(N), candidates)
    loss.backward()
    torch.testing.assert_close(loss, batch_info_nce(query, key, temperature))
    assert query.grad.isfinite().all()
    assert not prototypes.grad[N].any()
