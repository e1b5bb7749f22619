/* The DMA engines between VPM and memory: load (VDR) and store (VDW), one transfer each at a time for all QPUs
 * (guide section 7, tables 34 to 37; errata: the store's stride has 16 bits).
 *
 * A transfer takes a set-up time, a time for each row and a time for each of the row's bytes, all measured on silicon,
 * and its bytes move through the SDRAM port beside everybody else's. A store's words reach memory when it ends, past L2 and the TMU caches.
 *
 * Units of 8 and 16 bits are packed: they follow each other in the VPM's bytes from `part` of the first word on. What
 * the guide leaves open is taken so: a column goes on downwards past a multiple of 16 rows, row numbers wrap at 64, and
 * a store's horizontal rows go on in the next VPM row. A load past column 15 has no known effect and is refused.
 */
#include <string.h>

#include "internal.h"

enum { ROW_BYTES = 64, VPM_BYTES = 64 * ROW_BYTES };

static cycles transfer_end(struct v3d *gpu, cycles start, const dma_costs *costs, uint32_t rows, uint32_t bytes,
                           uint32_t bus, uint32_t pitch)
{
    double time = (double)start + costs->setup, row = costs->row + costs->byte * bytes;
    for (uint32_t r = 0; r < rows; r++) {
        double moved = (double)memory_move(gpu, (cycles)time, bus + r * pitch, bytes);
        time += row;
        if (moved > time)
            time = moved;
    }
    return (cycles)(time + 0.999);
}

int dma_can_start(qpu *q, int store)
{
    dma_engine *engine = store ? &q->gpu->store : &q->gpu->load;
    if ((store ? q->vpm.store_done : q->vpm.load_done) > q->now)
        v3d_warn(q, V3D_WARNING_transfer_follows, q->pc); /* it waits: gpu_fft's stores do so, py-videocore's loads and stores */
    return arbitrate(q, store ? STORE_ENGINE : LOAD_ENGINE, engine->free);
}

static void check_alignment(qpu *q, const char *what, uint32_t bus, uint32_t pitch, uint32_t width)
{
    if ((bus | pitch) & (width - 1))
        v3d_fail(q, V3D_UNSUPPORTED, "unsupported: DMA %s at 0x%08x with row pitch %u, not a multiple of %u", what, bus, pitch,
                 width);
}

static uint8_t *row_memory(qpu *q, const char *what, uint32_t bus, uint32_t bytes)
{
    uint8_t *memory = memory_at(q->gpu, bus, bytes);
    if (memory == NULL)
        v3d_fail(q, V3D_STRAY, "stray access: DMA %s of %u bytes at 0x%08x lies outside the allocations", what, bytes, bus);
    return memory;
}

static uint32_t or_else(uint32_t value, uint32_t when_zero)
{
    return value ? value : when_zero;
}

/* ---- where a row lies in the VPM ---- */

/* Bytes a unit has and, for packed ones, which part of the first word the first unit is: from the field MODEW. */
typedef struct {
    uint32_t width, part;
} unit_mode;

static unit_mode mode_of(qpu *q, uint32_t modew, const char *what)
{
    if (modew == 1)
        v3d_fail(q, V3D_UNSUPPORTED, "reserved width in the setup of a DMA %s", what);
    if (modew == 0)
        return (unit_mode){4, 0};
    return modew < 4 ? (unit_mode){2, modew & 1} : (unit_mode){1, modew & 3};
}

/* Byte `byte` of a row that begins `first` bytes into VPM row y, or into column x at row y. */
static uint32_t byte_in_row(uint32_t y, uint32_t first, uint32_t byte)
{
    return (y * ROW_BYTES + first + byte) % VPM_BYTES;
}

static uint32_t byte_in_column(uint32_t x, uint32_t y, uint32_t first, uint32_t byte)
{
    uint32_t down = first + byte, row = y + down / 4;
    return (row % VPM_ROWS_MAX) * ROW_BYTES + ((x + row / VPM_ROWS_MAX) & 15) * 4 + down % 4;
}

