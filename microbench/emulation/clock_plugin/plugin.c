/*
 * A TCG plugin for qemu-aarch64 that gives a program of one thread the clock of a modelled core.
 *
 *   qemu-aarch64 -plugin clock.so,out=FILE[,wakes=yield] program ...
 *
 * Whatever clock the program reads, it is told the core's time since the model woke: at the start, or at the first call
 * of sched_yield. FILE receives lines of a name and a number each when the program ends. Only the first thread is
 * modelled; `threads` says how many there were.
 *
 * Distributions ship no header for plugins: what is used of the interface, version 1, is declared here as QEMU's
 * documentation of TCG plugins has it.
 */
#include "core_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "instruction.h"
#include "memory.h"
#include "pipeline.h"

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
enum qemu_plugin_mem_rw { QEMU_PLUGIN_MEM_R = 1, QEMU_PLUGIN_MEM_W, QEMU_PLUGIN_MEM_RW };

void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t id, unsigned vcpu));
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*callback)(qemu_plugin_id_t id, struct qemu_plugin_tb *block));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*callback)(unsigned vcpu, void *data),
                                          enum qemu_plugin_cb_flags flags, void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *instruction,
                                      void (*callback)(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t address,
                                                       void *data),
                                      enum qemu_plugin_cb_flags flags, enum qemu_plugin_mem_rw which, void *data);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id,
                                          void (*callback)(qemu_plugin_id_t id, unsigned vcpu, int64_t number,
                                                           uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                                                           uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8));
void qemu_plugin_register_vcpu_syscall_ret_cb(qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t id, unsigned vcpu,
                                                                                    int64_t number, int64_t result));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t id, void *data), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t place);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);
void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *instruction);
unsigned qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);

EXPORT int qemu_plugin_version = 1;

/* Numbers of Linux's system calls on AArch64. */
enum { CLOCK_GETTIME = 113, SCHED_YIELD = 124, GETTIMEOFDAY = 169 };
enum { MOST_ACCESSES = 1 << 16, NS_PER_S = 1000000000, NS_PER_US = 1000 };

typedef struct {
    uint64_t start, end;
    uint32_t count;
    instruction instructions[];
} block;

static char place[4096];
static bool awake = true;
static unsigned threads;
static uint64_t guest_base, retired, time_pointer;
static const block *running;
static memory_access accesses[MOST_ACCESSES];
static size_t access_count;

static bool writes_register(const instruction *in, unsigned number)
{
    for (unsigned i = 0; i < in->results; ++i)
        if (in->result[i] == number)
            return true;
    return false;
}

/* Whether `other` tells the address of a prefetch; -1: it changes the base, so nothing beyond it does. */
static int tells(const instruction *prefetch, const instruction *other, bool is_before)
{
    const bool is_access = other->kind == KIND_LOAD || other->kind == KIND_STORE;
    if (is_access && other->base == prefetch->base)
        return is_before && other->writes_back ? -1 : 1;
    return writes_register(other, prefetch->base) ? -1 : 0;
}

static void find_address(block *whole, uint32_t at)
{
    instruction *in = &whole->instructions[at];
    for (int step = 1; step >= -1 && in->base != NO_REGISTER; step -= 2)
        for (int64_t i = (int64_t)at + step; i >= 0 && i < whole->count; i += step) {
            const instruction *other = &whole->instructions[i];
            const int told = tells(in, other, step < 0);
            if (told > 0) {
                in->like = (int32_t)i;
                in->distance = in->offset - other->offset;
                return;
            }
            if (told < 0)
                break;
        }
}

static void run_block(uint64_t next)
{
    if (!running)
        return;
    pipeline_run(running->instructions, running->count, running->end, next, accesses, access_count);
    retired += running->count;
    running = NULL;
}

static void entered(unsigned vcpu, void *data)
{
    const block *next = data;
    if (vcpu != 0 || !awake)
        return;
    run_block(next->start);
    running = next;
    access_count = 0;
}

