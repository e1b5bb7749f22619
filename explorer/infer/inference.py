"""One inference of a finished run's bundle on the board that it was made for, or another way to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codegen.bundle.manifest import Manifest, read_manifest
from codegen.tensor import AnyArray
from explorer.errors import InputError
from explorer.pipeline.boards import close, open_board_of
from explorer.runs.data import BUNDLE_DIRECTORY, RunData
from explorer.settings import RunSettings


@dataclass(frozen=True, eq=False)
class Inference:
    """Outputs by name in their own shapes, and what they took: `time_s` seconds of the kind `kind`, on `board`."""

    outputs: Mapping[str, AnyArray]
    time_s: float
    kind: str
    board: str


def manifest_of(run: RunData) -> Manifest:
    """The interface of the run's bundle; raises BundleError where it is missing or damaged."""
    return read_manifest(run.directory / BUNDLE_DIRECTORY)


def infer(run: RunData, inputs: Mapping[str, AnyArray], settings: RunSettings) -> Inference:
    """Runs the bundle once on the board of the settings.

    Raises InputError where an input is missing, and as `open_board_of` and the board's `run_bundle`.
    """
    manifest = manifest_of(run)
    missing = [tensor.name for tensor in manifest.inputs if tensor.name not in inputs]
    if missing:
        raise InputError(
            f"nothing is given for the input {', '.join(map(repr, missing))}: --image or --input"
        )
    board = open_board_of(settings)
    try:
        values = tuple(inputs[tensor.name] for tensor in manifest.inputs)
        ran = board.run_bundle(run.directory / BUNDLE_DIRECTORY, values)
        fingerprint = board.fingerprint()
    finally:
        close(board)
    outputs = {
        tensor.name: flat.reshape(tensor.shape)
        for tensor, flat in zip(manifest.outputs, ran.outputs, strict=True)
    }
    return Inference(outputs, ran.time_s, ran.kind, fingerprint.board)
