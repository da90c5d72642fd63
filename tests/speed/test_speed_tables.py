"""The case of tables: a made-up folder gives whole tables."""

import pytest

from sslbench.speed.cases import Setup
from sslbench.speed.tables import Tables

SMALL = Tables(methods=3, seeds=3, evaluations=2, items=50, rounds=2)


def test_every_method_has_its_row_and_every_evaluation_its_column():
    (side,) = SMALL.sides(Setup())
    (table,) = side.work()
    assert [line.label for line in table.lines] == ["method0", "method1", "method2"]
    assert [column.title for column in table.columns] == ["probe0 top-1", "probe1 top-1"]
    values = [cell.value for line in table.lines for cell in line.cells]
    assert values == pytest.approx([51] * 6, abs=15)


def test_what_is_measured_is_positive():
    found = SMALL.measure(Setup())
    assert found.figures["tables"].low > 0
    assert found.ratios == {}
