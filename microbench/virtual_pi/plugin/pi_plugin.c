/*
 * A TCG plugin for qemu-arm and qemu-aarch64 that makes a Raspberry Pi of them: the firmware answers on /dev/vcio, its
 * QPUs are simulated, clocks but the wall's tell the emulated CPU's time, and programs that the guest starts are emulated too.
 *
 *   qemu-arm -L BOARD/sysroot -plugin pi.so,board=BOARD,rate=HZ[,lacks=newer] program ...
 *
 * BOARD is the directory of the board's files; `rate` is how many instructions its CPU executes a second. With
 * `lacks=newer` instructions that a Cortex-A53 has not end in SIGILL.
 */
#define _GNU_SOURCE

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pi_board.h"
#include "pi_clock.h"
#include "pi_firmware.h"
#include "pi_newer.h"
#include "pi_programs.h"
#include "pi_registers.h"
#include "qemu_plugin.h"

#define MAILBOX "/dev/vcio"
#define MEMORY "/dev/mem"

enum { PAGE = 4096, NS_PER_S = 1000000000, ARM_WORD = 4 };
enum clock_number { WALL = 0, PROCESS_CPU = 2, THREAD_CPU = 3 };

/* What a system call is to this plugin. */
enum role {
    ROLE_NONE,
    ROLE_IOCTL,
    ROLE_EXECUTE,
    ROLE_LINK,    /* reads a link, whose path is the first argument */
    ROLE_LINK_AT, /* the second */
    ROLE_MAP,     /* the fifth argument is the file, the sixth the page in it */
    ROLE_CLOCK,
    ROLE_CLOCK_64, /* with 64-bit times */
    ROLE_SLEEP,    /* the first argument says how long */
    ROLE_SLEEP_ON, /* the third, of a clock; the second: until when */
    ROLE_SLEEP_ON_64,
    ROLE_READ,
    ROLE_WAIT, /* for somebody else: takes as long as it takes here */
    ROLE_JOIN  /* for another thread */
};

typedef struct numbered {
    int64_t number;
    enum role role;
} numbered;

/* Numbers of Linux's system calls (arch/arm/tools/syscall.tbl, include/uapi/asm-generic/unistd.h). */
static const numbered calls_arm[] = {
    {192, ROLE_MAP},          {54, ROLE_IOCTL},         {11, ROLE_EXECUTE}, {85, ROLE_LINK},   {332, ROLE_LINK_AT},  {263, ROLE_CLOCK},
    {403, ROLE_CLOCK_64},     {162, ROLE_SLEEP}, {265, ROLE_SLEEP_ON}, {407, ROLE_SLEEP_ON_64},
    {177, ROLE_WAIT},         {421, ROLE_WAIT},   {168, ROLE_WAIT},  {336, ROLE_WAIT},     {414, ROLE_WAIT},
    {3, ROLE_READ},           {114, ROLE_WAIT},         {280, ROLE_WAIT},   {240, ROLE_JOIN},  {422, ROLE_JOIN},
};
static const numbered calls_aarch64[] = {
    {29, ROLE_IOCTL}, {221, ROLE_EXECUTE}, {78, ROLE_LINK_AT}, {113, ROLE_CLOCK_64},
    {101, ROLE_SLEEP}, {115, ROLE_SLEEP_ON_64}, {137, ROLE_WAIT}, {73, ROLE_WAIT}, {260, ROLE_WAIT},
    {95, ROLE_WAIT}, {63, ROLE_READ}, {98, ROLE_JOIN},
};

/* A call that a thread is in. */
typedef struct call {
    enum role role;
    uint64_t arguments[6];
    double since_s; /* of this machine's clock */
} call;

static const numbered *calls;
static size_t call_count;
static unsigned pointer_bytes;
static int looks_for_newer;
static uint64_t guest_base;
static call current[PI_MOST_THREADS];

static double here_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *at(uint64_t guest) { return (void *)(uintptr_t)(guest_base + guest); }

