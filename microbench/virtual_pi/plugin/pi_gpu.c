#define _GNU_SOURCE

#include "pi_gpu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h" /* of the simulator: the memory that it computes on is exchanged for the guest's */
#include "stand_in.h"

#define CONSTANTS "board.constants"
#define MEMORY "sysroot/dev/mem"

enum { STRICT = 1, PAGE = 4096, GUARD = PAGE };

/* Flags of an allocation, and where the ARM of a BCM2835 sees memory that is not cached in the system's L2. */
#define FLAG_CACHED 0x8u
#define BUS_ALIAS 0xC0000000u
#define BCM2835_DIRECT_OFFSET 0x20000000u

static const double LONGEST_S = 10.0; /* of simulated time: who launches by registers has a limit of its own */

static stand_in board;
static int is_read; /* 1: there is a V3D, -1: there is none */
static uint8_t *memory;

int pi_gpu_is_bcm2835(void)
{
    const uint32_t revision = (uint32_t)pi_conditions_after(0).board_revision;
    return !(revision >> 23 & 1) || (revision >> 12 & 0xF) == 0;
}

int pi_gpu_there(void)
{
    char path[PI_PATH_BYTES];
    pi_board_path(CONSTANTS, path);
    if (is_read == 0)
        is_read = stand_in_read(path, &board) == 0 ? 1 : -1;
    return is_read > 0;
}

static uint32_t align_up(uint32_t value, uint32_t align) { return (value + align - 1) / align * align; }

static pi_block *find(pi_state *state, uint32_t handle)
{
    for (int i = 0; i < PI_MOST_BLOCKS; ++i)
        if (handle && state->blocks[i].handle == handle)
            return &state->blocks[i];
    return NULL;
}

/* The lowest place with room; blocks keep the order of their addresses. */
uint32_t pi_gpu_allocate(pi_state *state, uint32_t bytes, uint32_t align, uint32_t flags)
{
    const uint64_t end = (uint64_t)MEMORY_BUS + (uint64_t)board.config.gpu_memory_bytes;
    uint32_t bus = MEMORY_BUS;
    int place = 0;
    align = align < PAGE ? PAGE : align;
    if (bytes == 0 || bytes > end - MEMORY_BUS || align > end - MEMORY_BUS || state->blocks[PI_MOST_BLOCKS - 1].handle)
        return 0;
    bus = align_up(bus, align);
    while (state->blocks[place].handle && (uint64_t)bus + bytes + GUARD > state->blocks[place].bus) {
        bus = align_up(align_up(state->blocks[place].bus + state->blocks[place].bytes, PAGE) + GUARD, align);
        ++place;
    }
    if ((uint64_t)bus + bytes > end)
        return 0;
    memmove(&state->blocks[place + 1], &state->blocks[place],
            (PI_MOST_BLOCKS - 1 - (size_t)place) * sizeof *state->blocks);
    state->blocks[place] = (pi_block){++state->last_handle, bus, bytes, flags, 0};
    return state->last_handle;
}

uint32_t pi_gpu_lock(pi_state *state, uint32_t handle)
{
    pi_block *block = find(state, handle);
    if (!block)
        return 0;
    block->locked = 1;
    return block->bus;
}

int pi_gpu_unlock(pi_state *state, uint32_t handle)
{
    pi_block *block = find(state, handle);
    if (!block || !block->locked)
        return -1;
    block->locked = 0;
    return 0;
}

int pi_gpu_release(pi_state *state, uint32_t handle)
{
    pi_block *block = find(state, handle);
    if (!block)
        return -1;
    const size_t behind = (size_t)(state->blocks + PI_MOST_BLOCKS - 1 - block);
    memmove(block, block + 1, behind * sizeof *block);
    memset(&state->blocks[PI_MOST_BLOCKS - 1], 0, sizeof *block);
    return 0;
}

/* The pages of the guest's /dev/mem, at the same distance from `memory` as the V3D sees them from the memory's start. */
static int map_block(int file, const pi_block *block)
{
    const uint32_t offset = pi_gpu_is_bcm2835() && !(block->flags & FLAG_CACHED) ? BCM2835_DIRECT_OFFSET : 0;
    const uint32_t physical = (block->bus + offset) & ~BUS_ALIAS;
    void *place = memory + (block->bus - MEMORY_BUS);
    return mmap(place, align_up(block->bytes, PAGE), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file,
                (off_t)physical) == place
               ? 0
               : -1;
}

static int map_blocks(const pi_state *state)
{
    char path[PI_PATH_BYTES];
    const size_t size = (size_t)board.config.gpu_memory_bytes;
    pi_board_path(MEMORY, path);
    const int file = open(path, O_RDWR | O_CLOEXEC);
    memory = file >= 0 ? mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) : MAP_FAILED;
    int failed = memory == MAP_FAILED;
    for (int i = 0; !failed && i < PI_MOST_BLOCKS && state->blocks[i].handle; ++i)
        failed = state->blocks[i].locked && map_block(file, &state->blocks[i]) != 0;
    if (failed)
        pi_log("%s: %s", path, strerror(errno));
    if (file >= 0)
        close(file);
    return failed;
}

