/* What bench says of its runs. The formats are described in main.c. */
#include "bench_report.h"

#include <math.h>
#include <stdlib.h>

#include "platform.h"

typedef struct summary {
    double min_s, q1_s, median_s, q3_s, max_s; /* -1: not known */
} summary;

static void write_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; ++text) {
        const unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            fprintf(file, "\\%c", byte);
        else if (byte < 0x20)
            fprintf(file, "\\u%04x", byte);
        else
            fputc(byte, file);
    }
    fputc('"', file);
}

static void write_text_or_null(FILE *file, const char *text)
{
    if (text)
        write_text(file, text);
    else
        fputs("null", file);
}

static void write_time(FILE *file, double value)
{
    if (value < 0.0 || !isfinite(value))
        fputs("null", file);
    else
        fprintf(file, "%.9e", value);
}

/* A JSON list; one column of a table whose rows are `stride` apart. */
static void write_times(FILE *file, const double *values, int runs, int stride)
{
    fputc('[', file);
    for (int r = 0; r < runs; ++r) {
        fputs(r ? ", " : "", file);
        write_time(file, values[(size_t)r * (size_t)stride]);
    }
    fputc(']', file);
}

static void write_steps(FILE *file, const model_info *info, const timings *times)
{
    fputs("  \"steps\": [", file);
    for (int s = 0; s < info->step_count; ++s) {
        fputs(s ? ",\n    {\"name\": " : "\n    {\"name\": ", file);
        write_text(file, info->steps[s].name);
        fprintf(file, ", \"engine\": \"%s\", \"launch\": %d, \"times_s\": ", info->steps[s].engine,
                info->steps[s].launch);
        write_times(file, times->steps_s + s, times->runs, info->step_count);
        fputc('}', file);
    }
    fputs("\n  ],\n  \"launches\": [", file);
    for (int l = 0; l < info->launch_count; ++l) {
        fputs(l ? ",\n    {\"times_s\": " : "\n    {\"times_s\": ", file);
        write_times(file, times->launches_s + l, times->runs, info->launch_count);
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

void write_report(FILE *file, const model_info *info, const timings *times)
{
    fputs("{\n  \"format\": 3,\n  \"model\": ", file);
    write_text(file, info->name);
    fprintf(file,
            ",\n  \"platform\": \"%s\",\n  \"gpu_kind\": \"%s\",\n  \"without_gpu\": ", platform_name(),
            platform_gpu_kind());
    write_text_or_null(file, times->without_gpu);
    fprintf(file, ",\n  \"runs\": %d,\n  \"warmup\": %d,\n  \"threads\": %d,\n  \"total_s\": ", times->runs,
            times->warmup, times->threads);
    write_times(file, times->total_s, times->runs, 1);
    fputs(",\n  \"wall_s\": ", file);
    write_times(file, times->wall_s, times->runs, 1);
    fputs(",\n  \"cpu_s\": ", file);
    write_times(file, times->cpu_s, times->runs, 1);
    fprintf(file, ",\n  \"weights_bytes\": %lu,\n  \"arena_bytes\": %lu,\n  \"gpu_bytes\": %lu,\n",
            (unsigned long)info->weights_bytes, (unsigned long)info->arena_bytes, (unsigned long)info->gpu_bytes);
    write_steps(file, info, times);
    write_counters(file);
    fputs("}\n", file);
}

static int compare(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Between neighbours in proportion, as most statistics programs do by default. */
static double quantile(const double *sorted, int count, double share)
{
    const double place = share * (count - 1);
    const int below = (int)place, above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

static summary summary_of(const double *values, int runs, int stride)
{
    summary found = {-1.0, -1.0, -1.0, -1.0, -1.0};
    double *sorted = malloc((size_t)runs * sizeof *sorted);
    for (int r = 0; sorted && r < runs; ++r)
        sorted[r] = values[(size_t)r * (size_t)stride];
    if (sorted) {
        qsort(sorted, (size_t)runs, sizeof *sorted, compare);
        if (sorted[0] >= 0.0)
            found = (summary){sorted[0], quantile(sorted, runs, 0.25), quantile(sorted, runs, 0.5),
                              quantile(sorted, runs, 0.75), sorted[runs - 1]};
    }
    free(sorted);
    return found;
}

static void write_row(FILE *file, const summary *times, const char *engine, const char *name)
{
    const double values[] = {times->min_s, times->q1_s, times->median_s, times->q3_s, times->max_s};
    for (int i = 0; i < 5; ++i) {
        if (values[i] < 0.0)
            fprintf(file, "%11s ", "-");
        else
            fprintf(file, "%11.4f ", values[i] * 1e3);
    }
    fprintf(file, " %-10s %s\n", engine, name);
}

void write_table(FILE *file, const model_info *info, const timings *times, int with_steps)
{
    fprintf(file, "model     %s\n", info->name);
    if (times->without_gpu)
        fprintf(file, "plan      for the CPU alone: %s\n", times->without_gpu);
    fprintf(file, "runs      %d after %d to warm up\n", times->runs, times->warmup);
    fprintf(file, "threads   %d of the plan's %d\n", times->threads, info->threads);
    fprintf(file, "memory    %lu bytes of weights, %lu of activations, %lu on the GPU\n",
            (unsigned long)info->weights_bytes, (unsigned long)info->arena_bytes, (unsigned long)info->gpu_bytes);
    fprintf(file, "platform  %s, times of the GPU: %s\n\n", platform_name(), platform_gpu_kind());
    fprintf(file, "%11s %11s %11s %11s %11s  milliseconds of\n", "min", "quartile", "median", "quartile", "max");
    if (with_steps)
        for (int s = 0; s < info->step_count; ++s) {
            const summary step = summary_of(times->steps_s + s, times->runs, info->step_count);
            write_row(file, &step, info->steps[s].engine, info->steps[s].name);
        }
    const summary wall = summary_of(times->wall_s, times->runs, 1);
    const summary total = summary_of(times->total_s, times->runs, 1);
    const summary busy = summary_of(times->cpu_s, times->runs, 1);
    if (info->launch_count > 0)
        write_row(file, &total, "", "steps of the CPU by its clock, launches by the GPU's");
    write_row(file, &busy, "", "all threads of the CPU together");
    write_row(file, &wall, "", "a run by this machine's clock");
}

static void write_summary(FILE *file, const char *name, const double *values, int runs, int stride)
{
    const summary found = summary_of(values, runs, stride);
    const double times_s[] = {found.min_s, found.q1_s, found.median_s, found.q3_s, found.max_s};
    static const char *const names[] = {"min_s", "q1_s", "median_s", "q3_s", "max_s"};
    fprintf(file, "\"%s\": {", name);
    for (int i = 0; i < 5; ++i) {
        fprintf(file, "%s\"%s\": ", i ? ", " : "", names[i]);
        write_time(file, times_s[i]);
    }
    fputc('}', file);
}

void write_line(FILE *file, const model_info *info, const timings *times, int with_steps)
{
    fputs("{\"model\": ", file);
    write_text(file, info->name);
    fprintf(file, ", \"platform\": \"%s\", \"gpu_kind\": \"%s\", \"without_gpu\": ", platform_name(), platform_gpu_kind());
    write_text_or_null(file, times->without_gpu);
    fprintf(file, ", \"runs\": %d, \"warmup\": %d, \"threads\": %d, ", times->runs, times->warmup, times->threads);
    write_summary(file, "wall", times->wall_s, times->runs, 1);
    fputs(", ", file);
    write_summary(file, "total", times->total_s, times->runs, 1);
    fputs(", ", file);
    write_summary(file, "cpu", times->cpu_s, times->runs, 1);
    fprintf(file, ", \"weights_bytes\": %lu, \"arena_bytes\": %lu, \"gpu_bytes\": %lu",
            (unsigned long)info->weights_bytes, (unsigned long)info->arena_bytes, (unsigned long)info->gpu_bytes);
    if (with_steps) {
        fputs(", \"steps\": [", file);
        for (int s = 0; s < info->step_count; ++s) {
            fputs(s ? ", {\"name\": " : "{\"name\": ", file);
            write_text(file, info->steps[s].name);
            fprintf(file, ", \"engine\": \"%s\", \"launch\": %d, ", info->steps[s].engine,
                    info->steps[s].launch);
            write_summary(file, "time", times->steps_s + s, times->runs, info->step_count);
            fputc('}', file);
        }
        fputc(']', file);
    }
    fputs("}\n", file);
}
