"""What a store of ground truth has of the code that is installed: other code has other times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from codegen.algorithm import algorithms
from explorer.measure.jobs import is_current
from microbench.profile import DeviceProfile
from microbench.store import Sample, Store

TAKE = "take them by `explore bench ground-truth`"


@dataclass(frozen=True)
class TruthSamples:
    """Samples of candidates on boards with a profile's constants, in the order they were taken; `outdated`: how many
    more there are, timed with code that their algorithms generate no longer.
    """

    samples: tuple[Sample, ...]
    outdated: int

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
    outdated = 0
    with Store.open(store) as opened:
        for sample in opened.samples():
            of_board = sample.fingerprint.profile_hash == profile.hash
            if of_board and sample.role == "candidate" and wanted(sample):
                if is_current(sample, algorithms()):
                    current.append(sample)
                else:
                    outdated += 1
    return TruthSamples(tuple(current), outdated)
