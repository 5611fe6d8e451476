#include "tests/live/ssh_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define UNTIL_MS 90000

int ssh_world_open(void **state)
{
    struct ssh_world *w = calloc(1, sizeof *w);
    struct err err;

    check_ok(ssh_library_begin(&err), &err);
    bed_open(&w->bed);
    (void)snprintf(w->command, sizeof w->command, "%s %s", ECHO_AGENT, w->bed.dir);
    (void)bed_path(&w->bed, "user_ed25519", w->key);
    sshd_start(&w->bed, &w->sshd, &(struct sshd_setup){ .command = w->command });
    *state = w;
    return 0;
}

int ssh_world_close(void **state)
{
    struct ssh_world *w = *state;

    sshd_stop(&w->sshd);
    bed_close(&w->bed);
    free(w);
    ssh_library_end();
    return 0;
}

int ssh_world_begin(void **state)
{
    struct ssh_world *w = *state;
    struct err err;

    check_ok(loop_new(&w->loop, &err), &err);
    ssh_world_keys(w, "", NULL, NULL);
    return 0;
}

void ssh_world_keys(struct ssh_world *w, const char *agent_socket, ssh_passphrase_fn *ask, void *ask_arg)
{
    const struct ssh_keyring_config keys = {
        .loop = w->loop, .agent_socket = agent_socket, .ask = ask, .ask_arg = ask_arg
    };
    struct ssh_pool_config pool = { .loop = w->loop, .backoff_min_ms = 20, .backoff_max_ms = 200, .seed = 1 };
    struct err err;

    ssh_pool_free(w->pool);
    ssh_keyring_free(w->keys);
    check_ok(ssh_keyring_new(&keys, &w->keys, &err), &err);
    pool.keys = w->keys;
    check_ok(ssh_pool_new(&pool, &w->pool, &err), &err);
}

int ssh_world_end(void **state)
{
    struct ssh_world *w = *state;

    if (ssh_pool_counts(w->pool).links == 0) { /* else the test failed half-way: let its message be seen */
        ssh_pool_free(w->pool);
        ssh_keyring_free(w->keys);
        loop_free(w->loop);
    }
    w->pool = NULL;
    w->keys = NULL;
    w->loop = NULL;
    return 0;
}

struct ssh_target ssh_world_target(const struct ssh_world *w, const struct sshd_bed *d)
{
    return (struct ssh_target){
        .node = "HV07",
        .address = d->address,
        .port = d->port,
        .user = w->bed.user,
        .key_file = w->key,
        .pin = &d->hostkey,
    };
}

void ssh_world_until(struct ssh_world *w, bool (*done)(void *arg), void *arg)
{
    int64_t limit = loop_now_ms(w->loop) + UNTIL_MS;

    while (!done(arg)) {
        loop_turn(w->loop, 50);
        if (loop_now_ms(w->loop) > limit)
            fail_msg("waited %d ms in vain", UNTIL_MS);
    }
}

void ssh_world_turn(struct ssh_world *w, dur_ms for_ms)
{
    int64_t limit = loop_now_ms(w->loop) + for_ms;

    while (loop_now_ms(w->loop) < limit)
        loop_turn(w->loop, 10);
}

double cpu_seconds(void)
{
    struct rusage u;

    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void on_seen_ready(void *arg)
{
    struct seen_session *s = arg;

    assert_false(s->ready);
    s->ready = true;
}

static void on_seen_end(void *arg, const struct err *why)
{
    struct seen_session *s = arg;

    assert_false(s->ended); /* told once */
    s->ended = true;
    s->why = *why;
    s->session = NULL;
}

void seen_open(struct ssh_world *w, struct seen_session *s, const struct ssh_target *t, bool learn)
{
    const struct ssh_session_config config = { .loop = w->loop,
                                               .keys = w->keys,
                                               .target = t,
                                               .learn = learn,
                                               .on_ready = on_seen_ready,
                                               .on_end = on_seen_end,
                                               .arg = s };
    struct err err;

    memset(s, 0, sizeof *s);
    check_ok(ssh_session_open(&config, &s->session, &err), &err);
}

bool seen_settled(void *arg)
{
    const struct seen_session *s = arg;

    return s->ready || s->ended;
}

void seen_run(struct ssh_world *w, struct seen_session *s, const struct ssh_target *t, bool learn)
{
    seen_open(w, s, t, learn);
    ssh_world_until(w, seen_settled, s);
}

void seen_close(struct seen_session *s)
{
    if (s->session != NULL)
        ssh_session_close(s->session);
    s->session = NULL;
}

static void on_link_up(void *arg, struct ssh_session *session)
{
    struct seen_link *l = arg;

    assert_ptr_equal(ssh_link_session(l->link), session);
    l->ups++;
}

static void on_link_down(void *arg, const struct err *why, dur_ms retry_ms)
{
    struct seen_link *l = arg;

    l->downs++;
    l->why = *why;
    l->retry_ms = retry_ms;
    l->longest_ms = retry_ms > l->longest_ms ? retry_ms : l->longest_ms;
}

void seen_link_open(struct ssh_pool *pool, struct seen_link *l, const struct ssh_target *t)
{
    const struct ssh_link_config config = {
        .target = t, .on_up = on_link_up, .on_down = on_link_down, .arg = l
    };
    struct err err;

    memset(l, 0, sizeof *l);
    check_ok(ssh_link_new(pool, &config, &l->link, &err), &err);
    ssh_link_open(l->link);
}

bool seen_link_up(void *arg)
{
    return ((struct seen_link *)arg)->ups > 0;
}

bool seen_link_down(void *arg)
{
    return ((struct seen_link *)arg)->downs > 0;
}

static void on_exec_open(void *arg)
{
    ((struct seen_exec *)arg)->opened = true;
}

static void on_exec_data(void *arg, const void *data, size_t len)
{
    (void)data;
    ((struct seen_exec *)arg)->got += len;
}

static void on_exec_end(void *arg, const struct ssh_exec_end *end)
{
    struct seen_exec *x = arg;

    assert_false(x->ended);
    x->ended = true;
    x->exit_status = end->exit_status;
    x->why = end->why;
    (void)snprintf(x->errors, sizeof x->errors, "%s", end->errors);
}

bool seen_exec_ended(void *arg)
{
    return ((struct seen_exec *)arg)->ended;
}

void seen_exec_start(struct seen_link *l, struct seen_exec *x, const char *command)
{
    const struct ssh_exec_config config = {
        .command = command, .on_open = on_exec_open, .on_data = on_exec_data, .on_end = on_exec_end, .arg = x
    };
    struct err err;

    memset(x, 0, sizeof *x);
    check_ok(ssh_exec_start(ssh_link_session(l->link), &config, &x->exec, &err), &err);
}
