"""A study: what an ablation varies around a base run that all of its factors share.

``StudyConfig`` is benchmarks/studies/NAME.yaml; ``StudyFacts`` is what became of it, kept with the
plan, so that tables and pictures know which row is which level of which factor.
"""

import difflib
import re
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from sslbench.config import Settings, Tree, build, canonical, load_yaml, yaml_file
from sslbench.errors import ConfigError
from sslbench.registry import METHODS
from sslbench.suite import DEFAULT_SUITE, suite_names

# single: one factor at a time. crossed: every level of one factor with every level of another.
# pairs: every level of one factor alone and with every other.
Design = Literal["single", "crossed", "pairs"]
RUN_KEYS = ("params", "encoder", "pretrain")  # what a run is made of
NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")  # of a part: its table's file name


class Change(Settings):
    """What is otherwise than in the base; nothing is the base itself."""

    method: str = ""  # hcsc@one-level; empty: the base's
    params: Tree = {}
    encoder: Tree = {}
    pretrain: Tree = {}

    @property
    def tree(self) -> Tree:
        return {key: getattr(self, key) for key in RUN_KEYS if getattr(self, key)}


class FactorConfig(Settings):
    """What varies: one key over values, or changes by name."""

    key: str = ""  # params.temperature
    values: tuple[Any, ...] = ()
    levels: dict[str, Change] = {}

    @model_validator(mode="after")
    def _one_of_two_forms(self) -> "FactorConfig":
        if bool(self.key) == bool(self.levels) or bool(self.key) != bool(self.values):
            raise ValueError("a factor has a key with values, or levels, and not both")
        if self.key:
            first = self.key.split(".")[0]
            if first not in RUN_KEYS or not all(self.key.split(".")[1:] or [""]):
                close = difflib.get_close_matches(first, RUN_KEYS, n=1)
                hint = f" Did you mean {close[0]!r}?" if close and close[0] != first else ""
                raise ValueError(
                    f"key {self.key!r} is nothing that a run is made of.{hint} Keys begin with "
                    f"{', '.join(f'{key}.' for key in RUN_KEYS)}"
                )
            if len(self.values) < 2:
                raise ValueError(
                    f"{self.key} has one level, {canonical(self.values[0])}: nothing varies. Give "
                    "two or more"
                )
            if len({canonical(value) for value in self.values}) < len(self.values):
                raise ValueError(f"{self.key} has a level twice in {canonical(self.values)}")
        return self


class PartConfig(Settings):
    """One comparison with its own base and its own table."""

    caption: str = ""  # of the table
    base: Change = Change()  # from the study's method in its suite
    design: Design = "single"
    factors: dict[str, FactorConfig] = Field(min_length=1)
    columns: dict[str, str] = {}  # title -> KEY.METRIC; empty: the study's
    if_present: bool = False  # left out, and said so, where its base's data set is not there

    @model_validator(mode="after")
    def _factors_fit_the_design(self) -> "PartConfig":
        wanted = {"crossed": 2, "pairs": 1}.get(self.design)
        if wanted is not None and len(self.factors) != wanted:
            raise ValueError(
                f"design {self.design} takes {wanted} factor{'s' if wanted > 1 else ''}, here are "
                f"{len(self.factors)}: {', '.join(self.factors)}"
            )
        for title, factor in self.factors.items():
            levels = len(factor.values) + len(factor.levels)
            if self.design != "single" and levels < 2:
                raise ValueError(f"factor {title!r} has one level; {self.design} needs two or more")
        return self


