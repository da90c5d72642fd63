"""Arrays kept between runs, such as rendered pictures: a file per split under the cache folder.

The folder is ``$SSLBENCH_CACHE`` or ``~/.cache/sslbench``; an empty ``SSLBENCH_CACHE`` keeps
nothing. A file's name holds a hash of all that the arrays depend on, so a file is never stale. A
folder that cannot be written to costs only time: the arrays are the same and the log says so.
"""

import logging
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]
log = logging.getLogger(__name__)


def cache_folder() -> Path | None:
    given = os.environ.get("SSLBENCH_CACHE")
    if given is None:
        return Path.home() / ".cache" / "sslbench"
    return Path(given) if given else None


def remembered(name: str, make: Callable[[], Arrays], kind: str = "rendered") -> Arrays:
    """The arrays called ``name`` of a kind: read if they are there, else made and kept."""
    folder = cache_folder()
    if folder is None:
        return make()
    path = folder / kind / f"{name}.npz"
    if path.is_file():
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                return {key: stored[key] for key in stored.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            log.warning("%s is damaged (%s): made again", path, error)
    arrays = make()
    try:
        _write(path, arrays)
    except OSError as error:
        log.warning("%s: not kept: %s. SSLBENCH_CACHE names a folder", path, error)
    return arrays


def _write(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and renamed, so that another process never sees half a file.
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
