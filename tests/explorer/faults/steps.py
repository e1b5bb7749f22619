"""The steps of a run at which a fault may strike."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """When: before the `count`-th time that the host does `what` (`stepped_host`), or `bytes_later`, on the way."""

    title: str
    what: str
    count: int = 1
    bytes_later: int = 0


CONNECT = Step("connecting", "connect", 1, 300)
UPLOAD = Step("uploading the runner", "upload", 1, 200_000)
HELLO = Step("greeting the runner", "hello")
BEFORE = Step("before the first batch", "batch")
KERNEL_UPLOAD = Step("uploading a kernel", "upload", 4, 20_000)
WITHIN = Step("within a batch, between two samples", "sample", 4)
KERNEL = Step("within a kernel", "kernel", 5)
BETWEEN = Step("between two batches", "batch", 2)
LATER = Step("within a kernel of a later batch", "kernel", 18)
REHEARSAL = Step("between two rehearsals of whole networks", "network", 4)
CHECK = Step("before the check of the whole network", "check")
END = Step("at the end, closing the board", "close")

SAMPLE = Step("the first sample", "sample")
REFERENCE = Step("the reference kernel", "reference")
LATER_SAMPLE = Step("a sample of a later batch", "sample", 14)

STEPS = (CONNECT, UPLOAD, HELLO, BEFORE, KERNEL_UPLOAD, WITHIN, KERNEL, BETWEEN, LATER, REHEARSAL, CHECK, END)
WITH_RUNNER = STEPS[3:]
MEASURING = (SAMPLE, REFERENCE, WITHIN, LATER_SAMPLE)
