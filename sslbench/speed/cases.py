"""The cases that can be measured, by name, and what all of them are handed."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from sslbench.errors import ConfigError

if TYPE_CHECKING:
    from sslbench.speed.measurement import Measurement
    from sslbench.speed.timing import Side

PEERS = ("lightly",)  # what ``--against`` knows: the name of the package
# What people ask for, and why it cannot be run beside this torch.
OUT_OF_REACH = {"solo": "solo-learn 1.0.2, the newest on PyPI, is made for torch 1.9.1 alone"}


def _silent(message: str) -> None:
    """For a process that nobody watches."""


@dataclass(frozen=True)
class Setup:
    """What a call of ``sslbench speed`` says to its cases. torch's threads are set before."""

    against: tuple[str, ...] = ()  # peers to compare with, all installed
    report: Callable[[str], None] = _silent


class Case(Protocol):
    """Something to measure. Its sizes are fields of its own."""

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str:
        """What is compared with what, in a line."""
        ...

    def measure(self, setup: Setup) -> "Measurement": ...


@runtime_checkable
class Sided(Protocol):
    """A case whose sides can be run one by one: they do the same work, ours first."""

    def sides(self, setup: Setup) -> "list[Side]": ...


# In the order of the table. Nothing of them is imported before it is asked for.
CASES: dict[str, str] = {
    "views_32px": "sslbench.speed.views:SMALL",
    "views_jpeg_224px": "sslbench.speed.jpeg_views:LARGE",
    "training_simclr": "sslbench.speed.training:SIMCLR",
    "training_moco": "sslbench.speed.training:MOCO",
    "matrix_share": "sslbench.speed.matrix_share:SHARE",
    "knn": "sslbench.speed.knn:KNN",
    "probe_grid_128": "sslbench.speed.probes:NARROW",
    "probe_grid_512": "sslbench.speed.probes:WIDE",
    "features": "sslbench.speed.extraction:EXTRACTION",
    "tables": "sslbench.speed.tables:TABLES",
    "clustered_epoch": "sslbench.speed.hierarchy:CLUSTERED",
    "clusters_imagenet": "sslbench.speed.clustering:HIERARCHY",
    "growth": "sslbench.speed.growth:GROWTH",
    "methods": "sslbench.speed.methods:METHODS",
    "phases": "sslbench.speed.phases:PHASES_OF_ALL",
}


def case(name: str) -> Case:
    """Raises ConfigError for a name that is none of CASES."""
    if name not in CASES:
        close = difflib.get_close_matches(name, CASES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"no speed case {name!r}.{hint} Known: {', '.join(CASES)}")
    module, _, attribute = CASES[name].partition(":")
    found: Case = getattr(import_module(module), attribute)
    return found


def check_peers(names: Sequence[str]) -> dict[str, str]:
    """The version of each peer. Raises ConfigError for one that is unknown or not installed."""
    versions = {}
    for name in names:
        if name in OUT_OF_REACH:
            raise ConfigError(f"--against {name}: {OUT_OF_REACH[name]}")
        if name not in PEERS:
            raise ConfigError(f"--against {name}: expected {' or '.join(PEERS)}")
        if find_spec(name) is None:
            raise ConfigError(f"--against {name}: it is not installed here. pip install {name}")
        versions[name] = version(name)
    return versions
