"""Every way in which reading a model or generating code can fail."""

from __future__ import annotations

from collections.abc import Sequence


class ExploreError(Exception):
    """Root of the errors a user may see: the message names what, where and the remedy. Exit code 2."""


class CodegenError(ExploreError):
    """Root of this package's errors."""


class ModelError(CodegenError):
    """The model file is missing, malformed, truncated or lacks its external data."""


class UnsupportedOperatorError(ModelError):
    """The model uses an operator, or a form of one, that the importer does not know."""


class NotConstantError(UnsupportedOperatorError):
    """A tensor that must be known before the network runs is computed, from the model's inputs `sources`."""

    def __init__(self, message: str, sources: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.sources = sources


class UnsupportedTypeError(ModelError):
    """A value of the model is no tensor, or has elements of a type that no engine computes with."""


class FoldingError(ModelError):
    """What is constant in the model cannot be computed before it runs: too much of it, or no way to."""


class ObstaclesError(ModelError):
    """Several things of the model are not supported: `errors` has one of the other classes for each."""

    def __init__(self, errors: Sequence[ModelError]) -> None:
        self.errors = tuple(errors)
        listed = "\n".join(f"  {error}" for error in self.errors)
        super().__init__(f"{len(self.errors)} things in it are not supported:\n{listed}")


class DynamicShapeError(ModelError):
    """A dimension is not fixed and no `--shape` gives it."""


class GraphSpecError(CodegenError):
    """A graph breaks the spec of its stage: a defect of the pass that produced it."""


class EmptyTensorError(GraphSpecError):
    """An operator would give a tensor without elements, which ONNX allows and no engine has."""


class OperatorRegistryError(CodegenError):
    """Registered operators or ONNX handlers clash, or their package does not load."""


class ElementTypeError(CodegenError):
    """An element type is unknown, clashes with another, or its package does not load."""


class EngineRegistryError(CodegenError):
    """Registered engines or their layouts clash, or their package does not load."""


class PlanError(CodegenError):
    """A plan file is malformed, of another version, or does not fit the model."""


class CanonicalFormError(CodegenError):
    """A canonical JSON form does not describe an object of a known type."""


class ScheduleError(CodegenError):
    """A choice lies outside the space of its algorithm."""


class AssemblyError(CodegenError):
    """An instruction cannot be encoded, or breaks a rule of the hardware."""


class RegisterError(AssemblyError):
    """More values are live than there are registers for, or none that an instruction can reach."""


class ListingError(CodegenError):
    """A program file is neither words nor a listing, or could be read in two ways."""


class LinkError(CodegenError):
    """Layers cannot be linked into a GPU program."""


class GpuMemoryError(LinkError):
    """An image needs `excess_bytes` more than the GPU memory of the board."""

    def __init__(self, needed_bytes: int, board_bytes: int) -> None:
        super().__init__(
            f"the GPU image needs {needed_bytes} bytes, the board has {board_bytes}; "
            "raise gpu_mem, or run some layers on the CPU"
        )
        self.excess_bytes = needed_bytes - board_bytes


class ToolchainError(CodegenError):
    """A C compiler is missing or refused a source."""


class BundleError(CodegenError):
    """A bundle cannot be written, or its files are damaged or incomplete."""


class GpuUnavailableError(BundleError):
    """A bundle's steps on the GPU cannot be computed here, and it has no plan for the CPU beside."""


class FrameQueueError(CodegenError):
    """A queue of frames is closed, its thread cannot be started, or a bundle is not free for what is asked of it."""


class QueueFullError(FrameQueueError):
    """A queue of frames has no room: tell the end of an earlier frame first, or drop this one."""


class TicketError(FrameQueueError):
    """A ticket is not this bundle's, or the end of its frame was told already."""


class TensorError(CodegenError):
    """An array given to a loaded bundle is not the model's: its name, type, shape or order in memory."""
