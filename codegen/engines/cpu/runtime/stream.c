/*
 * Runs a bundle on a stream of frames, as a camera would give them, by way of a queue.
 *
 *   stream [--bundle DIR] [--fps F] [--frames N] [--queue N] [--deadline MS] [--direct] [--report FILE]
 *
 * USAGE below is what --help prints. Two inputs are made up and run once alone; frames have the one and the other in turn,
 * and their outputs must be the same bytes. Exit code: 0 done; 1 bad arguments or files; 2 the platform or the bundle could
 * not be opened; 3 a frame failed or had other outputs. Anything but 0 comes with one line on stderr, "error: ...".
 *
 * The report (seconds; of CLOCK_MONOTONIC where they are points in time):
 *
 *   {
 *     "format": 1, "model": "name", "platform": "none" | "mailbox" | "virtual",
 *     "gpu_kind": "none" | "silicon" | "simulated",         what `launched_s` is
 *     "without_gpu": null | "why the plan for the CPU ran instead",
 *     "fps": 30, "capacity": 2,                            0: one frame after another
 *     "wrong": 0,                                          frames with other outputs than a run alone gives
 *     "wall_s": 0.0, "cpu_s": 0.0,                         all queued frames, and what the process was busy for meanwhile
 *     "direct": {"runs": 0, "wall_s": 0.0},                runs without the queue, in turn with the frames
 *     "frames": [{"due_s": 0.0, "dropped": false, "code": 0, "submitted_s": 0.0, "started_s": 0.0, "ended_s": 0.0,
 *                 "awaited_s": 0.0, "launched_s": 0.0, "late": false}, {"due_s": 0.0, "dropped": true}, ...]
 *   }
 */
#define _POSIX_C_SOURCE 200112L

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MODEL_GENERIC_NAMES
#include "model.h"
#include "platform.h"
#include "stream_report.h"

enum { EXIT_FILES = 1, EXIT_OPEN = 2, EXIT_FRAME = 3, INPUTS = 2, BLOCK = 50, MOST_FRAMES = 1000000, MOST_ROOM = 64 };

static const char USAGE[] =
    "stream: runs a bundle on frames as a camera gives them\n"
    "\n"
    "  --bundle DIR   directory of weights.bin and, where the plan uses the GPU, model.qpu (default: this one)\n"
    "  --fps F        frames that come in a second; one that finds the queue full is dropped\n"
    "                 (default: one after another, as fast as they are run; the only way on the virtual board)\n"
    "  --frames N     how many come (default 300)\n"
    "  --queue N      frames that the queue has room for, the one that runs included, 1 to 64 (default 2)\n"
    "  --deadline MS  after which a frame is late, from when it came (default: none is)\n"
    "  --direct       without --fps: as many runs without the queue too, 50 in turn with 50 frames\n"
    "  --report FILE  written: every time of every frame, JSON, instead of the table\n"
    "  --help         this text\n"
    "\n"
    "Exit code: 0 done, 1 bad arguments or files, 2 the bundle or the GPU cannot be opened, 3 a frame failed.\n";

typedef struct options {
    const char *bundle, *report;
    double fps, deadline_s;
    int frames, queue, direct, help;
} options;

/* What a frame lives in, from its arrival until its end is told. */
typedef struct room {
    void **inputs, **outputs;
    frame_ticket ticket; /* 0: free */
    int number;          /* of the frame */
} room;

typedef struct stream {
    const options *chosen;
    const model_info *info;
    model_handle *model;
    frame_queue *queue;
    void **inputs[INPUTS], **expected[INPUTS];
    room rooms[MOST_ROOM];
    stream_result result;
} stream;

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

static int parse_number(const char *text, double lowest, double highest, double *value)
{
    char *end = NULL;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && *value >= lowest && *value <= highest;
}

