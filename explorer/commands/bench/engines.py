"""`explore bench engines`: QPUs against the cores of the same board, layer by layer, and the plan that may use both."""

from __future__ import annotations

from typing import Annotated

import typer

from explorer.commands.bench.options import JsonOption, MarkdownOption, ResolutionOption
from explorer.terminal.exits import reported

MODELS = ("mobilenet_v1",)
INTRODUCTION = """\
`explore bench engines` computes every layer of a network on the QPUs of a device and on its CPU's cores. Of each engine
the candidates that the roofline ranks first are measured: the QPUs' by the virtual board, one core's by the modelled
clock of `--clocked`, whose AArch64 code of the same algorithm and layouts stands for the device's 32-bit code
(assumed). The time of several cores is modelled from it: the longer of a core's share by the balance of the split and
of the memory's time at `--bandwidth`, and 5 us to meet (assumed). Changes of layout between engines and kernels are
modelled by the roofline, a launch of the QPUs is the profile's. What is assumed of either engine is varied by a factor
on all its times. `bound by` is what a layer's QPUs mostly wait for or work at, and whether memory or computing takes
the cores longer."""


def engines(
    device: Annotated[str, typer.Option(help="profile with QPUs", metavar="DEVICE")] = "pi-3",
    clocked: Annotated[
        str, typer.Option(help="profile whose board has the modelled clock of the core", metavar="DEVICE")
    ] = "pi-3-64",
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help=f"a network of the zoo, or an ONNX file; may be repeated (default: {', '.join(MODELS)})",
            metavar="MODEL",
        ),
    ] = None,
    resolution: ResolutionOption = 224,
    bandwidth: Annotated[
        float, typer.Option(help="of the cores' memory, in bytes per second", min=1.0, metavar="B/S")
    ] = 2.0e9,
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show for each layer how long the QPUs and the cores of a device take, and the plan that may use both."""
    with reported(place=markdown):
        from explorer.studies.engine_times import layer_table, plan_table, time_engines
        from explorer.studies.study_table import show, write_markdown
        from explorer.studies.zoo_networks import network_named
        from explorer.terminal.json_output import told
        from explorer.terminal.progress_lines import progress_on
        from microbench.registry import open_board

        tables = []
        with open_board(device) as board, open_board(clocked) as clock:
            for name in models or MODELS:
                with network_named(name, resolution) as network, progress_on(told(as_json)) as progress:
                    times = time_engines(network, board, clock, bandwidth, progress)
                    tables += [layer_table(times), plan_table(times)]
                if markdown is not None:  # after each network: an interrupt loses none that is done
                    write_markdown(markdown, f"QPUs and cores of {device}", INTRODUCTION, tables)
        show(tables, as_json)
