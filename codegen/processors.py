"""Which executables a processor runs: the check before one is sent to a board."""

from __future__ import annotations

from dataclasses import dataclass, field

from codegen.elf import ElfTraits, Machine, ProcessorError, read_elf

_V6 = frozenset({"pre-v4", "v4", "v4T", "v5T", "v5TE", "v5TEJ", "v6", "v6KZ", "v6K"})
_V7 = _V6 | {"v6T2", "v7"}
_VFP_V2 = frozenset({"none", "VFPv1", "VFPv2"})
_VFP_V4 = _VFP_V2 | {"VFPv3", "VFPv3-D16", "VFPv4", "VFPv4-D16"}


@dataclass(frozen=True)
class Processor:
    """It runs programs of one machine; on 32-bit ARM, those whose architecture and floating point it knows."""

    name: str
    machine: Machine
    arm_cpus: frozenset[str] = field(default=frozenset())
    arm_fps: frozenset[str] = field(default=frozenset())
    has_neon: bool = False

    def lacks(self, traits: ElfTraits) -> str | None:
        """What a program wants that this processor has not; None where it runs it."""
        if traits.machine != self.machine:
            return f"is for {traits.machine}"
        if self.machine != "arm":
            return None
        if traits.arm_cpu not in self.arm_cpus:
            return f"wants an ARM{traits.arm_cpu}"
        if traits.arm_fp not in self.arm_fps:
            return f"wants floating point {traits.arm_fp}"
        return "wants NEON" if traits.has_neon and not self.has_neon else None


ARM_V6 = Processor("ARMv6 with VFPv2", "arm", _V6, _VFP_V2)
ARM_V7 = Processor("ARMv7 with NEON", "arm", _V7, _VFP_V4, has_neon=True)
ARM_V8_32 = Processor("ARMv8 in 32 bits", "arm", _V7 | {"v8"}, _VFP_V4 | {"FPv8"}, has_neon=True)
AARCH64 = Processor("AArch64", "aarch64")
X86_64 = Processor("x86-64", "x86_64")

ARM_MACHINES = ("armv6l", "armv7l", "armv8l")  # what `uname -m` says under a 32-bit kernel
ARM_V8_PARTS = ("0xd03", "0xd04", "0xd08", "0xd0b")  # Cortex-A53, A35, A72, A76, as /proc/cpuinfo has them


def processors_of(machine: str, cpuinfo: str) -> tuple[Processor, ...]:
    """What runs programs on a computer, from `uname -m` and the text of /proc/cpuinfo; empty where it is unknown."""
    if machine == "aarch64":
        return (AARCH64, ARM_V8_32)
    if machine == "x86_64":
        return (X86_64,)
    if machine == "armv6l":
        return (ARM_V6,)
    if machine in ("armv7l", "armv8l"):
        return (ARM_V8_32 if any(part in cpuinfo for part in ARM_V8_PARTS) else ARM_V7,)
    return ()


def check_executable(content: bytes, processors: tuple[Processor, ...], *, static: bool) -> None:
    """Raises ProcessorError where none of them runs it, or it should be static and is not; ElfError for no ELF file."""
    traits = read_elf(content)
    lacks = [processor.lacks(traits) for processor in processors]
    if None not in lacks:
        names = " or ".join(processor.name for processor in processors) or "an unknown processor"
        why = lacks[0] or "" if lacks else f"is for {traits.machine}"
        raise ProcessorError(f"the program {why}, the board is {names}; name the board's own profile")
    if static and not traits.is_static:
        raise ProcessorError("the program is linked dynamically; add -static to the profile's compiler_flags")
