"""Studies: one base for all factors, no run twice, every fault before anything is trained."""

from typing import Any

import pytest

from sslbench.ablation import Ablation, ablation
from sslbench.config import Tree, assignments, build, flatten
from sslbench.errors import ConfigError
from sslbench.plan import Environs, plan
from sslbench.registry import METHODS
from sslbench.study import StudyConfig, load_study, study_names
from sslbench.suite import load_suite, suite_names

ENVIRONS = Environs(bf16=False, count=lambda spec: 1000)


def study(factors: Tree, **part: Any) -> StudyConfig:
    tree = {"name": "s", "title": "S", "suite": "smoke", "method": "moco"}
    return build(StudyConfig, {**tree, "parts": {"main": {"factors": factors, **part}}}, "s")


def made(of: StudyConfig, *sets: str, seeds: tuple[int, ...] = (0,)) -> Ablation:
    return ablation(of, load_suite(of.suite), seeds, assignments(sets), ENVIRONS)


def key(path: str, *values: Any) -> Tree:
    return {"key": path, "values": list(values)}


QUEUE = key("params.queue_size", 64, 128, 192)
TEMPERATURE = key("params.temperature", 0.1, 0.2)


def test_a_level_that_is_the_bases_own_is_the_base_run() -> None:
    found = made(study({"queue": QUEUE, "temperature": TEMPERATURE}), seeds=(0, 1))
    (part,) = found.facts.parts
    labels = [[level.label for level in factor.levels] for factor in part.factors]
    # 192 is what the rule gives 384 images in batches of 64, 0.2 what moco.yaml says.
    assert labels == [
        ["moco@queue_size=64", "moco@queue_size=128", "moco"],
        ["moco@temperature=0.1", "moco"],
    ]
    assert [place.label for place in part.places] == ["moco", *labels[0][:2], labels[1][0]]
    runs = [row.config.id for row in found.plan]
    assert len(runs) == len(set(runs)) == 2 * 4


def test_the_base_run_is_that_of_the_suite() -> None:
    suite = load_suite("smoke")
    base = made(study({"queue": QUEUE})).plan[0].config
    assert base.hash == plan(suite, ["moco"], [0], {}, ENVIRONS)[0].config.hash


def test_what_two_factors_come_to_is_one_run_and_says_so() -> None:
    factors = {
        "levels": key("params.levels", 1, 2),
        "sizes": key("params.clusters", [19], [19, 12]),
    }
    of = study(factors).model_copy(update={"method": "hcsc"})
    sizes = plan(load_suite("smoke"), ["hcsc@two-levels"], [0], {}, ENVIRONS)[0].config.params
    factors["sizes"]["values"] = [sizes["clusters"][:1], sizes["clusters"]]
    found = made(study(factors).model_copy(update={"method": of.method}))
    assert [row.label for row in found.plan] == ["hcsc", "hcsc@levels=1", "hcsc@levels=2"]
    (part,) = found.facts.parts
    assert part.factors[1].levels[0].label == "hcsc@levels=1"
    notes = part.places[1].notes
    assert notes == (f"the same run as sizes: {sizes['clusters'][0]}",)


def test_set_changes_the_base_and_the_level_that_is_it() -> None:
    found = made(
        study({"temperature": key("params.temperature", 0.1, 0.5)}), "params.temperature=0.5"
    )
    assert found.plan[0].config.params["temperature"] == 0.5
    assert [level.label for level in found.facts.parts[0].factors[0].levels] == [
        "moco@temperature=0.1",
        "moco",
    ]
    assert found.facts.parts[0].factors[0].own == 0.5


def test_a_key_that_the_suite_holds_equal_may_vary() -> None:
    found = made(study({"batch": key("pretrain.batch_size", 32, 64)}))
    assert [row.config.pretrain.batch_size for row in found.plan] == [64, 32]


def test_two_factors_are_crossed_with_the_base_among_the_cells() -> None:
    found = made(study({"queue": QUEUE, "temperature": TEMPERATURE}, design="crossed"))
    (part,) = found.facts.parts
    values = {row.label: row.config.params for row in found.plan}
    cells = [
        [(values[label]["queue_size"], values[label]["temperature"]) for label in row]
        for row in part.cells
    ]
    assert cells == [[(q, t) for t in (0.1, 0.2)] for q in (64, 128, 192)]
    assert part.reference == (2, 1)
    assert part.cells[2][1] == part.base
    assert len(found.plan) == 6
    assert part.interactions == (
        "main-knn-top1",
        "main-linear-top1",
        "main-places-top1",
        "main-detection-ap50",
    )
    assert set(part.interactions) < set(found.tables)


def test_a_crossing_without_the_base_measures_from_its_first_levels() -> None:
    factors = {"queue": key("params.queue_size", 64, 128), "t": key("params.temperature", 0.1, 0.5)}
    (part,) = made(study(factors, design="crossed")).facts.parts
    assert part.reference == (0, 0)
    assert part.base not in {label for row in part.cells for label in row}
    assert part.places[0].label == part.base


