"""Plugins are found by name, from files and from entry points; listing imports none."""

import sys
from pathlib import Path

import pytest

from sslbench.api import Method, methods, register_method
from sslbench.errors import PluginError, UnknownPluginError
from sslbench.registry import METHODS


def test_a_near_miss_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UnknownPluginError, match=r"no method 'mocoo'. Did you mean 'moco'\?"):
        methods.get("mocoo")


def test_a_class_that_is_no_method_is_refused() -> None:
    with pytest.raises(PluginError, match="must subclass Method"):
        register_method("thing")(int)  # type: ignore[type-var]


def test_every_method_has_a_card_and_a_docstring_that_cites() -> None:
    for name in METHODS.names():
        card = METHODS.defaults(name)["card"]
        assert {
            "title",
            "paper",
            "year",
            "family",
            "negatives",
            "momentum_encoder",
            "clustering",
        } <= set(card), name
        module = sys.modules[methods.get(name).__module__]
        assert "arXiv" in (module.__doc__ or ""), name
        assert issubclass(methods.get(name), Method)


def test_a_third_party_joins_by_entry_point_and_a_broken_one_breaks_only_itself(
    third_party: Path,
) -> None:
    (third_party / "toy.py").write_text("raise RuntimeError('broken')\n")
    assert "toy" in METHODS.names()
    with pytest.raises(RuntimeError, match="broken"):
        methods.get("toy")
    assert methods.get("moco")


def test_a_module_that_registers_nothing_is_named(third_party: Path) -> None:
    (third_party / "toy.py").write_text("")
    with pytest.raises(PluginError, match=r"toyssl.toy does not register a method called 'toy'"):
        methods.get("toy")


def test_a_name_that_two_packages_claim_is_refused(third_party: Path) -> None:
    info = third_party.parent / "toyssl-1.0.dist-info"
    (info / "entry_points.txt").write_text("[sslbench.methods]\nmoco = toyssl.toy\n")
    with pytest.raises(PluginError, match="is registered twice: by sslbench"):
        METHODS.names()
