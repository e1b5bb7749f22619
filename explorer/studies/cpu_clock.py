"""Peers' networks under a modelled core's clock beside published times of the board, each run kept in a journal."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from codegen.canonical import content_hash
from explorer.errors import UsageError
from explorer.plans.check import trials_of
from explorer.studies.own_clock import OwnRun, clock_network
from explorer.studies.zoo_networks import network_named
from microbench.emulation.core_loops import load_loops, modelled_cycles
from microbench.emulation.core_model import CoreModel
from microbench.emulation.judges.judge import Judged, Published, judge, load_published
from microbench.emulation.judges.userland import Wheel, make_userland, unpack_wheel
from microbench.profile import load_profile

CORE = "cortex-a53"
BANDWIDTHS = (2.0e9, 2.5e9)  # bytes a second
OWN_DEVICE, OWN_PIXELS = "pi-3-64", 224


@dataclass(frozen=True)
class LoopRow:
    """A loop of the core beside silicon, in cycles."""

    name: str
    published: float
    modelled: float
    within: bool
    source: str


@dataclass(frozen=True)
class NetworkRow:
    """A network by a peer on some threads: its modelled time in seconds at each bandwidth of the settings, beside
    the board's.
    """

    network: str
    peer: str
    threads: int
    published: Published
    judged: tuple[Judged, ...]

    def ratio(self, place: int) -> float:
        """Of the modelled time to the published one."""
        return self.judged[place].time_s * 1e3 / self.published_ms

    @property
    def published_ms(self) -> float:
        """The board's time of these threads."""
        return self.published.ms_on(self.threads)

    @property
    def is_seen(self) -> bool:
        """Whether the model was compared with that time while it was made."""
        return self.published.seen and self.threads == 1


@dataclass(frozen=True)
class ClockSettings:
    """`params`: directory of the peers' network files; `cache`: of packages, wheels and the journal."""

    params: Path
    cache: Path
    clock_hz: float
    networks: tuple[str, ...]
    peers: tuple[Wheel, ...]
    threads: tuple[int, ...] = (1,)
    bandwidths: tuple[float, ...] = BANDWIDTHS


def loop_rows(model: CoreModel) -> tuple[LoopRow, ...]:
    """All loops of the model's core; raises BoardError where the emulator is missing."""
    loops = load_loops(model.name)
    cycles = modelled_cycles(model, loops)
    return tuple(
        LoopRow(
            name, loop.cycles, cycles[name], abs(cycles[name] - loop.cycles) <= loop.tolerance, loop.source
        )
        for name, loop in loops.items()
    )


def network_rows(
    model: CoreModel, settings: ClockSettings, tell: Callable[[str], None]
) -> Iterator[NetworkRow]:
    """Each network by each peer, what the journal has of the same model not run again.

    Raises UsageError for a network without file or published time, PeerError for a number of threads without one, or
    where packages or wheels cannot be had.
    """
    published = load_published()
    paths = {name: settings.params / f"{name}.param" for name in settings.networks}
    lacking = [name for name, path in paths.items() if name not in published or not path.is_file()]
    if lacking:
        raise UsageError(
            f"no file or no published time of {', '.join(lacking)}: give a directory with NAME.param by --params, of "
            f"{', '.join(published)}"
        )
    for threads in settings.threads:
        for name in settings.networks:
            published[name].ms_on(threads)
    root = make_userland(settings.cache, tell)
    for threads in settings.threads:
        for name in settings.networks:
            for wheel in settings.peers:
                judged = tuple(
                    _judged(
                        model.with_memory(bytes_per_s=one), settings, root, wheel, paths[name], threads, tell
                    )
                    for one in settings.bandwidths
                )
                yield NetworkRow(name, str(wheel), threads, published[name], judged)


def _judged(
    model: CoreModel,
    settings: ClockSettings,
    root: Path,
    wheel: Wheel,
    param: Path,
    threads: int,
    tell: Callable[[str], None],
) -> Judged:
    """From the journal, or run and kept there."""
    key = content_hash([model.hash, settings.clock_hz, str(wheel), threads, param.read_text("ascii")])
    kept = settings.cache / "journal" / f"{key}.json"
    if not kept.is_file():
        site = unpack_wheel(wheel, settings.cache, tell)
        bandwidth = model.memory["bytes_per_s"].value
        tell(f"{param.stem} by {wheel} on {threads} thread{'s' * (threads > 1)} at {bandwidth / 1e9:g} GB/s")
        pixels = load_published()[param.stem].pixels
        ran = judge(model, settings.clock_hz, root, site, wheel, param, pixels, threads)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(asdict(ran)), encoding="utf-8")
    return Judged(**json.loads(kept.read_text(encoding="utf-8")))


def own_rows(model: CoreModel, names: Sequence[str], clock_hz: float) -> list[tuple[OwnRun, ...]]:
    """This project's plan of each network at each bandwidth; of its zoo at 224 x 224 pixels."""
    profile, rows = load_profile(OWN_DEVICE), []
    for name in names:
        with network_named(name, OWN_PIXELS) as network:
            (trial,) = trials_of(network, seed=0, count=1)
            varied = (model.with_memory(bytes_per_s=bandwidth) for bandwidth in BANDWIDTHS)
            rows.append(tuple(clock_network(network, profile, core, clock_hz, trial) for core in varied))
    return rows


def verdict(rows: Sequence[NetworkRow], bandwidths: Sequence[float] = BANDWIDTHS) -> str:
    """The ratios' median and extremes, of networks that the model had seen and of those that it had not."""
    sentences = []
    for seen, whose in ((True, "that the model had seen"), (False, "kept out of it")):
        for place, bandwidth in enumerate(bandwidths):
            ratios = [row.ratio(place) for row in rows if row.is_seen is seen]
            if ratios:
                sentences.append(
                    f"{len(ratios)} networks {whose}, {bandwidth / 1e9:g} GB/s: median ratio "
                    f"{statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}."
                )
    return " ".join(sentences)
