"""Fine-tuning against SGD written out, whatever batch norm was before; stopped and resumed."""

import copy
import math

import pytest
import torch
from torch import nn

from sslbench.errors import Diverged, Interrupted
from sslbench.nn import resuming
from sslbench.nn.config import EncoderConfig
from sslbench.nn.encoder import Encoder
from sslbench.nn.fine_tuning import Classifier, FineTuning, FineTuningConfig
from sslbench.nn.schedule import Schedule

TINY = {"layers": [1, 1, 1, 1], "channels": [4, 8, 8, 8]}
CONFIG = {"lr": 0.05, "head_lr": 0.4, "epochs": 2, "batch_size": 8, "momentum": 0.9}
CLASSES = 3


def tiny_encoder(bn_splits=1, **options):
    torch.manual_seed(0)
    config = EncoderConfig(
        name="resnet18", options={**TINY, **options}, stem="small", bn_splits=bn_splits
    )
    return Encoder(config)


class Batches:
    """Twenty images in another order every epoch, eight at a time."""

    steps_per_epoch = 2

    def __init__(self):
        draw = torch.Generator().manual_seed(1)
        self.images = torch.rand(20, 3, 16, 16, generator=draw)
        self.labels = torch.randint(CLASSES, (20,), generator=draw)

    def epoch(self, epoch, start_step=0):
        order = torch.randperm(20, generator=torch.Generator().manual_seed(epoch))
        for index in order.split(8)[start_step : self.steps_per_epoch]:
            yield (self.images[index],), index


class Lent:
    """A checkpoint in memory; stops at one step."""

    device = torch.device("cpu")

    def __init__(self, stop=None):
        self.state, self.stop, self.seen = None, stop, []
        self.checkpoint = self

    def save(self, state):
        self.state = copy.deepcopy(dict(state))

    def load(self):
        return copy.deepcopy(self.state)

    def progress(self, done, total):
        self.seen.append((done, total))
        if done == self.stop:
            raise Interrupted("stop")


def training(encoder=None, views=None, **settings):
    views = views or Batches()
    config = FineTuningConfig(**{**CONFIG, **settings})
    return FineTuning(encoder or tiny_encoder(), CLASSES, views, views.labels, config, 7)


def trained(lent=None, **settings):
    run = training(**settings)
    run.run(lent or Lent())
    return run


def by_hand(classifier, views, config):
    """SGD with momentum as the formulas say, one parameter after the other."""
    classifier.train()
    velocity = {name: torch.zeros_like(p) for name, p in classifier.named_parameters()}
    steps, step = config.epochs * views.steps_per_epoch, 0
    for epoch in range(config.epochs):
        for (images,), index in views.epoch(epoch):
            logits = classifier.head(classifier.encoder.network(
                (images - classifier.encoder.mean) / classifier.encoder.std
            ))  # fmt: skip
            loss = -logits.log_softmax(1)[torch.arange(len(index)), views.labels[index]].mean()
            named = dict(classifier.named_parameters())
            gradients = torch.autograd.grad(loss, list(named.values()))
            share = 0.5 * (1 + math.cos(math.pi * step / steps))
            with torch.no_grad():
                for (name, p), gradient in zip(named.items(), gradients, strict=True):
                    if p.ndim > 1:
                        gradient = gradient + config.weight_decay * p
                    velocity[name] = config.momentum * velocity[name] + gradient
                    change = velocity[name]
                    if config.nesterov:
                        change = gradient + config.momentum * velocity[name]
                    rate = config.head_lr if name.startswith("head") else config.lr
                    p -= share * rate * change
            step += 1
    return classifier


@pytest.mark.parametrize("nesterov", [True, False])
def test_every_step_is_what_the_formulas_say(nesterov):
    settings = {"nesterov": nesterov, "weight_decay": 0.1, "start_std": 0.5}
    run = training(**settings)
    expected = by_hand(copy.deepcopy(run.classifier), Batches(), run.config)
    before = copy.deepcopy(run.classifier.state_dict())
    run.run(Lent())
    for name, value in run.classifier.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name], rtol=1e-4, atol=1e-5)
        still = name.endswith((".mean", ".std"))
        assert torch.equal(value, before[name]) == still, name


