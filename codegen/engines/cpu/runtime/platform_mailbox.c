/*
 * The GPU of a Raspberry Pi through its firmware: property calls on /dev/vcio, memory mapped from /dev/mem.
 *
 * A property call has succeeded when the response word is 0x80000000; what ioctl itself returns is not asked, for
 * an emulator that answers for the firmware cannot set it. Memory that is not released stays taken until
 * the next boot, so what is still allocated is released when the process exits; what one that was killed had taken is in a
 * record that whoever opens the GPU next finds.
 */
#define _DEFAULT_SOURCE
#define _POSIX_C_SOURCE 200809L

#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum {
    TAG_BOARD_REVISION = 0x00010002,
    TAG_ALLOCATE = 0x0003000c,
    TAG_LOCK = 0x0003000d,
    TAG_UNLOCK = 0x0003000e,
    TAG_RELEASE = 0x0003000f,
    TAG_EXECUTE_QPU = 0x00030011,
    TAG_ENABLE_QPU = 0x00030012,
    MOST_VALUES = 8,
    PAGE = 4096,
    LAUNCH_TIMEOUT_MS = 1000 /* the driver gives up after this time whatever is asked for */
};

#define RESPONSE_SUCCESS 0x80000000u
#define BUS_ALIAS 0xC0000000u
#define MAILBOX_PROPERTY _IOWR(100, 0, char *)

/* Flags of an allocation: cached in the system's L2, which ARM and V3D share on BCM2835; else direct. There the ARM sees
 * memory past that L2 at other physical addresses than through it. */
#define FLAG_L2_NONALLOCATING 0xCu
#define FLAG_DIRECT 0x4u
#define BCM2835_DIRECT_OFFSET 0x20000000u

typedef struct allocation {
    struct allocation *next;
    uint32_t handle, bus, offset; /* offset: from the bus address to what the ARM maps */
    void *mapping;
    size_t bytes;
} allocation;

/* Which memory is whose: a slot of handles for each process, locked for as long as it lives. In a directory that is empty
 * at every boot (Filesystem Hierarchy Standard 3.0, section 3.15), as the GPU's memory is. */
#define RECORD "/run/explore-edge.gpu"
enum { SLOTS = 64, HANDLES = 32, SLOT_BYTES = 4 * HANDLES };

static struct {
    int opened, mailbox, memory, exit_is_hooked, is_bcm2835, record, slot;
    allocation *allocations;
    char detail[256];
} gpu = {0, -1, -1, 0, 0, -1, -1, NULL, ""};

static int failed(int code, const char *what, const char *why)
{
    snprintf(gpu.detail, sizeof gpu.detail, "%s: %s", what, why);
    return code;
}

/* One property call: `values` holds `sent` words and receives `received`; both at most MOST_VALUES. */
static int property(const char *what, uint32_t tag, uint32_t *values, uint32_t sent, uint32_t received)
{
    uint32_t message[6 + MOST_VALUES] = {0};
    const uint32_t room = sent > received ? sent : received;
    message[0] = (6 + room) * 4;
    message[2] = tag;
    message[3] = room * 4;
    message[4] = sent * 4;
    memcpy(message + 5, values, sent * sizeof *values);
    errno = 0;
    (void)ioctl(gpu.mailbox, MAILBOX_PROPERTY, message);
    const int error = errno;
    if (message[1] != RESPONSE_SUCCESS) {
        char text[64];
        snprintf(text, sizeof text, "response %08lx%s%s", (unsigned long)message[1], error ? ", " : "",
                 error ? strerror(error) : "");
        return failed(PLATFORM_REFUSED, what, text);
    }
    memcpy(values, message + 5, received * sizeof *values);
    return PLATFORM_OK;
}

static int open_device(const char *path, int flags, int *descriptor)
{
    *descriptor = open(path, flags);
    if (*descriptor >= 0)
        return PLATFORM_OK;
    const int code = errno == EACCES || errno == EPERM ? PLATFORM_DENIED : PLATFORM_UNAVAILABLE;
    return failed(code, path, strerror(errno));
}

