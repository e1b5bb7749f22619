"""Reading and judging the file itself: bytes to a ModelProto whose versions are known."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.message import DecodeError
from onnx import ModelProto

from codegen.errors import ModelError

OLDEST_OPSET = 7
NEWEST_OPSET = 28  # the newest whose operator definitions the handlers were compared with


def read_model(path: Path) -> ModelProto:
    """The model in a file, without external data. Raises ModelError where the file is missing or no ONNX."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError("no such file; give the path of an .onnx file") from error
    except IsADirectoryError as error:
        raise ModelError("is a directory; give the path of an .onnx file") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot be read ({error}); give the path of an .onnx file") from error
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ModelError("is no ONNX model, or a truncated one; export or copy it again") from error
    if not model.ir_version or not model.HasField("graph"):
        raise ModelError("is no ONNX model: it holds no graph; export or copy it again")
    return model


def opset_of(model: ModelProto) -> int:
    """The version of the default operator set; raises ModelError outside the supported range."""
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(versions) != 1:
        raise ModelError(
            f"imports the default operator set {len(versions)} times, not once; export or copy it again"
        )
    if not OLDEST_OPSET <= versions[0] <= NEWEST_OPSET:
        raise ModelError(
            f"has operator set {versions[0]}; supported are {OLDEST_OPSET} to {NEWEST_OPSET}: "
            "export it with one of these, or convert it with onnx.version_converter"
        )
    return int(versions[0])
