"""Suites, methods and records that a stranger or a slip of the hand has changed.

Of YAML: one message or a plan, never a traceback. Of what a run has written: one message or the
very table that it was, never another.
"""

import contextlib
import io
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sslbench.cli import main
from sslbench.registry import METHODS
from sslbench.suite import suite_names
from tests.soak.count import Count

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 3.5, 10**30, float("inf"), float("nan"), "", "auto", "../../etc/passwd",
    "<script>alert(1)</script>", "\\input{x}", "é" * 300, "2026-01-01", [], {}, [None], [[1]],
    {"a": {"b": []}}, {"": 1}, "{", "knn.top1", "all",
)  # fmt: skip
SNIPPETS = (
    "\t",
    "- ",
    ": ",
    "\x00",
    "{",
    "]",
    "&a ",
    "*a",
    "!!python/object:os.system ",
    "%",
    "\u2028",
)


@st.composite
def _texts(draw: st.DrawFn, texts: list[tuple[str, str]]) -> tuple[str, str]:
    """One of the texts by its name, changed in its tree, in its lines or in its letters."""
    name, text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 3))):
        change = draw(st.sampled_from((_in_tree, _in_lines, _in_letters)))
        text = change(draw, text)
    return name, text


def _in_tree(draw: st.DrawFn, text: str) -> str:
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text
    places = list(_places(tree))
    if not places:
        return text
    holder, key = draw(st.sampled_from(places))
    match draw(st.sampled_from(("value", "gone", "renamed"))):
        case "value":
            holder[key] = draw(st.sampled_from(VALUES))
        case "gone":
            del holder[key]
        case "renamed" if isinstance(holder, dict):
            holder[draw(st.sampled_from(("x", "", "../x", "name", 3, None)))] = holder.pop(key)
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(tree) if isinstance(tree, dict) else []
    keys = list(range(len(tree))) if isinstance(tree, list) else keys
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def _in_lines(draw: st.DrawFn, text: str) -> str:
    lines = text.splitlines() or [""]
    at = draw(st.integers(0, len(lines) - 1))
    match draw(st.sampled_from(("gone", "twice", "indented"))):
        case "gone":
            del lines[at]
        case "twice":
            lines.insert(at, lines[at])
        case "indented":
            lines[at] = "  " + lines[at]
    return "\n".join(lines) + "\n"


def _in_letters(draw: st.DrawFn, text: str) -> str:
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.sampled_from(SNIPPETS)) + text[at + draw(st.integers(0, 3)) :]


def mutations(suites: int = 300, methods: int = 200, records: int = 200) -> Iterator[Count]:
    yield _suites(suites)
    yield _methods(methods)
    yield _records(records)


