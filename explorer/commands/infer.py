"""`explore infer`: a finished run's network on a picture or an array of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explorer.commands.devices import BoardOptionsOption, DevicesOption, SudoOption, chosen_file
from explorer.terminal.completion import boards
from explorer.terminal.exits import reported
from explorer.terminal.json_output import json_option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from explorer.infer.answers import Box, Class
    from explorer.infer.inference import Inference
    from explorer.settings import RunSettings
    from microbench.streams import StreamRequest


def infer(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="a directory that `explore run` wrote")],
    image: Annotated[
        Path | None,
        typer.Option(
            help="a picture, of any kind that Pillow reads, for the input that takes one", metavar="FILE"
        ),
    ] = None,
    input: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="[NAME=]FILE", help="an input as an array of NumPy's, *.npy; may be repeated"
        ),
    ] = None,
    mean: Annotated[
        str,
        typer.Option(metavar="M[,M,M]", help="of the picture's channels, where bytes are 0 to 1; subtracted"),
    ] = "0",
    std: Annotated[
        str, typer.Option(metavar="S[,S,S]", help="of the picture's channels likewise; divided by")
    ] = "1",
    fit: Annotated[
        str,
        typer.Option(
            help="how the picture comes to the input's size: crop, pad or stretch", metavar="crop|pad|stretch"
        ),
    ] = "crop",
    top: Annotated[int, typer.Option(min=1, help="classes to show of each output", metavar="N")] = 5,
    labels: Annotated[
        Path | None, typer.Option(help="names of the classes, one a line", metavar="FILE")
    ] = None,
    boxes: Annotated[str | None, typer.Option(metavar="NAME", help="output that holds boxes")] = None,
    scores: Annotated[str | None, typer.Option(metavar="NAME", help="output that holds their scores")] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="NAME", help="output that holds their classes")
    ] = None,
    selected: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="output of NonMaxSuppression, which chooses of boxes and scores"),
    ] = None,
    box_order: Annotated[
        str,
        typer.Option(help="of a box's numbers: xyxy (left, top, right, bottom) or yxyx", metavar="xyxy|yxyx"),
    ] = "xyxy",
    least_score: Annotated[float, typer.Option(help="of a box that is shown", metavar="SCORE")] = 0.5,
    drawn: Annotated[
        Path | None,
        typer.Option(
            help="the picture with its boxes (default: boxes.png in the run's directory)", metavar="FILE"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="directory that all outputs are written to, as NAME.npy", metavar="DIR"),
    ] = None,
    stream: Annotated[
        str | None,
        typer.Option(
            help="frames come as from a camera, so many in a second or as fast as they are run: throughput, "
            "latencies and dropped frames in place of outputs",
            metavar="30fps|max",
        ),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            help="of --stream that come, a multiple of --batch (default: 300 or the next)", metavar="N"
        ),
    ] = None,
    batch: Annotated[
        int,
        typer.Option(
            help="frames of --stream that one run takes together, as many as its --shape says: launching costs once",
            metavar="N",
        ),
    ] = 1,
    queue: Annotated[
        int,
        typer.Option(
            help="frames of --stream that there is room for, the one that runs included", metavar="N"
        ),
    ] = 2,
    deadline: Annotated[
        str | None, typer.Option(help="after which a frame of --stream is late", metavar="TIME")
    ] = None,
    as_json: Annotated[
        bool,
        json_option(
            "with --stream what stream.json has; else time_s, kind, board, and outputs (by name a list of number, "
            "score, label), or boxes (number, score, left, "
            "top, right, bottom, label) and drawn"
        ),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            help="a named board or a profile, in place of that of the run",
            autocompletion=boards,
            metavar="DEVICE",
        ),
    ] = None,
    devices: DevicesOption = None,
    board: Annotated[
        str | None, typer.Option(help="how the device is reached; `explore devices` lists", metavar="BOARD")
    ] = None,
    board_option: BoardOptionsOption = None,
    ssh: Annotated[
        str | None, typer.Option(help="run over SSH, on user@host:port", metavar="USER@HOST:PORT")
    ] = None,
    ssh_key: Annotated[Path | None, typer.Option(help="private key for --ssh", metavar="FILE")] = None,
    known_hosts: Annotated[
        Path | None, typer.Option(help="file with the host key for --ssh", metavar="FILE")
    ] = None,
    sudo: SudoOption = False,
) -> None:
    """Run a finished run's network on a picture or arrays, and show what comes out and how long it took."""
    from explorer.errors import UsageError
    from explorer.infer.answers import draw_boxes, found_boxes, read_labels, top_classes
    from explorer.infer.inference import infer as inferred
    from explorer.infer.inference import manifest_of
    from explorer.infer.inputs import array_inputs, open_picture, picture_array, picture_input
    from explorer.infer.options import box_outputs, output_files, preparation
    from explorer.runs.data import open_run
    from explorer.settings import RunSettings, parse_board_options, parse_ssh
    from explorer.stream.options import parse_stream

    with reported(place=out):
        found = open_run(run)
        settings = RunSettings(
            device=device or (found.report.device if found.report else found.plan.device),
            qpus=found.plan.qpus if found.plan.qpus else None,
            devices=chosen_file(devices),
            board=board,
            board_options=parse_board_options(board_option or ()),
            ssh=parse_ssh(ssh, ssh_key, known_hosts, sudo),
        )
        if stream is not None:
            if image is not None or input:
                raise UsageError("--stream makes its frames up; leave --image and --input out")
            _stream(run, settings, parse_stream(stream, frames, queue, deadline, batch), as_json)
            return
        manifest = manifest_of(found)
        names = list(read_labels(labels)) if labels else []
        wanted_boxes = box_outputs(boxes, scores, classes, selected, box_order, image)
        inputs = dict(array_inputs(input or (), manifest.inputs))
        if image is not None:
            tensor = picture_input([t for t in manifest.inputs if t.name not in inputs])
            picture = open_picture(image)
            inputs[tensor.name], frame = picture_array(picture, tensor, preparation(mean, std, fit))
        result = inferred(found, inputs, settings)
        if out is not None:
            output_files(result.outputs, out)
        if wanted_boxes is None:
            answers = {name: top_classes(value, top, names) for name, value in result.outputs.items()}
            _show_classes(answers, result, as_json)
            return
        seen = found_boxes(result.outputs, wanted_boxes, frame, least_score, names)
        place = drawn or run / "boxes.png"
        draw_boxes(picture, seen, place)
        _show_boxes(seen, place, result, as_json)


