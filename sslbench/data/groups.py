"""Upper levels of labels: which group a class is of, given in full or by the name of a table."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from sslbench.config import load_yaml
from sslbench.errors import ConfigError

# By level and group the classes, or groups of the level below:
# {superclass: {fish: (ray, shark, ...), ...}, ...}; or the name of such a table in groups.yaml.
Groups = dict[str, dict[str, tuple[str, ...]]] | str


@cache
def _tables() -> dict[str, Any]:
    text = resources.files("sslbench.data").joinpath("groups.yaml").read_text(encoding="utf-8")
    return load_yaml(text, "groups.yaml")


def members_of(groups: Groups, where: str) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """By level and group its classes. Raises ConfigError for a table that there is not."""
    if not isinstance(groups, str):
        return groups
    if groups not in _tables():
        raise ConfigError(f"{where}: no table {groups!r}. Known: {', '.join(_tables())}")
    found: Mapping[str, Mapping[str, Sequence[str]]] = _tables()[groups]
    return found
