"""sslbench: contrastive self-supervised methods, compared under one protocol."""

from pathlib import Path

__version__ = "0.1.0"

# Installed, methods/ and benchmarks/ lie inside this package. In a checkout they lie beside it.
_package = Path(__file__).resolve().parent
if not (_package / "methods").exists():
    __path__.append(str(_package.parent))
