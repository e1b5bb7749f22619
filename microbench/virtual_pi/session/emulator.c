#define _GNU_SOURCE

#include "emulator.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, MOST_BYTES = 16384, MOST_WORDS = 64 };

/* Of the first word, the emulator's path. */
static int machine_of(const char *emulator) { return strstr(emulator, "aarch64") ? EM_AARCH64 : EM_ARM; }

static int is_for(const char *path, int machine)
{
    Elf32_Ehdr header; /* what is read of it is the same in 64 bits */
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    const int whole = file >= 0 && read(file, &header, sizeof header) == (ssize_t)sizeof header;
    if (file >= 0)
        close(file);
    return whole && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_machine == machine;
}

/* One word a line. */
static size_t read_words(const char *board, char *text, char **words)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/emulator", board);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t got = file >= 0 ? read(file, text, MOST_BYTES - 1) : -1;
    if (file >= 0)
        close(file);
    text[got > 0 ? got : 0] = '\0';
    size_t count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, "\n", &rest); word && count < MOST_WORDS; word = strtok_r(NULL, "\n", &rest))
        words[count++] = word;
    return count;
}

void emulator_become(const char *board, const char *path, char *const *arguments, char *const *environment)
{
    static char text[MOST_BYTES];
    char *words[MOST_WORDS];
    size_t given = 0;
    const size_t count = read_words(board, text, words);
    while (arguments[given])
        ++given;
    if (count == 0 || access(path, X_OK) != 0 || !is_for(path, machine_of(words[0])))
        return;
    char **all = calloc(count + given + 4, sizeof *all);
    if (!all)
        return;
    memcpy(all, words, count * sizeof *all);
    size_t at = count;
    all[at++] = "-0";
    all[at++] = given ? arguments[0] : (char *)(size_t)path;
    all[at++] = (char *)(size_t)path;
    for (size_t i = 1; i < given; ++i)
        all[at++] = arguments[i];
    execve(words[0], all, environment);
    free(all);
}
