/*
 * Runs a bundle and reports its times.
 *
 *   bench --bundle DIR --input FILE --output FILE --report FILE [--runs N] [--warmup N]
 *
 * --bundle  directory of weights.bin and, where the plan uses the GPU, model.qpu
 * --input   all inputs of the model one after another, float32 little-endian, row-major (NCHW)
 * --output  written: all outputs of the last run, in the same form
 * --report  written: JSON, see below
 * --runs    timed runs, at least 1 (default 1); --warmup runs before them that are not timed (default 0)
 *
 * Exit code: 0 done; 1 bad arguments or files; 2 the platform or the bundle could not be opened; 3 a launch on the
 * GPU failed (time limit, hazard, stray access). Anything but 0 comes with one line on stderr, "error: ...".
 *
 * The report (times in seconds; each list of times has one entry per timed run):
 *
 *   {
 *     "format": 2,
 *     "model": "name",
 *     "platform": "none" | "mailbox" | "virtual",
 *     "gpu_kind": "none" | "silicon" | "simulated",      what the times of launches are
 *     "runs": 5,
 *     "total_s": [...],       CPU steps by this machine's clock plus launches by the platform's
 *     "wall_s": [...],        the whole run by this machine's clock
 *     "cpu_s": [...],         what all threads of this process together were busy for meanwhile
 *     "arena_bytes": 0, "gpu_bytes": 0,
 *     "steps": [{"name": "...", "processor": "cpu" | "qpu", "launch": -1, "times_s": [...]}, ...],
 *     "launches": [{"times_s": [...]}, ...],
 *     "counters": {"name": 0.0}
 *   }
 *
 * Steps are in the plan's order and have its names. A time is null where the platform cannot tell a step of a
 * launch from the others (no marks); the launch's own time is always there. What a launch spends before its
 * first and after its last layer belongs to its first and last step.
 */
#define _POSIX_C_SOURCE 199309L

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MODEL_GENERIC_NAMES
#include "model.h"
#include "platform.h"

enum { EXIT_FILES = 1, EXIT_OPEN = 2, EXIT_LAUNCH = 3 };

typedef struct options {
    const char *bundle, *input, *output, *report;
    int runs, warmup;
} options;

/* Times of all runs: run r, column c at [r * columns + c]. */
typedef struct timings {
    double *total_s, *wall_s, *cpu_s, *steps_s, *launches_s;
} timings;

static double clock_s(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int fail(int code, const char *what, const char *detail)
{
    fprintf(stderr, "error: %s: %s\n", what, detail);
    return code;
}

static int parse_count(const char *text, int lowest, int *value)
{
    char *end = NULL;
    const long number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || number < lowest || number > 1000000)
        return 0;
    *value = (int)number;
    return 1;
}

static int parse_options(int argc, char **argv, options *chosen)
{
    *chosen = (options){NULL, NULL, NULL, NULL, 1, 0};
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        int good = value != NULL;
        if (good && strcmp(name, "--bundle") == 0)
            chosen->bundle = value;
        else if (good && strcmp(name, "--input") == 0)
            chosen->input = value;
        else if (good && strcmp(name, "--output") == 0)
            chosen->output = value;
        else if (good && strcmp(name, "--report") == 0)
            chosen->report = value;
        else if (good && strcmp(name, "--runs") == 0)
            good = parse_count(value, 1, &chosen->runs);
        else if (good && strcmp(name, "--warmup") == 0)
            good = parse_count(value, 0, &chosen->warmup);
        else
            good = 0;
        if (!good)
            return fail(EXIT_FILES, name, "unknown option, or its value is missing or no number in range");
    }
    if (!chosen->bundle || !chosen->input || !chosen->output || !chosen->report)
        return fail(EXIT_FILES, "usage",
                    "bench --bundle DIR --input FILE --output FILE --report FILE [--runs N] [--warmup N]");
    return 0;
}

