"""Follows docs/first-hour-virtual.md line by line in a bare Debian, then README.md's first commands and those that its
text names, and what of docs/first-hour-pi-zero.md needs no board; writes what happened to a page in results/.

    python3 -m tests.first_hour [--model FILE] [--out FILE]

As root. The bare Debian is made by mmdebstrap from this machine's own package sources, without a compiler and without
git; the project arrives there as a tarball, and what pip needs is found as this machine finds it. Where there is no
trained network, the page's own way is taken. Fails where a line fails, or where the answers are not onnxruntime's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.probes import NETWORKS

ROOT = Path(__file__).parents[1]
VIRTUAL, BOARD = (ROOT / "docs" / f"first-hour-{name}.md" for name in ("virtual", "pi-zero"))
README = ROOT / "README.md"
PROJECT = "project"  # the directory's name there
ABSENT = ("cc", "gcc", "clang", "git", "make")
COMPILER = ("gcc", "libc6-dev")
WITHOUT_A_BOARD = ("explore runner", "explore devices add")
OF_README = (".venv/bin/explore check", "./bootstrap run", ".venv/bin/explore run")
SHOWN = (
    "run",
    "infer",
    "check",
    "classify-virtual",
    "runner",
    "print",
)  # whose output is worth a place in the log
LINES_SHOWN = 24
RUN = "results/runs/my_network-pi-zero"
IN_TEXT = {  # commands that README.md names in its text, and what is typed for them
    "explore operators": "explore operators",
    "explore runs": "explore runs",
    "explore report": f"explore report {RUN}",
    "explore compare A B": f"explore compare {RUN} {RUN}/plan.json",
    "explore profile RUN": f"explore profile {RUN} --trace launch.json --roofline layers.svg",
    "explore bench qpu RUN...": f"explore bench qpu {RUN}",
    "explore qpu isa": "explore qpu isa",
}
PREPARED = "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"

# The same array for onnxruntime, for the compiled network on the virtual board, and for the bundle built by cc.
WITNESS = f"""
import json, subprocess
from pathlib import Path
import numpy, onnxruntime
from codegen.bundle import read_manifest
from explorer.infer.inputs import Preparation, open_picture, picture_array
run = Path("{RUN}")
(tensor,) = read_manifest(run / "bundle").inputs
way = Preparation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
array, _ = picture_array(open_picture(Path("picture.jpg")), tensor, way)
numpy.save("array.npy", array)
array.tofile("array.bin")
session = onnxruntime.InferenceSession("my_network.onnx", providers=["CPUExecutionProvider"])
wanted = session.run(None, {{session.get_inputs()[0].name: array}})[0].ravel()
words = [".venv/bin/explore", "infer", str(run), "--input", "array.npy", "--json"]
said = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
words = [str(run / "bundle" / "classify-virtual"), "--bundle", str(run / "bundle"), "array.bin"]
built = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
print(json.dumps({{
    "onnxruntime": numpy.argsort(-wanted, kind="stable")[:5].tolist(),
    "infer": said,
    "classify": [int(line.split()[0]) for line in built],
}}))
"""


@dataclass(frozen=True)
class Step:
    """A line that was typed, seconds that it took, and what it said."""

    line: str
    time_s: float
    output: str


def lines_of(page: Path) -> list[str]:
    """The indented lines, which are typed."""
    return [line.strip() for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("    ")]


@dataclass(frozen=True)
class Bare:
    """A bare Debian in a directory."""

    root: Path

    def run(self, line: str, checked: bool = True) -> subprocess.CompletedProcess[str]:
        """A shell line in the project's directory there, with no settings of this machine but those of packages."""
        kept = {name: value for name, value in os.environ.items() if _is_of_packages(name)}
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", **kept}
        words = ["chroot", str(self.root), "sh", "-ec", f"cd /{PROJECT} && {{ {line}\n}}"]
        ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        if checked and ended.returncode != 0:
            raise SystemExit(f"{line}\nended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}")
        return ended

    def step(self, line: str) -> Step:
        start_s = time.monotonic()
        sys.stderr.write(f"{line}\n")
        ended = self.run(line)
        return Step(line, time.monotonic() - start_s, ended.stdout)


