#include "orchestrator/io/ssh_session_impl.h"

#include "orchestrator/io/ssh_algorithms.h"
#include "schema/sm.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS_MAX 16
#define FREE_TRIES_MAX 64

enum { SSH_HAS_SOCKET = 1u << 8 /* libssh2 has it, and we watch it */ };
#define TO(state) (1u << SSH_##state)
static const struct sm_state states[SSH_STATES] = {
    [SSH_DIAL] = { "connecting", TO(GATE) | TO(END), SM_INITIAL },
    [SSH_GATE] = { "waiting", TO(HANDSHAKE) | TO(END), 0 },
    [SSH_HANDSHAKE] = { "handshake", TO(HOSTKEY) | TO(END), SSH_HAS_SOCKET },
    [SSH_HOSTKEY] = { "host key", TO(IDENTITIES) | TO(END), SSH_HAS_SOCKET },
    [SSH_IDENTITIES] = { "identities", TO(AUTH) | TO(END), SSH_HAS_SOCKET },
    [SSH_AUTH] = { "login", TO(READY) | TO(END), SSH_HAS_SOCKET },
    [SSH_READY] = { "ready", TO(END), SSH_HAS_SOCKET },
    [SSH_END] = { "end", 0, SM_FINAL },
};

static void session_run(struct ssh_session *s);
static void session_end(struct ssh_session *s, const struct err *why, bool tell_owner);

static void session_to(struct ssh_session *s, enum ssh_state next)
{
    assert(sm_may(states, s->state, next));
    s->state = next;
}

enum ssh_state ssh_session_state(const struct ssh_session *s)
{
    return s->state;
}

const char *ssh_state_name(enum ssh_state state)
{
    return states[state].name;
}

const struct ssh_target *ssh_session_target(const struct ssh_session *s)
{
    return s->config.target;
}

const struct ssh_hostkey *ssh_session_hostkey(const struct ssh_session *s)
{
    return s->hostkey_seen ? &s->hostkey : NULL;
}

int ssh_library_begin(struct err *err)
{
    int rc = libssh2_init(0);

    return rc == 0 ? 0 : err_set(err, ERR_IO, "start libssh2: %d", rc);
}

void ssh_library_end(void)
{
    libssh2_exit();
}

/* ---- one function per state ---- */

static enum ssh_step step_idle(struct ssh_session *s, struct err *err)
{
    (void)s;
    (void)err;
    return SSH_STEP_WAIT;
}

static enum ssh_step step_handshake(struct ssh_session *s, struct err *err)
{
    int rc = libssh2_session_handshake(s->lib, s->fd);

    s->half_shaken = rc == LIBSSH2_ERROR_EAGAIN;
    if (rc == LIBSSH2_ERROR_EAGAIN)
        return SSH_STEP_WAIT;
    if (rc != 0) {
        (void)ssh_session_error(s, "handshake", rc, err);
        return SSH_STEP_FAILED;
    }
    session_to(s, SSH_HOSTKEY);
    return SSH_STEP_NEXT;
}

static void fail_hostkey(struct ssh_session *s, enum ssh_hostkey_verdict verdict, struct err *err)
{
    const struct ssh_target *t = s->config.target;
    char where[SSH_WHERE_MAX];

    (void)ssh_target_where(t, where);
    if (verdict == SSH_HOSTKEY_UNKNOWN)
        (void)err_set(err, ERR_HOSTKEY,
                      "%s: no host key is pinned for this node; it shows %s %s; compare it at the node's "
                      "console, then: patchwave enroll %s",
                      where, s->hostkey.type, s->hostkey.fingerprint, t->node);
    else
        (void)err_set(err, ERR_HOSTKEY,
                      "%s: THE HOST KEY HAS CHANGED: pinned %s, shown %s (%s): another machine may be "
                      "answering. If the "
                      "node was reinstalled, compare at its console, then: patchwave enroll --replace-key %s",
                      where, t->pin->fingerprint, s->hostkey.fingerprint, s->hostkey.type, t->node);
}

