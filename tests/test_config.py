"""Strict settings, strict YAML, layers, fingerprints."""

from typing import Any

import pytest
from pydantic import Field, ValidationError

from sslbench.config import (
    Auto,
    Settings,
    assignments,
    build,
    canonical,
    fingerprint,
    flatten,
    load_yaml,
    merge,
    origins,
    settled,
)
from sslbench.errors import ConfigError


class Inner(Settings):
    levels: int = 1
    sizes: tuple[int, ...] = ()


class Outer(Settings):
    inner: Inner = Inner()
    queue: int | Auto = "auto"
    rate: float = 0.1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.5", 1.5),
        (".5", 0.5),
        ("010", 10),
        ("on", "on"),
        ("no", "no"),
        ("12:30", "12:30"),
        ("2022-01-01", "2022-01-01"),
        ("true", True),
        ("null", None),
        ("[1, 2.0, a]", [1, 2.0, "a"]),
    ],
)
def test_yaml_reads_values_as_version_1_2_does(text: str, value: Any) -> None:
    read = load_yaml(f"key: {text}", "a file")["key"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "appears twice"),
        ("- 1", "key: value"),
        ("a: [1", "a file"),
        ("1: a", "not text"),
        ("a: !!python/object/apply:os.system [ls]", "a file"),
    ],
)
def test_yaml_refuses_what_is_ambiguous_or_dangerous(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_yaml(text, "a file")


def test_all_faults_are_listed_at_once_with_the_nearest_key() -> None:
    with pytest.raises(ConfigError) as caught:
        build(Outer, {"inner": {"level": 2}, "rate": "fast"}, "suite x")
    message = str(caught.value)
    assert "unknown key 'inner.level'. Did you mean 'levels'?" in message
    assert 'rate = "fast"' in message


@pytest.mark.parametrize(
    "tree",
    [
        {"inner": {"levels": True}},
        {"inner": {"levels": 1.0}},
        {"inner": {"levels": "1"}},
        {"queue": "all"},
        {"rate": None},
    ],
)
def test_no_value_is_converted_to_another_type(tree: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        build(Outer, tree, "a file")


def test_a_list_stands_for_a_tuple() -> None:
    assert build(Outer, {"inner": {"sizes": [3, 2]}}, "a file").inner.sizes == (3, 2)


def test_infinity_is_refused() -> None:
    with pytest.raises(ConfigError):
        build(Outer, {"rate": float("inf")}, "a file")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Outer().rate = 0.2  # type: ignore[misc]


def test_the_upper_layer_wins_key_by_key_and_lists_are_replaced_whole() -> None:
    lower = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merge(lower, {"a": {"c": [3]}}) == {"a": {"b": 1, "c": [3]}, "d": 1}
    assert lower["a"] == {"b": 1, "c": [1, 2]}


def test_origins_name_the_layer_that_won() -> None:
    found = origins(
        [("file", {"a": {"b": 1, "c": 2}, "d": 1}), ("user", {"a": {"c": 3}, "d": {"e": 1}})]
    )
    assert found == {"a.b": "file", "a.c": "user", "d.e": "user"}


def test_assignments_nest_and_type_their_values() -> None:
    assert assignments(["a.b=1e-3", "a.c=[[384], [2, 1]]"]) == {
        "a": {"b": 1e-3, "c": [[384], [2, 1]]}
    }
    for wrong in ("a", "=1", "a..b=1"):
        with pytest.raises(ConfigError, match="KEY=VALUE"):
            assignments([wrong])


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": [1.5]}) == fingerprint({"b": [1.5], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 1.0})
    assert canonical({"b": (1, 2), "a": None}) == '{"a":null,"b":[1,2]}'


def test_a_field_added_later_keeps_the_identity_of_older_results() -> None:
    class Before(Settings):
        a: int = 1

    class After(Settings):
        a: int = 1
        b: int = Field(2, json_schema_extra={"since": 2})

    assert fingerprint(After()) == fingerprint(Before())
    assert fingerprint(After(b=3)) != fingerprint(Before())


def test_flatten_is_undone_by_assigning() -> None:
    tree = {"a": {"b": 1, "c": {"d": 2}}, "e": {}}
    assert flatten(tree) == {"a.b": 1, "a.c.d": 2, "e": {}}


def test_a_field_left_at_auto_is_an_error_when_it_is_read() -> None:
    assert settled(3) == 3
    with pytest.raises(ConfigError, match="auto"):
        settled("auto")
