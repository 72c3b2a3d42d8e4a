/* A file system or a clock that misbehaves, for a process that is started with LD_PRELOAD.

   FDL_SHIM        what goes wrong, words separated by blanks: see the functions.
   FDL_SHIM_UNDER  the folder under which files are touched; nothing else is. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int has(const char *word) {
    const char *words = getenv("FDL_SHIM");
    return words && strstr(words, word) != NULL;
}

static int under(const char *path) {
    const char *folder = getenv("FDL_SHIM_UNDER");
    return folder && path && strstr(path, folder) == path;
}

static int held(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return under(path);
}

static int is_folder(int fd) {
    struct stat seen;
    return fstat(fd, &seen) == 0 && S_ISDIR(seen.st_mode);
}

static int fail(int number) {
    errno = number;
    return -1;
}

static int sync_with(const char *name, int fd) {
    if (held(fd)) {
        if (has("no-folder-sync") && is_folder(fd)) return fail(EINVAL);
        if (has("sync-eio")) return fail(EIO);
        if (has("sync-slow")) usleep(700000);
    }
    int (*real)(int) = dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fsync(int fd) { return sync_with("fsync", fd); }
int fdatasync(int fd) { return sync_with("fdatasync", fd); }

int flock(int fd, int operation) {
    if (has("no-locks") && held(fd)) return fail(ENOLCK);
    int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");
    return real(fd, operation);
}

int rename(const char *from, const char *to) {
    struct stat seen;
    if (under(from) && stat(from, &seen) == 0 && S_ISDIR(seen.st_mode)) {
        if (has("no-folder-rename")) return fail(EXDEV);
        if (has("no-old-folder-rename") && time(NULL) - seen.st_ctime > 1) return fail(EXDEV); /* overlayfs */
    }
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    return real(from, to);
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    if (has("no-shared-maps") && fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE) && held(fd)) {
        errno = ENODEV;
        return MAP_FAILED;
    }
    void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, "mmap");
    return real(at, length, protection, flags, fd, offset);
}

int chmod(const char *path, mode_t mode) {
    if (has("no-modes") && under(path)) return fail(EPERM);
    int (*real)(const char *, mode_t) = dlsym(RTLD_NEXT, "chmod");
    return real(path, mode);
}

int link(const char *from, const char *to) {
    if (has("no-links") && under(to)) return fail(EPERM);
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "link");
    return real(from, to);
}

int symlink(const char *target, const char *to) {
    if (has("no-links") && under(to)) return fail(EPERM);
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "symlink");
    return real(target, to);
}

struct passwd;

int getpwuid_r(uid_t user, struct passwd *entry, char *buffer, size_t size, struct passwd **result) {
    if (has("no-user")) { /* as in a container that was given a number for a user */
        *result = NULL;
        return 0;
    }
    int (*real)(uid_t, struct passwd *, char *, size_t, struct passwd **) = dlsym(RTLD_NEXT, "getpwuid_r");
    return real(user, entry, buffer, size, result);
}

int clock_gettime(clockid_t which, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(which, now);
    const char *ahead = getenv("FDL_SHIM_SECONDS");
    if (ahead && code == 0 && which == CLOCK_REALTIME) now->tv_sec += atol(ahead);
    return code;
}
