"""Imports go down only; plugins never import one another; labels are out of a method's reach."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYERS = [  # highest first; names on one line never import one another
    {"__main__"},
    {"cli"},
    {"cluster", "scale"},
    {"following"},
    {"runner", "conformance", "publish", "foreign", "gallery", "speed", "verify", "doctor"},
    {"examine"},
    {"report", "evaluate", "train", "weights", "features", "environment"},
    {"feature_writing"},
    {"stages", "feature_files", "spreads", "checkpoints", "sharing"},
    {"ablation"},
    {"store"},
    {"plan"},
    {"protocols"},
    {"study"},
    {"needs", "suite", "card"},
    {"health"},
    {"orders", "feature_pass"},
    {"run"},
    {"methods", "benchmarks"},
    {"api"},
    {"nn", "data", "metrics"},
    {"registry", "stats"},
    {"config"},
    {"collectives"},
    {"memory", "disk", "distributed"},
    {"errors", "allocator", "amx", "commands", "launch", "rendezvous", "stopping"},
]
LEVEL = {name: -row for row, names in enumerate(LAYERS) for name in names}
# The evaluation engine is two files; the trainer records where it ran.
WITHIN = {("evaluate", "features")}


def modules() -> dict[str, Path]:
    found = {}
    for folder, package in (
        ("sslbench", "sslbench"),
        ("methods", "sslbench.methods"),
        ("benchmarks", "sslbench.benchmarks"),
    ):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(path: Path, runtime_only: bool = False) -> set[str]:
    """Modules of ours that a file imports, lazily or not; any relative import is a fault."""
    found = set()
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if runtime_only and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skipped.update(inner for child in node.body for inner in ast.walk(child))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else node.module or "")
    return {name for name in found if name == "sslbench" or name.startswith("sslbench.")}


def layer(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def test_imports_go_down_only() -> None:
    faults = []
    for name, path in MODULES.items():
        if name == "sslbench":
            continue
        here = layer(name)
        assert here in LEVEL, f"{name} has no layer: add it to LAYERS"
        for other in imports(path):
            there = layer(other)
            same = here == there and here not in ("methods", "benchmarks")
            if there == "" or same or (here, there) in WITHIN:
                continue
            if LEVEL[there] >= LEVEL[here]:
                faults.append(f"{name} imports {other}")
    assert not faults


def test_plugins_import_only_what_the_contract_lends() -> None:
    allowed = {"methods": {"api", "nn"}, "benchmarks": {"api", "nn", "data", "metrics", "errors"}}
    faults = [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        if layer(name) in allowed
        for other in imports(path)
        if layer(other) not in allowed[layer(name)]
    ]
    assert not faults


def test_the_engine_names_no_plugin() -> None:
    faults = [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        if layer(name) not in ("methods", "benchmarks")
        for other in imports(path)
        if layer(other) in ("methods", "benchmarks") and other.count(".") > 1
    ]
    assert not faults


def reachable(start: str) -> set[str]:
    seen: set[str] = set()
    stack = [start]
    while stack:
        name = stack.pop()
        if name in seen or name not in MODULES:
            continue
        seen.add(name)
        parents = {name.rsplit(".", 1)[0]} if name.count(".") > 1 else set()
        stack += [*imports(MODULES[name], runtime_only=True), *parents]
    return seen


def test_no_method_and_no_training_loop_can_reach_labels() -> None:
    starts = [m for m in MODULES if m.startswith("sslbench.methods.")]
    for start in [*starts, "sslbench.train.loop", "sslbench.api.method"]:
        assert "sslbench.data.datasets" not in reachable(start), start


def test_the_test_for_labels_would_notice() -> None:
    assert "sslbench.data.datasets" in reachable("sslbench.runner")


def test_every_file_holds_one_idea_in_about_three_hundred_lines() -> None:
    long = {n: p for n, p in MODULES.items() if len(p.read_text().splitlines()) > 300}
    assert not long
