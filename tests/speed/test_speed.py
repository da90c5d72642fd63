"""``sslbench speed``: who is timed when, what a ratio is, what is written, what is refused."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from sslbench.cli import app
from sslbench.errors import ConfigError, StoreError, UnwritableError
from sslbench.speed import cases
from sslbench.speed.cases import CASES, Setup, case, check_peers
from sslbench.speed.lightly_loop import Loop
from sslbench.speed.matrix_share import MatrixShare, pair_operations
from sslbench.speed.measurement import Figure, Measurement, read_record
from sslbench.speed.phases import Phases
from sslbench.speed.rows import images_of, planned
from sslbench.speed.table import number, shown, terminal
from sslbench.speed.timing import Side, alternated, figure, rate, ratio
from sslbench.speed.training import Training
from sslbench.speed.views import SmallViews
from sslbench.train.build import build_encoder
from sslbench.train.clock import PHASES


def test_sides_take_turns_after_a_warm_up_of_each() -> None:
    order: list[str] = []
    sides = [Side(name, lambda name=name: order.append(name)) for name in "ab"]  # type: ignore[misc]
    seconds = alternated(sides, 3, lambda text: None)
    assert order == list("ab" * 4)
    assert [len(times) for times in seconds.values()] == [3, 3]


def test_a_ratio_is_of_the_times_of_one_round() -> None:
    # The machine was twice as slow in the second round: figures differ, the ratio does not.
    assert ratio([3.0, 6.0, 3.0], [1.0, 2.0, 1.0]) == Figure(median=3, low=3, high=3)
    assert figure([1.0, 5.0, 2.0]) == Figure(median=2, low=1, high=5)
    assert rate([2.0, 4.0], 8) == Figure(median=3, low=2, high=4)


def test_every_case_can_be_loaded_and_says_what_it_compares() -> None:
    for name in CASES:
        assert case(name).name == name
        assert case(name).about


def test_an_unknown_case_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'knm'.*Did you mean 'knn'"):
        case("knm")


def test_a_peer_that_is_not_there_is_refused_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "find_spec", lambda name: None)
    done = CliRunner().invoke(app, ["speed", "knn", "--against", "lightly"])
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception) == "--against lightly: it is not installed here. pip install lightly"
    with pytest.raises(ConfigError, match=r"--against solo: .* torch 1\.9\.1 alone"):
        check_peers(["solo"])
    with pytest.raises(ConfigError, match="--against heavily: expected lightly"):
        check_peers(["heavily"])


def test_a_call_writes_its_record_and_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two small cases in place of the real ones: the command, record and page are the real ones.
    monkeypatch.setattr("sslbench.speed.views.SMALL", SmallViews(images=16, batch=8, rounds=2))
    small = Phases(methods=("moco",), steps=2, rounds=1)
    monkeypatch.setattr("sslbench.speed.phases.PHASES_OF_ALL", small)
    done = CliRunner().invoke(
        app, ["speed", "views_32px", "phases", "--results", str(tmp_path)], catch_exceptions=False
    )
    assert done.exit_code == 0
    record = read_record(tmp_path / "speed" / "speed.json")
    assert record.command == "sslbench speed views_32px phases"
    assert list(record.measurements) == ["views_32px", "phases"]
    assert record.measurements["views_32px"].ratios["against_torchvision"].median > 0
    parts = record.measurements["phases"].parts["moco"]
    assert list(parts) == list(PHASES)
    assert all(parts[phase] > 0 for phase in ("views", "forward", "backward", "optimiser"))
    total = record.measurements["phases"].figures["moco"].median
    assert sum(parts.values()) == pytest.approx(total, rel=0.01)
    page = (tmp_path / "speed" / "speed.md").read_text()
    assert "| moco |" in page
    assert page.count("`sslbench speed views_32px phases`") == 1
    compared = (tmp_path / "speed" / "comparisons.md").read_text()
    assert compared.count("| torchvision | ") == 1
    assert "phase" not in compared.replace("`sslbench speed views_32px phases`", "")


def test_a_results_folder_that_cannot_be_written_is_refused_before_anything_is_timed(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(app, ["speed", "knn", "--results", str(tmp_path / "file")])
    assert isinstance(done.exception, UnwritableError)
    assert "Choose another with --results" in str(done.exception)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    path.write_text("{}")
    with pytest.raises(StoreError, match=r"speed\.json: no record of a speed measurement"):
        read_record(path)


def test_training_reports_pairs_per_second_and_no_peer_unasked() -> None:
    found = Training("simclr", steps=2, rounds=1).measure(Setup())
    assert list(found.figures) == ["sslbench"]
    assert found.ratios == {}
    assert "512 pairs" in found.title


def test_the_share_is_of_the_operations_that_torch_counts() -> None:
    # Two views, three products of the size of the forward pass, two operations a multiplication:
    # the first layer's input needs no gradient.
    stem = 64 * 3 * 9 * 16**2
    blocks = 16 * 64 * 9 * 16**2 + 16 * 16 * 9 * 16**2 + 16 * 64 * 16**2
    for wide, narrow, side in ((32, 16, 8), (64, 32, 4), (128, 64, 2)):
        blocks += side**2 * (wide * narrow * 9 + wide * wide * 9 + wide * narrow)
    assert pair_operations(32) == 2 * 2 * (2 * stem + 3 * blocks)
    found = MatrixShare(side=64, products=2, steps=2, rounds=1).measure(Setup())
    assert found.ratios["share"].median > 0


def test_numbers_have_three_figures_and_ranges_only_where_there_is_one() -> None:
    assert [number(x) for x in (0.123, 3.456, 12.34, 1234.5)] == ["0.12", "3.46", "12.3", "1,234"]
    assert shown(Figure(median=2, low=1, high=3)) == "2.00 [1.00, 3.00]"
    assert shown(Figure(median=2, low=2, high=2)) == "2.00"
    one = Measurement(
        title="t",
        unit="s",
        rounds=1,
        figures={"ours": Figure(median=1, low=1, high=1)},
        ratios={"against_x": Figure(median=2, low=2, high=2)},
        memory_gib={"ours": 0.5},
    )
    assert "against x: 2.00" in terminal("name", one)
    assert "ours 0.50" in terminal("name", one)


@pytest.mark.parametrize("method", ["simclr", "moco"])
def test_lightlys_loop_trains_the_same_encoder_on_the_same_images(method: str) -> None:
    pytest.importorskip("lightly", reason="pip install lightly")
    row = planned(method, {"pretrain": {"epochs": 1, "steps": 1}})
    encoder = build_encoder(row.config)
    before = [weight.clone() for weight in encoder.parameters()]
    loop = Loop(
        encoder=encoder,
        pixels=images_of(row).pixels[:16],
        recipe=row.config.pretrain.augment,
        batch_size=16,
        size=32,
        lr=0.1,
    )
    next(loop.moco(64) if method == "moco" else loop.simclr())
    # A residual branch starts at zero, and what lies within has no gradient yet.
    moved = sum(not torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))
    assert moved > len(before) / 2
    sides = Training(method, steps=1, rounds=1).sides(Setup(against=("lightly",)))
    assert [side.name for side in sides][:1] == ["sslbench"]
    assert "lightly" in [side.name for side in sides]
