"""Suite x methods x seeds: who wins, what is refused, what a run's identity depends on."""

from typing import Any

import pytest

from sslbench.config import Tree, assignments
from sslbench.data.spec import DatasetSpec
from sslbench.errors import ConfigError
from sslbench.plan import Environs, Planned, expand, plan
from sslbench.suite import Suite, load_suite, suite_names

OPTIM = {"name": "sgd", "lr": 0.1}


def count(spec: DatasetSpec) -> int:
    return 1000


def suite(**changes: Any) -> Suite:
    tree: Tree = {
        "name": "t",
        "title": "t",
        "methods": ["moco"],
        "baselines": [],
        "encoder": {"name": "resnet18", "stem": "small"},
        "pretrain": {
            "dataset": "objects_tiny",
            "epochs": 2,
            "batch_size": 64,
            "image_size": 32,
        },
        "evaluations": {"knn": {"protocol": "knn", "dataset": "objects_tiny"}},
        "tables": {},
        **changes,
    }
    return Suite.model_validate_json(__import__("json").dumps(tree))


def planned(label: str, *sets: str, bf16: bool = False, **changes: Any) -> Planned:
    environs = Environs(bf16=bf16, count=count)
    return plan(suite(**changes), [label], [0], assignments(sets), environs)[0]


def pretrain(**changes: Any) -> Tree:
    return {**suite().pretrain, **changes}


def test_automatic_precision_needs_a_device_that_can_be_asked() -> None:
    environs = Environs(bf16=None, count=count)
    with pytest.raises(ConfigError, match=r"precision = auto: .* --set pretrain\.precision=bf16"):
        plan(suite(), ["moco"], [0], {}, environs)
    given = assignments(["pretrain.precision=bf16"])
    [row, *_] = plan(suite(), ["moco"], [0], given, environs)
    assert row.config.pretrain.precision == "bf16"


def test_the_method_file_beats_the_defaults() -> None:
    row = planned("moco")
    assert row.config.pretrain.optim.lr == 0.03
    assert row.origins["pretrain.optim.lr"] == "methods/moco.yaml"
    assert "params.temperature" not in row.origins


def test_the_suite_beats_the_method_file_and_holds_the_optimiser_equal_whole() -> None:
    tree = pretrain(optim=OPTIM, augment="simclr_small")
    moco, simclr = (planned(m, pretrain=tree).config.pretrain for m in ("moco", "simclr"))
    assert moco.optim == simclr.optim
    assert simclr.optim.warmup_epochs == 0  # simclr.yaml says 10
    assert moco.augment == simclr.augment


def test_an_exception_beats_the_suite_and_is_noted() -> None:
    row = planned("moco", exceptions={"moco": {"pretrain": {"batch_size": 32}}})
    assert row.config.pretrain.batch_size == 32
    assert row.notes == ("pretrain.batch_size = 32",)


def test_an_exception_of_a_variant_is_none_of_the_method_and_adds_to_the_methods_own() -> None:
    exceptions = {
        "moco": {"pretrain": {"epochs": 3}},
        "moco@v1": {"pretrain": {"batch_size": 32}},
    }
    assert planned("moco", exceptions=exceptions).config.pretrain.batch_size == 64
    row = planned("moco@v1", exceptions=exceptions)
    assert (row.config.pretrain.batch_size, row.config.pretrain.epochs) == (32, 3)
    assert row.notes == ("pretrain.epochs = 3", "pretrain.batch_size = 32")


