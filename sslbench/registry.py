"""Finds plugins by name.

A built-in plugin is a module in ``methods/`` or ``benchmarks/``: ``methods/moco.py`` registers the
class called ``moco``, and ``methods/moco.yaml`` holds its defaults. A third-party plugin is an
entry point in the group named like the package. Listing imports no plugin; a module is imported
when its plugin is first asked for.
"""

import difflib
import pkgutil
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module, resources
from importlib.metadata import EntryPoints, entry_points
from typing import Any, Generic, TypeVar

from sslbench.config import load_yaml
from sslbench.errors import ConfigError, PluginError, UnknownPluginError

T = TypeVar("T")
LAYERS = ("card", "params", "pretrain", "encoder", "settings", "variants")  # of a plugin's YAML


class Catalogue:
    """The names, modules and YAML files of one kind of plugin; imports none of them."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package

    def names(self) -> list[str]:
        return sorted(self.modules())

    def modules(self) -> dict[str, str]:
        """The module of every plugin, by the plugin's name."""
        path = import_module(self.package).__path__
        found = {m.name: f"{self.package}.{m.name}" for m in pkgutil.iter_modules(path)}
        for point in _points(self.package, tuple(sys.path)):
            if point.name in found:
                raise self._twice(point.name, found[point.name], point.module)
            found[point.name] = point.module
        return {name: module for name, module in found.items() if not name.startswith("_")}

    def module(self, name: str) -> str:
        modules = self.modules()
        if name not in modules:
            close = difflib.get_close_matches(name, modules, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise UnknownPluginError(
                f"no {self.kind} {name!r}.{hint} Known: {', '.join(sorted(modules))}"
            )
        return modules[name]

    def defaults(self, name: str) -> dict[str, Any]:
        """The YAML file beside the plugin's module; empty if the plugin has none.

        Raises ConfigError for one that is no YAML or whose layers are no mappings.
        """
        package, _, stem = self.module(name).rpartition(".")
        file = resources.files(package).joinpath(f"{stem}.yaml")
        if not file.is_file():
            return {}
        source = f"{stem}.yaml of {self.kind} {name!r}"
        tree = load_yaml(file.read_text(encoding="utf-8"), source)
        _check_layers(tree, source)
        return tree

    def _twice(self, name: str, one: str, other: str) -> PluginError:
        return PluginError(f"{self.kind} {name!r} is registered twice: by {one} and by {other}")


@cache  # planning asks a thousand times, and each time every installed package would be looked at
def _points(group: str, path: tuple[str, ...]) -> EntryPoints:
    """What packages on the import path announce."""
    del path
    return entry_points(group=group)


def _check_layers(tree: dict[str, Any], source: str) -> None:
    """What is merged key by key must have keys, in a variant, too."""
    for key, value in tree.items():
        if key in LAYERS and not isinstance(value, dict):
            raise ConfigError(
                f"{source}: {key}: expected 'key: value' lines, found {type(value).__name__}"
            )
    for name, variant in tree.get("variants", {}).items():
        if not isinstance(variant, dict):
            raise ConfigError(
                f"{source}: variant {name}: expected 'key: value' lines, found "
                f"{type(variant).__name__}"
            )
        _check_layers({k: v for k, v in variant.items() if k != "variants"}, f"{source}: {name}")


METHODS = Catalogue("method", "sslbench.methods")
EVALUATIONS = Catalogue("evaluation", "sslbench.benchmarks")


class Registry(Generic[T]):
    """The classes behind a catalogue's names, each imported when it is first asked for."""

    def __init__(self, catalogue: Catalogue, base: type[T]) -> None:
        self.catalogue, self.base = catalogue, base
        self._classes: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Class decorator that gives a plugin its name."""
        kind = self.catalogue.kind

        def add(cls: type[T]) -> type[T]:
            if not issubclass(cls, self.base):
                raise PluginError(f"{kind} {name!r} must subclass {self.base.__name__}")
            known = self._classes.setdefault(name, cls)
            if known is not cls:
                raise self.catalogue._twice(name, known.__module__, cls.__module__)
            return cls

        return add

    def names(self) -> list[str]:
        return sorted({*self.catalogue.names(), *self._classes})

    def get(self, name: str) -> type[T]:
        """The class called ``name``. Raises UnknownPluginError with the nearest known name."""
        if name not in self._classes:
            module = self.catalogue.module(name)
            import_module(module)
            if name not in self._classes:
                raise PluginError(
                    f"{module} does not register a {self.catalogue.kind} called {name!r}"
                )
        return self._classes[name]
