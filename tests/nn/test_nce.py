import math

import pytest
import torch

from sslbench.errors import ConfigError
from sslbench.nn import MemoryBank, Normaliser, bank_info_nce, bank_logits, bank_nce, unit
from sslbench.nn import nce as module

T, IMAGES = 0.3, 12


def rows(count, dim=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return unit(torch.randn(count, dim, generator=generator, dtype=torch.float64))


def drawn(count=5, negatives=7, images=IMAGES, seed=0):
    """Own rows 0, 1, ... and draws that may repeat one another and the own row."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randint(images, (count, negatives), generator=generator)
    return torch.cat([torch.arange(count)[:, None], draws], 1)


def dot(one, other):
    return sum(float(x) * float(y) for x, y in zip(one, other, strict=True))


def loop_normaliser(query, bank, columns, temperature=T):
    terms = [
        math.exp(dot(q, bank[c]) / temperature)
        for q, chosen in zip(query, columns, strict=True)
        for c in chosen
    ]
    return len(bank) * sum(terms) / len(terms)


def loop_nce(query, bank, columns, normaliser, epsilon=1e-7, temperature=T):
    noise, total = (columns.shape[1] - 1) / len(bank), 0.0
    for q, (own, *others) in zip(query, columns.tolist(), strict=True):
        p = math.exp(dot(q, bank[own]) / temperature) / normaliser
        total -= math.log(p / (p + noise + epsilon))
        for other in others:
            p = math.exp(dot(q, bank[other]) / temperature) / normaliser
            total -= math.log(noise / (p + noise + epsilon))
    return total / len(query)


def loop_info_nce(query, bank, columns, temperature=T):
    total = 0.0
    for q, chosen in zip(query, columns, strict=True):
        terms = [math.exp(dot(q, bank[c]) / temperature) for c in chosen]
        total -= math.log(terms[0] / sum(terms))
    return total / len(query)


def losses(query, bank, columns, temperature=T):
    logits = bank_logits(query, bank, columns, temperature)
    log_z = Normaliser().to(logits.dtype)(logits, len(bank))
    return torch.stack([bank_nce(logits, log_z, len(bank)), bank_info_nce(logits)])


@pytest.mark.parametrize("epsilon", [1e-7, 1e-3])
@pytest.mark.parametrize("temperature", [0.05, T, 10.0])
def test_nce_equals_a_double_loop(epsilon, temperature):
    query, bank, columns = rows(5), rows(IMAGES, seed=1), drawn()
    normaliser = loop_normaliser(query, bank, columns, temperature)
    logits = bank_logits(query, bank, columns, temperature)
    ours = bank_nce(
        logits, torch.tensor(math.log(normaliser), dtype=torch.float64), IMAGES, epsilon
    )
    assert ours.dtype == torch.float64
    expected = loop_nce(query, bank, columns, normaliser, epsilon, temperature)
    assert float(ours) == pytest.approx(expected, rel=1e-12)


def test_info_nce_over_a_bank_equals_a_double_loop():
    query, bank, columns = rows(5), rows(IMAGES, seed=1), drawn()
    ours = bank_info_nce(bank_logits(query, bank, columns, T))
    assert float(ours) == pytest.approx(loop_info_nce(query, bank, columns), abs=1e-12)


def test_the_normaliser_is_images_times_the_mean_over_the_first_batch_and_then_stays():
    query, bank, columns = rows(5), rows(IMAGES, seed=1), drawn()
    normaliser = Normaliser().double()
    assert not normaliser.ready
    first = normaliser(bank_logits(query, bank, columns, T), IMAGES)
    assert float(first.exp()) == pytest.approx(loop_normaliser(query, bank, columns), rel=1e-12)
    assert normaliser.ready
    later = normaliser(bank_logits(rows(5, seed=3), bank, drawn(seed=3), T), IMAGES)
    assert torch.equal(later, first)


def test_a_normaliser_that_is_not_frozen_is_every_batchs_own():
    bank, normaliser = rows(IMAGES, seed=1), Normaliser(frozen=False).double()
    for seed in range(2):
        query, columns = rows(5, seed=seed), drawn(seed=seed)
        found = normaliser(bank_logits(query, bank, columns, T), IMAGES)
        assert float(found.exp()) == pytest.approx(loop_normaliser(query, bank, columns), rel=1e-12)


def test_with_every_batchs_normaliser_a_common_shift_of_all_logits_costs_nothing():
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    normaliser = Normaliser(frozen=False).double()
    one, other = (bank_nce(x, normaliser(x, 10), 10) for x in (logits, logits + 9))
    assert float(one) == pytest.approx(float(other), abs=1e-12)


def test_a_normaliser_comes_back_from_a_checkpoint():
    one, other = Normaliser(), Normaliser()
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    fixed = one(logits, 10)
    other.load_state_dict(one.state_dict())
    assert torch.equal(other(logits + 1, 10), fixed)
    assert set(one.state_dict()) == {"log", "ready"}


def test_no_gradient_flows_through_the_normaliser():
    logits = torch.randn(3, 4, requires_grad=True)
    assert not Normaliser()(logits, 10).requires_grad


@pytest.mark.parametrize("temperature", [0.01, T, 10.0])
def test_the_whole_banks_product_and_the_gather_give_the_same_numbers(monkeypatch, temperature):
    bank, columns = rows(IMAGES, seed=1), drawn()
    found = []
    for threshold in (0, 1000):
        monkeypatch.setattr(module, "WHOLE_BANK", threshold)
        query = rows(5).requires_grad_()
        logits = bank_logits(query, bank, columns, temperature)
        losses(query, bank, columns, temperature).sum().backward()
        found.append((logits.detach(), query.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_without_columns_the_logits_are_those_of_every_row():
    query, bank = rows(5), rows(IMAGES, seed=1)
    every = torch.arange(IMAGES).expand(5, -1)
    torch.testing.assert_close(
        bank_logits(query, bank, None, T), bank_logits(query, bank, every, T)
    )


@pytest.mark.parametrize("threshold", [0, 1000])
@pytest.mark.parametrize("whole", [True, False])
def test_a_bank_that_changes_before_the_backward_pass_does_not_disturb_it(
    monkeypatch, threshold, whole
):
    monkeypatch.setattr(module, "WHOLE_BANK", threshold)
    bank = MemoryBank(IMAGES, 6).double()
    query = rows(5).requires_grad_()
    columns = None if whole else drawn()
    loss = losses(query, bank.features, columns).sum()
    (expected,) = torch.autograd.grad(loss, query, retain_graph=True)
    bank.update(torch.arange(5), query, 0.5)
    loss.backward()
    assert torch.equal(query.grad, expected)


def test_the_gradients_are_those_of_finite_differences():
    bank, columns = rows(IMAGES, seed=1), drawn()
    log_z = torch.tensor(3.0).double()

    def both(query):
        logits = bank_logits(query, bank, columns, T)
        return bank_nce(logits, log_z, IMAGES) + bank_info_nce(logits)

    assert torch.autograd.gradcheck(both, rows(5).requires_grad_())


@pytest.mark.parametrize("temperature", [0.01, 10.0])
def test_extreme_temperatures_give_finite_losses_and_gradients(temperature):
    bank = rows(IMAGES, seed=1).float()
    query = bank[:5].clone().requires_grad_()  # at 0.01 the positive's exponential is e^100
    columns = drawn()
    found = losses(query, bank, columns, temperature)
    found.sum().backward()
    assert found.isfinite().all()
    assert query.grad.isfinite().all()
    exact = losses(query.detach().double(), bank.double(), columns, temperature)
    torch.testing.assert_close(found.detach().double(), exact, rtol=2e-5, atol=2e-5)


def test_nce_stays_finite_where_a_later_batch_is_far_from_the_normaliser():
    for far in (-2e4, 2e4):
        logits = torch.full((2, 4), far, requires_grad=True)
        loss = bank_nce(logits, torch.tensor(0.0), 100)
        loss.backward()
        assert loss.isfinite()
        assert logits.grad.isfinite().all()


def test_bfloat16_under_autocast_gives_float32_near_the_exact_losses():
    query, bank, columns = rows(5), rows(IMAGES, seed=1), drawn()
    with torch.autocast("cpu", torch.bfloat16):
        found = losses(query.bfloat16(), bank.float(), columns)
    assert found.dtype == torch.float32
    # A unit vector in bfloat16 is off by up to 2^-9 of each number, a logit by that over T.
    torch.testing.assert_close(found.double(), losses(query, bank, columns), rtol=0.02, atol=0)


def test_equal_rows_cost_what_chance_costs():
    same = unit(torch.ones(5, 6, dtype=torch.float64))
    bank, columns, negatives = same[:1].expand(IMAGES, -1), drawn(), 7
    nce, info_nce = losses(same, bank, columns).tolist()
    assert info_nce == pytest.approx(math.log(1 + negatives), abs=1e-12)
    # Every P is 1 / images, m times less than the noise.
    own, other = math.log(1 + negatives), math.log(1 + 1 / negatives)
    assert nce == pytest.approx(own + negatives * other, abs=1e-5)


def test_with_one_negative_info_nce_is_the_logistic_loss_of_the_difference():
    logits = bank_logits(rows(5), rows(IMAGES, seed=1), drawn(negatives=1), T)
    expected = torch.nn.functional.softplus(logits[:, 1] - logits[:, 0]).mean()
    torch.testing.assert_close(bank_info_nce(logits), expected)


def test_with_one_negative_nce_equals_the_loop():
    query, bank, columns = rows(5), rows(IMAGES, seed=1), drawn(negatives=1)
    normaliser = loop_normaliser(query, bank, columns)
    expected = loop_nce(query, bank, columns, normaliser)
    assert float(losses(query, bank, columns)[0]) == pytest.approx(expected, abs=1e-12)


def test_losses_without_a_negative_or_a_temperature_are_refused():
    query, bank = rows(3), rows(IMAGES)
    with pytest.raises(ConfigError, match="without negatives"):
        bank_logits(query, bank, drawn(3, negatives=0), T)
    with pytest.raises(ConfigError, match="without negatives"):
        bank_logits(query, bank[:1], None, T)
    for loss in (bank_info_nce, lambda logits: bank_nce(logits, torch.tensor(0.0), 9)):
        with pytest.raises(ConfigError, match="no negative"):
            loss(query[:, :1])
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(ConfigError, match="positive number"):
            bank_logits(query, bank, drawn(3), temperature)
