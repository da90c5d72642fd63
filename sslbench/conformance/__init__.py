"""Does a plugin keep its contract? Used by the tests and by ``sslbench check``.

A method is trained for a few steps on embedded images with a tiny encoder; an evaluation measures
a tiny encoder on embedded data of its task.
"""

from collections.abc import Iterator

from sslbench.conformance.evaluations import evaluation_checks
from sslbench.conformance.methods import method_checks
from sslbench.conformance.results import Result, results
from sslbench.registry import EVALUATIONS, METHODS

__all__ = ["Result", "check_plugin", "every_plugin"]


def every_plugin() -> list[str]:
    """All methods, their variants, and all evaluations, each with its settings."""
    found = []
    for catalogue in (METHODS, EVALUATIONS):
        for name in catalogue.names():
            variants = catalogue.defaults(name).get("variants", {})
            found += [name, *(f"{name}@{variant}" for variant in variants)]
    return found


def check_plugin(label: str) -> Iterator[Result]:
    """The checks of one method, variant or evaluation, one after the other.

    Stops at the first fault, for what follows builds on it. Raises UnknownPluginError if nothing
    has that name.
    """
    name = label.partition("@")[0]
    if name in EVALUATIONS.names():
        yield from results(evaluation_checks(label))
    else:
        METHODS.module(name)  # raises for an unknown name
        yield from results(method_checks(label))
