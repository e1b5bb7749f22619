"""Programs in 32-bit state under a modelled core's clock: the same every time, and refused where nothing is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen.engines.cpu.toolchain import compile_executable
from microbench.emulation import clock
from microbench.emulation.clock import ClockedExecutor, ClockReport
from microbench.emulation.core_model_32 import load_core_32
from microbench.errors import BoardError
from microbench.profile import load_profile
from tests.capabilities import need

HZ = 1e9
DEVICES = {"pi-zero": "arm1176jzf-s", "pi-2": "cortex-a7", "pi-3": "cortex-a53"}
PROGRAM = """
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
static int64_t now_ns(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}
int main(int argc, char **argv)
{
    const size_t count = (size_t)atoi(argv[1]) / 4, step = (size_t)atoi(argv[2]) / 4;
    float *values = aligned_alloc(4096, count * 4), sum = 0;
    memset(values, 1, count * 4);
    sched_yield();
    for (size_t i = 0; i < count; i += step)
        sum += values[i];
    const int64_t begin = now_ns(CLOCK_MONOTONIC), begin_cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; i < count; i += step)
        sum += values[i];
    struct timeval of_day;
    gettimeofday(&of_day, NULL);
    const int64_t end = now_ns(CLOCK_MONOTONIC);
    FILE *result = fopen("result.txt", "w");
    fprintf(result, "%lld %lld %lld %d\\n", (long long)(end - begin), (long long)(begin_cpu - begin),
            (long long)(end / 1000 - of_day.tv_sec * 1000000LL - of_day.tv_usec), sum > 0);
    return fclose(result);
}
"""
# Each ends a program; `after` what would be reached.
REFUSED = {
    "udf #0": "0xe7f000f0 has no timing: it is undefined",
    ".inst 0xe1021090": "swp",
    ".inst 0xee000110": "no such coprocessor",
    "adr r0, 5f + 1; blx r0; b 6f; .thumb; 5: movs r1, #1; bx lr; .arm; 6: nop": "Thumb",
    "blx 6f; .thumb; .thumb_func; 6: nop; .arm": "Thumb",
}


def built(device: str, source: str, *flags: str) -> Path:
    need("instruction counting")
    return compile_executable({"program.c": source}, load_profile(device).target(), ("-std=gnu11", *flags))


def ran(device: str, program: Path, *arguments: str, sleeps: bool = True) -> tuple[list[int], ClockReport]:
    executor = ClockedExecutor(load_core_32(DEVICES[device]), HZ, sleeps)
    finished, report = executor.clocked(program, arguments, {}, ("result.txt",), 60.0)
    assert finished.ended.is_good, finished.ended.complaint
    assert report is not None
    return [int(word) for word in finished.outputs["result.txt"].split()], report


@pytest.mark.parametrize("device", DEVICES)
def test_cycles_are_the_same_every_time_and_every_clock_is_the_cores(device: str) -> None:
    program = built(device, PROGRAM)
    runs = [ran(device, program, "100000", "4", sleeps=False) for _ in range(3)]
    assert runs[0] == runs[1] == runs[2]
    (elapsed_ns, apart_ns, apart_us, is_right), report = runs[0]
    assert 0 < elapsed_ns < report.cycles / HZ * 1e9
    assert 0 <= apart_ns < 1000 and 0 <= apart_us <= 2 and is_right == 1
    groups = {row.group for row in load_core_32(DEVICES[device]).classes.values()}
    assert sum(count for name, count in report.counts.items() if name in groups) == report.instructions


@pytest.mark.parametrize("device", DEVICES)
def test_memory_binds_what_exceeds_the_caches(device: str) -> None:
    program, line = built(device, PROGRAM), 64
    inside, outside = (ran(device, program, str(size), str(line)) for size in (8 << 10, 4 << 20))
    assert outside[0][0] / (4 << 20) > 3 * inside[0][0] / (8 << 10)
    bytes_per_s = load_core_32(DEVICES[device]).memory["bytes_per_s"].value
    lines = outside[1].counts["l2_misses"]
    assert (
        outside[0][0] > 0.9 * lines * load_core_32(DEVICES[device]).memory["line_bytes"].value / bytes_per_s
    )


@pytest.mark.parametrize("instruction", REFUSED)
def test_an_instruction_that_is_not_known_is_named(instruction: str) -> None:
    source = f'int main(void) {{ __asm__ volatile("{instruction}"); return 0; }}'
    program = built("pi-3", source)
    finished, report = ClockedExecutor(load_core_32("cortex-a53"), HZ).clocked(program, (), {}, (), 60.0)
    assert report is None and not finished.ended.is_good
    assert REFUSED[instruction] in finished.ended.complaint


def test_an_instruction_that_the_core_lacks_is_named() -> None:
    source = 'int main(void) { __asm__ volatile(".fpu neon\\nvadd.f32 q0, q1, q2"); return 0; }'
    program = built("pi-2", source)
    model = load_core_32("arm1176jzf-s").model_copy(update={"emulated": "max"})
    executor = ClockedExecutor(model, HZ)
    finished, _ = executor.clocked(program, (), {}, (), 60.0)
    assert "which the core model has not" in finished.ended.complaint


def test_a_second_thread_is_refused() -> None:
    source = """
#include <pthread.h>
static void *nothing(void *data) { return data; }
int main(void) { pthread_t one; return pthread_create(&one, NULL, nothing, NULL) || pthread_join(one, NULL); }
"""
    program = built("pi-3", source, "-pthread")
    finished, report = ClockedExecutor(load_core_32("cortex-a53"), HZ).clocked(program, (), {}, (), 60.0)
    assert report is None and "threads are not modelled" in finished.ended.complaint


def test_a_machine_without_the_emulator_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        clock, "why_no_clock", lambda emulator: f"no {emulator} installed (Debian: qemu-user)"
    )
    with pytest.raises(BoardError, match="clock of a cortex-a7: no qemu-arm installed"):
        ClockedExecutor(load_core_32("cortex-a7"), HZ)