static int parse_value(options *chosen, const char *name, const char *value)
{
    double number = 0.0;
    int good = 1;
    if (!value)
        return fail(EXIT_FILES, name, "its value is missing, or it is unknown; stream --help lists options");
    if (strcmp(name, "--bundle") == 0)
        chosen->bundle = value;
    else if (strcmp(name, "--report") == 0)
        chosen->report = value;
    else if (strcmp(name, "--fps") == 0 && (good = parse_number(value, 0.001, 1e5, &number)))
        chosen->fps = number;
    else if (strcmp(name, "--deadline") == 0 && (good = parse_number(value, 0.001, 1e7, &number)))
        chosen->deadline_s = 1e-3 * number;
    else if (strcmp(name, "--frames") == 0 && (good = parse_number(value, 1, MOST_FRAMES, &number)))
        chosen->frames = (int)number;
    else if (strcmp(name, "--queue") == 0 && (good = parse_number(value, 1, MOST_ROOM, &number)))
        chosen->queue = (int)number;
    else
        return fail(EXIT_FILES, name, good ? "unknown option; stream --help lists them" : "its value is out of range");
    return 0;
}

static int parse_options(int argc, char **argv, options *chosen)
{
    *chosen = (options){".", NULL, 0.0, 0.0, 300, 2, 0, 0};
    for (int i = 1; i < argc; ++i) {
        if (strcmp(argv[i], "--direct") == 0)
            chosen->direct = 1;
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            chosen->help = 1;
        else {
            const int code = parse_value(chosen, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
            if (code != 0)
                return code;
            ++i;
        }
    }
    if (chosen->direct && chosen->fps > 0.0)
        return fail(EXIT_FILES, "--direct", "is for frames one after another; leave --fps out");
    return 0;
}

/* A block for each tensor; NULL when memory is out, which ends the program: what was taken is not given back. */
static void **new_tensors(int count, const model_tensor *tensors)
{
    void **const made = calloc((size_t)count + 1, sizeof *made);
    for (int i = 0; made && i < count; ++i)
        if (!(made[i] = calloc(tensors[i].elements ? tensors[i].elements : 1, tensors[i].element_bytes)))
            return NULL;
    return made;
}

static void free_tensors(int count, void **tensors)
{
    for (int i = 0; tensors && i < count; ++i)
        free(tensors[i]);
    free(tensors);
}

/* Trial values as bench makes them up, from another state for each input. */
static void make_up(uint32_t state, int count, const model_tensor *tensors, void **pointers)
{
    for (int t = 0; t < count; ++t) {
        float *values = pointers[t];
        for (size_t i = 0; strcmp(tensors[t].type, "float32") == 0 && i < tensors[t].elements; ++i) {
            state = 1664525u * state + 1013904223u;
            values[i] = (float)(state >> 8) / 8388608.0f - 1.0f;
        }
    }
}

static int differ(int count, const model_tensor *tensors, void *const *ones, void *const *others)
{
    int found = 0;
    for (int i = 0; i < count; ++i)
        found |= memcmp(ones[i], others[i], tensors[i].elements * tensors[i].element_bytes) != 0;
    return found;
}

/* A frame's end, if it has come, or once it has. */
static void take_end(stream *self, room *taken, int waits)
{
    streamed *const frame = &self->result.frames[taken->number];
    const int code = (waits ? model_wait : model_poll)(self->model, self->queue, taken->ticket, &frame->times);
    if (code == FRAME_PENDING)
        return;
    frame->code = code;
    taken->ticket = 0;
    self->result.wrong += code == 0 && differ(self->info->output_count, self->info->outputs, taken->outputs,
                                              self->expected[taken->number % INPUTS]);
}

/* The oldest frame's room, or any that is free; `waits`: until there is one. NULL: all are taken. */
static room *free_room(stream *self, int waits)
{
    room *oldest = NULL;
    for (int i = 0; i < self->chosen->queue; ++i) {
        room *const each = &self->rooms[i];
        if (each->ticket)
            take_end(self, each, 0);
        if (!each->ticket)
            return each;
        if (!oldest || each->number < oldest->number)
            oldest = each;
    }
    if (!waits)
        return NULL;
    take_end(self, oldest, 1);
    return oldest;
}

/* What a camera's picture costs before it is an input: one copy. */
static void prepare(const stream *self, int number, void *const *inputs)
{
    for (int i = 0; i < self->info->input_count; ++i)
        memcpy(inputs[i], self->inputs[number % INPUTS][i],
               self->info->inputs[i].elements * self->info->inputs[i].element_bytes);
}

static void give_frame(stream *self, int number, int waits)
{
    streamed *const frame = &self->result.frames[number];
    room *const taken = free_room(self, waits);
    frame->is_dropped = taken == NULL;
    if (!taken)
        return;
    if (waits)
        frame->due_s = clock_s(CLOCK_MONOTONIC);
    prepare(self, number, taken->inputs);
    const double deadline_s = self->chosen->deadline_s > 0.0 ? frame->due_s + self->chosen->deadline_s : 0.0;
    taken->number = number;
    frame->is_dropped = model_submit(self->model, self->queue,
                                     &(frame_job){(const void *)taken->inputs, taken->outputs, 0, deadline_s},
                                     &taken->ticket) != 0;
}

static void take_all(stream *self)
{
    for (int i = 0; i < self->chosen->queue; ++i)
        if (self->rooms[i].ticket)
            take_end(self, &self->rooms[i], 1);
}

static void sleep_until(double due_s)
{
    const double left_s = due_s - clock_s(CLOCK_MONOTONIC);
    if (left_s <= 0.0)
        return;
    const struct timespec pause = {(time_t)left_s, (long)(1e9 * (left_s - (double)(time_t)left_s))};
    nanosleep(&pause, NULL);
}

/* What has passed since a clock and the process's own clock said these. */
static void add_time(stream *self, double since_s, double since_cpu_s)
{
    self->result.wall_s += clock_s(CLOCK_MONOTONIC) - since_s;
    self->result.cpu_s += clock_s(CLOCK_PROCESS_CPUTIME_ID) - since_cpu_s;
}

static void stream_paced(stream *self)
{
    const double start_s = clock_s(CLOCK_MONOTONIC), start_cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    for (int number = 0; number < self->chosen->frames; ++number) {
        self->result.frames[number].due_s = start_s + number / self->chosen->fps;
        sleep_until(self->result.frames[number].due_s);
        give_frame(self, number, 0);
    }
    take_all(self);
    add_time(self, start_s, start_cpu_s);
}

/* The same work without the queue: prepare, run, compare. */
static int run_direct(stream *self, int first, int count)
{
    room *const taken = &self->rooms[0];
    const double start_s = clock_s(CLOCK_MONOTONIC);
    int code = 0;
    for (int number = first; number < first + count && code == 0; ++number) {
        prepare(self, number, taken->inputs);
        code = model_run(self->model, (const void *)taken->inputs, (void *)taken->outputs);
        self->result.wrong += differ(self->info->output_count, self->info->outputs, taken->outputs,
                                     self->expected[number % INPUTS]);
    }
    self->result.direct_s += clock_s(CLOCK_MONOTONIC) - start_s;
    self->result.direct_count += count;
    return code;
}

/* Frames as fast as they are run, the queue never empty but before runs without it, which `wall_s` leaves out. */
static int stream_in_turn(stream *self)
{
    for (int first = 0; first < self->chosen->frames; first += BLOCK) {
        const int last = first + BLOCK < self->chosen->frames ? first + BLOCK : self->chosen->frames;
        const double start_s = clock_s(CLOCK_MONOTONIC), start_cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID);
        for (int number = first; number < last; ++number)
            give_frame(self, number, 1);
        if (self->chosen->direct || last == self->chosen->frames)
            take_all(self);
        add_time(self, start_s, start_cpu_s);
        const int code = self->chosen->direct ? run_direct(self, first, last - first) : 0;
        if (code != 0)
            return code;
    }
    return 0;
}

