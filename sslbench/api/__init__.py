"""The contracts: what a plugin imports, beside nn and, for evaluations, data and metrics."""

from sslbench.api.evaluation import (
    Evaluation,
    EvaluationContext,
    Features,
    Metric,
    Outcome,
    Scores,
    Selection,
    Split,
    Subject,
)
from sslbench.api.method import (
    Batch,
    Context,
    DataInfo,
    LossTerms,
    Method,
    Needs,
    ParamGroup,
)
from sslbench.config import Auto, Settings, distinct, settled
from sslbench.errors import ConfigError, DataError, NotApplicable
from sslbench.registry import EVALUATIONS, METHODS, Registry

methods: Registry[Method] = Registry(METHODS, Method)  # type: ignore[type-abstract]
evaluations: Registry[Evaluation] = Registry(EVALUATIONS, Evaluation)  # type: ignore[type-abstract]
register_method = methods.register
register_evaluation = evaluations.register

__all__ = [
    "Auto",
    "Batch",
    "ConfigError",
    "Context",
    "DataError",
    "DataInfo",
    "Evaluation",
    "EvaluationContext",
    "Features",
    "LossTerms",
    "Method",
    "Metric",
    "Needs",
    "NotApplicable",
    "Outcome",
    "ParamGroup",
    "Scores",
    "Selection",
    "Settings",
    "Split",
    "Subject",
    "distinct",
    "evaluations",
    "methods",
    "register_evaluation",
    "register_method",
    "settled",
]
