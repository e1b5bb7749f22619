"""The comparison with peers as a whole: networks, contenders, rounds, and the files that are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import UsageError
from explorer.plans.compilation import compile_plan_file
from explorer.plans.network import load_network
from explorer.studies.peers_report import cell_table, mean_table, write_markdown, write_times
from explorer.studies.study_table import show
from explorer.terminal.json_output import told
from explorer.terminal.progress_lines import progress_on
from microbench.errors import PeerError
from microbench.peers.bundles import OUR_NAME, OUR_TITLE, Bundle, choose_bundle, find_bundles, our_contender
from microbench.peers.comparison import Cell, Ready, compare, make_environments, ready_peers
from microbench.peers.cpus import pinned_cpus
from microbench.peers.network import PeerNetwork, open_peer_network
from microbench.peers.registry import chosen_peers, read_peers
from microbench.peers.rounds import Entry, RoundSettings


@dataclass(frozen=True)
class PeersSettings:
    """All that `explore bench cpu-peers` is told; `scratch` is a directory that lasts as long as the command."""

    models: tuple[Path, ...]
    bundles: Path | None
    plans: tuple[Path, ...]
    threads: tuple[int, ...]
    peers: tuple[str, ...]
    rounds: RoundSettings
    environments: Path
    out: Path
    scratch: Path


def bench_peers(settings: PeersSettings, as_json: bool) -> None:
    """Measures, shows and writes.

    Raises UsageError, PeerError and the errors of models, plans and bundles, all before anything is timed.
    """
    console = told(as_json)
    _check(settings)
    with progress_on(console) as progress:

        def tell(line: str) -> None:
            console.print(line, markup=False, soft_wrap=True)

        progress.phase("Networks")
        networks = [open_peer_network(path, settings.rounds.seed) for path in settings.models]
        bundles = _bundles(settings, networks)
        hashes = {network.name: _sha256(network.path) for network in networks} if bundles else {}
        progress.phase("Peers")
        ready = _ready_peers(settings, networks, tell)
        cells = []
        for network in networks:
            for threads in settings.threads:
                progress.phase(f"{network.name}, threads: {threads}")
                progress.expect(settings.rounds.rounds)
                ours = _ours(bundles, hashes.get(network.name, ""), threads)
                cells.append(
                    compare(network, (ours, *ready[network.name]), threads, settings.rounds, progress.done)
                )
                if not as_json:
                    show([cell_table(cells[-1])], as_json)
                _write(cells, settings)  # at once: an interrupt loses no cell
    means = mean_table(cells, settings.rounds.seed)
    console.print(f"results: {settings.out / 'cpu-peers.md'}", markup=False)
    then = "explore bench cpu-layers RUN says where the time goes"
    show([*map(cell_table, cells), means] if as_json else [means], as_json, then)


def _check(settings: PeersSettings) -> None:
    names = [path.stem for path in settings.models]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two models are named {name!r}; give one of them another file name")
    for threads in settings.threads:
        pinned_cpus(threads)
    chosen_peers(settings.peers, read_peers())


def _bundles(settings: PeersSettings, networks: Sequence[PeerNetwork]) -> tuple[Bundle, ...]:
    """Those that were given, and those of plans that were given, compiled."""
    found = list(find_bundles(settings.bundles)) if settings.bundles else []
    if settings.plans:
        by_hash = {_sha256(network.path): network.path for network in networks}
        for place, plan in enumerate(settings.plans):
            found.append(_compiled(plan, by_hash, settings.scratch / str(place)))
    return tuple(found)


def _compiled(path: Path, models: dict[str, Path], directory: Path) -> Bundle:
    from codegen.plan import read_plan
    from microbench.peers.bundles import runs_here

    plan = read_plan(path)
    if plan.model_sha256 is None:
        raise UsageError(
            f"plan {path} is of an older version, which does not say of which model; make it again"
        )
    if plan.model_sha256 not in models:
        raise UsageError(
            f"plan {path} is for model {plan.model_name!r}, which is none of those given; give it too"
        )
    if not runs_here(plan):
        raise UsageError(f"plan {path} is for {plan.device!r}, not for this machine's CPU; take one for host")
    compile_plan_file(path, models[plan.model_sha256], directory, None)
    return Bundle(directory, plan)


def _sha256(path: Path) -> str:
    return load_network(path, {}, path.stem).sha256


def _ours(bundles: Sequence[Bundle], sha256: str, threads: int) -> Ready:
    if not bundles:
        return Entry(OUR_NAME, OUR_TITLE, "", reason="no bundle was given (--bundles, --plan)")
    try:
        return our_contender(choose_bundle(bundles, sha256, threads))
    except PeerError as error:
        return Entry(OUR_NAME, OUR_TITLE, "", reason=str(error))


def _ready_peers(
    settings: PeersSettings, networks: Sequence[PeerNetwork], tell: Callable[[str], None]
) -> dict[str, tuple[Ready, ...]]:
    peers = chosen_peers(settings.peers, read_peers())
    environments = make_environments(peers, settings.environments, tell)
    return {
        network.name: ready_peers(peers, environments, network.path, settings.environments, tell)
        for network in networks
    }


def _write(cells: Sequence[Cell], settings: PeersSettings) -> None:
    settings.out.mkdir(parents=True, exist_ok=True)
    write_times(cells, settings.out / "cpu-peers.csv")
    write_markdown(cells, settings.rounds, settings.out / "cpu-peers.md")
