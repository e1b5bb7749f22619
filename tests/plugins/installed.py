"""Installs the plug-in packages of this folder as pip would, each test into a directory of its own, and runs `explore`.

A package is a folder with a pyproject.toml and the modules that `[tool.setuptools] py-modules` names. What Python looks
for, the distribution's metadata and its entry points, is written by hand: that takes no network and no time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

PLUGINS = Path(__file__).parent
EXPLORE = (sys.executable, "-c", "from explorer.cli import main; main()")
LIMIT_S = 300


def install(package: str, site: Path) -> Path:
    """Puts the package of that folder into `site`, which is made; returns `site`."""
    source = PLUGINS / package
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))
    site.mkdir(parents=True, exist_ok=True)
    for module in project["tool"]["setuptools"]["py-modules"]:
        shutil.copy(source / f"{module}.py", site)
    name, version = project["project"]["name"], project["project"]["version"]
    metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups: Mapping[str, Mapping[str, str]] = project["project"]["entry-points"]
    (metadata / "entry_points.txt").write_text("\n".join(_entries(groups)) + "\n")
    return site


def explore_with(
    site: Path, *arguments: str | Path, cwd: Path, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`explore` as a program of its own in `cwd`, with what was installed into `site`; `path` goes before PATH."""
    searched = os.pathsep.join(filter(None, (str(path or ""), os.environ.get("PATH", ""))))
    return subprocess.run(
        [*EXPLORE, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site), "PATH": searched},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def _entries(groups: Mapping[str, Mapping[str, str]]) -> list[str]:
    return [
        line
        for group, points in groups.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
    ]
