"""Programs of several threads under modelled cores' clocks: times that follow by hand, and the same in every run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from codegen.engines.cpu.toolchain import compile_executable
from microbench.emulation.clock import ClockedExecutor, ClockReport, _on_this_processor
from microbench.emulation.core_model import CoreModel, load_core
from microbench.profile import load_profile
from tests.capabilities import need

HZ = 1e9  # a nanosecond is a cycle
PROGRAM = """
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}
enum { STREAM = 4 << 20, ROUNDS = 100 };
static long amount;
static int64_t seen, told;
static int turn, flag;
static uint64_t counter;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static void work(long rounds) /* a cycle each */
{
    __asm__ volatile("1: subs %0, %0, #1\\n b.ne 1b" : "+r"(rounds) : : "cc");
}
static void *works(void *number) { work(amount); return number; }
static void *sums(void *words)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < STREAM / 8; i += 8)
        sum += ((volatile uint64_t *)words)[i];
    return (void *)(uintptr_t)sum;
}
static void *alternates(void *number)
{
    const int own = (int)(intptr_t)number;
    for (int i = 0; i < ROUNDS; ++i) {
        pthread_mutex_lock(&mutex);
        while (turn != own)
            pthread_cond_wait(&changed, &mutex);
        turn = 1 - own;
        pthread_cond_signal(&changed);
        pthread_mutex_unlock(&mutex);
    }
    return number;
}
static void *spins(void *number)
{
    while (!__atomic_load_n(&flag, __ATOMIC_ACQUIRE))
        __asm__ volatile("yield");
    seen = now_ns();
    return number;
}
static void *counts(void *number)
{
    for (int i = 0; i < ROUNDS; ++i) {
        pthread_mutex_lock(&mutex);
        ++counter;
        pthread_mutex_unlock(&mutex);
    }
    return number;
}
static void *sleeps(void *number)
{
    const struct timespec span = {0, amount};
    nanosleep(&span, NULL);
    return number;
}
static void *times_out(void *number)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += amount;
    pthread_mutex_lock(&mutex);
    while (pthread_cond_timedwait(&changed, &mutex, &until) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&mutex);
    return number;
}
static void *polls(void *number) { poll(NULL, 0, 1); return number; }
static const struct { const char *name; void *(*run)(void *); } tasks[] = {
    {"work", works}, {"sum", sums}, {"alternate", alternates}, {"spin", spins}, {"count", counts}, {"sleep", sleeps},
    {"timeout", times_out}, {"poll", polls},
};
int main(int argc, char **argv)
{
    void *(*run)(void *) = NULL;
    const int count = atoi(argv[2]);
    pthread_t threads[16];
    void *arguments[16];
    amount = atol(argv[3]);
    for (size_t i = 0; i < sizeof(tasks) / sizeof(*tasks); ++i)
        if (strcmp(argv[1], tasks[i].name) == 0)
            run = tasks[i].run;
    for (int i = 0; i < count; ++i) {
        arguments[i] = (void *)(intptr_t)i;
        if (run == sums)
            arguments[i] = memset(aligned_alloc(4096, STREAM), 1, STREAM);
    }
    sched_yield();
    const int64_t begin = now_ns();
    for (int i = 1; i < count; ++i)
        pthread_create(&threads[i], NULL, run, arguments[i]);
    if (run == spins) {
        work(amount);
        __atomic_store_n(&flag, 1, __ATOMIC_RELEASE);
        told = now_ns();
    } else {
        run(arguments[0]);
    }
    for (int i = 1; i < count; ++i)
        pthread_join(threads[i], NULL);
    const int64_t end = now_ns();
    cpu_set_t allowed;
    sched_getaffinity(0, sizeof allowed, &allowed);
    FILE *result = fopen("result.txt", "w");
    fprintf(result, "%lld %lld %llu %d\\n", (long long)(end - begin), (long long)(seen - told),
            (unsigned long long)counter, CPU_COUNT(&allowed));
    return fclose(result) + argc - 4;
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
    program: Path, model: CoreModel, task: str, threads: int, amount: int = 1
) -> tuple[list[int], ClockReport]:
    """Nanoseconds from making the threads to their end, of a flag from its store to its sight; the counter; CPUs."""
    executor = ClockedExecutor(model, HZ, wakes_at_yield=True, threads=threads)
    finished, report = executor.clocked(
        program, (task, str(threads), str(amount)), {}, ("result.txt",), 120.0
    )
    assert finished.ended.is_good, finished.ended.complaint
    assert report is not None
    return [int(word) for word in finished.outputs["result.txt"].split()], report


