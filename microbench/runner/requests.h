/* One function per request: reads its payload, appends the answer's. */
#ifndef EXPLORE_RUNNER_REQUESTS_H
#define EXPLORE_RUNNER_REQUESTS_H

#include "backend.h"
#include "wire.h"

/* Each returns 0, or an enum fault with its message. */
int answer_hello(reader *request, writer *answer, backend_message *why);
int answer_gpu_run(reader *request, writer *answer, backend_message *why);
int answer_exec(const char *directory, reader *request, writer *answer, backend_message *why);

/* Writes a message and returns the fault, so that callers can `return fail(...)`. */
int fail(backend_message *why, int fault, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
