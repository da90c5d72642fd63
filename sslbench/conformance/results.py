"""A check is a title and a function that raises; a result says whether it did."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Check = tuple[str, Callable[[], None]]


@dataclass(frozen=True)
class Result:
    title: str
    fault: str | None  # None: the check passed


def results(checks: Sequence[Check]) -> Iterator[Result]:
    """Runs checks until one fails."""
    for title, check in checks:
        try:
            check()
        except Exception as error:  # a plugin may raise anything; it is shown, not hidden
            yield Result(title, f"{type(error).__name__}: {error}")
            return
        yield Result(title, None)