def _is_of_packages(name: str) -> bool:
    return (
        name.startswith("PIP_")
        or name.lower().endswith("_proxy")
        or name in ("SSL_CERT_FILE", "SSL_CERT_DIR")
    )


@contextlib.contextmanager
def bare_debian() -> Iterator[Bare]:
    """Made anew, and removed with its mounts."""
    with tempfile.TemporaryDirectory(prefix="first-hour-") as scratch:
        root = Path(scratch) / "root"
        with open("/etc/os-release", encoding="utf-8") as file:
            (suite,) = re.findall(r"^VERSION_CODENAME=(\w+)$", file.read(), re.M)
        apt = Path("/etc/apt")
        places = [*sorted(apt.glob("sources.list.d/*.sources")), *sorted(apt.glob("sources.list.d/*.list"))]
        places += [apt / "sources.list"] if (apt / "sources.list").is_file() else []
        settings = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
        options = [
            f"--aptopt={line}"
            for line in settings.splitlines()
            if line.startswith("Acquire::") and '""' not in line
        ]
        words = ["mmdebstrap", "--quiet", "--variant=minbase", *options, suite, str(root), *map(str, places)]
        subprocess.run(words, check=True)
        mounts: list[Path] = []
        try:
            for place in ("/proc", "/dev", *_local_indexes()):
                mounts.append(_mounted(Path(place), root))
            for place in (
                "/etc/resolv.conf",
                "/etc/hosts",
                "/etc/ssl/certs/ca-certificates.crt",
                "/etc/pip.conf",
            ):
                _copied(Path(place), root)
            # A machine's own authorities, which the package ca-certificates adds to Debian's when it is installed.
            for authority in sorted(Path("/usr/local/share/ca-certificates").glob("*.crt")):
                _copied(authority, root)
            # The user's own, beside the machine's: in the root everybody's.
            _copied(Path.home() / ".config" / "pip" / "pip.conf", root, Path("/etc/xdg/pip/pip.conf"))
            _unpack_project(root)
            yield Bare(root)
        finally:
            for mount in reversed(mounts):
                subprocess.run(["umount", "--lazy", str(mount)], check=True)


def _local_indexes() -> list[str]:
    """Directories in which pip finds packages on this machine, by its own settings."""
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"(?:file://)?(/[\w./-]+)", " ".join(re.findall(r"(?:links|url)='([^']*)'", said)))
    places = (Path(place).parent if place.endswith("/simple") else Path(place) for place in found)
    return sorted({str(place) for place in places if place.is_dir()})


def _mounted(place: Path, root: Path) -> Path:
    there = root / place.relative_to("/")
    there.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", str(place), str(there)], check=True)
    return there


def _copied(place: Path, root: Path, there: Path | None = None) -> None:
    if place.is_file():
        target = root / (there or place).relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(place, target)


def _unpack_project(root: Path) -> None:
    tarball = root / "project.tar"
    words = ["git", "archive", f"--prefix={PROJECT}/", "-o", str(tarball), "HEAD"]
    subprocess.run(words, cwd=ROOT, check=True)
    subprocess.run(["chroot", str(root), "tar", "-xf", "/project.tar"], check=True)


