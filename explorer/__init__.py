"""Floor 4: the search, the exact composition, the command line `explore`, and the same from Python.

`explore` does what `explore run` does, `open_run` opens what a run left; docs/python.md shows both. Each name is
imported when it is first asked for, so that the package alone, and with it `explore --help`, costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = [
    "CheckFailedError",
    "ExploreError",
    "FinishedRun",
    "Progress",
    "RehearsalSettings",
    "RunSettings",
    "SearchSettings",
    "SshOptions",
    "explore",
    "open_run",
]

if TYPE_CHECKING:
    from codegen.errors import ExploreError
    from explorer.api import FinishedRun, explore, open_run
    from explorer.errors import CheckFailedError
    from explorer.search.layer_search import SearchSettings
    from explorer.settings import RehearsalSettings, RunSettings
    from explorer.terminal.progress import Progress
    from microbench.options import SshOptions
else:
    _HOMES = {
        "CheckFailedError": "explorer.errors",
        "ExploreError": "codegen.errors",
        "FinishedRun": "explorer.api",
        "Progress": "explorer.terminal.progress",
        "RehearsalSettings": "explorer.settings",
        "RunSettings": "explorer.settings",
        "SearchSettings": "explorer.search.layer_search",
        "SshOptions": "microbench.options",
        "explore": "explorer.api",
        "open_run": "explorer.api",
    }

    # Hidden from type checkers: to them every name would be an attribute then.
    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *_HOMES})
