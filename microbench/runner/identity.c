#define _GNU_SOURCE

#include "identity.h"

#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 4096, LINE_BYTES = 512 };

static FILE *open_below(const char *root, const char *path)
{
    char whole[PATH_BYTES];
    return snprintf(whole, sizeof whole, "%s%s", root, path) < (int)sizeof whole ? fopen(whole, "r") : NULL;
}

/* The first line of a file without its end; properties of the device tree end with a zero byte instead. */
static void read_line(const char *root, const char *path, char *text, size_t bytes)
{
    FILE *file = open_below(root, path);
    const char *got = file ? fgets(text, (int)bytes, file) : NULL;
    text[got ? strcspn(text, "\n") : 0] = '\0';
    if (file)
        fclose(file);
}

/* The value of the first line of /proc/cpuinfo with this key; empty where there is none. */
static void read_cpuinfo(const char *root, const char *key, char *text, size_t bytes)
{
    char line[LINE_BYTES];
    FILE *file = open_below(root, "/proc/cpuinfo");
    text[0] = '\0';
    while (file && !text[0] && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (!colon || strncmp(line, key, strlen(key)) != 0)
            continue;
        const char *value = colon + 1 + strspn(colon + 1, " ");
        snprintf(text, bytes, "%.*s", (int)strcspn(value, "\n"), value);
    }
    if (file)
        fclose(file);
}

void read_cpu_model(const char *root, char *text, size_t bytes)
{
    static const char *const keys[] = {"Model", "model name", "Hardware"};
    text[0] = '\0';
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !text[0]; ++i)
        read_cpuinfo(root, keys[i], text, bytes);
    if (!text[0])
        snprintf(text, bytes, "unknown");
}

void read_board_model(const char *root, char *text, size_t bytes)
{
    read_line(root, "/proc/device-tree/model", text, bytes);
}

/* Systems without a number of their own, virtual machines for instance, have zeros in its place. */
static int tells_nothing(const char *serial) { return serial[strspn(serial, "0 ")] == '\0'; }

void read_serial(const char *root, char *text, size_t bytes)
{
    read_line(root, "/proc/device-tree/serial-number", text, bytes);
    if (tells_nothing(text))
        read_cpuinfo(root, "Serial", text, bytes);
    if (tells_nothing(text))
        read_line(root, "/etc/machine-id", text, bytes);
    if (tells_nothing(text))
        text[0] = '\0';
}
