/*
 * Stands in for a Raspberry Pi: /dev/vcio, /dev/mem, the device tree and the record of GPU memory are files below
 * $FAKE_PI, and what the firmware is asked is written to the file `calls` there, a line each: process, tag, first word (of
 * an allocation its flags). Linked with -Wl,--wrap=open,--wrap=ioctl. While the file `hang-TAG` is there, calls of that
 * tag do not return.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_ioctl(int device, unsigned long call, ...);

static void below(char *path, size_t bytes, const char *rest) { snprintf(path, bytes, "%s%s", getenv("FAKE_PI"), rest); }

int __wrap_open(const char *path, int flags, ...)
{
    char faked[4096];
    va_list rest;
    va_start(rest, flags);
    const unsigned mode = flags & O_CREAT ? va_arg(rest, unsigned) : 0;
    va_end(rest);
    if (strncmp(path, "/dev/vcio", 9) != 0 && strncmp(path, "/dev/mem", 8) != 0 &&
        strncmp(path, "/proc/device-tree", 17) != 0 && strncmp(path, "/run/explore-edge", 17) != 0)
        return __real_open(path, flags, mode);
    below(faked, sizeof faked, path);
    return __real_open(faked, flags & ~O_SYNC, mode);
}

static void note(uint32_t tag, uint32_t word)
{
    char path[4096], line[64];
    below(path, sizeof path, "/calls");
    const int file = __real_open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    const int length = snprintf(line, sizeof line, "%ld %x %u\n", (long)getpid(), (unsigned)tag, (unsigned)word);
    if (write(file, line, (size_t)length) != length)
        abort();
    close(file);
}

static void hang(uint32_t tag)
{
    char path[4096], name[32];
    snprintf(name, sizeof name, "/hang-%x", (unsigned)tag);
    below(path, sizeof path, name);
    while (access(path, F_OK) == 0)
        nanosleep(&(struct timespec){0, 5000000}, NULL);
}

int __wrap_ioctl(int device, unsigned long call, ...)
{
    static uint32_t handles;
    va_list rest;
    va_start(rest, call);
    uint32_t *message = va_arg(rest, uint32_t *);
    va_end(rest);
    uint32_t *value = message + 5;
    note(message[2], message[2] == 0x3000c ? value[2] : *value);
    hang(message[2]);
    message[1] = 0x80000000u;
    message[4] |= 0x80000000u;
    if (message[2] == 0x3000c) /* allocate: a handle */
        *value = 7 + handles++;
    else if (message[2] == 0x3000d) /* lock: a bus address */
        *value = 0xc0000000u | *value << 20;
    else if (message[2] >= 0x3000e && message[2] <= 0x30012) /* unlock, release, execute, enable: done */
        *value = 0;
    else
        message[4] = 0; /* no answer to this question */
    return device < 0 ? -1 : 0;
}
