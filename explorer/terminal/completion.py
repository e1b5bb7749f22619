"""What a shell offers behind the key for completion: names of boards, networks and layers.

What cannot be read offers nothing: a shell has no place for a message.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import typer


def boards(context: typer.Context, incomplete: str) -> list[str]:
    """Named boards of the user and profiles."""
    from codegen.errors import ExploreError
    from microbench.devices import default_devices_file, read_devices
    from microbench.profile import known_profiles

    file = context.params.get("devices") or default_devices_file()
    try:
        named: Iterable[str] = read_devices(Path(file))
    except ExploreError:
        named = ()
    return _offered((*named, *known_profiles()), incomplete)


def networks(incomplete: str) -> list[str]:
    """The zoo's."""
    from codegen.zoo import networks as known

    return _offered(known(), incomplete)


def layers(context: typer.Context, incomplete: str) -> list[str]:
    """Those of the run that is named before."""
    run = context.params.get("run")
    try:
        plan = json.loads((Path(run) / "plan.json").read_text(encoding="utf-8")) if run else {}
        return _offered((step["name"] for step in plan.get("steps", ())), incomplete)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _offered(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in set(names) if name.startswith(incomplete))
