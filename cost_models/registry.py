"""Cost models by name: built-ins and plug-ins through the same entry points."""

from __future__ import annotations

from importlib.metadata import entry_points

from codegen.suggestion import unknown
from cost_models.errors import CostModelError
from cost_models.model import CostModel
from microbench.profile import DeviceProfile

ENTRY_POINT_GROUP = "explore.cost_models"


def known_cost_models() -> tuple[str, ...]:
    """Names of the registered cost models."""
    return tuple(sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)}))


def cost_model_named(name: str, profile: DeviceProfile) -> CostModel:
    """A new, unfitted model for a board; raises CostModelError listing the known ones."""
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == name:
            try:
                model: CostModel = point.load()(profile)
            except (ImportError, AttributeError) as error:
                raise CostModelError(
                    f"cost model {point.name!r} ({point.value}) does not load: {error}; reinstall it"
                ) from error
            return model
    known = known_cost_models()
    raise CostModelError(f"unknown cost model {unknown(name, known)} known: {', '.join(known)}")
