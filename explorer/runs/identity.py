"""Which run it is: a hash of the model's content and of every setting that may change the plan."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from codegen.canonical import content_hash
from explorer.settings import RunSettings
from microbench.devices import find_device
from microbench.options import SshOptions
from microbench.profile import load_profile
from microbench.store.database import parse, place_of
from microbench.twin import twin_profile

# Fields of RunSettings that say no more: where results go, the file that says what `device` means, what the store takes
# in first, for a store counts by its name, whether somebody watches, and that a twin is not wanted, for the one that
# there is counts, and who may speak to a farm.
WITHOUT_EFFECT = ("out", "overwrite", "devices", "samples", "live", "no_twin", "farm_tls")


def identity_of(settings: RunSettings, model_sha256: str) -> str:
    """64 hexadecimal digits. `model_sha256` is of what was imported (`explorer.plans.network.Network`).

    A device counts by its constants and by where it is, a store by its name: times that are found there are not
    taken again. Raises ProfileError and DevicesError for a device that cannot be understood, TwinError for its twin.
    """
    named = find_device(settings.device, settings.devices)
    twin = twin_profile(settings.device, settings.devices, settings.twin) if settings.twin else None
    return content_hash(
        {
            "model": [settings.model_name, model_sha256],
            "shapes": {name: list(shape) for name, shape in settings.shapes.items()},
            "device": [Path(settings.device).name, load_profile(named.profile).model_dump(mode="json")],
            "board": [named.board, settings.board],
            "board options": [dict(named.board_options), dict(settings.board_options)],
            "reached": [_reached(named.ssh), _reached(settings.ssh)],
            "v3d_hz": settings.v3d_hz,
            "qpus": settings.qpus,
            "gpu_memory": settings.gpu_memory,
            "store": place_of(parse(settings.store)),
            "cost model": settings.cost_model,
            "prior": settings.prior,
            "again": settings.again.name if settings.again else None,
            "search": asdict(settings.search),
            "rehearsal": asdict(settings.rehearsal),
            "objective": settings.objective,
            "prices": dict(settings.prices),
            "robust": settings.robust,
            **({"values": dict(settings.values)} if settings.values else {}),
            **({} if settings.weights == "float32" else {"weights": settings.weights}),
            **({} if settings.max_memory_bytes is None else {"max_memory": settings.max_memory_bytes}),
            **({"with_cpu_plan": True} if settings.with_cpu_plan else {}),
            **({"twin": twin.hash} if twin else {}),
            **({"probes": settings.probes} if settings.probes else {}),
            **({"farm": True} if settings.farm else {}),
        }
    )


def _reached(ssh: SshOptions | None) -> list[str | int | None]:
    """Which machine it is and what launches programs there; keys and patience change no time."""
    return [ssh.host, ssh.port, ssh.backend, ssh.launch] if ssh else []