static void check_not_in_use(qpu *q, uint32_t word, const cycles *use, const char *by)
{
    if (use[word] > q->now)
        broken_rule(q, "VPM row %u is in use by a DMA %s that has not ended", word / 16, by);
}

/* ---- load ---- */

typedef struct {
    uint32_t rows, units, pitch, vpm_pitch, x, y, vertical;
    unit_mode mode;
} load_shape;

static load_shape shape_of_load(qpu *q)
{
    uint32_t setup = q->vpm.load_setup, memory_pitch = setup >> 24 & 15;
    load_shape s = {
        .rows = or_else(setup >> 16 & 15, 16),
        .units = or_else(setup >> 20 & 15, 16),
        .pitch = memory_pitch ? 8u << memory_pitch : q->vpm.load_pitch,
        .vpm_pitch = or_else(setup >> 12 & 15, 16),
        .x = setup & 15,
        .y = setup >> 4 & 63,
        .vertical = setup >> 11 & 1,
    };
    if (!q->vpm.load_setup_written)
        v3d_fail(q, V3D_HAZARD, "DMA load started without a load setup");
    s.mode = mode_of(q, setup >> 28 & 7, "load");
    uint32_t parts = 4 / s.mode.width, last_part = s.vpm_pitch % parts ? parts - 1 : s.mode.part;
    if (!s.vertical && s.x + ((last_part + s.units) * s.mode.width - 1) / 4 > 15)
        v3d_fail(q, V3D_UNSUPPORTED, "unsupported: DMA load past column 15 of the VPM (setup 0x%08x)", setup);
    return s;
}

/* VPITCH counts units of the vector's address {Y, part}, of vertical loads too: row r of one begins r times VPITCH below
 * Y in the column X (guide table 36; py-videocore's test of vertical loads). */
static uint32_t load_byte(const load_shape *s, uint32_t row, uint32_t byte)
{
    uint32_t parts = 4 / s->mode.width, vector = s->mode.part + row * s->vpm_pitch;
    uint32_t first = vector % parts * s->mode.width, along = vector / parts;
    if (s->vertical)
        return byte_in_column(s->x, (s->y + along) % VPM_ROWS_MAX, first, byte);
    return byte_in_row(s->y + along, 4 * s->x + first, byte);
}

static void load_row(qpu *q, const load_shape *s, uint32_t row, const uint8_t *memory, cycles end)
{
    struct v3d *gpu = q->gpu;
    uint32_t step = s->mode.width; /* a unit never spans words */
    for (uint32_t b = 0; b < s->units * step; b += step) {
        uint32_t to = load_byte(s, row, b);
        check_not_in_use(q, to / 4, gpu->vpm_storing, "store");
        memcpy((uint8_t *)gpu->vpm + to, memory + b, step);
        gpu->vpm_loading[to / 4] = end;
    }
}

void dma_start_load(qpu *q, uint32_t bus)
{
    struct v3d *gpu = q->gpu;
    load_shape s = shape_of_load(q);
    uint32_t bytes = s.units * s.mode.width;
    check_alignment(q, "load", bus, s.pitch, s.mode.width);
    dma_commit_store(gpu, q->now);
    cycles end = transfer_end(gpu, q->now, &gpu->load.costs, s.rows, bytes, bus, s.pitch);
    for (uint32_t r = 0; r < s.rows; r++)
        load_row(q, &s, r, row_memory(q, "load", bus + r * s.pitch, bytes), end);
    trace_busy(gpu, V3D_TRACK_VDR, q->now, end, bus);
    gpu->load.free = q->vpm.load_done = end;
    promise_next(gpu, LOAD_ENGINE, end);
    gpu->result->dma_loads++;
    gpu->result->dma_load_rows += s.rows;
    gpu->result->dma_load_bytes += s.rows * bytes;
}

/* ---- store ---- */

typedef struct {
    uint32_t rows, units, stride, x, y, horizontal;
    unit_mode mode;
} store_shape;