static int failed_frames(const stream_result *result)
{
    int failed = 0;
    for (int i = 0; i < result->frame_count; ++i)
        failed += !result->frames[i].is_dropped && result->frames[i].code != 0;
    return failed;
}

static int show(const stream *self)
{
    FILE *const file = self->chosen->report ? fopen(self->chosen->report, "w") : stdout;
    if (!file)
        return fail(EXIT_FILES, self->chosen->report, strerror(errno));
    (self->chosen->report ? write_stream_report : write_stream_table)(file, self->info, &self->result);
    const int broken = fflush(file) != 0 || ferror(file);
    if ((file != stdout && fclose(file) != 0) || broken)
        return fail(EXIT_FILES, self->chosen->report ? self->chosen->report : "standard output", "cannot be written");
    return 0;
}

static int run_stream(stream *self)
{
    for (int i = 0; i < INPUTS; ++i) {
        const int code = model_run(self->model, (const void *)self->inputs[i], (void *)self->expected[i]);
        if (code != PLATFORM_OK)
            return fail(EXIT_FRAME, "run", platform_message(code));
    }
    int code = 0;
    if (self->chosen->fps > 0.0)
        stream_paced(self);
    else
        code = stream_in_turn(self);
    if (code != 0)
        return fail(EXIT_FRAME, "run", platform_message(code));
    code = show(self);
    if (code == 0 && (failed_frames(&self->result) || self->result.wrong))
        return fail(EXIT_FRAME, "frames", "some failed, or had other outputs than a run alone gives");
    return code;
}

