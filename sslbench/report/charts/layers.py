"""Scores against the layer of the encoder that was read, where an evaluation measured several."""

import re
from dataclasses import asdict, replace

from sslbench.report.charts.courses import Axis, courses, figure, highest, in_panels, methods_of
from sslbench.report.charts.scores import Scores
from sslbench.report.charts.styles import made
from sslbench.report.grid import Column
from sslbench.report.picture import Picture

TITLE = "Accuracy against layer"
AT_LAYER = re.compile(r"(.+)_(?:layer(\d+)|output)")  # a score of a layer: top1_layer2, top1_output


def layers(scores: Scores) -> tuple[list[Picture], list[str]]:
    """A picture per evaluation with scores of two layers or more."""
    found = {column.evaluation: _at_layers(scores, column) for column in scores.columns}
    found = {key: at_layers for key, at_layers in found.items() if len(at_layers) > 1}
    if not found:
        return [], [f"{TITLE}: no evaluation measured several layers of the encoders."]
    pictures = [
        _picture(scores, at_layers, "layers" if len(found) == 1 else f"layers-{key}")
        for key, at_layers in found.items()
    ]
    return [picture for picture in pictures if picture is not None], []


def _at_layers(scores: Scores, column: Column) -> dict[str, Column]:
    """The headline's column by layer, from the finest map on, the output last."""
    metrics = dict.fromkeys(e["metric"] for e in scores.of(column.evaluation) if e["metric"])
    matched = [found for found in map(AT_LAYER.fullmatch, metrics) if found]
    of_it = [one for one in matched if one[1] == column.metric]
    of_it.sort(key=lambda one: float(one[2] or "inf"))
    return {one[2] or "output": replace(column, metric=one[0]) for one in of_it}


def _picture(scores: Scores, at_layers: dict[str, Column], name: str) -> Picture | None:
    found = courses(scores, list(at_layers.values()))
    methods = methods_of(found)
    if not methods:
        return None
    labels, column = tuple(at_layers), next(iter(at_layers.values()))
    last = [one for one in methods if one.best == len(labels) - 1]
    axis = Axis("layer, from the finest map on", tuple(range(len(labels))), labels)
    places = ["the output" if label == "output" else f"layer {label}" for label in labels]
    return made(
        name=name,
        title=f"{TITLE}: {column.title}" if column.title else TITLE,
        caption=(
            f"Score of each layer of the encoders, {in_panels(methods)} Layers are feature maps, "
            "averaged over their positions, and the output. Which of them stands in the tables was "
            "chosen on held-out training images."
        ),
        alternative=f"Highest: {highest(methods, places)}. The last, {places[-1]}, is the best for "
        f"{len(last)} of {len(methods)} methods.",
        drawn={
            "layers": labels,
            "column": asdict(column),
            "courses": [asdict(one) for one in found],
        },
        draw=lambda: figure(axis, column, found),
    )
