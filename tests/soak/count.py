"""What a trial tried, and what held."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Count:
    """So many attempts of one kind, and what became of those that did not hold."""

    name: str
    tried: int = 0
    held: int = 0
    where: Counter[str] = field(default_factory=Counter)  # in which moment or place
    failures: list[str] = field(default_factory=list)

    def add(self, holds: bool, where: str, why: str = "") -> None:
        self.tried += 1
        self.held += holds
        self.where[where] += 1
        if not holds:
            self.failures.append(f"{where}: {why}")