def _tried(strategy: st.SearchStrategy[Any], trials: int, attempt: Callable[[Any], None]) -> None:
    """The same trials every time; one that fails is counted, and the others go on."""

    @settings(
        max_examples=trials,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(example: Any) -> None:
        attempt(example)

    run()


def _suites(trials: int) -> Count:
    count = Count("mutated suites")
    folder = resources.files("sslbench.benchmarks.suites")
    texts = [(name, folder.joinpath(f"{name}.yaml").read_text("utf-8")) for name in suite_names()]
    with tempfile.TemporaryDirectory() as scratch:

        def attempt(example: tuple[str, str]) -> None:
            name, text = example
            path = Path(scratch, "mutated.yaml")
            path.write_text(text, encoding="utf-8")
            said = _sslbench("run", "--suite", str(path), "--dry-run", "--results", scratch + "/r")
            count.add(*_judged(name, *said))

        _tried(_texts(texts), trials, attempt)
    return count


def _methods(trials: int) -> Count:
    """The YAML beside a method, as a plugin of a stranger's brings its own."""
    count = Count("mutated methods")
    folder = resources.files("sslbench.methods")
    texts = [(n, folder.joinpath(f"{n}.yaml").read_text("utf-8")) for n in METHODS.names()]
    read = resources.files

    def attempt(example: tuple[str, str]) -> None:
        name, text = example

        class Folder:
            def joinpath(self, file: str) -> Any:
                return _File(text) if file == f"{name}.yaml" else folder.joinpath(file)

        def files(package: str) -> Any:
            return Folder() if package == "sslbench.methods" else read(package)

        resources.files = files  # type: ignore[assignment]
        try:
            for words in (
                ("run", "--suite", "smoke", "--methods", f"{name}@*", "--dry-run"),
                ("show", name),
                ("list",),
            ):
                count.add(*_judged(name, *_sslbench(*words)))
        finally:
            resources.files = read

    _tried(_texts(texts), trials // 3 + 1, attempt)
    return count


class _File:
    def __init__(self, text: str) -> None:
        self.text = text

    def is_file(self) -> bool:
        return True

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.text


def _records(trials: int) -> Count:
    count = Count("mutated records")
    with tempfile.TemporaryDirectory() as scratch:
        results = Path(scratch, "results")
        words = ("run", "--suite", "smoke", "--methods", "simclr,moco", "--results", str(results))
        code, said = _sslbench(*words, "--workers", "0")
        if code:
            raise RuntimeError(said)
        files = [
            *results.glob("runs/*/manifest.json"),
            *results.glob("runs/*/evaluations/*.json"),
            *results.glob("tables/*/plan.json"),
        ]
        wholes = {str(path.relative_to(results)): path.read_text() for path in files}
        table = results / "tables" / "smoke" / "main.md"
        expected = table.read_text()

        def attempt(example: tuple[str, str]) -> None:
            name, text = example
            copy = Path(scratch, "copy")
            shutil.copytree(results, copy)
            (copy / name).write_text(text, encoding="utf-8", errors="surrogatepass")
            code, said = _sslbench("table", "smoke", "--results", str(copy))
            made = (copy / "tables" / "smoke" / "main.md").read_text()
            shutil.rmtree(copy)
            holds, where, why = _judged(Path(name).name.partition("-")[0], code, said)
            if holds and code == 0 and made != expected:
                holds, why = False, f"another table: {made}"
            count.add(holds, where, why)

        _tried(_json_texts(list(wholes.items())), trials, attempt)
    return count


@st.composite
def _json_texts(draw: st.DrawFn, texts: list[tuple[str, str]]) -> tuple[str, str]:
    name, text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 3))):
        text = draw(st.sampled_from((_in_json, _digit, _in_lines, _in_letters)))(draw, text)
    return name, text


def _in_json(draw: st.DrawFn, text: str) -> str:
    try:
        tree = json.loads(text)
    except ValueError:
        return text
    places = list(_places(tree))
    if places:
        holder, key = draw(st.sampled_from(places))
        holder[key] = draw(st.sampled_from(VALUES))
    return json.dumps(tree, indent=1)


def _digit(draw: st.DrawFn, text: str) -> str:
    """One digit is another."""
    digits = [found.start() for found in re.finditer(r"\d", text)]
    if not digits:
        return text
    at = draw(st.sampled_from(digits))
    return text[:at] + str((int(text[at]) + draw(st.integers(1, 9))) % 10) + text[at + 1 :]


def _sslbench(*words: str) -> tuple[int, str]:
    """The command in this process: its code and what it said, with a traceback if there was one."""
    out = io.StringIO()
    before = sys.argv
    sys.argv = ["sslbench", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            main()
        code = 0
    except SystemExit as ended_with:
        code = int(ended_with.code or 0) if not isinstance(ended_with.code, str) else 1
    except BaseException as error:
        import traceback

        return 70, "".join(traceback.format_exception(error))
    finally:
        sys.argv = before
    return code, out.getvalue()


def _judged(where: str, code: int, said: str) -> tuple[bool, str, str]:
    """It holds if it ended well or with one message."""
    return code in (0, 1, 2) and "Traceback" not in said, where, f"exit {code}: {said[-1500:]}"
