"""Frames of a camera through a queue, by times that no clock was read for."""

from __future__ import annotations

from collections.abc import Sequence

from microbench.streams import StreamedFrame, StreamRequest


def replayed(
    services: Sequence[tuple[float, float]], request: StreamRequest
) -> tuple[tuple[StreamedFrame, ...], int]:
    """Frames that are run and how many are dropped, from time 0 on.

    `services`: seconds on the CPU and on the QPUs of each computed frame, taken in turn where more frames come. A frame
    is dropped where it finds as many as there is room for, the one that runs included. Without a rate a frame comes as
    soon as there is room.
    """
    frames: list[StreamedFrame] = []
    dropped = 0
    for number in range(request.frames):
        if request.fps is None:
            due_s = frames[-request.capacity].ended_s if len(frames) >= request.capacity else 0.0
        else:
            due_s = number / request.fps
            if sum(frame.ended_s > due_s for frame in frames[-request.capacity :]) == request.capacity:
                dropped += 1
                continue
        called_s, launched_s = services[len(frames) % len(services)]
        started_s = max(due_s, frames[-1].ended_s if frames else 0.0)
        ended_s = started_s + called_s + launched_s
        is_late = request.deadline_s is not None and ended_s > due_s + request.deadline_s
        frames.append(StreamedFrame(due_s, started_s, ended_s, called_s, launched_s, is_late))
    return tuple(frames), dropped
