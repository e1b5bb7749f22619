/* EXEC: runs an uploaded executable in a directory of its own, within a time limit. */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conditions.h"
#include "files.h"
#include "protocol.h"
#include "requests.h"
#include "watch.h"

#define PATH_BYTES 4096
#define HASH_DIGITS 64
#define FILE_LIMIT (1u << 29)

enum { GRACE_S = 10, CANNOT_EXECUTE = 127 };

static int is_hash(const char *text)
{
    return strlen(text) == HASH_DIGITS && strspn(text, "0123456789abcdef") == HASH_DIGITS;
}

typedef struct exec_request {
    char *hash, **arguments, **outputs;
    uint32_t argument_count, file_count, output_count, cores;
    double limit_s;
    char directory[PATH_BYTES], work[PATH_BYTES + 8], program[PATH_BYTES];
} exec_request;

static char **read_strings(reader *from, uint32_t first, uint32_t *count)
{
    *count = read_count(from, 4);
    char **strings = calloc((size_t)first + *count + 1, sizeof *strings);
    for (uint32_t i = 0; strings && i < *count; ++i)
        strings[first + i] = read_string(from);
    from->bad |= strings == NULL;
    return strings;
}

static void free_strings(char **strings, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; strings && i < count; ++i)
        free(strings[first + i]);
    free(strings);
}

/* Reads the request's files straight into the working directory. */
static int receive_files(reader *from, exec_request *run, backend_message *why)
{
    run->file_count = read_count(from, 8);
    int fault = 0;
    for (uint32_t i = 0; i < run->file_count && !fault; ++i) {
        uint32_t bytes = 0;
        char *name = read_string(from);
        const uint8_t *data = read_bytes(from, &bytes);
        if (from->bad || !is_file_name(name))
            fault = fail(why, FAULT_PROTOCOL, "EXEC has a file whose name is not plain");
        else
            fault = write_file(run->work, name, data, bytes, why);
        free(name);
    }
    return fault;
}

static int prepare(const char *directory, exec_request *run, backend_message *why)
{
    if (snprintf(run->program, sizeof run->program, "%s/bin/%s", directory, run->hash) >=
            (int)sizeof run->program ||
        snprintf(run->directory, sizeof run->directory, "%s/" RUN_PREFIX "XXXXXX", directory) >=
            (int)sizeof run->directory)
        return fail(why, FAULT_BOARD, "the runner's directory has too long a name");
    if (access(run->program, X_OK) != 0)
        return fail(why, FAULT_ABSENT, "%s is not here", run->hash);
    if (!mkdtemp(run->directory)) {
        const int fault = fail_to_write(run->directory, 0, why);
        run->directory[0] = '\0';
        return fault;
    }
    snprintf(run->work, sizeof run->work, "%s/work", run->directory);
    return mkdir(run->work, 0700) == 0 ? 0 : fail_to_write(run->work, 0, why);
}

static void redirect(const char *directory, const char *name, int to)
{
    char path[PATH_BYTES + 16];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || dup2(fd, to) < 0)
        _exit(CANNOT_EXECUTE);
    close(fd);
}

/* The last of the cores it may use: the first one serves the interrupts. More than there are pins to all. */
static int pin(uint32_t cores)
{
    cpu_set_t allowed, chosen;
    if (cores == 0)
        return 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return -1;
    CPU_ZERO(&chosen);
    for (int core = CPU_SETSIZE - 1; core >= 0 && cores > 0; --core)
        if (CPU_ISSET(core, &allowed)) {
            CPU_SET(core, &chosen);
            --cores;
        }
    return sched_setaffinity(0, sizeof chosen, &chosen);
}

static void become(exec_request *run, pid_t parent)
{
    const struct rlimit no_core = {0, 0}, largest_file = {FILE_LIMIT, FILE_LIMIT};
    sigset_t none;
    sigemptyset(&none);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &no_core);
    setrlimit(RLIMIT_FSIZE, &largest_file);
    sigprocmask(SIG_SETMASK, &none, NULL);
    const int nothing = open("/dev/null", O_RDONLY);
    if (getppid() != parent || nothing < 0 || dup2(nothing, STDIN_FILENO) < 0)
        _exit(CANNOT_EXECUTE);
    redirect(run->directory, "stdout", STDOUT_FILENO);
    redirect(run->directory, "stderr", STDERR_FILENO);
    if (pin(run->cores) == 0 && chdir(run->work) == 0)
        execv(run->program, run->arguments);
    dprintf(STDERR_FILENO, "cannot execute: %s\n", strerror(errno));
    _exit(CANNOT_EXECUTE);
}

