"""The commands that made a table: one of a suite or a study, and one per encoder from a file."""

import shlex

AND = " && "  # between them


def evaluates(command: str, label: str) -> bool:
    """Whether a command evaluated a file under this label."""
    words = shlex.split(command)
    if words[:2] != ["sslbench", "evaluate"] or "--label" not in words:
        return False
    return words[words.index("--label") + 1] == label