static int load_and_stream(stream *self)
{
    char error[512] = "";
    if (model_open(self->chosen->bundle, &self->model, error, sizeof error) != PLATFORM_OK)
        return fail(EXIT_OPEN, "init", error);
    self->result.without_gpu = model_without_gpu(self->model);
    if (self->result.without_gpu)
        fprintf(stderr, "warning: the plan for the CPU runs: %s\n", self->result.without_gpu);
    int code = 0;
    if (self->chosen->fps > 0.0 && !self->result.without_gpu && self->info->launch_count > 0 &&
        strcmp(platform_gpu_kind(), "simulated") == 0)
        code = fail(EXIT_FILES, "--fps", "the virtual board's time is not this machine's; leave it out");
    else if (!(self->queue = frame_queue_new(self->chosen->queue)))
        code = fail(EXIT_FILES, "threads", "the queue's cannot be started");
    else
        code = run_stream(self);
    frame_queue_free(self->queue);
    model_free(self->model);
    return code;
}

static int allocate(stream *self)
{
    const model_info *const info = self->info;
    int complete = (self->result.frames = calloc((size_t)self->chosen->frames, sizeof *self->result.frames)) != NULL;
    for (int i = 0; i < INPUTS && complete; ++i) {
        self->inputs[i] = new_tensors(info->input_count, info->inputs);
        self->expected[i] = new_tensors(info->output_count, info->outputs);
        complete = self->inputs[i] && self->expected[i];
        if (complete)
            make_up((uint32_t)i + 1, info->input_count, info->inputs, self->inputs[i]);
    }
    for (int i = 0; i < self->chosen->queue && complete; ++i) {
        self->rooms[i].inputs = new_tensors(info->input_count, info->inputs);
        self->rooms[i].outputs = new_tensors(info->output_count, info->outputs);
        complete = self->rooms[i].inputs && self->rooms[i].outputs;
    }
    return complete;
}

static void release(stream *self)
{
    const model_info *const info = self->info;
    for (int i = 0; i < INPUTS; ++i) {
        free_tensors(info->input_count, self->inputs[i]);
        free_tensors(info->output_count, self->expected[i]);
    }
    for (int i = 0; i < self->chosen->queue; ++i) {
        free_tensors(info->input_count, self->rooms[i].inputs);
        free_tensors(info->output_count, self->rooms[i].outputs);
    }
    free(self->result.frames);
}

int main(int argc, char **argv)
{
    options chosen;
    int code = parse_options(argc, argv, &chosen);
    if (code != 0)
        return code;
    if (chosen.help)
        return fputs(USAGE, stdout) < 0 ? EXIT_FILES : 0;
    stream self = {.chosen = &chosen, .info = model_describe()};
    self.result.fps = chosen.fps;
    self.result.frame_count = chosen.frames;
    self.result.capacity = chosen.queue;
    code = allocate(&self) ? load_and_stream(&self) : fail(EXIT_FILES, "memory", "not enough for frames");
    release(&self);
    return code;
}
