"""What the parts of a board draw while they work."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.target import Target
from explorer.objectives.usage import Usage
from microbench.profile import DeviceProfile


@dataclass(frozen=True)
class Power:
    """Watts of the idle board, and how much more for each busy core and for the engine beside the CPU; joules for each
    byte that goes to memory or comes from there.
    """

    idle_w: float = 0.0
    core_w: float = 0.0
    accelerator_w: float = 0.0
    byte_j: float = 0.0

    def modelled_j(self, usage: Usage) -> float:
        """What a plan or a step takes by this."""
        return (
            self.idle_w * usage.latency_s
            + self.core_w * usage.cpu_s
            + self.accelerator_w * usage.accelerator_s
            + self.byte_j * usage.traffic_bytes
        )


def power_of(profile: DeviceProfile, target: Target) -> Power | None:
    """By the profile's [power], of which sources or `assumed` stand there; None where it has none. `target`
    has the QPUs that are used. Raises ProfileError where a constant is missing.
    """
    if not profile.power:
        return None
    return Power(
        idle_w=profile.power_value("idle_w"),
        core_w=profile.power_value("core_w"),
        accelerator_w=target.qpus * profile.power_value("qpu_w") if target.qpus else 0.0,
        byte_j=profile.power_value("memory_j_per_byte"),
    )
