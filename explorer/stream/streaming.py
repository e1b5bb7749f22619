"""A stream of frames through the bundle of a run, on the board that it was made for or another."""

from __future__ import annotations

from pathlib import Path

from explorer.pipeline.boards import close, open_board_of
from explorer.settings import RunSettings
from explorer.stream.summary import StreamSummary, summary_of
from microbench.streams import StreamRequest, stream_on


def streamed(bundle: Path, settings: RunSettings, request: StreamRequest) -> StreamSummary:
    """Raises as `open_board_of` and `stream_on`."""
    board = open_board_of(settings)
    try:
        return summary_of(stream_on(board, bundle, request), board.fingerprint().board)
    finally:
        close(board)
