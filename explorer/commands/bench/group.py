"""`explore bench`: what measuring is worth, and this project beside its peers; a file per subcommand."""

from __future__ import annotations

import typer

from explorer.commands.bench.arm_peers import arm_peers
from explorer.commands.bench.cpu_clock import cpu_clock
from explorer.commands.bench.cpu_clock_32 import cpu_clock_32
from explorer.commands.bench.cpu_families import cpu_families
from explorer.commands.bench.cpu_inner_loops import cpu_inner_loops
from explorer.commands.bench.cpu_instructions import cpu_instructions
from explorer.commands.bench.cpu_layers import cpu_layers
from explorer.commands.bench.cpu_memory import cpu_memory
from explorer.commands.bench.cpu_peers import cpu_peers
from explorer.commands.bench.engines import engines
from explorer.commands.bench.farm import farm
from explorer.commands.bench.ground_truth import ground_truth
from explorer.commands.bench.link import link
from explorer.commands.bench.models import models
from explorer.commands.bench.networks import networks
from explorer.commands.bench.prior import prior
from explorer.commands.bench.qpu import qpu
from explorer.commands.bench.qpu_kinds import qpu_kinds
from explorer.commands.bench.repeatability import repeatability
from explorer.commands.bench.search import search
from explorer.commands.bench.sparse import sparse
from explorer.commands.bench.strategies import strategies
from explorer.commands.bench.stream import stream
from explorer.commands.bench.threads import threads
from explorer.commands.bench.twin import twin

bench_app = typer.Typer(
    help="Measure the measuring: how well times repeat, what a link costs, how peers do.",
    no_args_is_help=True,
)
bench_app.command()(repeatability)
bench_app.command()(link)
bench_app.command()(farm)
bench_app.command()(cpu_inner_loops)
bench_app.command()(cpu_layers)
bench_app.command()(cpu_memory)
bench_app.command()(cpu_peers)
bench_app.command()(sparse)
bench_app.command()(cpu_instructions)
bench_app.command()(cpu_families)
bench_app.command()(cpu_clock)
bench_app.command()(cpu_clock_32)
bench_app.command()(arm_peers)
bench_app.command()(ground_truth)
bench_app.command()(models)
bench_app.command()(search)
bench_app.command()(strategies)
bench_app.command()(prior)
bench_app.command()(twin)
bench_app.command()(networks)
bench_app.command()(stream)
bench_app.command()(threads)
bench_app.command()(qpu)
bench_app.command()(qpu_kinds)
bench_app.command()(engines)
