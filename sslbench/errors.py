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


class UnknownPluginError(PluginError):
    """A name that no plugin has."""


class StoreError(SSLBenchError):
    """A results folder that cannot be read or written, or a record that is damaged."""


class Diverged(SSLBenchError):
    """A loss that is no longer finite. The run is recorded as failed; the next one starts."""

    exit_code = 1


class Interrupted(SSLBenchError):
    """Ctrl-C or a termination signal. The checkpoint stays; the same command goes on from it."""

    exit_code = 130


def all_faults(faults: list[str], heading: str) -> str:
    """One message out of many, so that a user mends everything at once."""
    if len(faults) == 1:
        return faults[0]
    return f"{heading}\n" + "\n".join(f"  - {fault}" for fault in faults)
