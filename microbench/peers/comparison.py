"""A comparison of engines: contenders are made ready, then measured by network and number of threads."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from microbench.errors import PeerError
from microbench.peers.bundles import OUR_NAME
from microbench.peers.conversion import convert
from microbench.peers.cpus import pinned_cpus
from microbench.peers.environments import Environment, make_environment
from microbench.peers.network import TOLERANCE, PeerNetwork, save_inputs
from microbench.peers.ratios import MeanRatio, Network, TimesArray, fastest, mean_ratio
from microbench.peers.registry import Peer
from microbench.peers.rounds import Entry, RoundSettings, run_rounds
from microbench.peers.worker import Contender


@dataclass(frozen=True)
class Cell:
    """What one network took by one number of threads: one entry per engine, also of those that did not run."""

    network: str
    threads: int
    cpus: tuple[int, ...]
    entries: tuple[Entry, ...]
    tolerance: float = TOLERANCE

    @property
    def agreeing(self) -> dict[str, TimesArray]:
        """Times of the engines whose output agrees with onnxruntime's."""
        return {
            entry.name: entry.times_ns
            for entry in self.entries
            if entry.times_ns is not None and entry.error <= self.tolerance
        }

    @property
    def ours_ns(self) -> TimesArray | None:
        """Times of this project's bundle, where it ran and agrees."""
        return self.agreeing.get(OUR_NAME)

    @property
    def peers_ns(self) -> dict[str, TimesArray]:
        """Times of peers that agree."""
        return {name: times_ns for name, times_ns in self.agreeing.items() if name != OUR_NAME}

    @property
    def fastest_peer(self) -> str | None:
        """Of the peers that agree, that of smallest median."""
        return fastest(self.peers_ns)


Ready = Contender | Entry
Environments = dict[str, Environment | str]


def make_environments(peers: Sequence[Peer], directory: Path, tell: Callable[[str], None]) -> Environments:
    """By peer its environment, or the reason why there is none."""
    made: Environments = {}
    for peer in peers:
        try:
            made[peer.name] = make_environment(peer, directory, tell)
        except PeerError as error:
            made[peer.name] = str(error)
            tell(f"{peer.title}: not run: {error}")
    return made


def ready_peers(
    peers: Sequence[Peer],
    environments: Environments,
    model: Path,
    directory: Path,
    tell: Callable[[str], None],
) -> tuple[Ready, ...]:
    """Each peer with the network in the form it reads, or an entry with the reason why not."""
    return tuple(_ready(peer, environments[peer.name], model, directory, tell) for peer in peers)


def compare(
    network: PeerNetwork,
    ready: Sequence[Ready],
    threads: int,
    settings: RoundSettings,
    done: Callable[[], None],
) -> Cell:
    """One cell: all contenders that are ready, interleaved; raises PeerError where there are too few CPUs."""
    cpus = pinned_cpus(threads)
    contenders = [who for who in ready if isinstance(who, Contender)]
    with tempfile.TemporaryDirectory() as directory:
        inputs = Path(directory) / "inputs.npz"
        save_inputs(network, inputs)
        expected = {who.name: network.expected for who in contenders}
        ran = run_rounds(contenders, inputs, expected, threads, cpus, settings, done)
    by_name = {entry.name: entry for entry in ran}
    entries = tuple(by_name[who.name] if isinstance(who, Contender) else who for who in ready)
    return Cell(network.name, threads, cpus, entries, network.tolerance)


def mean_of(cells: Sequence[Cell], threads: int, seed: int) -> MeanRatio | None:
    """Geometric mean over the networks that both this project and a peer computed by so many threads."""
    networks = [
        Network(cell.network, cell.ours_ns, cell.peers_ns)
        for cell in cells
        if cell.threads == threads and cell.ours_ns is not None
    ]
    return mean_ratio(networks, seed)


def _ready(
    peer: Peer, environment: Environment | str, model: Path, directory: Path, tell: Callable[[str], None]
) -> Ready:
    if isinstance(environment, str):
        return Entry(peer.name, peer.title, "", reason=environment)
    try:
        converted = convert(peer, environment.python, model, directory, tell)
    except PeerError as error:
        tell(f"{peer.title}: not run: {error}")
        return Entry(peer.name, peer.title, environment.version, reason=str(error))
    return Contender(peer.name, peer.title, environment.version, environment.python, peer.engine, converted)
