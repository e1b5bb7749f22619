/*
 * Runs programs for a host: framed requests on standard input, framed answers on standard output (protocol.h).
 *
 *   runner DIRECTORY IDLE_LIMIT_S HOLDER [LAUNCH]
 *
 * DIRECTORY holds uploaded executables (bin/), the lock and the working directories; one runner at a time uses
 * it, unless the GPU is a simulated one. HOLDER is what another host is told of who works here. LAUNCH is how a
 * Raspberry Pi launches QPU programs: "mailbox" (by its firmware; the default) or "registers" (directly). The runner
 * ends with its input, at a signal, a crash of its own included, after IDLE_LIMIT_S without a request and when
 * a request exceeds its own limit. The GPU's memory is freed in each case, and also when it is killed.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lock.h"
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
        lock_leave(); /* the answer says that nothing more of this runner's will change on the disk */
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
    const int complete = argc == 4 || argc == 5;
    const double idle_limit_s = complete ? strtod(argv[2], &end) : 0.0;
    char *directory = complete ? realpath(argv[1], NULL) : NULL;
    if (!directory || *end != '\0' || !watch_takes(idle_limit_s)) {
        fprintf(stderr, "usage: runner DIRECTORY IDLE_LIMIT_S HOLDER [mailbox|registers] (an existing directory, "
                        "seconds above 0 and at most a month, a name)\n");
        return EXIT_USAGE;
    }
    const int answers = take_output();
    static backend_message why;
    if (answers < 0)
        return EXIT_REFUSED;
    int fault = backend_prepare(directory, argc == 5 ? argv[4] : NULL, &why);
    if (!fault && watch_start(STDIN_FILENO, lock_leave) != 0)
        fault = fail(&why, FAULT_BOARD, "cannot watch the connection: %s", strerror(errno));
    if (!fault)
        fault = lock_take(directory, argv[3], &why);
    if (fault) {
        send_fault(answers, fault, why.text);
        return EXIT_REFUSED;
    }
    const int code = serve(directory, answers, idle_limit_s);
    watch_leave();
    backend_close();
    lock_leave();
    free(directory);
    return code;
}