def elapsed_ns(program: Path, model: CoreModel, task: str, threads: int, amount: int = 1) -> int:
    return ran(program, model, task, threads, amount)[0][0]


@pytest.mark.parametrize(("task", "threads"), [("work", 4), ("alternate", 2), ("spin", 3), ("count", 4)])
def test_five_runs_are_identical(program: Path, model: CoreModel, task: str, threads: int) -> None:
    runs = [ran(program, model, task, threads, 50_000) for _ in range(5)]
    assert all(run == runs[0] for run in runs)
    assert runs[0][1].threads == threads


def test_each_thread_has_a_core_of_its_own(program: Path, model: CoreModel) -> None:
    amount, wake_ns = 1_000_000, model.cluster["wake_s"].value * 1e9
    alone, four = (elapsed_ns(program, model, "work", threads, amount) for threads in (1, 4))
    assert amount <= alone <= amount * 1.01
    assert wake_ns <= four - alone <= 10 * wake_ns  # until the last one runs, and what joining them takes


def test_the_channel_to_memory_is_shared(program: Path, model: CoreModel) -> None:
    alone, two, four = (elapsed_ns(program, model, "sum", threads) for threads in (1, 2, 4))
    least = (4 << 20) / model.memory["bytes_per_s"].value * 1e9
    assert least <= alone <= 1.15 * least
    assert 2 * least <= two <= 1.05 * 2 * least
    assert 4 * least <= four <= 1.05 * 4 * least


def test_threads_that_wake_each_other_take_the_wakes(program: Path, model: CoreModel) -> None:
    wakes = 2 * 100
    least = wakes * model.cluster["wake_s"].value * 1e9
    assert 0.99 * least <= elapsed_ns(program, model, "alternate", 2) <= 1.1 * least


@pytest.mark.parametrize("amount", [30_000, 300_000])
def test_a_thread_that_spins_sees_a_flag_once_it_is_stored(
    program: Path, model: CoreModel, amount: int
) -> None:
    (elapsed, late, _, _), report = ran(program, model, "spin", 2, amount)
    ahead, fetch = model.cluster["ahead_cycles"].value, model.memory["l2_cycles"].value
    assert -100 <= late <= ahead + fetch + 100  # both read the clock after it
    assert elapsed >= amount
    assert report.instructions > amount * 2 + amount / 4  # the spinning is counted too
    assert report.counts["lines_taken_over"] >= 1


def test_a_lock_lets_one_thread_in_at_a_time(program: Path, model: CoreModel) -> None:
    (_, _, counter, cpus), _ = ran(program, model, "count", 4)
    assert counter == 4 * 100
    assert cpus == 4


@pytest.mark.parametrize("task", ["sleep", "timeout"])
def test_a_wait_ends_when_its_time_has_come(program: Path, model: CoreModel, task: str) -> None:
    span = 2_000_000
    assert span <= elapsed_ns(program, model, task, 2, span) <= 1.1 * span


def complaint(program: Path, model: CoreModel, task: str, threads: int) -> str:
    executor = ClockedExecutor(model, HZ, wakes_at_yield=True, threads=threads)
    finished, report = executor.clocked(program, (task, str(threads), "5000000"), {}, (), 120.0)
    assert report is None
    return finished.ended.complaint or ""


def test_more_threads_than_cores_are_refused(program: Path, model: CoreModel) -> None:
    assert "more than 4 threads run at once" in complaint(program, model, "work", 5)


def test_waits_that_are_not_modelled_are_refused(program: Path, model: CoreModel) -> None:
    assert "not modelled" in complaint(program, model, "poll", 2)


def test_several_threads_are_held_on_a_processor_that_this_process_may_use() -> None:
    usable = subprocess.run((*_on_this_processor(), "nproc"), capture_output=True, text=True, check=True)
    assert usable.stdout.strip() == "1"
