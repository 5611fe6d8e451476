#include "orchestrator/io/store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int file_fault(struct err *err, const char *path, const char *doing)
{
    enum err_code code = ERR_IO;

    if (errno == EROFS || errno == EACCES || errno == EPERM)
        code = ERR_READONLY;
    else if (errno == ENOSPC || errno == EDQUOT)
        code = ERR_FULL;
    return err_set(err, code, "%s: %s: %s", path, doing, strerror(errno));
}

void store_file_remove(const char *path)
{
    static const char *const ends[] = { "", "-journal", "-wal", "-shm" };
    struct buf name = BUF_INIT;

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        buf_reset(&name);
        buf_printf(&name, "%s%s", path, ends[i]);
        if (!name.failed)
            unlink(buf_text(&name));
    }
    buf_clear(&name);
}

int store_file_beside(const char *path, struct buf *out, struct err *err)
{
    buf_reset(out);
    buf_printf(out, "%s.new", path);
    if (out->failed)
        return err_set(err, ERR_NOMEM, "%s", path);
    store_file_remove(buf_text(out));
    return 0;
}

/* The folder that holds `path`: a name is on the disk when its folder is. */
static int sync_folder(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    struct buf dir = BUF_INIT;
    int fd, rc = 0;

    buf_add(&dir, path, slash == NULL ? 0 : (size_t)(slash - path) + 1);
    buf_str(&dir, ".");
    if (dir.failed) {
        buf_clear(&dir);
        return err_set(err, ERR_NOMEM, "%s", path);
    }
    fd = open(buf_text(&dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        rc = file_fault(err, path, "sync its folder");
    if (fd >= 0)
        close(fd);
    buf_clear(&dir);
    return rc;
}

int store_file_place(const char *from, const char *to, struct err *err)
{
    if (chmod(from, 0600) != 0)
        return file_fault(err, from, "set its mode");
    if (rename(from, to) != 0)
        return file_fault(err, to, "rename");
    return sync_folder(to, err);
}

static int absent(const char *path, const char *told, struct err *err)
{
    struct stat st;

    if (stat(path, &st) == 0)
        return err_set(err, ERR_EXISTS, "%s %s", path, told);
    return errno == ENOENT ? 0 : file_fault(err, path, "look");
}

int store_file_absent(const char *path, struct err *err)
{
    struct buf wal = BUF_INIT;
    int rc = absent(path, "is there already", err);

    buf_printf(&wal, "%s-wal", path);
    if (rc == 0)
        rc = wal.failed ? err_set(err, ERR_NOMEM, "%s", path)
                        : absent(buf_text(&wal), "is there without its database: move it away first", err);
    buf_clear(&wal);
    return rc;
}
