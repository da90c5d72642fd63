"""A list that says which images of class folders a split has, a file name a line.

As SimCLR's lists of 1 % and 10 % of ImageNet (arXiv:2002.05709, released code):
``n01440764_10026.JPEG``, whatever folder it lies in. Their order says nothing.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sslbench.data.readers.source import some
from sslbench.errors import DataError

Classes = dict[str, list[str]]  # the file names of each class folder


@dataclass(frozen=True)
class NameList:
    """Names as they are listed."""

    path: Path
    names: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "NameList":
        """Raises DataError if there is no such text file."""
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = "no list" if isinstance(error, FileNotFoundError) else "not a list of names:"
            raise DataError(f"{reason} {path}; expected there: a file name a line") from error
        return cls(path, tuple(line.strip() for line in lines if line.strip()))

    def faults(self, label: str, classes: Classes, where: Path) -> list[str]:
        """Names that are listed twice, not there or there twice, and classes without any."""
        listed = Counter(self.names)
        there = Counter(name for files in classes.values() for name in files if name in listed)
        found = {
            f"listed twice in {self.path}": [name for name, times in listed.items() if times > 1],
            f"listed in {self.path}, but in no folder of {where}": sorted(set(listed) - set(there)),
            f"listed in {self.path}, but in several folders of {where}": [
                name for name, times in there.items() if times > 1
            ],
            f"{self.path} lists no image of the classes": [
                cls for cls, files in self.chosen(classes).items() if not files
            ],
        }
        return [f"{label}: {what}: {some(names)}" for what, names in found.items() if names]

    def chosen(self, classes: Classes) -> Classes:
        """What is listed of each class, in the order of the folders."""
        listed = set(self.names)
        return {cls: [name for name in files if name in listed] for cls, files in classes.items()}
