"""The linear probe on new views of the images, against torch's own layer and optimiser."""

import math

import numpy as np
import pytest
import torch

from sslbench.api import Subject
from sslbench.benchmarks.linear_probe import LinearProbe, LinearProbeConfig
from sslbench.config import build
from sslbench.data.datasets import open_dataset
from sslbench.data.loaders import ViewLoader
from sslbench.data.random import derive_seed
from sslbench.data.recipe import Recipe, ViewConfig
from sslbench.data.spec import dataset_spec
from sslbench.errors import DataError, Interrupted
from sslbench.evaluate import EngineContext
from sslbench.features import FeatureStore
from sslbench.nn.config import EncoderConfig
from sslbench.nn.encoder import Encoder
from sslbench.registry import EVALUATIONS
from sslbench.run import Preprocessing

CPU = torch.device("cpu")
CROPS = Recipe(crop=(0.08, 1.0))
PLAIN = {"augment": CROPS, "standardise": False, "batch_size": 64, "epochs": 2, "start_std": 0.01}
ONE = {"lrs": (30.0,), "weight_decays": (1e-3,), "lr_per_batch": 256}
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 4, "num_heads": 3}


@pytest.fixture(scope="module")
def dataset():
    return open_dataset(dataset_spec("objects_tiny"), None)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    options = {"layers": [1, 1, 1, 1], "channels": [8, 16, 32, 64]}
    config = EncoderConfig(name="resnet18", options=options, stem="small", stem_stride=2)
    return Encoder(config).eval().requires_grad_(False)


@pytest.fixture
def run(dataset, encoder, kept, tmp_path):
    """Measures with the engine's own context; the seen progress is on it."""

    def measured(encoder=encoder, dataset=dataset, checkpoint=None, stop=None, **settings):
        seen = []

        def progress(done, total):
            if total not in (len(dataset.images("train")), len(dataset.images("test"))):
                seen.append((done, total))
                if len(seen) == stop:
                    raise Interrupted("stop")

        context = EngineContext(
            CPU, 0, checkpoint or kept(), FeatureStore(tmp_path / "features"),
            Preprocessing(image_size=32), 0, progress,
        )  # fmt: skip
        context.seen = seen
        probe = LinearProbe(LinearProbeConfig(**{**PLAIN, **settings}))
        return probe.run(Subject(encoder, {}), dataset, context), context

    return measured


def trained_by_torch(dataset, encoder, positions, config, lr, decay):
    """A layer, trained on the same views by torch's own optimiser."""
    images = dataset.images("train").pixels[positions]
    labels = torch.from_numpy(dataset.labels("train")[positions, 0])
    loader = ViewLoader(
        type(dataset.images("train"))(images), CROPS, (ViewConfig(),), 32, config.batch_size,
        derive_seed(0, "linear_probe"), device=CPU, workers=0, path="batched",
    )  # fmt: skip
    classes = dataset.spec.levels[0].classes
    layer = torch.nn.Linear(encoder.dim, classes)
    generator = torch.Generator().manual_seed(derive_seed(0, "linear_probe", "output"))
    first = 0.01 * torch.randn(encoder.dim, classes, generator=generator)
    layer.weight.data.copy_(first.T)
    torch.nn.init.zeros_(layer.bias)
    groups = [{"params": [layer.weight], "weight_decay": decay}, {"params": [layer.bias]}]
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=config.nesterov)
    steps, step = config.epochs * loader.steps_per_epoch, 0
    for epoch in range(config.epochs):
        for (view,), index in loader.epoch(epoch):
            for group in optimizer.param_groups:
                group["lr"] = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(encoder(view)), labels[index]).backward()
            optimizer.step()
            step += 1
    return layer


def ranks(outcome):
    return np.array(outcome.table["ranked"].to_pylist())


@pytest.mark.parametrize("nesterov", [False, True])
def test_one_head_is_what_torch_trains_on_the_same_batches(run, dataset, encoder, nesterov):
    outcome, context = run(**ONE, nesterov=nesterov)
    config = LinearProbeConfig(**{**PLAIN, **ONE, "nesterov": nesterov})
    everything = np.arange(len(dataset.images("train")))
    layer = trained_by_torch(dataset, encoder, everything, config, 30 * 64 / 256, 1e-3)
    x = context.features(encoder, dataset, "test").x
    logits = layer(x).detach()
    assert np.array_equal(ranks(outcome), logits.sort(1, descending=True).indices[:, :5].numpy())
    assert outcome.chosen["chosen_on"] == "nothing"
    assert context.seen == [(done, 12) for done in range(1, 13)]


