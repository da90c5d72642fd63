"""Which rows of a suite are shown: those whose encoder is here, at most eight, one seed each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from sslbench.config import build
from sslbench.errors import SSLBenchError
from sslbench.nn.config import EncoderConfig
from sslbench.run import BASELINES, Preprocessing, PretrainConfig
from sslbench.store import Manifest, PlanFile, Record, Row, Store

MOST = 8  # rows of a picture


@dataclass(frozen=True, eq=False)
class Exhibit:
    """An encoder that is shown, and what is known of it without opening it."""

    title: str
    folder: Path  # of the run
    manifest: Manifest
    encoder: EncoderConfig
    named: Mapping[str, Record]  # of its evaluations, by file name

    @property
    def records(self) -> list[Record]:
        return list(self.named.values())

    @property
    def path(self) -> Path:
        return self.folder / "encoder.safetensors"

    @property
    def digest(self) -> str:
        return self.manifest.encoder_digest

    def preprocessing(self, dataset: str) -> Preprocessing:
        """How its evaluations show it the images of a data set; if none does, at its own size."""
        for record in self.records:
            known = dict(record.fingerprint.get("preprocessing", {}))
            known.pop("antialias", None)
            if record.dataset == dataset and known:
                return build(Preprocessing, known, "preprocessing")
        size = self.manifest.config.get("pretrain", {}).get("image_size", 224)
        return Preprocessing(image_size=size)

    def finding(self, dataset: str) -> str:
        """Its first headline number on a data set, in words; empty where there is none."""
        for record in self.records:
            if record.dataset == dataset and record.status == "done":
                score = record.scores[record.headline]
                name = f"{record.evaluation.replace('_', ' ')} {record.headline}"
                return f"{self.title}: {name} {score.value:.1f} {score.unit}".rstrip()
        return ""


def joined(exhibits: Iterable[Exhibit]) -> str:
    """Their titles, which may have commas of their own."""
    return "; ".join(one.title for one in exhibits)


@dataclass(frozen=True)
class Training:
    """How a row's run was trained, as far as its views go."""

    title: str
    seed: int
    pretrain: PretrainConfig
    data_digest: str


@dataclass(frozen=True)
class Selection:
    """What of a suite is shown."""

    exhibits: list[Exhibit]  # at most ``MOST``
    everyone: list[Exhibit]  # all encoders that are here
    trainings: list[Training]  # of all methods, whether their encoders are here or not
    sentences: list[str]  # why rows are left out


def select(store: Store, plan: PlanFile) -> Selection:
    """The rows of a suite that are shown; a damaged one gives a sentence and no error."""
    found: dict[str, tuple[Row, Exhibit]] = {}
    trained: dict[str, Training] = {}
    absent: dict[str, str] = {}  # label -> title
    sentences = []
    titles = _titles(plan.rows)
    for row in plan.rows:
        try:
            manifest = store.manifest(row.run)
            if manifest is not None and row.label not in trained and row.label != "random":
                training = _training(titles[row.label], manifest)
                trained.update({row.label: training} if training else {})
            if row.label in found:
                continue
            exhibit = _exhibit(store, row, titles[row.label], manifest)
        except SSLBenchError as error:
            sentences.append(f"{titles[row.label]} (seed {row.seed}) is in no picture: {error}.")
            continue
        if exhibit is None:
            absent[row.label] = titles[row.label]
        else:
            found[row.label] = (row, exhibit)
    absent = {label: title for label, title in absent.items() if label not in found}
    if plan.rows and not found:
        sentences.insert(
            0,
            "No encoder of this suite is in the results folder, so there are no pictures of "
            "kernels, maps and features.",
        )
    elif absent:
        names = "; ".join(absent.values())
        sentences.insert(0, f"Not in the pictures, because their encoders are not here: {names}.")
    shown = _spread([row for row, _ in found.values()])
    if len(shown) < len(found):
        sentences.append(
            f"Pictures of encoders show {len(shown)} of {len(found)} rows, of every family first: "
            f"{joined(found[label][1] for label in shown)}."
        )
    everyone = [exhibit for _, exhibit in found.values()]
    shown_exhibits = [found[label][1] for label in shown]
    return Selection(shown_exhibits, everyone, list(trained.values()), sentences)


def _titles(rows: Iterable[Row]) -> dict[str, str]:
    """What each label is called; the label where two have the same title."""
    first = {row.label: row.title for row in reversed(list(rows))}
    names = list(first.values())
    return {label: title if names.count(title) == 1 else label for label, title in first.items()}


def _training(title: str, manifest: Manifest) -> Training | None:
    tree: dict[str, Any] | None = manifest.config.get("pretrain")
    if tree is None:  # an encoder out of a file
        return None
    pretrain = build(PretrainConfig, tree, f"{manifest.run}: pretrain")
    return Training(title, manifest.config.get("seed", 0), pretrain, manifest.data_digest)


def _exhibit(store: Store, row: Row, title: str, manifest: Manifest | None) -> Exhibit | None:
    """A row's encoder, or None where it is not here. Raises StoreError if a file is damaged."""
    folder = store.run_folder(row.run)
    path = folder / "encoder.safetensors"
    if manifest is None or manifest.status != "done" or not path.exists():
        return None
    try:
        with safe_open(path, "np"):  # a file cut short is found before anything is drawn
            pass
    except (SafetensorError, OSError) as error:
        raise SSLBenchError(f"{path} cannot be read ({error})") from error
    encoder = build(EncoderConfig, manifest.config["encoder"], f"{row.run}: encoder")
    known = {name: store.record(row.run, name) for name in row.evaluations.values()}
    named = {name: record for name, record in known.items() if record is not None}
    return Exhibit(title, folder, manifest, encoder, named)


def _spread(rows: list[Row]) -> list[str]:
    """At most so many labels as fit, in the plan's order: one of every family, then the others."""
    families: dict[str, str] = {}
    for row in rows:
        name = row.label if row.label in BASELINES else str(row.card.get("family") or row.label)
        families.setdefault(name, row.label)
    first = list(families.values())
    others = [row.label for row in rows if row.label not in first]
    chosen = set([*first, *others][:MOST])
    return [row.label for row in rows if row.label in chosen]