static enum role role_of(int64_t number)
{
    for (size_t i = 0; i < call_count; ++i)
        if (calls[i].number == number)
            return calls[i].role;
    return ROLE_NONE;
}

static void entered(unsigned thread, void *count) { pi_clock_count(thread, (uint64_t)(uintptr_t)count); }

static void refused(unsigned thread, void *extension)
{
    (void)thread;
    pi_log("instruction that the board's CPU has not: %s", (const char *)extension);
    pthread_kill(pthread_self(), SIGILL);
}

static void look_at(struct qemu_plugin_insn *instruction)
{
    uint32_t word;
    if (qemu_plugin_insn_size(instruction) != ARM_WORD)
        return;
    memcpy(&word, qemu_plugin_insn_data(instruction), sizeof word);
    const char *extension = pi_newer_than_a53(word);
    if (extension)
        qemu_plugin_register_vcpu_insn_exec_cb(instruction, refused, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)extension);
}

static void stored(unsigned thread, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
    (void)thread, (void)data;
    if (qemu_plugin_mem_is_store(info)) /* QEMU 7 tells of loads too, whatever it is asked for */
        pi_registers_stored(address);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    const size_t count = qemu_plugin_tb_n_insns(block);
    (void)id;
    for (size_t i = 0; i < count && looks_for_newer; ++i)
        look_at(qemu_plugin_tb_get_insn(block, i));
    for (size_t i = 0; i < count && pi_registers_watched(); ++i)
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(block, i), stored, QEMU_PLUGIN_CB_NO_REGS,
                                         QEMU_PLUGIN_MEM_W, NULL);
    struct qemu_plugin_insn *first = qemu_plugin_tb_get_insn(block, 0);
    guest_base = (uint64_t)(uintptr_t)qemu_plugin_insn_haddr(first) - qemu_plugin_insn_vaddr(first);
    qemu_plugin_register_vcpu_tb_exec_cb(block, entered, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)count);
}

static int is_device(uint64_t descriptor, const char *device)
{
    char link[64], path[PI_PATH_BYTES];
    snprintf(link, sizeof link, "/proc/self/fd/%d", (int)descriptor);
    const ssize_t length = readlink(link, path, sizeof path);
    const size_t wanted = strlen(device);
    return length >= (ssize_t)wanted && memcmp(path + length - wanted, device, wanted) == 0;
}

static void control(unsigned thread, uint64_t descriptor, uint64_t request, uint64_t message)
{
    if (((uint32_t)request == PI_PROPERTY_CALL_32 || (uint32_t)request == PI_PROPERTY_CALL_64) && is_device(descriptor, MAILBOX))
        pi_clock_pass(thread, pi_firmware_answer(at(message)));
}

static void called(qemu_plugin_id_t id, unsigned thread, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                   uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)a7, (void)a8;
    call *own = &current[thread % PI_MOST_THREADS];
    *own = (call){role_of(number), {a1, a2, a3, a4, a5, a6}, 0.0};
    switch (own->role) {
    case ROLE_IOCTL:
        control(thread, a1, a2, a3);
        break;
    case ROLE_EXECUTE:
        pi_programs_execute(guest_base, a1, a2, a3, pointer_bytes);
        break;
    case ROLE_LINK:
        pi_programs_read_link(at(a1));
        break;
    case ROLE_LINK_AT:
        pi_programs_read_link(at(a2));
        break;
    case ROLE_WAIT:
        own->since_s = here_s();
        break;
    default:
        break;
    }
}

static uint64_t time_of(unsigned thread, uint64_t clock)
{
    return clock == PROCESS_CPU ? pi_clock_computed_ns() : clock == THREAD_CPU ? pi_clock_thread_ns(thread) : pi_clock_ns();
}

/* Over what the kernel wrote. */
static void tell_time(uint64_t ns, uint64_t place, int wide)
{
    const uint64_t values[2] = {ns / NS_PER_S, ns % NS_PER_S};
    const uint32_t narrow[2] = {(uint32_t)values[0], (uint32_t)values[1]};
    if (wide)
        memcpy(at(place), values, sizeof values);
    else
        memcpy(at(place), narrow, sizeof narrow);
}

