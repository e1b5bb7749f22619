#define _GNU_SOURCE

#include "sensors.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, NUMBER_BYTES = 64, DECIMAL = 10, HEXADECIMAL = 16 };

/* A sensor that is asleep answers with an error, one that does not know with words: neither is a number. */
static int read_number(const char *path, int base, double *value)
{
    char text[NUMBER_BYTES] = "", *end = text;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t got = file >= 0 ? read(file, text, sizeof text - 1) : -1;
    if (file >= 0)
        close(file);
    text[got > 0 ? got : 0] = '\0';
    *value = (double)strtoll(text, &end, base);
    return end != text && end[strspn(end, " \n")] == '\0';
}

/* The highest number in `directory`/`prefix`N/`file` over all N. */
static int highest(const char *directory, const char *prefix, const char *file, double *value)
{
    const size_t length = strlen(prefix);
    int found = 0;
    DIR *entries = opendir(directory);
    for (struct dirent *entry = entries ? readdir(entries) : NULL; entry; entry = readdir(entries)) {
        char path[PATH_BYTES];
        double number = 0.0;
        if (strncmp(entry->d_name, prefix, length) != 0 || !isdigit((unsigned char)entry->d_name[length]) ||
            snprintf(path, sizeof path, "%s/%s/%s", directory, entry->d_name, file) >= (int)sizeof path ||
            !read_number(path, DECIMAL, &number))
            continue;
        *value = found && *value > number ? *value : number;
        found = 1;
    }
    if (entries)
        closedir(entries);
    return found;
}

static int below(const char *system, const char *rest, char *path)
{
    return snprintf(path, PATH_BYTES, "%s/%s", system, rest) < PATH_BYTES;
}

int read_cpu_clock(const char *system, const char *file, double *hz)
{
    char directory[PATH_BYTES], place[NUMBER_BYTES];
    double khz = 0.0;
    if (!below(system, "devices/system/cpu", directory) ||
        snprintf(place, sizeof place, "cpufreq/%s", file) >= (int)sizeof place ||
        !highest(directory, "cpu", place, &khz) || khz <= 0.0)
        return 0;
    *hz = 1e3 * khz;
    return 1;
}

int read_temperature(const char *system, double *celsius)
{
    char directory[PATH_BYTES];
    double millidegrees = 0.0;
    if (!below(system, "class/thermal", directory) || !highest(directory, "thermal_zone", "temp", &millidegrees))
        return 0;
    *celsius = 1e-3 * millidegrees;
    return 1;
}

int read_throttle_flags(const char *system, double *flags)
{
    char path[PATH_BYTES];
    return below(system, "devices/platform/soc/soc:firmware/get_throttled", path) &&
           read_number(path, HEXADECIMAL, flags) && *flags >= 0.0;
}
