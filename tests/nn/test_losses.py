import math

import pytest
import torch

from sslbench.errors import ConfigError
from sslbench.nn import info_nce, negative_cosine, nt_xent, proto_nce, unit

T = 0.3


def rows(count, dim=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return unit(torch.randn(count, dim, generator=generator, dtype=torch.float64))


def mask(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.6


def dot(one, other):
    return sum(float(x) * float(y) for x, y in zip(one, other, strict=True))


def loop_info_nce(query, key, negatives, keep, rejected):
    total = 0.0
    for row, (q, k) in enumerate(zip(query, key, strict=True)):
        positive = math.exp(dot(q, k) / T)
        denominator = positive
        for column, negative in enumerate(negatives):
            if keep[row, column]:
                denominator += math.exp(dot(q, negative) / T)
            elif rejected == "zero":
                denominator += 1
        total -= math.log(positive / denominator)
    return total / len(query)


@pytest.mark.parametrize("rejected", ["remove", "zero"])
@pytest.mark.parametrize("selected", [True, False])
def test_info_nce_equals_a_double_loop(rejected, selected):
    query, key, negatives = rows(5), rows(5, seed=1), rows(7, seed=2)
    keep = mask(5, 7) if selected else torch.ones(5, 7, dtype=torch.bool)
    ours = info_nce(query, key, negatives, T, keep if selected else None, rejected)
    assert ours.dtype == torch.float64
    assert float(ours) == pytest.approx(
        loop_info_nce(query, key, negatives, keep, rejected), abs=1e-12
    )


@pytest.mark.parametrize("rejected", ["remove", "zero"])
def test_info_nce_under_several_masks_is_one_loss_for_each(rejected):
    query, key, negatives, keep = rows(5), rows(5, seed=1), rows(7, seed=2), mask(3, 5, 7)
    together = info_nce(query, key, negatives, T, keep, rejected)
    for loss, level in zip(together, keep, strict=True):
        torch.testing.assert_close(loss, info_nce(query, key, negatives, T, level, rejected))


@pytest.mark.parametrize("rejected", ["remove", "zero"])
def test_the_gradient_of_selected_info_nce_is_that_of_finite_differences(rejected):
    query, key = rows(4).requires_grad_(), rows(4, seed=1).requires_grad_()
    negatives, keep = rows(6, seed=2).requires_grad_(), mask(2, 4, 6)

    def loss(query, key, negatives):
        return info_nce(query, key, negatives, T, keep, rejected)

    assert torch.autograd.gradcheck(loss, (query, key, negatives))


def test_a_row_without_any_kept_negative_costs_nothing_and_has_no_gradient():
    query = rows(2).requires_grad_()
    nothing = torch.zeros(2, 7, dtype=torch.bool)
    loss = info_nce(query, rows(2, seed=1), rows(7, seed=2), T, nothing)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-15)
    assert not query.grad.any()


def test_removed_negatives_do_not_drown_the_rest_at_a_low_temperature():
    query = torch.tensor([[1.0, 0.0]])
    key, negatives = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    loss = info_nce(query, key, negatives, 0.005, keep=torch.tensor([[False, True]]))
    assert loss.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("rejected", ["remove", "zero"])
@pytest.mark.parametrize("temperature", [0.034, 0.033])  # each on its side of what fp32 can scale
def test_selection_at_a_low_temperature_is_what_double_precision_says(rejected, temperature):
    query = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    key, far = -query, torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.6, 0.8]])  # logits from end to end
    keep = torch.stack([mask(2, 3), mask(2, 3, seed=1), torch.ones(2, 3, dtype=torch.bool)])

    def losses_and_gradient(dtype):
        given = query.to(dtype).requires_grad_()
        losses = info_nce(given, key.to(dtype), far.to(dtype), temperature, keep, rejected)
        return losses, *torch.autograd.grad(losses.sum(), given)

    for single, double in zip(*map(losses_and_gradient, [torch.float, torch.double]), strict=True):
        torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


def test_info_nce_with_one_negative_is_the_logistic_loss_of_the_difference():
    query, key, negative = rows(3), rows(3, seed=1), rows(1, seed=2)
    difference = ((query * negative).sum(1) - (query * key).sum(1)) / T
    expected = torch.nn.functional.softplus(difference).mean()
    torch.testing.assert_close(info_nce(query, key, negative, T), expected)


