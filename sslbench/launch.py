"""Whether torchrun started this process as one of several, told without torch."""

import os


def is_launched() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_speaker() -> bool:
    """Whether this process is the one of them that prints."""
    return not is_launched() or os.environ.get("RANK", "0") == "0"
