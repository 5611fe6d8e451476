#include "examples/lab/lab_daemon_impl.h"

#include "examples/lab/lab_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define SAVE_EVERY_MS 1000
#define BACKLOG 256

time_ms daemon_now(const struct daemon *d)
{
    const struct world_meta *m = &d->world.meta;
    struct timeval tv;

    gettimeofday(&tv, NULL);
    /* microseconds, so that a fast clock does not go in jumps */
    return m->anchor_ms + (((int64_t)tv.tv_sec * 1000 - m->anchor_ms) * 1000 + tv.tv_usec) * m->factor / 1000;
}

/* --- time --- */

static void on_next(uv_timer_t *t)
{
    daemon_tick(t->data);
}

static time_ms next_due(const struct daemon *d)
{
    time_ms due = world_next_ms(&d->world);

    for (const struct conn *c = d->conns; c != NULL; c = c->next)
        if (c->ask != NULL && c->ask->deadline < due)
            due = c->ask->deadline;
    return due;
}

static void arm(struct daemon *d)
{
    time_ms due = next_due(d);
    int64_t wait;

    if (due == TIME_NEVER) {
        uv_timer_stop(&d->next);
        return;
    }
    wait = (due - daemon_now(d) + d->world.meta.factor - 1) / d->world.meta.factor;
    uv_timer_start(&d->next, on_next, wait < 0 ? 0 : (uint64_t)wait, 0);
}

void daemon_tick(struct daemon *d)
{
    (void)world_advance(&d->world, daemon_now(d));
    for (struct conn *c = d->conns, *next; c != NULL; c = next) {
        next = c->next;
        conn_poll(c);
    }
    uv_update_time(&d->loop);
    arm(d);
}

static void save(struct daemon *d)
{
    struct err err;

    if (world_store_save(d->store, &d->world, &err) != 0)
        fprintf(stderr, "hvlab: %s\n", err.text);
}

static void on_save(uv_timer_t *t)
{
    save(t->data);
}

/* --- signals --- */

static void on_stop(uv_signal_t *s, int signum)
{
    (void)signum;
    uv_stop(s->loop);
}

static void on_child(uv_signal_t *s, int signum)
{
    (void)signum;
    nodes_reap(s->data);
}

/* --- sockets --- */

static void on_driver(uv_stream_t *s, int status)
{
    if (status == 0)
        conn_accept(s->data, s, false);
}

static void on_admin(uv_stream_t *s, int status)
{
    if (status == 0)
        conn_accept(s->data, s, true);
}

static int listen_at(struct daemon *d, uv_pipe_t *p, const char *path, unsigned mode, uv_connection_cb cb,
                     struct err *err)
{
    int rc;

    (void)unlink(path);
    uv_pipe_init(&d->loop, p, 0);
    p->data = d;
    rc = uv_pipe_bind(p, path);
    if (rc == 0 && chmod(path, (mode_t)mode) != 0)
        rc = uv_translate_sys_error(errno);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)p, BACKLOG, cb);
    return rc == 0 ? 0 : err_set(err, ERR_IO, "listen at %s: %s", path, uv_strerror(rc));
}

static int make_token(struct daemon *d, struct err *err)
{
    unsigned char raw[16];
    char path[LAB_PATH];

    if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw)
        return err_set(err, ERR_IO, "random bytes: %s", strerror(errno));
    for (size_t i = 0; i < sizeof raw; i++)
        snprintf(d->token + 2 * i, 3, "%02x", raw[i]);
    return lab_file_write(lab_path(d->wish->dir, "admin.token", path), d->token, 32, 0600, err);
}

static int open_sockets(struct daemon *d, struct err *err)
{
    char path[LAB_PATH];
    const char *driver =
        d->wish->socket != NULL ? d->wish->socket : lab_path(d->wish->dir, "driver.sock", path);
    int rc = listen_at(d, &d->driver, driver, 0666, on_driver, err);

    if (rc == 0)
        rc = make_token(d, err);
    if (rc == 0)
        rc = listen_at(d, &d->admin, lab_path(d->wish->dir, "admin.sock", path), 0600, on_admin, err);
    if (rc == 0 && d->world.nodes.n > 0) {
        const struct world_node *n = &d->world.nodes.items[0];
        rc = lab_sntp_start(&d->loop, &d->sntp, n->address, (int)n->sntp_port, err);
        d->has_sntp = rc == 0;
    }
    return rc;
}

/* --- life --- */

static int lock_dir(const char *dir, int *ret_fd, struct err *err)
{
    char path[LAB_PATH];
    int fd = open(lab_path(dir, "hvlab.lock", path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_set(err, ERR_IO, "open %s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return err_set(err, ERR_LOCKED, "a lab is already running in %s", dir);
    }
    *ret_fd = fd;
    return 0;
}

static void begin_handles(struct daemon *d)
{
    (void)signal(SIGPIPE, SIG_IGN); /* a driver that was killed does not wait for its answer */
    uv_loop_init(&d->loop);
    uv_timer_init(&d->loop, &d->next);
    uv_timer_init(&d->loop, &d->save);
    uv_signal_init(&d->loop, &d->term);
    uv_signal_init(&d->loop, &d->interrupt);
    uv_signal_init(&d->loop, &d->child);
    d->next.data = d->save.data = d->term.data = d->interrupt.data = d->child.data = d;
    uv_signal_start(&d->term, on_stop, SIGTERM);
    uv_signal_start(&d->interrupt, on_stop, SIGINT);
    uv_signal_start(&d->child, on_child, SIGCHLD);
    uv_timer_start(&d->save, on_save, SAVE_EVERY_MS, SAVE_EVERY_MS);
}

static void on_walk(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static void end_handles(struct daemon *d)
{
    while (d->conns != NULL)
        conn_close(d->conns);
    uv_walk(&d->loop, on_walk, NULL);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    uv_loop_close(&d->loop);
}

static int load(struct daemon *d, struct err *err)
{
    char path[LAB_PATH];
    int rc = world_store_open(lab_path(d->wish->dir, "world.db", path), &d->store, err);

    if (rc == 0)
        rc = world_store_load(d->store, &d->world, err);
    if (rc != 0)
        return rc;
    d->world.on_power = nodes_power;
    d->world.owner = d;
    d->keepers = calloc(d->world.nodes.n + 1, sizeof *d->keepers);
    return d->keepers == NULL ? err_set(err, ERR_NOMEM, "serve") : 0;
}

static int serve(struct daemon *d, struct err *err)
{
    int rc = load(d, err);

    if (rc != 0)
        return rc;
    begin_handles(d);
    rc = open_sockets(d, err);
    if (rc == 0) {
        (void)world_advance(&d->world, daemon_now(d));
        world_fault_apply(&d->world);
        if (d->wish->processes)
            nodes_start(d);
        printf("ready\n");
        fflush(stdout);
        daemon_tick(d);
        uv_run(&d->loop, UV_RUN_DEFAULT);
        d->stopping = true;
        nodes_stop(d);
        save(d);
    }
    end_handles(d);
    return rc;
}

int lab_serve(const struct serve_wish *wish, struct err *err)
{
    struct daemon *d = calloc(1, sizeof *d);
    int lock = -1, rc;

    if (d == NULL)
        return err_set(err, ERR_NOMEM, "serve");
    d->wish = wish;
    rc = lock_dir(wish->dir, &lock, err);
    if (rc == 0) {
        rc = serve(d, err);
        close(lock);
    }
    world_store_close(d->store);
    world_clear(&d->world);
    free(d->keepers);
    free(d);
    return rc == 0 ? 0 : err_wrap(err, "serve");
}
