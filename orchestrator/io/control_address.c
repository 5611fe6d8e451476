#include "orchestrator/io/control_address.h"

#include "schema/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

char *control_path(const char *db_path)
{
    size_t n = strlen(db_path) + sizeof ".sock";
    char *path = malloc(n);

    if (path != NULL)
        snprintf(path, n, "%s.sock", db_path);
    return path;
}

/* Through an open descriptor of the folder: the name then is short, whatever the path is. */
int control_address_of(const char *db_path, struct control_address *ret, struct err *err)
{
    const char *slash = strrchr(db_path, '/'), *base = slash == NULL ? db_path : slash + 1;
    struct buf dir = BUF_INIT;
    int n, rc = 0;

    *ret = (struct control_address){ .name.sun_family = AF_UNIX };
    buf_add(&dir, slash == NULL ? "." : db_path, slash == NULL ? 1 : (size_t)(slash - db_path) + 1);
    ret->dir_fd = open(buf_text(&dir), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (ret->dir_fd < 0)
        rc = err_set(err, ERR_IO, "%s: %s", buf_text(&dir), strerror(errno));
    buf_clear(&dir);
    if (rc != 0)
        return rc;
    n = snprintf(ret->name.sun_path, sizeof ret->name.sun_path, "/proc/self/fd/%d/%s.sock", ret->dir_fd,
                 base);
    if (n < 0 || (size_t)n >= sizeof ret->name.sun_path) {
        control_address_done(ret);
        return err_set(err, ERR_IO, "%s: the file's name is too long for a control socket", db_path);
    }
    return 0;
}

void control_address_done(struct control_address *a)
{
    if (a->dir_fd >= 0)
        close(a->dir_fd);
    a->dir_fd = -1;
}
