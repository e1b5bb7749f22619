"""Runs inside the emulator: time_ncnn.py PARAM PIXELS THREADS RUNS RESULT; times are those of its clock."""

from __future__ import annotations

import json
import os
import sys
import time

import ncnn

# Those of ncnn's own benchmark.
ON = ("winograd_convolution", "sgemm_convolution", "int8_inference", "packing_layout")
ON_WHERE_THE_CORE_CAN = ("fp16_packed", "fp16_storage", "fp16_arithmetic")


def main(param: str, pixels: int, threads: int, runs: int, result: str) -> None:
    """Weights are empty, as in ncnn's own benchmark; the model wakes before the first run."""
    net = ncnn.Net()
    net.opt.lightmode = True
    net.opt.num_threads = threads
    for name in (*ON, *ON_WHERE_THE_CORE_CAN):
        setattr(net.opt, f"use_{name}", True)
    net.opt.use_bf16_storage = False
    if net.load_param(param) != 0 or net.load_model(ncnn.DataReaderFromEmpty()) != 0:
        raise SystemExit(f"ncnn refuses {param}")
    picture = ncnn.Mat(pixels, pixels, 3)
    picture.fill(0.01)
    first, last = net.input_names()[0], net.output_names()[-1]
    times_s = []
    os.sched_yield()
    for _ in range(runs):
        begin_s = time.perf_counter()
        extractor = net.create_extractor()
        extractor.input(first, picture)
        code, output = extractor.extract(last)
        del extractor
        times_s.append(time.perf_counter() - begin_s)
        if code != 0:
            raise SystemExit(f"ncnn stopped with code {code}")
    with open(result, "w", encoding="ascii") as file:
        json.dump(
            {"version": ncnn.__version__, "times_s": times_s, "shape": [output.w, output.h, output.c]}, file
        )


if __name__ == "__main__":
    param, pixels, threads, runs, result = sys.argv[1:]
    main(param, int(pixels), int(threads), int(runs), result)