def test_a_grid_is_chosen_on_held_out_images_and_its_best_trained_anew(run, dataset, encoder):
    grid = {"lrs": (0.01, 10.0), "weight_decays": (0.0,), "lr_per_batch": 256}
    outcome, context = run(**grid)
    config = LinearProbeConfig(**{**PLAIN, **grid})
    mask = dataset.held_out(0)
    x = context.features(encoder, dataset, "held_out")
    found = []
    for lr in config.lrs:
        layer = trained_by_torch(dataset, encoder, np.flatnonzero(~mask), config, lr / 4, 0.0)
        found.append(100 * (layer(x.x).argmax(1) == x.y[:, 0]).double().mean().item())
    assert found[0] != found[1]
    assert outcome.chosen["held_out_top1"] == pytest.approx(max(found))
    assert outcome.chosen["lr"] == config.lrs[found.index(max(found))]
    alone, _ = run(lrs=(outcome.chosen["lr"],), weight_decays=(0.0,), lr_per_batch=256)
    assert alone.table.equals(outcome.table)


@pytest.mark.parametrize("selection", ["held_out", "paper"])
@pytest.mark.parametrize("stop", [4, 7, 11])
def test_stopped_and_resumed_equals_never_stopped(run, kept, selection, stop):
    settings = {"lrs": (1.0, 10.0), "weight_decays": (0.0, 1e-3), "selection": selection}
    whole, whole_context = run(**settings)
    checkpoint = kept()
    with pytest.raises(Interrupted):
        run(**settings, checkpoint=checkpoint, stop=stop)
    resumed, context = run(**settings, checkpoint=checkpoint)
    assert context.seen == whole_context.seen[stop:]
    assert resumed.table.equals(whole.table)
    assert resumed.chosen == whole.chosen


def test_every_epoch_shows_other_views_and_the_encoder_stays_as_it_is(run, encoder):
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    seen = []
    encoder.register_forward_hook(lambda module, given, output: seen.append(given[0].clone()))
    run(**ONE)
    views = [images for images in seen if len(images) == 64][-12:]
    assert not any(torch.equal(one, other) for one, other in zip(views[:6], views[6:], strict=True))
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])


def test_epoch_steps_replace_a_pass_over_the_images(run):
    _, context = run(**ONE, epoch_steps=7)
    assert context.seen == [(done, 14) for done in range(1, 15)]


def test_blocks_of_a_transformer_are_candidates(run):
    torch.manual_seed(0)
    vit = Encoder(EncoderConfig(name="vit_tiny_patch16_224", options=VIT)).eval()
    blocks = {"blocks": (1, 3), "mean_patch": (False, True), "weight_decays": (0.0,)}
    outcome, _ = run(encoder=vit.requires_grad_(False), lrs=(0.01, 1.0), **blocks, epochs=3)
    chosen = outcome.chosen
    assert chosen["input"] in {f"last {n}{m}" for n in (1, 3) for m in ("", " and mean patch")}
    assert chosen["lr"] == 1.0


def test_blocks_of_centre_views_are_read_without_augmentation_too(run, encoder):
    grid = {"lrs": (1.0,), "weight_decays": (0.0,), "augment": None}
    output, _ = run(**grid, start_std=0.0)
    last, _ = run(**grid, start_std=0.0, blocks=(1,))
    assert (ranks(output)[:, 0] == ranks(last)[:, 0]).mean() > 0.99


def test_a_batch_of_more_images_than_there_are_is_refused(run):
    with pytest.raises(DataError, match="batch_size 4096 does not go with 384 training images"):
        run(**{**ONE, "batch_size": 4096})


def test_blocks_that_the_encoder_has_not_are_unsupported(encoder):
    probe = LinearProbe(LinearProbeConfig(blocks=(6,)))
    assert "has 5" in probe.unsupported(encoder, dataset_spec("objects_tiny"))


def test_the_papers_settings_are_theirs():
    known = EVALUATIONS.defaults("linear_probe")["variants"]
    config = {name: build(LinearProbeConfig, known[name]["settings"], name) for name in known}
    assert config["pcl"] == config["hcsc"]
    changed = config["moco"].model_copy(update={"lrs": (5.0,)})
    assert changed == config["pcl"]
    assert len(config["dinov2"].lrs) == 13
    assert config["dinov2"].epochs * config["dinov2"].epoch_steps == 12500
    assert all(not c.standardise and c.augment.crop == (0.08, 1.0) for name, c in config.items()
               if name != "best-on-test")  # fmt: skip