static double seconds_at(uint64_t place, int wide)
{
    int64_t values[2];
    int32_t narrow[2];
    if (wide) {
        memcpy(values, at(place), sizeof values);
        return (double)values[0] + 1e-9 * (double)values[1];
    }
    memcpy(narrow, at(place), sizeof narrow);
    return (double)narrow[0] + 1e-9 * (double)narrow[1];
}

/* What was asked for, however long it took here; of a time to sleep until what is left to it. */
static void sleep_on(unsigned thread, const call *own, int wide)
{
    const double given_s = seconds_at(own->arguments[2], wide), now_s = 1e-9 * (double)pi_clock_ns();
    const double rest_s = own->arguments[1] & TIMER_ABSTIME ? given_s - now_s : given_s;
    pi_clock_pass(thread, rest_s > 0.0 ? rest_s : 0.0);
}

static void answered(qemu_plugin_id_t id, unsigned thread, int64_t number, int64_t result)
{
    (void)id, (void)number;
    call *own = &current[thread % PI_MOST_THREADS];
    const int wide_pointers = pointer_bytes == sizeof(uint64_t);
    const enum role role = own->role;
    own->role = ROLE_NONE;
    if (role == ROLE_WAIT)
        pi_clock_pass(thread, here_s() - own->since_s);
    else if (role == ROLE_JOIN)
        pi_clock_join(thread);
    else if (role == ROLE_READ && own->arguments[0] == STDIN_FILENO)
        pi_clock_next_second(thread);
    if (role == ROLE_MAP && own->arguments[5] && pi_registers_are_at(own->arguments[5] * PAGE) &&
        is_device(own->arguments[4], MEMORY) && (result < -PAGE || result > 0))
        pi_registers_mapped((uint32_t)result, at((uint32_t)result));
    if (result != 0)
        return;
    if ((role == ROLE_CLOCK || role == ROLE_CLOCK_64) && own->arguments[0] != WALL)
        tell_time(time_of(thread, own->arguments[0]), own->arguments[1], role == ROLE_CLOCK_64);
    else if (role == ROLE_SLEEP)
        pi_clock_pass(thread, seconds_at(own->arguments[0], wide_pointers));
    else if (role == ROLE_SLEEP_ON || role == ROLE_SLEEP_ON_64)
        sleep_on(thread, own, role == ROLE_SLEEP_ON_64);
    else
        return;
    if (role != ROLE_CLOCK && role != ROLE_CLOCK_64)
        pi_registers_slept();
}

EXPORT int qemu_plugin_version = 1;

static int take(const char *argument, double *rate, const char **board)
{
    if (strncmp(argument, "board=", 6) == 0)
        *board = argument + 6;
    else if (strncmp(argument, "rate=", 5) == 0)
        *rate = strtod(argument + 5, NULL);
    else if (strcmp(argument, "lacks=newer") == 0)
        looks_for_newer = 1;
    else
        return -1;
    return 0;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count, char **arguments)
{
    const int is_wide = strcmp(info->target_name, "aarch64") == 0;
    const char *board = NULL;
    double rate = 0.0;
    int failed = 0;
    for (int i = 0; i < count; ++i)
        failed |= take(arguments[i], &rate, &board);
    if (failed || rate <= 0.0 || !board || pi_board_open(board) != 0) {
        fprintf(stderr, "virtual Pi: give board=DIRECTORY with a board's files, rate=HZ[, lacks=newer]\n");
        return -1;
    }
    calls = is_wide ? calls_aarch64 : calls_arm;
    call_count = is_wide ? sizeof calls_aarch64 / sizeof *calls_aarch64 : sizeof calls_arm / sizeof *calls_arm;
    pointer_bytes = is_wide ? 8 : 4;
    pi_clock_start(rate);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, answered);
    return 0;
}
