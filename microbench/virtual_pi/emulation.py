"""How programs of a virtual Pi are run: by which emulator, as which core, with which plugin."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from codegen.engines.cpu.toolchain import compile_shared
from microbench.emulation.emulator import emulation_of, why_no_counting
from microbench.errors import BoardError
from microbench.profile import DeviceProfile
from microbench.runner.build import c_files
from microbench.virtual.build import SIMULATOR_FLAGS, THIS_MACHINE, simulator_sources

_INTERFACE = Path(__file__).parents[1] / "emulation" / "qemu_plugin.h"
_PLUGIN, _SESSION = (Path(__file__).with_name(name) for name in ("plugin", "session"))
_FLAGS = (*SIMULATOR_FLAGS, "-std=gnu11", "-fvisibility=hidden", "-pthread")
_SAME_RANDOM_BYTES = ("-seed", "1")
_NEWEST_32 = "max"
_KERNEL = "6.1.0"


def why_no_emulation(profile: DeviceProfile) -> str | None:
    """Why programs of the profile's boards cannot be emulated here, or None."""
    try:
        return why_no_counting(emulation_of(profile.target()).program)
    except BoardError as error:
        return str(error)


def release_of(profile: DeviceProfile, constants: str) -> str:
    """What `uname -r` says there: it differs where anything does that times depend on."""
    digest = hashlib.sha256(constants.encode())
    for name, text in sorted(_sources().items()):
        digest.update(f"{name}\0{text}\0".encode())
    digest.update(repr(profile.cpu_cost("clock_hz")).encode())
    return f"{_KERNEL}-virtual-{digest.hexdigest()[:12]}"


def emulator_words(profile: DeviceProfile, board: Path, release: str) -> tuple[str, ...]:
    """What goes before a program: the emulator and its options. Raises ToolchainError where that cannot be built."""
    emulation = emulation_of(profile.target())
    rate = profile.cpu_cost("clock_hz")  # an instruction a cycle
    lacks = ",lacks=newer" if emulation.core == _NEWEST_32 else ""
    return (
        *(str(shutil.which(emulation.program)), "-cpu", emulation.core, "-L", str(board / "sysroot")),
        *("-r", release, *_SAME_RANDOM_BYTES),
        *("-plugin", f"{plugin_path()},board={board},rate={rate!r}{lacks}"),
    )


def plugin_path() -> Path:
    """The plugin, simulator included, from the cache if it was compiled before; raises ToolchainError."""
    return compile_shared(_sources(), THIS_MACHINE, _FLAGS)


def session_path() -> Path:
    """What programs of this machine are preloaded with where they stand for the board's; raises ToolchainError."""
    return compile_shared(c_files(_SESSION), THIS_MACHINE, ("-std=gnu11", "-O2", "-fvisibility=hidden"))


def _sources() -> dict[str, str]:
    shared = {name: text for name, text in c_files(_SESSION).items() if name.startswith("emulator.")}
    interface = {_INTERFACE.name: _INTERFACE.read_text(encoding="utf-8")}
    return {**simulator_sources(), **c_files(_PLUGIN), **shared, **interface}
