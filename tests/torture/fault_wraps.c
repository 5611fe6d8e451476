/* The project's own calls into the system and into SQLite, on the disk of fault_disk.h: for programs linked with
 * --wrap of each (FAULT_WRAPS in CMakeLists.txt). Names that do not begin with DISK_ROOT go where they always go. */
#include "tests/torture/fault_disk.h"
#include "tests/torture/fault_vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int __real_stat(const char *path, struct stat *st);
int __real_unlink(const char *path);
int __real_remove(const char *path);
int __real_rename(const char *from, const char *to);
int __real_chmod(const char *path, mode_t mode);
int __real_open(const char *path, int flags, ...);
int __real_fsync(int fd);
int __real_close(int fd);

int __wrap_stat(const char *path, struct stat *st);
int __wrap_unlink(const char *path);
int __wrap_remove(const char *path);
int __wrap_rename(const char *from, const char *to);
int __wrap_chmod(const char *path, mode_t mode);
int __wrap_open(const char *path, int flags, ...);
int __wrap_fsync(int fd);
int __wrap_close(int fd);

static int folder = -1; /* the stand-in, while it is open */

static bool ours(const char *path)
{
    return strncmp(path, DISK_ROOT, strlen(DISK_ROOT)) == 0;
}

static bool fails(enum fault_op op)
{
    enum fault_mode m = fault_here(op);

    errno = m == FAULT_DISK_FULL || m == FAULT_FULL_SHORT ? ENOSPC : EIO;
    return m != FAULT_NONE;
}

int __wrap_stat(const char *path, struct stat *st)
{
    const struct disk_file *f;

    if (!ours(path))
        return __real_stat(path, st);
    if (fails(FAULT_STAT))
        return -1;
    f = disk_find(path);
    errno = ENOENT;
    if (f == NULL)
        return -1;
    memset(st, 0, sizeof *st);
    st->st_mode = S_IFREG | 0600;
    st->st_size = f->size;
    return 0;
}

int __wrap_unlink(const char *path)
{
    if (!ours(path))
        return __real_unlink(path);
    if (fails(FAULT_UNLINK))
        return -1;
    errno = ENOENT;
    return disk_unlink(path) ? 0 : -1;
}

int __wrap_remove(const char *path)
{
    return ours(path) ? __wrap_unlink(path) : __real_remove(path);
}

int __wrap_rename(const char *from, const char *to)
{
    if (!ours(from))
        return __real_rename(from, to);
    if (fails(FAULT_RENAME))
        return -1;
    errno = ENOENT;
    return disk_rename(from, to) ? 0 : -1;
}

int __wrap_chmod(const char *path, mode_t mode)
{
    if (!ours(path))
        return __real_chmod(path, mode);
    if (fails(FAULT_CHMOD))
        return -1;
    errno = ENOENT;
    return disk_find(path) != NULL ? 0 : -1;
}

/* Lock files are real and each its own: a child that was forked off must not meet its parent's lock. The folder opens
 * as a stand-in whose sync is the disk's. */
int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    mode_t mode;
    char real[64];
    int fd;

    va_start(args, flags);
    mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (!ours(path))
        return __real_open(path, flags, mode);
    if (fails(FAULT_CREATE))
        return -1;
    if ((flags & O_DIRECTORY) != 0)
        return folder = __real_open("/", flags);
    snprintf(real, sizeof real, "/tmp/pw-fault-XXXXXX");
    (void)mode;
    fd = mkostemp(real, O_CLOEXEC);
    __real_unlink(real);
    return fd;
}

int __wrap_fsync(int fd)
{
    if (fd != folder)
        return __real_fsync(fd);
    if (fails(FAULT_SYNC))
        return -1;
    disk_sync_folder();
    return 0;
}

int __wrap_close(int fd)
{
    folder = fd == folder ? -1 : folder;
    return __real_close(fd);
}
