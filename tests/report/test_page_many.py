"""A page of 200 runs with 8 evaluations each, made by the command: bounded in size and memory."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sslbench.config import fingerprint
from sslbench.health.verdict import Health
from sslbench.spreads import ENDING, write_spreads
from sslbench.stats.spread import Spread
from sslbench.store import Environment, Manifest, PlanFile, Record, Row, Score, Store

CHROMIUM = shutil.which("chromium")
ENVIRONMENT = Environment(
    sslbench="0.1.0",
    commit="0123456789ab",
    python="3.11.7",
    packages={},
    machine="Example CPU, 2 cores",
    device="cpu",
    threads=2,
)
CONFIG = {
    "params": {"dim": 128, "temperature": 0.2, "queue_size": 65536},
    "encoder": {"name": "resnet18", "stem": "small", "options": {"layers": [1, 1, 1, 1]}},
    "pretrain": {
        "dataset": {"name": "shapes", "splits": {"train": 8000, "test": 2000}},
        **{"epochs": 200, "batch_size": 256, "image_size": 32, "precision": "fp32"},
        "augment": {"crop": [0.2, 1.0], "flip": 0.5, "jitter": {"p": 0.8, "hue": 0.1}},
        "optim": {"name": "sgd", "lr": 0.03, "weight_decay": 1e-4, "schedule": "cosine"},
    },
    "versions": {"trainer": 1, "views": 1},
}


def generated(results: Path, methods: int, seeds: int, evaluations: int, items: int = 400) -> Store:
    """A results folder of suite ``many``: a run per method and seed, its logs and its records."""
    store = Store(results)
    generator = np.random.Generator(np.random.PCG64(0))
    rows = [
        _generated(store, generator, f"method_{number:02d}", seed, evaluations, items)
        for number in range(methods)
        for seed in range(seeds)
    ]
    columns = {f"Score {number}": f"e{number}.top1" for number in range(evaluations)}
    store.write_plan(
        PlanFile(
            suite="many",
            title="Many runs",
            command="sslbench run --suite many",
            rows=tuple(rows),
            tables={
                "main": {"columns": columns, "describe": ["family"]},
                "cost": {"columns": {"Time": "pretrain.seconds", "Speed": "pretrain.steps"}},
            },
        )
    )
    return store


def _generated(
    store: Store,
    generator: np.random.Generator,
    label: str,
    seed: int,
    evaluations: int,
    items: int,
) -> Row:
    run = f"{label}-resnet18-s{seed}-{fingerprint(label)[:16]}"
    manifest = Manifest(
        run=run,
        hash=run,
        config={"method": label, "seed": seed, **CONFIG},
        status="done",
        encoder_digest=run,
        seconds=float(generator.uniform(10, 90)),
        parameters=1000,
        steps=6200,
        images_seen=1_600_000,
        health=Health(verdict="healthy"),
        environment=ENVIRONMENT,
    )
    store.write_manifest(manifest)
    steps = range(0, 6200, 62)
    losses = [{"step": s, "epoch": s // 31, "loss": 5 / (1 + s / 900), "lr": 0.03} for s in steps]
    log = "".join(f"{json.dumps(line)}\n" for line in losses)
    (store.run_folder(run) / "train.jsonl").write_text(log)
    names = {}
    for number in range(evaluations):
        key, plugin = f"e{number}", f"plugin{number}"
        names[key] = f"{plugin}-shapes-0123456789abcdef"
        skill = 0.3 + 0.04 * number + int(label[-2:]) / 200
        right = 100.0 * (generator.random(items) < skill)
        path = store.evaluation_file(run, names[key], ENDING)
        digest = write_spreads(path, {"top1": Spread(float(right.mean()), right, "items")})
        facts = {"evaluation": plugin, "settings": {"k": 20}, "selection": "none"}
        score = Score(value=float(right.mean()), unit="%", higher_is_better=True, n=items)
        record = Record(
            run=run,
            evaluation=plugin,
            dataset="shapes",
            identity="0123456789abcdef",
            status="done",
            scores={"top1": score},
            headline="top1",
            chosen={"lr": 0.1},
            fingerprint=facts,
            fingerprint_sha256=fingerprint(facts),
            encoder_digest=run,
            spread_sha256=digest,
            environment=ENVIRONMENT,
        )
        store.write_record(names[key], record)
    card = {"family": f"family {int(label[-2:]) % 4}"}
    return Row(label=label, seed=seed, run=run, title=label, card=card, evaluations=names)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs the Debian package chromium")
def test_two_hundred_runs_of_eight_evaluations_are_a_page_of_bounded_size(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    generated(tmp_path, 50, 4, 8)
    code = (
        "import sys; from pathlib import Path; from sslbench.cli import app\n"
        f"sys.argv = ['sslbench', 'report', 'many', '--results', {str(tmp_path)!r}]\n"
        "app(standalone_mode=False)\n"
        # Its own peak: getrusage would begin with that of the process that started it.
        "peak = Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0]\n"
        "print(peak, 'torch' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    kibibytes, with_torch = done.stdout.split()[-2:]
    assert int(kibibytes) <= 2**20
    assert with_torch == "False"
    path = tmp_path / "reports" / "many" / "index.html"
    assert path.stat().st_size <= 15 * 2**20
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(path.as_uri())
        page.locator("#table-many-main").wait_for(state="visible")
        assert page.locator("#table-many-main tbody tr").count() == 50
        assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
        browser.close()
    assert complaints == []
