"""onnxruntime with sizes that a file's inputs were given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from codegen.errors import ModelError
from codegen.zoo import build
from explorer.plans.check import trials_of
from explorer.plans.network import load_network
from explorer.plans.reference_session import reference_session


@pytest.mark.parametrize("data_beside", [False, True])
def test_a_fixed_size_that_is_replaced_is_replaced_for_onnxruntime_too(
    tmp_path: Path, data_beside: bool
) -> None:
    path = tmp_path / "net.onnx"
    model = build("squeezenet", resolution=32, width=0.125, classes=10)
    onnx.save(model, str(path), save_as_external_data=data_beside, location="data", size_threshold=0)
    together = load_network(path, {"input": (3, 3, 32, 32)}, "net")
    (trial,) = trials_of(together, seed=0, count=1)
    (images,), (found,) = trial.inputs, trial.outputs
    assert found.shape == (3, 10)
    alone = reference_session(path, load_network(path, {}, "net").graph)
    for image, scores in zip(images, found, strict=True):
        (expected,) = alone.run(None, {"input": image[np.newaxis]})
        np.testing.assert_allclose(scores, expected[0], rtol=1e-4, atol=1e-5)


def test_a_model_that_onnxruntime_cannot_load_is_named(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(build("squeezenet", resolution=32, width=0.125, classes=10).SerializeToString())
    graph = load_network(path, {}, "net").graph
    model = onnx.load(str(path))
    model.graph.node[0].domain = "nobody"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"net\.onnx: onnxruntime cannot load it"):
        reference_session(path, graph)
