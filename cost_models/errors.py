"""Every way in which a cost model can fail."""

from __future__ import annotations

from codegen.errors import ExploreError


class CostModelError(ExploreError):
    """A cost model cannot predict: not fitted, or asked about a candidate it has no features for."""