class StudyConfig(Settings):
    """One file of benchmarks/studies, or what ``--vary`` says."""

    name: str
    title: str
    about: str = ""  # printed first
    suite: str = DEFAULT_SUITE
    method: str  # of every base that names no other
    seeds: tuple[int, ...] = ()  # empty: the suite's
    baselines: tuple[Literal["random", "supervised"], ...] = ()
    set: Tree = {}  # over the suite, for every run, as behind --set
    columns: dict[str, str] = {}  # of every table; empty: those of the suite's first
    parts: dict[str, PartConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _parts_can_be_files(self) -> "StudyConfig":
        for name in self.parts:
            if not NAME.fullmatch(name):
                raise ValueError(f"part {name!r}: expected small letters, digits and hyphens")
        return self


# ---- what became of it -------------------------------------------------------------------------


class Place(Settings):
    """A row of a part's table."""

    label: str
    title: str
    group: str = ""  # the factor that it belongs to
    notes: tuple[str, ...] = ()  # shown under the table


class LevelFacts(Settings):
    """One level of a factor, and the row in which nothing else differs from the base."""

    title: str
    value: Any = None  # where the factor is one key
    label: str = ""  # empty: there is no such row, as may be where two factors are crossed


class FactorFacts(Settings):
    """One factor of a part."""

    title: str
    key: str = ""
    own: Any = None  # what the key is in the base
    levels: tuple[LevelFacts, ...]


class PartFacts(Settings):
    """One comparison, by the labels of the plan's rows."""

    name: str  # of its table
    design: Design
    base: str
    places: tuple[Place, ...]  # the base first
    factors: tuple[FactorFacts, ...]
    # crossed: a row per level of the first factor, a column per level of the second.
    # pairs: level with level, each alone on the diagonal.
    cells: tuple[tuple[str, ...], ...] = ()
    interactions: tuple[str, ...] = ()  # the tables of cells, one per score
    # crossed: the levels that interactions are measured from, the base's where it has them.
    reference: tuple[int, int] = (0, 0)


class StudyFacts(Settings):
    """All comparisons of a study."""

    parts: tuple[PartFacts, ...]


# ---- files -------------------------------------------------------------------------------------


def study_names() -> list[str]:
    folder = resources.files("sslbench.benchmarks.studies")
    return sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml"))


def load_study(name: str) -> StudyConfig:
    """A study by name, or from a YAML file of the user's own.

    Raises ConfigError for an unknown name, a name that a method has too, or a wrong key.
    """
    if name.endswith((".yaml", ".yml")):
        stem, tree = Path(name).stem, yaml_file(Path(name), "study")
    else:
        _check_name(name)
        file = resources.files("sslbench.benchmarks.studies").joinpath(f"{name}.yaml")
        stem, tree = name, load_yaml(file.read_text(encoding="utf-8"), f"study {name!r}")
    if stem in suite_names():  # the tables of both would lie in one folder
        raise ConfigError(f"study {name!r} has the name of a suite: give its file another")
    return build(StudyConfig, {"name": stem, **tree}, f"study {name!r}")


def command_of(name: str) -> str:
    """What makes the records of a suite or a study."""
    return f"sslbench ablate {name}" if name in study_names() else f"sslbench run --suite {name}"


def _check_name(name: str) -> None:
    """Raises ConfigError for what is no study, saying what it is instead or what there is."""
    method, studies = name.partition("@")[0] in METHODS.names(), study_names()
    if method and name in studies:
        raise ConfigError(
            f"{name!r} is a method and a study. Say --vary to vary the method's settings, or give "
            f"the study as a file, such as studies/{name}.yaml"
        )
    if method:
        raise ConfigError(
            f"{name!r} is a method, and nothing varies: add --vary, such as "
            "--vary 'params.temperature=[0.1, 0.2]' (sslbench show "
            f"{name} lists the keys). Studies that say themselves what varies: {', '.join(studies)}"
        )
    if name not in studies:
        close = difflib.get_close_matches(name, [*studies, *METHODS.names()], n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"no study {name!r}.{hint} Known: {', '.join(studies)}, a path to a .yaml file, or a "
            "method with --vary"
        )


def said(value: Any) -> str:
    """A value in words: ``384, 256, 128``."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return ", ".join(map(said, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else canonical(value)
