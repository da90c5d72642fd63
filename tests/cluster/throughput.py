"""``python -m tests.cluster.throughput``: how much of a cluster's cores a plan gets to use.

Ideal is the time of one run alone, its worker warm and the other core idle, times the runs, over
the cores: what placing, reporting, locks and the other run's memory traffic cost lowers the share.
"""

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sslbench.cli.planning import planned
from sslbench.cluster import Cluster, joined, run_on
from sslbench.disk import write_text
from sslbench.environment import environment, pick_device
from sslbench.runner import Runner
from sslbench.store import Store, now
from tests.soak.small import Quiet

CPU = pick_device("cpu")
NODES = 2  # of one core each, beside the command's own that has room for no run


def seconds_of(cluster: Cluster, results: Path, seeds: Sequence[int], epochs: int) -> float:
    """Of ``smoke``'s SimCLR with these seeds, from the first hand-over to the last record."""
    changes = ["baselines=[]", f"pretrain.epochs={epochs}"]
    _, plan = planned("smoke", "simclr", ",".join(map(str, seeds)), changes, None, CPU)
    watcher = Quiet()
    runner = Runner(
        Store(results), data_root=None, download=False, device=CPU, workers=1, watcher=watcher
    )
    began = time.perf_counter()
    tally = run_on(cluster, runner, plan, watcher, lambda: False)
    assert not tally.failures, tally.failures
    return time.perf_counter() - began


def main() -> None:
    from ray.cluster_utils import Cluster as Nodes

    arguments = argparse.ArgumentParser(prog="python -m tests.cluster.throughput")
    arguments.add_argument("--runs", type=int, default=8)
    arguments.add_argument("--epochs", type=int, default=40, help="of each: 20 s at least")
    arguments.add_argument("--out", type=Path, default=Path("results/local/scale"))
    given = arguments.parse_args()
    head = {"num_cpus": 0, "num_gpus": 0, "include_dashboard": False}
    nodes = Nodes(initialize_head=True, head_node_args=head)
    for _ in range(NODES):
        nodes.add_node(num_cpus=1, num_gpus=0)
    nodes.wait_for_nodes()
    cluster = Cluster(nodes.address)
    with tempfile.TemporaryDirectory() as folder, joined(cluster):
        results = Path(folder)
        seconds_of(cluster, results, range(100, 100 + NODES), 1)  # workers start
        alone = [seconds_of(cluster, results, [200 + n], given.epochs) for n in range(3)]
        together = seconds_of(cluster, results, range(given.runs), given.epochs)
    nodes.shutdown()
    one = sorted(alone)[1]
    share = one * given.runs / NODES / together
    where, created = environment(CPU), now()
    command = shlex.join(["python", "-m", "tests.cluster.throughput", *sys.argv[1:]])
    tree = {
        "command": command,
        "created": created,
        "environment": where.model_dump(mode="json"),
        "alone_seconds": alone,
        "runs": given.runs,
        "cores": NODES,
        "together_seconds": together,
        "share_of_ideal": share,
    }
    made = f"{where.machine}; torch {where.packages['torch']}; commit {where.commit}"
    text = (
        "| runs | cores | one alone, s (median of 3) | all, s | share of ideal |\n"
        "| ---: | ---: | ---: | ---: | ---: |\n"
        f"| {given.runs} | {NODES} | {one:.1f} ({min(alone):.1f} to {max(alone):.1f}) | "
        f"{together:.1f} | {share:.2f} |\n"
        f"\n{made}; {created[:10]}. Command: `{command}`\n"
    )
    write_text(given.out / "throughput.json", json.dumps(tree, indent=1) + "\n")
    write_text(given.out / "throughput.md", text)
    print(text)


if __name__ == "__main__":
    main()
