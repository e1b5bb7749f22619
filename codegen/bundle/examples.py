"""Programs of a bundle that show what to do with it: in C and in Python, for networks that take one picture."""

from __future__ import annotations

from pathlib import Path

from codegen.bundle.manifest import PROGRAMS
from codegen.element_type import FLOAT32
from codegen.plan import Plan

EXAMPLES = (*PROGRAMS["classify"], "classify.py")
DIRECTORY = Path(__file__).parent / "programs"
PICTURE_CHANNELS = (1, 3)
PICTURE_TYPES = (FLOAT32.name, "uint8")


def takes_picture(plan: Plan) -> bool:
    """One input of a picture, channels first or last, and an output whose largest values say something."""
    if len(plan.inputs) != 1 or all(output.dtype != FLOAT32.name for output in plan.outputs):
        return False
    (tensor,) = plan.inputs
    shape = tensor.shape
    if len(shape) != 4 or shape[0] != 1 or 0 in shape or tensor.dtype not in PICTURE_TYPES:
        return False
    return shape[1] in PICTURE_CHANNELS or shape[3] in PICTURE_CHANNELS


def example_programs(plan: Plan) -> dict[str, str]:
    """Sources by file name; none where the network takes anything else than one picture."""
    if not takes_picture(plan):
        return {}
    return {name: (DIRECTORY / name).read_text(encoding="utf-8") for name in EXAMPLES}
