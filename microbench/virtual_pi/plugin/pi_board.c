#define _GNU_SOURCE

#include "pi_board.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE "firmware.state"
#define CONDITIONS "conditions"
#define LOG "log"

enum { NAME_BYTES = 64, LINE_BYTES = 4096 };

static char board[PI_PATH_BYTES - NAME_BYTES];
static pi_state *state;
static int held_file = -1;
static pthread_mutex_t one_thread = PTHREAD_MUTEX_INITIALIZER;

void pi_board_path(const char *name, char *path) { snprintf(path, PI_PATH_BYTES, "%s/%s", board, name); }

static int open_state(void)
{
    char path[PI_PATH_BYTES];
    pi_board_path(STATE, path);
    return open(path, O_RDWR | O_CLOEXEC);
}

int pi_board_open(const char *directory)
{
    if (strlen(directory) >= sizeof board)
        return -1;
    strcpy(board, directory);
    const int file = open_state();
    struct stat status;
    if (file < 0)
        return -1;
    state = fstat(file, &status) == 0 && status.st_size >= (off_t)sizeof *state
                ? mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)
                : MAP_FAILED;
    close(file);
    return state == MAP_FAILED ? -1 : 0;
}

/* The file is opened each time: programs close descriptors that they know nothing of. */
pi_state *pi_state_hold(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    pthread_mutex_lock(&one_thread);
    held_file = open_state();
    if (held_file >= 0 && fcntl(held_file, F_SETLKW, &lock) == 0)
        return state;
    pi_state_let_go();
    return NULL;
}

void pi_state_let_go(void)
{
    if (held_file >= 0)
        close(held_file);
    held_file = -1;
    pthread_mutex_unlock(&one_thread);
}

static double *place_of(pi_conditions *conditions, const char *name)
{
#define PI_FIELD(field) \
    if (strcmp(name, #field) == 0) \
        return &conditions->field;
    PI_CONDITIONS(PI_FIELD)
#undef PI_FIELD
    return NULL;
}

pi_conditions pi_conditions_after(uint32_t launches)
{
    char path[PI_PATH_BYTES], line[2 * NAME_BYTES], name[NAME_BYTES];
    pi_conditions conditions;
    memset(&conditions, 0, sizeof conditions);
    pi_board_path(CONDITIONS, path);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        double value = 0.0;
        unsigned from = 0;
        if (sscanf(line, "%63s %lf %u", name, &value, &from) < 2)
            continue;
        double *place = place_of(&conditions, name);
        if (place && launches >= from)
            *place = value;
    }
    if (file)
        fclose(file);
    return conditions;
}

void pi_log(const char *format, ...)
{
    char path[PI_PATH_BYTES], line[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    length = length < (int)sizeof line - 2 ? length : (int)sizeof line - 2;
    line[length++] = '\n';
    pi_board_path(LOG, path);
    const int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file >= 0) {
        const ssize_t written = write(file, line, (size_t)length);
        (void)written; /* of a full disk there is nobody to tell */
        close(file);
    }
}
