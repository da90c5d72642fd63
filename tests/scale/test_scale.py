"""What is said of large training sets is counted on the methods, and k-means is timed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet50

from sslbench.disk import GIB
from sslbench.scale.clustering import Clustered, clustered
from sslbench.scale.holding import Holding, holding
from sslbench.scale.page import Counted, clustered_table, held_table, work_table
from sslbench.scale.rows import planned
from sslbench.scale.work import KMeans, clusterings, flop_per_image
from sslbench.train.build import build_method

ROOT = Path(__file__).resolve().parents[2]
IMAGENET = 1_281_167


@pytest.mark.parametrize("label", ["simclr", "moco", "instdisc", "pcl", "hcsc", "deepcluster"])
def test_what_is_counted_without_memory_is_what_a_method_really_keeps(label: str) -> None:
    row = planned(label, 2000, {"batch_size": 16})
    found = holding(row)
    method = build_method(row.config, row.data, row.label)
    states = method.state_dict().values()
    kept = sum(tensor.untyped_storage().nbytes() for tensor in states)
    trained = sum(4 * p.numel() for p in method.parameters() if p.requires_grad)
    assert found.trained == 3 * trained  # weights, gradients, SGD's momentum
    assert found.total == kept + 2 * trained


def test_banks_and_assignments_grow_with_images_and_nothing_else_does() -> None:
    few, many = (holding(planned("instdisc", count)) for count in (IMAGENET, 10 * IMAGENET))
    assert many.bank == 10 * few.bank == 10 * IMAGENET * 128 * 4
    assert many.total - many.bank == few.total - few.bank
    hcsc = holding(planned("hcsc", IMAGENET))
    assert hcsc.assignments == 3 * 8 * IMAGENET  # levels, 64 bits
    assert hcsc.bank == 0
    assert holding(planned("moco", 10**9)).total == holding(planned("moco", IMAGENET)).total


def test_hcsc_clusters_images_once_and_then_prototypes() -> None:
    works = clusterings(planned("hcsc", IMAGENET), IMAGENET)
    assert [(w.points, w.clusters) for w in works] == [
        (IMAGENET, 3000),
        (3000, 2000),
        (2000, 1000),
    ]
    assert {(w.dim, w.iterations, w.starts, w.max_points) for w in works} == {(128, 20, 5, 1000)}
    pcl = clusterings(planned("pcl", IMAGENET), IMAGENET)
    assert [w.clusters for w in pcl] == [25_120, 49_275, 98_551]
    assert {w.points for w in pcl} == {IMAGENET}
    assert {w.starts for w in clusterings(planned("deepcluster", IMAGENET), IMAGENET)} == {1}
    assert not clusterings(planned("simclr", IMAGENET), IMAGENET)


def test_k_means_is_counted_as_its_products_are() -> None:
    work = KMeans(points=10, clusters=2, dim=3, iterations=4, starts=5, max_points=2)
    rows = torch.randn(4, 3)  # two a cluster are trained on
    with FlopCounterMode(display=False) as counter:
        for _ in range(5 * 4):
            rows @ torch.randn(3, 2)
        torch.randn(10, 3) @ torch.randn(3, 2)  # all are assigned
    assert work.flop == counter.get_total_flops()
    assert work.bytes == 4 * 3 * (10 + 4 + 2) + 12 * 10


def test_k_means_of_generated_rows_takes_the_memory_that_was_foretold() -> None:
    work = KMeans(1_000_000, 20, 128, iterations=2, starts=1, max_points=256)
    found = clustered(work)
    assert found.seconds > 0
    assert found.rate == pytest.approx(work.flop / found.seconds)
    assert found.gib - found.before == pytest.approx(work.bytes / GIB, abs=0.2)


@pytest.mark.slow
def test_a_step_is_counted_as_the_passes_of_its_encoder() -> None:
    """Two views forwards and backwards; with a key encoder one of them forwards alone."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        resnet50()(torch.empty(1, 3, 224, 224))
    once = float(counter.get_total_flops())
    assert flop_per_image("simclr") == pytest.approx(2 * 3 * once, rel=0.02)
    assert flop_per_image("moco") == pytest.approx((3 + 1) * once, rel=0.02)


def _counted() -> Counted:
    gib = 1024**3
    few, many = (
        Holding(3 * gib, gib // 2, 0, n * 512, n * 24, gib // 4) for n in (IMAGENET, 1_000_000_000)
    )
    return Counted("Toy", (few, few, many), 2e9, (1e14, 2e16, 4e18), (1e14, 3e14, 4e15), 1036)


def test_tables_say_gib_and_shares() -> None:
    made = _counted()
    assert held_table([made]).splitlines()[2] == (
        "| Toy | 3.00 | 0.75 | 536 | 1036 | 4.39 | 4.39 | 503 |"
    )
    assert work_table([made]).splitlines()[2] == (
        "| Toy | 2.0 | 3 | 100 | 3.9 % | 1.1 % | 70 % | 0.2 % | 2.0 x |"
    )
    works = [KMeans(1_000_000, clusters, 128, 20, 1, 256) for clusters in (1000, 2000)]
    measured = [Clustered(works[0], 2.0, 1.5, 0.5), Clustered(works[1], 9.0, 1.5, 0.5)]
    lines = clustered_table(measured).splitlines()
    assert lines[2] == "| 1,000,000 | 1,000 | 1.6 | 2 | 783 |  | 1.50 | 1.11 |"
    assert lines[3] == "| 1,000,000 | 2,000 | 5.8 | 9 | 639 | 7 | 1.50 | 1.23 |"


@pytest.mark.slow
def test_the_command_writes_its_record_and_its_tables(tmp_path: Path) -> None:
    words = ["--methods", "hcsc", "--points", "20000,40000", "--out", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "sslbench.scale", *words], cwd=ROOT, check=True)
    tree = json.loads((tmp_path / "scale.json").read_text())
    assert [one["work"]["points"] for one in tree["clustered"]] == [20_000, 40_000]
    for name in ("held", "work", "clustered"):
        assert "Command: `python -m sslbench.scale" in (tmp_path / f"{name}.md").read_text()
