"""The boards of a farm as one board: what they are, and whole networks on one of them. Candidates go to the farm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from codegen.target import Target
from codegen.tensor import AnyArray
from explorer.errors import FarmError
from explorer.farm.bench import packed
from explorer.farm.place import Place
from explorer.farm.pool import Pool
from explorer.search.installed_code import installed_code
from microbench.board import BundleRun, Fingerprint, Job, Kind, Measurement
from microbench.errors import BoardError
from microbench.profile import DeviceProfile


class FarmBoard:
    """See the module. `profile`: what boards must have been opened with; `board`: the name of their way to be reached,
    empty where any will do. Raises as `Pool`, and FarmError where other code is installed there.
    """

    name = "farm"
    records = True

    def __init__(self, place: Place, profile: DeviceProfile, board: str = "") -> None:
        self.profile = profile
        self.target: Target = profile.target()
        self.pool = Pool(place, profile.hash, board, f"{board or 'a board'} of {profile.name}")
        told = self.pool.introduction
        if told.code != installed_code(()):
            self.close()
            raise FarmError(
                f"the farm at {place.address} runs another version of this program: install the same there and here"
            )
        self.computes = told.computes
        self.reads_clock = told.reads_clock
        self._kinds: Mapping[str, Kind] = cast(Mapping[str, Kind], told.kinds)
        self._description = told.description
        self._fingerprint = told.fingerprint

    def fingerprint(self) -> Fingerprint:
        """Of the class."""
        return self._fingerprint

    def describe(self) -> str:
        boards = self.pool.width
        return (
            f"{boards} board{'s' * (boards != 1)} of the farm at {self.pool.place.address} (its pages: "
            f"{self.pool.dashboard}): {self._description}"
        )

    def kind_of(self, engine: str) -> Kind:
        return self._kinds[engine]

    def measure(self, job: Job) -> Measurement:
        """Always raises BoardError: boards of a farm make jobs themselves."""
        raise BoardError(
            f"candidate {job.candidate.hash[:12]}: a farm takes candidates, no jobs; ask it through a search"
        )

    def run_bundle(self, bundle: Path, inputs: tuple[AnyArray, ...]) -> BundleRun:
        """On one of the boards, the same as long as it is there."""
        return self.pool.run_bundle(packed(bundle), inputs)

    def close(self) -> None:
        """Leaves the farm; its boards stay there."""
        self.pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
