"""What a look at a results folder found, and what is done about it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sslbench.errors import UnwritableError


@dataclass(frozen=True)
class Finding:
    """``fault``: something is not what it should be. ``note``: good to know, nothing to mend."""

    kind: Literal["fault", "note"]
    path: Path
    what: str
    advice: str = ""
    remove: tuple[Path, ...] = ()  # what may go, for it is proven to be of no use to anybody

    @property
    def is_mendable(self) -> bool:
        return bool(self.remove)


def mend(finding: Finding) -> tuple[Path, ...]:
    """Removes what is proven to be of no use. Raises UnwritableError.

    To be called before the next finding is asked for: until then the run is locked, and nobody puts
    something better in the place of what is removed.
    """
    for path in finding.remove:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise UnwritableError(f"{path} cannot be removed ({error.strerror})") from error
    return finding.remove
