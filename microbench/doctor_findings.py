"""What a check of a board comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "failed", "unknown", "not needed"]


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis; whatever is not in order has a remedy."""

    check: str
    verdict: Verdict
    result: str
    remedy: str = ""


def in_order(check: str, result: str) -> Finding:
    return Finding(check, "ok", result)


def not_needed(check: str, result: str) -> Finding:
    return Finding(check, "not needed", result)


def doubtful(check: str, result: str, remedy: str) -> Finding:
    return Finding(check, "warning", result, remedy)


def untold(check: str, result: str, remedy: str) -> Finding:
    return Finding(check, "unknown", result, remedy)


def failed(check: str, result: str, remedy: str) -> Finding:
    return Finding(check, "failed", result, remedy)
