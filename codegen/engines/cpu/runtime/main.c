/*
 * Runs a bundle and says how long it takes.
 *
 *   bench [--bundle DIR] [--input FILE] [--output FILE] [--report FILE] [--runs N] [--warmup N] [--steps] [--json]
 *
 * USAGE below is what --help prints. Exit code: 0 done; 1 bad arguments or files; 2 the platform or the bundle could not
 * be opened; 3 a launch on the GPU failed (time limit, hazard, stray access). Anything but 0 comes with one line on
 * stderr, "error: ...".
 *
 * --json prints one line, {"model", "platform", "gpu_kind", "without_gpu", "runs", "warmup", "threads", "wall": TIMES,
 * "total": TIMES, "cpu": TIMES, "weights_bytes", "arena_bytes", "gpu_bytes"}, where TIMES is {"min_s", "q1_s", "median_s", "q3_s",
 * "max_s"} and names mean what they mean in the report; with --steps also "steps": [{"name", "engine", "launch",
 * "time": TIMES}, ...].
 *
 * The report (times in seconds; each list of times has one entry per timed run):
 *
 *   {
 *     "format": 3,
 *     "model": "name",
 *     "platform": "none" | "mailbox" | "virtual",
 *     "gpu_kind": "none" | "silicon" | "simulated",      what the times of launches are
 *     "without_gpu": null | "why the GPU was not to be had, and the plan for the CPU ran instead",
 *     "runs": 5, "warmup": 1,
 *     "threads": 2,           that a run uses, the caller's included
 *     "total_s": [...],       CPU steps by this machine's clock plus launches by the platform's
 *     "wall_s": [...],        the whole run by this machine's clock
 *     "cpu_s": [...],         what all threads of this process together were busy for meanwhile
 *     "weights_bytes": 0, "arena_bytes": 0, "gpu_bytes": 0,
 *     "steps": [{"name": "...", "engine": "cpu" | "videocore4", "launch": -1, "times_s": [...]}, ...],
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench_report.h"
#define MODEL_GENERIC_NAMES
#include "model.h"
#include "platform.h"

enum { EXIT_FILES = 1, EXIT_OPEN = 2, EXIT_LAUNCH = 3 };

static const char USAGE[] =
    "bench: runs a bundle and says how long it takes\n"
    "\n"
    "  --bundle DIR   directory of weights.bin and, where the plan uses the GPU, model.qpu (default: this one)\n"
    "  --input FILE   all inputs of the model one after another, little-endian, row-major (NCHW);\n"
    "                 without it, numbers from -1 to 1 that are the same every time\n"
    "  --output FILE  written: all outputs of the last run, in the same form\n"
    "  --report FILE  written: every time of every run and step, JSON\n"
    "  --runs N       timed runs, at least 1 (default 10)\n"
    "  --warmup N     runs before them that are not timed (default 2)\n"
    "  --steps        every step's times too\n"
    "  --json         one line of JSON instead of the table\n"
    "  --help         this text\n"
    "\n"
    "Without --report, a table of minimum, quartiles, median and maximum is printed.\n"
    "Exit code: 0 done, 1 bad arguments or files, 2 the bundle or the GPU cannot be opened, 3 a launch failed.\n";

typedef struct options {
    const char *bundle, *input, *output, *report;
    int runs, warmup, steps, json, help;
} options;

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

/* Options without a value; NULL for other names. */
static int *flag_named(options *chosen, const char *name)
{
    if (strcmp(name, "--steps") == 0)
        return &chosen->steps;
    if (strcmp(name, "--json") == 0)
        return &chosen->json;
    return strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ? &chosen->help : NULL;
}

