"""A stranger's file is read, or refused with its name; nothing in it is ever run."""

import io
import os
import pickle
import warnings
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sslbench.errors import WeightsError
from sslbench.weights import read_tensors

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(3)}
OLD = {"_use_new_zipfile_serialization": False}


class Touch:
    """What a pickle may do to whoever loads it: here, create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


class Stranger:
    """A class that its author has and nobody else."""


@pytest.mark.parametrize("options", [{}, OLD], ids=["zip", "legacy"])
def test_both_formats_of_torch_are_read(options, tmp_path):
    torch.save({"state_dict": OrderedDict(TENSORS)}, tmp_path / "f.pth", **options)
    read = read_tensors(tmp_path / "f.pth")
    assert list(read) == ["state_dict.a.weight", "state_dict.a.bias"]
    assert torch.equal(read["state_dict.a.weight"], TENSORS["a.weight"])


def test_safetensors_are_read_whatever_the_file_is_called(tmp_path):
    for name in ("f.safetensors", "f.bin"):
        save_file(TENSORS, tmp_path / name)
        assert torch.equal(read_tensors(tmp_path / name)["a.bias"], TENSORS["a.bias"])


@pytest.mark.parametrize("options", [{}, OLD], ids=["zip", "legacy"])
def test_what_the_papers_scripts_save_beside_is_passed_over(options, tmp_path):
    extra = {
        "args": Namespace(arch="resnet50", gpus=[0, 1], inner=Namespace(a=None)),
        "best_acc1": np.float64(67.5),
        "epoch": np.int64(200),
        "type": np.dtype("float32"),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-3}]},
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "history": [torch.zeros(1), (1, "two", b"3", torch.ones(1))],
    }
    torch.save({**extra, "model": TENSORS}, tmp_path / "f.tar", **options)
    assert sorted(read_tensors(tmp_path / "f.tar")) == [
        "history.0",
        "history.1.3",
        "model.a.bias",
        "model.a.weight",
        "optimizer.state.0.exp_avg",
        "parameter",
    ]


def evil(path, kind, made):
    tree = {"state_dict": TENSORS, "args": Touch(made)}
    if kind == "plain pickle":
        path.write_bytes(pickle.dumps({"args": Touch(made)}))
    elif kind == "newer pickle":
        torch.save(tree, path, pickle_protocol=4)
    else:
        torch.save(tree, path, **(OLD if kind == "legacy" else {}))


@pytest.mark.parametrize("kind", ["zip", "legacy", "plain pickle", "newer pickle"])
def test_code_in_a_pickle_is_refused_and_not_run(kind, tmp_path):
    path, made = tmp_path / "evil.pth", tmp_path / "made"
    evil(path, kind, made)
    with pytest.raises(WeightsError, match=r"mkdir") as caught:
        read_tensors(path)
    assert not made.exists()
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "was not run" in message
    assert "torch.save(" in message
    if kind in ("zip", "legacy"):  # the danger was real
        torch.load(path, weights_only=False)
        assert made.is_dir()


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_every_function_that_a_pickle_names_is_told(protocol, tmp_path):
    content = pickle.dumps({"a": os.mkdir, "b": os.rmdir}, protocol)
    (tmp_path / "f.pth").write_bytes(content)
    module = os.mkdir.__module__
    with pytest.raises(WeightsError, match=rf"it names {module}\.mkdir, {module}\.rmdir\."):
        read_tensors(tmp_path / "f.pth")


@pytest.mark.parametrize("options", [{}, OLD], ids=["zip", "legacy"])
def test_a_class_that_nobody_else_has_is_named(options, tmp_path):
    torch.save({"state_dict": TENSORS, "config": Stranger()}, tmp_path / "f.pth", **options)
    with pytest.raises(WeightsError, match=r"f\.pth: holds more than tensors.*names \S*Stranger\."):
        read_tensors(tmp_path / "f.pth")


def test_a_whole_module_is_refused_and_its_classes_are_named(tmp_path):
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), tmp_path / "f.pth")
    with pytest.raises(WeightsError, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_tensors(tmp_path / "f.pth")


def test_a_torchscript_archive_is_named_for_what_it_is(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "f.pt"))
    with pytest.raises(WeightsError, match=r"f\.pt: is a TorchScript archive"):
        read_tensors(tmp_path / "f.pt")


def saved(**options):
    buffer = io.BytesIO()
    torch.save({"state_dict": {"w": torch.randn(300)}}, buffer, **options)
    return buffer.getvalue()


def safe():
    from safetensors.torch import save

    return save({"w": torch.randn(300)})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (saved()[:-40], "is cut short"),
        (saved(**OLD)[:-40], "damaged, cut short"),
        (saved(**OLD)[:60], "damaged, cut short"),
        (safe()[:-40], "damaged or cut short"),
        (safe()[:20], "damaged or cut short"),
        (b"<!DOCTYPE html><html>404</html>", "no checkpoint of PyTorch"),
        (bytes(range(256)) * 4, "no checkpoint of PyTorch"),
        (pickle.dumps({"lr": 0.1}, 2), "no checkpoint of PyTorch"),
    ],
)
def test_a_damaged_file_is_one_message_that_names_it(content, message, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        read_tensors(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_folder_a_missing_file_and_a_file_without_tensors_are_told_apart(tmp_path):
    with pytest.raises(WeightsError, match="is a folder"):
        read_tensors(tmp_path)
    with pytest.raises(WeightsError, match="no such file"):
        read_tensors(tmp_path / "none.pth")
    torch.save({"epoch": 3}, tmp_path / "f.pth")
    with pytest.raises(WeightsError, match="holds no tensors, only a dict"):
        read_tensors(tmp_path / "f.pth")
    torch.save({"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}}, tmp_path / "f.pth")
    with pytest.raises(WeightsError, match=r"two tensors called 'a\.b'"):
        read_tensors(tmp_path / "f.pth")


def test_a_container_that_holds_itself_ends(tmp_path):
    tree = {"w": torch.ones(1)}
    tree["self"] = tree
    torch.save(tree, tmp_path / "f.pth")
    assert list(read_tensors(tmp_path / "f.pth")) == ["w"]


def test_what_is_allowed_here_is_allowed_nowhere_else(tmp_path):
    torch.save({"args": Namespace(), "w": torch.ones(1)}, tmp_path / "f.pth")
    read_tensors(tmp_path / "f.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(Path(tmp_path / "f.pth"), weights_only=True)
