"""The case of views out of JPEG files: its sides do the same amount of work."""

import pytest

from sslbench.speed.cases import Setup, case
from sslbench.speed.jpeg_views import LARGE, JpegViews, Photographs

SMALL = JpegViews(batches=2, batch=3, size=48, rounds=2)


def test_all_sides_make_two_views_of_every_file():
    pytest.importorskip("lightly", reason="pip install lightly")
    sides = SMALL.sides(Setup(against=("lightly",)))
    assert [side.name for side in sides] == ["sslbench", "torchvision (PIL)", "lightly"]
    assert [side.work() for side in sides] == [12, 12, 12]


def test_what_is_measured_is_positive():
    found = SMALL.measure(Setup())
    assert list(found.figures) == ["sslbench", "torchvision (PIL)"]
    assert found.figures["sslbench"].low > 0
    assert list(found.ratios) == ["against_torchvision"]


def test_files_are_as_large_as_photographs_and_go_with_their_case():
    files = Photographs(4)
    sizes = [path.stat().st_size for path in files.paths]
    assert all(40_000 < size < 130_000 for size in sizes)
    assert 60_000 < sum(sizes) / 4 < 100_000
    assert len({path.read_bytes() for path in files.paths}) == 4
    folder = files.paths[0].parent
    del files
    assert not folder.exists()


def test_the_case_is_known_by_its_name():
    assert case(LARGE.name) is LARGE
