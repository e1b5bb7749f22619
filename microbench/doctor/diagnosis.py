"""What a check of a board comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "failed", "unknown", "not needed"]


@dataclass(frozen=True)
class Diagnosis:
    """One line of a diagnosis; whatever is not in order has a remedy."""

    check: str
    verdict: Verdict
    result: str
    remedy: str = ""


def in_order(check: str, result: str) -> Diagnosis:
    return Diagnosis(check, "ok", result)


def not_needed(check: str, result: str) -> Diagnosis:
    return Diagnosis(check, "not needed", result)


def doubtful(check: str, result: str, remedy: str) -> Diagnosis:
    return Diagnosis(check, "warning", result, remedy)


def untold(check: str, result: str, remedy: str) -> Diagnosis:
    return Diagnosis(check, "unknown", result, remedy)


def failed(check: str, result: str, remedy: str) -> Diagnosis:
    return Diagnosis(check, "failed", result, remedy)
