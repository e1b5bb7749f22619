"""The runs of a front's plans, kept beside their bundles, so that an interrupted front goes on where it stopped."""

from __future__ import annotations

import hashlib
from pathlib import Path
from statistics import median

from pydantic import BaseModel, ConfigDict, ValidationError

from explorer.runs.files import write_whole
from microbench.board import BundleRun, Fingerprint, Kind

RUNS_FILE = "runs.json"
POWER_SERIES = ("power", "W")  # of a board with a meter


class KeptRun(BaseModel):
    """One timed run of a bundle, in seconds; `metered_j` where the board has a meter: its mean power by that time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    latency_s: float
    cpu_time_s: float
    kind: Kind
    metered_j: float | None = None

    @staticmethod
    def of(run: BundleRun) -> KeptRun:
        """What is kept of a run."""
        watts = [series.mean for series in run.series if (series.name, series.unit) == POWER_SERIES]
        return KeptRun(
            latency_s=run.time_s,
            cpu_time_s=run.cpu_time_s,
            kind=run.kind,
            metered_j=watts[0] * run.time_s if watts else None,
        )


class KeptRuns(BaseModel):
    """A bundle that was checked, and its runs so far. `key`: of the bundle and the board, see `key_of`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    largest_error: float
    same_top5: bool
    runs: tuple[KeptRun, ...]

    def with_run(self, run: BundleRun) -> KeptRuns:
        """And one more."""
        return self.model_copy(update={"runs": (*self.runs, KeptRun.of(run))})

    @property
    def latency_s(self) -> float:
        """The median of the runs."""
        return median(run.latency_s for run in self.runs)

    @property
    def cpu_time_s(self) -> float:
        """The median of the runs."""
        return median(run.cpu_time_s for run in self.runs)

    @property
    def metered_j(self) -> float | None:
        """The median of the runs that a meter saw."""
        metered = [run.metered_j for run in self.runs if run.metered_j is not None]
        return median(metered) if metered else None


def key_of(bundle: Path, fingerprint: Fingerprint, seed: int) -> str:
    """Changes with any file of a bundle, with the board, and with the inputs' seed."""
    digest = hashlib.sha256(f"{fingerprint.hash} {seed}".encode())
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        digest.update(f"\n{path.relative_to(bundle)} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_runs(directory: Path, key: str) -> KeptRuns | None:
    """What is kept in a plan's directory; None where nothing is, or of another bundle or board."""
    try:
        kept = KeptRuns.model_validate_json((directory / RUNS_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
    return kept if kept.key == key else None


def write_runs(kept: KeptRuns, directory: Path) -> None:
    """All of them or none, whatever interrupts."""
    write_whole(kept.model_dump_json(indent=2) + "\n", directory / RUNS_FILE)
