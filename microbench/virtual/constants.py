"""The simulator's constants: a profile's values by the names of v3d.h. Nothing is compiled to tell them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from microbench.profile import DeviceProfile
from microbench.virtual.build import simulator_sources

_FIELDS = re.compile(r"#define V3D_CONFIG_FIELDS\(X\) (?P<fields>(?:\\\n\s*X\(\w+\) ?)+)")


@cache
def constant_names() -> tuple[str, ...]:
    """The members of the structure v3d_config, in its order."""
    found = _FIELDS.search(simulator_sources()["v3d.h"])
    if found is None:
        raise AssertionError("v3d.h lists its constants in another form")
    return tuple(re.findall(r"X\((\w+)\)", found["fields"]))


def constants_of(profile: DeviceProfile) -> Mapping[str, float]:
    """The members of v3d_config by name, in its order; raises ProfileError where the profile lacks one."""
    return {
        name: float(profile.gpu_memory_bytes) if name == "gpu_memory_bytes" else profile.v3d_value(name)
        for name in constant_names()
    }