static double clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The child's number stays its own until it is fetched, and with it that of its group. */
static int has_ended(pid_t child, int flags)
{
    siginfo_t ended;
    ended.si_pid = 0;
    return waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT | flags) == 0 && ended.si_pid == child;
}

static int fetch(pid_t child)
{
    int status = 0;
    watch_hold();
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    watch_child(0);
    watch_go_on();
    return status;
}

/* Waits for the child within the limit, then kills it with all it started. */
static enum ending wait_for(pid_t child, double limit_s, int *code)
{
    const double until_s = clock_s() + limit_s;
    sigset_t on_child;
    sigemptyset(&on_child);
    sigaddset(&on_child, SIGCHLD);
    int limited = 0;
    while (!has_ended(child, limited ? 0 : WNOHANG)) {
        const double rest_s = until_s - clock_s();
        const struct timespec rest = {(time_t)rest_s, (long)((rest_s - (double)(time_t)rest_s) * 1e9)};
        limited = rest_s <= 0.0;
        if (limited)
            kill(-child, SIGKILL);
        else
            sigtimedwait(&on_child, NULL, &rest);
    }
    kill(-child, SIGKILL); /* what it left running */
    const int status = fetch(child);
    *code = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    return limited ? ENDED_BY_LIMIT : WIFSIGNALED(status) ? ENDED_BY_SIGNAL : ENDED_BY_EXIT;
}

static pid_t start_child(exec_request *run)
{
    const pid_t parent = getpid();
    watch_hold();
    const pid_t child = fork();
    if (child == 0)
        become(run, parent);
    if (child > 0) {
        setpgid(child, child); /* whichever of the two comes first */
        watch_child(child);
    }
    watch_go_on();
    return child;
}

static int run_child(exec_request *run, writer *answer, backend_message *why)
{
    const conditions before = read_conditions();
    const double start_s = clock_s();
    watch_limit(run->limit_s + GRACE_S);
    const pid_t child = start_child(run);
    if (child < 0)
        return fail(why, FAULT_BOARD, "cannot start a process: %s", strerror(errno));
    int code = 0;
    const enum ending ending = wait_for(child, run->limit_s, &code);
    if (ending != ENDED_BY_EXIT) {
        watch_hold();
        backend_recover();
        watch_go_on();
    }
    put_u32(answer, ending);
    put_u32(answer, (uint32_t)code);
    put_f64(answer, clock_s() - start_s);
    put_file(answer, run->directory, "stdout", FILE_LIMIT);
    put_file(answer, run->directory, "stderr", FILE_LIMIT);
    put_u32(answer, run->output_count);
    for (uint32_t i = 0; i < run->output_count; ++i) {
        const size_t place = answer->size;
        put_u32(answer, 1);
        if (put_file(answer, run->work, run->outputs[i], FILE_LIMIT) != 0 && !answer->failed)
            memset(answer->data + place, 0, sizeof(uint32_t));
    }
    const conditions after = read_conditions();
    put_conditions(answer, &before);
    put_conditions(answer, &after);
    return check_space(run->work, why); /* a program that could not write fails, or writes less, with no fault of its own */
}

static int check_names(const reader *from, const exec_request *run, backend_message *why)
{
    if (from->bad || from->at != from->size || !watch_takes(run->limit_s))
        return fail(why, FAULT_PROTOCOL, "EXEC does not have the length its counts say, or no time limit of at most a month");
    for (uint32_t i = 0; i < run->output_count; ++i)
        if (!is_file_name(run->outputs[i]))
            return fail(why, FAULT_PROTOCOL, "EXEC asks for a file whose name is not plain");
    return 0;
}

int answer_exec(const char *directory, reader *request, writer *answer, backend_message *why)
{
    exec_request run;
    memset(&run, 0, sizeof run);
    run.hash = read_string(request);
    int fault = run.hash && is_hash(run.hash) ? prepare(directory, &run, why)
                                              : fail(why, FAULT_PROTOCOL, "EXEC names no SHA-256");
    if (!fault) {
        run.arguments = read_strings(request, 1, &run.argument_count);
        if (run.arguments)
            run.arguments[0] = run.program;
        fault = receive_files(request, &run, why);
    }
    if (!fault) {
        run.outputs = read_strings(request, 0, &run.output_count);
        run.limit_s = read_f64(request);
        run.cores = read_u32(request);
        fault = check_names(request, &run, why);
    }
    if (!fault)
        fault = run_child(&run, answer, why);
    if (run.directory[0])
        remove_tree(run.directory);
    free_strings(run.arguments, 1, run.argument_count);
    free_strings(run.outputs, 0, run.output_count);
    free(run.hash);
    return fault;
}
