"""``sslbench evaluate``: from a file of weights to a row of a suite's table."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sslbench.nn.digest import tensors_digest

ROOT = Path(__file__).resolve().parents[2]
VIT = {
    "name": "vit_tiny_patch16_224",
    "options": {"embed_dim": 24, "depth": 2, "num_heads": 3, "img_size": 16, "patch_size": 8},
    "stem": "imagenet",
}
SUITE = """
title: noise of two colours
methods: [simclr]
baselines: []
datasets:
  plain:
    source: folder
    folder: plain
    levels: [{name: colour, classes: 2}]
    splits: {train: null, test: null}
encoder: {name: resnet50, options: {layers: [1, 1, 1, 1], channels: [8, 16, 32, 64]}, stem: small}
pretrain: {dataset: plain, epochs: 1, batch_size: 8, image_size: 16, augment: crop,
           optim: {name: sgd, lr: 0.01}}
evaluations:
  knn: {protocol: knn, dataset: plain, settings: {neighbours: [3, 20]}}
  linear: {protocol: linear_probe, dataset: plain, settings: {epochs: 3}}
tables: {main: {describe: [year], columns: {kNN: knn.top1, Linear: linear.top1}}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A suite file and its images, too noisy to be told apart without fail."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 16)):
        for name, shift in (("red", 0), ("blue", 2)):
            (folder / "data/plain" / split / name).mkdir(parents=True)
            for position in range(count):
                pixels = rng.integers(0, 200, (18, 18, 3))
                pixels[..., shift] += 25
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(folder / "data/plain" / split / name / f"{position}.png")
    (folder / "plain.yaml").write_text(SUITE)
    return folder


@pytest.fixture
def evaluate(place, here, tmp_path):
    """The command on a file, with results in the test's own folder."""

    def call(file, *arguments, results=tmp_path / "results"):
        common = ("--suite", str(place / "plain.yaml"), "--data", str(place / "data"))
        common += ("--results", str(results), "--workers", "0", "--device", "cpu")
        return here("evaluate", "--weights", str(file), *common, *arguments)

    return call


def one(folder, pattern):
    (found,) = folder.glob(pattern)
    return json.loads(found.read_text())


def scores(results):
    """Of each record its numbers, what was chosen, and the outcome of every image."""
    records = [json.loads(p.read_text()) for p in results.glob("runs/*/evaluations/*.json")]
    kept = ("scores", "chosen", "outcomes_sha256", "encoder_digest")
    return {r["evaluation"]: tuple(r[key] for key in kept) for r in records}


def test_a_file_becomes_a_run_with_everything_that_a_trained_one_has(
    evaluate, encoder, tensors, layouts, tmp_path
):
    torch.save(layouts["moco"](tensors), tmp_path / "moco_v2_200ep.pth.tar")
    done = evaluate(tmp_path / "moco_v2_200ep.pth.tar")
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = sum(not n.endswith("num_batches_tracked") for n in tensors)
    assert f"loaded {wanted} of {wanted} tensors" in done.stdout
    assert "unexpected 4: state_dict.module.encoder_q.fc.0.weight" in done.stdout
    assert "other networks that fit: state_dict.module.encoder_k." in done.stdout
    results = tmp_path / "results"
    manifest = one(results, "runs/weights-resnet50-s0-*/manifest.json")
    assert (manifest["status"], manifest["steps"]) == ("done", 0)
    source = manifest["config"]["weights"]
    assert source["file"] == "moco_v2_200ep.pth.tar"
    assert source["prefix"] == "state_dict.module.encoder_q."
    assert (source["loaded"], source["missing"], source["unexpected"]) == (wanted, 0, 4)
    assert str(tmp_path) not in json.dumps(manifest)
    (exported,) = results.glob("runs/*/encoder.safetensors")
    digest = tensors_digest(load_file(exported))
    assert digest == manifest["encoder_digest"] == tensors_digest(encoder.state_dict())
    assert {v[3] for v in scores(results).values()} == {digest}
    assert len(list(results.glob("runs/*/evaluations/*.parquet"))) >= 2
    plan = one(results, "tables/plain/plan.json")
    assert [(row["label"], row["title"]) for row in plan["rows"]] == [("moco_v2_200ep",) * 2]
    table = (results / "tables/plain/main.md").read_text()
    assert "moco_v2_200ep" in table
    assert f"SHA-256 {source['sha256'][:16]}" in table


def test_the_second_call_does_nothing_and_says_so(evaluate, tensors, tmp_path, sealed):
    torch.save(tensors, tmp_path / "bare.pth")
    assert evaluate(tmp_path / "bare.pth").returncode == 0
    files = sorted(p for p in (tmp_path / "results/runs").rglob("*") if p.is_file())
    before = {p: p.stat().st_mtime_ns for p in files}
    again = evaluate(tmp_path / "bare.pth")
    assert "Nothing to do: all 2 stages have their records" in again.stdout
    files = sorted(p for p in (tmp_path / "results/runs").rglob("*") if p.is_file())
    assert {p: p.stat().st_mtime_ns for p in files} == before
    (record,) = (tmp_path / "results").glob("runs/*/evaluations/knn-*.json")
    tree = json.loads(record.read_text())
    digest = tree["encoder_digest"]
    tree["encoder_digest"] = "0" * 64  # of another encoder, not an edited record
    record.write_text(sealed(tree))
    assert "Nothing to do" not in evaluate(tmp_path / "bare.pth").stdout
    assert json.loads(record.read_text())["encoder_digest"] == digest


def test_every_named_layout_scores_as_the_encoder_itself(
    evaluate, encoder, tensors, layouts, tmp_path
):
    save_file(encoder.state_dict(), tmp_path / "plain.safetensors")
    evaluate(tmp_path / "plain.safetensors", results=tmp_path / "plain")
    expected = scores(tmp_path / "plain")
    assert set(expected) == {"knn", "linear_probe"}
    torch.save(layouts["moco"](tensors), tmp_path / "k.pth")
    evaluate(tmp_path / "k.pth", "--prefix", "encoder_k", results=tmp_path / "k")
    other = scores(tmp_path / "k")
    assert all(other[name][2] != expected[name][2] for name in expected)  # outcomes can tell
    assert other["knn"][0] != expected["knn"][0]
    for name in ("moco", "hcsc", "swav", "dino", "torchvision", "lightly"):
        torch.save(layouts[name](tensors), tmp_path / f"{name}.pth")
        done = evaluate(tmp_path / f"{name}.pth", "--label", "x", results=tmp_path / name)
        assert done.returncode == 0, done.stderr
        assert scores(tmp_path / name) == expected
        shutil.rmtree(tmp_path / name)


def test_a_vision_transformer_from_dinos_file_is_evaluated(evaluate, make, bare, layouts, tmp_path):
    encoder = make(**VIT)
    torch.save(layouts["dino"](bare(encoder)), tmp_path / "vit.pth")
    change = f"encoder.options={json.dumps(VIT['options'])}"
    done = evaluate(tmp_path / "vit.pth", "--encoder", VIT["name"], "--set", change)
    assert done.returncode == 0, done.stderr
    manifest = one(tmp_path / "results", "runs/weights-vit_tiny_patch16_224-s0-*/manifest.json")
    assert manifest["encoder_digest"] == tensors_digest(encoder.state_dict())


def rows(results):
    plan = one(results, "tables/plain/plan.json")
    return [(row["label"], row["seed"], row["run"]) for row in plan["rows"]], plan["command"]


def test_a_label_of_a_method_takes_its_title_and_card(evaluate, tensors, tmp_path):
    torch.save(tensors, tmp_path / "f.pth")
    done = evaluate(tmp_path / "f.pth", "--label", "moco@v1")
    assert done.returncode == 0, done.stderr
    (row,) = one(tmp_path / "results", "tables/plain/plan.json")["rows"]
    assert row["title"] == "MoCo"
    assert row["card"]["year"] == 2019
    assert "2019" in (tmp_path / "results/tables/plain/main.md").read_text()


def test_rows_are_replaced_by_label_and_seed_and_others_stay(
    evaluate, tensors, make, bare, tmp_path
):
    results = tmp_path / "results"
    torch.save(tensors, tmp_path / "one.pth")
    torch.save(bare(make(seed=2)), tmp_path / "two.pth")
    assert evaluate(tmp_path / "one.pth", "--label", "hcsc").returncode == 0
    assert evaluate(tmp_path / "one.pth").returncode == 0
    assert evaluate(tmp_path / "one.pth", "--label", "hcsc", "--seeds", "1").returncode == 0
    before, command = rows(results)
    assert [(label, seed) for label, seed, _ in before] == [("hcsc", 0), ("hcsc", 1), ("one", 0)]
    assert [c.split("--label ")[1][:4] for c in command.split(" && ")] == ["one ", "hcsc"]
    # Half of a line replaced would be a mean over two encoders.
    done = evaluate(tmp_path / "two.pth", "--label", "hcsc")
    assert done.returncode == 2
    assert "--seeds 0,1" in done.stderr
    assert rows(results)[0] == before
    assert evaluate(tmp_path / "two.pth", "--label", "hcsc", "--seeds", "0,1").returncode == 0
    after, _ = rows(results)
    assert [(label, seed) for label, seed, _ in after] == [("hcsc", 0), ("hcsc", 1), ("one", 0)]
    assert after[2] == before[2]
    assert not {run for _, _, run in after[:2]} & {run for _, _, run in before}


def test_missing_tensors_stand_in_report_manifest_and_table(evaluate, tensors, tmp_path):
    file = {n: t for n, t in tensors.items() if not n.startswith("layer4.0.conv1")}
    torch.save(file, tmp_path / "holed.pth")
    refused = evaluate(tmp_path / "holed.pth")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"sslbench: {tmp_path / 'holed.pth'}: encoder 'resnet50'")
    assert not (tmp_path / "results").exists()
    done = evaluate(tmp_path / "holed.pth", "--allow-missing")
    assert done.returncode == 0, done.stderr
    assert "missing 1: layer4.0.conv1.weight" in done.stdout
    manifest = one(tmp_path / "results", "runs/*/manifest.json")
    assert manifest["config"]["weights"]["missing"] == 1
    assert "tensors were missing" in (tmp_path / "results/tables/plain/main.md").read_text()


