"""``python -m tests.soak``: tries what must never go wrong, and says how often it did not."""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from sslbench.disk import write_text
from sslbench.environment import environment
from sslbench.store import now
from tests.soak.full_disk import full_disk
from tests.soak.kills import kills
from tests.soak.leaks import leaks
from tests.soak.mutations import mutations
from tests.soak.small import CPU
from tests.soak.torn import torn

HEAD = "| trial | tried | held | where |\n| --- | ---: | ---: | --- |\n"


def page(tree: dict[str, Any]) -> str:
    """The record as Markdown."""
    rows = tree["trials"]
    lines = [f"| {r['trial']} | {r['tried']} | {r['held']} | {r['where']} |\n" for r in rows]
    where = tree["environment"]
    made = f"{where['machine']}; torch {where['packages']['torch']}; commit {where['commit']}"
    last = f"\n{made}; {tree['created'][:10]}; {tree['seconds']} s. Command: `{tree['command']}`\n"
    return HEAD + "".join(lines) + last


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m tests.soak")
    arguments.add_argument("--kills", type=int, default=3, help="of each method")
    arguments.add_argument("--runs", type=int, default=100, help="in one process")
    arguments.add_argument("--only", default="", help="kills, torn, disk, mutations or leaks")
    arguments.add_argument("--out", type=Path, help="a folder for soak.json and soak.md")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    os.environ["COLUMNS"] = "250"  # messages stay on one line
    trials = {
        "kills": lambda: kills(given.kills),  # first: forked before anything is computed
        "torn": torn,
        "disk": full_disk,
        "mutations": mutations,
        "leaks": lambda: leaks(given.runs),
    }
    chosen = given.only.split(",") if given.only else list(trials)
    began, rows, failed = time.monotonic(), [], 0
    for name in chosen:
        for count in trials[name]():
            where = ", ".join(f"{place} {number}" for place, number in count.where.items())
            rows.append({"trial": count.name, "tried": count.tried, "held": count.held})
            rows[-1]["where"] = where
            print(f"{count.name}: tried {count.tried}, held {count.held} ({where})", flush=True)
            for failure in count.failures[:5]:
                print(f"  {failure}", flush=True)
            failed += len(count.failures)
    seconds = round(time.monotonic() - began)
    print(f"{failed} failures in {seconds} s")
    if given.out is not None:
        command = " ".join(["python -m tests.soak", *sys.argv[1:]])
        tree = {
            "command": command,
            "created": now(),
            "seconds": seconds,
            "environment": environment(CPU).model_dump(mode="json"),
            "trials": rows,
        }
        write_text(given.out / "soak.json", json.dumps(tree, indent=1) + "\n")
        write_text(given.out / "soak.md", page(tree))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
