"""What zeros gain: bundles of pruned networks beside that of the dense one, on this machine's CPU, turn by turn."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codegen.graph import Graph
from explorer.errors import UsageError
from explorer.plans.network import load_network
from explorer.studies.study_table import LEFT, RIGHT, StudyTable
from microbench.errors import PeerError
from microbench.peers.bundles import Bundle, choose_bundle, find_bundles, our_contender
from microbench.peers.cpus import pinned_cpus
from microbench.peers.network import TOLERANCE, PeerNetwork, open_peer_network, save_inputs
from microbench.peers.ratios import Network, TimesArray, mean_ratio, spread_of
from microbench.peers.rounds import Entry, RoundSettings, run_rounds

COLUMNS = (
    "network",
    "zeros",
    "median ms",
    "quartiles ms",
    "/ first",
    "95 % interval",
    "weights MB",
    "C MB",
    "error",
)


@dataclass(frozen=True, eq=False)
class PrunedNetwork:
    """A network with its bundle. `zeros`: their share of the weights that layers multiply by."""

    network: PeerNetwork
    bundle: Bundle
    zeros: float


def read_networks(
    models: Sequence[Path], bundles: Path, threads: int, seed: int
) -> tuple[PrunedNetwork, ...]:
    """The models with their bundles, found below a directory by what the models say.

    Raises UsageError for two models of one name, PeerError where a bundle is missing or a model is none that
    onnxruntime computes.
    """
    names = [path.stem for path in models]
    if len({*names}) < len(names):
        raise UsageError("two models have one name; give one of them another file name")
    there, found = find_bundles(bundles), []
    for path in models:
        network = load_network(path, {}, path.stem)
        bundle = choose_bundle(there, network.sha256, threads)
        found.append(PrunedNetwork(open_peer_network(path, seed), bundle, zeros_of(network.graph)))
    return tuple(found)


def zeros_of(graph: Graph) -> float:
    """The share of zeros in the weights of all layers whose algorithms may skip them; 0 where there are none."""
    weights = [graph.constants[node.weights[0]] for node in graph.nodes if node.op.skips_zeros]
    total = sum(value.size for value in weights)
    return 1 - sum(int(np.count_nonzero(value)) for value in weights) / total if total else 0.0


def time_networks(
    networks: Sequence[PrunedNetwork], threads: int, settings: RoundSettings, done: Callable[[], None]
) -> tuple[Entry, ...]:
    """An entry for each network, all of the same inputs; raises PeerError where they do not take the same."""
    shapes = {_inputs(one.network) for one in networks}
    if len(shapes) > 1:
        raise PeerError(f"the networks take other inputs: {'; '.join(sorted(shapes))}; compare like ones")
    contenders = [our_contender(one.bundle, one.network.name) for one in networks]
    expected = {one.network.name: one.network.expected for one in networks}
    with tempfile.TemporaryDirectory() as directory:
        inputs = Path(directory) / "inputs.npz"
        save_inputs(networks[0].network, inputs)
        return run_rounds(contenders, inputs, expected, threads, pinned_cpus(threads), settings, done)


def _inputs(network: PeerNetwork) -> str:
    return ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in network.inputs.items())


def sparse_table(
    networks: Sequence[PrunedNetwork], entries: Sequence[Entry], threads: int, seed: int
) -> StudyTable:
    """Times, and their ratios to the first network's."""
    first = entries[0].times_ns
    rows = tuple(_row(one, entry, first, seed) for one, entry in zip(networks, entries, strict=True))
    columns = tuple((name, RIGHT if place else LEFT) for place, name in enumerate(COLUMNS))
    notes = (
        "Bundles ran in turns, in a new random order each round; ratios are of medians, their intervals from rounds "
        "resampled. Errors are against onnxruntime on the same file.",
    )
    return StudyTable(f"Networks by their zeros, threads: {threads}", columns, rows, notes)


def _row(one: PrunedNetwork, entry: Entry, first: TimesArray | None, seed: int) -> tuple[str, ...]:
    head = (one.network.name, f"{one.zeros:.1%}")
    tail = (*(f"{size / 1e6:.2f}" for size in _sizes(one.bundle)), _error(entry))
    if entry.times_ns is None:
        return (*head, *("-",) * 4, *tail)
    spread = spread_of(entry.times_ns)
    times = (
        f"{spread.median_s * 1e3:.3f}",
        f"{spread.low_quartile_s * 1e3:.3f} to {spread.high_quartile_s * 1e3:.3f}",
    )
    ratio = mean_ratio(
        [Network(one.network.name, entry.times_ns, {} if first is None else {"first": first})], seed
    )
    ratios = (f"{ratio.ratio:.3f}", f"{ratio.low:.3f} to {ratio.high:.3f}") if ratio else ("-", "-")
    return (*head, *times, *ratios, *tail)


def _sizes(bundle: Bundle) -> tuple[int, int]:
    """Bytes of packed weights and of C."""
    weights, source = (bundle.directory / name for name in ("weights.bin", "model.c"))
    return weights.stat().st_size, source.stat().st_size


def _error(entry: Entry) -> str:
    if entry.reason:
        return f"not run: {entry.reason}"
    return f"{entry.error:.1e}{' (wrong)' if entry.error > TOLERANCE else ''}"