@pytest.mark.parametrize(
    ("key", "message"),
    [("mocco", "no method 'mocco'. Did you mean 'moco'"), ("moco@v7", "no variant 'v7'")],
)
def test_an_exception_of_nothing_is_refused(key: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        planned("moco", exceptions={key: {"pretrain": {"epochs": 3}}})


def test_an_exception_that_was_overridden_is_not_noted() -> None:
    exception = {"moco": {"pretrain": {"batch_size": 32, "epochs": 3}}}
    row = planned("moco", "pretrain.batch_size=16", exceptions=exception)
    assert row.config.pretrain.batch_size == 16
    assert row.notes == ("pretrain.epochs = 3",)


def test_a_variant_beats_the_suite_and_set_beats_the_variant() -> None:
    assert planned("moco@v1").config.params["temperature"] == 0.07
    row = planned("moco@v1", "params.temperature=0.5")
    assert row.config.params["temperature"] == 0.5
    assert row.origins["params.temperature"] == "--set"


def test_the_rule_settles_auto_and_is_named() -> None:
    row = planned("moco", "params.queue_size='auto'")
    assert row.config.params["queue_size"] == 192  # half of 384 images, in batches of 64
    assert row.origins["params.queue_size"] == "rule"


def test_arrays_are_read_as_batches_however_many_images_they_hold() -> None:
    own = {
        "levels": [{"name": "class", "classes": 36}],
        "splits": {"train": 10_000_000, "test": 100},
        "folder": "own",
        "image_size": 32,
    }
    pixels = {"images": {"train": "a.npy", "test": "b.npy"}, "labels": {}}
    for source, options, path in (("arrays", pixels, "batched"), ("folder", {}, "workers")):
        data = {"own": {**own, "source": source, "options": options}}
        row = planned("moco", datasets=data, pretrain=pretrain(dataset="own"))
        assert row.config.pretrain.views_path == path


def test_precision_follows_the_machine_only_while_it_is_auto() -> None:
    assert planned("moco", bf16=True).config.pretrain.precision == "bf16"
    assert planned("moco").config.pretrain.precision == "fp32"
    fixed = planned("moco", "pretrain.precision=fp32", bf16=True)
    assert fixed.config.pretrain.precision == "fp32"


def test_the_identity_is_what_changes_numbers() -> None:
    base = planned("moco").config
    assert planned("moco").config.hash == base.hash
    assert planned("moco", "params.temperature=0.3").config.hash != base.hash
    assert planned("moco", "encoder.bn_splits=2").config.hash != base.hash
    variant = {"moco": {"params": {"hidden_layers": 0, "temperature": 0.07}}}
    # A variant's name is a label: the same values are the same run, however they came about.
    recipe = pretrain(
        augment="moco_v1",
        optim={
            "name": "sgd",
            "lr": 0.03,
            "schedule": "step",
            "per_step": False,
            "milestones": [0.6, 0.8],
        },
    )
    assert (
        planned("moco", exceptions=variant, pretrain=recipe).config.hash
        == planned("moco@v1").config.hash
    )


def test_random_has_no_steps_and_supervised_the_optimiser_of_the_suite() -> None:
    rows = plan(
        suite(baselines=["random", "supervised"], pretrain=pretrain(optim=OPTIM)),
        ["moco"],
        [0],
        {},
        Environs(bf16=False, count=count),
    )
    random, supervised = rows[1:]
    assert [row.label for row in rows] == ["moco", "random", "supervised"]
    assert random.data.steps == 0
    assert supervised.config.pretrain.optim == rows[0].config.pretrain.optim


def test_selectors_expand_in_order_and_once() -> None:
    variants = expand(["hcsc@*"])
    assert variants[0] == "hcsc"
    assert "hcsc@released-code" in variants
    assert expand(["moco", "moco@v1", "moco"]) == ["moco", "moco@v1"]
    assert set(expand(["all"])) >= {"moco", "simclr", "pcl", "hcsc"}


@pytest.mark.parametrize(
    ("label", "sets", "changes", "message"),
    [
        ("mocoo", (), {}, "Did you mean 'moco'"),
        ("moco@v9", (), {}, "no variant 'v9'. Known: v1"),
        ("moco", ("params.temprature=1",), {}, "Did you mean 'temperature'"),
        (
            "moco",
            ("params.temperature=-1",),
            {},
            "temperature = -1: Input should be greater than 0",
        ),
        ("moco", ("pretrain.dataset=objets",), {}, "no data set 'objets'"),
        ("moco", ("pretrain.augment=moco_v9",), {}, "no recipe 'moco_v9'"),
        ("moco", ("pretrain.batch_size=1000",), {}, "exceeds the 384 training images"),
        ("moco", ("pretrain.views=[{}]",), {}, "moco needs 2 full-size views"),
        ("moco", ("pretrain.views=[{}, {}, {size: 0.5}]",), {}, "takes no local views"),
        ("moco", ("encoder.name=resnet0",), {}, "resnet0"),
        ("moco", ("encoder.bn_splits=5",), {}, "does not divide"),
        ("moco", ("optim.lr=1",), {}, "Keys begin with"),
        ("moco", ("evaluations.knn.protocol=knn@none",), {}, "no settings 'none'"),
        ("moco", ("evaluations.knn.settings.neighbour=[1]",), {}, "Did you mean 'neighbours'"),
        ("random@v1", (), {}, "no variants"),
    ],
)
def test_what_cannot_work_is_refused_with_a_way_out(
    label: str, sets: tuple[str, ...], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(label, *sets, **changes)
    assert message in str(caught.value)


def test_all_faults_of_all_rows_come_in_one_error() -> None:
    environs = Environs(bf16=False, count=count)
    with pytest.raises(ConfigError) as caught:
        plan(suite(), ["moco@a", "simclr@b"], [0], {}, environs)
    assert "no variant 'a'" in str(caught.value)
    assert "no variant 'b'" in str(caught.value)


def test_an_evaluation_that_cannot_apply_is_skipped_with_its_reason() -> None:
    evaluations = {"boxes": {"protocol": "knn", "dataset": "canvases_tiny"}}
    row = planned("moco", evaluations=evaluations)
    assert not row.evaluations
    assert row.skipped["boxes"]


def test_every_suite_of_ours_resolves() -> None:
    for name in suite_names():
        loaded = load_suite(name)
        environs = Environs(bf16=True, count=lambda spec: 100_000)
        assert plan(loaded, list(loaded.methods), [0], {}, environs)
