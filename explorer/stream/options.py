"""Rates and times of streams as they are typed."""

from __future__ import annotations

import re

from explorer.errors import UsageError
from microbench.streams import StreamRequest

FASTEST, FRAMES = "max", 300
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:fps)?")
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s)")


def parse_stream(
    rate: str, frames: int | None = None, capacity: int = 2, deadline: str | None = None, batch: int = 1
) -> StreamRequest:
    """`30fps`, or `max` for one frame after another, and `50ms`; without `frames` so many that all batches are full.

    Raises UsageError for what is neither, or is out of range.
    """
    found = _RATE.fullmatch(rate)
    if found is None and rate != FASTEST:
        raise UsageError(f"--stream {rate}: a rate is 30fps, say, or {FASTEST} for one frame after another")
    try:
        full = -(-FRAMES // batch) * batch if batch > 0 else FRAMES
        count = full if frames is None else frames
        fps = float(found[1]) if found else None
        return StreamRequest(fps, count, capacity, _deadline_s(deadline), batch=batch)
    except ValueError as error:
        raise UsageError(f"--stream: {error}") from error


def _deadline_s(text: str | None) -> float | None:
    if text is None:
        return None
    found = _TIME.fullmatch(text)
    if found is None:
        raise UsageError(f"--deadline {text}: a time is 50ms or 0.5s, say")
    return float(found[1]) * (1e-3 if found[2] == "ms" else 1.0)
