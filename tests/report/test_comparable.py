"""Measured beside published: the verdict is a rule over what run, record and quoted row hold."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sslbench.config import load_yaml
from sslbench.report.comparable import TOLERANCE, Measured, nearest, verdict
from sslbench.report.reported import Quoted
from sslbench.report.write import tables

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DINO: dict[str, Any] = load_yaml((BENCHMARKS / "knn.yaml").read_text(encoding="utf-8"), "knn")[
    "variants"
]["dino"]
PRETRAIN: dict[str, Any] = {
    "dataset": {"name": "imagenet", "subset": {}},
    "epochs": 200,
    "batch_size": 256,
    "image_size": 224,
    "views": [{"size": 1.0}, {"size": 1.0}],
}
ENCODER: dict[str, Any] = {"name": "resnet50", "options": {}, "stem": "imagenet", "input": "rgb"}
MEASURED = Measured(
    label="moco",
    plugin="knn",
    dataset="imagenet",
    metric="top1",
    value=60.0,
    low=59.7,
    high=60.3,
    unit="%",
    training={"encoder": ENCODER, "pretrain": PRETRAIN},
    fingerprint={
        "settings": {**DINO["settings"], "level": 0},
        "preprocessing": {**DINO["preprocessing"], "image_size": 224},
        "data": {"digest": "a", "subset": {}},
    },
)


def quoted(value: float = 60.0, **changes: Any) -> Quoted:
    known: dict[str, Any] = {
        "method": "moco",
        "variant": "",
        "title": "MoCo v2",
        "encoder": "resnet50",
        "data": "imagenet",
        "epochs": 200,
        "batch": 256,
        "crops": "",
        "evaluation": "knn/imagenet",
        "protocol": "knn@dino",
        "metric": "top1",
        "value": value,
        "text": f"{value}",
        "origin": "original",
        "source": "arXiv:1 Table 2",
        "note": "",
    }
    return Quoted.model_validate({**known, **changes})


def trained(**changes: Any) -> Measured:
    return replace(MEASURED, training={"encoder": ENCODER, "pretrain": {**PRETRAIN, **changes}})


def encoded(**changes: Any) -> Measured:
    return replace(MEASURED, training={"encoder": {**ENCODER, **changes}, "pretrain": PRETRAIN})


def test_a_value_inside_the_interval_is_reproduced() -> None:
    wide = replace(MEASURED, low=50.0, high=70.0)

    found = verdict(wide, quoted(69.9))

    assert (found.outcome, found.short) == ("reproduced", "reproduced")
    assert found.text == "reproduced: 69.9 (arXiv:1 Table 2) is inside the interval"


@pytest.mark.parametrize("off", [TOLERANCE, -TOLERANCE])
def test_a_value_within_the_tolerance_is_reproduced(off: float) -> None:
    assert verdict(MEASURED, quoted(60.0 + off)).outcome == "reproduced"
    assert verdict(replace(MEASURED, low=None, high=None), quoted(60 + off)).outcome == "reproduced"


def test_what_is_further_away_is_off_by_so_many_points() -> None:
    assert verdict(MEASURED, quoted(61.3)).short == "off by \N{MINUS SIGN}1.3"
    assert verdict(MEASURED, quoted(59.4)).text == "off by +0.6 points from 59.4 (arXiv:1 Table 2)"


@pytest.mark.parametrize(
    ("measured", "published", "reason"),
    [
        (encoded(name="resnet18"), {}, "another encoder (resnet18; published: resnet50)"),
        (
            encoded(options={"layers": [1, 1]}),
            {},
            "another encoder (resnet50, other layers; published: resnet50)",
        ),
        (
            encoded(stem="small"),
            {},
            "another encoder (resnet50, small stem; published: resnet50)",
        ),
        (MEASURED, {"encoder": ""}, "encoder not stated"),
        (trained(epochs=100), {}, "another number of epochs (100; published: 200)"),
        (MEASURED, {"epochs": None}, "number of epochs not stated"),
        (trained(batch_size=512), {}, "another batch size (512; published: 256)"),
        (MEASURED, {"batch": None}, "batch size not stated"),
        (trained(image_size=112), {}, "another image size (112; published: 224)"),
        (trained(image_size=224), {"crops": "2x160"}, "another image size (224; published: 160)"),
        (
            trained(dataset={"name": "imagenet100"}),
            {},
            "other pre-training data (imagenet100; published: imagenet)",
        ),
        (
            trained(dataset={"name": "imagenet", "subset": {"train": 1000}}),
            {},
            "a part of the pre-training data (train: 1000; published: all)",
        ),
        (
            MEASURED,
            {"crops": "2x224+6x96"},
            "other crops (single-crop; published: 2x224+6x96)",
        ),
        (
            trained(views=[{"size": 1.0}, {"size": 0.43}]),
            {"crops": "single-crop"},
            "other crops (multi-crop; published: single-crop)",
        ),
        (
            MEASURED,
            {"evaluation": "knn/cifar10"},
            "another data set (imagenet; published: cifar10)",
        ),
        (MEASURED, {"protocol": ""}, "protocol not stated"),
        (
            MEASURED,
            {"protocol": "knn@instdisc"},
            "another protocol (knn@dino; published: knn@instdisc)",
        ),
        (replace(MEASURED, unit=""), {}, "another unit (none; published: %)"),
    ],
)
def test_each_difference_is_a_reason_and_the_only_one(
    measured: Measured, published: dict[str, Any], reason: str
) -> None:
    found = verdict(measured, quoted(**published))

    assert found.outcome == "not comparable"
    assert [str(r) for r in found.reasons] == [reason]
    assert found.text == f"not comparable with 60.0 (arXiv:1 Table 2): {reason}"


def test_a_part_of_the_test_data_and_other_test_images_are_reasons() -> None:
    facts = dict(MEASURED.fingerprint)
    part = {**facts, "data": {"subset": {"train": 10}}}
    small = {**facts, "preprocessing": {**DINO["preprocessing"], "image_size": 64}}

    found = [verdict(replace(MEASURED, fingerprint=f), quoted()).reasons for f in (part, small)]

    assert [[r.kind for r in reasons] for reasons in found] == [
        ["a part of the data set"],
        ["another size of test images"],
    ]


def test_other_settings_are_another_protocol() -> None:
    settings = {**MEASURED.fingerprint["settings"], "temperature": 0.2}
    other = replace(MEASURED, fingerprint={**MEASURED.fingerprint, "settings": settings})

    reasons = verdict(other, quoted()).reasons

    assert [r.ours for r in reasons] == ["knn of its own settings"]


def test_weights_from_elsewhere_can_reproduce_a_number_but_not_miss_it() -> None:
    weights = replace(MEASURED, training={"encoder": ENCODER})

    assert verdict(weights, quoted(60.1)).outcome == "reproduced"
    missed = verdict(weights, quoted(70.0))
    assert [r.kind for r in missed.reasons] == ["the training of these weights is not known here"]


def test_the_nearest_setting_is_compared_with() -> None:
    rows = [
        quoted(71.1, epochs=800),
        quoted(67.5),
        quoted(50.0, encoder="resnet18", epochs=1000),
        quoted(60.6, variant="v1"),
        quoted(67.6, origin="reproduction"),
        quoted(40.0, batch=512),
        quoted(90.0, data="cifar10", evaluation="knn/cifar10"),
    ]

    def value(measured: Measured) -> float | None:
        found = nearest(measured, rows)
        return found and found.value

    assert value(trained(epochs=300)) == 67.5
    assert value(trained(epochs=500)) == 71.1
    assert value(trained(batch_size=512)) == 40.0
    assert value(encoded(name="resnet18")) == 50.0
    assert value(replace(MEASURED, training={})) == 71.1  # nothing known: the first of the file
    assert value(replace(MEASURED, label="moco@v1")) == 60.6
    assert value(replace(MEASURED, label="moco@other")) is None
    assert value(replace(MEASURED, dataset="cifar10-10k")) == 90.0
    assert value(replace(MEASURED, metric="top5")) is None
    assert value(replace(MEASURED, plugin="linear_probe")) is None


def test_of_another_data_set_the_number_of_the_best_origin_is_taken() -> None:
    rows = [quoted(50.0, origin="reproduction"), quoted(60.0, epochs=1000)]

    assert nearest(MEASURED, rows) is rows[0]
    assert nearest(replace(MEASURED, dataset="objects"), rows) is rows[1]


def test_a_number_of_another_data_set_gives_a_verdict_but_no_line(
    experiment: Any, quoted_row: Any, tmp_path: Path
) -> None:
    elsewhere = {"evaluation": "knn/imagenet"}
    baseline = {**elsewhere, "method": "random", "title": "Random"}
    experiment.row("random", {"knn": 10.0})
    experiment.row("moco", {"knn": 40.0})
    experiment.plan(reported=True)

    table = tables(experiment.store, "tiny", quoted_row(tmp_path, elsewhere, baseline))[0]

    assert [line.kind for line in table.lines] == ["random", "method"]
    assert table.footnotes == ()
    assert table.lines[0].cells[0].verdict == ""
    assert "another data set (shapes; published: imagenet)" in table.lines[1].cells[0].verdict


def test_the_footnote_tells_of_the_numbers_in_the_table_only(
    experiment: Any, quoted_row: Any, tmp_path: Path
) -> None:
    elsewhere = {"evaluation": "linear_probe/imagenet"}
    experiment.row("moco", {"knn": 40.0, "linear": 50.0})
    experiment.plan(reported=True)

    table = tables(experiment.store, "tiny", quoted_row(tmp_path, {}, elsewhere))[0]

    assert table.footnotes[1].startswith("Not comparable with the number above it: another encoder")
    assert "another data set" not in table.footnotes[1]


def test_a_table_has_one_footnote_for_all_that_cannot_be_compared(
    experiment: Any, tmp_path: Path
) -> None:
    header = ",".join(k for k in Quoted.model_fields if k != "text") + "\n"
    found = [
        quoted(70.0, method=m, evaluation=e, epochs=n).model_dump(exclude={"text"})
        for m in ("moco", "hcsc")
        for e, n in (("knn/shapes", 200), ("linear_probe/shapes", 400))
    ]
    lines = [",".join(str(v) for v in q.values()) for q in found]
    (tmp_path / "all.csv").write_text(header + "\n".join(lines) + "\n", encoding="utf-8")
    for label in ("moco", "hcsc"):
        experiment.row(label, {"knn": 40.0, "linear": 50.0})
    experiment.plan(reported=True)

    table = tables(experiment.store, "tiny", tmp_path)[0]

    apart = [note for note in table.footnotes if note.startswith("Not comparable")]
    assert len(apart) == 1
    assert "another encoder" in apart[0]
    mark = table.footnotes.index(apart[0]) + 1
    published = [line for line in table.lines if line.kind == "reported"]
    assert all(mark in cell.marks for line in published for cell in line.cells)
    for line in table.lines:
        for cell in line.cells:
            assert cell.verdict.startswith("not comparable with 70.0 (arXiv:1 Table 2): another")
    assert table.to_csv().count("not comparable with 70.0") == 8
    assert json.loads(json.dumps(table.to_dict()))["lines"][0]["cells"][0]["verdict"]
