/* HELLO: opens the GPU and says what machine this is. */
#define _GNU_SOURCE

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include "conditions.h"
#include "identity.h"
#include "protocol.h"
#include "requests.h"
#include "watch.h"

#define ROOT ""

enum { TEXT_BYTES = 256 };

int fail(backend_message *why, int fault, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why->text, sizeof why->text, format, arguments);
    va_end(arguments);
    return fault;
}

/* How many cores this process may use; at least 1. */
static uint32_t usable_cores(void)
{
    cpu_set_t allowed;
    const int cores = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
    return cores > 0 ? (uint32_t)cores : 1u;
}

int answer_hello(reader *request, writer *answer, backend_message *why)
{
    const uint32_t count = read_count(request, sizeof(double));
    double *constants = malloc((count + 1) * sizeof *constants);
    for (uint32_t i = 0; constants && i < count; ++i)
        constants[i] = read_f64(request);
    double clock_hz = 0.0;
    int fault = !constants     ? fail(why, FAULT_BOARD, "out of memory")
                : request->bad ? fail(why, FAULT_PROTOCOL, "HELLO is shorter than it says")
                               : 0;
    if (!fault) {
        watch_hold();
        fault = backend_open(constants, count, &clock_hz, why);
        watch_go_on();
    }
    free(constants);
    if (fault)
        return fault;
    struct utsname machine;
    char model[TEXT_BYTES], board[TEXT_BYTES], serial[TEXT_BYTES];
    if (uname(&machine) != 0)
        return fail(why, FAULT_BOARD, "uname failed");
    read_cpu_model(ROOT, model, sizeof model);
    read_board_model(ROOT, board, sizeof board);
    read_serial(ROOT, serial, sizeof serial);
    put_u32(answer, PROTOCOL_VERSION);
    put_string(answer, machine.machine);
    put_string(answer, machine.release);
    put_string(answer, model);
    put_string(answer, backend_name());
    put_string(answer, backend_kind());
    put_string(answer, backend_software());
    put_f64(answer, clock_hz);
    put_u32(answer, usable_cores());
    put_string(answer, board);
    put_string(answer, serial);
    put_f64(answer, highest_cpu_clock_hz(SYSTEM_DIRECTORY));
    return 0;
}
