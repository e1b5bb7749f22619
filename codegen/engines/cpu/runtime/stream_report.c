/* What stream says of its frames. The format is described in stream.c. */
#include "stream_report.h"

#include <stdlib.h>
#include <string.h>

#include "platform.h"

typedef struct totals {
    int ended, dropped, late, failed;
    double called_s, launched_s; /* on the CPU by this machine's clock, on the GPU by the platform's */
} totals;

static totals add_up(const stream_result *result)
{
    totals sum = {0};
    for (int i = 0; i < result->frame_count; ++i) {
        const streamed *const each = &result->frames[i];
        sum.dropped += each->is_dropped;
        if (each->is_dropped)
            continue;
        ++sum.ended;
        sum.failed += each->code != 0;
        sum.late += each->times.is_late;
        sum.called_s += each->times.ended_s - each->times.started_s - each->times.awaited_s;
        sum.launched_s += each->times.launched_s;
    }
    return sum;
}

static void write_name(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; ++text) {
        const unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\' || byte < 0x20)
            fprintf(file, "\\u%04x", byte);
        else
            fputc(byte, file);
    }
    fputc('"', file);
}

void write_stream_report(FILE *file, const model_info *info, const stream_result *result)
{
    fputs("{\"format\": 1, \"model\": ", file);
    write_name(file, info->name);
    fprintf(file, ", \"platform\": \"%s\", \"gpu_kind\": \"%s\", \"without_gpu\": ", platform_name(),
            platform_gpu_kind());
    if (result->without_gpu)
        write_name(file, result->without_gpu);
    else
        fputs("null", file);
    fprintf(file, ",\n \"fps\": %.9g, \"capacity\": %d, \"wrong\": %d, \"wall_s\": %.9g, \"cpu_s\": %.9g,\n", result->fps,
            result->capacity, result->wrong, result->wall_s, result->cpu_s);
    fprintf(file, " \"direct\": {\"runs\": %d, \"wall_s\": %.9g},\n \"frames\": [", result->direct_count,
            result->direct_s);
    for (int i = 0; i < result->frame_count; ++i) {
        const streamed *const each = &result->frames[i];
        fprintf(file, "%s\n  {\"due_s\": %.9f, \"dropped\": %s", i ? "," : "", each->due_s,
                each->is_dropped ? "true" : "false");
        if (!each->is_dropped)
            fprintf(file,
                    ", \"code\": %d, \"submitted_s\": %.9f, \"started_s\": %.9f, \"ended_s\": %.9f, \"awaited_s\": %.9f, "
                    "\"launched_s\": %.9f, \"late\": %s",
                    each->code, each->times.submitted_s, each->times.started_s, each->times.ended_s,
                    each->times.awaited_s, each->times.launched_s, each->times.is_late ? "true" : "false");
        fputc('}', file);
    }
    fputs("\n ]}\n", file);
}

static int compare(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void write_latencies(FILE *file, const stream_result *result, int ended)
{
    static const struct {
        const char *name;
        double share;
    } ranks[] = {{"median", 0.5}, {"95 %", 0.95}, {"99 %", 0.99}, {"most", 1.0}};
    double *const sorted = malloc((size_t)(ended + 1) * sizeof *sorted);
    int count = 0;
    if (!sorted || ended == 0) {
        free(sorted);
        return;
    }
    for (int i = 0; i < result->frame_count; ++i)
        if (!result->frames[i].is_dropped)
            sorted[count++] = result->frames[i].times.ended_s - result->frames[i].due_s;
    qsort(sorted, (size_t)count, sizeof *sorted, compare);
    fputs("latency from arrival to end:", file);
    for (unsigned r = 0; r < sizeof ranks / sizeof *ranks; ++r) {
        const int rank = (int)(ranks[r].share * count + 0.999999) - 1;
        fprintf(file, "%s %s %.3f ms", r ? "," : "", ranks[r].name, 1e3 * sorted[rank < 0 ? 0 : rank]);
    }
    fputc('\n', file);
    free(sorted);
}

void write_stream_table(FILE *file, const model_info *info, const stream_result *result)
{
    const totals sum = add_up(result);
    const int is_simulated = strcmp(platform_gpu_kind(), "simulated") == 0 && sum.launched_s > 0.0;
    const double taken_s = is_simulated ? sum.called_s + sum.launched_s : result->wall_s;
    fprintf(file, "%s: %d frames", info->name, result->frame_count);
    if (result->fps > 0.0)
        fprintf(file, " at %g a second", result->fps);
    fprintf(file, ", room for %d\n", result->capacity);
    fprintf(file, "%d ended, %d dropped, %d late, %d failed, %d with other outputs than a run alone gives\n", sum.ended,
            sum.dropped, sum.late, sum.failed, result->wrong);
    fprintf(file, "%.2f frames a second%s", sum.ended / taken_s,
            is_simulated ? " (launches simulated, steps on the CPU by this machine's clock)" : "");
    if (result->direct_count && !is_simulated)
        fprintf(file, "; %.2f without the queue", result->direct_count / result->direct_s);
    fputc('\n', file);
    if (!is_simulated) {
        write_latencies(file, result, sum.ended);
        fprintf(file, "the process used %.1f %% of a core\n", 100.0 * result->cpu_s / result->wall_s);
    }
    if (sum.launched_s > 0.0)
        fprintf(file, "the CPU worked for %.2f %% of a frame's time, the QPUs for the rest\n",
                100.0 * sum.called_s / (sum.called_s + sum.launched_s));
}
