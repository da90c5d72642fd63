"""What to do about a training that ran out of memory: which batch a step goes through with."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from sslbench.api.method import DataInfo, Method
from sslbench.data.images import ImageSet
from sslbench.run import RunConfig
from sslbench.train.loop import pretrain

SMALLEST = 2  # images of a batch that batch norm can work with


# What torch says on a CPU, and what oneDNN says, of memory and of other things that it cannot do.
_DENIED = ("can't allocate memory", "could not create a primitive", "could not execute a primitive")


def may_be_out_of_memory(error: BaseException) -> bool:
    """Whether torch, on a CPU or a GPU, numpy or Python was, or may have been, denied memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _DENIED)


def batch_that_fits(
    config: RunConfig,
    data: DataInfo,
    images: ImageSet,
    build: Callable[[DataInfo], Method],
    device: torch.device,
) -> int | None:
    """The first of a half, a quarter, ... of the batch with which one real step went through.

    None if none did; every error counts as too large.
    """
    size = data.batch_size // 2
    while size >= SMALLEST:
        smaller = config.model_copy(
            update={"pretrain": config.pretrain.model_copy(update={"batch_size": size})}
        )
        one_step = replace(data, batch_size=size, epochs=1, steps_per_epoch=1)
        try:
            with tempfile.TemporaryDirectory() as folder:
                method = build(one_step)
                pretrain(smaller, method, one_step, images, Path(folder), device=device)
        except Exception:
            size //= 2
        else:
            return size
    return None
