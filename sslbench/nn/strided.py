"""1 x 1 convolutions that skip pixels: what they skip is left out before, where channels are few.

The same numbers by another kernel. oneDNN's for AVX2 (``jit_1x1:avx2``, gradients of weights,
channels last) writes past its buffer where such a convolution has fewer than eight input channels,
and the process dies: seen with torch 2.14.1 on a processor without AVX-512.
"""

from functools import partial

from torch import Tensor, nn

_CHANNELS = 8  # that the kernel takes at once


def skip_before(network: nn.Module) -> None:
    """Changes those of the network whose input channels do not fill the kernel's last group."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _is_risky(module):
            rows, columns = module.stride
            module.stride = (1, 1)
            module.register_forward_pre_hook(partial(_left, rows, columns))


def _is_risky(module: nn.Conv2d) -> bool:
    strided = module.kernel_size == (1, 1) and module.stride != (1, 1)
    plain = module.padding in ((0, 0), "valid")
    return strided and plain and bool(module.in_channels // module.groups % _CHANNELS)


def _left(rows: int, columns: int, _: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
    return (given[0][..., ::rows, ::columns],)
