#define _GNU_SOURCE

#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "files.h"
#include "protocol.h"
#include "requests.h"

/* One that is ending, or sweeping before it shares, is waited for; one left behind frees its GPU first. */
enum { WAIT_MS = 1000, TAKE_OVER_MS = 6000, STEP_MS = 20, RECORD_BYTES = 256, PATH_BYTES = 4096 };

static int lock_fd = -1;
static atomic_int recorded; /* what ends the process may leave while it leaves by itself */

/* The first one in cleans up; it then lets others in where they do no harm. 0 when locked. */
static int lock_and_sweep(const char *directory)
{
    if (flock(lock_fd, LOCK_EX | LOCK_NB) == 0) {
        sweep_directory(directory);
        return backend_shares() ? flock(lock_fd, LOCK_SH) : 0;
    }
    return backend_shares() ? flock(lock_fd, LOCK_SH | LOCK_NB) : -1;
}

/* What the lock file says: the process, and in whose name it runs. */
static long read_record(char *holder)
{
    char record[RECORD_BYTES] = "";
    const ssize_t got = pread(lock_fd, record, sizeof record - 1, 0);
    record[got > 0 ? got : 0] = '\0';
    char *name = record;
    const long pid = strtol(record, &name, 10);
    name[strcspn(name, "\n")] = '\0';
    snprintf(holder, RECORD_BYTES, "%s", *name == ' ' ? name + 1 : name);
    return pid;
}

/* A number left in the file may meanwhile be another program's. */
static int is_runner(long pid)
{
    char path[64], own[PATH_BYTES], other[PATH_BYTES];
    snprintf(path, sizeof path, "/proc/%ld/exe", pid);
    const ssize_t mine = readlink("/proc/self/exe", own, sizeof own);
    const ssize_t its = readlink(path, other, sizeof other);
    return mine > 0 && mine == its && memcmp(own, other, (size_t)mine) == 0;
}

/* Ends a runner of the same holder; 1 where there is one, and it is worth waiting longer. */
static int end_own(const char *holder)
{
    char name[RECORD_BYTES];
    const long pid = read_record(name);
    return *holder && strcmp(holder, name) == 0 && pid > 1 && is_runner(pid) && kill((pid_t)pid, SIGTERM) == 0;
}

static int refused(backend_message *why)
{
    char name[RECORD_BYTES];
    const long pid = read_record(name);
    return fail(why, FAULT_BUSY, "process %ld there serves another host (%s)", pid, *name ? name : "of no name");
}

static int write_record(const char *path, const char *holder, backend_message *why)
{
    char record[RECORD_BYTES];
    const int length = snprintf(record, sizeof record, "%ld %s\n", (long)getpid(), holder);
    if (length >= (int)sizeof record)
        return fail(why, FAULT_BOARD, "the holder's name is too long");
    if (ftruncate(lock_fd, 0) != 0 || pwrite(lock_fd, record, (size_t)length, 0) != length)
        return fail_to_write(path, (uint64_t)length, why);
    atomic_store(&recorded, !backend_shares());
    return 0;
}

int lock_take(const char *directory, const char *holder, backend_message *why)
{
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/lock", directory) >= (int)sizeof path)
        return fail(why, FAULT_BOARD, "the runner's directory has too long a name");
    lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock_fd < 0)
        return fail_to_write(path, 0, why);
    const struct timespec step = {0, STEP_MS * 1000000L};
    int limit_ms = WAIT_MS, ended = 0;
    for (int waited_ms = 0; lock_and_sweep(directory) != 0; waited_ms += STEP_MS) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fail(why, FAULT_BOARD, "cannot lock %s: %s", path, strerror(errno));
        if (!ended && end_own(holder)) {
            ended = 1;
            limit_ms = TAKE_OVER_MS;
        }
        if (waited_ms >= limit_ms)
            return refused(why);
        nanosleep(&step, NULL);
    }
    return write_record(path, holder, why);
}

void lock_leave(void)
{
    if (atomic_exchange(&recorded, 0) && ftruncate(lock_fd, 0) != 0)
        atomic_store(&recorded, 1);
}
