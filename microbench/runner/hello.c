/* HELLO: opens the GPU and says what machine this is. */
#define _GNU_SOURCE

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "protocol.h"
#include "requests.h"

int fail(backend_message *why, int fault, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why->text, sizeof why->text, format, arguments);
    va_end(arguments);
    return fault;
}

/* The first line of /proc/cpuinfo with one of these keys, in this order of preference. */
static void cpu_model(char *model, size_t bytes)
{
    static const char *const keys[] = {"Model", "model name", "Hardware"};
    snprintf(model, bytes, "unknown");
    for (size_t k = 0; k < sizeof keys / sizeof *keys; ++k) {
        FILE *file = fopen("/proc/cpuinfo", "r");
        char line[512];
        int found = 0;
        while (file && !found && fgets(line, sizeof line, file)) {
            const char *value = strchr(line, ':');
            found = value && strncmp(line, keys[k], strlen(keys[k])) == 0;
            if (found)
                snprintf(model, bytes, "%.*s", (int)strcspn(value + 1 + strspn(value + 1, " "), "\n"),
                         value + 1 + strspn(value + 1, " "));
        }
        if (file)
            fclose(file);
        if (found)
            return;
    }
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
                               : backend_open(constants, count, &clock_hz, why);
    free(constants);
    if (fault)
        return fault;
    struct utsname machine;
    char model[256];
    if (uname(&machine) != 0)
        return fail(why, FAULT_BOARD, "uname failed");
    cpu_model(model, sizeof model);
    put_u32(answer, PROTOCOL_VERSION);
    put_string(answer, machine.machine);
    put_string(answer, machine.release);
    put_string(answer, model);
    put_string(answer, backend_name());
    put_string(answer, backend_kind());
    put_string(answer, backend_software());
    put_f64(answer, clock_hz);
    put_u32(answer, usable_cores());
    return 0;
}
