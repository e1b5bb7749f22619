/* GPU_RUN: loads a program, runs its launches and returns times, counters and outputs. */
#define _GNU_SOURCE

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conditions.h"
#include "protocol.h"
#include "requests.h"
#include "watch.h"

typedef struct span {
    uint32_t offset, bytes;
    const uint8_t *data;
} span;

typedef struct gpu_request {
    uint32_t size_bytes, word_count, relocation_count, launch_count, input_count, output_count, repeats;
    const uint8_t *words, *relocations, *launches;
    span *inputs, *outputs;
    double launch_limit_s, limit_s;
} gpu_request;

/* Not a number in every element: what a program fails to write shows, on every board alike. */
enum { LAUNCH_WORDS = 3, POISON = 0xff };

static uint32_t word_at(const uint8_t *words, size_t index)
{
    uint32_t value;
    memcpy(&value, words + sizeof value * index, sizeof value);
    return value;
}

static const uint8_t *read_words(reader *from, uint32_t *count, size_t words_each)
{
    *count = read_count(from, 4 * words_each);
    return read_raw(from, 4 * words_each * *count);
}

static span *read_spans(reader *from, uint32_t *count, int with_data)
{
    *count = read_count(from, 8);
    span *spans = calloc((size_t)*count + 1, sizeof *spans);
    for (uint32_t i = 0; spans && i < *count; ++i) {
        spans[i].offset = read_u32(from);
        if (with_data)
            spans[i].data = read_bytes(from, &spans[i].bytes);
        else
            spans[i].bytes = read_u32(from);
    }
    from->bad |= spans == NULL;
    return spans;
}

static void parse(reader *from, gpu_request *run)
{
    run->size_bytes = read_u32(from);
    run->words = read_words(from, &run->word_count, 1);
    run->relocations = read_words(from, &run->relocation_count, 1);
    run->launches = read_words(from, &run->launch_count, LAUNCH_WORDS);
    run->inputs = read_spans(from, &run->input_count, 1);
    run->outputs = read_spans(from, &run->output_count, 0);
    run->repeats = read_u32(from);
    run->launch_limit_s = read_f64(from);
    run->limit_s = read_f64(from);
}

static int inside(const gpu_request *run, uint32_t offset, uint32_t bytes)
{
    return offset <= run->size_bytes && bytes <= run->size_bytes - offset;
}

static int check(const reader *from, const gpu_request *run, backend_message *why)
{
    if (from->bad || from->at != from->size)
        return fail(why, FAULT_PROTOCOL, "GPU_RUN does not have the length its counts say");
    if (run->repeats == 0 || run->launch_count == 0 || !watch_takes(run->limit_s) ||
        !watch_takes(run->launch_limit_s))
        return fail(why, FAULT_PROTOCOL, "GPU_RUN wants at least one launch, one repeat and time for them, at most a month");
    if (run->word_count > run->size_bytes / 4)
        return fail(why, FAULT_CANDIDATE, "the program is larger than the memory it asks for");
    for (uint32_t i = 0; i < run->relocation_count; ++i)
        if (word_at(run->relocations, i) >= run->word_count)
            return fail(why, FAULT_CANDIDATE, "relocation %u lies outside the program", (unsigned)i);
    for (uint32_t i = 0; i < run->launch_count; ++i) {
        const uint32_t control = word_at(run->launches, LAUNCH_WORDS * (size_t)i);
        const uint32_t qpus = word_at(run->launches, LAUNCH_WORDS * (size_t)i + 1);
        if (qpus == 0 || qpus > 64 || !inside(run, control, 8 * qpus))
            return fail(why, FAULT_CANDIDATE, "launch %u has its control list outside the program", (unsigned)i);
    }
    for (uint32_t i = 0; i < run->input_count; ++i)
        if (!inside(run, run->inputs[i].offset, run->inputs[i].bytes))
            return fail(why, FAULT_CANDIDATE, "input %u lies outside the program's memory", (unsigned)i);
    for (uint32_t i = 0; i < run->output_count; ++i)
        if (!inside(run, run->outputs[i].offset, run->outputs[i].bytes))
            return fail(why, FAULT_CANDIDATE, "output %u lies outside the program's memory", (unsigned)i);
    return 0;
}

