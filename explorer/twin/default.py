"""Whether a search asks a twin where the user says nothing of it."""

from __future__ import annotations

from dataclasses import replace

from explorer.settings import RunSettings
from microbench.registry import is_over_ssh
from microbench.twin import CALIBRATED, is_calibrated, twin_profile


def with_default_twin(settings: RunSettings) -> RunSettings:
    """Settings that name the twin of a calibrated device that is reached over SSH, or that say that there is none.

    Where many plans are compared, the board itself is asked of everything. Raises DevicesError and ProfileError for a
    device that cannot be understood, TwinError for a calibrated profile that cannot be read.
    """
    if settings.twin or settings.no_twin or settings.farm:
        return settings
    if not is_over_ssh(settings.device, board=settings.board, ssh=settings.ssh, devices=settings.devices):
        return settings
    if settings.one_plan and is_calibrated(settings.device):
        return replace(settings, twin=CALIBRATED)
    return replace(settings, no_twin=True)


def told(settings: RunSettings) -> str | None:
    """What a user is told of where the search is made; None where that is the board itself."""
    asked = f"{settings.probes} measurements" if settings.probes else "the best candidates and whole plans"
    if settings.twin:
        twin = twin_profile(settings.device, settings.devices, settings.twin)
        return (
            f"searched on the twin {twin.name} ({twin.hash[:8]}), the board is asked of {asked}; --no-twin searches on "
            "the board itself"
        )
    if settings.probes:
        return f"searched on the virtual board of the device's profile, the board is asked of {asked}"
    return None
