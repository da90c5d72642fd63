"""What pyproject.toml lists is what the folders hold, and a wheel carries all of it."""

import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def folders() -> dict[str, Path]:
    found = {}
    for folder, package in (
        ("sslbench", "sslbench"),
        ("methods", "sslbench.methods"),
        ("benchmarks", "sslbench.benchmarks"),
    ):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".yaml") and "__pycache__" not in path.parts:
                parts = path.parent.relative_to(ROOT / folder).parts
                found[".".join((package, *parts))] = path.parent
    return found


def test_every_folder_with_code_is_a_listed_package() -> None:
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(folders())


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment_and_elsewhere(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    wheel = next(tmp_path.glob("*.whl"))
    names = set(zipfile.ZipFile(wheel).namelist())
    for package, folder in folders().items():
        for path in folder.glob("*"):
            if path.suffix in (".py", ".yaml"):
                assert f"{package.replace('.', '/')}/{path.name}" in names
    # An environment of its own, which finds the heavy dependencies where they already lie.
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", wheel], check=True)
    site = next((tmp_path / "env/lib").glob("python3*")) / "site-packages"
    own = next(p for p in sys.path if p.endswith("site-packages"))
    (site / "shared.pth").write_text(own + "\n")
    done = subprocess.run(
        [tmp_path / "env/bin/sslbench", "list"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "hcsc" in done.stdout
    where = subprocess.run(
        [python, "-c", "import sslbench.methods.moco as m; print(m.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(tmp_path) in where.stdout


def test_a_bare_checkout_runs_from_its_root() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sslbench", "list", "--methods"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_help_and_list_and_table_import_no_torch() -> None:
    program = (
        "import sys\n"
        "sys.argv = ['sslbench', *sys.argv[1:]]\n"
        "from sslbench.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    for arguments in (["--help"], ["run", "--help"], ["list"], ["table", "none-such"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "torch was imported" not in done.stderr, arguments


def test_every_dependency_says_what_it_is_for() -> None:
    lines = (
        (ROOT / "pyproject.toml")
        .read_text()
        .split("dependencies = [")[1]
        .split("]")[0]
        .splitlines()
    )
    assert all("#" in line for line in lines if line.strip())
