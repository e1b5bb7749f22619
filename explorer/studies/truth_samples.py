"""What a store of ground truth has of the code that is installed: other code has other times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from codegen.algorithm import algorithms
from explorer.measure.jobs import is_current
from explorer.runs.noise import noise_text
from microbench.profile import DeviceProfile
from microbench.protocol import ReferenceTimes, noise_floor
from microbench.store import Sample, Store

TAKE = "take them by `explore bench ground-truth`"


@dataclass(frozen=True)
class TruthSamples:
    """Samples of candidates on boards with a profile's constants, in the order they were taken; `outdated`: how many
    more there are, timed with code that their algorithms generate no longer. `references`: kernels timed several times
    in between, where a clock was read.
    """

    samples: tuple[Sample, ...]
    outdated: int
    references: tuple[Sample, ...] = ()

    @property
    def noise(self) -> str:
        """The noise floor, of the reference whose times spread most."""
        times_s: dict[str, list[float]] = {}
        for sample in self.references:
            times_s.setdefault(sample.candidate_hash, []).append(sample.time_s)
        widest = max(times_s.values(), key=lambda found: noise_floor(found) or 0.0, default=[])
        kinds = frozenset(sample.kind for sample in (*self.samples, *self.references))
        reference = ReferenceTimes(len(widest), median(widest), " ".join(sorted(kinds))) if widest else None
        return f"Noise floor: {noise_text(noise_floor(widest), reference, kinds)}."

    @property
    def sentence(self) -> str:
        """For a page."""
        if not self.outdated:
            return "Every sample is of the kernels as they are generated now."
        return f"{self.outdated} samples of kernels that are generated otherwise now are left out."

    @property
    def remedy(self) -> str:
        """What to do where samples are missed."""
        if not self.outdated:
            return TAKE
        return f"{self.outdated} samples are of kernels that are generated otherwise now: {TAKE}"


def truth_samples(
    store: str, profile: DeviceProfile, wanted: Callable[[Sample], bool] = lambda _: True
) -> TruthSamples:
    """Those that are wanted, of the algorithms as they are installed. Raises StoreError for a damaged store."""
    current: list[Sample] = []
    references: list[Sample] = []
    outdated = 0
    with Store.open(store) as opened:
        for sample in opened.samples():
            if sample.fingerprint.profile_hash != profile.hash:
                continue
            if sample.role == "reference" and sample.is_timed:
                references.append(sample)
            elif sample.role == "candidate" and wanted(sample):
                if is_current(sample, algorithms()):
                    current.append(sample)
                else:
                    outdated += 1
    return TruthSamples(tuple(current), outdated, tuple(references))
