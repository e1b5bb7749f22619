/* Which machine this is, from the files of its kernel and system below `root` ("" outside of tests). */
#ifndef EXPLORE_RUNNER_IDENTITY_H
#define EXPLORE_RUNNER_IDENTITY_H

#include <stddef.h>

/* "unknown" where /proc/cpuinfo tells no name of a CPU. */
void read_cpu_model(const char *root, char *text, size_t bytes);

/* The board's model by its device tree, as "Raspberry Pi Zero W Rev 1.1"; empty where there is none. */
void read_board_model(const char *root, char *text, size_t bytes);

/*
 * What tells this machine from every other: the serial number by the device tree or /proc/cpuinfo, else
 * /etc/machine-id; empty where there is none of them.
 */
void read_serial(const char *root, char *text, size_t bytes);

#endif
