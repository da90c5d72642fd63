"""A foreign row among others: its label, its title, its place, the command that made it."""

import pytest

from sslbench.errors import ConfigError
from sslbench.nn import EncoderConfig
from sslbench.store import PlanFile, Row
from sslbench.suite import load_suite
from sslbench.weights import WeightsConfig, default_label, described, joined

ONE = WeightsConfig(encoder=EncoderConfig(), tensors="a" * 64, seed=0)
OTHER = ONE.model_copy(update={"tensors": "b" * 64})
EVALUATE = "sslbench evaluate --weights f.pth --label"


def of(config, seed):
    return config.model_copy(update={"seed": seed})


def rows(label, config, *seeds):
    return [Row(label=label, seed=s, run=of(config, s).id, title=label) for s in seeds]


def trained(label, *seeds):
    return [Row(label=label, seed=s, run=f"{label}-resnet50-s{s}-0", title=label) for s in seeds]


def plan(*some, command="sslbench run --suite quick"):
    return PlanFile(suite="quick", title="own title", command=command, rows=some, tables={})


def places(found):
    return [(row.label, row.seed, row.run.partition("-")[0]) for row in found.rows]


def join(before, new, config=ONE, command=f"{EVALUATE} x"):
    return joined(before, load_suite("quick"), new, config, command, {})


def test_where_there_is_no_plan_the_suite_makes_one():
    suite = load_suite("quick")
    made = join(None, rows("x", ONE, 0, 1))
    assert (made.suite, made.title) == ("quick", suite.title)
    assert list(made.tables) == list(suite.tables)
    assert places(made) == [("x", 0, "weights"), ("x", 1, "weights")]
    assert made.command == f"{EVALUATE} x"


def test_a_row_of_the_same_label_and_seed_is_replaced_where_it_stood():
    before = plan(*trained("moco", 0), *trained("simclr", 0), *trained("hcsc", 0))
    after = join(before, rows("simclr", ONE, 0), command=f"{EVALUATE} simclr")
    assert places(after) == [("moco", 0, "moco"), ("simclr", 0, "weights"), ("hcsc", 0, "hcsc")]
    assert after.title == "own title"
    assert after.command == f"sslbench run --suite quick && {EVALUATE} simclr"


def test_another_seed_of_the_same_encoder_stands_behind_its_own():
    before = plan(*rows("x", ONE, 0, 1), *trained("hcsc", 0))
    after = join(before, rows("x", ONE, 1, 2))
    assert places(after)[:3] == [("x", n, "weights") for n in range(3)]
    assert places(after)[3] == ("hcsc", 0, "hcsc")


@pytest.mark.parametrize("standing", [trained("x", 0, 1), rows("x", OTHER, 0, 1)])
def test_no_line_is_a_mean_over_two_encoders(standing):
    with pytest.raises(ConfigError, match=r"--seeds 0,1, or choose another --label"):
        join(plan(*standing), rows("x", ONE, 0))
    assert len(join(plan(*standing), rows("x", ONE, 0, 1)).rows) == 2


def test_a_command_is_named_once_however_often_it_is_given():
    before = plan(command=f"sslbench run -s quick && {EVALUATE} x && {EVALUATE} y")
    after = join(before, rows("x", ONE, 0), command=f"{EVALUATE} x --seeds 0")
    assert after.command == f"sslbench run -s quick && {EVALUATE} y && {EVALUATE} x --seeds 0"


def test_an_identity_is_the_encoder_its_tensors_and_the_seed():
    assert ONE.id.startswith("weights-resnet50-s0-")
    named = ONE.model_copy(update={"encoder": EncoderConfig(name="resnet18")})
    ids = {ONE.id, OTHER.id, of(ONE, 1).id, named.id}
    assert len(ids) == 4
    assert ONE.id.endswith(ONE.hash[:16])


@pytest.mark.parametrize(
    ("file", "label"),
    [
        ("moco_v2_800ep_pretrain.pth.tar", "moco_v2_800ep_pretrain"),
        ("encoder.safetensors", "encoder"),
        ("epoch=99-step=1.5.ckpt", "epoch=99-step=1.5"),
        (".pth", ".pth"),
        ("weights", "weights"),
    ],
)
def test_a_label_is_the_files_name_without_its_endings(file, label):
    assert default_label(file) == label


def test_a_method_a_variant_a_baseline_and_a_name_of_ones_own_have_titles():
    assert described("hcsc")[0] == "HCSC"
    title, card = described("moco@v1")
    assert (title, card["year"]) == ("MoCo", 2019)
    assert described("supervised") == ("Supervised", {})
    assert described("my weights") == ("my weights", {})


def test_a_plan_that_exists_takes_what_set_says_of_its_tables():
    suite = load_suite("quick")
    before = join(None, rows("a", ONE, 0))
    changes = {"tables": {"main": {"mixed": True}}}
    after = joined(before, suite, rows("b", OTHER, 0), OTHER, f"{EVALUATE} b", changes)
    assert after.tables["main"]["mixed"] is True
    assert after.tables["main"]["columns"] == before.tables["main"]["columns"]
