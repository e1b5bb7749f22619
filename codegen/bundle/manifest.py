"""What a bundle holds: its interface, and a hash of every file, its own included.

SHA256SUMS, in the form of `sha256sum`, lists all files of a bundle and the manifest. That catches damage, wherever it
is; it is no signature: who changes a file on purpose can write new sums.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, ValidationError

from codegen.errors import BundleError
from codegen.plan import PlanTensor

MANIFEST_NAME = "manifest.json"
SUMS_NAME = "SHA256SUMS"
BUNDLE_FORMAT = 2
OLD_FORMAT = 1  # without SHA256SUMS
SETTLED_NS = 100_000_000  # since a file was written, for its times to tell whether it is again
PROGRAMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "bench": ("main.c", "bench_report.c"),
        "stream": ("stream.c", "stream_report.c", "frame_queue.c"),
        "classify": ("classify.c",),
    }
)
"""Sources of each program beside the model's and the platform's; the last one is there for some networks only."""


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


class CpuPlanEntry(_Frozen):
    """The plan for the CPU that is used where the GPU is not to be had, and what it takes more: C source, weights, and
    once it is loaded the CPU's memory for activations.
    """

    plan_sha256: str
    steps: tuple[str, ...]
    source_bytes: int
    weights_bytes: int
    arena_bytes: int


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
    cpu_plan: CpuPlanEntry | None = None
    files: Mapping[str, FileEntry]

    def text(self) -> str:
        """The file's text: sorted, indented, one newline at the end."""
        content = self.model_dump(mode="json")
        return json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False) + "\n"

    def sums_text(self, content: bytes) -> str:
        """SHA256SUMS beside this manifest, whose file holds `content`."""
        hashes = {name: entry.sha256 for name, entry in self.files.items()}
        hashes[MANIFEST_NAME] = hashlib.sha256(content).hexdigest()
        return "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))


def file_entry(content: bytes) -> FileEntry:
    """Size and hash of a file's content."""
    return FileEntry(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a bundle, itself and its files checked; raises BundleError naming what is missing or changed.

    A bundle of the first format has no SHA256SUMS: the manifest itself is not checked there.
    """
    path = directory / MANIFEST_NAME
    try:
        content = path.read_bytes()
        manifest = Manifest.model_validate_json(content)
    except OSError as error:
        raise BundleError(
            f"{directory} is no bundle: {MANIFEST_NAME}: {error.strerror}; `explore compile` writes one"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "file"
        raise BundleError(f"{path}: {place}: {first['msg']}; compile the plan again") from error
    if manifest.format not in (OLD_FORMAT, BUNDLE_FORMAT):
        raise BundleError(
            f"{path}: bundle of format {manifest.format}, this program reads {OLD_FORMAT} and {BUNDLE_FORMAT}; "
            "compile the plan again"
        )
    if manifest.format == BUNDLE_FORMAT or (directory / SUMS_NAME).exists():
        _check_sums(directory, manifest.sums_text(content))
    for name, entry in manifest.files.items():
        _check_file(directory, name, entry)
    return manifest


def bundle_sources(
    directory: Path, manifest: Manifest, platform: str | None, program: str | None = "bench"
) -> dict[str, str]:
    """C files and headers of one of a bundle's programs by name, or of the model alone, with the files of one platform
    (`none`, `mailbox`, `virtual`), or without any.
    """
    chosen = f"platform_{platform}.c"
    others = {source for name, sources in PROGRAMS.items() if name != program for source in sources}
    sources = {
        name: (directory / name).read_text(encoding="utf-8")
        for name in manifest.files
        if Path(name).suffix in (".c", ".h")
        and "/" not in name
        and name not in others
        and (name == chosen or not (name.startswith("platform_") and name.endswith(".c")))
    }
    own = (PurePosixPath(name) for name in manifest.files)
    return sources | {
        path.name: (directory / path).read_text(encoding="utf-8")
        for path in own
        if path.parent.name == platform
    }


def _check_sums(directory: Path, expected: str) -> None:
    path = directory / SUMS_NAME
    try:
        found = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}; compile the plan again") from error
    if found != expected.encode():
        raise BundleError(
            f"{directory}: {MANIFEST_NAME} is not what {SUMS_NAME} lists, one of them is damaged; "
            "compile the plan again"
        )


def _check_file(directory: Path, name: str, entry: FileEntry) -> None:
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or str(place) != name:
        raise BundleError(f"{directory / MANIFEST_NAME}: {name!r} is no file in it; compile the plan again")
    try:
        found = _entry_of(directory / name)
    except OSError as error:
        raise BundleError(f"{directory / name}: {error.strerror}; compile the plan again") from error
    if found != entry:
        raise BundleError(f"{directory / name} is not what {MANIFEST_NAME} lists; compile the plan again")


_entries: dict[tuple[object, ...], FileEntry] = {}  # by file, and when it was last written


def _entry_of(path: Path) -> FileEntry:
    """Of a file's content, which is not hashed again where nobody wrote to it meanwhile: bundles are run in turns."""
    status = path.stat()
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if key in _entries:
        return _entries[key]
    entry = file_entry(path.read_bytes())
    if abs(time.time_ns() - status.st_ctime_ns) > SETTLED_NS:
        _entries[key] = entry
    return entry
