"""What a user asks of a run, checked before anything is opened."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from codegen.target import GPU_MEMORIES, WEIGHT_TYPES, GpuMemory, WeightType
from explorer.errors import UsageError
from explorer.search.layer_search import SearchSettings
from microbench.devices import default_devices_file
from microbench.options import SshOptions
from microbench.profile import split_variants

BUILT_IN_NETWORK = "mobilenet_v1"
RUNS = Path("results") / "runs"
DEFAULT_STORE = RUNS / "samples.sqlite"
LEAST_HZ, MOST_HZ = 1e6, 5e9  # of a GPU's clock
LEAST_PROBES = 3  # a candidate and two whole plans
MOST_PRICE = 1e6  # seconds of latency for a unit of something else

Objective = Literal["latency", "front"]
PriorChoice = Literal["store", "none"]
Shapes = Mapping[str, tuple[int, ...]]

_BYTES = re.compile(r"(?P<count>\d+(?:\.\d+)?) ?(?P<unit>[KMG]iB|[kMG]B|B)?")
_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1e3, "MB": 1e6, "GB": 1e9, "B": 1}
_SIZE = re.compile("0*[1-9][0-9]{0,9}")
_SSH_PLACE = re.compile(r"(?:(?P<user>[^@\s:]+)@)?(?P<host>\[[^\]\s]+\]|[^@:\s]+)(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True)
class RehearsalSettings:
    """How many whole plans are run: at most `first` in the first round, `more` in each of the others, each `repeats`
    times; where times are exact, since no clock is read, one a round and once.

    No rounds: the times of layers alone decide.
    """

    rounds: int = 4
    first: int = 5
    more: int = 3
    repeats: int = 5


@dataclass(frozen=True)
class RunSettings:
    """One `explore run`: each field is an option of that name there. Files may be given as texts too.

    `device`: a named board, a profile's name or a file *.toml. `model`: an ONNX file, None: the built-in network.
    `board`: how the device is reached, None: as its profile says; `board_options`: the board's own, as they were typed.
    `v3d_hz`: clock of the GPU. `qpus` None: all there are. `gpu_memory`: how the GPU's memory is allocated, None: as
    the profile has it. `weights`: the type that QPUs may have them stored as. `shapes`: of inputs that the model leaves
    open, by name. `values`: of inputs that are constants, by name, as `codegen.onnx_import.fixed_inputs` reads them.
    `store`: samples, a SQLite file or a database URL. `out` None: a directory of its own below `RUNS`.
    `overwrite`: another run's results may be lost. `robust`: the plan that does least badly over
    the device's profile and the variants that it names, in place of the fastest under the profile alone. `devices`: the
    file of named boards, None: there is none.

    `prices`: of objectives by name, the seconds of latency that a unit is worth; of what the plan minimises.
    `prior`: whether the cost model also learns from what the store has of other networks and boards. `samples`: a file
    of exported samples that the store takes in first, None: none. `again`: a run's directory; this one learns from the
    samples that it learned from, and has the times that it took.

    `with_cpu_plan`: the bundle carries the best plan for the CPU alone too, and uses it where the QPUs are not to be
    had.

    `farm`: the address of a farm whose boards share the candidates, `farm_tls`: a directory with the files of TLS for
    it (`explorer.farm.place`).

    `live`: a page on loopback shows the run while it goes on.

    `max_memory_bytes`: what the plan may take of the GPU's memory and of the CPU's together; None: no cap.

    `twin`: the profile of a virtual board that stands in for the device in the search, a name or a file *.toml, or
    `calibrated`: that which `explore calibrate` wrote for it. None: that one, where it has constants found on the
    device over SSH and one plan is wanted, unless `no_twin`. `probes`: the search is made on a virtual board, the twin
    or that of the device's profile, and the device takes so many measurements; None: as many as a twin needs.

    Raises UsageError for a value that no run can have, naming the field.
    """

    device: str = "pi-zero"
    model: Path | None = None
    board: str | None = None
    ssh: SshOptions | None = None
    v3d_hz: float | None = None
    qpus: int | None = None
    gpu_memory: GpuMemory | None = None
    weights: WeightType = "float32"
    shapes: Shapes = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    store: str = str(DEFAULT_STORE)
    out: Path | None = None
    cost_model: str = "residual"
    search: SearchSettings = field(default_factory=SearchSettings)
    rehearsal: RehearsalSettings = field(default_factory=RehearsalSettings)
    objective: Objective = "latency"
    devices: Path | None = field(default_factory=default_devices_file)
    board_options: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False
    prior: PriorChoice = "store"
    samples: Path | None = None
    again: Path | None = None
    robust: bool = False
    twin: str | None = None
    no_twin: bool = False
    probes: int | None = None
    prices: Mapping[str, float] = field(default_factory=dict)
    max_memory_bytes: int | None = None
    with_cpu_plan: bool = False
    live: bool = False
    farm: str | None = None
    farm_tls: Path | None = None

    def __post_init__(self) -> None:
        for name in ("model", "out", "devices", "samples", "again", "farm_tls"):
            if isinstance(given := getattr(self, name), str):
                object.__setattr__(self, name, Path(given))
        for name in ("device", "store"):
            object.__setattr__(self, name, str(getattr(self, name)))
        parse_prior(self.prior)
        if parse_objective(self.objective) == "front" and self.robust:
            raise UsageError("--robust chooses one plan, --objective front shows many: leave one of them out")
        if self.with_cpu_plan and self.objective == "front":
            raise UsageError(
                "--with-cpu-plan goes with the one plan of a run; leave it out, or --objective front"
            )
        if self.twin and self.no_twin:
            raise UsageError(f"--twin {self.twin} and --no-twin contradict each other: leave one of them out")
        for option, given in (("--twin", self.twin), ("--probes", self.probes)):
            if given and not self.one_plan:
                other = "--robust" if self.robust else "--objective front"
                raise UsageError(
                    f"{option} spares a board that one plan is searched for: leave out {other}, or {option}"
                )
        if self.prices and (self.robust or self.objective == "front"):
            other = "--robust" if self.robust else "--objective front"
            raise UsageError(f"--price chooses one plan by what it takes; leave it out, or {other}")
        if self.max_memory_bytes is not None and (self.robust or self.objective == "front"):
            other = "--robust" if self.robust else "--objective front"
            raise UsageError(f"--max-memory caps the one plan that is searched for; leave it out, or {other}")
        if self.farm_tls and not self.farm:
            raise UsageError("--farm-tls says nothing without --farm tls://HOST:PORT")
        for option, is_given in (
            ("--ssh", self.ssh is not None),
            ("--board-option", bool(self.board_options)),
            ("--twin", bool(self.twin)),
            ("--probes", bool(self.probes)),
            ("--robust", self.robust),
            ("--objective front", self.objective == "front"),
        ):
            if self.farm and is_given:
                raise UsageError(
                    f"{option} does not go with --farm, whose boards are open already: leave it out"
                )
        if self.gpu_memory not in (None, *GPU_MEMORIES):
            raise UsageError(
                f"gpu_memory cannot be {self.gpu_memory!r}: {' or '.join(GPU_MEMORIES)}, or None"
            )
        parse_weights(self.weights)
        for name, value, least, most in self._bounded():
            if value is None or (isinstance(value, int | float) and least <= value <= most):
                continue
            most_text = f" and at most {most:g}" if most < math.inf else ""
            raise UsageError(f"{name} cannot be {value!r}: a number of at least {least:g}{most_text}")

    def _bounded(self) -> Iterator[tuple[str, object, float, float]]:
        """Numbers by the field they are in, with the least and the most that each may be."""
        yield "v3d_hz", self.v3d_hz, LEAST_HZ, MOST_HZ
        yield "qpus", self.qpus, 1, math.inf
        yield "max_memory_bytes", self.max_memory_bytes, 1, math.inf
        yield "search.seed", self.search.seed, 0, math.inf
        yield "search.layer_budget", self.search.layer_budget, 1, math.inf
        yield "rehearsal.rounds", self.rehearsal.rounds, 0, math.inf
        yield "probes", self.probes, LEAST_PROBES, math.inf
        for name, price in self.prices.items():
            yield f"prices[{name!r}]", price, 0, MOST_PRICE
        for name, shape in self.shapes.items():
            for size in shape:
                yield f"shapes[{name!r}]", size, 1, math.inf

    @property
    def one_plan(self) -> bool:
        """Whether the fastest plan alone is wanted."""
        return not self.robust and self.objective != "front"

    @property
    def strategy(self) -> str:
        """What decides which candidates are measured next: for a plan, a robust one too, what it gains by; for a
        front, all layouts and lanes alike.
        """
        return self.search.strategy or ("successive" if self.objective == "front" else "expected_gain")

    @property
    def model_name(self) -> str:
        return self.model.stem if self.model else BUILT_IN_NETWORK

    @property
    def directory(self) -> Path:
        """Where plan, bundle, figures and summary go, if no other run has it."""
        device, variants = split_variants(self.device)
        if self.out is None and self.again is not None:
            return self.again.with_name(f"{self.again.name}-again")
        return self.out or RUNS / "-".join((self.model_name, Path(device).stem, *variants))


def parse_gpu_memory(text: str | None) -> GpuMemory | None:
    """What --gpu-memory names, None where it is left out; raises UsageError listing the ways there are."""
    for known in GPU_MEMORIES:
        if text == known:
            return known
    if text is not None:
        raise UsageError(f"--gpu-memory cannot be {text!r}: {' or '.join(GPU_MEMORIES)}")
    return None


def parse_weights(text: str) -> WeightType:
    """What --weights names; raises UsageError listing the types there are."""
    for known in WEIGHT_TYPES:
        if text == known:
            return known
    raise UsageError(f"--weights cannot be {text!r}: {', '.join(WEIGHT_TYPES[:-1])} or {WEIGHT_TYPES[-1]}")


def parse_shapes(texts: Sequence[str]) -> Shapes:
    """`name=1,3,224,224` of every --shape; raises UsageError naming the malformed one."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, separator, sizes = text.rpartition("=")
        parts = sizes.split(",")
        if not separator or not name or not all(_SIZE.fullmatch(part.strip()) for part in parts):
            raise UsageError(f"--shape {text!r} is malformed; an example: --shape input=1,3,224,224")
        if name in shapes:
            raise UsageError(f"--shape gives input {name!r} two shapes; leave one out")
        shapes[name] = tuple(int(part) for part in parts)
    return shapes