/* One block for all tensors; pointers[i] is the start of the i-th. NULL when memory is out. */
static float *allocate_tensors(int count, const model_tensor *tensors, float **pointers, size_t *elements)
{
    size_t total = 0;
    for (int i = 0; i < count; ++i)
        total += tensors[i].elements;
    float *block = calloc(total ? total : 1, sizeof(float));
    size_t offset = 0;
    for (int i = 0; block && i < count; ++i) {
        pointers[i] = block + offset;
        offset += tensors[i].elements;
    }
    *elements = total;
    return block;
}

static int read_exactly(const char *path, float *values, size_t elements)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return fail(EXIT_FILES, path, strerror(errno));
    const size_t got = fread(values, sizeof(float), elements, file);
    const int longer = fgetc(file) != EOF;
    fclose(file);
    if (got != elements || longer)
        return fail(EXIT_FILES, path, "does not hold exactly the model's inputs");
    return 0;
}

static int write_exactly(const char *path, const float *values, size_t elements)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return fail(EXIT_FILES, path, strerror(errno));
    const int complete = fwrite(values, sizeof(float), elements, file) == elements;
    if (fclose(file) != 0 || !complete)
        return fail(EXIT_FILES, path, "could not be written completely");
    return 0;
}

static void write_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; ++text) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fputc('\\', file);
        if (c < 0x20)
            fprintf(file, "\\u%04x", c);
        else
            fputc(c, file);
    }
    fputc('"', file);
}

static void write_times(FILE *file, const double *values, int runs, int stride)
{
    fputc('[', file);
    for (int r = 0; r < runs; ++r) {
        const double value = values[(size_t)r * (size_t)stride];
        fputs(r ? ", " : "", file);
        if (value < 0.0 || !isfinite(value))
            fputs("null", file);
        else
            fprintf(file, "%.9e", value);
    }
    fputc(']', file);
}

static void write_steps(FILE *file, const model_info *info, const timings *times, int runs)
{
    fputs("  \"steps\": [", file);
    for (int s = 0; s < info->step_count; ++s) {
        fputs(s ? ",\n    {\"name\": " : "\n    {\"name\": ", file);
        write_text(file, info->steps[s].name);
        fprintf(file, ", \"processor\": \"%s\", \"launch\": %d, \"times_s\": ", info->steps[s].processor,
                info->steps[s].launch);
        write_times(file, times->steps_s + s, runs, info->step_count);
        fputc('}', file);
    }
    fputs("\n  ],\n  \"launches\": [", file);
    for (int l = 0; l < info->launch_count; ++l) {
        fputs(l ? ",\n    {\"times_s\": " : "\n    {\"times_s\": ", file);
        write_times(file, times->launches_s + l, runs, info->launch_count);
        fputc('}', file);
    }
    fputs("\n  ],\n", file);
}

static void write_counters(FILE *file)
{
    const char *const *names = NULL;
    const double *totals = NULL;
    const int count = platform_gpu_counters(&names, &totals);
    fputs("  \"counters\": {", file);
    for (int i = 0; i < count; ++i) {
        fputs(i ? ", " : "", file);
        write_text(file, names[i]);
        fprintf(file, ": %.17g", totals[i]);
    }
    fputs("}\n", file);
}

static int write_report(const char *path, const model_info *info, const timings *times, int runs)
{
    FILE *file = fopen(path, "w");
    if (!file)
        return fail(EXIT_FILES, path, strerror(errno));
    fputs("{\n  \"format\": 2,\n  \"model\": ", file);
    write_text(file, info->name);
    fprintf(file, ",\n  \"platform\": \"%s\",\n  \"gpu_kind\": \"%s\",\n  \"runs\": %d,\n  \"total_s\": ",
            platform_name(), platform_gpu_kind(), runs);
    write_times(file, times->total_s, runs, 1);
    fputs(",\n  \"wall_s\": ", file);
    write_times(file, times->wall_s, runs, 1);
    fputs(",\n  \"cpu_s\": ", file);
    write_times(file, times->cpu_s, runs, 1);
    fprintf(file, ",\n  \"arena_bytes\": %lu,\n  \"gpu_bytes\": %lu,\n", (unsigned long)info->arena_bytes,
            (unsigned long)info->gpu_bytes);
    write_steps(file, info, times, runs);
    write_counters(file);
    fputs("}\n", file);
    const int broken = ferror(file);
    if (fclose(file) != 0 || broken)
        return fail(EXIT_FILES, path, "could not be written completely");
    return 0;
}