def _stream(run: Path, settings: RunSettings, request: StreamRequest, as_json: bool) -> None:
    from explorer.runs.data import BUNDLE_DIRECTORY
    from explorer.stream.streaming import streamed
    from explorer.stream.summary import write_summary
    from explorer.stream.table import stream_sheet
    from explorer.terminal.console import stdout
    from explorer.terminal.json_output import print_json

    summary = streamed(run / BUNDLE_DIRECTORY, settings, request)
    write_summary(summary, run)
    if as_json:
        print_json(summary)
    else:
        stream_sheet(summary).show(stdout())


def _told(result: Inference) -> dict[str, Any]:
    return {"time_s": result.time_s, "kind": result.kind, "board": result.board}


def _show_time(result: Inference) -> None:
    from explorer.terminal.console import say_next, stdout
    from explorer.terminal.units import seconds

    console = stdout()
    console.print(f"{seconds(result.time_s)} ({result.kind}) on {result.board}", markup=False)
    say_next(console, "the bundle in the run's directory does the same on the board: its README says how")


def _show_classes(answers: Mapping[str, Sequence[Class]], result: Inference, as_json: bool) -> None:
    from explorer.terminal.console import stdout
    from explorer.terminal.json_output import print_json
    from explorer.terminal.sheet import Sheet

    if as_json:
        print_json({**_told(result), "outputs": answers})
        return
    console = stdout()
    for name, found in answers.items():
        rows = [(str(c.number), f"{c.score:.4f}", c.label or "-") for c in found]
        Sheet(name, ("class", "value", "label"), rows, right=("class", "value")).show(console)
    _show_time(result)


def _show_boxes(found: Sequence[Box], place: Path, result: Inference, as_json: bool) -> None:
    from explorer.terminal.console import stdout
    from explorer.terminal.json_output import print_json
    from explorer.terminal.sheet import Sheet

    if as_json:
        print_json({**_told(result), "boxes": found, "drawn": place})
        return
    rows = [
        (
            b.label or str(b.number),
            f"{b.score:.2f}",
            *(f"{v:.0f}" for v in (b.left, b.top, b.right, b.bottom)),
        )
        for b in found
    ]
    console = stdout()
    headings = ("class", "score", "left", "top", "right", "bottom")
    Sheet("boxes", headings, rows, right=headings[1:]).show(console)
    console.print(f"drawn: {place}", markup=False)
    _show_time(result)
