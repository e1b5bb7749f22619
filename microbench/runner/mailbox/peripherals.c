#define _GNU_SOURCE

#include "peripherals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "protocol.h"
#include "registers.h"
#include "requests.h"

#define V3D_BUS 0x7ec00000u /* guide, chapter "V3D Registers": the base address on the BCM2835 */
#define MEMORY "/dev/mem"

enum { CELL = 4, CELLS = 3, MOST_CELLS = 2, TREE_BYTES = 1024, PATH_BYTES = 4096 };

static uint64_t cells_at(const uint8_t *place, uint32_t count)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < CELL * count; ++i)
        value = value << 8 | place[i];
    return value;
}

uint64_t peripheral_address(const uint8_t *ranges, size_t bytes, const uint32_t cells[3], uint64_t bus)
{
    const size_t entry = CELL * ((size_t)cells[0] + cells[1] + cells[2]);
    for (size_t at = 0; entry > 0 && at + entry <= bytes; at += entry) {
        const uint64_t child = cells_at(ranges + at, cells[0]);
        const uint64_t parent = cells_at(ranges + at + CELL * (size_t)cells[0], cells[1]);
        const uint64_t size = cells_at(ranges + at + CELL * ((size_t)cells[0] + cells[1]), cells[2]);
        if (bus >= child && bus - child < size)
            return parent + (bus - child);
    }
    return 0;
}

static ssize_t read_property(const char *tree, const char *name, uint8_t *content, size_t room)
{
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/%s", tree, name) >= (int)sizeof path)
        return -1;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t got = file >= 0 ? read(file, content, room) : -1;
    if (file >= 0)
        close(file);
    return got;
}

static int read_address(const char *tree, uint64_t *address, backend_message *why)
{
    static const char *const names[CELLS] = {"soc/#address-cells", "#address-cells", "soc/#size-cells"};
    uint32_t cells[CELLS];
    uint8_t word[CELL], ranges[TREE_BYTES];
    for (int i = 0; i < CELLS; ++i) {
        const int there = read_property(tree, names[i], word, sizeof word) == CELL;
        cells[i] = there ? (uint32_t)cells_at(word, 1) : 0;
        if (cells[i] == 0 || cells[i] > MOST_CELLS)
            return fail(why, FAULT_BOARD, "%s/%s does not tell where the peripherals are; launch by the mailbox", tree,
                        names[i]);
    }
    const ssize_t bytes = read_property(tree, "soc/ranges", ranges, sizeof ranges);
    *address = bytes > 0 ? peripheral_address(ranges, (size_t)bytes, cells, V3D_BUS) : 0;
    return *address ? 0
                    : fail(why, FAULT_BOARD,
                           "%s/soc/ranges does not tell where the V3D block is; launch by the mailbox", tree);
}

int map_v3d(const char *tree, volatile uint32_t **registers, backend_message *why)
{
    uint64_t address = 0;
    const int fault = read_address(tree, &address, why);
    if (fault)
        return fault;
    const int memory = open(MEMORY, O_RDWR | O_SYNC | O_CLOEXEC);
    void *mapped = MAP_FAILED;
    if (memory >= 0)
        mapped = mmap(NULL, V3D_REGISTER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory, (off_t)address);
    const int error = errno;
    if (memory >= 0)
        close(memory);
    if (mapped == MAP_FAILED)
        return fail(why, FAULT_BOARD,
                    "the V3D registers at 0x%08llx of " MEMORY " cannot be mapped: %s; run as root, without a kernel "
                    "that locks it, or launch by the mailbox",
                    (unsigned long long)address, strerror(error));
    *registers = mapped;
    return 0;
}

void unmap_v3d(volatile uint32_t *registers) { munmap((void *)(uintptr_t)registers, V3D_REGISTER_BYTES); }
