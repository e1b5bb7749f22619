"""The order of nodes: ONNX asks for it, onnxruntime does not, and some converters leave it to the reader."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence

from codegen.onnx_import.inference import outer_names
from codegen.onnx_import.node import OnnxNode


def in_order(nodes: Sequence[OnnxNode]) -> list[OnnxNode]:
    """The nodes, each behind those whose outputs it reads, and as they are otherwise. Those of a cycle, and what reads
    them, come last.
    """
    writers = {name: index for index, node in enumerate(nodes) for name in node.outputs if name}
    waits = [{writers[name] for name in outer_names(node) if name in writers} for node in nodes]
    readers = defaultdict[int, list[int]](list)
    for index, writes in enumerate(waits):
        for writer in writes:
            readers[writer].append(index)
    left = [len(writes) for writes in waits]
    ready, order = [index for index, count in enumerate(left) if not count], []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for reader in readers[index]:
            left[reader] -= 1
            if not left[reader]:
                heapq.heappush(ready, reader)
    return [nodes[index] for index in [*order, *(index for index, count in enumerate(left) if count)]]
