"""Programs under a modelled core's clock: what they read, what is counted, what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from codegen.engines.cpu.toolchain import compile_executable
from microbench.emulation import clock
from microbench.emulation.clock import ClockedExecutor, ClockReport
from microbench.emulation.core_model import CoreModel, load_core
from microbench.errors import BoardError
from microbench.profile import load_profile
from tests.capabilities import need

HZ = 1.4e9
PROGRAM = """
#include <pthread.h>
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
static void *nothing(void *data) { return data; }
static void stream(volatile uint64_t *words, size_t count, size_t step, int writes)
{
    for (size_t i = 0; i < count; i += step)
        if (writes)
            words[i] = i;
        else
            (void)words[i];
}
int main(int argc, char **argv)
{
    const size_t count = (size_t)atoi(argv[2]) / 8, step = (size_t)atoi(argv[3]) / 8;
    uint64_t *words = aligned_alloc(4096, count * 8);
    memset(words, 1, count * 8);
    if (strcmp(argv[1], "threads") == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, nothing, NULL);
        pthread_join(thread, NULL);
    }
    sched_yield();
    const int64_t begin = now_ns(CLOCK_MONOTONIC), begin_cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    stream(words, count, step, strcmp(argv[1], "write") == 0);
    struct timeval of_day;
    gettimeofday(&of_day, NULL);
    const int64_t end = now_ns(CLOCK_MONOTONIC);
    FILE *result = fopen("result.txt", "w");
    fprintf(result, "%lld %lld %lld %s\\n", (long long)(end - begin), (long long)(begin_cpu - begin),
            (long long)(end / 1000 - of_day.tv_sec * 1000000LL - of_day.tv_usec), getenv("HOME") ? "home" : "alone");
    return fclose(result);
}
"""


@pytest.fixture(scope="module")
def program() -> Path:
    need("instruction counting")
    flags = ("-std=gnu11", "-pthread")
    return compile_executable({"program.c": PROGRAM}, load_profile("pi-3-64").target(), flags)


@pytest.fixture
def model() -> CoreModel:
    return load_core("cortex-a53")


def ran(
    program: Path, model: CoreModel, *arguments: str, wakes_at_yield: bool = True
) -> tuple[list[str], ClockReport]:
    executor = ClockedExecutor(model, HZ, wakes_at_yield)
    finished, report = executor.clocked(program, arguments, {}, ("result.txt",), 60.0)
    assert finished.ended.is_good, finished.ended.complaint
    assert report is not None
    return finished.outputs["result.txt"].decode().split(), report


def test_cycles_are_the_same_every_time_and_every_clock_is_the_cores(program: Path, model: CoreModel) -> None:
    runs = [ran(program, model, "read", "100000", "8", wakes_at_yield=False) for _ in range(3)]
    assert runs[0] == runs[1] == runs[2]
    (elapsed_ns, apart_ns, apart_us, environment), report = runs[0]
    assert 0 < int(elapsed_ns) < report.cycles / HZ * 1e9
    assert 0 <= int(apart_ns) < 1000
    assert 0 <= int(apart_us) <= 2
    assert environment == "alone"


def test_a_model_that_sleeps_until_the_yield_counts_what_follows(program: Path, model: CoreModel) -> None:
    _, whole = ran(program, model, "read", "1000000", "64", wakes_at_yield=False)
    _, rest = ran(program, model, "read", "1000000", "64")
    assert rest.instructions < whole.instructions
    assert whole.counts["line_stores"] > 2 * rest.counts["line_stores"]


def ns_per_line(program: Path, model: CoreModel, what: str, size: int, step: int = 64) -> float:
    result, _ = ran(program, model, what, str(size), str(step))
    return int(result[0]) / (size / step)


def test_memory_binds_what_exceeds_the_caches(program: Path, model: CoreModel) -> None:
    large, faster = 4 << 20, model.with_memory(bytes_per_s=8.0e9)
    in_l1 = ns_per_line(program, model, "read", 16 << 10)
    from_memory = ns_per_line(program, model, "read", large)
    assert in_l1 < 10 < 32 <= from_memory  # 64 bytes at 2 GB/s are 32 ns
    assert ns_per_line(program, faster, "read", large) < from_memory


def test_strides_are_prefetched(program: Path, model: CoreModel) -> None:
    size, never = 4 << 20, model.with_memory(prefetch_after=1 << 30)
    _, with_streams = ran(program, model, "read", str(size), "64")
    _, without = ran(program, never, "read", str(size), "64")
    assert with_streams.counts["lines_prefetched"] > size / 64 / 2 and without.counts["lines_prefetched"] == 0
    assert with_streams.cycles < without.cycles


def test_lines_that_are_wholly_written_are_not_read(program: Path, model: CoreModel) -> None:
    size = 2 << 20
    _, whole = ran(program, model, "write", str(size), "8")
    _, some = ran(program, model, "write", str(size), "64")
    assert whole.counts["l2_misses"] < some.counts["l2_misses"] / 4


def test_threads_before_the_model_wakes_are_counted_too(program: Path, model: CoreModel) -> None:
    _, report = ran(program, model, "threads", "4096", "64")
    assert report.threads == 2


def test_a_program_that_fails_has_no_report(program: Path, model: CoreModel) -> None:
    finished, report = ClockedExecutor(model, HZ).clocked(program, ("read", "0"), {}, (), 60.0)
    assert not finished.ended.is_good and report is None


@pytest.mark.parametrize("lack", ["no qemu-aarch64 installed (Debian: qemu-user)"])
def test_a_machine_without_the_emulator_is_told(
    lack: str, model: CoreModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "why_no_clock", lambda emulator: lack)
    with pytest.raises(BoardError, match="clock of a cortex-a53: no qemu-aarch64"):
        ClockedExecutor(model, HZ)


def test_an_emulator_that_does_not_load_the_plugin_is_told(
    program: Path, model: CoreModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent:
        def execute(
            self, executable: Path, arguments: object, files: object, outputs: object, limit_s: float
        ) -> object:
            from microbench.boards.execution import Finished
            from microbench.boards.subprocesses import Ended

            nothing: Mapping[str, bytes] = {}
            return Finished(Ended(0, ""), nothing)

    monkeypatch.setattr(clock, "LocalExecutor", Silent)
    with pytest.raises(BoardError, match="QEMU 7 or 8"):
        ClockedExecutor(model, HZ).execute(program, (), {}, (), 1.0)