static int parse_value(options *chosen, const char *name, const char *value)
{
    const char **path = NULL;
    if (strcmp(name, "--bundle") == 0)
        path = &chosen->bundle;
    else if (strcmp(name, "--input") == 0)
        path = &chosen->input;
    else if (strcmp(name, "--output") == 0)
        path = &chosen->output;
    else if (strcmp(name, "--report") == 0)
        path = &chosen->report;
    const int is_runs = strcmp(name, "--runs") == 0;
    if (!path && !is_runs && strcmp(name, "--warmup") != 0)
        return fail(EXIT_FILES, name, "unknown option; bench --help lists them");
    if (!value)
        return fail(EXIT_FILES, name, "its value is missing");
    if (path)
        *path = value;
    else if (!parse_count(value, is_runs, is_runs ? &chosen->runs : &chosen->warmup))
        return fail(EXIT_FILES, name, "its value is no number from 1 (of --warmup 0) to 1000000");
    return 0;
}

static int parse_options(int argc, char **argv, options *chosen)
{
    *chosen = (options){".", NULL, NULL, NULL, 10, 2, 0, 0, 0};
    for (int i = 1; i < argc; ++i) {
        int *flag = flag_named(chosen, argv[i]);
        if (flag) {
            *flag = 1;
            continue;
        }
        const int code = parse_value(chosen, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
        if (code != 0)
            return code;
        ++i;
    }
    return 0;
}

/* A block for each tensor. 0 when memory is out. */
static int allocate_tensors(int count, const model_tensor *tensors, void **pointers)
{
    int complete = 1;
    for (int i = 0; i < count; ++i) {
        pointers[i] = calloc(tensors[i].elements ? tensors[i].elements : 1, tensors[i].element_bytes);
        complete = complete && pointers[i];
    }
    return complete;
}

static void free_tensors(int count, void **pointers)
{
    for (int i = 0; i < count; ++i)
        free(pointers[i]);
}

/* A file of inputs of another size: what it should hold. */
static int fail_size(const char *path, int longer, int count, const model_tensor *tensors)
{
    unsigned long long wanted = 0;
    for (int i = 0; i < count; ++i)
        wanted += (unsigned long long)tensors[i].elements * tensors[i].element_bytes;
    char what[160];
    snprintf(what, sizeof what, "holds %s than the model's inputs, which take %llu bytes", longer ? "more" : "less", wanted);
    return fail(EXIT_FILES, path, what);
}

static int read_exactly(const char *path, int count, const model_tensor *tensors, void **pointers)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return fail(EXIT_FILES, path, strerror(errno));
    int complete = 1;
    for (int i = 0; i < count; ++i)
        complete = complete &&
                   fread(pointers[i], tensors[i].element_bytes, tensors[i].elements, file) == tensors[i].elements;
    const int longer = fgetc(file) != EOF;
    fclose(file);
    if (!complete || longer)
        return fail_size(path, longer, count, tensors);
    return 0;
}

static int write_exactly(const char *path, int count, const model_tensor *tensors, void *const *pointers)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return fail(EXIT_FILES, path, strerror(errno));
    int complete = 1;
    for (int i = 0; i < count; ++i)
        complete = complete &&
                   fwrite(pointers[i], tensors[i].element_bytes, tensors[i].elements, file) == tensors[i].elements;
    if (fclose(file) != 0 || !complete)
        return fail(EXIT_FILES, path, "could not be written completely");
    return 0;
}

/*
 * Trial values in [-1, 1): the upper 24 bits of a linear congruential generator modulo 2^32 (Numerical Recipes). Of
 * other types than float32 every element is 0, which is an index and a truth value too.
 */
static void make_up(int count, const model_tensor *tensors, void **pointers)
{
    uint32_t state = 1;
    for (int t = 0; t < count; ++t) {
        float *values = pointers[t];
        for (size_t i = 0; strcmp(tensors[t].type, "float32") == 0 && i < tensors[t].elements; ++i) {
            state = 1664525u * state + 1013904223u;
            values[i] = (float)(state >> 8) / 8388608.0f - 1.0f;
        }
    }
}

static int save_report(const char *path, const model_info *info, const timings *times)
{
    FILE *file = fopen(path, "w");
    if (!file)
        return fail(EXIT_FILES, path, strerror(errno));
    write_report(file, info, times);
    const int broken = ferror(file);
    if (fclose(file) != 0 || broken)
        return fail(EXIT_FILES, path, "could not be written completely");
    return 0;
}

