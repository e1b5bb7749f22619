#define _GNU_SOURCE

#include "watch.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { HOPELESS_S = 2, LONGEST_LIMIT_S = 31 * 86400, EXIT_STOPPED = 70, EXIT_CRASHED = 71 };

static int watched_fd, signal_fd, timer_fd;
static void (*leave_all)(void);
static atomic_int child_pid;
static int has_left; /* of the thread that serves */
static pthread_mutex_t whole_steps = PTHREAD_MUTEX_INITIALIZER;

static void stop(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += HOPELESS_S;
    pthread_mutex_timedlock(&whole_steps, &until); /* never given back */
    const pid_t child = atomic_load(&child_pid);
    if (child > 0)
        kill(-child, SIGKILL);
    leave_all();
    _exit(EXIT_STOPPED);
}

static void crashed(int number)
{
    (void)number;
    leave_all();
    _exit(EXIT_CRASHED);
}

static int catch_crashes(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = crashed;
    action.sa_flags = (int)SA_RESETHAND;
    int failed = 0;
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; ++i)
        failed |= sigaction(fatal[i], &action, NULL);
    return failed;
}

static void *watch(void *unused)
{
    struct pollfd on[3] = {{watched_fd, POLLRDHUP, 0}, {signal_fd, POLLIN, 0}, {timer_fd, POLLIN, 0}};
    for (;;) {
        if (poll(on, 3, -1) > 0 && (on[0].revents || on[1].revents || on[2].revents))
            stop();
    }
    return unused;
}

int watch_start(int input_fd, void (*leave)(void))
{
    sigset_t fatal, blocked;
    sigemptyset(&fatal);
    sigaddset(&fatal, SIGHUP);
    sigaddset(&fatal, SIGINT);
    sigaddset(&fatal, SIGTERM);
    sigaddset(&fatal, SIGALRM);
    blocked = fatal;
    sigaddset(&blocked, SIGCHLD); /* fetched with sigtimedwait */
    sigaddset(&blocked, SIGPIPE); /* write reports it */
    if (pthread_sigmask(SIG_BLOCK, &blocked, NULL) != 0)
        return -1;
    watched_fd = input_fd;
    leave_all = leave;
    signal_fd = signalfd(-1, &fatal, SFD_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    pthread_t thread;
    return signal_fd < 0 || timer_fd < 0 || catch_crashes() || pthread_create(&thread, NULL, watch, NULL) != 0 ? -1 : 0;
}

int watch_takes(double seconds) { return seconds > 0.0 && seconds <= LONGEST_LIMIT_S; }

void watch_limit(double seconds)
{
    struct itimerspec limit;
    memset(&limit, 0, sizeof limit);
    limit.it_value.tv_sec = (time_t)seconds;
    limit.it_value.tv_nsec = 1 + (long)((seconds - (double)(time_t)seconds) * 999999998.0);
    timerfd_settime(timer_fd, 0, &limit, NULL);
}

void watch_child(pid_t child) { atomic_store(&child_pid, (int)child); }

void watch_hold(void) { pthread_mutex_lock(&whole_steps); }

void watch_go_on(void) { pthread_mutex_unlock(&whole_steps); }

void watch_leave(void)
{
    if (!has_left)
        watch_hold();
    has_left = 1;
}
