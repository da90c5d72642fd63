"""The evaluation engine on real embedded data and a tiny encoder."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from sslbench.api import Evaluation, Metric, NotApplicable, Outcome, Settings, evaluations
from sslbench.config import fingerprint
from sslbench.data.datasets import open_dataset
from sslbench.data.spec import dataset_spec
from sslbench.disk import file_digest
from sslbench.environment import environment
from sslbench.errors import Interrupted, RankFailed, StoreError, UnwritableError
from sslbench.evaluate import evaluate, evaluation_checkpoints
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
KNN = {"neighbours": [1, 20]}


@pytest.fixture(scope="module")
def dataset():
    return open_dataset(dataset_spec("objects_tiny"), None)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Encoder(TINY)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


class NoSettings(Settings):
    pass


class Toy(Evaluation):
    """Half of the items are right; what else it does, a test says."""

    Config = NoSettings
    metrics: tuple[Metric, ...] = (Metric("half"),)

    def run(self, subject, dataset, context):
        type(self).act(subject, dataset, context)
        return Outcome(pa.table({"item": [0, 1, 2, 3], "right": [1.0, 0.0, 1.0, 0.0]}), {})

    @staticmethod
    def act(subject, dataset, context):
        pass

    @staticmethod
    def score(table):
        return {"half": float(np.mean(table["right"].to_numpy()))}


@pytest.fixture
def toy(monkeypatch):
    """Registers ``toy``, a Toy with the given attributes."""

    def register(**attributes):
        static = {k: staticmethod(v) if callable(v) else v for k, v in attributes.items()}
        monkeypatch.setitem(evaluations._classes, "toy", type("Changed", (Toy,), static))
        return "toy"

    return register


@pytest.fixture
def evaluated(dataset, encoder, store):
    def run(evaluation="knn", settings=None, *, seed=0, features=None, progress=None, looks=LOOKS):
        default = KNN if evaluation == "knn" else {}
        config = EvaluationConfig(
            evaluation=evaluation,
            settings=default if settings is None else settings,
            version=1,
            dataset=dataset.spec,
            preprocessing=looks,
        )
        record = evaluate(
            config,
            encoder,
            {},
            dataset,
            run="run",
            seed=seed,
            store=store,
            features=features or FeatureStore(store.features_folder),
            device=CPU,
            environment=environment(CPU),
            workers=0,
            on_progress=progress or (lambda done, total: None),
        )
        store.write_record(config.id, record)
        return config, record

    return run


def test_a_record_says_all_and_can_be_read_back(evaluated, store, encoder):
    config, record = evaluated()
    assert store.record("run", config.id) == record
    assert (record.status, record.headline, record.failure) == ("done", "top1", None)
    assert list(record.scores) == ["top1", "top5", "top1_k1", "top1_k20"]
    assert record.encoder_digest == tensors_digest(encoder.state_dict())
    assert record.identity == config.hash
    assert record.environment is not None
    assert record.seconds > 0
    score = record.scores["top1"]
    assert score.n == 192
    assert score.interval.low < score.value < score.interval.high
    assert "192 test items" in score.interval.method


def test_the_outcomes_on_disk_are_those_of_the_record(evaluated, store):
    config, record = evaluated()
    path = store.evaluation_file("run", config.id, "parquet")
    assert file_digest(path) == record.outcomes_sha256
    again = evaluations.get("knn").score(pq.read_table(path))
    assert again == {name: score.value for name, score in record.scores.items()}


def test_the_same_evaluation_gives_the_same_record(evaluated):
    (_, one), (_, other) = (
        evaluated("linear_probe", {"epochs": 2}),
        evaluated("linear_probe", {"epochs": 2}),
    )
    changing = {"seconds": 0.0, "peak_memory_gib": 0.0, "created": ""}
    assert one.model_copy(update=changing) == other.model_copy(update=changing)


def test_the_fingerprint_holds_the_protocol_and_neither_seed_nor_choice(evaluated, dataset):
    _, one = evaluated("linear_probe", {"epochs": 1})
    _, other = evaluated("linear_probe", {"epochs": 1}, seed=7)
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint_sha256 == fingerprint(one.fingerprint)
    assert one.fingerprint["data"] == {"digest": dataset.digest, "subset": {}}
    assert one.fingerprint["preprocessing"]["antialias"] is True
    assert one.fingerprint["selection"] == "held_out"
    assert one.fingerprint["settings"]["batch_size"] == 256  # defaults too
    for settings, looks in (
        ({"epochs": 2}, LOOKS),
        ({"epochs": 1, "selection": "paper"}, LOOKS),
        ({"epochs": 1}, Preprocessing(image_size=32, filter="bicubic")),
    ):
        _, changed = evaluated("linear_probe", settings, looks=looks)
        assert changed.fingerprint_sha256 != other.fingerprint_sha256


def test_a_plugin_that_moves_batch_norm_statistics_is_caught(evaluated, toy, encoder):
    before = tensors_digest(encoder.state_dict())

    def act(subject, dataset, context):
        subject.encoder.train()(torch.rand(4, 3, 32, 32))

    _, record = evaluated(toy(act=act))
    assert record.failure.kind == "PluginError"
    assert "'toy' changed the encoder" in record.failure.message
    assert tensors_digest(encoder.state_dict()) == before  # it had a copy


def test_an_evaluation_that_fine_tunes_may_change_its_copy(evaluated, toy, encoder):
    before = tensors_digest(encoder.state_dict())

    def act(subject, dataset, context):
        subject.encoder(torch.rand(4, 3, 32, 32)).sum().backward()
        with torch.no_grad():
            for parameter in subject.encoder.parameters():
                parameter.add_(parameter.grad)

    _, record = evaluated(toy(act=act, freezes=False))
    assert record.status == "done"
    assert tensors_digest(encoder.state_dict()) == before


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"score": lambda table: {"other": 1.0}}, r"score gives \['other'\], metrics declares"),
        ({"score": lambda table: {"half": float("nan")}}, r"no finite value for \['half'\]"),
        ({"item_values": lambda table: {"half": np.ones(4)}}, "whose mean is its score"),
        ({"item_values": lambda table: {"half": np.full(3, 0.5)}}, "must hold 4 numbers"),
    ],
)
def test_scores_that_break_the_contract_are_named(evaluated, toy, attributes, message):
    _, record = evaluated(toy(**attributes))
    assert record.status == "failed"
    assert record.failure.kind == "PluginError"
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(record.failure.message)


def test_what_does_not_apply_becomes_a_record_with_its_reason_and_no_failure(evaluated, toy, store):
    def act(subject, dataset, context):
        raise NotApplicable("there is nothing to measure")

    config, record = evaluated(toy(act=act))
    assert (record.status, record.reason) == ("skipped", "there is nothing to measure")
    assert record.failure is None
    assert record.scores == {}
    assert not store.evaluation_file("run", config.id, "parquet").exists()


def test_scores_that_the_data_adds_are_measured_too(evaluated, toy, monkeypatch):
    name = toy(score=lambda table: {"half": 0.5, "half_finest": -0.5})
    more = (Metric("half"), Metric("half_finest", adjusted=True))
    monkeypatch.setattr(evaluations.get(name), "metrics_of", lambda self, table: more)
    _, record = evaluated(name)
    assert list(record.scores) == ["half", "half_finest"]
    # Of a percentage adjusted for chance an interval may lie below 0; one of a share may not.
    assert record.scores["half_finest"].interval.low == -0.5
    assert record.scores["half"].interval.low == 0.5


def test_a_plugin_s_own_error_becomes_a_record_with_its_traceback(evaluated, toy, store):
    def act(subject, dataset, context):
        raise ZeroDivisionError("in the toy")

    config, record = evaluated(toy(act=act))
    assert (record.status, record.reason) == ("failed", "ZeroDivisionError: in the toy")
    assert "in act" in record.failure.traceback
    assert not store.evaluation_file("run", config.id, "parquet").exists()


@pytest.mark.parametrize(
    "error", [Interrupted("stop"), KeyboardInterrupt(), UnwritableError("full")]
)
def test_an_interrupt_and_a_full_disk_pass_through(evaluated, error):
    def stop(done, total):
        raise error

    with pytest.raises(type(error)):
        evaluated(progress=stop)


def test_scores_that_are_no_means_have_intervals_too(evaluated, toy):
    _, slow = evaluated(toy())
    means = {"item_values": lambda table: {"half": table["right"].to_numpy()}}
    _, fast = evaluated(toy(**means))
    assert slow.scores["half"].interval.method.startswith("200 ")
    assert fast.scores["half"].interval.method.startswith("1000 ")
    assert fast.scores["half"].interval.low == 0.0


# ---- checkpoints ------------------------------------------------------------------------------


def test_the_end_of_another_rank_is_no_failure_of_the_evaluation(evaluated, toy, store):
    def lose(subject, dataset, context):
        raise RankFailed("rank 0 on here: Connection closed by peer")

    with pytest.raises(RankFailed):
        evaluated(toy(act=lose))
    assert not list(store.run_folder("run").rglob("*.json"))


def test_a_checkpoint_stays_until_the_record_is_written_and_is_of_its_data(
    evaluated, toy, store, dataset
):
    config, record = evaluated(
        toy(act=lambda subject, dataset, context: context.checkpoint.save({"step": 3}))
    )
    assert record.status == "done"
    digest = record.encoder_digest
    kept = evaluation_checkpoints(store, "run", config, digest, dataset.digest)
    assert kept.load() == {"step": 3}
    others = evaluation_checkpoints(store, "run", config, digest, "other data")
    with pytest.raises(StoreError, match=r"belongs to .*, data .*, expected .*, data other data"):
        others.load()
    others.remove_own()
    assert kept.files
    kept.remove_own()
    assert not kept.files
