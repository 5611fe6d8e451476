#include "orchestrator/io/store_lock.h"

#include "schema/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int lock_fault(struct err *err, const char *path)
{
    enum err_code code = ERR_IO;

    if (errno == EROFS || errno == EACCES || errno == EPERM)
        code = ERR_READONLY;
    else if (errno == ENOSPC || errno == EDQUOT)
        code = ERR_FULL;
    return err_set(err, code, "lock file %s: %s", path, strerror(errno));
}

static struct flock whole_file(short type)
{
    return (struct flock){ .l_type = type, .l_whence = SEEK_SET };
}

static int holder_pid(int fd)
{
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);

    return n <= 0 ? 0 : (int)strtol(text, NULL, 10);
}

int store_lock_take(const char *db_path, int *ret_fd, struct err *err)
{
    struct buf path = BUF_INIT;
    struct flock lock = whole_file(F_WRLCK);
    char text[32];
    int fd, rc = 0;

    buf_printf(&path, "%s.lock", db_path);
    fd = open(buf_text(&path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        rc = lock_fault(err, buf_text(&path));
        goto done;
    }
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        if (errno == EAGAIN || errno == EACCES)
            rc = err_set(err, ERR_LOCKED, "%s is in use by another patchwave (pid %d)", db_path,
                         holder_pid(fd));
        else
            rc = lock_fault(err, buf_text(&path));
        close(fd);
        goto done;
    }
    /* The name is a help for people, not the lock: failing to write it is no reason to stop. */
    snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, strlen(text), 0) < 0)
        errno = 0;
    *ret_fd = fd;
done:
    buf_clear(&path);
    return rc;
}

void store_lock_drop(int fd)
{
    if (fd >= 0)
        close(fd);
}

int store_lock_holder(const char *db_path)
{
    struct buf path = BUF_INIT;
    struct flock lock = whole_file(F_WRLCK);
    int pid = 0, fd;

    buf_printf(&path, "%s.lock", db_path);
    fd = open(buf_text(&path), O_RDWR | O_CLOEXEC);
    buf_clear(&path);
    if (fd < 0)
        return 0;
    if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) {
        pid = holder_pid(fd);
        if (pid == 0)
            pid = -1; /* held, and the holder has not written its name yet */
    }
    close(fd);
    return pid;
}
