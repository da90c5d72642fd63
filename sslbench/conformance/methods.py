"""The checks of a pre-training method or one of its variants."""

import tempfile
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from sslbench.api import Batch, Context, LossTerms, Method
from sslbench.card import build_card
from sslbench.config import Tree
from sslbench.conformance.agreement import check_card
from sslbench.conformance.descent import check_descent
from sslbench.conformance.labels import no_labels
from sslbench.conformance.results import Check
from sslbench.conformance.trial import EPOCHS, STEPS, Outcome, built, images, planned, trained
from sslbench.errors import ConfigError, Interrupted, PluginError
from sslbench.nn.momentum import MomentumCopy
from sslbench.plan import Planned
from sslbench.registry import METHODS
from sslbench.train.outcome import Progress

RESERVED = {  # what the trainer logs itself
    *("loss", "lr", "step", "epoch", "seconds", "health"),
    *("gradient_norm", "largest_gradient_norm", "weight_norm"),
}
# Neither divides the images or a queue that was scaled to a batch of 32; the second exceeds it.
FEW_IMAGES, BATCHES = 250, (28, 100)


class _Checks:
    """What the checks of one label tell each other."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.row: Planned
        self.method: Method  # trained once, undisturbed
        self.outcome: Outcome
        self.fenced: Outcome  # of a second training, out of reach of labels
        self.reached: set[str] = set()  # parameters with a gradient, in the last epoch
        self.trespassed: set[str] = set()  # with one that they should not have, ever

    def resolve(self) -> None:
        with no_labels():  # nor while the plugin is imported
            self.row = planned(self.label)

    def trains(self) -> None:
        self.method = _watched(built(self.row))

        def after_step(progress: Progress) -> None:
            for name, param in self.method.named_parameters():
                if param.grad is not None and not param.requires_grad:
                    self.trespassed.add(name)
                elif param.grad is not None and progress.epoch == EPOCHS - 1:
                    self.reached.add(name)

        with tempfile.TemporaryDirectory() as folder:
            self.outcome = trained(self.row, self.method, Path(folder), after_step=after_step)

    def gradients(self) -> None:
        copies = [m for m in self.method.modules() if isinstance(m, MomentumCopy)]
        if any(param.requires_grad for copy in copies for param in copy.parameters()):
            raise PluginError("a parameter of a MomentumCopy is trainable")
        if self.trespassed:
            raise PluginError(f"a gradient reached {min(self.trespassed)}, which takes none")
        grouped = {id(param) for group in self.method.param_groups() for param in group.params}
        for name, param in self.method.named_parameters():
            if param.requires_grad and name not in self.reached:
                raise PluginError(f"no gradient reached {name}")
            if param.requires_grad and id(param) not in grouped:
                raise PluginError(f"{name} is trainable, but in none of param_groups()")

    def artifacts(self) -> None:
        for name, tensor in self.method.artifacts().items():
            if not torch.isfinite(tensor.float()).all():
                raise PluginError(f"artifact {name!r} is not finite")

    def card(self) -> None:
        name, _, variant = self.label.partition("@")
        own = METHODS.module(name).startswith(f"{METHODS.package}.")
        check_card(build_card(name, variant), self.method, own)

    def labels(self) -> None:
        with tempfile.TemporaryDirectory() as folder, no_labels():
            self.fenced = trained(self.row, built(self.row), Path(folder))

    def repeats(self) -> None:
        difference = self.fenced.difference(self.outcome)
        if difference is not None:
            raise PluginError(f"a second run with the same seed gave {difference}")

    def resumes(self) -> None:
        stops = (STEPS - 1, STEPS, STEPS + 1)  # within an epoch, at its end, in the next
        with tempfile.TemporaryDirectory() as folder:
            for step in stops:
                with suppress(Interrupted):
                    trained(self.row, built(self.row), Path(folder), stop_at=step)
                    raise PluginError(f"training could not be stopped at step {step}")
            resumed = trained(self.row, built(self.row), Path(folder))
        difference = resumed.difference(self.outcome)
        if difference is not None:
            raise PluginError(
                f"stopped at steps {', '.join(map(str, stops))} and resumed, it gave {difference}: "
                "keep all state in parameters and buffers of their final shape, and draw from the "
                "context"
            )

    def descends(self) -> None:
        check_descent(self.method, self.row, images())

    def other_batches(self) -> None:
        """Each with the settings that suited a batch of 32, or else with those of its own."""
        try:
            settled: Tree = {"params": planned(self.label, count=FEW_IMAGES).config.params}
        except ConfigError:  # so few images are refused
            settled = {}
        for size in BATCHES:
            pretrain = {"pretrain": {"batch_size": size, "epochs": 2, "steps": 1}}
            for changes in ({**settled, **pretrain}, pretrain):
                try:
                    row = planned(self.label, changes, FEW_IMAGES)
                except ConfigError:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    trained(row, built(row), Path(folder))
                break


def _watched(method: Method) -> Method:
    """Its terms are looked at before the trainer sees them."""
    loss = method.loss

    def looked_at(batch: Batch, context: Context) -> LossTerms:
        terms = loss(batch, context)
        if not isinstance(terms, dict) or not terms:
            raise PluginError(f"loss returns {type(terms).__name__}, expected named terms")
        for name, term in terms.items():
            if name in RESERVED:
                raise PluginError(f"a term is called {name!r}, as the trainer calls its own")
            if not isinstance(term, Tensor) or term.ndim:
                raise PluginError(f"term {name!r} is no scalar tensor")
            if not term.requires_grad:
                raise PluginError(
                    f"term {name!r} depends on no parameter, so nothing lowers it: a number to "
                    "watch goes to context.log"
                )
        return terms

    method.loss = looked_at  # type: ignore[method-assign]
    return method


def method_checks(label: str) -> list[Check]:
    """In the order in which they build on one another."""
    checks = _Checks(label)
    return [
        ("settings, card and views resolve", checks.resolve),
        ("losses are finite and named", checks.trains),
        ("every trainable parameter gets a gradient, momentum parts none", checks.gradients),
        ("artifacts are finite", checks.artifacts),
        ("the card agrees with the modules", checks.card),
        ("labels cannot reach it", checks.labels),
        ("the same seed gives the same losses and the same state", checks.repeats),
        ("stopped and resumed equals never stopped, bit for bit", checks.resumes),
        ("its own memory held still, a few steps lower the loss", checks.descends),
        ("other batch sizes are refused while planning, or train", checks.other_batches),
    ]