static int show(const options *chosen, const model_info *info, const timings *times)
{
    if (chosen->json)
        write_line(stdout, info, times, chosen->steps);
    else if (!chosen->report || chosen->steps)
        write_table(stdout, info, times, chosen->steps);
    if (fflush(stdout) != 0 || ferror(stdout))
        return fail(EXIT_FILES, "standard output", strerror(errno));
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

static int run_all(model_handle *model, const options *chosen, void **inputs, void **outputs, timings *times)
{
    const model_info *info = model_active(model);
    times->threads = model_threads(model);
    for (int r = -chosen->warmup; r < chosen->runs; ++r) {
        const double start_s = clock_s(CLOCK_MONOTONIC), start_cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID);
        const int code = model_run(model, (const void *)inputs, (void *)outputs);
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

/* Runs a model that is loaded, and says what came of it. */
static int measure(model_handle *model, const options *chosen, void **inputs, void **outputs, timings *times)
{
    const model_info *info = model_active(model);
    int code = run_all(model, chosen, inputs, outputs, times);
    if (code == 0 && chosen->output)
        code = write_exactly(chosen->output, info->output_count, info->outputs, outputs);
    if (code == 0 && chosen->report) /* before model_free: closing the platform ends its counters */
        code = save_report(chosen->report, info, times);
    return code == 0 ? show(chosen, info, times) : code;
}

static int load_and_measure(const options *chosen, void **inputs, void **outputs)
{
    char error[512] = "";
    model_handle *model = NULL;
    if (model_open(chosen->bundle, &model, error, sizeof error) != PLATFORM_OK)
        return fail(EXIT_OPEN, "init", error);
    const model_info *info = model_active(model);
    const size_t runs = (size_t)chosen->runs;
    timings times = {
        chosen->runs,
        chosen->warmup,
        1,
        model_without_gpu(model),
        malloc(runs * sizeof(double)),
        malloc(runs * sizeof(double)),
        malloc(runs * sizeof(double)),
        malloc(runs * (size_t)(info->step_count + 1) * sizeof(double)),
        malloc(runs * (size_t)(info->launch_count + 1) * sizeof(double)),
    };
    if (times.without_gpu)
        fprintf(stderr, "warning: the plan for the CPU runs: %s\n", times.without_gpu);
    const int code = times.total_s && times.wall_s && times.cpu_s && times.steps_s && times.launches_s
                         ? measure(model, chosen, inputs, outputs, &times)
                         : fail(EXIT_FILES, "memory", "not enough for the report");
    model_free(model);
    free(times.total_s);
    free(times.wall_s);
    free(times.cpu_s);
    free(times.steps_s);
    free(times.launches_s);
    return code;
}

static int bench(const options *chosen, void **inputs, void **outputs)
{
    const model_info *info = model_describe();
    const int has_inputs = allocate_tensors(info->input_count, info->inputs, inputs);
    const int has_outputs = allocate_tensors(info->output_count, info->outputs, outputs);
    int code = 0;
    if (!has_inputs || !has_outputs)
        code = fail(EXIT_FILES, "memory", "not enough for inputs and outputs");
    else if (chosen->input)
        code = read_exactly(chosen->input, info->input_count, info->inputs, inputs);
    else
        make_up(info->input_count, info->inputs, inputs);
    if (code == 0)
        code = load_and_measure(chosen, inputs, outputs);
    free_tensors(info->input_count, inputs);
    free_tensors(info->output_count, outputs);
    return code;
}

int main(int argc, char **argv)
{
    options chosen;
    int code = parse_options(argc, argv, &chosen);
    if (code != 0)
        return code;
    if (chosen.help)
        return fputs(USAGE, stdout) < 0 ? EXIT_FILES : 0;
    const model_info *info = model_describe();
    void **inputs = malloc((size_t)(info->input_count + 1) * sizeof(void *));
    void **outputs = malloc((size_t)(info->output_count + 1) * sizeof(void *));
    code = inputs && outputs ? bench(&chosen, inputs, outputs)
                             : fail(EXIT_FILES, "memory", "not enough for inputs and outputs");
    free(inputs);
    free(outputs);
    return code;
}
