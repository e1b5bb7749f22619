"""What the firmware of a board says before and after each batch: clocks, temperature, throttling, voltage."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

from microbench.conditions import Conditions
from microbench.errors import BoardError
from microbench.runner.frames import FrameError, Reader


class ReadingState(IntEnum):
    """Why a reading has a value, or none (`conditions.h`)."""

    GOOD = 0
    NO_FIRMWARE = 1
    DENIED = 2
    REFUSED = 3


@dataclass(frozen=True)
class Reading:
    """A value, or why there is none."""

    state: ReadingState
    measured: float = 0.0

    @property
    def value(self) -> float | None:
        """None where the reading is not available."""
        return self.measured if self.state == ReadingState.GOOD else None


@dataclass(frozen=True)
class Readings:
    """In the order in which the runner sends them; units are in the names, throttle flags are the firmware's word."""

    v3d_clock_hz: Reading
    arm_clock_hz: Reading
    temperature_c: Reading
    throttle_flags: Reading
    core_voltage_v: Reading

    def conditions(self) -> Conditions:
        """What is available of them; raises BoardError for a value that no sensor gives."""
        flags = self.throttle_flags.value
        if flags is not None and not flags.is_integer():
            raise BoardError(f"throttle flags are a word of bits, not {flags!r}")
        return Conditions(
            cpu_clock_hz=self.arm_clock_hz.value,
            gpu_clock_hz=self.v3d_clock_hz.value,
            temperature_c=self.temperature_c.value,
            voltage_v=self.core_voltage_v.value,
            throttle_flags=None if flags is None else int(flags),
        )


def readings_answer(reader: Reader) -> tuple[Readings, ...]:
    """Both sets at the end of an answer; raises FrameError where they are not what they should be."""
    return tuple(_readings(reader) for _ in range(2))


def _readings(reader: Reader) -> Readings:
    count = reader.u32()
    if count != len(fields(Readings)):
        raise FrameError(f"the answer has {count} readings of the board's condition")
    return Readings(*(_reading(reader) for _ in range(count)))


def _reading(reader: Reader) -> Reading:
    state, value = reader.u32(), reader.f64()
    if state not in tuple(ReadingState):
        raise FrameError(f"the answer has a reading of unknown state {state}")
    return Reading(ReadingState(state), value)
