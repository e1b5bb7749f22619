"""This project's plans and other engines' builds for AArch64 on one modelled clock, each run kept in a journal."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from codegen.canonical import content_hash
from codegen.plan import Plan, plan_hash, read_plan
from codegen.revision import bundle_revision
from codegen.target import WeightType
from explorer.errors import UsageError
from explorer.plans.check import trials_as_stored, trials_of
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import Network
from explorer.studies.cpu_clock import BANDWIDTHS, OWN_DEVICE, OWN_PIXELS
from explorer.studies.own_clock import clock_network
from explorer.studies.zoo_networks import network_named
from microbench.emulation.core_model import CoreModel
from microbench.emulation.judges.engine import NUMPY, run_engine
from microbench.emulation.judges.userland import NCNN_OF_THE_TABLE, Wheel, make_userland, unpack_wheel
from microbench.errors import PeerError
from microbench.peers.conversion import convert
from microbench.peers.environments import make_environment
from microbench.peers.network import open_peer_network, worst_error
from microbench.peers.registry import Peer, chosen_peers, read_peers
from microbench.profile import load_profile

OURS = "explore-edge"
ENGINES = ("ncnn", "mnn")
BANDWIDTH = "bytes_per_s"
FACTORS = (0.75, 1.5)
CONTINUOUS = ("s", "B/s")  # units of constants that are no whole numbers
LARGEST_ERROR = 1e-3  # relative to the root mean square of what is expected


@dataclass(frozen=True)
class Clocked:
    """One inference: seconds at each bandwidth, instructions in the first, the outputs' error."""

    times_s: tuple[float, ...]
    instructions: int
    error: float


@dataclass(frozen=True)
class ArmRow:
    """A network by every contender; a contender that could not run it has the reason."""

    network: str
    contenders: Mapping[str, Clocked | str]

    def ratio(self, place: int) -> float:
        """Our time to that of the fastest other, at a bandwidth; not a number where one of the two is not there."""
        timed = {
            name: one.times_s[place] for name, one in self.contenders.items() if isinstance(one, Clocked)
        }
        own = timed.pop(OURS, None)
        return own / min(timed.values()) if own is not None and timed else float("nan")


@dataclass(frozen=True)
class ArmSettings:
    """`networks`: names of the zoo or ONNX files; `plans`: files plan.json of some of them; `cache`: of packages,
    wheels and the journal; `environments`: of the peers' converters; `bandwidths` of the modelled memory, bytes/s;
    `threads` of every contender; `engines` beside this project's plans; narrow types of `weights` that each network has
    a further plan for, of a row of its own.
    """

    networks: tuple[str, ...]
    plans: tuple[Path, ...]
    cache: Path
    environments: Path
    clock_hz: float
    bandwidths: tuple[float, ...] = BANDWIDTHS
    threads: int = 1
    engines: tuple[str, ...] = ENGINES
    weights: tuple[WeightType, ...] = ()


@dataclass(frozen=True)
class Varied:
    """A constant of the modelled memory that no source gives, at `value`, and the networks then."""

    constant: str
    value: float
    rows: tuple[ArmRow, ...]


@dataclass(frozen=True)
class _Contender:
    """A release of an engine for AArch64; its networks are converted by the release of the table of peers."""

    peer: Peer
    wheel: Wheel
    python: Path


def arm_rows(model: CoreModel, settings: ArmSettings, tell: Callable[[str], None]) -> Iterator[ArmRow]:
    """Every network by every contender; what the journal has is not run again.

    Raises UsageError for a plan of none of the networks, PeerError where packages or wheels cannot be had, and the
    errors of models and plans.
    """
    plans = [read_plan(path) for path in settings.plans]
    used: set[int] = set()
    contenders = _contenders(settings, tell)
    for name in settings.networks:
        with network_named(name, OWN_PIXELS) as network:
            fitting = [place for place, plan in enumerate(plans) if plan.model_sha256 == network.sha256]
            used.update(fitting)
            results: dict[str, Clocked | str] = {
                OURS: _own(model, settings, network, plans[fitting[-1]] if fitting else None, tell)
            }
            for contender in contenders:
                results[str(contender.wheel)] = _engine(model, settings, network, contender, tell)
            yield ArmRow(network.name, results)
            for kind in settings.weights:
                yield ArmRow(
                    f"{network.name}-{kind}", {OURS: _own(model, settings, network, None, tell, kind)}
                )
    if len(used) < len(plans):
        unused = [str(path) for place, path in enumerate(settings.plans) if place not in used]
        raise UsageError(f"{', '.join(unused)}: a plan of none of the networks; name its network too")


def forms(rows: Sequence[ArmRow]) -> Iterator[tuple[ArmRow, ArmRow | None]]:
    """Every network with the one of them that it is a form of, pruned or quantised: the one whose name its own begins
    with, before a hyphen or a full stop; None where there is none.
    """
    for row in rows:
        whole = [
            other for other in rows if row.network.startswith((f"{other.network}-", f"{other.network}."))
        ]
        yield row, max(whole, key=lambda other: len(other.network), default=None)


