/* What stream says of its frames: a report file, a table, or one line of JSON. */
#ifndef EXPLORE_STREAM_REPORT_H
#define EXPLORE_STREAM_REPORT_H

#include <stdio.h>

#include "frame_queue.h"
#include "model_info.h"

/* A frame of the camera's; times of CLOCK_MONOTONIC. */
typedef struct streamed {
    double due_s; /* when it came */
    int is_dropped, code;
    frame_times times; /* 0 where it was dropped */
} streamed;

typedef struct stream_result {
    double fps; /* at which frames came; 0: one after another, the queue never empty */
    int frame_count, capacity, wrong;
    streamed *frames;
    double wall_s, cpu_s; /* of the queued frames: this machine's clock, and what the process was busy for meanwhile */
    int direct_count;     /* runs without the queue, in turn with the frames, */
    double direct_s;      /* and what they took by the same clock */
    const char *without_gpu;
} stream_result;

/* The report that stream.c describes. */
void write_stream_report(FILE *file, const model_info *info, const stream_result *result);

/* For people. */
void write_stream_table(FILE *file, const model_info *info, const stream_result *result);

#endif