def test_an_interrupted_call_leaves_no_record_and_the_same_call_goes_on(
    evaluate, tensors, tmp_path, monkeypatch
):
    torch.save(tensors, tmp_path / "f.pth")
    with monkeypatch.context() as patch:
        patch.setattr("sslbench.cli.signals.Stop.__call__", lambda stop: True)
        stopped = evaluate(tmp_path / "f.pth")
    assert stopped.returncode == 130
    assert scores(tmp_path / "results") == {}
    assert evaluate(tmp_path / "f.pth").returncode == 0
    assert set(scores(tmp_path / "results")) == {"knn", "linear_probe"}


def test_an_evaluation_that_fails_is_recorded_and_tried_again_and_the_next_goes_on(
    evaluate, make, bare, tmp_path
):
    torch.save(bare(make(**VIT)), tmp_path / "f.pth")
    call = ("--encoder", VIT["name"], "--set", f"encoder.options={json.dumps(VIT['options'])}")
    call += ("--set", "evaluations.knn.image_size=24")  # this encoder takes 16 pixels only
    done = evaluate(tmp_path / "f.pth", *call)
    assert done.returncode == 1
    assert "1 stages failed" in done.stderr
    records = scores(tmp_path / "results")
    assert not records["knn"][0]
    assert records["linear_probe"][0]
    assert "failed" in (tmp_path / "results/tables/plain/main.md").read_text()
    again = evaluate(tmp_path / "f.pth", *call)
    assert "1 stages failed" in again.stderr
    assert "Nothing to do" not in again.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--label", "moco@v9"), "no variant 'v9'"),
        (("--label", "random"), "no row for an encoder from a file"),
        (("--encoder", "resnet5"), "resnet5"),
        (("--set", "pretrain.epochs=3"), "nothing is trained here"),
        (("--set", "params.x=3"), "nothing is trained here"),
        (("--prefix", "encoder_q"), "none of the encoder's tensors"),
        (("--seeds", "a"), "whole numbers"),
        (("--encoder", "resnet18"), "resnet18"),
    ],
)
def test_a_mistake_ends_in_one_message_and_writes_nothing(
    evaluate, tensors, tmp_path, arguments, message
):
    torch.save(tensors, tmp_path / "f.pth")
    done = evaluate(tmp_path / "f.pth", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_help_imports_no_torch():
    code = (
        "import sys; sys.argv = ['sslbench', 'evaluate', '--help']\n"
        "from sslbench.cli import app\n"
        "try: app()\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--allow-missing" in done.stdout
