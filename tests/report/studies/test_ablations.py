"""Pictures of studies: what is drawn, out of what, and when again."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

from sslbench.publish import publish
from sslbench.report.ablations import ablation_pictures, write_ablation_pictures
from sslbench.report.grid import Cell
from sslbench.report.write import tables, write_tables
from sslbench.study import PartFacts


def test_a_suite_has_no_pictures_of_a_study(experiment: Any, studies: Any) -> None:
    studies.filled(experiment, {"m": 40.0})
    plan = experiment.plan()
    assert ablation_pictures(plan, tables(experiment.store, "tiny")) == []


def test_a_study_without_a_number_yet_has_no_pictures(experiment: Any, studies: Any) -> None:
    for label in studies.square_scores:
        experiment.row(label, trained=False)
    plan = studies.studied(experiment, studies.square())
    assert studies.pictures(experiment, plan) == {}


def test_effects_show_each_difference_filled_if_it_is_told_apart(
    experiment: Any, studies: Any
) -> None:
    studies.filled(experiment, {"m": 40.0, "m@16": 10.0, "m@32": 41.0}, seeds=3)
    plan = studies.studied(experiment, studies.single())
    picture = studies.pictures(experiment, plan)["main-effects"]
    axes = picture.draw().axes[0]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    lines = studies.built(experiment)["main"].lines[1:]
    changes = [line.cells[0].difference for line in lines]
    assert [dot.get_xdata()[0] for dot in dots] == [c.value for c in changes if c is not None]
    assert [dot.get_markerfacecolor() for dot in dots] == ["#0072B2", "#FFFFFF"]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["queue size", "m@16", "m@32"]
    assert "m@16" in picture.alternative
    assert "m@32 " not in picture.alternative


def test_a_numeric_factor_is_a_line_through_the_bases_own_level(
    experiment: Any, studies: Any
) -> None:
    studies.filled(experiment, {"m": 40.0, "m@16": 30.0, "m@32": 35.0})
    plan = studies.studied(experiment, studies.single())
    axes = studies.pictures(experiment, plan)["main-queue-size"].draw().axes[0]
    line = next(one for one in axes.lines if one.get_marker() == "o")
    assert list(line.get_xdata()) == [16.0, 32.0, 64.0]
    table = studies.built(experiment)["main"]
    values = {row.label: row.cells[0].value for row in table.lines}
    assert list(line.get_ydata()) == [values["m@16"], values["m@32"], values["m"]]


def test_a_base_between_the_levels_given_is_on_the_line_too(experiment: Any, studies: Any) -> None:
    studies.filled(experiment, {"m": 40.0, "m@16": 30.0, "m@32": 35.0})
    levels = studies.factor("size", "params.size", 20, few=(16, "m@16"), some=(32, "m@32"))
    plan = studies.studied(experiment, studies.single().model_copy(update={"factors": (levels,)}))
    axes = studies.pictures(experiment, plan)["main-size"].draw().axes[0]
    line = next(one for one in axes.lines if one.get_marker() == "o")
    assert list(line.get_xdata()) == [16.0, 20.0, 32.0]


def test_words_as_levels_are_no_line(experiment: Any, studies: Any) -> None:
    studies.filled(experiment, {"m": 40.0, "m@16": 30.0, "m@32": 35.0})
    words = studies.factor(
        "kind", "params.kind", "c", a=("a", "m@16"), b=("b", "m@32"), c=("c", "m")
    )
    plan = studies.studied(experiment, studies.single().model_copy(update={"factors": (words,)}))
    assert set(studies.pictures(experiment, plan)) == {"main-effects"}


def test_a_heat_map_writes_every_score_and_frames_the_base(experiment: Any, studies: Any) -> None:
    studies.filled(experiment, studies.square_scores)
    plan = studies.studied(experiment, studies.square())
    found = studies.pictures(experiment, plan)
    assert set(found) == {"main-heat-map", "main-queue"}
    axes = found["main-heat-map"].draw().axes[0]
    table = studies.built(experiment)["main-knn-top1"]
    texts = [text.get_text().split("\n")[0] for text in axes.texts]
    assert texts == [cell.text for line in table.lines for cell in line.cells]
    frames = [patch for patch in axes.patches if patch.get_edgecolor()[:3] != (1.0, 1.0, 1.0)]
    assert [round(frame.get_x() + 0.46) for frame in frames] == [1]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("temperature", "queue")
    lines = found["main-queue"].draw().axes[0].get_legend_handles_labels()[1]
    assert lines == ["c", "d"]


def test_parts_that_vary_alike_are_set_side_by_side(experiment: Any, studies: Any) -> None:
    studies.filled(experiment, {"m": 40.0, "m@16": 30.0, "m@32": 45.0})
    studies.filled(experiment, {"n": 50.0, "n@16": 70.0, "n@32": 55.0})
    second = PartFacts.model_validate_json(
        studies.single("other").model_dump_json().replace('"m', '"n')
    )
    plan = studies.studied(experiment, studies.single(), second)
    found = studies.pictures(experiment, plan)["gains"]
    made = studies.built(experiment)

    def change(part: str, row: int) -> str:
        cell: Cell = made[part].lines[1 + row].cells[0]
        return cell.difference_text.strip("()")

    texts = [text.get_text() for text in found.draw().axes[0].texts]
    assert texts[:4] == [
        change("main", 0),
        change("other", 0),
        change("main", 1),
        change("other", 1),
    ]
    assert "on main some gains most" in found.alternative


def test_equal_records_give_equal_inputs_and_other_records_others(
    experiment: Any, studies: Any
) -> None:
    studies.filled(experiment, studies.square_scores)
    plan = studies.studied(experiment, studies.square())
    first = {name: picture.inputs for name, picture in studies.pictures(experiment, plan).items()}
    again = {name: picture.inputs for name, picture in studies.pictures(experiment, plan).items()}
    assert first == again
    experiment.record(plan.rows[0], "knn", studies.answers(80.0, 0))
    other = {name: picture.inputs for name, picture in studies.pictures(experiment, plan).items()}
    assert all(first[name] != other[name] for name in first)


def test_no_text_is_smaller_than_eight_points(experiment: Any, studies: Any) -> None:
    studies.filled(experiment, studies.square_scores)
    plan = studies.studied(experiment, studies.square())
    for picture in studies.pictures(experiment, plan).values():
        texts = picture.draw().findobj(mpl.text.Text)
        assert all(text.get_fontsize() >= 8 for text in texts)


def test_files_are_written_once_and_are_the_same_again(experiment: Any, studies: Any) -> None:
    studies.filled(experiment, studies.square_scores)
    plan = studies.studied(experiment, studies.square())

    def written() -> dict[Path, bytes]:
        made = tables(experiment.store, "tiny")
        paths = write_tables(experiment.store, made)
        paths += write_ablation_pictures(experiment.store, plan, made)
        return {path: path.read_bytes() for path in paths}

    first = written()
    assert {path.name for path in first} >= {"main-knn-top1.png", "main-heat-map.png"}
    times = {path: path.stat().st_mtime_ns for path in first if path.suffix == ".png"}
    assert written() == first
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_study_is_published_with_its_pictures(
    experiment: Any, studies: Any, tmp_path: Path
) -> None:
    studies.filled(experiment, studies.square_scores)
    plan = studies.studied(experiment, studies.square())
    made = tables(experiment.store, "tiny")
    write_tables(experiment.store, made)
    write_ablation_pictures(experiment.store, plan, made)
    copied = publish("tiny", experiment.store.root, tmp_path / "public")
    names = {str(path.relative_to(tmp_path / "public" / "tiny")) for path in copied}
    assert {"plan.json", "main-knn-top1.md", "pictures/main-heat-map.png"} <= names


def test_pictures_of_studies_need_no_torch() -> None:
    code = "import sys, sslbench.report.ablations; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