def follow(bare: Bare, model: Path | None) -> tuple[list[Step], list[str], dict[str, list[int]]]:
    """The lines that were typed, those that need a board, and the five best classes by each way to compute them.

    Ends the program where anything is not as it should be.
    """
    found = [name for name in ABSENT if bare.run(f"command -v {name}", checked=False).returncode == 0]
    if found:
        raise SystemExit(f"the bare system has {', '.join(found)}")
    if model is not None:
        shutil.copyfile(model, bare.root / PROJECT / "my_network.onnx")
    steps = []
    for line in lines_of(VIRTUAL):
        if "cc -std" in line:
            steps.append(bare.step(f"apt-get install -y -q --no-install-recommends {' '.join(COMPILER)}"))
        steps.append(bare.step(line))
    answers = _answers(bare)
    steps += [bare.step(line) for line in lines_of(README) if line.startswith(OF_README)]
    steps += [bare.step(f".venv/bin/{typed}") for typed in IN_TEXT.values()]
    typed = [line for line in lines_of(BOARD) if any(text in line for text in WITHOUT_A_BOARD)]
    steps += [bare.step(line) for line in typed]
    return steps, [line for line in lines_of(BOARD) if line not in typed], answers


def _answers(bare: Bare) -> dict[str, list[int]]:
    (bare.root / PROJECT / "witness.py").write_text(WITNESS)
    told = json.loads(bare.run(".venv/bin/python witness.py").stdout)
    (classes,) = told["infer"]["outputs"].values()
    answers = {
        "onnxruntime": told["onnxruntime"],
        "explore infer, virtual board": [one["number"] for one in classes],
        "classify-virtual, built by cc": told["classify"],
    }
    if len({tuple(numbers) for numbers in answers.values()}) != 1:
        raise SystemExit(f"the answers differ: {answers}")
    return answers


def page_of(
    steps: Sequence[Step],
    untried: Sequence[str],
    answers: dict[str, list[int]],
    model: Path | None,
    commit: str,
) -> str:
    """The log as Markdown."""
    trained = (
        f"trained: `{model.name}`" if model else "of the zoo, with random weights: its labels mean nothing"
    )
    parts = [
        "# The first hour, followed line by line\n",
        "Made by `python3 -m tests.first_hour`: the lines of docs/first-hour-virtual.md, README.md and "
        "docs/first-hour-pi-zero.md, but for those at the end, typed in a bare Debian without compiler and git; the "
        f"project arrived as a tarball (of {commit}). The network is {trained}. Seconds are this machine's, shared "
        "with other work. Nothing was tried on silicon.\n",
        "| line | seconds |\n|---|--:|",
        *(f"| `{step.line.replace('|', chr(92) + '|')}` | {step.time_s:.1f} |" for step in steps),
        "\n## The five best classes, of the same array\n",
        "| computed by | classes |\n|---|---|",
        *(f"| {name} | {', '.join(map(str, numbers))} |" for name, numbers in answers.items()),
        "\n## What was said\n",
    ]
    for step in steps:
        if step.output.strip() and any(re.search(rf"\b{word}\b", step.line) for word in SHOWN):
            shown = [line.rstrip()[:160] for line in step.output.splitlines()][-LINES_SHOWN:]
            parts.append(f"`{step.line}`\n\n```text\n" + "\n".join(shown) + "\n```\n")
    parts.append(
        "## Not typed\n\nWhat needs a board; tests of README.md; and what comes behind where a run was ended.\n"
    )
    typed = {step.line for step in steps}
    readme = [line for line in lines_of(README) if line.startswith(("./", ".venv/")) and line not in typed]
    parts += [f"- `{line}`" for line in (*untried, *readme)]
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = NETWORKS / "squeezenet1_1_224.onnx"
    parser.add_argument("--model", type=Path, default=default if default.is_file() else None)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "first-hour.md")
    chosen = parser.parse_args()
    for program in ("mmdebstrap", "chroot", "git"):
        if shutil.which(program) is None or os.geteuid() != 0:
            raise SystemExit(f"needs root and {shlex.quote(program)}: apt-get install mmdebstrap git")
    words = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    with bare_debian() as bare:
        steps, untried, answers = follow(bare, chosen.model)
    chosen.out.write_text(page_of(steps, untried, answers, chosen.model, commit), encoding="utf-8")


if __name__ == "__main__":
    main()
