"""The structures of the simulator's C interface (v3d.h) for ctypes."""

from __future__ import annotations

import ctypes

MARKS = 512
MESSAGE_BYTES = 2048
STALE_READS = 64
QPUS = 16
CAUSES = 8
# Tracks and kinds of a trace's intervals: QPUs by number, then engines; stall causes by number, then these.
TRACK_VDR, TRACK_VDW, TRACK_TMU = QPUS, QPUS + 1, QPUS + 2
WHAT_RUN, WHAT_BUSY = CAUSES, CAUSES + 1


class StaleReadEntry(ctypes.Structure):
    """v3d_stale_read."""

    _fields_ = (("bus", ctypes.c_uint32), ("qpu", ctypes.c_uint32), ("instruction", ctypes.c_int32))


class WarnedEntry(ctypes.Structure):
    """v3d_warned."""

    _fields_ = (
        ("count", ctypes.c_uint64),
        ("bus", ctypes.c_uint32),
        ("qpu", ctypes.c_uint32),
        ("instruction", ctypes.c_int32),
    )


class InstructionEntry(ctypes.Structure):
    """v3d_instruction_profile."""

    _fields_ = (
        ("bus", ctypes.c_uint32),
        ("executions", ctypes.c_uint64),
        ("stall_cycles", ctypes.c_uint64 * CAUSES),
    )


class IntervalEntry(ctypes.Structure):
    """v3d_interval."""

    _fields_ = (
        ("start", ctypes.c_uint64),
        ("end", ctypes.c_uint64),
        ("bus", ctypes.c_uint32),
        ("track", ctypes.c_uint16),
        ("what", ctypes.c_uint16),
    )


def result_type(counters: tuple[str, ...], warnings: int) -> type[ctypes.Structure]:
    """v3d_result; its counters, and how many kinds of warnings there are, are the library's."""
    fields = [
        ("time_s", ctypes.c_double),
        ("cycles", ctypes.c_uint64),
        ("status", ctypes.c_int),
        ("message", ctypes.c_char * MESSAGE_BYTES),
        *((name, ctypes.c_uint64) for name in counters),
        ("first_stale_bus", ctypes.c_uint32),
        ("first_stale_qpu", ctypes.c_uint32),
        ("first_stale_instruction", ctypes.c_uint32),
        ("mark_count", ctypes.c_uint32),
        ("mark_cycles", ctypes.c_uint64 * MARKS),
        ("stale", StaleReadEntry * STALE_READS),
        ("stopped_bus", ctypes.c_uint32 * QPUS),
        ("warned", WarnedEntry * warnings),
    ]
    return type("Result", (ctypes.Structure,), {"_fields_": fields})
