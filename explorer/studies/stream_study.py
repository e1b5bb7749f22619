"""The study of streams: its networks, boards and steps."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from codegen.frame_queue import FrameQueue
from codegen.loaded import load_bundle
from codegen.zoo import build
from explorer.plans.check import trials_of
from explorer.plans.network import Network, load_network
from explorer.studies.shared_queue import (
    ROOM,
    contender,
    priority_table,
    share_queue,
    shared_table,
    try_priority,
)
from explorer.studies.streams import (
    CAMERA_FPS,
    Streamed,
    camera_request,
    camera_table,
    compiled_for,
    stream_network,
    throughput_table,
)
from explorer.studies.study_table import StudyTable
from explorer.terminal.progress import Progress
from microbench.boards.host import HostBoard
from microbench.boards.virtual import VirtualBoard
from microbench.options import BoardOptions
from microbench.profile import load_profile
from microbench.streams import StreamRequest

INTRODUCTION = (
    "Frames that a bundle's queue takes (`submit`, `wait`, `poll` of its `model.h`), written by `explore bench "
    "stream`. Networks are the zoo's with seeded weights, compiled by modelled plans for one thread."
)
PAIR = {"MobileNet v2": "mobilenet_v2", "SqueezeNet": "squeezenet"}
SMALL_RESOLUTION, SMALL_WIDTH = 32, 0.125
TOGETHER = 12  # frames of the small network by one launch
CAMERA_FRAMES, PRIORITY_FRAMES = 300, 50
CAMERA_SHARES = (0.9, 1.2)  # of the frames that a board could run
DEADLINE_RUNS = 3  # of both networks, one after the other


@dataclass(frozen=True)
class StreamStudy:
    """How many frames of what: see the command's options."""

    frames: int
    small_frames: int
    network_frames: int
    turns: int
    resolution: int
    device: str


@dataclass
class _Found:
    """What was measured so far; `alone_s`: seconds a frame of runs without the queue on the virtual board, by network
    and batch.
    """

    streams: list[Streamed] = field(default_factory=list)
    camera: list[Streamed] = field(default_factory=list)
    alone_s: dict[tuple[str, int], float] = field(default_factory=dict)


def study_tables(study: StreamStudy, progress: Progress) -> list[StudyTable]:
    """All tables; raises as boards, plans and bundles do, and CandidateError where a frame is wrong."""
    found = _Found()
    with TemporaryDirectory(prefix="explore-stream-") as scratch:
        place = Path(scratch)
        progress.phase("Virtual board")
        _on_virtual_board(study, place, found)
        progress.phase("This machine")
        host = load_profile("host")
        bundles = {
            title: compiled_for(_network(place, name, study.resolution), host, place / f"{name}-host")
            for title, name in PAIR.items()
        }
        _on_this_machine(study, bundles, found)
        progress.phase("Two networks")
        shared = _two_networks(study, bundles)
    return [throughput_table(found.streams, found.alone_s), camera_table(found.camera), *shared]


def _on_virtual_board(study: StreamStudy, place: Path, found: _Found) -> None:
    profile = load_profile(study.device)
    small = ("small SqueezeNet", "squeezenet", SMALL_RESOLUTION, SMALL_WIDTH, study.small_frames)
    for title, name, resolution, width, frames, batch in (
        (*small, 1),
        (*small, TOGETHER),
        ("MobileNet v1", "mobilenet_v1", study.resolution, 1.0, study.network_frames, 1),
    ):
        network = _network(place, name, resolution, width, batch)
        bundle = compiled_for(network, profile, place / f"{name}-virtual-{batch}")
        with VirtualBoard(profile) as board:
            alone_s = board.run_bundle(bundle, trials_of(network, 0, 1)[0].inputs).time_s / batch
            count = _full(frames, batch)
            request = StreamRequest(None, frames=count, computed=count, batch=batch)
            found.streams.append(stream_network(board, title, bundle, request))
            for share in CAMERA_SHARES:
                asked = camera_request(round(share / alone_s, 2), _full(CAMERA_FRAMES, batch), batch)
                found.camera.append(stream_network(board, title, bundle, asked))
        found.alone_s[title, batch] = alone_s


def _on_this_machine(study: StreamStudy, bundles: Mapping[str, Path], found: _Found) -> None:
    title = next(iter(bundles))
    with HostBoard.open(load_profile("host"), BoardOptions()) as board:
        request = StreamRequest(None, frames=study.frames, direct=True)
        found.streams.append(stream_network(board, title, bundles[title], request))
        asked = camera_request(CAMERA_FPS, CAMERA_FRAMES)
        found.camera.append(stream_network(board, title, bundles[title], asked))


def _two_networks(study: StreamStudy, bundles: Mapping[str, Path]) -> list[StudyTable]:
    target = load_profile("host").target()
    with ExitStack() as stack:
        queue = stack.enter_context(FrameQueue(ROOM + 1))
        first, second = (
            contender(title, stack.enter_context(load_bundle(bundle, target)), seed)
            for seed, (title, bundle) in enumerate(bundles.items())
        )
        shared = share_queue((first, second), queue, study.turns)
        deadline_s = DEADLINE_RUNS * sum(one.model.median_s(one.inputs) for one in (first, second))
        urgent = [
            try_priority(second, first, queue, priority, PRIORITY_FRAMES, deadline_s) for priority in (0, 1)
        ]
    return [shared_table([shared]), priority_table(urgent, first.name)]


def _full(frames: int, batch: int) -> int:
    """The least number of full batches that has so many frames."""
    return -(-frames // batch) * batch


def _network(place: Path, name: str, resolution: int, width: float = 1.0, batch: int = 1) -> Network:
    path = place / f"{name}-{resolution}.onnx"
    path.write_bytes(build(name, resolution=resolution, width=width).SerializeToString(deterministic=True))
    return load_network(path, {"input": (batch, 3, resolution, resolution)}, name)
