"""Every way in which a search, a composition or a run can fail."""

from __future__ import annotations

from codegen.errors import ExploreError


class ExplorerError(ExploreError):
    """Root of this package's errors."""


class SearchError(ExplorerError):
    """A layer has no way to be computed on the board, or none that works."""


class CompositionError(ExplorerError):
    """No assignment of choices to layers is possible within the limits."""


class UndecidedError(CompositionError):
    """None was found in the effort allowed, and there may be one."""


class TooLittleMemoryError(CompositionError):
    """None was found within so much memory; `least_bytes`: the least that one was found for."""

    def __init__(self, room_bytes: int, least_bytes: int) -> None:
        super().__init__(
            f"no plan was found within {room_bytes:,} bytes, weights included; the least that one was found for is "
            f"{least_bytes:,} bytes"
        )
        self.least_bytes = least_bytes


class UsageError(ExplorerError):
    """A command line option is malformed or contradicts another."""


class BudgetError(UsageError):
    """A budget of nothing, of what is no number, or too small for a plan."""


class ChoiceError(UsageError):
    """A choice that is forced or forbidden does not exist, or leaves a layer none."""


class StrategyError(ExplorerError):
    """A strategy is unknown, does not load, or asks for what there is not."""


class ObjectiveError(ExplorerError):
    """An objective that cannot be had."""


class CommandError(ExplorerError):
    """A command of the command line does not load, or has the name of another."""


class OutputError(ExplorerError):
    """A result cannot be written: a full disk, a directory without permission."""


class RunDataError(ExplorerError):
    """A run's directory is missing, or a file in it is missing, damaged or of another run."""


class RunExistsError(ExplorerError):
    """A directory of results is another run's: of another model, or with other settings."""


class SampleFileError(ExplorerError):
    """A file of exported samples is missing, of an unknown format, damaged, or says what no board says."""


class InputError(ExplorerError):
    """A picture, array or file of labels cannot be read, or does not fit the network."""


class FarmError(ExplorerError):
    """A farm cannot listen or be reached, has no board of the wanted class, or lost all of them."""


class MissingExtraError(ExplorerError):
    """A command needs packages of an optional extra that is not installed."""


class ReportError(ExplorerError):
    """A report's notebook failed, took too long, or its sections contradict each other."""


class CheckFailedError(ExplorerError):
    """The compiled network's outputs are too far from the reference. Exit code 1."""


class ExpectationError(CheckFailedError):
    """A buffer of a QPU program holds other numbers than were expected. Exit code 1."""


class JobFileError(ExplorerError):
    """A job file of a QPU program cannot be read, or says what has no meaning; every fault of it is named."""
