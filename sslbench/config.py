"""Settings: frozen and strict classes, strict YAML, layers that remember who won, fingerprints."""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from sslbench.errors import ConfigError, all_faults

Auto = Literal["auto"]
Tree = dict[str, Any]
S = TypeVar("S", bound="Settings")
V = TypeVar("V")


class Settings(BaseModel):
    """Base of every settings class: unknown keys, wrong types, infinities and changes are errors.

    A field added after a release declares ``Field(default, json_schema_extra={"since": N})``; it
    is left out of a hash while it has its default, so older results keep their identity.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    def hashed(self) -> Tree:
        """The values that make up this object's identity, as plain JSON types."""
        tree: Tree = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            extra = field.json_schema_extra
            added_later = isinstance(extra, dict) and "since" in extra
            if added_later and value == field.get_default(call_default_factory=True):
                continue
            tree[name] = _plain(value)
        return tree


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.hashed()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def settled(value: V | Auto) -> V:
    """A field that may say "auto", once the plan has turned it into a number."""
    if value == "auto":
        raise ConfigError("a field still says 'auto': Method.scaled must turn it into a number")
    return value


def distinct(values: tuple[V, ...]) -> tuple[V, ...]:
    """For ``AfterValidator``: a list of choices that names none twice."""
    if len(set(values)) < len(values):
        raise ValueError(f"{list(values)} names one twice")
    return values


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def is_file_name(text: str) -> bool:
    """Whether a file in a given folder can have it as its name."""
    plain = not any(c in "/\\:" or ord(c) < 32 for c in text)
    return plain and 0 < len(text) <= 200 and text[0] != "."


def fingerprint(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


# ---- YAML -------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML with the numbers and booleans of version 1.2, and without duplicate keys."""


_Loader.yaml_implicit_resolvers = {
    key: [
        (tag, regexp)
        for tag, regexp in rules
        if not tag.endswith((":bool", ":float", ":int", ":timestamp"))
    ]
    for key, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(node.value)  # YAML 1.1 would read 010 as 8


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> Tree:
    tree: Tree = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} is not text", key_node.start_mark
            )
        if key in tree:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} appears twice", key_node.start_mark
            )
        tree[key] = loader.construct_object(value_node, deep=True)
    return tree


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def parse_value(text: str, source: str) -> Any:
    """One YAML value, as written in a file or behind ``--set``."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: {' '.join(str(error).split())}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: {error}") from error


def yaml_file(path: Path, what: str) -> Tree:
    """A user's YAML file. Raises ConfigError if it is not there or not to be read."""
    if not path.is_file():
        raise ConfigError(f"{what} file {path} does not exist")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what} file {path} cannot be read as UTF-8 text ({error})") from error
    return load_yaml(text, str(path))


def load_yaml(text: str, source: str) -> Tree:
    """A YAML file whose top level is a mapping."""
    return deepcopy(_mapping_of(text, source))


@lru_cache(maxsize=256)  # planning asks for a method's file once a row, and parsing takes 40 ms
def _mapping_of(text: str, source: str) -> Tree:
    tree = parse_value(text, source)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: expected 'key: value' lines, found {type(tree).__name__}")
    return tree


def assignments(pairs: Iterable[str]) -> Tree:
    """``["pretrain.epochs=5", "params.levels=1"]`` as a nested mapping."""
    tree: Tree = {}
    for pair in pairs:
        path, equals, text = pair.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise ConfigError(f"--set {pair!r}: expected KEY=VALUE, such as pretrain.epochs=5")
        value = parse_value(text, f"--set {path}")
        for key in reversed(keys):
            value = {key: value}
        tree = merge(tree, value)
    return tree


# ---- layers -----------------------------------------------------------------------------------


def merge(lower: Tree, upper: Tree) -> Tree:
    """``upper`` over ``lower``: mappings key by key, everything else replaced."""
    tree = dict(lower)
    for key, value in upper.items():
        below = tree.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        tree[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return tree


def origins(layers: Iterable[tuple[str, Tree]]) -> dict[str, str]:
    """For each dotted key, the last layer that gave it: what ``sslbench show`` prints."""
    found: dict[str, str] = {}
    for name, tree in layers:
        for path in flatten(tree):
            # A value replaces whatever stood at, below or above its own place.
            for other in [o for o in found if o.startswith(f"{path}.") or path.startswith(f"{o}.")]:
                del found[other]
            found[path] = name
    return found


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Tree:
    """Nested mappings as dotted keys; an empty mapping is a value."""
    flat: Tree = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


# ---- validation -------------------------------------------------------------------------------


def build(cls: type[S], tree: Mapping[str, Any], source: str) -> S:
    """A settings object out of plain values. Raises ConfigError that lists every fault."""
    try:
        # Through JSON: strict, but a list may stand for a tuple.
        return cls.model_validate_json(json.dumps(tree, allow_nan=False))
    except ValidationError as error:
        faults = [_fault(cls, item, source) for item in error.errors()]
        raise ConfigError(all_faults(faults, f"{source}: {len(faults)} faults")) from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{source}: {error}") from error


def _fault(cls: type[Settings], item: Any, source: str) -> str:
    path = [part for part in item["loc"] if not (isinstance(part, str) and "[" in part)]
    where = ".".join(str(part) for part in path)
    message = item["msg"].removeprefix("Value error, ")
    if not where:  # a rule about several fields together
        return f"{source}: {message}"
    if item["type"] == "extra_forbidden":
        known = _fields_at(cls, path[:-1])
        close = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        listed = f" Known: {', '.join(sorted(known))}" if known else ""
        return f"{source}: unknown key {where!r}.{hint}{listed}"
    given = json.dumps(item["input"], default=str)
    if len(given) > 80:
        given = given[:77] + "..."
    if item["type"] == "missing":
        return f"{source}: {where} is missing"
    return f"{source}: {where} = {given}: {message}"


def _fields_at(cls: type[Settings], path: list[Any]) -> list[str]:
    keyed = False  # whether the next part is a key of a mapping or a place in a list
    for part in path:
        if keyed:
            keyed = False
            continue
        field = cls.model_fields.get(part) if isinstance(part, str) else None
        if field is None:
            return []
        inner = [t for t in _types_in(field.annotation) if issubclass(t, Settings)]
        if not inner:
            return []
        cls = inner[0]
        keyed = get_origin(field.annotation) in (dict, tuple)
    return list(cls.model_fields)


def _types_in(annotation: Any) -> list[type]:
    inner = [t for arg in getattr(annotation, "__args__", ()) for t in _types_in(arg)]
    return [annotation, *inner] if isinstance(annotation, type) and not inner else inner
