"""What can go wrong through no fault of the code: shown as one message, never a traceback."""


class SSLBenchError(Exception):
    """A mistake that the user can mend: what was given, what was expected, what to do."""

    exit_code = 2


class ConfigError(SSLBenchError):
    """A key, a type or a value in a YAML file, in ``--set`` or in a settings class."""


class DataError(SSLBenchError):
    """A data set that is missing, half unpacked, unreadable or not what it was."""


class PluginError(SSLBenchError):
    """A method or an evaluation that breaks its contract."""


class NotApplicable(SSLBenchError):
    """An evaluation that has nothing to measure, as the run that it is given shows.

    Recorded as skipped, with the message as the reason; no failure. What the encoder and the data
    set alone tell belongs in ``Evaluation.unsupported``, which is asked while planning.
    """


class UnknownPluginError(PluginError):
    """A name that no plugin has."""


class WeightsError(SSLBenchError):
    """A file of weights that cannot be read safely, or that does not hold the encoder asked for."""


class StoreError(SSLBenchError):
    """A results folder that cannot be read or written, or a record that is damaged."""


class EditedError(StoreError):
    """A manifest or record that does not say what it said when it was written."""


class UnwritableError(StoreError):
    """A results folder that cannot be written, or a full disk: nothing more could be kept."""


class Diverged(SSLBenchError):
    """A number that is no longer finite. The run is recorded as failed; the next one starts.

    ``step`` is the first such step of a pre-training, counted from 1; None where there is none.
    """

    exit_code = 1

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step


class RankFailed(SSLBenchError):
    """What one rank of several met with, which ends the job: the others wait for it in vain."""

    exit_code = 1


class Collapsed(Diverged):
    """Features that are all the same, so that nothing can be made of them."""


class Interrupted(SSLBenchError):
    """Ctrl-C or a termination signal. The checkpoint stays; the same command goes on from it."""

    exit_code = 130


def all_faults(faults: list[str], heading: str) -> str:
    """One message out of many, so that a user mends everything at once."""
    if len(faults) == 1:
        return faults[0]
    return f"{heading}\n" + "\n".join(f"  - {fault}" for fault in faults)
