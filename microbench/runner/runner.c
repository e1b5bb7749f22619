/*
 * Runs programs for a host: framed requests on standard input, framed answers on standard output (protocol.h).
 *
 *   runner DIRECTORY IDLE_LIMIT_S
 *
 * DIRECTORY holds uploaded executables (bin/), the lock and the working directories; one runner at a time uses
 * it, unless the GPU is a simulated one. The runner ends with its input, at a signal, after IDLE_LIMIT_S without
 * a request and when a request exceeds its own limit; the GPU's memory is freed in each case.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "protocol.h"
#include "requests.h"
#include "watch.h"

enum { EXIT_USAGE = 64, EXIT_REFUSED = 69, EXIT_BROKEN = 76 };

static int send_fault(int fd, int fault, const char *text)
{
    writer answer = {NULL, 0, 0, 0};
    put_u32(&answer, (uint32_t)fault);
    put_string(&answer, text);
    const int failed = answer.failed || frame_write(fd, FRAME_ERROR, answer.data, answer.size);
    free(answer.data);
    return failed;
}

/* Answers go to a descriptor of their own, so that nothing else printed can damage them. */
static int take_output(void)
{
    const int answers = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    return answers < 0 || nowhere < 0 || dup2(nowhere, STDOUT_FILENO) < 0 ? -1 : answers;
}

/* The first one in cleans up; it then lets others in where they do no harm. 0 when locked. */
static int lock_and_sweep(int fd, const char *directory)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        exec_sweep(directory);
        return backend_shares() ? flock(fd, LOCK_SH) : 0;
    }
    return backend_shares() ? flock(fd, LOCK_SH | LOCK_NB) : -1;
}

/* Keeps a second host away for as long as this process lives. */
static int take_lock(const char *directory, backend_message *why)
{
    char path[4096], holder[32] = "";
    if (snprintf(path, sizeof path, "%s/lock", directory) >= (int)sizeof path)
        return fail(why, FAULT_BOARD, "the runner's directory has too long a name");
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail(why, FAULT_BOARD, "cannot open the lock %s: %s", path, strerror(errno));
    if (lock_and_sweep(fd, directory) != 0) {
        const ssize_t got = read(fd, holder, sizeof holder - 1);
        holder[got > 0 ? got : 0] = '\0';
        close(fd);
        return fail(why, FAULT_BUSY, "process %s there serves another host", holder[0] ? holder : "?");
    }
    const int length = snprintf(holder, sizeof holder, "%ld", (long)getpid());
    if (ftruncate(fd, 0) != 0 || write(fd, holder, (size_t)length) != length)
        return fail(why, FAULT_BOARD, "cannot write the lock %s: %s", path, strerror(errno));
    return 0;
}

static int answer_one(const char *directory, uint32_t type, reader *request, writer *answer, backend_message *why)
{
    switch (type) {
    case FRAME_HELLO:
        return answer_hello(request, answer, why);
    case FRAME_GPU_RUN:
        return answer_gpu_run(request, answer, why);
    case FRAME_EXEC:
        return answer_exec(directory, request, answer, why);
    case FRAME_QUIT:
        return 0;
    default:
        return fail(why, FAULT_PROTOCOL, "request type %u is unknown", (unsigned)type);
    }
}

static int serve(const char *directory, int answers, double idle_limit_s)
{
    static backend_message why;
    for (;;) {
        uint32_t type = 0;
        uint8_t *payload = NULL;
        size_t bytes = 0;
        watch_limit(idle_limit_s);
        const enum frame_result got = frame_read(STDIN_FILENO, &type, &payload, &bytes);
        if (got != FRAME_OK) {
            if (got == FRAME_BROKEN)
                send_fault(answers, FAULT_PROTOCOL, "a frame arrived damaged");
            return got == FRAME_END ? 0 : EXIT_BROKEN;
        }
        reader request = {payload, bytes, 0, 0};
        writer answer = {NULL, 0, 0, 0};
        why.text[0] = '\0';
        if (type == FRAME_QUIT)
            watch_leave(); /* the host hangs up as soon as it has the answer */
        int fault = answer_one(directory, type, &request, &answer, &why);
        if (!fault && answer.failed)
            fault = fail(&why, FAULT_BOARD, "out of memory for the answer");
        const int lost = fault ? send_fault(answers, fault, why.text)
                               : frame_write(answers, type | ANSWER_BIT, answer.data, answer.size);
        free(payload);
        free(answer.data);
        if (lost || type == FRAME_QUIT)
            return lost ? EXIT_BROKEN : 0;
    }
}

int main(int argc, char **argv)
{
    char *end = NULL;
    const double idle_limit_s = argc == 3 ? strtod(argv[2], &end) : 0.0;
    char *directory = argc == 3 ? realpath(argv[1], NULL) : NULL;
    if (!directory || *end != '\0' || !(idle_limit_s > 0.0)) {
        fprintf(stderr, "usage: runner DIRECTORY IDLE_LIMIT_S (an existing directory, a number above 0)\n");
        return EXIT_USAGE;
    }
    const int answers = take_output();
    static backend_message why;
    if (answers < 0)
        return EXIT_REFUSED;
    const int fault = watch_start(STDIN_FILENO, backend_close) != 0
                          ? fail(&why, FAULT_BOARD, "cannot watch the connection: %s", strerror(errno))
                          : take_lock(directory, &why);
    if (fault) {
        send_fault(answers, fault, why.text);
        return EXIT_REFUSED;
    }
    const int code = serve(directory, answers, idle_limit_s);
    watch_leave();
    backend_close();
    free(directory);
    return code;
}
