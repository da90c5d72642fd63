"""A fence around labels: while it stands, whoever asks for them is refused, and found out."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn
from unittest.mock import patch

from sslbench.data.datasets import LabelledDataset
from sslbench.data.readers.embedded import EmbeddedSource
from sslbench.errors import PluginError

# Every label passes one of these: a data set is opened, or an open one is read.
_GATES = ((LabelledDataset, "__init__"), (LabelledDataset, "_split"), (EmbeddedSource, "read"))


@contextmanager
def no_labels() -> Iterator[None]:
    """Raises PluginError where a data set is opened or read, and again at the end.

    The second is for a plugin that swallows the first. Images already held stay usable.
    """
    tried: list[str] = []

    def refusing(what: str) -> Any:
        def refuse(*args: Any, **kwargs: Any) -> NoReturn:
            tried.append(what)
            raise _refusal(what)

        return refuse

    with ExitStack() as fence:
        for cls, name in _GATES:
            fence.enter_context(patch.object(cls, name, refusing(f"{cls.__name__}.{name}")))
        yield
    if tried:
        raise _refusal(tried[0])


def _refusal(what: str) -> PluginError:
    return PluginError(
        f"the method opens or reads a data set itself ({what}), where the labels are. What it may "
        "see is the batch, and the whole training set through context.embed"
    )
