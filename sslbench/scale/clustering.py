"""k-means of generated features, timed, in a process of its own whose memory is its own."""

import time
from dataclasses import dataclass
from multiprocessing import get_context

import torch

from sslbench.memory import PeakMemory
from sslbench.nn import kmeans
from sslbench.scale.work import KMeans
from sslbench.speed.clustering import Hierarchy


@dataclass(frozen=True)
class Clustered:
    """What one k-means took."""

    work: KMeans
    seconds: float
    gib: float  # resident at most, the process itself and the features included
    before: float  # GiB, of the process before there were features

    @property
    def rate(self) -> float:
        """FLOP a second."""
        return self.work.flop / self.seconds


def clustered(work: KMeans) -> Clustered:
    """Takes ``work.points`` generated rows apart, with as many threads as torch has here."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_clustered, (work, torch.get_num_threads()))


def _clustered(work: KMeans, threads: int) -> Clustered:
    torch.set_num_threads(threads)
    cpu = torch.device("cpu")
    kmeans(torch.randn(1024, work.dim), 4, 0)  # what is loaded at the first call
    with PeakMemory(cpu) as before:
        pass
    with PeakMemory(cpu) as memory:
        features = Hierarchy(images=work.points, dim=work.dim, sizes=(work.clusters,)).features()
        began = time.perf_counter()
        kmeans(features, work.clusters, 0, work.iterations, work.starts, work.max_points)
        seconds = time.perf_counter() - began
    return Clustered(work, seconds, memory.gib, before.gib)