static double sum_of_run(const model_info *info, const double *steps_s, const double *launches_s)
{
    double total = 0.0;
    for (int s = 0; s < info->step_count; ++s)
        total += info->steps[s].launch < 0 ? steps_s[s] : 0.0;
    for (int l = 0; l < info->launch_count; ++l)
        total += launches_s[l];
    return total;
}

static int run_all(model_handle *model, const options *chosen, float **inputs, float **outputs, timings *times)
{
    const model_info *info = model_describe();
    for (int r = -chosen->warmup; r < chosen->runs; ++r) {
        const double start_s = clock_s(CLOCK_MONOTONIC), start_cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID);
        const int code = model_run(model, (const float *const *)inputs, outputs);
        const double wall_s = clock_s(CLOCK_MONOTONIC) - start_s;
        const double cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID) - start_cpu_s;
        if (code != PLATFORM_OK)
            return fail(code == PLATFORM_STOPPED ? EXIT_LAUNCH : EXIT_OPEN, "run", platform_message(code));
        if (r < 0)
            continue;
        double *steps_s = times->steps_s + (size_t)r * (size_t)info->step_count;
        double *launches_s = times->launches_s + (size_t)r * (size_t)info->launch_count;
        model_step_times(model, steps_s);
        model_launch_times(model, launches_s);
        times->wall_s[r] = wall_s;
        times->cpu_s[r] = cpu_s;
        times->total_s[r] = sum_of_run(info, steps_s, launches_s);
    }
    return 0;
}

static int bench(const options *chosen, float **inputs, float **outputs, timings *times)
{
    const model_info *info = model_describe();
    size_t in_elements = 0, out_elements = 0;
    float *in_block = allocate_tensors(info->input_count, info->inputs, inputs, &in_elements);
    float *out_block = allocate_tensors(info->output_count, info->outputs, outputs, &out_elements);
    int code = in_block && out_block ? read_exactly(chosen->input, in_block, in_elements)
                                     : fail(EXIT_FILES, "memory", "not enough for inputs and outputs");
    if (code == 0) {
        char error[512] = "";
        model_handle *model = model_init(chosen->bundle, error, sizeof error);
        code = model ? run_all(model, chosen, inputs, outputs, times) : fail(EXIT_OPEN, "init", error);
        if (code == 0)
            code = write_exactly(chosen->output, out_block, out_elements);
        if (code == 0) /* before model_free: closing the platform ends its counters */
            code = write_report(chosen->report, info, times, chosen->runs);
        model_free(model);
    }
    free(in_block);
    free(out_block);
    return code;
}

int main(int argc, char **argv)
{
    options chosen;
    int code = parse_options(argc, argv, &chosen);
    if (code != 0)
        return code;
    const model_info *info = model_describe();
    const size_t runs = (size_t)chosen.runs;
    timings times = {
        malloc(runs * sizeof(double)),
        malloc(runs * sizeof(double)),
        malloc(runs * sizeof(double)),
        malloc(runs * (size_t)(info->step_count + 1) * sizeof(double)),
        malloc(runs * (size_t)(info->launch_count + 1) * sizeof(double)),
    };
    float **inputs = malloc((size_t)(info->input_count + 1) * sizeof(float *));
    float **outputs = malloc((size_t)(info->output_count + 1) * sizeof(float *));
    if (times.total_s && times.wall_s && times.cpu_s && times.steps_s && times.launches_s && inputs && outputs)
        code = bench(&chosen, inputs, outputs, &times);
    else
        code = fail(EXIT_FILES, "memory", "not enough for the report");
    free(times.total_s);
    free(times.wall_s);
    free(times.cpu_s);
    free(times.steps_s);
    free(times.launches_s);
    free(inputs);
    free(outputs);
    return code;
}
