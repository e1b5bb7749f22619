/* VPM and its access by QPUs (guide section 7, tables 32 and 33; errata "QPU Reading and Writing of VPM"). */
#include <string.h>

#include "internal.h"

enum { SIZE_8 = 0, SIZE_16 = 1, SIZE_32 = 2 };

typedef struct {
    uint32_t word, shift, mask;
} place;

/* Where lane `lane` of the vector at `address` lies. 8 and 16 bits: packed in successive words, or laned. */
static place locate(uint32_t setup, uint32_t address, uint32_t lane)
{
    uint32_t size = setup >> 8 & 3, laned = setup >> 10 & 1, horizontal = setup >> 11 & 1;
    uint32_t parts = size == SIZE_32 ? 1 : size == SIZE_16 ? 2 : 4, width = 32 / parts;
    uint32_t part = address % parts, vector = address / parts & 63;
    uint32_t index = lane, sub = part;
    if (parts > 1 && !laned) {
        index = part * (16 / parts) + lane / parts;
        sub = lane % parts;
    }
    place p = {0, sub * width, width == 32 ? UINT32_MAX : (1u << width) - 1};
    if (horizontal)
        p.word = vector * 16 + index;
    else
        p.word = ((vector & 0x30u) + index) * 16 + (vector & 15);
    return p;
}

/* Horizontal vectors of words are rows as they are. */
static uint32_t *whole_row(struct v3d *gpu, uint32_t setup, uint32_t address)
{
    return (setup >> 8 & 11) == 10 ? &gpu->vpm[(address & 63) * 16] : NULL;
}

static uint32_t next_address(uint32_t setup, uint32_t address)
{
    uint32_t stride = setup >> 12 & 63;
    return (address + (stride ? stride : 64)) & 255;
}

static void check_format(qpu *q, uint32_t setup)
{
    if ((setup >> 8 & 3) == 3)
        v3d_fail(q, V3D_UNSUPPORTED, "reserved VPM vector size in setup 0x%08x", setup);
}

static void check_word(qpu *q, uint32_t word, int writes)
{
    struct v3d *gpu = q->gpu;
    if (gpu->vpm_loading[word] > q->now)
        broken_rule(q, "VPM row %u is accessed while a DMA load writes it; wait for the load first", word / 16);
    if (writes && gpu->vpm_storing[word] > q->now)
        broken_rule(q, "VPM row %u is written while a DMA store reads it; wait for the store first", word / 16);
}

static int engines_idle(const struct v3d *gpu, cycles now)
{
    return gpu->load.free <= now && gpu->store.free <= now;
}

static void read_vector(qpu *q, vec *r)
{
    vpm_port *port = &q->vpm;
    int idle = engines_idle(q->gpu, q->now);
    const uint32_t *row = whole_row(q->gpu, port->read_setup, port->read_address);
    if (row != NULL && idle)
        memcpy(r->w, row, sizeof r->w);
    for (uint32_t lane = 0; lane < 16 && (row == NULL || !idle); lane++) {
        place p = locate(port->read_setup, port->read_address, lane);
        if (!idle)
            check_word(q, p.word, 0);
        r->w[lane] = q->gpu->vpm[p.word] >> p.shift & p.mask;
    }
    port->read_address = next_address(port->read_setup, port->read_address);
    port->reads_left--;
}

/* The VPM serves one vector at a time. */
static cycles take_port(struct v3d *gpu, cycles now)
{
    cycles start = later(now, gpu->vpm_free);
    gpu->vpm_free = start + gpu->vpm_vector;
    return start;
}

static void setup_block_read(qpu *q, uint32_t setup)
{
    vpm_port *port = &q->vpm;
    check_format(q, setup);
    if (port->reads_left + port->queued > 1) {
        broken_rule(q, "VPM read setup is ignored: %d vectors of the one before are still to be read",
                    port->reads_left + port->queued);
        return;
    }
    if (port->reads_left == 1) { /* already in the FIFO */
        read_vector(q, &port->queued_vector);
        port->queued_ready = port->read_ready;
        port->queued = 1;
    }
    uint32_t count = setup >> 20 & 15;
    port->reads_left = count ? (int)count : 16;
    port->read_setup = setup;
    port->read_address = setup & 255;
    port->read_ready = q->now + q->gpu->vpm_read;
}

void vpm_read(qpu *q, vec *r)
{
    vpm_port *port = &q->vpm;
    q->gpu->result->vpm_vectors_read++;
    if (port->queued) {
        stall_until(q, port->queued_ready, CAUSE_VPM);
        *r = port->queued_vector;
        port->queued = 0;
        return;
    }
    if (port->reads_left == 0)
        v3d_fail(q, V3D_HAZARD, "VPM read without a read setup that has vectors left");
    stall_until(q, port->read_ready, CAUSE_VPM);
    stall_until(q, take_port(q->gpu, q->now), CAUSE_VPM);
    read_vector(q, r);
}

void vpm_write(qpu *q, const vec *v)
{
    struct v3d *gpu = q->gpu;
    vpm_port *port = &q->vpm;
    if (!port->write_ready)
        v3d_fail(q, V3D_HAZARD, "VPM write before a write setup");
    stall_until(q, port->writes_done[port->write_slot], CAUSE_VPM);
    port->writes_done[port->write_slot] = take_port(gpu, q->now) + gpu->vpm_vector;
    port->write_slot = (port->write_slot + 1) % gpu->vpm_fifo;
    gpu->result->vpm_vectors_written++;
    int idle = engines_idle(gpu, q->now);
    uint32_t *row = whole_row(gpu, port->write_setup, port->write_address);
    if (row != NULL && idle)
        memcpy(row, v->w, sizeof v->w);
    for (uint32_t lane = 0; lane < 16 && (row == NULL || !idle); lane++) {
        place p = locate(port->write_setup, port->write_address, lane);
        if (!idle)
            check_word(q, p.word, 1);
        uint32_t *word = &gpu->vpm[p.word];
        *word = (*word & ~(p.mask << p.shift)) | (v->w[lane] & p.mask) << p.shift;
    }
    port->write_address = next_address(port->write_setup, port->write_address);
}

void vpm_setup_read(qpu *q, uint32_t setup)
{
    vpm_port *port = &q->vpm;
    if (setup >> 30 == 0) {
        setup_block_read(q, setup);
    } else if (setup >> 28 == 9) {
        port->load_pitch = setup & 0x1fffu;
    } else if (setup >> 31) {
        port->load_setup = setup;
        port->load_setup_written = 1;
    } else {
        v3d_fail(q, V3D_UNSUPPORTED, "unknown VPM read setup 0x%08x", setup);
    }
}

void vpm_setup_write(qpu *q, uint32_t setup)
{
    vpm_port *port = &q->vpm;
    switch (setup >> 30) {
    case 0:
        check_format(q, setup);
        port->write_setup = setup;
        port->write_address = setup & 255;
        port->write_ready = 1;
        break;
    case 2:
        port->store_setup = setup;
        port->store_setup_written = 1;
        break;
    case 3:
        port->store_stride = setup;
        break;
    default:
        v3d_fail(q, V3D_UNSUPPORTED, "unknown VPM write setup 0x%08x", setup);
    }
}

void vpm_reset(struct v3d *gpu)
{
    memset(gpu->vpm_loading, 0, sizeof gpu->vpm_loading);
    memset(gpu->vpm_storing, 0, sizeof gpu->vpm_storing);
    gpu->vpm_free = 0;
    gpu->load.free = gpu->store.free = 0;
    gpu->load.pending = gpu->store.pending = 0;
}
