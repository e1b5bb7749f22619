/* Where a Raspberry Pi has the registers of its V3D block. */
#ifndef EXPLORE_RUNNER_PERIPHERALS_H
#define EXPLORE_RUNNER_PERIPHERALS_H

#include <stddef.h>
#include <stdint.h>

#include "backend.h"

/*
 * The ARM's address of a peripheral's bus address, by the map `ranges` of the device tree's node /soc: big-endian words,
 * for each range `child_cells` of bus address, `parent_cells` of ARM address and `size_cells` of size
 * (Devicetree Specification, section 2.3.8). 0 where no range holds it.
 */
uint64_t peripheral_address(const uint8_t *ranges, size_t bytes, const uint32_t cells[3], uint64_t bus);

/* Maps the registers; `tree` is the device tree's directory. FAULT_BOARD where it does not tell or they cannot be mapped. */
int map_v3d(const char *tree, volatile uint32_t **registers, backend_message *why);
void unmap_v3d(volatile uint32_t *registers);

#endif
