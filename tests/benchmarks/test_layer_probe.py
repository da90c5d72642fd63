"""The layer probe: each layer as the linear probe measures it, and which is the headline."""

import pytest
import torch

from sslbench.benchmarks.layer_probe import LayerProbe, LayerProbeConfig
from sslbench.benchmarks.linear_probe import LinearProbe, LinearProbeConfig
from sslbench.config import build
from sslbench.errors import ConfigError, Interrupted
from sslbench.nn.config import EncoderConfig
from sslbench.nn.encoder import Encoder

SMALL = LayerProbeConfig(layers=(0, 2, -1), lrs=(1.0, 10.0), weight_decays=(0.0,), epochs=4)


@pytest.fixture
def layered(given, blobs):
    """A context whose layers differ in how much noise lies over the classes."""

    class Layered(given):
        def __init__(self, spreads):
            self.of_layer = {
                layer: given(blobs(300, 5, spread, 0), blobs(200, 5, spread, 1))
                for layer, spread in spreads.items()
            }
            super().__init__(*self.of_layer[-1].given.values())
            self.layers = []

        def features(self, encoder, dataset, split, layer=-1):
            self.layers.append(layer)
            return self.of_layer[layer].features(encoder, dataset, split)

    return Layered


NOISE = {0: 6.0, 2: 1.0, -1: 3.0}


def test_each_layer_is_measured_as_the_linear_probe_measures_it(layered, measure):
    found = measure(LayerProbe(SMALL), layered(NOISE), 5)
    scores = LayerProbe.score(found.table)
    for layer, name in ((0, "layer0"), (2, "layer2"), (-1, "output")):
        settings = {"lrs": (1.0, 10.0), "weight_decays": (0.0,), "epochs": 4, "layer": layer}
        alone = measure(LinearProbe(LinearProbeConfig(**settings)), layered(NOISE), 5)
        assert scores[f"top1_{name}"] == LinearProbe.score(alone.table)["top1"]
        assert found.table[name].equals(alone.table["ranked"])
        assert found.chosen[name] == alone.chosen
    assert [metric.name for metric in LayerProbe(SMALL).metrics] == list(scores)
    assert list(scores) == ["top1", "top5", "top1_layer0", "top1_layer2", "top1_output"]


def test_the_headline_is_of_the_layer_that_held_out_images_choose(layered, measure):
    found = measure(LayerProbe(SMALL), layered(NOISE), 5)
    accuracy = {
        name: found.chosen[name]["held_out_top1"] for name in ("layer0", "layer2", "output")
    }
    assert found.chosen["layer"] == max(accuracy, key=accuracy.__getitem__) == "layer2"
    scores = LayerProbe.score(found.table)
    assert scores["top1"] == scores["top1_layer2"] > scores["top1_output"]
    assert LayerProbe(SMALL).selection == "held_out"


def test_of_equal_layers_the_last_named_is_the_headline(layered, measure):
    found = measure(LayerProbe(SMALL), layered(dict.fromkeys(NOISE, 0.05)), 5)
    assert found.chosen["layer"] == "output"
    assert LayerProbe.score(found.table)["top1"] == 100


def test_test_labels_and_test_images_choose_nothing(layered, measure):
    one = measure(LayerProbe(SMALL), layered(NOISE), 5)
    context = layered(NOISE)
    for of_layer in context.of_layer.values():
        x, y = of_layer.given["test"]
        of_layer.given["test"] = -7 * x, y.flip(0)
    other = measure(LayerProbe(SMALL), context, 5)
    assert other.chosen == one.chosen
    assert LayerProbe.score(other.table) != LayerProbe.score(one.table)


@pytest.mark.parametrize("stop", [1, 6, 7, 12, 13, 30, 36])
def test_stopped_and_resumed_equals_never_stopped(layered, measure, stop):
    small = SMALL.model_copy(update={"epochs": 3, "batch_size": 150})
    evaluation = LayerProbe(small)
    reference = layered(NOISE)
    whole = measure(evaluation, reference, 5)
    context = layered(NOISE)
    context.stop = stop
    with pytest.raises(Interrupted):
        measure(evaluation, context, 5)
    resumed = measure(evaluation, context, 5)
    assert resumed.table.equals(whole.table)
    assert resumed.chosen == whole.chosen
    assert context.seen == reference.seen


def test_progress_runs_once_over_all_layers(layered, measure):
    context = layered(NOISE)
    measure(LayerProbe(SMALL), context, 5)
    done, totals = zip(*context.seen, strict=True)
    assert list(done) == list(range(1, totals[0] + 1))
    assert set(totals) == {len(done)}


@pytest.mark.parametrize(
    "settings",
    [
        {"layers": [0]},
        {"layers": [1, 1]},
        {"layers": [-2, 0]},
        {"lrs": [1.0], "weight_decays": [0.0]},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigError):
        build(LayerProbeConfig, settings, "layer_probe")


def test_an_encoder_that_lacks_a_layer_and_data_without_classes_cannot_apply(spec):
    options = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 24]}
    encoder = Encoder(EncoderConfig(name="resnet18", options=options, stem="small"))
    probe = LayerProbe(LayerProbeConfig())
    assert probe.unsupported(encoder, spec(5)) is None
    deep = LayerProbe(LayerProbeConfig(layers=(0, 4)))
    assert "layer 4: encoder 'resnet18' has 4 feature maps" in deep.unsupported(encoder, spec(5))
    assert "detection" in probe.unsupported(encoder, spec(5, "detection"))


def test_the_last_map_of_a_resnet_is_its_output():
    options = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 24]}
    encoder = Encoder(EncoderConfig(name="resnet18", options=options, stem="small")).eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        last = encoder.feature_maps(images)[-1].mean(dim=(2, 3))
        torch.testing.assert_close(last, encoder(images))
