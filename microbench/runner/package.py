"""The runner as a Debian package: one static program of root's, and the group whose members may start it as root.

Equal runners give equal packages: dates in it are those of `EPOCH`.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from codegen.elf import read_elf
from microbench.errors import PackageError
from microbench.profile import DeviceProfile
from microbench.runner.build import Backend, device_runner, runner_revision

PACKAGE = "explore-edge-runner"
GROUP = "explore-edge"
PACKAGED_RUNNER = "/usr/lib/explore-edge/runner"
ARCHITECTURES = {"arm": "armhf", "aarch64": "arm64"}  # Debian's, by what ELF files say
EPOCH = "1767225600"  # 1 January 2026

_DISTRIBUTION = "explore-edge"
_DOCUMENTS = f"usr/share/doc/{PACKAGE}"
_SUDOERS = f"etc/sudoers.d/{PACKAGE}"


def write_package(profile: DeviceProfile, directory: Path) -> Path:
    """Builds the runner of a profile's boards and packs it; returns the package's file in `directory`.

    Raises PackageError for a profile of no board that is reached over SSH and where there is no dpkg-deb,
    ToolchainError where the runner cannot be compiled, OSError where nothing can be written.
    """
    if not profile.compiler_target:
        raise PackageError(
            f"device {profile.name!r} is this machine: its runner needs no package; name a Raspberry Pi's profile"
        )
    tool = shutil.which("dpkg-deb")
    if tool is None:
        raise PackageError("there is no program dpkg-deb: install it (Debian: package dpkg)")
    backend: Backend = "mailbox" if profile.v3d else "none"
    runner = device_runner(backend, profile)
    architecture = ARCHITECTURES[read_elf(runner.read_bytes()).machine]
    number = f"{version(_DISTRIBUTION)}+{runner_revision(backend)}"
    directory.mkdir(parents=True, exist_ok=True)
    package = directory / f"{PACKAGE}_{number}_{profile.name}_{architecture}.deb"
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "package"
        _write_tree(tree, _texts(profile, architecture, number))
        _put(tree / PACKAGED_RUNNER.lstrip("/"), runner.read_bytes(), 0o755)
        _pack(tool, tree, package)
    return package


def _texts(profile: DeviceProfile, architecture: str, number: str) -> Mapping[str, tuple[str, int]]:
    """Files of the package by name, with their modes."""
    return {
        "DEBIAN/control": (
            _CONTROL.format(
                package=PACKAGE,
                number=number,
                architecture=architecture,
                title=profile.title.partition(":")[0],
                group=GROUP,
                runner=PACKAGED_RUNNER,
            ),
            0o644,
        ),
        "DEBIAN/conffiles": (f"/{_SUDOERS}\n", 0o644),
        "DEBIAN/postinst": (_POSTINST.format(group=GROUP), 0o755),
        _SUDOERS: (_SUDOERS_TEXT.format(group=GROUP, runner=PACKAGED_RUNNER), 0o440),
        f"{_DOCUMENTS}/copyright": (_COPYRIGHT, 0o644),
        f"usr/share/lintian/overrides/{PACKAGE}": (_OVERRIDES.format(package=PACKAGE), 0o644),
    }


def _write_tree(tree: Path, texts: Mapping[str, tuple[str, int]]) -> None:
    for name, (text, mode) in texts.items():
        _put(tree / name, text.encode(), mode)
    number = texts["DEBIAN/control"][0].split("Version: ")[1].splitlines()[0]
    log = gzip.compress(_CHANGES.format(package=PACKAGE, number=number).encode(), 9, mtime=0)
    _put(tree / _DOCUMENTS / "changelog.gz", log, 0o644)
    for place in (tree, *tree.rglob("*")):
        if place.is_dir():
            place.chmod(0o755)


def _put(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def _pack(tool: str, tree: Path, package: Path) -> None:
    """Everything in it is root's, whoever packs it."""
    words = [tool, "--root-owner-group", "-Zxz", "--build", str(tree), str(package)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    for place in tree.rglob("*"):
        os.utime(place, (int(EPOCH), int(EPOCH)), follow_symlinks=False)
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise PackageError(f"dpkg-deb refuses the package: {ended.stderr.strip()}")


_CONTROL = """\
Package: {package}
Version: {number}
Architecture: {architecture}
Maintainer: The authors of explore-edge <explore-edge@localhost.invalid>
Section: misc
Priority: optional
Depends: adduser
Recommends: sudo
Description: measures neural network kernels on this board for another machine
 The runner that explore-edge starts over SSH, as one static program,
 {runner}, built for: {title}.
 .
 Members of the group {group}, which nobody is in at first, may start
 it as root by sudo without a password: the QPUs are reached through
 /dev/mem, which is root's alone. The runner runs programs that are sent
 to it, so that right amounts to root on this board.
"""

_POSTINST = """\
#!/bin/sh
set -e
if [ "$1" = configure ] && ! getent group {group} >/dev/null; then
    addgroup --quiet --system {group}
fi
"""

_SUDOERS_TEXT = """\
# The runner runs programs that are sent to it: this right amounts to root on the board.
%{group} ALL=(root) NOPASSWD: {runner}
"""

_COPYRIGHT = """\
The runner of explore-edge.

Copyright: 2026 the authors of explore-edge
License: Apache-2.0
 The full text of the Apache License 2.0 is in /usr/share/common-licenses/Apache-2.0.
"""

_CHANGES = """\
{package} ({number}) unstable; urgency=medium

  * The runner of this version of explore-edge.

 -- The authors of explore-edge <explore-edge@localhost.invalid>  Thu, 01 Jan 2026 00:00:00 +0000
"""

# It must not depend on the board's C library, and must be byte for byte what the other machine builds.
_OVERRIDES = """\
{package}: statically-linked-binary [usr/lib/explore-edge/runner]
{package}: unstripped-binary-or-object [usr/lib/explore-edge/runner]
"""
