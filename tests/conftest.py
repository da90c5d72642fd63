"""One thread per test process: the same bits everywhere, and no fight for cores."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # read by torch and faiss when they are first imported
# Of the first process, for the session: workers and commands find what was rendered once.
os.environ["SSLBENCH_CACHE"] = os.environ.get("SSLBENCH_CACHE") or tempfile.mkdtemp("-tests")

import torch
from PIL import Image

torch.set_num_threads(1)
SLOW_SECONDS = 1800.0  # until a slow test counts as hanging, on cores that other tests share


def pytest_unconfigure() -> None:
    cache = Path(os.environ["SSLBENCH_CACHE"])
    if cache.name.endswith("-tests") and "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(cache, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


@pytest.fixture(scope="module")
def plain_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data/plain``: two classes of plain colours as files, 24 and 12 images."""
    tmp_path = tmp_path_factory.mktemp("plain")
    for split, count in (("train", 24), ("test", 12)):
        for number, (name, colour) in enumerate((("red", (220, 30, 30)), ("blue", (30, 30, 220)))):
            place = tmp_path / "data" / "plain" / split / name
            place.mkdir(parents=True)
            for position in range(count // 2):
                shade = tuple(min(255, c + position + number) for c in colour)
                Image.new("RGB", (20, 24), shade).save(place / f"{position}.png")
    return tmp_path


@pytest.fixture
def sealed() -> Callable[[dict[str, Any]], str]:
    """A record, manifest or plan that was changed, as text, as if it had been written so."""
    from sslbench.config import fingerprint
    from sslbench.store import SEAL

    def text(tree: dict[str, Any]) -> str:
        plain = {key: value for key, value in tree.items() if key != SEAL}
        return json.dumps({**plain, SEAL: fingerprint(plain)})

    return text


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package ``toyssl`` with the method ``toy`` as entry point, as pip would install it."""
    package = tmp_path / "toyssl"
    package.mkdir()
    (package / "__init__.py").write_text("")
    info = tmp_path / "toyssl-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toyssl\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sslbench.methods]\ntoy = toyssl.toy\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("toyssl", "toyssl.toy"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    from sslbench.api import methods

    monkeypatch.delitem(methods._classes, "toy", raising=False)
    return package


@pytest.fixture
def here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command in this process: for what computes nothing, without the price of imports."""
    from sslbench.cli import main

    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.delenv("SSLBENCH_DATA", raising=False)

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["sslbench", *arguments])
        code: int | str | None = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(code or 0), out, err)

    return call
