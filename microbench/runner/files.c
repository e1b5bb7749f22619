#define _GNU_SOURCE

#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "protocol.h"
#include "requests.h"

#define UPLOADED "bin"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

/* A few blocks: a program's last, incomplete one would have fitted. */
enum { PATH_BYTES = 4096, LONGEST_NAME = 200, LEAST_FREE_BYTES = 16384, OLD_S = 3600 };

int is_file_name(const char *text)
{
    const size_t length = strlen(text);
    return length > 0 && length < LONGEST_NAME && text[0] != '.' && strspn(text, LETTERS) == length;
}

/* What this user may still write there; everything where the system does not tell. */
static uint64_t free_bytes(const char *path)
{
    struct statvfs disk;
    return statvfs(path, &disk) == 0 ? (uint64_t)disk.f_bavail * disk.f_frsize : UINT64_MAX;
}

static int full(const char *path, const char *directory, uint64_t needed, backend_message *why)
{
    return fail(why, FAULT_FULL,
                "the disk is full: %s needs %llu bytes, %llu are free; free some there, then run again (programs of "
                "earlier runs are in the runner's directory " UPLOADED ", and may go)",
                path, (unsigned long long)needed, (unsigned long long)free_bytes(directory));
}

int fail_to_write(const char *path, uint64_t needed, backend_message *why)
{
    const int error = errno;
    char directory[PATH_BYTES];
    snprintf(directory, sizeof directory, "%s", path);
    char *last = strrchr(directory, '/');
    if (last)
        *last = '\0';
    if (error == ENOSPC || error == EDQUOT)
        return full(path, directory, needed, why);
    return fail(why, FAULT_BOARD, "cannot write %s: %s", path, strerror(error));
}

int check_space(const char *directory, backend_message *why)
{
    return free_bytes(directory) < LEAST_FREE_BYTES ? full(directory, directory, LEAST_FREE_BYTES, why) : 0;
}

int write_file(const char *directory, const char *name, const uint8_t *data, size_t bytes, backend_message *why)
{
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
        return fail(why, FAULT_BOARD, "%s/%s is too long a name", directory, name);
    FILE *file = fopen(path, "wbx");
    if (!file)
        return fail_to_write(path, bytes, why);
    const int written = fwrite(data, 1, bytes, file) == bytes && fflush(file) == 0;
    const int fault = written ? 0 : fail_to_write(path, bytes, why);
    const int closed = fclose(file) == 0;
    return fault || closed ? fault : fail_to_write(path, bytes, why);
}

int put_file(writer *answer, const char *directory, const char *name, size_t limit)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat status;
    const int there =
        fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && (uint64_t)status.st_size <= limit;
    const size_t bytes = there ? (size_t)status.st_size : 0;
    uint8_t *data = malloc(bytes + 1);
    FILE *file = there ? fdopen(fd, "rb") : NULL;
    const size_t got = file && data ? fread(data, 1, bytes, file) : 0;
    put_bytes(answer, data, got);
    answer->failed |= data == NULL;
    free(data);
    if (file)
        fclose(file);
    else if (fd >= 0)
        close(fd);
    return there && got == bytes ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

void remove_tree(const char *path) { nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

/* An upload has a hidden name until it is complete; one of today may be another host's that is under way. */
static int is_broken_upload(const char *path, const char *name)
{
    struct stat status;
    return name[0] == '.' && stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
           time(NULL) - status.st_mtime > OLD_S;
}

static int is_run(const char *path, const char *name)
{
    (void)path;
    return strncmp(name, RUN_PREFIX, strlen(RUN_PREFIX)) == 0;
}

static void sweep(const char *directory, int (*is_left_behind)(const char *path, const char *name))
{
    DIR *entries = opendir(directory);
    for (struct dirent *entry = entries ? readdir(entries) : NULL; entry; entry = readdir(entries)) {
        char path[PATH_BYTES];
        if (snprintf(path, sizeof path, "%s/%s", directory, entry->d_name) < (int)sizeof path &&
            is_left_behind(path, entry->d_name))
            remove_tree(path);
    }
    if (entries)
        closedir(entries);
}

void sweep_directory(const char *directory)
{
    char uploads[PATH_BYTES];
    sweep(directory, is_run);
    if (snprintf(uploads, sizeof uploads, "%s/" UPLOADED, directory) < (int)sizeof uploads)
        sweep(uploads, is_broken_upload);
}
