"""Frozen features: what they are, when they are encoded, and that no file is ever the wrong one."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from sslbench.data.datasets import open_dataset
from sslbench.data.spec import dataset_spec
from sslbench.environment import environment
from sslbench.errors import ConfigError, DataError, Diverged, Interrupted, StoreError
from sslbench.evaluate import evaluate
from sslbench.feature_files import read_header
from sslbench.features import FeatureStore
from sslbench.nn.config import EncoderConfig
from sslbench.nn.digest import tensors_digest
from sslbench.nn.encoder import Encoder
from sslbench.run import EvaluationConfig, Preprocessing
from sslbench.store import Store

CPU = torch.device("cpu")
TINY = EncoderConfig(
    name="resnet18", options={"layers": [1, 1, 1, 1], "channels": [4, 8, 8, 16]}, stem="small"
)
LOOKS = Preprocessing(image_size=32)


@pytest.fixture(scope="module")
def dataset():
    return open_dataset(dataset_spec("objects_tiny"), None)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Encoder(TINY)


@pytest.fixture
def passes(monkeypatch):
    """The number of images of every forward pass of any encoder."""
    counted = []
    plain = Encoder.normalized
    monkeypatch.setattr(
        Encoder, "normalized", lambda self, x: (counted.append(len(x)), plain(self, x))[1]
    )
    return counted


@pytest.fixture
def features(dataset, encoder, tmp_path):
    def ask(split="train", layer=-1, looks=LOOKS, *, encoder=encoder, data=dataset, progress=None):
        return FeatureStore(tmp_path / "features").features(
            encoder,
            data,
            split,
            layer,
            looks,
            seed=0,
            device=CPU,
            workers=0,
            on_progress=progress or (lambda done, total: None),
        )

    return ask


@pytest.fixture
def files(tmp_path):
    return lambda: sorted((tmp_path / "features").glob("*"))


# ---- what they are ----------------------------------------------------------------------------


def test_they_are_the_encoder_s_output_in_eval_mode_and_order(encoder, dataset, features):
    encoder.train()
    before = tensors_digest(encoder.state_dict())
    found = features("test")
    assert encoder.training
    assert tensors_digest(encoder.state_dict()) == before
    pixels = torch.stack([dataset.images("test").read(p) for p in (0, 100, 191)]) / 255
    with torch.no_grad():
        expected = encoder.eval()(pixels)
    torch.testing.assert_close(found.x[[0, 100, 191]], expected)
    assert found.x.dtype == torch.float32
    assert found.y.tolist() == dataset.labels("test").tolist()
    assert found.index.tolist() == list(range(192))


def test_fit_and_held_out_divide_the_training_images(dataset, features, files):
    train, fit, held = (features(split) for split in ("train", "fit", "held_out"))
    assert sorted(fit.index.tolist() + held.index.tolist()) == train.index.tolist()
    assert len(held.index) == dataset.held_out(0).sum()
    assert torch.equal(held.x, train.x[held.index])
    assert torch.equal(fit.y, train.y[fit.index])
    assert len(files()) == 1


def test_a_layer_is_a_feature_map_averaged_over_positions(encoder, dataset, features):
    with torch.no_grad():
        maps = encoder.eval().feature_maps(dataset.images("test").read(0)[None] / 255)
    for layer in (0, -2):
        found = features("test", layer)
        torch.testing.assert_close(found.x[:1], maps[layer].mean(dim=(2, 3)), rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match="layer 9: encoder 'resnet18' has"):
        features("test", 9)


def test_the_header_says_what_a_file_holds(encoder, features, files):
    x = features("test", 1).x
    header = read_header(*files())
    assert header.encoder_digest == tensors_digest(encoder.state_dict())
    found = (header.encoder, header.dataset, header.split, header.layer, header.rows, header.dim)
    assert found == ("resnet18", "objects_tiny", "test", 1, *x.shape)
    assert header.preprocessing == LOOKS.hashed()


def test_what_is_written_into_them_reaches_no_file_and_no_other(features, files):
    one = features("test").x
    before, bytes_before = one.clone(), files()[0].read_bytes()
    one.zero_()
    assert torch.equal(features("test").x, before)
    assert files()[0].read_bytes() == bytes_before


def test_those_of_every_split_are_pages_of_a_file(features, files, tmp_path):
    def mapped():
        lines = Path("/proc/self/maps").read_text().splitlines()
        return [line for line in lines if str(tmp_path / "features") in line]

    train = features("train")
    assert [str(files()[0]) in line for line in mapped()] == [True]
    fit = features("fit")
    assert len(mapped()) == 2
    fit.x[:1] = 0.0  # a page of this process alone
    assert torch.equal(features("fit").x, train.x[fit.index])
    assert len(files()) == 1


# ---- when they are encoded --------------------------------------------------------------------


def test_a_second_evaluation_reads_what_the_first_has_encoded(encoder, dataset, tmp_path, passes):
    store = Store(tmp_path)

    def evaluated(name, settings, run):
        wanted = EvaluationConfig(
            evaluation=name, settings=settings, version=1, dataset=dataset.spec, preprocessing=LOOKS
        )
        record = evaluate(
            wanted,
            encoder,
            {},
            dataset,
            run=run,
            seed=0,
            store=store,
            features=FeatureStore(store.features_folder),
            device=CPU,
            environment=environment(CPU),
            workers=0,
            on_progress=lambda done, total: None,
        )
        assert record.status == "done", record.reason

    evaluated("knn", {"neighbours": [1, 20]}, "one")
    assert sum(passes) == 384 + 192
    evaluated("knn", {"neighbours": [5], "headline": 5}, "one")
    evaluated("linear_probe", {"epochs": 1}, "another")
    assert sum(passes) == 384 + 192


def test_all_that_features_depend_on_has_a_file_of_its_own(encoder, dataset, features, files):
    one = features("test").x.clone()
    subset = open_dataset(dataset.spec.model_copy(update={"subset": {"test": 100}}), None)
    twin = Encoder(TINY.model_copy(update={"bn_splits": 2}))
    twin.load_state_dict(encoder.state_dict())
    for number, change in enumerate(
        (
            {"split": "train"},
            {"layer": 0},
            {"looks": LOOKS.model_copy(update={"filter": "bicubic"})},
            {"looks": LOOKS.model_copy(update={"crop_fraction": 0.7})},
            {"data": subset},
            {"encoder": twin},
        ),
        start=2,
    ):
        features(**{"split": "test", **change})
        assert len(files()) == number
    with torch.no_grad():
        encoder.network.conv1.weight.data.mul_(-1)  # in place, and unseen by version counters
    assert not torch.equal(features("test").x, one)
    assert len(files()) == 8


def test_other_data_under_the_same_name_is_encoded_anew(dataset, features, files, monkeypatch):
    features("test")
    other = open_dataset(dataset.spec, None)
    monkeypatch.setitem(other.__dict__, "digest", "0" * 64)
    features("test", data=other)
    assert len(files()) == 2


# ---- what goes wrong --------------------------------------------------------------------------


def _stop(done, total):
    if done > 256:
        raise Interrupted("stop")


def test_an_interrupted_pass_goes_on_with_the_next_batch(encoder, features, files, passes):
    encoder.train()
    with pytest.raises(Interrupted):
        features(progress=_stop)
    assert not any(path.suffix == ".safetensors" for path in files())
    assert encoder.training
    passes.clear()
    found = features().x.clone()
    assert sum(passes) == 384 - 256
    (path,) = files()
    path.unlink()
    assert torch.equal(features().x, found)


def test_rows_that_are_not_as_they_were_noted_are_encoded_again(features, files, passes):
    for damage in (lambda rows: rows[:-4], lambda rows: rows[:-1] + bytes([rows[-1] ^ 1])):
        with pytest.raises(Interrupted):
            features(progress=_stop)
        (growing,) = (path for path in files() if path.suffix == ".tmp")
        growing.write_bytes(damage(growing.read_bytes()))
        passes.clear()
        features()
        assert sum(passes) == 384
        (path,) = files()
        path.unlink()


def test_an_encoder_that_diverged_is_told_from_a_bad_one(encoder, features, files):
    with torch.no_grad():
        next(encoder.parameters()).fill_(float("nan"))
    with pytest.raises(Diverged, match="192 of 192 images of objects_tiny"):
        features("test")
    assert files() == []


def test_a_damaged_file_is_named_and_never_computed_anew(features, files, passes):
    features("test")
    (path,) = files()
    whole = path.read_bytes()
    passes.clear()
    for damaged in (whole[:-4], whole[: len(whole) // 2], whole[:100], b"", whole + b"more"):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"\.safetensors: damaged features .*Remove the file"):
            features("test")
        assert path.read_bytes() == damaged
    assert passes == []


def test_features_under_another_name_are_refused(features, files):
    features("test")
    (test,) = files()
    features("train")
    (train,) = set(files()) - {test}
    shutil.copy(train, test)
    with pytest.raises(StoreError, match="it holds other features"):
        features("test")


def test_a_full_disk_is_told_before_anything_is_written(features, files, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(StoreError, match=r"0\.00 are free.*features --prune"):
        features("test")
    assert files() == []


def test_a_folder_that_cannot_be_written_is_a_store_error(features, tmp_path):
    (tmp_path / "features").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="cannot be written"):
        features("test")


def test_images_without_a_label_each_are_an_error_before_they_are_encoded(
    dataset, features, passes, monkeypatch
):
    monkeypatch.setattr(dataset, "labels", lambda split: type(dataset).labels(dataset, split)[1:])
    with pytest.raises(DataError, match="192 images, 191 rows of labels"):
        features("test")
    assert passes == []


def test_reading_marks_a_file_as_used(features, files):
    features("test")
    os.utime(files()[0], (1, 1))
    features("test")
    assert files()[0].stat().st_mtime > 1e9
