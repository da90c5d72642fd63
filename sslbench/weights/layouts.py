"""Which of a file's tensors are the encoder's: found by names and shapes, in any layout.

A checkpoint holds the encoder's tensors under some prefix (``state_dict.module.encoder_q.``), often
beside a momentum copy, heads, a queue and an optimiser. Every prefix under which at least one of
the encoder's names stands is a candidate; the one that supplies most of them wins.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sslbench.errors import WeightsError

COUNTER = "num_batches_tracked"  # of a batch norm: changes no feature, and older files lack it

# Of networks that fit equally, the one that the papers evaluate, by the words in its prefix: the
# query encoder of MoCo and its kin, the base encoder of MoCo v3, DINO's teacher, BYOL's online one.
EVALUATED = {"q", "query", "base", "teacher", "online"}
COPIES = {"k", "key", "momentum", "target", "ema", "student"}

# A ResNet as torch.nn.Sequential of its children: conv1 and bn1 at 0 and 1, its four stages from
# here on. 4 with ReLU and pooling between (lightly), 3 without the pooling, 2 without either.
FIRST_STAGES = (4, 3, 2)
_RESNET = re.compile(r"(conv1|bn1|layer([1-4]))(\..*)")


@dataclass
class Candidate:
    """A prefix under which a file holds tensors with the encoder's names."""

    layout: str
    prefix: str
    keys: dict[str, str] = field(default_factory=dict)  # the encoder's name -> the file's key
    counted: int = 0  # of them, counters aside
    fitting: int = 0  # of those, of the encoder's shape
    extra: list[str] = field(default_factory=list)  # keys that the encoder's own parts have not

    @property
    def rank(self) -> int:
        """0 for the network that papers evaluate, 2 for a copy that follows it, 1 unless said."""
        words = {word for part in self.prefix.split(".") for word in part.split("_")}
        if words & COPIES:
            return 2
        return 0 if words & EVALUATED else 1

    @property
    def merit(self) -> tuple[int, int, int, int]:
        return self.counted, -len(self.extra), self.fitting, -self.rank


def spellings(names: Iterable[str], split: bool) -> dict[str, dict[str, str]]:
    """Known ways to write the encoder's names: description -> name in a file -> encoder's name."""
    names = list(names)
    known = {"names of timm and torchvision": {name: name for name in names}}
    if split:
        towers = {"lightness": "l_to_ab", "colour": "ab_to_l"}
        known["towers of CMC"] = {
            ".".join([towers[name.partition(".")[0]], name.partition(".")[2]]): name
            for name in names
        }
    matches = {name: _RESNET.fullmatch(name) for name in names}
    if all(matches.values()):
        for first in FIRST_STAGES:
            known[f"children in a row, stages from {first} on"] = {
                _position(match, first): name for name, match in matches.items() if match
            }
    return known


def _position(match: "re.Match[str]", first: int) -> str:
    place = {"conv1": 0, "bn1": 1}.get(match[1])
    if place is None:
        place = first + int(match[2]) - 1
    return f"{place}{match[3]}"


def candidates(
    tensors: Mapping[str, Tensor], encoder: Mapping[str, Tensor], split: bool
) -> list[Candidate]:
    """Every prefix with at least one of the encoder's names, counters aside, in the file's order.

    ``encoder`` holds the tensors of the network alone; ``split`` says that it is two towers.
    """
    found: list[Candidate] = []
    for layout, spelling in spellings(encoder, split).items():
        under: dict[str, Candidate] = {}
        for key, tensor in tensors.items():
            for prefix, rest in _divisions(key):
                name = spelling.get(rest)
                if name is None:
                    continue
                one = under.setdefault(prefix, Candidate(layout, prefix))
                one.keys[name] = key
                if not name.endswith(COUNTER):
                    one.counted += 1
                    one.fitting += fits(tensor, encoder[name])
        depth = 2 if split else 1  # of the names that stand for a part: layer1, lightness.layer1
        parts = {_part(name, depth) for name in spelling}
        for one in under.values():
            taken = set(one.keys.values())
            one.extra = [
                key
                for key in tensors
                if key.startswith(one.prefix)
                and key not in taken
                and not key.endswith(COUNTER)
                and _part(key[len(one.prefix) :], depth) in parts
            ]
        found += [one for one in under.values() if one.counted]
    return found


def _divisions(key: str) -> Iterable[tuple[str, str]]:
    """A key cut in two at its start and behind each of its dots."""
    yield "", key
    for dot in re.finditer(r"\.", key):
        yield key[: dot.end()], key[dot.end() :]


def _part(name: str, depth: int) -> str:
    return ".".join(name.split(".")[:depth])


def fits(tensor: Tensor, wanted: Tensor) -> bool:
    return tensor.shape == wanted.shape and tensor.is_floating_point() == wanted.is_floating_point()


def choose(
    found: list[Candidate], tensors: Mapping[str, Tensor], prefix: str | None
) -> tuple[Candidate, list[Candidate]]:
    """The best candidate, and the others that supply as many tensors.

    ``prefix`` is the user's choice: a whole prefix or its last parts, such as ``encoder_q.``.
    Raises WeightsError if none has that prefix, or if several different networks fit equally well.
    """
    if prefix is not None:
        wanted = prefix and prefix.rstrip(".") + "."
        allowed = [
            c for c in found if c.prefix == wanted or (wanted and c.prefix.endswith(f".{wanted}"))
        ]
        if not allowed:
            most = sorted(found, key=lambda c: c.merit, reverse=True)[:4]
            listed = ", ".join(repr(c.prefix) for c in most) or "none"
            raise WeightsError(
                f"--prefix {prefix!r}: none of the encoder's tensors. Best: {listed}"
            )
        found = allowed
    if not found:
        raise WeightsError("none of the encoder's tensors")
    best = max(found, key=lambda c: c.merit)
    rivals = [c for c in found if c is not best and c.merit == best.merit]
    different = [c for c in rivals if not _same(c, best, tensors)]
    if different:
        listed = ", ".join(repr(c.prefix) for c in (best, *different))
        raise WeightsError(
            f"{1 + len(different)} networks fit equally well: {listed}. Choose with --prefix"
        )
    best = min((best, *rivals), key=lambda c: len(c.prefix))
    others = [c for c in found if c.counted == best.counted and c is not best]
    return best, others


def _same(one: Candidate, other: Candidate, tensors: Mapping[str, Tensor]) -> bool:
    return one.keys.keys() == other.keys.keys() and all(
        torch.equal(tensors[key], tensors[other.keys[name]]) for name, key in one.keys.items()
    )
