"""A stranger's tensors in an encoder of ours, with an account of what fitted and what did not."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sslbench.data.random import derive_seed
from sslbench.errors import WeightsError
from sslbench.nn.config import EncoderConfig
from sslbench.nn.encoder import Encoder
from sslbench.weights.layouts import COUNTER, Candidate, candidates, choose, fits

NETWORK = "network."  # where an Encoder holds the network; mean and std beside it are ours
ENOUGH = 0.99  # of the encoder's tensors; below, most features come from somewhere else
FEW = 0.5  # below, the file holds another network, and its shapes say nothing
SHOWN = 3  # names in a message
_VIT_SMALL = 384  # width of a ViT-S
_MOCO_V3 = "base_encoder."  # its encoder's prefix in its authors' files


@dataclass(frozen=True)
class Adopted:
    """An encoder and where its tensors came from."""

    encoder: Encoder
    layout: str
    prefix: str
    loaded: int  # of the encoder's tensors, counters of batches aside
    missing: tuple[str, ...]  # the encoder's names; these keep initial values
    unexpected: tuple[str, ...]  # keys under the prefix that the encoder has not, such as a head
    elsewhere: int  # tensors of the file outside the prefix
    others: tuple[str, ...]  # prefixes of other networks that supply as many

    @property
    def total(self) -> int:
        return self.loaded + len(self.missing)


def adopt(
    tensors: Mapping[str, Tensor],
    config: EncoderConfig,
    *,
    prefix: str | None = None,
    allow_missing: bool = False,
) -> Adopted:
    """The encoder of ``config`` with the values of a file's tensors, by dotted name.

    Values are taken as they are, in float32. Raises WeightsError if the file does not hold this
    encoder: fewer than 99 % of its tensors (unless ``allow_missing``), another width, depth or
    normalisation of the input, or values that are not finite. Batch norm's running statistics
    count as tensors; its counters of batches do not.
    """
    encoder = _initial(config)
    state = encoder.state_dict()
    network = {n.removeprefix(NETWORK): t for n, t in state.items() if n.startswith(NETWORK)}
    wanted = [name for name in network if not name.endswith(COUNTER)]
    named = f"encoder {config.name!r} ({len(wanted)} tensors)"
    try:
        best, others = choose(candidates(tensors, network, encoder.is_split), tensors, prefix)
    except WeightsError as error:
        raise WeightsError(f"{named}: the file holds {error}. {_begins(tensors)}") from error
    missing = tuple(name for name in wanted if name not in best.keys)
    _check(named, best, tensors, network, missing, allow_missing)
    _check_input(best.prefix, tensors, state)
    _check_heads(named, best.prefix, config, network)
    for name, key in best.keys.items():
        network[name].copy_(tensors[key])
    # Its extremes say as much as all of a tensor, in a hundredth of the time.
    bad = [n for n in wanted if not torch.stack(network[n].aminmax()).isfinite().all()]
    if bad:
        raise WeightsError(f"{named}: {len(bad)} tensors are not finite, {_few(bad)}")
    for name in network:  # an older file has no counters, and the same encoder is the same bits
        if name.endswith(COUNTER) and name not in best.keys:
            network[name].zero_()
    taken = set(best.keys.values())
    under = [key for key in tensors if key.startswith(best.prefix)]
    ours = {f"{best.prefix.removesuffix(NETWORK)}{name}" for name in ("mean", "std")}
    return Adopted(
        encoder=encoder,
        layout=best.layout,
        prefix=best.prefix,
        loaded=len(wanted) - len(missing),
        missing=missing,
        unexpected=tuple(key for key in under if key not in taken and key not in ours),
        elsewhere=len(tensors) - len(under),
        others=tuple(other.prefix for other in others),
    )


def _initial(config: EncoderConfig) -> Encoder:
    """The encoder before any training; what a file lacks is the same in every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(0, "encoder"))
        return Encoder(config)


def _check(
    named: str,
    best: Candidate,
    tensors: Mapping[str, Tensor],
    network: Mapping[str, Tensor],
    missing: tuple[str, ...],
    allow_missing: bool,
) -> None:
    total = best.counted + len(missing)
    lacking = (
        f"{named}: the file supplies {best.counted} of them under {best.prefix!r}; missing are "
        f"{_few(missing)}"
    )
    if best.counted < FEW * total and not allow_missing:
        raise WeightsError(
            f"{lacking}. {_begins(tensors)}. Is it another --encoder, or under another --prefix?"
        )
    misfits = [
        f"{key} {_looks(tensors[key])}, expected {_looks(network[name])}"
        for name, key in best.keys.items()
        if not name.endswith(COUNTER) and not fits(tensors[key], network[name])
    ]
    if misfits:
        raise WeightsError(
            f"{named}: {len(misfits)} tensors have its names and other shapes, so the file holds "
            f"an encoder of another width or stem: {_few(misfits, '; ')}. Describe the file's with "
            "--encoder and --set encoder.options=... or encoder.stem=..."
        )
    if best.extra:
        raise WeightsError(
            f"{named}: the file holds {len(best.extra)} more tensors in the encoder's own parts, "
            f"so it is an encoder of another depth or kind: {_few(best.extra)}"
        )
    if best.counted < ENOUGH * total and not allow_missing:
        raise WeightsError(
            f"{lacking}. At least {ENOUGH:.0%} are needed; --allow-missing leaves the rest as "
            "initialised"
        )


def _check_input(prefix: str, tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """An encoder of our own brings mean and std along; another's input would be another encoder."""
    for name in ("mean", "std"):
        given = tensors.get(f"{prefix.removesuffix(NETWORK)}{name}")
        if not prefix.endswith(NETWORK) or given is None or given.shape != state[name].shape:
            continue
        if not torch.equal(given, state[name]):
            values = [[round(float(v), 4) for v in t.flatten()] for t in (given, state[name])]
            raise WeightsError(
                f"the file's encoder normalises its input with {name} {values[0]}, this one with "
                f"{values[1]}. Set encoder.{name} with --set"
            )


def _check_heads(
    named: str, prefix: str, config: EncoderConfig, network: Mapping[str, Tensor]
) -> None:
    """MoCo v3's ViT-S has twice timm's heads of attention, and no tensor's shape tells."""
    attention = network.get("blocks.0.attn.proj.weight")  # D x D
    if attention is None or len(attention) != _VIT_SMALL or "num_heads" in config.options:
        return
    if prefix.endswith(_MOCO_V3):
        raise WeightsError(
            f"{named}: the file is laid out as MoCo v3's, whose ViT-S has 12 heads of attention "
            "where timm's has 6; the tensors are of the same shapes. Say which with "
            "--set encoder.options.num_heads=12, or =6"
        )


def _looks(tensor: Tensor) -> str:
    kind = "" if tensor.is_floating_point() else f"{str(tensor.dtype).removeprefix('torch.')} "
    return f"{kind}{' x '.join(str(size) for size in tensor.shape) or 'scalar'}"


def _few(names: "tuple[str, ...] | list[str]", separator: str = ", ") -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return separator.join(names[:SHOWN]) + more


def _begins(tensors: Mapping[str, Tensor]) -> str:
    return f"Its {len(tensors)} tensors begin with {_few(list(tensors))}"
