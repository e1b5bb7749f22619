/*
 * What programs of this machine are preloaded with where they stand for the board's own (sh, cat, uname, df): they see
 * the board's files and machine, and programs of the board that they start are emulated.
 *
 *   VIRTUAL_PI=BOARD LD_PRELOAD=session.so sh -c COMMAND
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "emulator.h"

#define SHOWN __attribute__((visibility("default")))
#define BOARD "VIRTUAL_PI"

enum { PATH_BYTES = 4096, MOST_SETTINGS = 64 };

static const char *board(void)
{
    const char *directory = getenv(BOARD);
    return directory ? directory : "";
}

/* The first line of a file of the board's; empty where there is none. */
static void read_line(const char *name, char *line, size_t bytes)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", board(), name);
    FILE *file = fopen(path, "re");
    if (!file || !fgets(line, (int)bytes, file))
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (file)
        fclose(file);
}

/* Of what the kernel shows of a machine the board's own, where it has it. */
static const char *shown(const char *path, char *own)
{
    if (strncmp(path, "/proc/", 6) != 0 && strncmp(path, "/sys/", 5) != 0 && strncmp(path, "/dev/", 5) != 0 &&
        strncmp(path, "/boot/", 6) != 0)
        return path;
    snprintf(own, PATH_BYTES, "%s/sysroot%s", board(), path);
    int (*next)(const char *, int) = dlsym(RTLD_NEXT, "access");
    return next(own, F_OK) == 0 ? own : path;
}

static int is_ours(const char *setting)
{
    return strncmp(setting, BOARD "=", sizeof BOARD) == 0 || strncmp(setting, "LD_PRELOAD=", 11) == 0;
}

/* The board's programs know nothing of how they are run. */
static void become(const char *path, char *const *arguments, char *const *environment)
{
    char *settings[MOST_SETTINGS + 1];
    size_t count = 0;
    for (size_t i = 0; environment[i] && count < MOST_SETTINGS; ++i)
        if (!is_ours(environment[i]))
            settings[count++] = environment[i];
    settings[count] = NULL;
    emulator_become(board(), path, arguments, settings);
}

SHOWN int execve(const char *path, char *const arguments[], char *const environment[])
{
    int (*next)(const char *, char *const *, char *const *) = dlsym(RTLD_NEXT, "execve");
    become(path, arguments, environment);
    return next(path, arguments, environment);
}

SHOWN int uname(struct utsname *told)
{
    int (*next)(struct utsname *) = dlsym(RTLD_NEXT, "uname");
    const int failed = next(told);
    if (!failed) {
        read_line("machine", told->machine, sizeof told->machine);
        read_line("release", told->release, sizeof told->release);
    }
    return failed;
}

#define OPEN_OF(name) \
    SHOWN int name(const char *path, int flags, ...) \
    { \
        char own[PATH_BYTES]; \
        int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, #name); \
        va_list rest; \
        va_start(rest, flags); \
        const unsigned mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, unsigned) : 0; \
        va_end(rest); \
        return next(shown(path, own), flags, mode); \
    }

OPEN_OF(open)
OPEN_OF(open64)

#define STATUS_OF(name, kind) \
    SHOWN int name(const char *path, kind *status) \
    { \
        char own[PATH_BYTES]; \
        int (*next)(const char *, kind *) = dlsym(RTLD_NEXT, #name); \
        return next(shown(path, own), status); \
    }

STATUS_OF(stat, struct stat)
STATUS_OF(stat64, struct stat64)
STATUS_OF(lstat, struct stat)
STATUS_OF(lstat64, struct stat64)

SHOWN int statx(int directory, const char *path, int flags, unsigned mask, struct statx *status)
{
    char own[PATH_BYTES];
    int (*next)(int, const char *, int, unsigned, struct statx *) = dlsym(RTLD_NEXT, "statx");
    return next(directory, shown(path, own), flags, mask, status);
}

SHOWN int access(const char *path, int mode)
{
    char own[PATH_BYTES];
    int (*next)(const char *, int) = dlsym(RTLD_NEXT, "access");
    return next(shown(path, own), mode);
}

SHOWN int faccessat(int directory, const char *path, int mode, int flags)
{
    char own[PATH_BYTES];
    int (*next)(int, const char *, int, int) = dlsym(RTLD_NEXT, "faccessat");
    return next(directory, shown(path, own), mode, flags);
}
