"""The rules behind "auto", and what planning refuses."""

import pytest

from sslbench.api import DataInfo, methods
from sslbench.config import build
from sslbench.errors import ConfigError
from tests.methods.small import IMAGENET


def data(images=8000, batch_size=256, epochs=10):
    return DataInfo(images, batch_size, 32, epochs, images // batch_size)


def scaled(name, info, **params):
    cls = methods.get(name)
    return cls.scaled(build(cls.Config, params, name), info)


def test_at_imagenets_size_the_rules_give_the_papers_values():
    moco = scaled("moco", IMAGENET)
    assert (moco.queue_size, moco.momentum) == (65_536, 0.999)
    pcl = scaled("pcl", IMAGENET)
    assert (pcl.queue_size, pcl.momentum, pcl.warmup_epochs) == (16_384, 0.999, 20)
    assert pcl.clusters == pytest.approx((25_000, 50_000, 100_000), rel=0.02)
    assert pcl.negatives == 16_384
    hcsc = scaled("hcsc", IMAGENET)
    assert (hcsc.queue_size, hcsc.momentum, hcsc.warmup_epochs) == (16_384, 0.999, 20)
    assert hcsc.clusters == (3000, 2000, 1000)


def test_at_8000_images_the_rules_give_what_fits():
    hcsc = scaled("hcsc", data())
    assert hcsc.clusters == (384, 256, 128)
    assert hcsc.queue_size == 3840
    assert hcsc.momentum == 0.99
    assert hcsc.warmup_epochs == 1
    pcl = scaled("pcl", data())
    assert pcl.clusters == (156, 307, 615)
    assert pcl.negatives == 614


@pytest.mark.parametrize("name", ["moco", "pcl", "hcsc", "simclr"])
@pytest.mark.parametrize("images", [16, 40, 64, 200, 1000])
def test_the_rules_work_for_any_data(name, images):
    config = scaled(name, data(images, batch_size=8))
    assert "auto" not in dict(config).values()
    if name != "simclr":
        assert config.queue_size % 8 == 0
        assert 8 <= config.queue_size <= max(8, images // 2)
    if name == "hcsc":
        assert images > config.clusters[0] > config.clusters[1] > config.clusters[2] >= 2
    if name == "pcl":
        assert min(config.clusters) >= 2


def test_the_levels_say_how_many_sizes_the_rule_gives_and_given_sizes_say_how_many_levels():
    assert scaled("hcsc", data(), levels=1).clusters == (384,)
    assert scaled("hcsc", data(), clusters=[50, 10]).levels == 2


def test_scaled_settings_are_left_alone_by_a_second_scaling():
    for name in ("moco", "pcl", "hcsc", "simclr"):
        cls = methods.get(name)
        params = {"clusters": [50, 40, 30, 20]} if name == "hcsc" else {}
        once = scaled(name, data(), **params)
        again = build(cls.Config, once.hashed(), name)  # as from a manifest
        assert cls.scaled(again, data()) == once


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("moco", {"queue_size": 9000}, "queue_size = 9000.* gives 3840"),
        ("pcl", {"clusters": [1, 10]}, r"clusters = \[1, 10\].*Nearest: \[2, 10\]"),
        ("pcl", {"clusters": [10, 8000]}, r"Nearest: \[10, 7999\]"),
        ("pcl", {"clusters": [10, 20], "negatives": 20}, "Nearest that works: 19"),
        ("pcl", {"warmup_epochs": 10}, "largest that works is 9; .* gives 1"),
        ("hcsc", {"warmup_epochs": 12}, "largest that works is 9"),
        ("hcsc", {"levels": 4}, "Nearest that works: 3"),
        ("hcsc", {"clusters": []}, r"Nearest: \[2\]"),
        ("hcsc", {"clusters": [20, 40]}, r"must decrease. Nearest: \[40, 20\]"),
        ("hcsc", {"clusters": [20, 10, 5], "exclusion": "batch"}, "fewer than 1.*63 clusters"),
        ("hcsc", {"clusters": [3, 2], "last_prototype": False}, r"Nearest: \[3, 3\]"),
        ("hcsc", {"min_cluster_size": 11}, "20.8 each.*works: 10, or at most 363 clusters"),
        ("pcl", {"clusterings": 4}, "Nearest that works: 3"),
    ],
)
def test_planning_refuses_what_cannot_work_and_names_what_does(name, params, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        scaled(name, data(), **params)


def test_the_sizes_that_a_refusal_names_do_work():
    assert scaled("hcsc", data(), clusters=[64, 63], exclusion="batch").clusters == (64, 63)
    with pytest.raises(ConfigError):
        scaled("hcsc", data(), clusters=[64, 62], exclusion="batch")


@pytest.mark.parametrize("name", ["moco", "pcl", "hcsc"])
@pytest.mark.parametrize(
    "params", [{"temperature": 0.0}, {"momentum": 1.0}, {"momentum": -0.1}, {"queue_size": 0}]
)
def test_numbers_out_of_range_are_refused(name, params):
    with pytest.raises(ConfigError, match=next(iter(params))):
        scaled(name, data(), **params)


def test_a_batch_of_one_has_no_negatives_for_simclr():
    with pytest.raises(ConfigError, match="at least 2"):
        scaled("simclr", data(batch_size=1))
