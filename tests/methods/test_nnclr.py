"""NNCLR: its loss against a double loop, its queue, what planning gives and refuses."""

import math

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.nn import Encoder, unit
from tests.methods.small import DATA, SMALL, Rows, cosine, image_batch, rows_batch


def make(encoder=None, seed=0, **params):
    torch.manual_seed(seed)
    cls = methods.get("nnclr")
    config = build(cls.Config, {"dim": 16, **params}, "nnclr")
    return cls(encoder or Encoder(SMALL), cls.scaled(config, DATA), DATA)


def bare(temperature=0.1, queue=9, dtype=torch.float64):
    """NNCLR of rows, whose heads are single layers."""
    method = make(Rows(), temperature=temperature, dim=4, queue_size=queue)
    method.projector, method.predictor = nn.Linear(5, 4), nn.Linear(4, 4)
    method.to(dtype)
    method.queue.features = unit(method.queue.features)  # was so in float32
    return method


def looped(method, given, temperature):
    """The loss by loops over images and the queue as it is now."""
    embeddings = [method.projector(method.encoder(view)) for view in given.views]
    predictions = [method.predictor(rows) for rows in embeddings]
    total = 0.0
    for first, second in ((0, 1), (1, 0)):
        for row, embedding in enumerate(embeddings[first]):
            neighbour = max(method.queue.features, key=lambda kept, e=embedding: cosine(kept, e))
            logits = [cosine(neighbour, p) / temperature for p in predictions[second]]
            largest = max(logits)
            partition = largest + math.log(sum(math.exp(logit - largest) for logit in logits))
            total += partition - logits[row]
    return total / 2 / len(given.index)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 10.0])
@pytest.mark.parametrize("count", [2, 6])  # one negative, and some
def test_the_loss_equals_a_double_loop_over_neighbours_and_predictions(temperature, count):
    method, given = bare(temperature), rows_batch(count)
    expected = looped(method, given, temperature)
    (term,) = method.loss(given, None).values()
    assert term.item() == pytest.approx(expected, rel=1e-10)


def test_without_a_negative_the_loss_is_refused():
    with pytest.raises(ConfigError, match="at least 2"):
        bare().loss(rows_batch(1), None)


@pytest.mark.parametrize("temperature", [0.01, 10.0])
def test_equal_images_cost_the_logarithm_of_their_number(temperature):
    method, one = bare(temperature), rows_batch(1)
    many = Batch(tuple(view.expand(6, 5) for view in one.views), torch.arange(6))
    (term,) = method.loss(many, None).values()
    assert term.item() == pytest.approx(math.log(6), abs=1e-10)


def test_equal_rows_of_the_queue_change_nothing():
    one, other = bare(queue=9), bare(queue=18)
    other.load_state_dict({k: v for k, v in one.state_dict().items() if "queue" not in k}, False)
    other.queue.features = one.queue.features.repeat(2, 1)
    (alone,), (twice,) = (method.loss(rows_batch(), None).values() for method in (one, other))
    assert twice.item() == pytest.approx(alone.item(), abs=1e-12)


def test_the_first_views_embeddings_enter_the_queue_at_unit_length_after_the_loss():
    method, given = bare(), rows_batch()
    before, neighbours = method.queue.features.clone(), []
    method.predictor.register_forward_hook(lambda *called: neighbours.append(method.queue.features))
    method.loss(given, None)
    assert all(torch.equal(kept, before) for kept in neighbours)
    expected = unit(method.projector(method.encoder(given.views[0])))
    torch.testing.assert_close(method.queue.features[:6], expected)
    assert torch.equal(method.queue.features[6:], before[6:])
    assert method.queue.index.tolist() == [*range(10, 16), -1, -1, -1]
    assert not method.queue.features.requires_grad