static store_shape shape_of_store(qpu *q)
{
    uint32_t setup = q->vpm.store_setup, stride = q->vpm.store_stride;
    store_shape s = {
        .rows = or_else(setup >> 23 & 127, 128),
        .units = or_else(setup >> 16 & 127, 128),
        .stride = stride & 0xffffu,
        .x = setup >> 3 & 15,
        .y = setup >> 7 & 63,
        .horizontal = setup >> 14 & 1,
    };
    if (!q->vpm.store_setup_written)
        v3d_fail(q, V3D_HAZARD, "DMA store started without a store setup");
    s.mode = mode_of(q, setup & 7, "store");
    if (setup >> 15 & 1)
        v3d_fail(q, V3D_UNSUPPORTED, "unsupported: laned DMA store (setup 0x%08x); the guide wants bit 15 to be 0", setup);
    if (!s.horizontal && s.x + s.rows > 16)
        v3d_fail(q, V3D_UNSUPPORTED, "unsupported: vertical DMA store past column 15 (setup 0x%08x)", setup);
    return s;
}

/* Each row begins in a VPM row or column of its own, with BLOCKMODE set (bit 16 of the stride setup) as without: VC4C
 * sets it always, and QPULib's stores of 16 rows of one word are right only so. */
static uint32_t store_byte(const store_shape *s, uint32_t row, uint32_t byte)
{
    uint32_t first = s->mode.part * s->mode.width;
    if (s->horizontal)
        return byte_in_row(s->y + row, 4 * s->x + first, byte);
    return byte_in_column(s->x + row, s->y, first, byte);
}

static void store_row(qpu *q, const store_shape *s, uint32_t row, cycles end)
{
    struct v3d *gpu = q->gpu;
    uint32_t step = s->mode.width, bytes = s->units * step;
    for (uint32_t b = 0; b < bytes; b += step) {
        uint32_t from = store_byte(s, row, b);
        check_not_in_use(q, from / 4, gpu->vpm_loading, "load");
        memcpy(gpu->store.data + row * bytes + b, (const uint8_t *)gpu->vpm + from, step);
        gpu->vpm_storing[from / 4] = end;
    }
}

void dma_start_store(qpu *q, uint32_t bus)
{
    struct v3d *gpu = q->gpu;
    dma_engine *engine = &gpu->store;
    store_shape s = shape_of_store(q);
    uint32_t bytes = s.units * s.mode.width, pitch = bytes + s.stride;
    check_alignment(q, "store", bus, pitch, s.mode.width);
    dma_commit_store(gpu, q->now);
    cycles end = transfer_end(gpu, q->now, &engine->costs, s.rows, bytes, bus, pitch);
    for (uint32_t r = 0; r < s.rows; r++) {
        row_memory(q, "store", bus + r * pitch, bytes);
        store_row(q, &s, r, end);
    }
    trace_busy(gpu, V3D_TRACK_VDW, q->now, end, bus);
    engine->pending = 1;
    engine->bus = bus;
    engine->rows = s.rows;
    engine->row_bytes = bytes;
    engine->pitch_bytes = pitch;
    engine->free = q->vpm.store_done = end;
    promise_next(gpu, STORE_ENGINE, end);
    gpu->result->dma_stores++;
    gpu->result->dma_store_rows += s.rows;
    gpu->result->dma_store_bytes += s.rows * bytes;
}

void dma_commit_store(struct v3d *gpu, cycles now)
{
    dma_engine *engine = &gpu->store;
    if (!engine->pending || now < engine->free)
        return;
    engine->pending = 0;
    for (uint32_t r = 0; r < engine->rows; r++) {
        uint32_t bus = engine->bus + r * engine->pitch_bytes;
        memcpy(memory_at(gpu, bus, engine->row_bytes), engine->data + r * engine->row_bytes, engine->row_bytes);
        memory_mark_stale(gpu, bus, engine->row_bytes);
    }
}
