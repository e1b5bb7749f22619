"""A bundle as a program of this machine, with the virtual GPU linked in as its platform."""

from __future__ import annotations

from pathlib import Path

from codegen.bundle.frames import QUEUE_FLAGS, QUEUE_SOURCE
from codegen.bundle.manifest import Manifest, bundle_sources
from codegen.bundle.pool import pool_flags
from codegen.engines.cpu.toolchain import compile_executable
from codegen.plan import Plan
from microbench.profile import DeviceProfile
from microbench.virtual.build import (
    SIMULATOR_FLAGS,
    THIS_MACHINE,
    object_path,
    platform_source,
    simulator_sources,
)
from microbench.virtual.constants import constants_of

LAUNCH_LIMIT_S = 1.0  # after which the driver gives up a launch


BOARD_FILE = "../../board.constants"  # from where a runner's programs run


def virtual_bundle_sources(
    bundle: Path,
    manifest: Manifest,
    plan: Plan,
    profile: DeviceProfile,
    stands_in: bool = False,
    program: str = "bench",
) -> dict[str, str]:
    """C files and headers of a program by name; the profile's constants are compiled in, with GPU memory as the plan
    has it.

    `stands_in`: the constants are those of the board that the simulator stands for where the bundle runs.
    Raises ProfileError where the board has no such memory.
    """
    return {**bundle_sources(bundle, manifest, None, program), **virtual_platform(profile, plan, stands_in)}


def virtual_platform(profile: DeviceProfile, plan: Plan, stands_in: bool = False) -> dict[str, str]:
    """C files and headers by name of the virtual GPU that runs a plan's bundle on any machine; none where the board has
    no such GPU. Otherwise as `virtual_bundle_sources`.
    """
    if not profile.v3d:
        return {}
    if plan.gpu_memory is not None:
        profile = profile.with_gpu_memory(plan.gpu_memory)
    return {
        **simulator_sources(),
        "platform_virtual.c": platform_source(),
        "v3d_profile.h": board_header(profile) if stands_in else profile_header(profile),
    }


def build_virtual_bundle(
    bundle: Path,
    manifest: Manifest,
    plan: Plan,
    profile: DeviceProfile,
    stands_in: bool = False,
    program: str = "bench",
) -> Path:
    """One of its programs, cached, static so that it also runs elsewhere; raises ToolchainError."""
    sources = virtual_bundle_sources(bundle, manifest, plan, profile, stands_in, program)
    simulator = simulator_sources()
    own = {name: text for name, text in sources.items() if name not in simulator or name.endswith(".h")}
    flags = (
        *SIMULATOR_FLAGS,
        "-static",
        *(QUEUE_FLAGS if QUEUE_SOURCE in own else pool_flags(manifest.files)),
    )
    return compile_executable(own, THIS_MACHINE, flags, (str(object_path()), "-lm"))


def profile_header(profile: DeviceProfile) -> str:
    """v3d_profile.h: the structure v3d_config with exact values (hexadecimal floats)."""
    fields = "".join(f"    .{name} = {value.hex()},\n" for name, value in constants_of(profile).items())
    return (
        f"/* Constants of profile {profile.hash[:12]}. */\n"
        f"#define V3D_LAUNCH_LIMIT_S {LAUNCH_LIMIT_S}\n"
        f"static const v3d_config v3d_profile = {{\n{fields}}};\n"
    )


def board_header(profile: DeviceProfile) -> str:
    """v3d_profile.h where the constants are the board's own, and only how memory is allocated is the profile's."""
    return (
        f"#define V3D_LAUNCH_LIMIT_S {LAUNCH_LIMIT_S}\n"
        f'#define V3D_BOARD_FILE "{BOARD_FILE}"\n'
        f"#define V3D_MEMORY_IS_CACHED {profile.v3d_value('memory_is_cached'):g}\n"
    )
