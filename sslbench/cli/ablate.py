"""``sslbench ablate``: what single settings are worth, each against one shared base run."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sslbench.cli.options import (
    RESULTS,
    DataOption,
    DeviceOption,
    DownloadOption,
    DryRunOption,
    FailFastOption,
    ResultsOption,
    SeedsOption,
    SetOption,
    TrackerOption,
    WorkersOption,
    command_line,
    data_root,
)
from sslbench.launch import is_speaker

if TYPE_CHECKING:
    from sslbench.study import StudyConfig
    from sslbench.suite import Suite


def ablate(
    name: Annotated[
        str,
        typer.Argument(
            metavar="METHOD|STUDY",
            help="A method to vary, such as hcsc; or a study (see list), or its .yaml file.",
        ),
    ],
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            help="KEY=[A, B ...], such as 'params.levels=[1, 2, 3]'; may be repeated: one factor "
            "at a time, each against the same base.",
        ),
    ] = None,
    product: Annotated[
        bool,
        typer.Option("--product", help="Two factors: every level of one with each of the other."),
    ] = False,
    suite: Annotated[
        str | None,
        typer.Option("--suite", "-s", help="Default: the study's own, or quick."),
    ] = None,
    seeds: SeedsOption = None,
    set_: SetOption = None,
    results: ResultsOption = RESULTS,
    data: DataOption = None,
    download: DownloadOption = False,
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
    dry_run: DryRunOption = False,
    fail_fast: FailFastOption = False,
    tracker: TrackerOption = None,
) -> None:
    """Vary settings of a method around one base run; show differences with their intervals.

    A level that is the base's own is the base run. What has a record is not done again, in
    whatever suite or study it was made.
    """
    from rich.console import Console

    from sslbench.ablation import ablation
    from sslbench.cli.execution import execute
    from sslbench.cli.planning import environs_of, parse_seeds
    from sslbench.config import assignments
    from sslbench.environment import pick_device
    from sslbench.stages import rows
    from sslbench.store import PlanFile, Store
    from sslbench.suite import load_suite

    console = Console(quiet=not is_speaker())
    study = chosen_study(name, vary or [], product)
    loaded = load_suite(suite or study.suite)
    root, place = data_root(data), pick_device(device)
    study, absent = present(study, loaded, root)
    numbers = parse_seeds(seeds) if seeds is not None else list(study.seeds or loaded.seeds)
    made = ablation(study, loaded, numbers, assignments(set_ or []), environs_of(root, place))
    title = f"{study.title} ({loaded.name})"
    console.print(title, style="bold", highlight=False, markup=False)
    if study.about:
        console.print(study.about, highlight=False, markup=False)
    for sentence in absent:
        console.print(sentence, style="yellow", highlight=False, markup=False)
    options = [*(("--vary", text) for text in vary or []), ("--suite", suite), ("--seeds", seeds)]
    file = PlanFile(
        suite=stored_name(study, loaded.name),
        title=title,
        command=command_line(
            ["ablate", name, *(["--product"] if product else [])],
            [*options, *(("--set", text) for text in set_ or [])],
            data=root is not None,
        ),
        rows=rows(made.plan),
        tables={key: value.model_dump(mode="json") for key, value in made.tables.items()},
        study=made.facts,
    )
    execute(
        console,
        Store(results),
        made.plan,
        file,
        data_root=root,
        download=download,
        device=place,
        workers=workers,
        dry_run=dry_run,
        fail_fast=fail_fast,
        tracker=tracker,
    )


def chosen_study(name: str, vary: list[str], product: bool) -> "StudyConfig":
    """The study called ``name``, or the one that ``--vary`` makes of a method.

    Raises ConfigError with all faults of what was given.
    """
    from sslbench.errors import ConfigError
    from sslbench.registry import METHODS
    from sslbench.study import load_study, study_names

    if vary:
        method = name.partition("@")[0]
        is_study = name.endswith((".yaml", ".yml")) or name in study_names()
        if method not in METHODS.names() and is_study:
            raise ConfigError(
                f"{name!r} is a study, which says itself what varies: leave out --vary"
            )
        METHODS.module(method)  # there is one of that name
        return varied(name, vary, product)
    study = load_study(name)
    if product:
        raise ConfigError(f"--product goes with --vary; study {name!r} says its design itself")
    return study


def present(
    study: "StudyConfig", suite: "Suite", data: Path | None
) -> tuple["StudyConfig", list[str]]:
    """A study without the parts whose data may be missing and is, and a sentence for each.

    Raises ConfigError if no part is left.
    """
    from sslbench.data.datasets import check_dataset
    from sslbench.data.spec import dataset_spec
    from sslbench.errors import ConfigError

    kept, absent = {}, []
    for name, part in study.parts.items():
        dataset = part.base.pretrain.get("dataset", suite.pretrain.get("dataset"))
        faults: list[str] = []
        if part.if_present and isinstance(dataset, str):  # the plan refuses anything else
            faults = check_dataset(dataset_spec(dataset, suite.datasets), data)
        if faults:
            absent.append(f"Part {name!r} is left out, for its data is not there: {faults[0]}")
        else:
            kept[name] = part
    if not kept:
        raise ConfigError(f"study {study.name!r}: {' '.join(absent)}")
    return study.model_copy(update={"parts": kept}), absent


def varied(method: str, vary: list[str], product: bool) -> "StudyConfig":
    """A study of one part out of ``--vary`` options. Raises ConfigError with all their faults."""
    from sslbench.config import build, parse_value
    from sslbench.errors import ConfigError, all_faults
    from sslbench.study import FactorConfig, StudyConfig

    factors: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    for text in vary:
        key, equals, value = text.partition("=")
        key = key.strip()
        try:
            levels = parse_value(value, f"--vary {key}") if equals else None
            if not isinstance(levels, list):
                raise ConfigError(
                    f"--vary {text!r}: expected KEY=[A, B ...] with brackets, such as "
                    "'params.temperature=[0.1, 0.2]'"
                )
            for other in factors:
                if f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}."):
                    twice = "twice" if key == other else f"twice, by {other} too"
                    raise ConfigError(f"--vary {key}: varied {twice}; list all levels in one")
            factor = {"key": key, "values": levels}
            build(FactorConfig, factor, f"--vary {text!r}")
            factors[key] = factor
        except ConfigError as error:
            faults.append(str(error))
    if product and len(vary) != 2:
        faults.append(f"--product takes two --vary options, here are {len(vary)}")
    if faults:
        raise ConfigError(all_faults(faults, f"{len(faults)} faults in --vary"))
    words = [key.rpartition(".")[2] for key in factors]
    titles = [
        word if words.count(word) == 1 else key for word, key in zip(words, factors, strict=True)
    ]
    joint = "-x-" if product else "-"
    tree = {
        "name": re.sub(r"[^A-Za-z0-9_]+", "-", f"{method}-{joint.join(titles)}"),
        "title": f"{method}: {(' x ' if product else ', ').join(titles)}".replace("_", " "),
        "method": method,
        "parts": {
            "main": {
                "caption": "every level with every other" if product else "one factor at a time",
                "design": "crossed" if product else "single",
                "factors": {
                    title.replace("_", " "): factor
                    for title, factor in zip(titles, factors.values(), strict=True)
                },
            }
        },
    }
    return build(StudyConfig, tree, "--vary")


def stored_name(study: "StudyConfig", suite: str) -> str:
    """The folder of the study's tables: in another suite than its own it has another."""
    return study.name if suite == Path(study.suite).stem else f"{study.name}-{suite}"
