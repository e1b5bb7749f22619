/* The DMA engines between VPM and memory: load (VDR) and store (VDW), one transfer each at a time for all QPUs
 * (guide section 7, tables 34 to 37; errata: the store's stride has 16 bits). 32-bit elements only.
 *
 * A transfer takes a set-up time and a time for each row, both measured on silicon, and its bytes move through the
 * SDRAM port beside everybody else's. A store's words reach memory when it ends, past L2 and the TMU caches.
 */
#include <string.h>

#include "internal.h"

enum { ROW_WORDS = 16 }; /* of the measured rows; shorter ones cost the same (assumed) */

static double row_time(double row, uint32_t words)
{
    return words > ROW_WORDS ? row * words / ROW_WORDS : row;
}

static cycles transfer_end(struct v3d *gpu, cycles start, double setup, double row, uint32_t rows, uint32_t words)
{
    double time = (double)start + setup;
    for (uint32_t r = 0; r < rows; r++) {
        double moved = (double)bandwidth_take(&gpu->sdram, (cycles)time, 4.0 * words);
        time += row_time(row, words);
        if (moved > time)
            time = moved;
    }
    return (cycles)(time + 0.999);
}

int dma_can_start(qpu *q, int store)
{
    dma_engine *engine = store ? &q->gpu->store : &q->gpu->load;
    if (engine->free <= q->now)
        return 1;
    if (q->gpu->strict && (store ? q->vpm.store_done : q->vpm.load_done) > q->now)
        v3d_fail(q, V3D_HAZARD, "DMA %s started while this QPU's one before has not ended; wait for it first",
                 store ? "store" : "load");
    stall_until(q, engine->free, CAUSE_DMA);
    return 0;
}

static void check_alignment(qpu *q, const char *what, uint32_t bus, uint32_t pitch)
{
    if ((bus | pitch) & 3)
        v3d_fail(q, V3D_UNSUPPORTED, "unsupported: DMA %s at 0x%08x with row pitch %u, not a multiple of 4", what, bus, pitch);
}

static uint8_t *row_memory(qpu *q, const char *what, uint32_t bus, uint32_t words)
{
    uint8_t *memory = memory_at(q->gpu, bus, 4 * words);
    if (memory == NULL)
        v3d_fail(q, V3D_STRAY, "stray access: DMA %s of %u words at 0x%08x lies outside the allocations", what, words, bus);
    return memory;
}

/* ---- load ---- */

static uint32_t or_else(uint32_t value, uint32_t when_zero)
{
    return value ? value : when_zero;
}

typedef struct {
    uint32_t rows, words, pitch, vpm_pitch, x, y, vertical;
} load_shape;

static load_shape shape_of_load(qpu *q)
{
    uint32_t setup = q->vpm.load_setup, memory_pitch = setup >> 24 & 15;
    load_shape s = {
        .rows = or_else(setup >> 16 & 15, 16),
        .words = or_else(setup >> 20 & 15, 16),
        .pitch = memory_pitch ? 8u << memory_pitch : q->vpm.load_pitch,
        .vpm_pitch = or_else(setup >> 12 & 15, 16),
        .x = setup & 15,
        .y = setup >> 4 & 63,
        .vertical = setup >> 11 & 1,
    };
    if (!q->vpm.load_setup_written)
        v3d_fail(q, V3D_HAZARD, "DMA load started without a load setup");
    if ((setup >> 28 & 7) != 0)
        v3d_fail(q, V3D_UNSUPPORTED, "unsupported: DMA load of 8 or 16-bit elements (setup 0x%08x)", setup);
    uint32_t last = s.vertical ? s.x + (s.rows - 1) * s.vpm_pitch : s.x + s.words - 1;
    if (last > 15)
        v3d_fail(q, V3D_UNSUPPORTED, "unsupported: DMA load past column 15 of the VPM (setup 0x%08x)", setup);
    return s;
}

static uint32_t load_word(const load_shape *s, uint32_t row, uint32_t word)
{
    if (s->vertical)
        return ((s->y + word) & 63) * 16 + s->x + row * s->vpm_pitch;
    return ((s->y + row * s->vpm_pitch) & 63) * 16 + s->x + word;
}

static void check_not_in_use(qpu *q, uint32_t word, const cycles *use, const char *by)
{
    if (q->gpu->strict && use[word] > q->now)
        v3d_fail(q, V3D_HAZARD, "VPM row %u is in use by a DMA %s that has not ended", word / 16, by);
}

