"""Small jobs for the QPUs, assembled and linked as real layers are."""

from __future__ import annotations

import numpy as np

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.pieces import begin_store, end_store, lane_bytes, store_rows
from codegen.engines.videocore4.layer import Address, QpuLayer, RegisterPool, leave
from codegen.engines.videocore4.layout import LANES
from codegen.engines.videocore4.link import link_single
from codegen.engines.videocore4.registers import R0, R1, R2, R4, TMU0_S, UNIFORM, VPM_WRITE
from microbench.board import Job
from tests.microbench.measured import SoundJob, candidate, work

QPUS = 12
LINE_BYTES = 4 * LANES


def triple_kernel() -> tuple[int, ...]:
    """Each QPU multiplies one line of 16 floats by 3. Uniforms: where it is read, where it is written."""
    output = RegisterPool().take("b")
    k = Assembler()
    lane_bytes(k, R0)
    k.op("add", TMU0_S, R0, UNIFORM)
    k.mov(output, UNIFORM)
    k.load(R2, 3.0)
    k.load_tmu(0)
    k.op("fmul", R1, R4, R2)
    begin_store(k)
    k.mov(VPM_WRITE, R1)
    store_rows(k, 0, 1, output)
    end_store(k)
    leave(k)
    return k.assemble()


def sound_gpu_job(lines: int = QPUS) -> SoundJob:
    """Triples `lines` lines of 16 floats, a QPU each."""
    blocks = tuple(
        (Address("input", LINE_BYTES * q), Address("output", LINE_BYTES * q)) for q in range(lines)
    )
    layer = QpuLayer(triple_kernel(), np.zeros(16, np.uint32), blocks)
    elements = LANES * lines
    program = link_single(layer, (4 * elements,), [4 * elements], QPUS)
    inputs = (np.arange(elements, dtype=np.float32) - 7,)
    job = Job(candidate(elements, engine="videocore4"), program, inputs, work(elements))
    return SoundJob(job, inputs[0] * np.float32(3.0))


def hanging_gpu_job() -> Job:
    """Waits for ever at a semaphore that nobody raises."""
    k = Assembler()
    k.acquire(3)
    leave(k)
    layer = QpuLayer(k.assemble(), np.zeros(16, np.uint32), ((0,),))
    program = link_single(layer, (LINE_BYTES,), [LINE_BYTES], QPUS)
    return Job(candidate(LANES, engine="videocore4"), program, (np.zeros(LANES, np.float32),), work(LANES))


def straying_gpu_job() -> Job:
    """Reads far outside the memory it asked for."""
    k = Assembler()
    k.load(R0, 0x0FFFFFC0)
    k.op("add", TMU0_S, R0, UNIFORM)
    k.load_tmu(0)
    leave(k)
    layer = QpuLayer(k.assemble(), np.zeros(16, np.uint32), ((Address("input"),),))
    program = link_single(layer, (LINE_BYTES,), [LINE_BYTES], QPUS)
    return Job(candidate(LANES, engine="videocore4"), program, (np.zeros(LANES, np.float32),), work(LANES))


def warned_gpu_job() -> Job:
    """Leaves a semaphore up, which silicon lets pass and no kernel of the project needs."""
    k = Assembler()
    k.release(3)
    leave(k)
    layer = QpuLayer(k.assemble(), np.zeros(16, np.uint32), ((0,),))
    program = link_single(layer, (LINE_BYTES,), [LINE_BYTES], QPUS)
    return Job(candidate(LANES, engine="videocore4"), program, (np.zeros(LANES, np.float32),), work(LANES))


def stale_gpu_job() -> Job:
    """Reads a line, stores to it past the caches, and reads it again."""
    output = RegisterPool().take("b")
    k = Assembler()
    k.mov(output, UNIFORM)
    lane_bytes(k, R0)
    k.op("add", R1, R0, output)
    k.mov(TMU0_S, R1)
    k.load_tmu(0)
    begin_store(k)
    k.mov(VPM_WRITE, R1)
    store_rows(k, 0, 1, output)
    end_store(k)
    k.label("again")  # the scheduler moves nothing across it
    lane_bytes(k, R0)
    k.op("add", TMU0_S, R0, output)
    k.load_tmu(0)
    leave(k)
    layer = QpuLayer(k.assemble(), np.zeros(16, np.uint32), ((Address("output"),),))
    program = link_single(layer, (LINE_BYTES,), [LINE_BYTES], QPUS)
    return Job(candidate(LANES, engine="videocore4"), program, (np.zeros(LANES, np.float32),), work(LANES))
