"""The network of a run: where it comes from and what identifies it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from codegen.errors import ModelError
from codegen.graph import Graph
from codegen.onnx_import.content import model_sha256
from codegen.onnx_import.fixed_inputs import with_fixed_inputs
from codegen.onnx_import.model_file import read_model
from codegen.onnx_import.reader import load_graph
from codegen.passes.pipeline import optimize
from explorer.settings import BUILT_IN_NETWORK, RunSettings, Shapes

BUILT_IN_FILE = "model.onnx"
FIXED_FILE = "fixed.onnx"


@dataclass(frozen=True, eq=False)
class Network:
    """A model file, its fused graph and the hash of what it says."""

    name: str
    path: Path
    graph: Graph
    sha256: str


def open_network(settings: RunSettings, scratch: Path) -> Network:
    """The user's model, or, written to `scratch`, a directory, the built-in network or the model with the values that
    inputs are to have.

    Raises ModelError and its kin for a file that cannot be imported, and values that do not fit an input.
    """
    path = settings.model
    if path is None:
        path = scratch / BUILT_IN_FILE
        write_zoo_model(BUILT_IN_NETWORK, path)
    if not settings.values:
        return load_network(path, settings.shapes, settings.model_name)
    written = scratch / FIXED_FILE
    try:
        model = with_fixed_inputs(read_model(path), settings.values, settings.shapes, path.parent)
    except ModelError as error:
        error.args = (f"{path}: {error}",)
        raise
    written.write_bytes(model.SerializeToString(deterministic=True))
    shapes = {name: shape for name, shape in settings.shapes.items() if name not in settings.values}
    return load_network(written, shapes, settings.model_name)


def kept(network: Network, settings: RunSettings) -> Network:
    """The same network where it stays: the built-in one, and one with values of inputs, goes to the run's directory."""
    if settings.model is not None and not settings.values:
        return network
    path = settings.directory / BUILT_IN_FILE
    shutil.copy(network.path, path)
    return replace(network, path=path)


def load_network(path: Path, shapes: Shapes, name: str) -> Network:
    """A network from an ONNX file, with shapes for what the file leaves open."""
    graph = optimize(load_graph(path, shapes))
    given = {tensor: graph.types[tensor].shape for tensor in graph.inputs}
    return Network(name, path, graph, model_sha256(read_model(path), path.parent, given))


def write_zoo_model(name: str, path: Path) -> None:
    """Writes a network of the zoo; raises ModelError for an unknown name."""
    from codegen.zoo import build

    model = build(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_bytes(model.SerializeToString(deterministic=True))
    except OSError:
        if path.is_file():
            path.unlink()  # half a model is worse than none
        raise