def test_operations_are_paired_each_with_each_once() -> None:
    levels = {
        "crop": {"pretrain": {"augment": {"crop": [0.5, 1.0]}}},
        "grey": {"pretrain": {"augment": {"grayscale": 0.5}}},
        "blur": {"pretrain": {"augment": {"blur": {"p": 1.0}}}},
    }
    found = made(study({"operation": {"levels": levels}}, design="pairs"))
    (part,) = found.facts.parts
    assert len(found.plan) == 1 + 3 + 3
    assert all(part.cells[i][j] == part.cells[j][i] for i in range(3) for j in range(3))
    looks = {row.label: row.config.pretrain.augment for row in found.plan}
    both = looks[part.cells[0][1]]
    assert (both.crop, both.grayscale, both.blur.p) == ((0.5, 1.0), 0.5, 0.5)


def test_a_recipe_given_by_name_keeps_what_a_level_does_not_change() -> None:
    found = made(study({"flip": key("pretrain.augment.flip", 0.0, 0.5)}))
    named, changed = (flatten(row.config.pretrain.augment.model_dump()) for row in found.plan)
    assert {k for k in named if named[k] != changed[k]} == {"flip"}


def test_a_part_is_evaluated_on_what_its_columns_name() -> None:
    tree = study({"queue": QUEUE}, columns={"kNN": "knn.top1", "Time": "pretrain.seconds"})
    assert {tuple(row.evaluations) for row in made(tree).plan} == {("knn",)}


def test_a_level_may_be_another_method_or_variant() -> None:
    levels = {"paper": {"method": "moco@v1"}, "no queue": {"method": "simclr"}}
    found = made(study({"method": {"levels": levels}}))
    assert [(row.label, row.config.method) for row in found.plan] == [
        ("moco", "moco"),
        ("moco@v1", "moco"),
        ("simclr", "simclr"),
    ]
    assert found.facts.parts[0].places[1].notes[0] == "moco@v1"
    assert "params.temperature = 0.07" in found.facts.parts[0].places[1].notes


@pytest.mark.parametrize(
    ("factors", "part", "message"),
    [
        ({"t": key("params.temprature", 0.1, 0.2)}, {}, "Did you mean 'temperature'"),
        (
            {"t": key("params.temperature", -1, 0.2)},
            {},
            "temperature = -1: Input should be greater",
        ),
        ({"t": key("params.queue_size", 192, "auto")}, {}, "'t' does not vary"),
        ({"a": {"levels": {"x": {"method": "mocoo"}}}}, {}, "Did you mean 'moco'"),
        ({"a": {"levels": {"x": {"method": "moco@v9"}}}}, {}, "no variant 'v9'"),
        (
            {"a": {"levels": {"x": {"method": "moco@v1"}, "y": {"method": "simclr"}}}},
            {"design": "pairs"},
            "moco@v1 and simclr do not combine",
        ),
        ({"t": TEMPERATURE}, {"columns": {"kNN": "kn.top1"}}, "Did you mean 'knn'"),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_out(factors: Tree, part: Tree, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(study(factors, **part))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("factors", "part", "message"),
    [
        ({"t": key("params.temperature", 0.1)}, {}, "has one level"),
        ({"t": key("params.temperature", 0.1, 0.1)}, {}, "a level twice"),
        ({"t": key("parms.temperature", 0.1, 0.2)}, {}, "Did you mean 'params'"),
        ({"t": key("evaluations.knn", 0.1, 0.2)}, {}, "nothing that a run is made of"),
        ({"t": key("params", {}, {"a": 1})}, {}, "nothing that a run is made of"),
        ({"t": {}}, {}, "a key with values, or levels"),
        ({"t": TEMPERATURE}, {"design": "crossed"}, "crossed takes 2 factors, here are 1: t"),
        ({"t": TEMPERATURE}, {"desing": "crossed"}, "Did you mean 'design'"),
    ],
)
def test_a_studys_settings_are_strict(factors: Tree, part: Tree, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        study(factors, **part)
    assert message in str(caught.value)


def test_all_faults_of_all_levels_come_in_one_error() -> None:
    factors = {"t": key("params.temperature", -1, 0.2), "q": key("params.queue_size", 0, 10**6)}
    with pytest.raises(ConfigError) as caught:
        made(study(factors))
    assert "3 faults" in str(caught.value)
    assert "is more than the 384 training images" in str(caught.value)


# ---- our own studies ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", study_names())
def test_every_study_of_ours_resolves_in_its_suite_without_a_run_twice(name: str) -> None:
    of = load_study(name)
    suite = load_suite(of.suite)
    found = ablation(of, suite, [0], {}, Environs(bf16=True, count=lambda spec: 100_000))
    runs = [row.config.id for row in found.plan]
    assert len(runs) == len(set(runs))
    for part in found.facts.parts:
        labels = {level.label for factor in part.factors for level in factor.levels}
        assert labels - {""} <= {row.label for row in found.plan}


def test_no_study_has_the_name_of_a_method_or_a_suite() -> None:
    assert not set(study_names()) & {*METHODS.names(), *suite_names()}


def test_the_paper_or_code_study_names_every_variant_that_follows_the_code() -> None:
    variants = METHODS.defaults("hcsc")["variants"]
    code = variants["released-code"]["params"]
    single = {n for n, v in variants.items() if v.get("params", {}).items() <= code.items()}
    levels = load_study("paper-or-code").parts["hcsc"].factors["as in the code"].levels
    assert {level.method.partition("@")[2] for level in levels.values()} == {
        n for n in single if variants[n].get("params")
    }
