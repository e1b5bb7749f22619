#define _GNU_SOURCE

#include "guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "firmware.h"
#include "platform.h"

enum { TAG_UNLOCK = 0x3000e, TAG_RELEASE = 0x3000f };
enum { MOST_HANDLES = 64, MOST_DESCRIPTORS = 4096 };

typedef struct record {
    atomic_int in_use;
    atomic_uint handles[MOST_HANDLES]; /* 0: none */
} record;

static record *taken;

static void free_what_is_left(void)
{
    const int device = firmware_open();
    if (device < 0)
        return;
    if (atomic_load(&taken->in_use))
        firmware_enable_qpus(device, 0);
    for (int i = 0; i < MOST_HANDLES; ++i) {
        uint32_t handle = atomic_load(&taken->handles[i]);
        if (handle == 0)
            continue;
        firmware_call(device, TAG_UNLOCK, &handle, 1, 1);
        handle = atomic_load(&taken->handles[i]);
        firmware_call(device, TAG_RELEASE, &handle, 1, 1);
    }
    close(device);
}

/* The SSH server waits for whoever holds the runner's output, the next runner for whoever holds its lock. */
static void close_all_but(int kept)
{
    const long limit = sysconf(_SC_OPEN_MAX);
    for (int fd = 0; fd < (limit > 0 && limit < MOST_DESCRIPTORS ? (int)limit : MOST_DESCRIPTORS); ++fd)
        if (fd != kept)
            close(fd);
}

static void guard(int until_closed)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE};
    for (unsigned i = 0; i < sizeof ignored / sizeof *ignored; ++i)
        signal(ignored[i], SIG_IGN);
    prctl(PR_SET_NAME, "runner-guardian");
    close_all_but(until_closed);
    char nothing;
    while (read(until_closed, &nothing, 1) < 0 && errno == EINTR)
        ;
    free_what_is_left();
    _exit(0);
}

/* In a session of its own, so that what ends the runner's does not reach it; init's child, so that none waits for it. */
static int start_apart(int until_closed)
{
    const pid_t between = fork();
    if (between == 0) {
        setsid();
        const pid_t guardian = fork();
        if (guardian == 0)
            guard(until_closed);
        _exit(guardian < 0);
    }
    int status = 0;
    while (between > 0 && waitpid(between, &status, 0) < 0 && errno == EINTR)
        ;
    return between > 0 && status == 0 ? 0 : -1;
}

int guardian_start(void)
{
    int ends[2]; /* the one for writing stays open for as long as the runner lives, and no longer */
    void *shared = mmap(NULL, sizeof *taken, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    taken = shared;
    const int failed = start_apart(ends[0]);
    close(ends[0]);
    return failed;
}

void guardian_note_use(int in_use)
{
    if (taken)
        atomic_store(&taken->in_use, in_use);
}

static void replace(uint32_t old, uint32_t new)
{
    for (int i = 0; taken && i < MOST_HANDLES; ++i) {
        unsigned expected = old;
        if (atomic_compare_exchange_strong(&taken->handles[i], &expected, new))
            return;
    }
}

void platform_memory_taken(uint32_t handle) { replace(0, handle); }

void platform_memory_released(uint32_t handle) { replace(handle, 0); }
