"""`explore bench`: what measuring is worth, and this project beside its peers; a file `bench_*.py` per subcommand."""

from __future__ import annotations

import typer

from explorer.bench_cpu_inner_loops_command import cpu_inner_loops
from explorer.bench_cpu_instructions_command import cpu_instructions
from explorer.bench_cpu_layers_command import cpu_layers
from explorer.bench_cpu_memory_command import cpu_memory
from explorer.bench_link_command import link
from explorer.bench_peers import cpu_peers
from explorer.bench_repeatability_command import repeatability

bench_app = typer.Typer(
    help="Measure the measuring: how well times repeat, what a link costs, how peers do.",
    no_args_is_help=True,
)
bench_app.command()(repeatability)
bench_app.command()(link)
bench_app.command()(cpu_inner_loops)
bench_app.command()(cpu_layers)
bench_app.command()(cpu_memory)
bench_app.command()(cpu_peers)
bench_app.command()(cpu_instructions)
