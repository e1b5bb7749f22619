"""Frames in a queue: the C API of a bundle, and loaded bundles."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from codegen.bundle import compile_bundle
from codegen.bundle.frames import QUEUE_SOURCE
from codegen.bundle.manifest import bundle_sources
from codegen.bundle.pool import pool_flags
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_executable, runtime_source
from codegen.errors import BundleError, FrameQueueError, QueueFullError, TensorError, TicketError
from codegen.frame_queue import FrameCounts, FrameQueue, Ticket
from codegen.loaded import LoadedBundle, load_bundle
from codegen.reference import evaluate
from tests.codegen.planned import HOST, plan_of, small_network
from tests.codegen.test_bundle_api import bundle_of, one_output
from tests.codegen.test_cpu_pool import DUAL
from tests.codegen.test_loaded import inputs_of

STRICT = (*KERNEL_FLAGS, "-Wall", "-Wextra", "-Wshadow", "-Werror", "-pthread")


@pytest.mark.parametrize("threads", [1, 2])
def test_frames_in_c(threads: int, tmp_path: Path) -> None:
    graph = one_output()
    manifest = bundle_of(graph, tmp_path / "bundle", threads)
    sources = bundle_sources(tmp_path / "bundle", manifest, "none", program=None)
    sources |= {
        QUEUE_SOURCE: runtime_source(QUEUE_SOURCE),
        "model_frames.c": (Path(__file__).parent / "model_frames.c").read_text(encoding="utf-8"),
    }
    program = compile_executable(sources, DUAL, (*STRICT, *pool_flags(manifest.files)))
    inputs = inputs_of(graph, 4)
    source, result = tmp_path / "input.bin", tmp_path / "output.bin"
    source.write_bytes(inputs["x"].tobytes())
    ended = subprocess.run(
        [program, tmp_path / "bundle", source, result], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    (expected,) = evaluate(graph, inputs).values()
    found = np.fromfile(result, dtype=np.float32).reshape(expected.shape)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_program_that_queues_nothing_has_no_thread_of_a_queue(tmp_path: Path) -> None:
    manifest = bundle_of(one_output(), tmp_path, 1)
    assert QUEUE_SOURCE in manifest.files
    assert QUEUE_SOURCE not in bundle_sources(tmp_path, manifest, "none")
    assert "pthread" not in (tmp_path / "model.c").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("frames") / "bundle"
    graph = small_network()
    compile_bundle(graph, plan_of(graph), HOST, directory)
    return directory


@pytest.fixture
def model(bundle: Path) -> Iterator[LoadedBundle]:
    with load_bundle(bundle, DUAL) as loaded:
        yield loaded


@pytest.fixture
def queue() -> Iterator[FrameQueue]:
    with FrameQueue(4) as made:
        yield made


def test_frames_give_what_runs_give(model: LoadedBundle, queue: FrameQueue) -> None:
    pictures = [inputs_of(small_network(), seed) for seed in range(20)]
    expected = [model.run(picture) for picture in pictures]
    waiting: list[Ticket] = []
    frames = []
    for picture in pictures:
        if len(waiting) == queue.capacity:
            frames.append(model.wait(waiting.pop(0)))
        waiting.append(model.submit(queue, picture))
    frames += [model.wait(ticket) for ticket in waiting]
    for frame, outputs in zip(frames, expected, strict=True):
        assert all(np.array_equal(frame.outputs[name], outputs[name]) for name in outputs)
        assert frame.submitted_s <= frame.started_s <= frame.ended_s
        assert frame.launched_s == frame.awaited_s == 0.0 and frame.time_s > 0.0 and not frame.is_late
    assert queue.counts() == FrameCounts(20, 0, 20, 0, 0)


def test_polling_tells_the_end_once(model: LoadedBundle, queue: FrameQueue) -> None:
    ticket = model.submit(queue, inputs_of(small_network(), 1))
    until_s = time.monotonic() + 30
    while (frame := model.poll(ticket)) is None:
        assert time.monotonic() < until_s
    assert set(frame.outputs) == set(small_network().outputs)
    for told in (model.wait, model.poll):
        with pytest.raises(TicketError, match="told already"):
            told(ticket)


def test_late_frames_are_counted(model: LoadedBundle, queue: FrameQueue) -> None:
    inputs = inputs_of(small_network(), 1)
    late = model.submit(queue, inputs, deadline_s=time.monotonic() - 1.0)
    early = model.submit(queue, inputs, deadline_s=time.monotonic() + 1000.0, priority=3)
    assert (model.wait(late).is_late, model.wait(early).is_late) == (True, False)
    assert queue.counts().late == 1


def test_wrong_uses_are_told(model: LoadedBundle, queue: FrameQueue, bundle: Path) -> None:
    inputs = inputs_of(small_network(), 1)
    with pytest.raises(TensorError, match="has the inputs"):
        model.submit(queue, {})
    with load_bundle(bundle, DUAL) as other, FrameQueue(1) as small:
        ticket = model.submit(queue, inputs)
        with pytest.raises(TicketError, match="another bundle's"):
            other.wait(ticket)
        with pytest.raises(FrameQueueError, match="in another queue"):
            model.submit(small, inputs)
        for call in (lambda: model.run(inputs), lambda: model.time_s(inputs)):
            with pytest.raises(FrameQueueError, match="frames in a queue"):
                call()
        model.wait(ticket)
        model.run(inputs)
        first = other.submit(small, inputs)
        with pytest.raises(QueueFullError, match="has its 1 frames"):
            other.submit(small, inputs)
        assert small.counts().refused == 1
        other.wait(first)
        forgotten = other.submit(small, inputs)
        small.close()
        for late in (lambda: other.submit(small, inputs), lambda: other.wait(forgotten), small.counts):
            with pytest.raises(FrameQueueError, match="is closed"):
                late()
        other.run(inputs)
    with pytest.raises(ValueError, match="1 to 65536"):
        FrameQueue(0)


def test_a_bundle_that_is_closed_waits_for_its_frames(bundle: Path, queue: FrameQueue) -> None:
    with load_bundle(bundle, DUAL) as model:
        tickets = [model.submit(queue, inputs_of(small_network(), seed)) for seed in range(4)]
    assert queue.counts().ended == 4
    with pytest.raises(TicketError):
        model.wait(tickets[0])
    with pytest.raises(BundleError, match="is closed"):
        model.submit(queue, inputs_of(small_network(), 1))


def test_several_threads_and_bundles_share_a_queue(bundle: Path, queue: FrameQueue) -> None:
    begin = threading.Barrier(3, timeout=30)

    def work(seed: int) -> None:
        with load_bundle(bundle, DUAL) as model:
            inputs = inputs_of(small_network(), seed)
            expected = model.run(inputs)
            begin.wait()
            for turn in range(50):
                frame = model.wait(model.submit(queue, inputs, priority=turn % 3))
                assert all(np.array_equal(frame.outputs[name], expected[name]) for name in expected)

    with ThreadPoolExecutor(3) as workers:
        for ended in [workers.submit(work, seed) for seed in range(3)]:
            ended.result(60)
    assert queue.counts() == FrameCounts(150, 0, 150, 0, 0)
