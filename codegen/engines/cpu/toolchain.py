"""C compilers: this machine's own or zig's; every product is cached under the hash of its origins."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from platformdirs import user_cache_dir

from codegen.children import started
from codegen.errors import ToolchainError
from codegen.target import Target

RUNTIME_DIRECTORY = Path(__file__).parent / "runtime"
DIALECT = ("-std=c99",)
LIBRARIES = ("-lm",)
# In its ISO modes gcc does not fuse multiplications and additions. clang fuses those of one expression: told to fuse
# all it would leave vmla, which rounds twice, unused where a core has no vfma.
KERNEL_FLAGS = ("-std=gnu11",)
_SHOWN_LINES = 30


def cache_directory() -> Path:
    """Where compiled files are kept between runs."""
    return Path(user_cache_dir("explore-edge"))


@cache
def cpu_model() -> str:
    """The name this machine's CPU gives itself, and its number of features."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}".strip()
    facts = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    words = (facts.get(name, "") for name in ("model name", "cpu family", "model", "stepping", "Hardware"))
    features = len((facts.get("flags") or facts.get("Features") or "").split())
    return " ".join(word for word in (platform.machine(), *words, f"{features} features") if word)


@cache
def compiler_command(triple: str) -> tuple[str, ...]:
    """The argument vector of a C compiler for a zig target triple; empty: for this machine.

    Raises ToolchainError where neither a system compiler nor the package ziglang is there.
    """
    if not triple:
        own = shutil.which("cc")
        if own is not None:
            return (own,)
    zig = (sys.executable, "-m", "ziglang")
    probe = subprocess.run((*zig, "version"), capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        where = f"for {triple}" if triple else "on this machine"
        raise ToolchainError(
            f"no C compiler {where}: install the Python package ziglang (pip install ziglang)"
        )
    return (*zig, "cc", "-target", triple) if triple else (*zig, "cc")


@cache
def compiler_identity(triple: str) -> str:
    """Name and version of the compiler, as its `--version` begins."""
    command = compiler_command(triple)
    result = subprocess.run((*command, "--version"), capture_output=True, text=True, check=False)
    lines = result.stdout.splitlines()
    if result.returncode != 0 or not lines:
        raise ToolchainError(f"{command[0]} --version failed: {result.stderr.strip() or 'no output'}")
    return lines[0].strip()


def compile_executable(
    sources: Mapping[str, str], target: Target, flags: Sequence[str] = (), libraries: Sequence[str] = ()
) -> Path:
    """An executable for the target from sources by file name; headers may be among them.

    `libraries` come after `-lm`. Equal sources, flags and compiler give the cached file. Raises
    ToolchainError with the compiler's output when it refuses.
    """
    return _compiled(sources, target, (*DIALECT, *flags), (*LIBRARIES, *libraries), "program")


def takes_objects(target: Target) -> bool:
    """Whether kernels are compiled one by one and linked, so that those that were compiled before need not be again:
    not with zig, which takes longer to start than to compile one.
    """
    return target.compiler[:1] in ((), ("",)) and shutil.which("cc") is not None


def link_executable(objects: Sequence[Path], target: Target, flags: Sequence[str] = ()) -> Path:
    """An executable for the target from files that `compile_object` and `compile_relocatable` gave; raises
    ToolchainError as they do.
    """
    words = (*(str(path) for path in objects), *LIBRARIES)
    return _compiled({}, target, (*DIALECT, *flags), words, "program")


def compile_shared(
    sources: Mapping[str, str], target: Target, flags: Sequence[str] = (), libraries: Sequence[str] = ()
) -> Path:
    """A shared object from sources by file name; otherwise as `compile_executable`."""
    everything = (*DIALECT, *flags, "-shared", "-fPIC")
    return _compiled(sources, target, everything, (*LIBRARIES, *libraries), "library.so")


def compile_object(sources: Mapping[str, str], target: Target, flags: Sequence[str] = ()) -> Path:
    """An object file for the target from one source by file name; otherwise as `compile_executable`."""
    return _compiled(sources, target, (*DIALECT, *flags, "-c"), (), "code.o")


def compile_relocatable(sources: Mapping[str, str], target: Target, flags: Sequence[str] = ()) -> Path:
    """One object file for the target from all sources by file name, to be linked into executables as a library;
    otherwise as `compile_executable`.
    """
    return _compiled(sources, target, (*DIALECT, *flags, "-r"), (), "code.o")


def runtime_source(name: str) -> str:
    """Text of one of the C files that come with the project."""
    return (RUNTIME_DIRECTORY / name).read_text(encoding="utf-8")


def runtime_texts() -> tuple[str, ...]:
    """Texts of all of them."""
    paths = sorted(path for path in RUNTIME_DIRECTORY.iterdir() if path.suffix in (".c", ".h"))
    return tuple(path.read_text(encoding="utf-8") for path in paths)


def _compiled(
    sources: Mapping[str, str], target: Target, flags: Sequence[str], libraries: Sequence[str], product: str
) -> Path:
    is_linked = any(not word.startswith("-") for word in libraries)  # of object files
    if not is_linked and not any(name.endswith(".c") for name in sources):
        raise ToolchainError("nothing to compile: no source ends in .c")
    triple, *target_flags = target.compiler or ("",)
    if not triple and "-static" in flags and shutil.which("cc") is None:
        triple = f"{platform.machine()}-linux-musl"  # zig links the C library of a system dynamically only
    command = compiler_command(triple)
    arguments = (*target_flags, *flags)
    key = _key(sources, (compiler_identity(triple), triple, *arguments, *libraries), target)
    place = cache_directory() / "compiled" / key[:2] / f"{key}-{product}"
    with _lock_of(key):
        if place.is_file():
            return place
        try:
            _build(sources, (*command, *arguments), libraries, place)
        except OSError as error:
            raise ToolchainError(f"cannot keep a compiled file in {place.parent}: {error}") from error
    return place


@cache
def _lock_of(key: str) -> threading.Lock:
    """Threads that want the same file wait for the one that makes it."""
    return threading.Lock()


def _key(sources: Mapping[str, str], words: Sequence[str], target: Target) -> str:
    digest = hashlib.sha256()
    machine = cpu_model() if target.cpu == "native" else ""
    parts = [*words, machine, *(part for name in sorted(sources) for part in (name, sources[name]))]
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


def _build(sources: Mapping[str, str], command: Sequence[str], libraries: Sequence[str], place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=place.parent) as directory:
        for name, text in sources.items():
            (Path(directory) / name).write_text(text, encoding="utf-8")
        names = sorted(name for name in sources if name.endswith(".c"))
        arguments = (*command, *names, "-o", place.name, *libraries)
        with started(arguments, Path(directory)) as compiler:
            output, complaints = compiler.communicate()
        built = Path(directory) / place.name
        if compiler.returncode != 0 or not built.is_file():
            said = (complaints or output).decode("utf-8", "replace").splitlines()
            raise ToolchainError(
                f"the C compiler failed (exit code {compiler.returncode}): {' '.join(arguments)}\n"
                + "\n".join(said[:_SHOWN_LINES])
            )
        os.replace(built, place)
