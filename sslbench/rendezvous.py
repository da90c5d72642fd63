"""Where ranks leave their addresses, so that none meets the dead of an earlier start.

torchrun's agent keeps its store when it starts ranks again, and torch then finds the addresses of
those that ended in it (pytorch/pytorch#135712).
"""

import os
import time
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

_START = "sslbench/start"  # the name of the newest start


def store_of_this_start(rank: int, ranks: int, timeout: timedelta) -> Store:
    """A store that only the ranks of this start write to. Raises RuntimeError after ``timeout``.

    Rank 0 names the start anew, and answers each of the others under that name; a name that nobody
    answers to is that of an earlier start.
    """
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == str(True)
    store = TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        ranks,
        is_master=rank == 0 and not agent,
        timeout=timeout,
        wait_for_workers=False,
    )
    if rank == 0:
        name = uuid4().hex
        store.set(_START, name)
        for other in range(1, ranks):
            greeting = store.get(f"{name}/{other}").decode()  # waits for it
            store.set(f"{name}/{other}/{greeting}", "heard")
        return PrefixStore(name, store)
    greeting, deadline = uuid4().hex, time.monotonic() + timeout.total_seconds()
    while time.monotonic() < deadline:
        name = store.get(_START).decode()
        store.set(f"{name}/{rank}", greeting)
        with suppress(RuntimeError):  # no answer in time
            store.wait([f"{name}/{rank}/{greeting}"], timedelta(seconds=1))
            return PrefixStore(name, store)
    raise RuntimeError("rank 0 does not answer")
