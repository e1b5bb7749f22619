/* Files of the runner's directory: written whole, read back, removed; a full disk is told from other failures. */
#ifndef EXPLORE_RUNNER_FILES_H
#define EXPLORE_RUNNER_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "backend.h"
#include "wire.h"

#define RUN_PREFIX "run-"

/* Plain names only: no directories, nothing hidden. */
int is_file_name(const char *text);

/* Creates a file with this content; FAULT_FULL or FAULT_BOARD. */
int write_file(const char *directory, const char *name, const uint8_t *data, size_t bytes, backend_message *why);

/* Appends a file's content of at most `limit` bytes; 0 bytes and -1 when it is not there. */
int put_file(writer *answer, const char *directory, const char *name, size_t limit);

/* The fault of a call that wanted to write `needed` bytes at `path` and left errno: FAULT_FULL or FAULT_BOARD. */
int fail_to_write(const char *path, uint64_t needed, backend_message *why);

/* FAULT_FULL where the disk has so little left that what was written there may be cut short; else 0. */
int check_space(const char *directory, backend_message *why);

void remove_tree(const char *path);

/* Removes what earlier runners and broken uploads left behind in the runner's directory. */
void sweep_directory(const char *directory);

#endif