/* The simulated core keeps a list of its own, in ascending order: it gets the blocks that are locked. */
static int give_blocks(v3d *gpu, const pi_state *state)
{
    allocation **place = &gpu->allocations;
    for (int i = 0; i < PI_MOST_BLOCKS && state->blocks[i].handle; ++i) {
        if (!state->blocks[i].locked)
            continue;
        *place = malloc(sizeof **place);
        if (!*place)
            return -1;
        **place = (allocation){state->blocks[i].bus, state->blocks[i].bytes, NULL, NULL};
        place = &(*place)->next;
    }
    return 0;
}

/* `bus`: an address in the launch's memory, which tells how that is cached. */
static v3d *new_core(const pi_state *state, const pi_conditions *now, uint32_t bus)
{
    stand_in built = board;
    if (now->v3d_clock_hz > 0.0)
        built.config.clock_hz = now->v3d_clock_hz;
    built.config.memory_is_cached = 0;
    for (int i = 0; i < PI_MOST_BLOCKS && state->blocks[i].handle; ++i)
        if (bus >= state->blocks[i].bus && bus - state->blocks[i].bus < state->blocks[i].bytes)
            built.config.memory_is_cached = (state->blocks[i].flags & FLAG_CACHED) != 0;
    v3d *gpu = stand_in_new(&built, STRICT);
    if (!gpu)
        return NULL;
    free(gpu->memory);
    gpu->memory = memory;
    return gpu;
}

static void delete_core(v3d *gpu)
{
    gpu->memory = NULL;
    v3d_delete(gpu);
}

static int run(v3d *gpu, uint32_t qpus, uint32_t control_bus, int keeps_caches, double limit_s, double *time_s)
{
    static v3d_result result;
    const int status = v3d_execute(gpu, qpus, control_bus, keeps_caches, limit_s, 0, &result);
    if (result.stale_reads)
        pi_log("launch: %llu reads of stale cached data, the first of 0x%08x", (unsigned long long)result.stale_reads,
               (unsigned)result.first_stale_bus);
    if (status == V3D_OK) {
        *time_s = stand_in_time_s(&board, result.time_s);
        return 0;
    }
    pi_log("launch: %s", result.message);
    *time_s = limit_s;
    return -1;
}

/* A page of its own behind all others, for the list that the registers' requests make. */
static uint32_t add_control(v3d *gpu, const uint32_t *pairs, uint32_t qpus)
{
    const uint32_t bus = MEMORY_BUS + (uint32_t)board.config.gpu_memory_bytes - PAGE;
    allocation **last = &gpu->allocations;
    uint8_t *page = memory + (bus - MEMORY_BUS);
    while (*last)
        last = &(*last)->next;
    *last = malloc(sizeof **last);
    if (!*last || mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != page)
        return 0;
    **last = (allocation){bus, PAGE, NULL, NULL};
    memcpy(page, pairs, 2 * qpus * sizeof *pairs);
    return bus;
}

/* What is launched: a list in GPU memory at `control_bus`, or where that is 0, `pairs`. */
typedef struct launched {
    uint32_t qpus, control_bus;
    const uint32_t *pairs;
    int keeps_caches;
    double limit_s;
} launched;

static int execute(pi_state *state, const launched *what, double *time_s)
{
    const pi_conditions now = pi_conditions_after(state->launches++);
    int failed = -1;
    *time_s = what->limit_s;
    if (map_blocks(state) != 0)
        return failed;
    v3d *gpu = new_core(state, &now, what->control_bus ? what->control_bus : what->pairs[1]);
    if (gpu && give_blocks(gpu, state) == 0) {
        const uint32_t control = what->control_bus ? what->control_bus : add_control(gpu, what->pairs, what->qpus);
        failed = run(gpu, what->qpus, control, what->keeps_caches, what->limit_s, time_s);
    }
    if (gpu)
        delete_core(gpu);
    munmap(memory, (size_t)board.config.gpu_memory_bytes);
    return failed;
}

int pi_gpu_execute(pi_state *state, uint32_t qpus, uint32_t control_bus, int keeps_caches, double limit_s, double *time_s)
{
    const launched what = {qpus, control_bus, NULL, keeps_caches, limit_s};
    return execute(state, &what, time_s);
}

int pi_gpu_run(pi_state *state, const uint32_t *pairs, uint32_t qpus, double *time_s)
{
    const launched what = {qpus, 0, pairs, 0, LONGEST_S};
    const int failed = execute(state, &what, time_s);
    *time_s -= board.config.launch_overhead_s; /* of the firmware's call */
    return failed;
}