static void close_devices(void)
{
    if (gpu.mailbox >= 0)
        close(gpu.mailbox);
    if (gpu.memory >= 0)
        close(gpu.memory);
    if (gpu.record >= 0)
        close(gpu.record); /* and with it the slot is free */
    gpu.mailbox = gpu.memory = gpu.record = gpu.slot = -1;
}

/* BCM2835 is processor 0 of a new-style revision code, and every old-style one. */
static int is_bcm2835(uint32_t revision)
{
    const int is_new_style = (revision >> 23 & 1) != 0;
    return !is_new_style || (revision >> 12 & 0xF) == 0;
}

static int enable_qpus(uint32_t enable)
{
    uint32_t values[1] = {enable};
    const int code = property("enable QPUs", TAG_ENABLE_QPU, values, 1, 1);
    if (code == PLATFORM_OK && values[0] != 0)
        return failed(PLATFORM_REFUSED, "enable QPUs", "refused (is the vc4-kms-v3d overlay loaded?)");
    return code;
}

static void release_handle(uint32_t handle)
{
    uint32_t values[1] = {handle};
    (void)property("unlock GPU memory", TAG_UNLOCK, values, 1, 1);
    values[0] = handle;
    (void)property("release GPU memory", TAG_RELEASE, values, 1, 1);
}

/* Puts `new` in the place of `old` in the own slot; a handle that finds no place is freed at the exit, as all are. */
static void record(uint32_t old, uint32_t new)
{
    uint32_t handles[HANDLES];
    const off_t slot = (off_t)SLOT_BYTES * gpu.slot;
    if (gpu.slot < 0 || pread(gpu.record, handles, sizeof handles, slot) != (ssize_t)sizeof handles)
        return;
    for (int i = 0; i < HANDLES; ++i)
        if (handles[i] == old && pwrite(gpu.record, &new, sizeof new, slot + 4 * (off_t)i) == (ssize_t)sizeof new)
            return;
}

static int lock_slot(int record_file, int slot, int kind)
{
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = (short)kind;
    lock.l_whence = SEEK_SET;
    lock.l_start = (off_t)SLOT_BYTES * slot;
    lock.l_len = SLOT_BYTES;
    return fcntl(record_file, F_SETLK, &lock);
}