def varied_rows(model: CoreModel, settings: ArmSettings, tell: Callable[[str], None]) -> Iterator[Varied]:
    """The networks at the first bandwidth with each assumed constant of the memory system, one after the other, at
    `FACTORS` of its value; the bandwidth itself is such a constant. Raises as `arm_rows`.
    """
    at_first = replace(settings, bandwidths=settings.bandwidths[:1])
    for name, constant in model.memory.items():
        if not constant.source.startswith("assumed"):
            continue
        for factor in FACTORS:
            value = constant.value * factor
            if constant.unit not in CONTINUOUS:
                value = round(value)
            if name == BANDWIDTH:
                rows = arm_rows(model, replace(settings, bandwidths=(value,)), tell)
            else:
                rows = arm_rows(model.with_memory(**{name: value}), at_first, tell)
            yield Varied(name, value, tuple(rows))


def means(rows: Sequence[ArmRow], bandwidths: Sequence[float] = BANDWIDTHS) -> str:
    """Geometric means of our time to the fastest other's, and the largest ratio."""
    sentences = []
    for place, bandwidth in enumerate(bandwidths):
        ratios = [ratio for row in rows if (ratio := row.ratio(place)) == ratio]
        if ratios:
            sentences.append(
                f"{bandwidth / 1e9:g} GB/s: geometric mean of ours to the fastest other over {len(ratios)} networks "
                f"{statistics.geometric_mean(ratios):.2f}, largest {max(ratios):.2f}."
            )
    return " ".join(sentences)


def _contenders(settings: ArmSettings, tell: Callable[[str], None]) -> list[_Contender]:
    found = []
    for peer in chosen_peers(settings.engines, read_peers()) if settings.engines else ():
        environment = make_environment(peer, settings.environments, tell)
        wheels = [Wheel(peer.distribution, environment.version)]
        if peer.distribution == NCNN_OF_THE_TABLE.distribution:
            wheels.insert(0, NCNN_OF_THE_TABLE)
        found += [_Contender(peer, wheel, environment.python) for wheel in wheels]
    return found


def _own(
    model: CoreModel,
    settings: ArmSettings,
    network: Network,
    plan: Plan | None,
    tell: Callable[[str], None],
    weights: WeightType = "float32",
) -> Clocked:
    profile = load_profile(OWN_DEVICE)
    plan = plan or modelled_plan(network, profile, settings.threads, weights=weights)
    wanted = max(step.choice.threads for step in plan.steps)
    if wanted > settings.threads:
        raise UsageError(f"the plan of {network.name} has {wanted} threads: give --threads {wanted}")
    (trial,) = trials_as_stored(network.graph, plan, trials_of(network, seed=0, count=1))
    revision = bundle_revision(frozenset(step.choice.algorithm for step in plan.steps))

    def run(core: CoreModel) -> Clocked:
        done = clock_network(network, profile, core, settings.clock_hz, trial, plan)
        if not done.is_right:
            raise PeerError(f"{network.name}: this project's output is off by {done.error:.1e}")
        return Clocked((done.time_s,), done.instructions, done.error)

    key = [network.sha256, plan_hash(plan), revision, str(settings.threads)]
    return _at_both(model, settings, key, run, lambda: tell(f"{network.name} by this project's plan"))


def _engine(
    model: CoreModel,
    settings: ArmSettings,
    network: Network,
    contender: _Contender,
    tell: Callable[[str], None],
) -> Clocked | str:
    peer, wheel = contender.peer, contender.wheel
    root = make_userland(settings.cache, tell)
    sites = tuple(unpack_wheel(one, settings.cache, tell) for one in (wheel, NUMPY))
    subject = open_peer_network(network.path, seed=0)

    def run(core: CoreModel) -> Clocked:
        converted = convert(peer, contender.python, network.path, settings.environments, tell)
        done = run_engine(
            core, settings.clock_hz, root, sites, wheel, peer, converted, subject, settings.threads
        )
        error = worst_error(done.outputs, subject.expected)
        if error > LARGEST_ERROR:
            raise PeerError(f"{wheel}: its output is off by {error:.1e}")
        return Clocked((done.time_s,), done.instructions, error)

    key = [str(wheel), hashlib.sha256(network.path.read_bytes()).hexdigest(), str(settings.threads)]
    try:
        return _at_both(model, settings, key, run, lambda: tell(f"{network.name} by {wheel}"))
    except PeerError as error:
        return str(error)


def _at_both(
    model: CoreModel,
    settings: ArmSettings,
    key: Sequence[str],
    run: Callable[[CoreModel], Clocked],
    begins: Callable[[], None],
) -> Clocked:
    runs = []
    for bandwidth in settings.bandwidths:
        core = model.with_memory(bytes_per_s=bandwidth)
        kept = settings.cache / "journal" / f"{content_hash([core.hash, settings.clock_hz, *key])}.json"
        if not kept.is_file():
            begins()
            done = run(core)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(asdict(done)), encoding="utf-8")
        found = json.loads(kept.read_text(encoding="utf-8"))
        runs.append(Clocked(tuple(found["times_s"]), found["instructions"], found["error"]))
    return Clocked(
        tuple(one.times_s[0] for one in runs), runs[0].instructions, max(one.error for one in runs)
    )