/* The memory as a fresh load leaves it: the image, addresses added, POISON behind it, inputs in place. */
static void load(const gpu_request *run, uint32_t bus, uint8_t *memory)
{
    memcpy(memory, run->words, 4 * (size_t)run->word_count);
    memset(memory + 4 * (size_t)run->word_count, POISON, run->size_bytes - 4 * (size_t)run->word_count);
    for (uint32_t i = 0; i < run->relocation_count; ++i) {
        uint8_t *place = memory + 4 * (size_t)word_at(run->relocations, i);
        const uint32_t address = word_at(place, 0) + bus;
        memcpy(place, &address, sizeof address);
    }
    for (uint32_t i = 0; i < run->input_count; ++i)
        memcpy(memory + run->inputs[i].offset, run->inputs[i].data, run->inputs[i].bytes);
}

/* Near zero for a launch on silicon: the process sleeps until the firmware answers. */
static double cpu_time_s(void)
{
    struct timespec used;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0 ? (double)used.tv_sec + 1e-9 * (double)used.tv_nsec : 0.0;
}

static int launch(const gpu_request *run, uint32_t index, uint32_t bus, int counters, writer *answer,
                  backend_message *why)
{
    const uint8_t *words = run->launches + 4 * LAUNCH_WORDS * (size_t)index;
    const uint32_t mark = word_at(words, 2);
    const backend_launch what = {word_at(words, 1), bus + word_at(words, 0), mark == NO_MARK ? 0 : bus + mark,
                                 run->launch_limit_s};
    static backend_times times;
    memset(&times, 0, sizeof times);
    const double cpu_before_s = cpu_time_s();
    const int fault = backend_execute(&what, &times, why);
    const double cpu_s = cpu_time_s() - cpu_before_s;
    if (fault)
        return fault;
    put_f64(answer, times.time_s);
    put_f64(answer, cpu_s);
    put_u32(answer, (uint32_t)times.marks);
    for (int i = 0; i < times.marks; ++i)
        put_f64(answer, times.mark_s[i]);
    for (int i = 0; i < counters; ++i)
        put_f64(answer, times.counters[i]);
    return 0;
}

static int run_loaded(const gpu_request *run, uint32_t bus, uint8_t *memory, writer *answer, backend_message *why)
{
    const char *const *names = NULL;
    const int counters = backend_counter_names(&names);
    put_u32(answer, (uint32_t)counters);
    for (int i = 0; i < counters; ++i)
        put_string(answer, names[i]);
    put_u32(answer, run->repeats);
    put_u32(answer, run->launch_count);
    const conditions before = read_conditions();
    for (uint32_t repeat = 0; repeat < run->repeats; ++repeat) {
        load(run, bus, memory);
        for (uint32_t i = 0; i < run->launch_count; ++i) {
            const int fault = launch(run, i, bus, counters, answer, why);
            if (fault)
                return fault;
        }
    }
    const conditions after = read_conditions(); /* before the outputs are read, while it is as it was */
    put_u32(answer, run->output_count);
    for (uint32_t i = 0; i < run->output_count; ++i)
        put_bytes(answer, memory + run->outputs[i].offset, run->outputs[i].bytes);
    put_conditions(answer, &before);
    put_conditions(answer, &after);
    return 0;
}

int answer_gpu_run(reader *request, writer *answer, backend_message *why)
{
    gpu_request run;
    memset(&run, 0, sizeof run);
    parse(request, &run);
    int fault = check(request, &run, why);
    uint32_t bus = 0;
    void *memory = NULL;
    if (!fault) {
        watch_limit(run.limit_s);
        watch_hold();
        fault = backend_alloc(run.size_bytes, &bus, &memory, why);
        watch_go_on();
    }
    if (!fault) {
        fault = run_loaded(&run, bus, memory, answer, why);
        watch_hold();
        backend_free(bus);
        watch_go_on();
    }
    free(run.inputs);
    free(run.outputs);
    return fault;
}