static void accessed(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
    if (vcpu == 0 && running && access_count < MOST_ACCESSES)
        accesses[access_count++] = (memory_access){.address = address,
                                                   .instruction = (uint32_t)(uintptr_t)data,
                                                   .bytes = (uint8_t)(1 << qemu_plugin_mem_size_shift(info)),
                                                   .is_store = qemu_plugin_mem_is_store(info)};
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *from)
{
    const size_t count = qemu_plugin_tb_n_insns(from);
    block *whole = malloc(sizeof(block) + count * sizeof(instruction)); /* for as long as the program runs */
    (void)id;
    if (!whole)
        abort();
    whole->count = (uint32_t)count;
    whole->start = qemu_plugin_tb_vaddr(from);
    whole->end = whole->start + 4 * count;
    for (size_t i = 0; i < count; ++i) {
        struct qemu_plugin_insn *in = qemu_plugin_tb_get_insn(from, i);
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(in), sizeof(word));
        decode(word, &whole->instructions[i]);
        if (whole->instructions[i].kind == KIND_LOAD || whole->instructions[i].kind == KIND_STORE)
            qemu_plugin_register_vcpu_mem_cb(in, accessed, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
                                             (void *)(uintptr_t)i);
        if (i == 0)
            guest_base = (uint64_t)(uintptr_t)qemu_plugin_insn_haddr(in) - qemu_plugin_insn_vaddr(in);
    }
    for (uint32_t i = 0; i < count; ++i)
        if (whole->instructions[i].kind == KIND_PREFETCH)
            find_address(whole, i);
    qemu_plugin_register_vcpu_tb_exec_cb(from, entered, QEMU_PLUGIN_CB_NO_REGS, whole);
}

static void called(qemu_plugin_id_t id, unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                   uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (vcpu != 0)
        return;
    if (running)
        run_block(running->end);
    if (number == SCHED_YIELD)
        awake = true;
    time_pointer = number == CLOCK_GETTIME ? a2 : number == GETTIMEOFDAY ? a1 : 0;
}

static void answered(qemu_plugin_id_t id, unsigned vcpu, int64_t number, int64_t result)
{
    (void)id;
    if (vcpu != 0 || !time_pointer || result != 0)
        return;
    const double elapsed_s = (double)pipeline_cycles() / CLOCK_HZ;
    const int64_t whole_s = (int64_t)elapsed_s;
    const int64_t ns = (int64_t)((elapsed_s - (double)whole_s) * NS_PER_S + 0.5);
    const int64_t time[2] = {whole_s, number == CLOCK_GETTIME ? ns : ns / NS_PER_US};
    memcpy((void *)(uintptr_t)(guest_base + time_pointer), time, sizeof(time)); /* over what the kernel wrote */
    time_pointer = 0;
}

static void began(qemu_plugin_id_t id, unsigned vcpu)
{
    (void)id;
    (void)vcpu;
    ++threads;
}

static void say(FILE *file, const char *name, uint64_t value)
{
    fprintf(file, "%s %llu\n", name, (unsigned long long)value);
}

static void ended(qemu_plugin_id_t id, void *data)
{
    static const char *const names[] = GROUP_NAMES;
    FILE *file = fopen(place, "w");
    (void)id;
    (void)data;
    if (!file)
        return;
    if (running)
        run_block(running->end);
    say(file, "threads", threads);
    say(file, "cycles", pipeline_cycles());
    say(file, "instructions", retired);
    for (int i = 0; i < GROUPS; ++i)
        say(file, names[i], pipeline_counted.groups[i]);
    say(file, "operand_waits", pipeline_counted.operands);
    say(file, "unit_waits", pipeline_counted.units);
    say(file, "memory_waits", pipeline_counted.memory);
    say(file, "branch_waits", pipeline_counted.branches);
    say(file, "mispredicted", pipeline_counted.mispredicted);
    say(file, "software_prefetches", pipeline_counted.prefetches);
    say(file, "unknown_prefetches", pipeline_counted.unknown_prefetches);
    say(file, "line_loads", memory_counted.loads);
    say(file, "line_stores", memory_counted.stores);
    say(file, "l1_misses", memory_counted.l1_misses);
    say(file, "l2_misses", memory_counted.l2_misses);
    say(file, "lines_prefetched", memory_counted.prefetched);
    say(file, "lines_written_back", memory_counted.written_back);
    say(file, "page_misses", memory_counted.page_misses);
    fclose(file);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int count, char **arguments)
{
    static const char out[] = "out=";
    (void)info;
    for (int i = 0; i < count; ++i) {
        if (strncmp(arguments[i], out, sizeof(out) - 1) == 0 && strlen(arguments[i]) < sizeof(place)) {
            strcpy(place, arguments[i] + sizeof(out) - 1);
        } else if (strcmp(arguments[i], "wakes=yield") == 0) {
            awake = false;
        } else {
            fprintf(stderr, "clock: unknown argument %s; give out=FILE, wakes=yield\n", arguments[i]);
            return -1;
        }
    }
    qemu_plugin_register_vcpu_init_cb(id, began);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, answered);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
