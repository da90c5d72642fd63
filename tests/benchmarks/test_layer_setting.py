"""The setting ``layer`` of evaluations on frozen features."""

import pytest

from sslbench.api import evaluations
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.nn.config import EncoderConfig
from sslbench.nn.encoder import Encoder

SMALL = {
    "knn": {"neighbours": [5], "headline": 5},
    "linear_probe": {"epochs": 2},
    "logistic": {"values": 2},
    "retrieval": {},
}
BEFORE = ["knn", "linear_probe", "logistic"]  # there were results of these before the setting


def evaluation(name, **settings):
    plugin = evaluations.get(name)
    return plugin(build(plugin.Config, {**SMALL[name], **settings}, name))


@pytest.mark.parametrize("name", SMALL)
def test_all_features_are_of_the_layer_that_is_named(given, measure, blobs, name):
    class Layered(given):
        layers = ()

        def features(self, encoder, dataset, split, layer=-1):
            self.layers = (*self.layers, layer)
            return super().features(encoder, dataset, split, layer)

        def log(self, name, value):
            del name, value

    for layer in (-1, 2):
        context = Layered(blobs(60, 3, 1.0, 0), blobs(20, 3, 1.0, 1))
        measure(evaluation(name, layer=layer), context, 3)
        assert set(context.layers) == {layer}


@pytest.mark.parametrize("name", BEFORE)
def test_what_was_measured_before_keeps_its_identity(name):
    assert "layer" not in evaluation(name).config.hashed()
    assert evaluation(name, layer=0).config.hashed()["layer"] == 0


@pytest.mark.parametrize("name", SMALL)
def test_an_encoder_without_such_a_layer_cannot_be_measured(spec, name):
    options = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 24]}
    encoder = Encoder(EncoderConfig(name="resnet18", options=options, stem="small"))
    assert evaluation(name, layer=3).unsupported(encoder, spec(5)) is None
    assert "has 4 feature maps" in evaluation(name, layer=4).unsupported(encoder, spec(5))
    with pytest.raises(ConfigError):
        evaluation(name, layer=-2)


@pytest.mark.parametrize("other", [{"blocks": [1]}, {"augment": {"flip": 0.5}}])
def test_a_probe_of_blocks_or_of_views_reads_no_layer(other):
    with pytest.raises(ConfigError, match="neither blocks nor augment"):
        evaluation("linear_probe", layer=1, **other)
