"""Every way in which a board, a profile or the store can fail."""

from __future__ import annotations

from codegen.errors import ExploreError


class MicrobenchError(ExploreError):
    """Root of this package's errors."""


class ProfileError(MicrobenchError):
    """A device profile is unknown or malformed."""


class DevicesError(MicrobenchError):
    """The file of named boards is malformed, cannot be written, or has no such board."""


class BoardError(MicrobenchError):
    """A board is unreachable, or answers what it must not."""


class KnownHostsError(BoardError):
    """The list of known hosts cannot be read, or what it has for a board is damaged."""


class UploadPlaceError(BoardError):
    """Others than the user could change what is uploaded to a directory on the board."""


class TimeLimitError(BoardError):
    """A time limit that is none: not above 0, endless, or longer than a month."""


class BoardOptionError(BoardError):
    """A board has no such option of its own, or the option cannot have this value."""


class SeriesError(BoardError):
    """A board's series of readings contradicts itself: lengths, names, units, numbers that are none."""


class CandidateError(MicrobenchError):
    """One candidate failed on a sound board: it is recorded as failed and the search goes on."""


class HazardError(CandidateError):
    """The virtual GPU stopped a program: hazard, stray access, deadlock or time limit."""


class CalibrationError(MicrobenchError):
    """A board cannot be calibrated, or measurements are not of the board that is."""


class CalibrationInterruptedError(CalibrationError):
    """The board was lost, or time ran out: what was measured is kept, and calibration goes on from it."""


class TwinError(MicrobenchError):
    """A board has no twin, or the one that is named is another board's."""


class StoreError(MicrobenchError):
    """The measurement store cannot be opened, is of another version, or cannot be written."""


class DisassemblyError(MicrobenchError):
    """Compiled code cannot be read: a tool is missing, or refuses it."""


class PackageError(MicrobenchError):
    """The runner's package cannot be made."""


class PeerError(MicrobenchError):
    """An engine that this project is compared with cannot be installed, given a network, or run."""
