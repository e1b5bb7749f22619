/* A machine whose CPU alone is of interest. */
#include "backend.h"

#include <stddef.h>
#include <stdio.h>

#include "protocol.h"
#include "software.h" /* made by the build: RUNNER_SOFTWARE */

int backend_prepare(const char *directory, const char *launch, backend_message *why)
{
    (void)directory;
    if (!launch)
        return 0;
    snprintf(why->text, sizeof why->text, "a machine without GPU knows no way to launch named %s", launch);
    return FAULT_PROTOCOL;
}

const char *backend_name(void) { return "none"; }

const char *backend_kind(void) { return "host"; }

const char *backend_software(void) { return RUNNER_SOFTWARE; }

int backend_shares(void) { return 0; }

int backend_open(const double *constants, uint32_t count, double *clock_hz, backend_message *why)
{
    (void)constants, (void)count, (void)why;
    *clock_hz = 0.0;
    return 0;
}

int backend_alloc(uint32_t bytes, uint32_t *bus, void **pointer, backend_message *why)
{
    *bus = 0;
    *pointer = NULL;
    snprintf(why->text, sizeof why->text, "%u bytes of GPU memory wanted of a machine without GPU", (unsigned)bytes);
    return FAULT_CANDIDATE;
}

void backend_free(uint32_t bus) { (void)bus; }

int backend_counter_names(const char *const **names)
{
    static const char *const none[] = {NULL};
    *names = none;
    return 0;
}

int backend_execute(const backend_launch *launch, backend_times *times, backend_message *why)
{
    (void)times;
    snprintf(why->text, sizeof why->text, "a launch of %u QPUs wanted of a machine without GPU",
             (unsigned)launch->num_qpus);
    return FAULT_CANDIDATE;
}

void backend_recover(void) {}

void backend_close(void) {}
