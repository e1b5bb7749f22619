"""Whether any candidate takes less time than the roofline says that it must."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cost_models.model import Observation
from cost_models.roofline import RooflineModel
from microbench.profile import DeviceProfile

EXACT = 1e-9  # share by which sums of equal terms may differ


@dataclass(frozen=True)
class BoundKept:
    """Times as shares of their bounds: how many there are, how many are less than 1, and the least."""

    samples: int
    less: int
    least: float

    @property
    def sentence(self) -> str:
        """For a page."""
        found = f"{self.less} of {self.samples}" if self.less else f"None of the {self.samples}"
        return f"{found} candidates take less than the roofline's bound; the least takes {self.least:.3f} times it."


def bound_sentence(observations: Sequence[Observation], profile: DeviceProfile) -> str:
    """For a page, of at least one observation on boards with the profile's constants."""
    if not (profile.v3d or profile.cpu_costs):
        return (
            f"The profile {profile.name} has no constants of its processor: the roofline is no bound there."
        )
    return bound_kept(observations, profile).sentence


def bound_kept(observations: Sequence[Observation], profile: DeviceProfile) -> BoundKept:
    """Of observations on boards with the profile's constants, of which there is at least one."""
    roofline = RooflineModel(profile)
    shares = [o.time_s / roofline.terms(o.candidate, o.work).bound_s for o in observations]
    return BoundKept(len(shares), sum(share < 1 - EXACT for share in shares), min(shares))
