"""NumPy whose products of matrices take one thread each, where fits and measurements run side by side on all cores."""

from __future__ import annotations

import os

VARIABLE = "OPENBLAS_NUM_THREADS"  # read by its library once, when NumPy is imported first


def import_numpy_for_one_thread() -> None:
    """Does nothing where NumPy was imported before, or the environment says how many threads there are.

    Programs that this one starts do not inherit it.
    """
    if VARIABLE in os.environ:
        return
    os.environ[VARIABLE] = "1"
    try:
        import numpy  # noqa: F401 - that it is imported is all that is wanted
    finally:
        del os.environ[VARIABLE]
