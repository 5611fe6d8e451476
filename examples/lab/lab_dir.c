#include "examples/lab/lab_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *lab_path(const char *dir, const char *name, char out[LAB_PATH])
{
    snprintf(out, LAB_PATH, "%s/%s", dir, name);
    return out;
}

const char *lab_node_path(const char *dir, const char *node, const char *name, char out[LAB_PATH])
{
    snprintf(out, LAB_PATH, "%s/nodes/%s%s%s", dir, node, name[0] == 0 ? "" : "/", name);
    return out;
}

int lab_file_write(const char *path, const char *text, size_t len, unsigned mode, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, (mode_t)mode);
    ssize_t n = fd < 0 ? -1 : write(fd, text, len);

    if (fd >= 0)
        (void)fchmod(fd, (mode_t)mode);
    if (n < 0 || (size_t)n != len) {
        int e = errno;
        if (fd >= 0)
            close(fd);
        return err_set(err, ERR_IO, "write %s: %s", path, strerror(e));
    }
    return close(fd) == 0 ? 0 : err_set(err, ERR_IO, "write %s: %s", path, strerror(errno));
}

int lab_file_read(const char *path, char **ret_text, size_t *ret_len, struct err *err)
{
    FILE *f = fopen(path, "rbe");
    char *text = NULL;
    size_t len = 0, cap = 0, got;

    if (f == NULL)
        return err_set(err, ERR_IO, "read %s: %s", path, strerror(errno));
    do {
        if (len + 4097 > cap) {
            char *more = realloc(text, cap = cap * 2 + 8192);
            if (more == NULL) {
                free(text);
                fclose(f);
                return err_set(err, ERR_NOMEM, "read %s", path);
            }
            text = more;
        }
        got = fread(text + len, 1, 4096, f);
        len += got;
    } while (got > 0);
    text[len] = 0;
    fclose(f);
    *ret_text = text;
    if (ret_len != NULL)
        *ret_len = len;
    return 0;
}

int lab_mkdir(const char *path, struct err *err)
{
    char part[LAB_PATH];
    size_t len = strlen(path);

    if (len >= sizeof part)
        return err_set(err, ERR_INVALID, "%s: the path is too long", path);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return err_set(err, ERR_IO, "mkdir %s: %s", part, strerror(errno));
    }
    return 0;
}

int lab_own_folder(char out[LAB_PATH], struct err *err)
{
    ssize_t n = readlink("/proc/self/exe", out, LAB_PATH - 1);
    char *slash;

    if (n <= 0)
        return err_set(err, ERR_IO, "readlink /proc/self/exe: %s", strerror(errno));
    out[n] = 0;
    slash = strrchr(out, '/');
    if (slash != NULL)
        *slash = 0;
    return 0;
}
