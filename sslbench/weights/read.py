"""The tensors of a stranger's file, and nothing else of it: no code in the file is ever run.

PyTorch's files are pickles, and a pickle may call any function. Here only what builds tensors and
plain containers is allowed; of the few other classes that the papers' own scripts save, such as
the arguments of the training, an empty stand-in is made. Whatever else a file names is refused.
"""

import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import torch
from safetensors.torch import load_file
from torch import Tensor

from sslbench.errors import WeightsError

TRUSTED = (
    'If you trust its author, save its tensors alone: python -c "import torch; '
    "file = torch.load({path!r}, map_location='cpu', weights_only=False); "
    "torch.save(file['state_dict'], 'tensors.pth')\" (this runs the code in the file; 'state_dict' "
    "is the usual key of its tensors)"
)


class StandIn:
    """Takes the place of an object that holds no tensors: keeps nothing, does nothing."""

    def __init__(self, *given: Any) -> None:
        del given

    def __new__(cls, *given: Any) -> "StandIn":
        del given
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        del state


# What the scripts of the papers save beside the tensors: their arguments, and a best accuracy.
HARMLESS = (
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
)

# What tensors and containers are pickled with: torch.FloatStorage, torch._utils._rebuild_tensor_v2.
_PLAIN = re.compile(
    r"torch\.\w+$|torch\.(_utils|_tensor|storage)\.\w+$|torch\.nn\.parameter\.Parameter$"
    r"|collections\.(OrderedDict|Counter)$|_codecs\.encode$|builtins\.(bytearray|set|complex)$"
)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a .pth, .pt, .tar, .ckpt or .safetensors file, by its dotted place in it.

    Which kind of file it is, its first bytes say, not its name. Raises WeightsError for a file that
    is missing, damaged, of another kind, without tensors, or that names a class beyond tensors,
    plain containers and ``HARMLESS``.
    """
    tree = _load(path)
    tensors: dict[str, Tensor] = {}
    for name, tensor in _flat(tree, "", ()):
        if name in tensors:
            raise WeightsError(f"{path}: holds two tensors called {name!r}")
        tensors[name] = tensor
    if not tensors:
        raise WeightsError(f"{path}: holds no tensors, only a {type(tree).__name__}")
    return tensors


def _load(path: Path) -> Any:
    if path.is_dir():
        raise WeightsError(f"{path}: is a folder. Name the file in it that holds the weights")
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except FileNotFoundError:
        raise WeightsError(f"{path}: there is no such file") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    if not head:
        raise WeightsError(f"{path}: is empty. Download it again")
    zipped = zipfile.is_zipfile(path)
    if head.startswith(b"PK") and not zipped:
        raise WeightsError(f"{path}: is cut short. Download it again")
    return _safetensors(path) if head[8:] == b"{" and not zipped else _torch(path, zipped)


def _safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises its own kind, and OSError
        raise WeightsError(
            f"{path}: is damaged or cut short ({error}). Download it again"
        ) from error


def _torch(path: Path, zipped: bool) -> Any:
    stand_ins: list[Any] = [(StandIn, name) for name in HARMLESS]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
            warnings.simplefilter("ignore")  # of a pickle's version; it is read, or it is not
            # Mapped: of momentum copies and optimisers nothing is read that is not asked for.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # torch raises a dozen kinds for a damaged file
        if zipped and _is_torchscript(path):
            raise WeightsError(
                f"{path}: is a TorchScript archive, which holds code; it was not run. Look for the "
                f"checkpoint that it was made from"
            ) from error
        named = foreign_classes(path, zipped)
        if isinstance(error, UnpicklingError) and named:
            raise WeightsError(
                f"{path}: holds more than tensors and was not run; it names {', '.join(named)}. "
                + TRUSTED.format(path=str(path))
            ) from error
        first = str(error).strip().splitlines()[:1]
        reason = f"{type(error).__name__}: {first[0][:160]}" if first else type(error).__name__
        raise WeightsError(
            f"{path}: is damaged, cut short, or no checkpoint of PyTorch ({reason})"
        ) from error


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def foreign_classes(path: Path, zipped: bool) -> list[str]:
    """What a file's pickle names beyond tensors and ``HARMLESS``; read off, never loaded."""
    try:
        if zipped:
            with zipfile.ZipFile(path) as archive:
                inner = next((n for n in archive.namelist() if n.endswith("data.pkl")), None)
                if inner is None:
                    return []
                with archive.open(inner) as file:
                    named = set(_globals(file, pickles=1))
        else:
            with path.open("rb") as file:  # magic number, protocol, system and then the object
                named = set(_globals(file, pickles=4))
    except (OSError, zipfile.BadZipFile):
        return []
    return sorted(name for name in named if name not in HARMLESS and not _PLAIN.match(name))


def _globals(file: Any, pickles: int) -> Iterator[str]:
    """Dotted names of all functions and classes that some pickles in a row refer to."""
    stream: BinaryIO = file
    for _ in range(pickles):
        memo: dict[int, str] = {}
        recent: list[str] = []  # texts in the order in which they reach the stack
        try:
            for code, argument, _place in pickletools.genops(stream):
                if code.name in ("GLOBAL", "INST"):
                    yield str(argument).replace(" ", ".")
                elif code.name == "STACK_GLOBAL":
                    yield ".".join(recent[-2:])
                elif code.name == "MEMOIZE":
                    memo[len(memo)] = recent[-1] if recent else ""
                elif code.name in ("BINGET", "LONG_BINGET") and argument in memo:
                    recent.append(memo[argument])
                elif isinstance(argument, str):
                    recent.append(argument)
        except (ValueError, struct.error, UnicodeDecodeError):  # no pickle, or the end of it
            return


def _flat(node: Any, place: str, above: tuple[int, ...]) -> Iterator[tuple[str, Tensor]]:
    """Tensors of nested mappings and lists; a container that holds itself is entered once."""
    if isinstance(node, Tensor):
        if node.layout == torch.strided and not node.is_quantized and node.device.type == "cpu":
            yield place, node.detach()
        return
    if id(node) in above or isinstance(node, str | bytes):
        return
    items: Iterator[tuple[Any, Any]] | Any = ()
    if isinstance(node, Mapping):
        items = node.items()
    elif isinstance(node, list | tuple):
        items = enumerate(node)
    for key, value in items:
        yield from _flat(value, f"{place}.{key}" if place else str(key), (*above, id(node)))