static enum ssh_step step_hostkey(struct ssh_session *s, struct err *err)
{
    const struct ssh_target *t = s->config.target;
    enum ssh_hostkey_verdict verdict;
    int type;
    size_t len = 0;
    const char *blob = libssh2_session_hostkey(s->lib, &len, &type);

    if (blob == NULL || ssh_hostkey_from_blob(blob, len, &s->hostkey, err) != 0) {
        (void)err_set(err, ERR_PROTOCOL, "%s: host key of %zu bytes is malformed or too long", t->node, len);
        return SSH_STEP_FAILED;
    }
    s->hostkey_seen = true;
    if (s->config.scan) {
        (void)err_set(err, ERR_CANCELLED, "%s: host key read", t->node);
        return SSH_STEP_FAILED;
    }
    verdict = ssh_hostkey_check(t->pin, &s->hostkey);
    if (verdict == SSH_HOSTKEY_MISMATCH || (verdict == SSH_HOSTKEY_UNKNOWN && !s->config.learn)) {
        fail_hostkey(s, verdict, err);
        return SSH_STEP_FAILED;
    }
    session_to(s, SSH_IDENTITIES);
    return SSH_STEP_NEXT;
}

static enum ssh_step step_identities(struct ssh_session *s, struct err *err)
{
    char where[SSH_WHERE_MAX];

    switch (ssh_auth_collect(&s->auth, err)) {
    case SSH_AUTH_WAIT:
        return SSH_STEP_WAIT;
    case SSH_AUTH_FAILED:
        (void)err_wrap(err, "%s", ssh_target_where(s->config.target, where));
        return SSH_STEP_FAILED;
    case SSH_AUTH_DONE:
    default:
        session_to(s, SSH_AUTH);
        return SSH_STEP_NEXT;
    }
}

static enum ssh_step step_auth(struct ssh_session *s, struct err *err)
{
    char where[SSH_WHERE_MAX];
    int rc = 0;

    switch (ssh_auth_step(&s->auth, s->lib, &rc, err)) {
    case SSH_AUTH_WAIT:
        return SSH_STEP_WAIT;
    case SSH_AUTH_FAILED:
        if (err->code == ERR_OK)
            (void)ssh_session_error(s, "login", rc, err);
        else
            (void)err_wrap(err, "%s", ssh_target_where(s->config.target, where));
        return SSH_STEP_FAILED;
    case SSH_AUTH_DONE:
    default:
        loop_timer_stop(&s->limit);
        ssh_auth_clear(&s->auth);
        session_to(s, SSH_READY);
        s->config.on_ready(s->config.arg);
        return SSH_STEP_NEXT;
    }
}

static enum ssh_step step_ready(struct ssh_session *s, struct err *err)
{
    char where[SSH_WHERE_MAX];

    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        uint64_t before = s->read_bytes;
        enum ssh_step r;

        s->woken = false;
        r = ssh_workers_round(s, err);
        if (r == SSH_STEP_NEXT && s->peer_gone) {
            (void)ssh_session_gone(s, "session", err);
            return SSH_STEP_FAILED;
        }
        if (r == SSH_STEP_FAILED && s->state == SSH_READY && err->code == ERR_OK)
            (void)err_set(err, ERR_INTERNAL, "%s: a worker failed without a reason",
                          ssh_target_where(s->config.target, where));
        if (r != SSH_STEP_NEXT)
            return r;
        if (s->read_bytes == before && !s->woken)
            return SSH_STEP_WAIT;
    }
    s->again = true;
    return SSH_STEP_WAIT;
}

static enum ssh_step (*const steps[SSH_STATES])(struct ssh_session *s, struct err *err) = {
    [SSH_DIAL] = step_idle,
    [SSH_GATE] = step_idle,
    [SSH_HANDSHAKE] = step_handshake,
    [SSH_HOSTKEY] = step_hostkey,
    [SSH_IDENTITIES] = step_identities,
    [SSH_AUTH] = step_auth,
    [SSH_READY] = step_ready,
    [SSH_END] = step_idle,
};