def test_losses_without_a_negative_or_a_temperature_are_refused():
    query, none = rows(3), rows(3)[:0]
    with pytest.raises(ConfigError, match="without negatives"):
        info_nce(query, query, none, T)
    with pytest.raises(ConfigError, match="at least 2"):
        nt_xent(query[:1], query[:1], T)
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(ConfigError, match="positive number"):
            info_nce(query, query, query, temperature)
        with pytest.raises(ConfigError, match="positive number"):
            nt_xent(query, query, temperature)


@pytest.mark.parametrize("decoupled", [True, False])
def test_nt_xent_equals_a_double_loop(decoupled):
    one, other = rows(4), rows(4, seed=1)
    both = [*one, *other]
    total = 0.0
    for row in range(8):
        partner = (row + 4) % 8
        left_out = {row, partner} if decoupled else {row}
        terms = [math.exp(dot(both[row], both[c]) / T) for c in range(8) if c not in left_out]
        total += math.log(sum(terms)) - dot(both[row], both[partner]) / T
    assert float(nt_xent(one, other, T, decoupled)) == pytest.approx(total / 8, abs=1e-12)


@pytest.mark.parametrize("rejected", ["remove", "zero"])
@pytest.mark.parametrize("columns", [None, [4, 0, 2]])
def test_proto_nce_equals_a_double_loop(rejected, columns):
    query, prototypes = rows(5), rows(6, seed=1)
    concentration = torch.linspace(0.1, 0.4, 6, dtype=torch.float64)
    positive = torch.tensor([0, 3, 3, 5, 2])
    compared = list(range(6)) if columns is None else columns
    candidates = torch.tensor(compared) != positive[:, None]
    keep = mask(5, len(compared))
    total = 0.0
    for row in range(5):
        own = math.exp(dot(query[row], prototypes[positive[row]]) / concentration[positive[row]])
        denominator = own
        for column, prototype in enumerate(compared):
            if not candidates[row, column]:
                continue
            logit = dot(query[row], prototypes[prototype]) / float(concentration[prototype])
            if keep[row, column]:
                denominator += math.exp(logit)
            elif rejected == "zero":
                denominator += 1
        total -= math.log(own / denominator)
    chosen = None if columns is None else torch.tensor(columns)
    ours = proto_nce(query, prototypes, concentration, positive, candidates, keep, rejected, chosen)
    assert float(ours) == pytest.approx(total / 5, abs=1e-12)


def test_losses_take_bfloat16_under_autocast_and_answer_in_float32():
    query, key, negatives = (rows(8, seed=s).bfloat16() for s in range(3))
    keep = mask(8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        losses = [
            info_nce(query, key, negatives, 0.07),
            info_nce(query, key, negatives, 0.07, keep),
            nt_xent(query, key, 0.07),
            proto_nce(query, key, torch.full((8,), 0.1), torch.arange(8), ~torch.eye(8).bool()),
        ]
    for loss in losses:
        assert loss.dtype == torch.float32
        assert loss.isfinite()


def test_unit_rows_have_length_one_and_a_zero_row_stays_zero():
    made = unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    torch.testing.assert_close(made, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


def test_negative_cosine_equals_a_loop_and_is_half_the_squared_distance_less_one():
    prediction, target = 3 * rows(5), 0.2 * rows(5, seed=1)  # of any length
    total = 0.0
    for one, other in zip(prediction, target, strict=True):
        total -= dot(one, other) / math.sqrt(dot(one, one) * dot(other, other))
    ours = negative_cosine(prediction, target)
    assert ours.dtype == torch.float64
    assert float(ours) == pytest.approx(total / 5, abs=1e-12)
    distance = (unit(prediction) - unit(target)).square().sum(1).mean()
    assert float(ours) == pytest.approx(float(distance) / 2 - 1, abs=1e-12)


def test_negative_cosine_has_a_gradient_by_the_prediction_only():
    prediction, target = rows(4).requires_grad_(), rows(4, seed=1).requires_grad_()
    negative_cosine(prediction, target).backward()
    assert target.grad is None
    target.requires_grad_(False)
    assert torch.autograd.gradcheck(lambda p: negative_cosine(p, target), (prediction,))


def test_negative_cosine_lies_between_minus_one_and_one_takes_bfloat16_and_refuses_nothing():
    same = rows(4)
    assert float(negative_cosine(same, same)) == pytest.approx(-1)
    assert float(negative_cosine(same, -same)) == pytest.approx(1)
    one, other = (rows(8, seed=s).bfloat16() for s in range(2))
    with torch.autocast("cpu", torch.bfloat16):
        loss = negative_cosine(one, other)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(
        float(negative_cosine(one.double(), other.double())), abs=1e-6
    )
    with pytest.raises(ConfigError, match="no predictions"):
        negative_cosine(same[:0], same[:0])