def test_the_head_starts_as_it_is_told_and_no_global_generator_moves():
    encoder = tiny_encoder()
    before = torch.random.get_rng_state()
    assert not Classifier(encoder, 5, 0.0, 1).head.weight.any()
    head = Classifier(encoder, 500, 0.1, 1).head
    assert head.weight.std().item() == pytest.approx(0.1, rel=0.1)
    assert not head.bias.any()
    assert torch.equal(head.weight, Classifier(encoder, 500, 0.1, 1).head.weight)
    assert not torch.equal(head.weight, Classifier(encoder, 500, 0.1, 2).head.weight)
    run = training(encoder=encoder)
    run.run(Lent())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_batch_statistics_are_of_the_whole_batch_however_it_was_pre_trained():
    one, split = (trained(encoder=tiny_encoder(bn_splits=s)).classifier for s in (1, 4))
    for name, value in one.state_dict().items():
        assert torch.equal(value, split.state_dict()[name]), name


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_stopped_and_resumed_equals_never_stopped(stop):
    options = {"drop_path_rate": 0.5}  # draws from the global generator
    whole = trained(encoder=tiny_encoder(**options))
    lent = Lent(stop)
    with pytest.raises(Interrupted):
        trained(lent, encoder=tiny_encoder(**options))
    lent.stop = None
    resumed = trained(lent, encoder=tiny_encoder(**options))
    assert lent.seen == [(done, 4) for done in range(1, 5)]
    assert resumed.loss == whole.loss
    for name, value in whole.classifier.state_dict().items():
        assert torch.equal(value, resumed.classifier.state_dict()[name]), name


def test_a_long_training_is_saved_in_between(monkeypatch):
    monkeypatch.setattr(resuming, "SAVE_EVERY", 0.0)
    saved = []

    class Keeps(Lent):
        def save(self, state):
            saved.append(state["done"])

    trained(Keeps())
    assert saved == [1, 2, 3, 4, 4]


def test_being_stopped_while_test_images_are_read_loses_no_training():
    lent = Lent()
    run = trained(lent)
    lent.stop = 4
    with pytest.raises(Interrupted):
        run.ranked([Batches().images], 2, lent)
    lent.stop, lent.seen = None, []
    again = trained(lent)
    assert not lent.seen
    first, second = (r.ranked([Batches().images], 2, Lent()) for r in (run, again))
    assert torch.equal(first, second)


def test_answers_are_ranked_by_a_network_at_rest():
    run = trained()
    images = Batches().images
    ranked = run.ranked(images.split(7), 2, Lent())
    run.classifier.eval()
    with torch.no_grad():
        logits = run.classifier(images)
    assert torch.equal(ranked, logits.sort(1, descending=True).indices[:, :2])
    assert all(not part.training for part in run.classifier.modules())


def test_divergence_names_the_step_and_the_rates():
    with pytest.raises(Diverged, match=r"loss of step 2 of 4 is nan. Lower lr \(now 1e\+30\)"):
        trained(lr=1e30, head_lr=1e30, start_std=1.0)


def test_answers_that_are_not_finite_are_no_answers():
    run = trained()
    run.classifier.head.weight.data.fill_(math.inf)
    with pytest.raises(Diverged, match="answers are not finite"):
        run.ranked([Batches().images], 2, Lent())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"milestones": (0.5,)}, "schedule: step needs milestones"),
        ({"schedule": "step"}, "schedule: step needs milestones"),
        ({"momentum": 0.0}, "nesterov: true needs a momentum"),
        ({"batch_size": 1}, "greater than or equal to 2"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FineTuningConfig(**settings)


def test_a_schedule_in_steps_falls_at_the_epochs_of_the_papers():
    for steps_per_epoch in (1, 50, 500, 5004):
        hcsc = Schedule(70 * steps_per_epoch, "step", (0.4285714, 0.8571429))
        swav = Schedule(20 * steps_per_epoch, "step", (0.6, 0.8), 0.2)
        for schedule, factor, falls in ((hcsc, 0.1, (30, 60)), (swav, 0.2, (12, 16))):
            for number, epoch in enumerate(falls):
                first = epoch * steps_per_epoch
                assert schedule.share(first - 1) == pytest.approx(factor**number)
                assert schedule.share(first) == pytest.approx(factor ** (number + 1))


def test_only_parameters_that_need_gradients_are_trained():
    encoder = tiny_encoder()
    encoder.network.conv1.requires_grad_(False)
    before = encoder.network.conv1.weight.clone()
    run = training(encoder=encoder)
    counted = sum(p.numel() for group in run.optimizer.param_groups for p in group["params"])
    assert counted == sum(p.numel() for p in run.classifier.parameters() if p.requires_grad)
    run.run(Lent())
    assert torch.equal(encoder.network.conv1.weight, before)
    assert isinstance(run.classifier.head, nn.Linear)