/* ---- watching ---- */

static void on_idle(uv_idle_t *h)
{
    session_run(h->data);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct ssh_session *s = h->data;

    if (status < 0) /* libuv has stopped watching; data may be left to read in front of the error */
        s->events = 0;
    if (s->state == SSH_READY && s->workers == NULL && (status < 0 || (events & UV_DISCONNECT) != 0))
        s->peer_gone = true;
    session_run(s);
}

static int wanted_events(struct ssh_session *s)
{
    int directions;

    if ((states[s->state].flags & SSH_HAS_SOCKET) == 0 || ssh_auth_waits_for_agent(&s->auth))
        return 0;
    if (s->state == SSH_READY && s->workers == NULL) /* nobody reads: data would wake us for ever */
        return UV_DISCONNECT;
    if (s->state == SSH_READY)
        return s->sender != NULL ? UV_WRITABLE : UV_READABLE;
    directions = libssh2_session_block_directions(s->lib);
    return (directions & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0 ? UV_WRITABLE : UV_READABLE;
}

void ssh_session_watch(struct ssh_session *s)
{
    int events = wanted_events(s);

    if (s->again)
        (void)uv_idle_start(&s->idle, on_idle);
    else
        (void)uv_idle_stop(&s->idle);
    if (events == s->events || !s->poll_open)
        return;
    s->events = events;
    if (events != 0)
        (void)uv_poll_start(&s->poll, events, on_poll);
    else
        (void)uv_poll_stop(&s->poll);
}

static void session_run(struct ssh_session *s)
{
    struct err err = { .code = ERR_OK };
    enum ssh_step r;

    if (s->running) {
        s->woken = true;
        return;
    }
    s->running = true;
    s->again = s->dry = false;
    s->turn_bytes = 0;
    do {
        r = steps[s->state](s, &err);
    } while (r == SSH_STEP_NEXT);
    s->running = false;
    if (r == SSH_STEP_FAILED)
        session_end(s, &err, true);
    if (s->state != SSH_END)
        ssh_session_watch(s);
}

/* ---- beginning and end ---- */

static void on_auth_wake(void *arg)
{
    session_run(arg);
}

static dur_ms handshake_limit_ms(const struct ssh_session *s)
{
    dur_ms limit = s->config.target->limits.handshake_ms;

    return limit > 0 ? limit : SSH_HANDSHAKE_MS;
}

static void on_limit(void *arg)
{
    struct ssh_session *s = arg;
    dur_ms limit =
        s->config.target->limits.handshake_ms > 0 ? s->config.target->limits.handshake_ms : SSH_HANDSHAKE_MS;
    char where[SSH_WHERE_MAX], text[TIME_TEXT_MAX];
    struct err why;

    (void)ssh_target_where(s->config.target, where);
    if (ssh_auth_waits_for_agent(&s->auth))
        (void)err_set(&why, ERR_TIMEOUT,
                      "%s: ssh-agent did not answer within %s; is it stopped, or waiting for a confirmation?",
                      where, dur_text(limit, text));
    else
        (void)err_set(&why, ERR_TIMEOUT, "%s: no end of the %s within %s; is the node overloaded?", where,
                      states[s->state].name, dur_text(limit, text));
    session_end(s, &why, true);
}

void ssh_session_proceed(struct ssh_session *s)
{
    session_to(s, SSH_HANDSHAKE);
    loop_timer_start(&s->limit, handshake_limit_ms(s));
    s->again = true; /* from the loop, so that callers are not called from in here */
    ssh_session_watch(s);
}

static int session_prepare(struct ssh_session *s, struct err *err)
{
    if (uv_poll_init(loop_uv(s->config.loop), &s->poll, s->fd) != 0)
        return err_set(err, ERR_CONNECT, "%s: cannot watch its socket", s->config.target->node);
    s->poll.data = s;
    s->poll_open = true;
    s->lib = libssh2_session_init_ex(NULL, NULL, NULL, s);
    if (s->lib == NULL)
        return err_set(err, ERR_NOMEM, "%s: open session", s->config.target->node);
    libssh2_session_set_blocking(s->lib, 0);
    ssh_socket_install(s);
    return ssh_algorithms_prefer(s->lib, s->config.target->pin, err);
}

static void on_dialled(void *arg, int fd, const struct err *why)
{
    struct ssh_session *s = arg;
    struct err err = { .code = ERR_OK };

    s->fd = fd;
    if (fd < 0) {
        session_end(s, why, true);
        return;
    }
    if (session_prepare(s, &err) != 0) {
        session_end(s, &err, true);
        return;
    }
    session_to(s, SSH_GATE);
    if (s->config.on_gate != NULL)
        s->config.on_gate(s->config.arg);
    else
        ssh_session_proceed(s);
}

int ssh_session_open(const struct ssh_session_config *config, struct ssh_session **ret_session,
                     struct err *err)
{
    struct ssh_session *s = calloc(1, sizeof *s);
    int rc;

    if (s == NULL)
        return err_set(err, ERR_NOMEM, "open session");
    s->config = *config;
    s->fd = -1;
    rc = ssh_dial_start(config->loop, config->target, on_dialled, s, &s->dial, err);
    if (rc != 0) {
        free(s);
        return rc;
    }
    ssh_auth_init(&s->auth, config->target, config->keys, &s->peer_gone, on_auth_wake, s);
    loop_timer_init(config->loop, &s->limit, on_limit, s);
    (void)uv_idle_init(loop_uv(config->loop), &s->idle);
    s->idle.data = s;
    *ret_session = s;
    return 0;
}

static void on_session_closed(void *arg)
{
    struct ssh_session *s = arg;

    /* libssh2 frees the exchange's secrets only when the exchange itself fails: let it, on the dead socket. */
    if (s->half_shaken)
        (void)libssh2_session_handshake(s->lib, s->fd);
    /* Freeing closes the channels, which sends: the socket is shut, so it fails at once instead of waiting. */
    for (unsigned i = 0; s->lib != NULL && i < FREE_TRIES_MAX; i++) {
        if (libssh2_session_free(s->lib) != LIBSSH2_ERROR_EAGAIN)
            break;
    }
    if (s->fd >= 0)
        (void)close(s->fd);
    free(s);
}

static void session_end(struct ssh_session *s, const struct err *why, bool tell_owner)
{
    struct err copy = *why; /* the caller's may live in what goes now */

    if (s->state == SSH_END)
        return;
    session_to(s, SSH_END);
    ssh_auth_clear(&s->auth);
    if (s->fd >= 0)
        (void)shutdown(s->fd, SHUT_RDWR);
    ssh_dial_end(s->dial);
    s->closer.done = on_session_closed;
    s->closer.arg = s;
    if (s->poll_open)
        loop_close(&s->closer, (uv_handle_t *)&s->poll);
    loop_close(&s->closer, (uv_handle_t *)&s->idle);
    loop_close_timer(&s->closer, &s->limit);
    while (s->workers != NULL) {
        struct ssh_worker *w = s->workers;

        ssh_session_detach(s, w);
        w->lost(w, &copy);
    }
    if (tell_owner)
        s->config.on_end(s->config.arg, &copy);
}

void ssh_session_fail(struct ssh_session *s, const struct err *why)
{
    session_end(s, why, true);
}

void ssh_session_close(struct ssh_session *s)
{
    struct err why;

    if (s->state == SSH_READY && s->sender == NULL && !s->peer_gone)
        (void)libssh2_session_disconnect(s->lib, "done");
    (void)err_set(&why, ERR_CANCELLED, "%s: session closed", s->config.target->node);
    session_end(s, &why, false);
}