def parse_values(texts: Sequence[str]) -> Mapping[str, str]:
    """`name=16000` of every --value; raises UsageError naming the malformed one."""
    values: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.rpartition("=")
        if not separator or not name or not value:
            raise UsageError(f"--value {text!r} is malformed; an example: --value rate=16000")
        if name in values:
            raise UsageError(f"--value gives input {name!r} two values; leave one out")
        values[name] = value
    return values


def parse_board_options(texts: Sequence[str]) -> Mapping[str, str]:
    """`NAME=VALUE` of every --board-option; raises UsageError naming the malformed one."""
    options: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise UsageError(
                f"--board-option {text!r} is malformed; an example: --board-option serial=R58M123"
            )
        if name in options:
            raise UsageError(f"--board-option gives {name!r} two values; leave one out")
        options[name] = value
    return options


def parse_prices(texts: Sequence[str]) -> Mapping[str, float]:
    """`NAME=SECONDS` of every --price; raises UsageError naming the malformed one."""
    prices: dict[str, float] = {}
    for text in texts:
        name, _, price = text.partition("=")
        try:
            value = float(price)
        except ValueError:
            raise UsageError(f"--price {text!r} is malformed; an example: --price energy=0.5") from None
        if name in prices:
            raise UsageError(f"--price gives {name!r} two prices; leave one out")
        prices[name] = value
    return prices


