"""What a bundle holds: its interface, and a hash of every file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from codegen.errors import BundleError
from codegen.plan import PlanTensor

MANIFEST_NAME = "manifest.json"
BUNDLE_FORMAT = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Frozen):
    """Size and hash of one file."""

    size_bytes: int
    sha256: str


class RegionEntry(_Frozen):
    """A buffer in GPU memory that the CPU writes or reads: `<tensor>@<layout>`."""

    name: str
    offset_bytes: int
    size_bytes: int


class GpuEntry(_Frozen):
    """The GPU image: memory it needs, of which the last `activation_bytes` are activations with their guards, the
    steps of each launch, the buffers shared with the CPU.
    """

    size_bytes: int
    activation_bytes: int
    weights_offset_bytes: int
    launches: tuple[tuple[str, ...], ...]
    inputs: tuple[RegionEntry, ...]
    outputs: tuple[RegionEntry, ...]


class WeightsEntry(_Frozen):
    """Where in the CPU's part of weights.bin a step's packed weights lie."""

    step: str
    offset_bytes: int
    size_bytes: int


class Manifest(_Frozen):
    """manifest.json: everything a board must know to build and run the bundle."""

    format: int = BUNDLE_FORMAT
    model_name: str
    identifier: str
    device: str
    plan_sha256: str
    inputs: tuple[PlanTensor, ...]
    outputs: tuple[PlanTensor, ...]
    steps: tuple[str, ...]
    arena_bytes: int
    cpu_weights: tuple[WeightsEntry, ...]
    gpu: GpuEntry | None
    files: Mapping[str, FileEntry]

    def text(self) -> str:
        """The file's text: sorted, indented, one newline at the end."""
        content = self.model_dump(mode="json")
        return json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def file_entry(content: bytes) -> FileEntry:
    """Size and hash of a file's content."""
    return FileEntry(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a bundle, its files checked; raises BundleError naming the one that is missing or changed."""
    path = directory / MANIFEST_NAME
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BundleError(
            f"{directory} is no bundle: {MANIFEST_NAME}: {error.strerror}; `explore compile` writes one"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "file"
        raise BundleError(f"{path}: {place}: {first['msg']}; compile the plan again") from error
    if manifest.format != BUNDLE_FORMAT:
        raise BundleError(
            f"{path}: bundle of format {manifest.format}, this program reads {BUNDLE_FORMAT}; compile the plan again"
        )
    for name, entry in manifest.files.items():
        _check_file(directory, name, entry)
    return manifest


def bundle_sources(directory: Path, manifest: Manifest, platform: str | None) -> dict[str, str]:
    """C files and headers of a bundle by name, with one platform's file (`none`, `mailbox`), or without any."""
    chosen = f"platform_{platform}.c"
    return {
        name: (directory / name).read_text(encoding="utf-8")
        for name in manifest.files
        if Path(name).suffix in (".c", ".h")
        and (name == chosen or not (name.startswith("platform_") and name.endswith(".c")))
    }


def _check_file(directory: Path, name: str, entry: FileEntry) -> None:
    if Path(name).name != name:
        raise BundleError(
            f"{directory / MANIFEST_NAME}: {name!r} is no plain file name; compile the plan again"
        )
    try:
        content = (directory / name).read_bytes()
    except OSError as error:
        raise BundleError(f"{directory / name}: {error.strerror}; compile the plan again") from error
    if file_entry(content) != entry:
        raise BundleError(f"{directory / name} is not what {MANIFEST_NAME} lists; compile the plan again")
