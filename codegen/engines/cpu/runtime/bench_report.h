/* What bench says of its runs: a report file, a table, or one line of JSON. */
#ifndef EXPLORE_BENCH_REPORT_H
#define EXPLORE_BENCH_REPORT_H

#include <stdio.h>

#include "model_info.h"

/* Times of all timed runs in seconds: run r, column c at [r * columns + c]. */
typedef struct timings {
    int runs, warmup, threads;
    const char *without_gpu; /* why the plan for the CPU ran instead; NULL: it did not */
    double *total_s, *wall_s, *cpu_s, *steps_s, *launches_s;
} timings;

/* The report that main.c describes. */
void write_report(FILE *file, const model_info *info, const timings *times);

/* For people; `with_steps` adds a row for each step. Sorts nothing that the others need: it works on copies. */
void write_table(FILE *file, const model_info *info, const timings *times, int with_steps);

/* The same as one line of JSON. */
void write_line(FILE *file, const model_info *info, const timings *times, int with_steps);

#endif
