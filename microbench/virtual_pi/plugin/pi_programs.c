#define _GNU_SOURCE

#include "pi_programs.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "emulator.h"
#include "pi_board.h"

enum { MOST_COMMAND_BYTES = 1 << 16 };

static uint64_t pointer_at(uint64_t base, uint64_t array, unsigned bytes, size_t place)
{
    uint64_t pointer = 0;
    memcpy(&pointer, (const void *)(uintptr_t)(base + array + bytes * place), bytes); /* little-endian, as this machine */
    return pointer;
}

static char **strings_at(uint64_t base, uint64_t array, unsigned bytes)
{
    size_t count = 0;
    while (array && pointer_at(base, array, bytes, count))
        ++count;
    char **strings = calloc(count + 1, sizeof *strings);
    for (size_t i = 0; strings && i < count; ++i)
        strings[i] = (char *)(uintptr_t)(base + pointer_at(base, array, bytes, i));
    return strings;
}

void pi_programs_execute(uint64_t base, uint64_t path, uint64_t arguments, uint64_t environment, unsigned pointer_bytes)
{
    char board[PI_PATH_BYTES];
    char **words = strings_at(base, arguments, pointer_bytes), **settings = strings_at(base, environment, pointer_bytes);
    pi_board_path("", board);
    if (words && settings)
        emulator_become(board, (const char *)(uintptr_t)(base + path), words, settings);
    free(words);
    free(settings);
}

/* The program of a command line of the emulator's: the word behind the first pair of options' end. */
static const char *program_of(const char *words, size_t bytes)
{
    const char *end = words + bytes, *at = words + strnlen(words, bytes) + 1;
    while (at < end && *at == '-') {
        at += strlen(at) + 1;
        if (at < end)
            at += strlen(at) + 1;
    }
    return at < end ? at : NULL;
}

static const char *program_running(const char *process, char *words)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%s/cmdline", process);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t got = file >= 0 ? read(file, words, MOST_COMMAND_BYTES - 1) : -1;
    if (file >= 0)
        close(file);
    if (got <= 0)
        return NULL;
    words[got] = '\0';
    return program_of(words, (size_t)got);
}

void pi_programs_read_link(char *path)
{
    static char own_words[MOST_COMMAND_BYTES], its_words[MOST_COMMAND_BYTES];
    static const char self[] = "/proc/self/exe";
    char process[16];
    int end = 0;
    if (sscanf(path, "/proc/%15[0-9]/exe%n", process, &end) != 1 || end == 0 || path[end] || strlen(path) + 1 < sizeof self)
        return;
    const char *own = program_running("self", own_words), *its = program_running(process, its_words);
    if (own && its && strcmp(own, its) == 0)
        memcpy(path, self, sizeof self);
}
