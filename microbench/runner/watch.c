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

enum { RELEASE_WAIT_S = 2, EXIT_STOPPED = 70, EXIT_CRASHED = 71 };

static int watched_fd, signal_fd, timer_fd;
static void (*release_all)(void);
static atomic_int child_pid, leaving;
static pthread_mutex_t gpu_lock = PTHREAD_MUTEX_INITIALIZER;

/* A launch on silicon ends within a second, so the wait succeeds; a simulated GPU needs no freeing. */
static void stop(void)
{
    const pid_t child = atomic_load(&child_pid);
    while (atomic_load(&leaving))
        pause();
    if (child > 0)
        kill(-child, SIGKILL);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RELEASE_WAIT_S;
    if (pthread_mutex_timedlock(&gpu_lock, &until) == 0)
        release_all();
    _exit(EXIT_STOPPED);
}

/*
 * A crash of the runner itself must not keep GPU memory until the next boot. Releasing is not safe in a handler in
 * general: a second crash takes the default way out, and a deadlock meets the alarm that the watching thread receives.
 */
static void crashed(int number)
{
    (void)number;
    alarm(1);
    release_all();
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

int watch_start(int input_fd, void (*release)(void))
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
    release_all = release;
    signal_fd = signalfd(-1, &fatal, SFD_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    pthread_t thread;
    return signal_fd < 0 || timer_fd < 0 || catch_crashes() || pthread_create(&thread, NULL, watch, NULL) != 0 ? -1 : 0;
}

void watch_limit(double seconds)
{
    struct itimerspec limit;
    memset(&limit, 0, sizeof limit);
    limit.it_value.tv_sec = (time_t)seconds;
    limit.it_value.tv_nsec = 1 + (long)((seconds - (double)(time_t)seconds) * 999999998.0);
    timerfd_settime(timer_fd, 0, &limit, NULL);
}

void watch_child(pid_t child) { atomic_store(&child_pid, (int)child); }

void watch_leave(void) { atomic_store(&leaving, 1); }

void watch_gpu_begin(void) { pthread_mutex_lock(&gpu_lock); }

void watch_gpu_end(void) { pthread_mutex_unlock(&gpu_lock); }
