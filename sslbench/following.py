"""What ranks other than the first do: train along, and encode their part of what is evaluated.

Rank 0 walks the plan, holds the locks, evaluates and writes; it says what the others are to do.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import torch
from torch.nn.modules.batchnorm import _BatchNorm

import sslbench
from sslbench import distributed
from sslbench.config import fingerprint
from sslbench.environment import commit
from sslbench.errors import ConfigError, Diverged, Interrupted, SSLBenchError, all_faults
from sslbench.examine import Tally
from sslbench.feature_pass import Pass
from sslbench.nn.encoder import Encoder
from sslbench.orders import Encode, End, Pretrain
from sslbench.plan import Planned
from sslbench.runner import Runner


def meet(runner: Runner, plan: Sequence[Planned]) -> None:
    """Before anything is computed: the same plan, code and folder, and no fault on any rank.

    Raises ConfigError on every rank.
    """
    if distributed.size() == 1:
        runner.check(plan)
        return
    distributed.check_alike("code", f"{sslbench.__version__} {commit()}")
    stages = {planned.config.hash: list(planned.evaluations) for planned in plan}
    distributed.check_alike("plans", fingerprint(stages))
    fault = None
    try:
        check_divisible(plan, runner.device, distributed.size())
        runner.check(plan)
    except SSLBenchError as error:
        fault = str(error)
    distributed.raise_together(fault)
    _meet_in(runner.store.root)


def together(runner: Runner, plan: Sequence[Planned], lead: Callable[[], Tally]) -> Tally | None:
    """``lead`` is what rank 0 does, and gives; the others do what it says, and give None.

    Raises ConfigError on every rank, before anything is computed, as ``meet`` does.
    """
    meet(runner, plan)
    if not distributed.is_first():
        follow(runner, plan)
        return None
    tally = lead()
    distributed.tell(End())
    return tally


def check_divisible(plan: Sequence[Planned], device: torch.device, ranks: int) -> None:
    """Raises ConfigError, with all faults, where ranks do not divide a batch or its chunks."""
    faults = []
    for planned in plan:
        if not planned.config.pretrain.epochs:  # nothing is trained
            continue
        batch, splits = planned.data.batch_size, planned.config.encoder.bn_splits
        if batch % ranks:
            faults.append(
                f"{planned.label}: pretrain.batch_size = {batch}: {ranks} ranks do not divide it. "
                f"Nearest that works: {-(-batch // ranks) * ranks}"
            )
        if splits % ranks and (splits > 1 or (device.type == "cpu" and has_batch_norm(planned))):
            faults.append(
                f"{planned.label}: encoder.bn_splits = {splits}: {ranks} ranks do not divide the "
                "chunks of which each has its own batch statistics"
                + (", and statistics over ranks need GPUs" if splits == 1 else "")
                + f". Nearest that works: {-(-splits // ranks) * ranks}"
            )
    if faults:
        raise ConfigError(all_faults(list(dict.fromkeys(faults)), f"{len(faults)} faults"))


def has_batch_norm(planned: Planned) -> bool:
    """Whether the encoder of a run takes statistics over its batch."""
    with torch.device("meta"):
        encoder = Encoder(planned.config.encoder)
    return any(isinstance(module, _BatchNorm) for module in encoder.modules())


def _meet_in(results: Path) -> None:
    """Raises ConfigError unless all ranks see what rank 0 writes."""

    def begin() -> str:  # a name of its own: other jobs may meet there at the same time
        token = results / f".ranks-{uuid4().hex}"
        token.touch()
        return token.name

    token = results / distributed.by_first(begin)
    fault = None
    if not token.exists():
        fault = (
            f"results folder {results.absolute()} is not the one of rank 0: it must lie where all "
            "ranks can read and write it"
        )
    distributed.raise_together(fault)
    distributed.barrier()
    if distributed.is_first():
        token.unlink(missing_ok=True)


def follow(runner: Runner, plan: Sequence[Planned]) -> None:
    """Does what rank 0 says, to the end."""
    runs = {planned.config.id: planned for planned in plan}
    try:
        while not isinstance(order := distributed.told(), End):
            if isinstance(order, Pretrain):
                _train_along(runner, runs[order.run])
            elif isinstance(order, Encode):
                _encode_along(runner, order)
    except Interrupted:  # of all ranks
        raise
    except (SSLBenchError, RuntimeError) as error:  # RuntimeError: another rank has ended
        raise distributed.failed(error) from error


def _train_along(runner: Runner, planned: Planned) -> None:
    dataset = runner.examiner.dataset(planned.config.pretrain.dataset)
    with suppress(Diverged):  # on every rank at the same step; rank 0 records it
        runner.trained(planned, dataset)


def _encode_along(runner: Runner, order: Encode) -> None:
    encoder = Encoder(order.encoder)
    encoder.load_state_dict(order.weights)
    device = runner.device
    work = Pass(
        encoder.float().to(device),
        runner.examiner.dataset(order.dataset).images(order.split),
        order.layer,
        order.preprocessing,
        order.start,
        device,
        runner.workers,
    )
    for _ in work.blocks():
        pass
