"""The networks of benchmarks: those of the zoo by name, others from files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from codegen.zoo import build
from explorer.plans.network import Network, load_network


@contextmanager
def network_named(name: str, resolution: int) -> Iterator[Network]:
    """A network from a file *.onnx, or of the zoo in a directory that goes when this ends.

    Raises ModelError and its kin for a name that the zoo has not, and for a file that cannot be imported.
    """
    if name.endswith(".onnx"):
        yield load_network(Path(name), {}, Path(name).stem)
        return
    with TemporaryDirectory(prefix="explore-model-") as scratch:
        path = Path(scratch) / f"{name}.onnx"
        path.write_bytes(build(name, resolution=resolution).SerializeToString(deterministic=True))
        yield load_network(path, {}, name)
