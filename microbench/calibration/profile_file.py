"""Writes a device profile as TOML, as the built-in ones are written, and says where constants were fitted."""

from __future__ import annotations

import json
from pathlib import Path

from microbench.profile import Constants, DeviceProfile

GROUPS = tuple(name for name, field in DeviceProfile.model_fields.items() if field.annotation == Constants)


def fitted_on(place: str) -> str:
    """How the sources of constants begin that calibration found on a board."""
    return f"fitted on {place} by explore calibrate"


def is_fitted_on(place: str, profile: DeviceProfile) -> bool:
    """Whether calibration found constants of the GPU on that board."""
    return any(constant.source.startswith(fitted_on(place)) for constant in profile.v3d.values())


def profile_text(profile: DeviceProfile) -> str:
    """TOML that `load_profile` reads back to an equal profile."""
    fields = profile.model_dump(exclude={*GROUPS, "variants"}, exclude_none=True)
    lines = [f"{name} = {_value(value)}" for name, value in fields.items()]
    for group in GROUPS:
        constants = getattr(profile, group)
        if constants:
            lines += ["", f"[{group}]", *_table(constants)]
    for name, variant in profile.variants.items():
        values = ", ".join(f"{constant} = {_value(value)}" for constant, value in variant.v3d.items())
        lines += ["", f"[variants.{name}]", f"source = {_value(variant.source)}", f"v3d = {{ {values} }}"]
    return "\n".join(lines) + "\n"


def write_profile(profile: DeviceProfile, path: Path) -> None:
    """Makes the directory too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(profile_text(profile), encoding="utf-8")


def _table(constants: Constants) -> list[str]:
    return [
        f"{name} = {{ value = {_value(c.value)}, unit = {_value(c.unit)}, source = {_value(c.source)} }}"
        for name, c in constants.items()
    ]


def _value(value: object) -> str:
    """Strings, numbers, and lists of strings; JSON's notation of these is TOML's, and floats keep every bit."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)
