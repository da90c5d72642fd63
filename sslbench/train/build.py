"""Encoder and method of a run as its training begins: the same weights for the same seed."""

import torch

from sslbench.api import DataInfo, Method, methods
from sslbench.config import build
from sslbench.data.random import derive_seed
from sslbench.nn.encoder import Encoder
from sslbench.run import RunConfig


def build_encoder(config: RunConfig) -> Encoder:
    """The encoder as every method of a suite and seed starts from it."""
    torch.manual_seed(derive_seed(config.seed, "encoder"))
    return Encoder(config.encoder)


def encoder_of_method(config: RunConfig) -> Encoder:
    """The same, and what is drawn next is the method's: its heads and queues."""
    encoder = build_encoder(config)
    torch.manual_seed(derive_seed(config.seed, "method"))
    return encoder


def build_method(config: RunConfig, data: DataInfo, label: str) -> Method:
    """The registered method of a run. Raises ConfigError for wrong ``params``, naming ``label``."""
    encoder = encoder_of_method(config)
    cls = methods.get(config.method)
    return cls(encoder, build(cls.Config, config.params, f"{label}: params"), data)