/* The record, if it is this user's own. Where there can be none, memory of a killed process stays taken until the boot. */
static int open_record(void)
{
    static const uint32_t nothing[SLOTS * HANDLES];
    const int file = open(RECORD, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct stat status;
    if (file < 0)
        return -1;
    const int is_own = fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid();
    if (!is_own || (status.st_size < (off_t)sizeof nothing && ftruncate(file, sizeof nothing) != 0)) {
        close(file);
        return -1;
    }
    return file;
}

/* Frees what is in slots that no living process has locked; of one of them `*own`, if it is -1, becomes the number and keeps
 * the lock. The QPUs are switched off before, for a program of the dead may run there still, unless they are a living
 * process' too. */
static void recover(int file, int *own)
{
    uint32_t handles[SLOTS][HANDLES];
    int dead[SLOTS], living = 0, left = 0;
    memset(handles, 0, sizeof handles);
    for (int slot = 0; slot < SLOTS; ++slot) {
        dead[slot] = lock_slot(file, slot, F_WRLCK) == 0;
        living += !dead[slot];
        if (dead[slot] && pread(file, handles[slot], SLOT_BYTES, (off_t)SLOT_BYTES * slot) != SLOT_BYTES)
            memset(handles[slot], 0, SLOT_BYTES);
        for (int i = 0; i < HANDLES; ++i)
            left |= handles[slot][i] != 0;
    }
    if (left && !living)
        (void)enable_qpus(0);
    for (int slot = 0; slot < SLOTS; ++slot) {
        static const uint32_t none = 0;
        for (int i = 0; i < HANDLES; ++i)
            if (handles[slot][i]) {
                release_handle(handles[slot][i]);
                if (pwrite(file, &none, sizeof none, (off_t)SLOT_BYTES * slot + 4 * (off_t)i) < 0)
                    break;
            }
        if (dead[slot] && own && *own < 0)
            *own = slot;
        else if (dead[slot])
            (void)lock_slot(file, slot, F_UNLCK);
    }
    if (left && !living && gpu.opened)
        (void)enable_qpus(1);
}

/* One with a slot leaves it alone: closing the file anew would give the slot away. */
void platform_gpu_recover(void)
{
    const int file = gpu.opened && gpu.record < 0 ? open_record() : -1;
    if (file < 0)
        return;
    recover(file, NULL);
    close(file);
}

static void release(allocation *taken)
{
    if (taken->mapping)
        munmap(taken->mapping, taken->bytes);
    release_handle(taken->handle);
    if (platform_memory_released)
        platform_memory_released(taken->handle);
    record(taken->handle, 0);
    free(taken);
}

/* Of a program that has its memory freed by other means the record keeps nothing. */
static void begin_record(void)
{
    const int file = open_record();
    if (file < 0)
        return;
    recover(file, platform_memory_taken ? NULL : &gpu.slot);
    if (gpu.slot >= 0)
        gpu.record = file;
    else
        close(file);
}

static void shut_down(void)
{
    if (!gpu.opened)
        return;
    while (gpu.allocations) {
        allocation *first = gpu.allocations;
        gpu.allocations = first->next;
        release(first);
    }
    (void)enable_qpus(0);
    close_devices();
    gpu.opened = 0;
}

int platform_open(void)
{
    if (gpu.opened) {
        ++gpu.opened;
        return PLATFORM_OK;
    }
    uint32_t revision[1] = {0};
    int code = open_device("/dev/vcio", O_RDWR, &gpu.mailbox);
    if (code == PLATFORM_OK)
        code = open_device("/dev/mem", O_RDWR | O_SYNC, &gpu.memory);
    if (code == PLATFORM_OK)
        code = property("read board revision", TAG_BOARD_REVISION, revision, 0, 1);
    if (code == PLATFORM_OK)
        begin_record();
    if (code == PLATFORM_OK)
        code = enable_qpus(1);
    if (code != PLATFORM_OK) {
        close_devices();
        return code;
    }
    gpu.is_bcm2835 = is_bcm2835(revision[0]);
    gpu.opened = 1;
    if (!gpu.exit_is_hooked)
        gpu.exit_is_hooked = atexit(shut_down) == 0;
    return PLATFORM_OK;
}

void platform_close(void)
{
    if (gpu.opened > 1)
        --gpu.opened;
    else
        shut_down();
}

const char *platform_name(void)
{
    return "mailbox";
}

const char *platform_gpu_kind(void)
{
    return "silicon";
}

static const char *remedy(int code)
{
    switch (code) {
    case PLATFORM_OK:
        return "done";
    case PLATFORM_UNAVAILABLE:
        return "the firmware's interface is not there; this needs a Raspberry Pi 1, 2, 3 or Zero with /dev/vcio and "
               "/dev/mem";
    case PLATFORM_DENIED:
        return "permission denied; run as root";
    case PLATFORM_REFUSED:
        return "the firmware refused; disable the vc4-kms-v3d overlay and use a 32-bit kernel";
    case PLATFORM_NO_MEMORY:
        return "GPU memory is exhausted; raise gpu_mem in config.txt";
    case PLATFORM_NO_MAPPING:
        return "GPU memory could not be mapped; run as root, without a kernel that locks /dev/mem";
    case PLATFORM_STOPPED:
        return "the GPU did not end the launch in time";
    default:
        return "unknown code";
    }
}

const char *platform_message(int code)
{
    static char text[512];
    if (code == PLATFORM_OK || gpu.detail[0] == '\0')
        return remedy(code);
    snprintf(text, sizeof text, "%s (%s)", remedy(code), gpu.detail);
    return text;
}

/* The pages of a locked allocation; the bus address without its alias is the physical one. */
static int map_memory(allocation *taken)
{
    const uint32_t physical = (taken->bus + taken->offset) & ~BUS_ALIAS;
    if (physical % PAGE != 0)
        return failed(PLATFORM_NO_MAPPING, "lock GPU memory", "address is not that of a page");
    taken->mapping = mmap(NULL, taken->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, gpu.memory, (off_t)physical);
    if (taken->mapping != MAP_FAILED)
        return PLATFORM_OK;
    taken->mapping = NULL;
    return failed(PLATFORM_NO_MAPPING, "/dev/mem", strerror(errno));
}

int platform_gpu_alloc(uint32_t bytes, int memory, uint32_t *bus, void **pointer)
{
    *bus = 0;
    *pointer = NULL;
    if (!gpu.opened)
        return failed(PLATFORM_UNAVAILABLE, "GPU memory", "the platform is not open");
    if (bytes == 0 || bytes > UINT32_MAX - PAGE)
        return failed(PLATFORM_NO_MEMORY, "GPU memory", "size out of range");
    if (memory == PLATFORM_MEMORY_CACHED && !gpu.is_bcm2835)
        return failed(PLATFORM_REFUSED, "GPU memory", "this board's system has no L2 that it could be cached in");
    allocation *taken = calloc(1, sizeof *taken);
    if (!taken)
        return failed(PLATFORM_NO_MEMORY, "memory", "exhausted");
    taken->bytes = ((size_t)bytes + PAGE - 1) / PAGE * PAGE;
    const int cached = gpu.is_bcm2835 && memory != PLATFORM_MEMORY_DIRECT;
    taken->offset = gpu.is_bcm2835 && !cached ? BCM2835_DIRECT_OFFSET : 0;
    uint32_t values[3] = {(uint32_t)taken->bytes, PAGE, cached ? FLAG_L2_NONALLOCATING : FLAG_DIRECT};
    int code = property("allocate GPU memory", TAG_ALLOCATE, values, 3, 1);
    taken->handle = values[0];
    if (code != PLATFORM_OK || taken->handle == 0) {
        free(taken);
        return code != PLATFORM_OK ? code : failed(PLATFORM_NO_MEMORY, "allocate GPU memory", "no handle");
    }
    if (platform_memory_taken)
        platform_memory_taken(taken->handle);
    record(0, taken->handle);
    code = property("lock GPU memory", TAG_LOCK, values, 1, 1);
    taken->bus = values[0];
    if (code == PLATFORM_OK && taken->bus == 0)
        code = failed(PLATFORM_NO_MEMORY, "lock GPU memory", "no address");
    if (code == PLATFORM_OK)
        code = map_memory(taken);
    if (code != PLATFORM_OK) {
        char reason[sizeof gpu.detail];
        memcpy(reason, gpu.detail, sizeof reason);
        release(taken);
        memcpy(gpu.detail, reason, sizeof reason); /* what failed first, not what releasing said */
        return code;
    }
    taken->next = gpu.allocations;
    gpu.allocations = taken;
    *bus = taken->bus;
    *pointer = taken->mapping;
    return PLATFORM_OK;
}

void platform_gpu_free(uint32_t bus)
{
    for (allocation **link = &gpu.allocations; *link; link = &(*link)->next)
        if ((*link)->bus == bus) {
            allocation *taken = *link;
            *link = taken->next;
            release(taken);
            return;
        }
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int platform_gpu_execute(uint32_t num_qpus, uint32_t control_bus, uint32_t mark_bus, double *time_s)
{
    uint32_t values[4] = {num_qpus, control_bus, 0 /* flush the caches */, LAUNCH_TIMEOUT_MS};
    (void)mark_bus;
    __sync_synchronize(); /* what was written to GPU memory is there before the launch */
    const double start_s = now_s();
    const int code = property("execute QPU programs", TAG_EXECUTE_QPU, values, 4, 1);
    *time_s = now_s() - start_s;
    __sync_synchronize();
    if (code != PLATFORM_OK)
        return code;
    return values[0] == 0 ? PLATFORM_OK : failed(PLATFORM_STOPPED, "execute QPU programs", "time limit");
}

int platform_gpu_marks(double *seconds, int capacity)
{
    (void)seconds;
    (void)capacity;
    return 0;
}

int platform_gpu_counters(const char *const **names, const double **totals)
{
    *names = NULL;
    *totals = NULL;
    return 0;
}
