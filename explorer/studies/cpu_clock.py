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
from microbench.emulation.core_loops import loops_of, modelled_cycles
from microbench.emulation.core_model import ASSUMED, CoreModel
from microbench.emulation.judges.judge import (
    LARGEST_RATIO,
    LEAST_RATIO,
    Judged,
    Published,
    is_judged,
    judge,
    load_published,
)
from microbench.emulation.judges.userland import Wheel, make_userland, unpack_wheel
from microbench.profile import load_profile

CORE = "cortex-a53"
BANDWIDTHS = (2.0e9, 2.5e9)  # bytes a second
OWN_DEVICE, OWN_PIXELS = "pi-3-64", 224
OWN_DEVICES = {CORE: OWN_DEVICE, "cortex-a72": "pi-4"}
FACTORS = (0.75, 1.5)


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


@dataclass(frozen=True)
class VariedRow:
    """Seconds of a network with a part of what the core's model assumes at each of `FACTORS`, and as it is."""

    network: str
    what: str
    time_s: float
    times_s: tuple[float, ...]


def bandwidths_of(model: CoreModel) -> tuple[float, ...]:
    """Bytes a second that a core's times are given at: where they are assumed, two."""
    return BANDWIDTHS if model.name == CORE else (model.memory["bytes_per_s"].value,)


def loop_rows(model: CoreModel) -> tuple[LoopRow, ...]:
    """All loops of the model's core; raises BoardError where the emulator is missing."""
    loops = loops_of(model)
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
    published = load_published(model.name).networks
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
        pixels = load_published(model.name).networks[param.stem].pixels
        ran = judge(model, settings.clock_hz, root, site, wheel, param, pixels, threads)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(asdict(ran)), encoding="utf-8")
    return Judged(**json.loads(kept.read_text(encoding="utf-8")))


def varied_rows(
    model: CoreModel, settings: ClockSettings, tell: Callable[[str], None]
) -> Iterator[VariedRow]:
    """Each network on one thread by the settings' first peer, with each part of what the model assumes varied.

    Raises as `network_rows`, which has run the networks before.
    """
    root, wheel = make_userland(settings.cache, tell), settings.peers[0]
    for name in settings.networks:
        param = settings.params / f"{name}.param"
        for what in ASSUMED:
            cores = (model, *(model.with_assumed(what, factor) for factor in FACTORS))
            if {one.hash for one in cores} == {model.hash}:
                continue  # nothing of it is assumed
            as_it_is, *changed = (_judged(one, settings, root, wheel, param, 1, tell).time_s for one in cores)
            yield VariedRow(name, what, as_it_is, tuple(changed))


def own_rows(
    model: CoreModel, names: Sequence[str], clock_hz: float, bandwidths: Sequence[float] = BANDWIDTHS
) -> list[tuple[OwnRun, ...]]:
    """This project's plan of each network at each bandwidth; of its zoo at 224 x 224 pixels."""
    profile, rows = load_profile(OWN_DEVICES[model.name]), []
    for name in names:
        with network_named(name, OWN_PIXELS) as network:
            (trial,) = trials_of(network, seed=0, count=1)
            varied = (model.with_memory(bytes_per_s=bandwidth) for bandwidth in bandwidths)
            rows.append(tuple(clock_network(network, profile, core, clock_hz, trial) for core in varied))
    return rows


def judgement(rows: Sequence[NetworkRow]) -> str:
    """Whether a core's times may stand for its own by networks at the first bandwidth."""
    ratios = tuple(row.ratio(0) for row in rows)
    near = sum(LEAST_RATIO <= one <= LARGEST_RATIO for one in ratios)
    said = "judged" if is_judged(ratios) else "not judged"
    return f"{near} of {len(ratios)} networks within {LEAST_RATIO:.2f} to {LARGEST_RATIO:.2f}: {said}."


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
