/*
 * A TCG plugin for qemu-aarch64 that gives a program the clocks of modelled cores, one for each thread that runs.
 *
 *   qemu-aarch64 -plugin clock.so,out=FILE[,wakes=yield] program ...
 *
 * Whatever clock the program reads, it is told its thread's core's time since the model woke: at the start, or at the
 * first call of sched_yield. FILE receives lines of a name and a number each when the program ends.
 */
#include "core_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "instruction.h"
#include "memory.h"
#include "pipeline.h"
#include "qemu_plugin.h"
#include "system_calls.h"
#include "threads.h"

EXPORT int qemu_plugin_version = 1;

enum { MOST_ACCESSES = 1 << 16 };

typedef struct {
    uint64_t start, end;
    uint32_t count;
    instruction instructions[];
} block;

static char place[4096];
static bool awake = true, reported;
static uint64_t retired;
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

static void run_block(unsigned thread, uint64_t next)
{
    const block *done = running;
    if (!done)
        return;
    running = NULL;
    if (awake)
        pipeline_run(threads_core(thread), done->instructions, done->count, done->end, next, accesses, access_count);
    retired += awake ? done->count : 0;
    threads_ran(thread, done->count);
}

static void entered(unsigned vcpu, void *data)
{
    const block *next = data;
    threads_enter(vcpu);
    if (threads_are_released())
        return;
    run_block(vcpu, next->start);
    running = next;
    access_count = 0;
}

static void accessed(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
    (void)vcpu;
    if (awake && running && access_count < MOST_ACCESSES && !threads_are_released())
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
            system_calls_place((uint64_t)(uintptr_t)qemu_plugin_insn_haddr(in) - qemu_plugin_insn_vaddr(in));
    }
    for (uint32_t i = 0; i < count; ++i)
        if (whole->instructions[i].kind == KIND_PREFETCH)
            find_address(whole, i);
    qemu_plugin_register_vcpu_tb_exec_cb(from, entered, QEMU_PLUGIN_CB_NO_REGS, whole);
}

static void say(FILE *file, const char *name, uint64_t value)
{
    fprintf(file, "%s %llu\n", name, (unsigned long long)value);
}

static uint64_t group_total(int group)
{
    uint64_t total = 0;
    for (unsigned core = 0; core < CORES; ++core)
        total += pipeline_counted(core)->groups[group];
    return total;
}

static void report(uint64_t cycles)
{
    static const char *const names[] = GROUP_NAMES;
    pipeline_counts total = {0};
    FILE *file = reported ? NULL : fopen(place, "w");
    if (!file)
        return;
    reported = true;
    for (unsigned core = 0; core < CORES; ++core) {
        const pipeline_counts *one = pipeline_counted(core);
        total.operands += one->operands, total.units += one->units;
        total.memory += one->memory, total.branches += one->branches, total.mispredicted += one->mispredicted;
        total.prefetches += one->prefetches, total.unknown_prefetches += one->unknown_prefetches;
    }
    say(file, "threads", threads_begun());
    say(file, "cycles", cycles);
    say(file, "instructions", retired);
    for (int i = 0; i < GROUPS; ++i)
        say(file, names[i], group_total(i));
    say(file, "operand_waits", total.operands);
    say(file, "unit_waits", total.units);
    say(file, "memory_waits", total.memory);
    say(file, "branch_waits", total.branches);
    say(file, "mispredicted", total.mispredicted);
    say(file, "software_prefetches", total.prefetches);
    say(file, "unknown_prefetches", total.unknown_prefetches);
    say(file, "line_loads", memory_counted.loads);
    say(file, "line_stores", memory_counted.stores);
    say(file, "l1_misses", memory_counted.l1_misses);
    say(file, "l2_misses", memory_counted.l2_misses);
    say(file, "lines_prefetched", memory_counted.prefetched);
    say(file, "lines_written_back", memory_counted.written_back);
    say(file, "lines_taken_over", memory_counted.taken_over);
    say(file, "page_misses", memory_counted.page_misses);
    fclose(file);
}

static void called(qemu_plugin_id_t id, unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                   uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)a7, (void)a8;
    if (threads_are_released())
        return;
    threads_enter(vcpu);
    if (running)
        run_block(vcpu, running->end);
    threads_started(vcpu);
    if (number == SCHED_YIELD && !awake) {
        awake = true;
        threads_wake();
    }
    if (number == EXIT_GROUP) {
        report(pipeline_cycles(threads_core(vcpu)));
        threads_release();
        return;
    }
    system_call_begins(vcpu, number, (const uint64_t[]){a1, a2, a3, a4, a5, a6});
}

static void answered(qemu_plugin_id_t id, unsigned vcpu, int64_t number, int64_t result)
{
    (void)id;
    if (threads_are_released())
        return;
    threads_enter(vcpu);
    system_call_ends(vcpu, number, result);
}

static void began(qemu_plugin_id_t id, unsigned vcpu)
{
    (void)id;
    threads_begin(vcpu, system_calls_cleared());
    if (vcpu == 0 && awake)
        threads_wake();
}

static void left(qemu_plugin_id_t id, unsigned vcpu)
{
    (void)id;
    threads_end(vcpu);
}

/* A program of one thread may end without a call that says so. */
static void ended(qemu_plugin_id_t id, void *data)
{
    (void)id;
    (void)data;
    report(pipeline_cycles(0));
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count, char **arguments)
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
    qemu_plugin_register_vcpu_exit_cb(id, left);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, answered);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
