"""Pictures of a page: drawn when needed, embedded whole, missed aloud."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from sslbench.errors import DataError
from sslbench.report.page.build import write_report
from sslbench.report.page.embed import MOST_LINES, draw_pictures, embed
from sslbench.report.picture import Picture


def picture(inputs: str = "1", drawn: list[str] | None = None, fails: bool = False) -> Picture:
    def draw() -> Figure:
        if fails:
            raise DataError("no such images")
        if drawn is not None:
            drawn.append(inputs)
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot(np.arange(3))
        return figure

    return Picture("line", "A line", "It rises.", "from 0 to 2", inputs, draw)


def page(experiment: Any, pictures: list[Picture], sentences: list[str] | None = None) -> str:
    if not experiment.rows:
        experiment.row("moco", {"knn": 40.0})
        experiment.plan()
    made = write_report(experiment.store, ["tiny"], lambda *_: (pictures, sentences or []))
    return made.path.read_text(encoding="utf-8")


@pytest.fixture
def folder(experiment: Any) -> Path:
    found: Path = experiment.store.root / "reports" / "tiny" / "pictures"
    return found


def test_a_picture_is_drawn_again_only_from_other_inputs(experiment: Any, folder: Path) -> None:
    drawn: list[str] = []
    for inputs in ("1", "1", "2"):
        text = page(experiment, [picture(inputs, drawn)])

    assert drawn == ["1", "2"]
    assert 'alt="from 0 to 2"' in text
    assert {"line.png", "line.svg", "inputs.json"} <= {path.name for path in folder.iterdir()}


def test_a_picture_whose_file_is_gone_is_drawn_again(experiment: Any, folder: Path) -> None:
    first = page(experiment, [picture()])
    (folder / "line.png").unlink()

    assert page(experiment, [picture()]) == first
    assert (folder / "line.png").is_file()


def test_a_picture_that_cannot_be_made_is_said_to_be_missing(experiment: Any, folder: Path) -> None:
    page(experiment, [picture()])

    text = page(experiment, [picture("2", fails=True)], ["Kernels: no encoder"])

    assert "A line: no such images" in text
    assert "Kernels: no encoder" in text
    assert not (folder / "line.png").exists()


def test_lines_are_embedded_sharp_and_many_of_them_as_pixels(tmp_path: Path) -> None:
    draw_pictures([picture()], tmp_path)
    few = embed(picture(), tmp_path)
    (tmp_path / "line.svg").write_bytes(b" " * (MOST_LINES + 1))
    many = embed(picture(), tmp_path)

    assert few.source.startswith("data:image/svg+xml;base64,")
    assert many.source.startswith("data:image/png;base64,")
    assert (few.width, few.height) == (many.width, many.height) == (192, 96)  # 2 x 1 inches