def parse_memory(text: str | None) -> int | None:
    """--max-memory: bytes, or with a unit (64MiB); raises UsageError for what is neither, or less than a byte."""
    if text is None:
        return None
    match = _BYTES.fullmatch(text.strip())
    size = 0 if match is None else int(float(match["count"]) * _UNITS[match["unit"] or "B"])
    if size < 1:
        raise UsageError(
            f"--max-memory {text!r} is no size of memory; examples: 64MiB, 500kB, or a number of bytes"
        )
    return size


def parse_objective(name: str) -> Objective:
    """--objective; raises UsageError for an unknown one."""
    if name == "latency":
        return "latency"
    if name == "front":
        return "front"
    raise UsageError(f"--objective {name!r} is unknown; there are latency and front")


def parse_prior(name: str) -> PriorChoice:
    """--prior; raises UsageError for an unknown one."""
    if name == "store":
        return "store"
    if name == "none":
        return "none"
    raise UsageError(f"--prior {name!r} is unknown; there are store and none")


def parse_ssh(
    place: str | None, key: Path | None, known_hosts: Path | None, sudo: bool = False
) -> SshOptions | None:
    """`user@host:port` of --ssh with its companions; raises UsageError where they do not fit together."""
    if place is None:
        if key or known_hosts or sudo:
            raise UsageError(
                "--ssh-key, --known-hosts and --sudo say nothing without --ssh user@host:port; a named board has them "
                "from `explore devices add`"
            )
        return None
    match = _SSH_PLACE.fullmatch(place)
    if not match or not 0 < int(match["port"] or 22) < 65536:
        raise UsageError(f"--ssh {place!r} is malformed; an example: --ssh pi@192.168.1.20:22")
    host = match["host"].strip("[]")
    return SshOptions(host, int(match["port"] or 22), match["user"], key, known_hosts, sudo=sudo)