void dma_start_load(qpu *q, uint32_t bus)
{
    struct v3d *gpu = q->gpu;
    load_shape s = shape_of_load(q);
    check_alignment(q, "load", bus, s.pitch);
    dma_commit_store(gpu, q->now);
    cycles end = transfer_end(gpu, q->now, gpu->vdr_setup, gpu->vdr_row, s.rows, s.words);
    for (uint32_t r = 0; r < s.rows; r++) {
        const uint8_t *memory = row_memory(q, "load", bus + r * s.pitch, s.words);
        for (uint32_t w = 0; w < s.words; w++) {
            uint32_t word = load_word(&s, r, w);
            check_not_in_use(q, word, gpu->vpm_storing, "store");
            memcpy(&gpu->vpm[word], memory + 4 * w, 4);
            gpu->vpm_loading[word] = end;
        }
    }
    gpu->load.free = q->vpm.load_done = end;
    gpu->result->dma_loads++;
    gpu->result->dma_load_bytes += 4u * s.rows * s.words;
}

/* ---- store ---- */

typedef struct {
    uint32_t rows, words, stride, packed, x, y, horizontal;
} store_shape;

static store_shape shape_of_store(qpu *q)
{
    uint32_t setup = q->vpm.store_setup, stride = q->vpm.store_stride;
    store_shape s = {
        .rows = or_else(setup >> 23 & 127, 128),
        .words = or_else(setup >> 16 & 127, 128),
        .stride = stride & 0xffffu,
        .packed = stride >> 16 & 1,
        .x = setup >> 3 & 15,
        .y = setup >> 7 & 63,
        .horizontal = setup >> 14 & 1,
    };
    if (!q->vpm.store_setup_written)
        v3d_fail(q, V3D_HAZARD, "DMA store started without a store setup");
    if ((setup & 7) != 0)
        v3d_fail(q, V3D_UNSUPPORTED, "unsupported: DMA store of 8 or 16-bit elements (setup 0x%08x)", setup);
    if (!s.horizontal && (s.packed || s.x + s.rows > 16))
        v3d_fail(q, V3D_UNSUPPORTED, "unsupported: vertical DMA store in block mode or past column 15 (setup 0x%08x)", setup);
    return s;
}

static uint32_t store_word(const store_shape *s, uint32_t row, uint32_t word)
{
    if (!s->horizontal)
        return ((s->y + word) & 63) * 16 + s->x + row;
    return (s->y * 16 + s->x + row * (s->packed ? s->words : 16) + word) & 1023;
}

void dma_start_store(qpu *q, uint32_t bus)
{
    struct v3d *gpu = q->gpu;
    dma_engine *engine = &gpu->store;
    store_shape s = shape_of_store(q);
    uint32_t pitch = 4 * s.words + s.stride;
    check_alignment(q, "store", bus, pitch);
    dma_commit_store(gpu, q->now);
    cycles end = transfer_end(gpu, q->now, gpu->vdw_setup, gpu->vdw_row, s.rows, s.words);
    for (uint32_t r = 0; r < s.rows; r++) {
        row_memory(q, "store", bus + r * pitch, s.words);
        for (uint32_t w = 0; w < s.words; w++) {
            uint32_t word = store_word(&s, r, w);
            check_not_in_use(q, word, gpu->vpm_loading, "load");
            engine->data[r * s.words + w] = gpu->vpm[word];
            gpu->vpm_storing[word] = end;
        }
    }
    engine->pending = 1;
    engine->bus = bus;
    engine->rows = s.rows;
    engine->row_words = s.words;
    engine->pitch_bytes = pitch;
    engine->free = q->vpm.store_done = end;
    gpu->result->dma_stores++;
    gpu->result->dma_store_bytes += 4u * s.rows * s.words;
}

void dma_commit_store(struct v3d *gpu, cycles now)
{
    dma_engine *engine = &gpu->store;
    if (!engine->pending || now < engine->free)
        return;
    engine->pending = 0;
    for (uint32_t r = 0; r < engine->rows; r++) {
        uint32_t bus = engine->bus + r * engine->pitch_bytes;
        uint8_t *memory = memory_at(gpu, bus, 4 * engine->row_words);
        memcpy(memory, engine->data + r * engine->row_words, 4 * engine->row_words);
        memory_mark_stale(gpu, bus, 4 * engine->row_words);
    }
}
