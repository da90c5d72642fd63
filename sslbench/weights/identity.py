"""A run whose encoder came out of a file: what it is, and what is told of the file."""

from typing import Any, Literal

from sslbench.config import Settings, fingerprint
from sslbench.nn.config import EncoderConfig
from sslbench.run import WEIGHTS, run_name


class WeightsConfig(Settings):
    """What changes numbers: the encoder, its tensors, and the seed of the evaluations.

    Where the tensors came from is no part of it: the same encoder under other keys is the same run.
    """

    method: Literal["weights"] = WEIGHTS
    encoder: EncoderConfig
    tensors: str  # digest of the encoder's tensors
    seed: int

    @property
    def hash(self) -> str:
        return fingerprint(self.hashed())

    @property
    def id(self) -> str:
        """The run's folder, named as those of trained runs."""
        return run_name(self.method, self.encoder.name, self.seed, self.hash)


class Source(Settings):
    """The file behind an encoder, and how it was read; for the manifest."""

    file: str  # its name; the folder is this machine's own affair
    sha256: str
    layout: str
    prefix: str
    loaded: int
    missing: int
    unexpected: int

    @property
    def note(self) -> str:
        """What stands under the table."""
        whole = f"weights of {self.file} (SHA-256 {self.sha256[:16]}), not trained here"
        if self.missing:
            total = self.loaded + self.missing
            whole += f"; {self.missing} of {total} tensors were missing and are as initialised"
        return whole


def manifest_config(config: WeightsConfig, source: Source) -> dict[str, Any]:
    """The ``config`` of a manifest: the identity, and beside it what is told of the file."""
    return {**config.model_dump(mode="json"), "weights": source.model_dump(mode="json")}
