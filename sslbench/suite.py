"""A suite: one experiment. It fixes encoder, data, budget, seeds and evaluations."""

import difflib
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from sslbench.config import Settings, Tree, build, is_file_name, load_yaml, merge, yaml_file
from sslbench.errors import ConfigError

DEFAULT_SUITE = "quick"


class EvaluationEntry(Settings):
    """One evaluation of a suite; its key in the suite names the result."""

    protocol: str  # knn, or knn@dino
    dataset: str
    settings: Tree = {}  # changes of the protocol's own
    image_size: int | None = None  # what the encoder is shown; default pretrain.image_size


class TableConfig(Settings):
    """One table: which descriptive columns, and which scores."""

    describe: tuple[str, ...] = ()  # keys of a method's card
    # Title -> KEY.METRIC, KEY.METRIC - KEY.METRIC, pretrain.seconds or PLUGIN/DATASET.METRIC.
    columns: dict[str, str]
    reported: bool = False  # a line per method with what its paper says
    mixed: bool = False  # numbers not measured alike may share a column, each marked
    group: str = ""  # a key of a method's card: rows of one value stand together, under its name
    against: str = ""  # the label of a row: every other says by how much it differs from it
    caption: str = ""


class Suite(Settings):
    """The layers are kept as plain trees: the plan merges them before anything is validated."""

    name: str
    title: str
    about: str = ""  # printed first: what it is and what to go to next
    methods: tuple[str, ...] = Field(min_length=1)
    baselines: tuple[str, ...] = ("random", "supervised")
    seeds: tuple[int, ...] = (0,)
    datasets: dict[str, Tree] = {}  # additions to the catalogue
    encoder: Tree
    pretrain: Tree
    exceptions: dict[str, Tree] = {}  # by method, or by method@variant; shown under the table
    evaluations: dict[str, EvaluationEntry]
    tables: dict[str, TableConfig]

    @model_validator(mode="after")
    def _names_can_be_files(self) -> "Suite":
        bad = [name for name in (self.name, *self.tables) if not is_file_name(name)]
        if bad:
            raise ValueError(f"{bad[0]!r} cannot be the name of a suite or a table: no file's name")
        return self

    def exception(self, name: str, variant: str) -> Tree:
        """What is changed for a method, and for one variant of it alone."""
        return merge(self.exceptions.get(name, {}), self.exceptions.get(f"{name}@{variant}", {}))


def suite_names() -> list[str]:
    folder = resources.files("sslbench.benchmarks.suites")
    return sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml"))


def load_suite(name: str) -> Suite:
    """A suite by name, or from a YAML file of the user's own.

    Raises ConfigError for an unknown name or a wrong key.
    """
    return build(Suite, read_suite(name), f"suite {name!r}")


def read_suite(name: str) -> dict[str, Any]:
    """The suite's YAML as it stands, with its name."""
    if name.endswith((".yaml", ".yml")):
        return {"name": Path(name).stem, **yaml_file(Path(name), "suite")}
    if name not in suite_names():
        close = difflib.get_close_matches(name, suite_names(), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"no suite {name!r}.{hint} Known: {', '.join(suite_names())}, or a path to a .yaml file"
        )
    text = resources.files("sslbench.benchmarks.suites").joinpath(f"{name}.yaml")
    return {"name": name, **load_yaml(text.read_text(encoding="utf-8"), f"suite {name!r}")}
