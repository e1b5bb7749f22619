"""Opens the boards that a run's settings ask for."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from explorer.farm.place import place_of
from explorer.measure.jobs import JobBuilder
from explorer.measure.measurer import Farm
from explorer.settings import RunSettings
from microbench.board import Board
from microbench.devices import find_device
from microbench.profile import load_profile
from microbench.registry import open_board, profile_with
from microbench.runner.client import BoardBusyError
from microbench.store import Store
from microbench.twin import twin_profile
from microbench.virtual.build import compile_ahead

MOST_SIMULATORS = 2
FARM = "farm"  # what a FarmBoard is named


def open_board_of(settings: RunSettings) -> Board:
    """The board that the settings name, with its twin's constants where it has one; raises as `open_board`, and
    TwinError. Of a farm all of its boards that are such boards; raises as `FarmBoard`.
    """
    if settings.farm:
        return _of_farm(settings, settings.farm)
    opened = open_board(
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
    opened.target = replace(opened.target, weights=settings.weights)
    return opened


def _of_farm(settings: RunSettings, address: str) -> Board:
    place = place_of(address, settings.farm_tls)
    from explorer.farm.board import FarmBoard  # it needs packages of an extra

    named = find_device(settings.device, settings.devices)
    profile = profile_with(load_profile(named.profile), settings.v3d_hz, settings.qpus, settings.gpu_memory)
    opened = FarmBoard(place, profile, settings.board or "")
    opened.target = replace(opened.target, weights=settings.weights)
    return opened


def alike(first: Board, settings: RunSettings) -> list[Board]:
    """One per core, up to two, where no clock is read and the device takes two hosts; a clock is never shared.

    Simulators are compiled meanwhile.
    """
    if first.computes and not first.reads_clock and not settings.farm:
        compile_ahead()
    count = 1 if first.reads_clock or settings.farm else min(MOST_SIMULATORS, os.cpu_count() or 1)
    boards = [first]
    with suppress(BoardBusyError):
        while len(boards) < count:
            boards.append(open_board_of(settings))
    return boards


def close(board: Board) -> None:
    """Frees a board."""
    board.close()  # of the board's own class: that of the protocol does nothing


def farm_samples(
    first: Board, jobs: JobBuilder, store: Store, repeats: int, tell: Callable[[str], None]
) -> Farm | None:
    """What takes samples on the boards of a farm; None where the board is none. `tell` hears of boards set aside."""
    if first.name != FARM:
        return None
    from explorer.farm.board import FarmBoard
    from explorer.farm.samples import FarmSamples

    assert isinstance(first, FarmBoard)
    return FarmSamples(first.pool, first, jobs, store, repeats, tell)


def width_of(first: Board) -> int:
    """How many candidates boards measure in the time of one: as many as a farm has boards, when it is asked."""
    if first.name != FARM:
        return 1
    from explorer.farm.board import FarmBoard

    assert isinstance(first, FarmBoard)
    return max(1, first.pool.width)
