"""Modelled time of C code on an in-order scalar CPU, from counted work and the cost table of its profile."""

from __future__ import annotations

from codegen.schedule import Work
from microbench.profile import DeviceProfile


def cpu_time_s(work: Work, profile: DeviceProfile, threads: int = 1) -> float:
    """Seconds that a layer takes: instructions one after another, then memory, nothing overlapped.

    cycles = macs * mac + (alu - macs) * alu_cost + loads * load + stores * store, where `alu_instructions` counts
    each multiply-accumulate once, and is taken as `macs` where nobody counted; lines read = streamed bytes / line;
    time = cycles / clock + lines * line fill + bytes written / store rate + call. Of several threads the busiest
    takes balance / threads of the cycles and of the lines; writing does not get faster, and waiting for each other
    costs `thread_sync_s`. Constants: table `cpu_costs` of the profile (seconds, cycles, bytes); raises ProfileError
    where one is missing.
    """
    cost = profile.cpu_cost
    other = max(work.alu_instructions - work.macs, 0.0)
    cycles = (
        work.macs * cost("mac_cycles")
        + other * cost("alu_cycles")
        + work.load_instructions * cost("load_cycles")
        + work.store_instructions * cost("store_cycles")
    )
    lines = max(work.streamed_bytes_read, work.unique_bytes_read) / cost("l1_line_bytes")
    shared_s = cycles / cost("clock_hz") + lines * cost("line_fill_s")
    written_s = work.bytes_written / cost("store_bytes_per_s")
    if threads == 1:
        return shared_s + written_s + cost("call_s")
    return shared_s * work.balance / threads + written_s + cost("call_s") + cost("thread_sync_s")
