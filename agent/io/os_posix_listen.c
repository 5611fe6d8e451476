/* os_listen.h on POSIX systems: a socket file, closed by its mode. */
#include "agent/io/os_listen.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct os_listener {
    uv_pipe_t pipe;
    struct os_listener_owner owner;
};

static int protect(const char *path, const char *group, struct err *err)
{
    const struct group *g = group == NULL ? NULL : getgrnam(group);

    if (group != NULL && g == NULL)
        return err_set(err, ERR_INVALID, "there is no group %s", group);
    if (g != NULL && chown(path, (uid_t)-1, g->gr_gid) != 0)
        return err_set(err, ERR_IO, "give to the group %s: %s", path, strerror(errno));
    if (chmod(path, g == NULL ? 0600 : 0660) != 0)
        return err_set(err, ERR_IO, "protect %s: %s", path, strerror(errno));
    return 0;
}

static void on_connection(uv_stream_t *pipe, int status)
{
    struct os_listener *l = pipe->data;

    if (status == 0)
        l->owner.on_peer(l->owner.owner);
}

static void on_failed(uv_handle_t *h)
{
    free(h->data);
}

static void on_closed(uv_handle_t *h)
{
    struct os_listener_owner owner = ((struct os_listener *)h->data)->owner;

    free(h->data);
    owner.on_closed(owner.owner);
}

int os_listen(uv_loop_t *loop, const char *path, const char *group, struct os_listener_owner owner,
              struct os_listener **ret_listener, struct err *err)
{
    struct os_listener *l = calloc(1, sizeof *l);
    int rc;

    if (l == NULL)
        return err_set(err, ERR_NOMEM, "listen");
    l->owner = owner;
    (void)unlink(path); /* the lock says that nobody listens on it */
    uv_pipe_init(loop, &l->pipe, 0);
    l->pipe.data = l;
    rc = uv_pipe_bind(&l->pipe, path);
    if (rc != 0)
        rc = err_set(err, ERR_IO, "listen at %s: %s", path, uv_strerror(rc));
    else
        rc = protect(path, group, err);
    if (rc == 0 && uv_listen((uv_stream_t *)&l->pipe, 32, on_connection) != 0)
        rc = err_set(err, ERR_IO, "listen at %s", path);
    if (rc != 0) {
        uv_close((uv_handle_t *)&l->pipe, on_failed);
        return rc;
    }
    *ret_listener = l;
    return 0;
}

int os_accept(struct os_listener *l, uv_pipe_t *pipe)
{
    return uv_accept((uv_stream_t *)&l->pipe, (uv_stream_t *)pipe);
}

void os_listener_close(struct os_listener *l)
{
    uv_close((uv_handle_t *)&l->pipe, on_closed);
}
