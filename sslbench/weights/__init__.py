"""Encoders that others trained: read safely, found in any key layout, taken up with a report."""

from sslbench.weights.adopt import Adopted, adopt
from sslbench.weights.identity import Source, WeightsConfig
from sslbench.weights.read import read_tensors
from sslbench.weights.row import default_label, described, joined

__all__ = [
    "Adopted",
    "Source",
    "WeightsConfig",
    "adopt",
    "default_label",
    "described",
    "joined",
    "read_tensors",
]
