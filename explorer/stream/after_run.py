"""A stream of frames at the end of a run."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console

from explorer.pipeline.run import Run
from explorer.runs.data import BUNDLE_DIRECTORY
from explorer.settings import RunSettings
from explorer.stream.streaming import streamed
from explorer.stream.summary import write_summary
from explorer.stream.table import stream_sheet
from microbench.streams import StreamRequest


def show_with_stream(
    settings: RunSettings,
    request: StreamRequest,
    show: Callable[[Run, Console], None],
    result: Run,
    console: Console,
) -> None:
    """Runs the stream on the run's board and leaves stream.json in its directory; shows the run, then the stream.

    Raises as `streamed`, and OSError where the file cannot be written.
    """
    summary = streamed(result.directory / BUNDLE_DIRECTORY, settings, request)
    write_summary(summary, result.directory)
    show(result, console)
    stream_sheet(summary).show(console)