def test_a_queue_of_one_batch_holds_the_batch_before():
    method, given = bare(queue=6), rows_batch()
    method.loss(given, None)
    (again,) = method.loss(given, None).values()  # now every row is its own nearest neighbour
    one, other = (unit(method.projector(method.encoder(view))) for view in given.views)
    predictions = [unit(method.predictor(method.projector(method.encoder(v)))) for v in given.views]
    logits = [
        kept @ predicted.T / 0.1
        for kept, predicted in (
            (one, predictions[1]),
            (one[(other @ one.T).argmax(1)], predictions[0]),
        )
    ]
    expected = sum(nn.functional.cross_entropy(each, torch.arange(6)) for each in logits) / 2
    assert again.item() == pytest.approx(expected.item(), abs=1e-10)


def test_all_parameters_get_a_gradient():
    method = make()
    terms = method.loss(image_batch(), None)
    assert set(terms) == {"info_nce"}
    terms["info_nce"].backward()
    assert all(parameter.grad is not None for parameter in method.parameters())


def test_the_projector_ends_in_a_norm_and_the_predictor_does_not():
    method = make(Rows(dim=6), dim=3)
    assert [m.out_features for m in method.projector if isinstance(m, nn.Linear)] == [6, 6, 3]
    assert [m.out_features for m in method.predictor if isinstance(m, nn.Linear)] == [12, 3]
    assert len([m for m in method.projector if isinstance(m, nn.BatchNorm1d)]) == 3
    assert isinstance(method.projector[-1], nn.BatchNorm1d)
    assert method.projector[-1].affine
    assert isinstance(method.predictor[-1], nn.Linear)


def test_each_view_has_batch_statistics_of_its_own():
    method = make()
    method.loss(image_batch(), None)
    norms = [m for m in method.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    assert {int(norm.num_batches_tracked) for norm in norms} == {2}


@pytest.mark.parametrize("temperature", [0.01, 0.1, 10.0])
def test_bfloat16_embeddings_count_as_the_numbers_that_they_are(temperature):
    given = rows_batch(64, dtype=torch.bfloat16)
    losses = []
    for dtype in (torch.float32, torch.bfloat16):
        method = bare(temperature, dtype=torch.float32)
        method.encoder.layer = method.projector = method.predictor = nn.Identity()
        method.queue = make(Rows(), dim=5, queue_size=9).queue
        views = tuple(view.to(dtype) for view in given.views)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            losses += method.loss(Batch(views, given.index), None).values()
    assert losses[1].dtype == torch.float32
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-6)


def test_state_survives_a_checkpoint():
    method, other = make(), make(seed=1)
    method.loss(image_batch(), None)
    other.load_state_dict(method.state_dict())
    (one,), (two,) = (m.loss(image_batch(), None).values() for m in (method, other))
    assert one.item() == two.item()


def test_the_queue_is_the_papers_on_imagenet_and_half_the_images_elsewhere():
    cls = methods.get("nnclr")
    imagenet = DataInfo(1_281_167, 256, 224, 200, 5004)
    assert cls.scaled(cls.Config(), imagenet).queue_size == 98_304
    small = cls.scaled(cls.Config(), DataInfo(8000, 256, 32, 10, 31))
    assert small.queue_size == 3840
    assert cls.scaled(small, DataInfo(8000, 256, 32, 10, 31)) == small


def test_a_batch_of_one_a_queue_beyond_the_images_and_numbers_out_of_range_are_refused():
    cls = methods.get("nnclr")
    with pytest.raises(ConfigError, match=r"batch_size = 1.*at least 2"):
        cls.scaled(cls.Config(), DataInfo(64, 1, 16, 10, 64))
    with pytest.raises(ConfigError, match=r"queue_size = 65 .* 64 training images.* gives 32"):
        cls.scaled(cls.Config(queue_size=65), DATA)
    for params in ({"temperature": 0.0}, {"queue_size": 0}, {"dim": 0}, {"predictor_width": 0}):
        with pytest.raises(ConfigError, match=next(iter(params))):
            build(cls.Config, params, "nnclr")
