"""``python -m sslbench.scale``: counts what methods hold and compute, and times k-means.

Used by ``make scale``; what it writes stands in ``docs/scale.md``.
"""

import argparse
import json
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path

from sslbench.card import by_family
from sslbench.disk import write_text
from sslbench.environment import environment, pick_device
from sslbench.scale.clustering import Clustered, clustered
from sslbench.scale.holding import holding
from sslbench.scale.page import SIZES, Counted, clustered_table, held_table, work_table
from sslbench.scale.rows import planned
from sslbench.scale.work import KMeans, clusterings, flop_per_image
from sslbench.store import now

DIM, ITERATIONS, STARTS, MAX_POINTS = 128, 20, 1, 256


def counted(label: str) -> Counted:
    """One method at all sizes, as ``survey`` trains it."""
    rows = [planned(label, images) for images in SIZES.values()]
    by_rule = [clusterings(row, row.data.images) for row in rows]
    as_imagenet = [clusterings(rows[0], images) for images in SIZES.values()]
    return Counted(
        rows[0].title,
        tuple(map(holding, rows)),
        flop_per_image(label),
        tuple(sum(work.flop for work in works) for works in by_rule),
        tuple(sum(work.flop for work in works) for works in as_imagenet),
        max((work.bytes_per_image for work in by_rule[0]), default=0),
    )


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m sslbench.scale")
    arguments.add_argument("--methods", default=",".join(by_family()))
    arguments.add_argument("--points", default="1000000,3000000,10000000", help="to cluster")
    arguments.add_argument("--out", type=Path, default=Path("results/local/scale"))
    given = arguments.parse_args()
    began = time.monotonic()
    methods = []
    for label in given.methods.split(","):
        methods.append(counted(label))
        print(
            f"{methods[-1].title}: {methods[-1].flop_per_image / 1e9:.1f} GFLOP an image",
            flush=True,
        )
    measured: list[Clustered] = []
    for points in map(int, given.points.split(",")):
        work = KMeans(points, points // 1000, DIM, ITERATIONS, STARTS, MAX_POINTS)
        expected = f", about {work.flop / measured[-1].rate:.0f} s" if measured else ""
        print(f"{points:,} points into {work.clusters:,} clusters{expected}", flush=True)
        measured.append(clustered(work))
        print(f"  {measured[-1].seconds:.0f} s, {measured[-1].gib:.2f} GiB", flush=True)
    made_on = now()
    where = environment(pick_device("cpu"))
    command = shlex.join(["python", "-m", "sslbench.scale", *sys.argv[1:]])
    tree = {
        "command": command,
        "created": made_on,
        "environment": where.model_dump(mode="json"),
        "seconds": round(time.monotonic() - began),
        "methods": [asdict(method) for method in methods],
        "clustered": [asdict(one) for one in measured],
    }
    write_text(given.out / "scale.json", json.dumps(tree, indent=1) + "\n")
    made = (
        f"\n{where.machine}, {where.threads} threads; torch {where.packages['torch']}, faiss-cpu "
        f"{where.packages['faiss-cpu']}; commit {where.commit}; {made_on[:10]}. "
        f"Command: `{command}`\n"
    )
    tables = {"held": held_table(methods), "work": work_table(methods)}
    tables["clustered"] = clustered_table(measured)
    for name, table in tables.items():
        write_text(given.out / f"{name}.md", table + made)


if __name__ == "__main__":
    main()
