"""Opens the boards that a run's settings ask for."""

from __future__ import annotations

import os

from explorer.settings import RunSettings
from microbench.board import Board
from microbench.registry import open_board
from microbench.twin import twin_profile
from microbench.virtual.build import compile_ahead

MOST_SIMULATORS = 2


def open_board_of(settings: RunSettings) -> Board:
    """The board that the settings name, with its twin's constants where it has one; raises as `open_board`, and
    TwinError.
    """
    return open_board(
        settings.device,
        board=settings.board,
        ssh=settings.ssh,
        v3d_hz=settings.v3d_hz,
        qpus=settings.qpus,
        gpu_memory=settings.gpu_memory,
        store=settings.store,
        devices=settings.devices,
        options=settings.board_options,
        profile=twin_profile(settings.device, settings.devices, settings.twin) if settings.twin else None,
    )


def alike(first: Board, settings: RunSettings) -> list[Board]:
    """One per core, up to two, where no clock is read; a clock is never shared. Simulators are compiled meanwhile."""
    if first.computes and not first.reads_clock:
        compile_ahead()
    count = 1 if first.reads_clock else min(MOST_SIMULATORS, os.cpu_count() or 1)
    return [first, *(open_board_of(settings) for _ in range(count - 1))]


def close(board: Board) -> None:
    """Frees a board."""
    board.close()  # of the board's own class: that of the protocol does nothing
