#include "orchestrator/io/ssh_session.h"

#include "orchestrator/io/loop.h"
#include "orchestrator/io/ssh_algorithms.h"
#include "orchestrator/io/ssh_auth.h"
#include "orchestrator/io/ssh_dial.h"
#include "schema/sm.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURN_READ_MAX_BYTES (256u << 10) /* taken off the socket per turn of the loop */
#define ROUNDS_MAX 16
#define FREE_TRIES_MAX 64

enum { SSH_HAS_SOCKET = 1u << 8, SSH_LIMITED = 1u << 9 /* the handshake's time limit runs */ };
#define TO(state) (1u << SSH_##state)
static const struct sm_state states[SSH_STATES] = {
    [SSH_DIAL] = { "connecting", TO(GATE) | TO(END), SM_INITIAL },
    [SSH_GATE] = { "waiting", TO(HANDSHAKE) | TO(END), 0 },
    [SSH_HANDSHAKE] = { "handshake", TO(HOSTKEY) | TO(END), SSH_HAS_SOCKET | SSH_LIMITED },
    [SSH_HOSTKEY] = { "host key", TO(IDENTITIES) | TO(END), SSH_HAS_SOCKET | SSH_LIMITED },
    [SSH_IDENTITIES] = { "identities", TO(AUTH) | TO(END), SSH_HAS_SOCKET | SSH_LIMITED },
    [SSH_AUTH] = { "login", TO(READY) | TO(END), SSH_HAS_SOCKET | SSH_LIMITED },
    [SSH_READY] = { "ready", TO(END), SSH_HAS_SOCKET },
    [SSH_END] = { "end", 0, SM_FINAL },
};

struct ssh_session {
    struct ssh_session_config config;
    enum ssh_state state;
    struct ssh_dial *dial;
    int fd;
    LIBSSH2_SESSION *lib;
    struct ssh_auth auth;
    struct ssh_hostkey hostkey;
    bool hostkey_seen;
    bool half_shaken; /* libssh2 is in the middle of the handshake */

    struct ssh_worker *workers;
    struct ssh_worker *cursor; /* the next to get a turn; detach moves it on */
    struct ssh_worker *sender; /* has a packet half out */
    struct ssh_worker *opener; /* is opening a channel */

    /* this turn of the loop */
    bool running, woken, again;
    bool dry; /* the socket gave all it had, or all it may */
    size_t turn_bytes;
    uint64_t read_bytes; /* ever */
    bool peer_gone;
    int peer_errno; /* 0: it closed in good order */

    uv_poll_t poll;
    bool poll_open;
    int events;
    uv_idle_t idle; /* runs while another turn is due */
    struct loop_timer limit;
    struct loop_closer closer;
};

enum step { STEP_NEXT, STEP_WAIT, STEP_FAILED };

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

/* ---- errors of libssh2, translated here and nowhere else ---- */

static const struct {
    int rc;
    enum err_code code;
    const char *text;
} lib_errors[] = {
    { LIBSSH2_ERROR_KEX_FAILURE, ERR_PROTOCOL,
      "no key exchange, cipher or host key algorithm in common; if the node has only an RSA host key, make "
      "others there with: ssh-keygen -A" },
    { LIBSSH2_ERROR_METHOD_NONE, ERR_PROTOCOL,
      "no key exchange, cipher or host key algorithm in common; if the node has only an RSA host key, make "
      "others there with: ssh-keygen -A" },
    { LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE, ERR_PROTOCOL, "key exchange failed" },
    { LIBSSH2_ERROR_HOSTKEY_INIT, ERR_PROTOCOL, "the host key is malformed" },
    { LIBSSH2_ERROR_HOSTKEY_SIGN, ERR_HOSTKEY, "the host could not prove that it owns its key" },
    { LIBSSH2_ERROR_BANNER_RECV, ERR_PROTOCOL, "no SSH server answers there" },
    { LIBSSH2_ERROR_ALLOC, ERR_NOMEM, "out of memory" },
    { LIBSSH2_ERROR_AUTHENTICATION_FAILED, ERR_AUTH, "authentication failed" },
    { LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED, ERR_AUTH, "authentication failed" },
    { LIBSSH2_ERROR_CHANNEL_FAILURE, ERR_REFUSED, "the server refuses to open a channel (MaxSessions?)" },
    { LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED, ERR_REFUSED, "the server refuses to run the command" },
    { LIBSSH2_ERROR_SOCKET_DISCONNECT, ERR_LOST, "the node hung up" },
    { LIBSSH2_ERROR_SOCKET_SEND, ERR_LOST, "the connection broke while sending" },
    { LIBSSH2_ERROR_SOCKET_RECV, ERR_LOST, "the connection broke while receiving" },
    { LIBSSH2_ERROR_BAD_USE, ERR_INTERNAL, "two sends at once (this is a bug)" },
};

static int fail_gone(struct ssh_session *s, const char *doing, struct err *err)
{
    const char *said = ssh_dial_proxy_said(s->dial);
    char where[SSH_WHERE_MAX];

    (void)ssh_target_where(s->config.target, where);
    if (*said != '\0')
        return err_set(err, s->state < SSH_READY ? ERR_CONNECT : ERR_LOST,
                       "%s: %s: the proxy command ended: %s", where, doing, said);
    if (s->state < SSH_READY)
        return err_set(
            err, ERR_CONNECT, "%s: %s: %s; is sshd overloaded (MaxStartups), or this address not allowed?",
            where, doing, s->peer_errno != 0 ? strerror(s->peer_errno) : "the node closed the connection");
    return err_set(err, ERR_LOST, "%s: %s: %s", where, doing,
                   s->peer_errno != 0 ? strerror(s->peer_errno) : "the node closed the connection");
}

int ssh_session_error(struct ssh_session *s, const char *doing, int rc, struct err *err)
{
    char where[SSH_WHERE_MAX];
    char *detail = NULL;

    if (s->peer_gone && rc != LIBSSH2_ERROR_KEX_FAILURE && rc != LIBSSH2_ERROR_METHOD_NONE)
        return fail_gone(s, doing, err);
    (void)ssh_target_where(s->config.target, where);
    for (size_t i = 0; i < sizeof lib_errors / sizeof lib_errors[0]; i++) {
        if (lib_errors[i].rc == rc)
            return err_set(err,
                           lib_errors[i].code == ERR_LOST && s->state < SSH_READY ? ERR_CONNECT
                                                                                  : lib_errors[i].code,
                           "%s: %s: %s", where, doing, lib_errors[i].text);
    }
    (void)libssh2_session_last_error(s->lib, &detail, NULL, 0);
    return err_set(err, ERR_PROTOCOL, "%s: %s: %s (libssh2 %d)", where, doing,
                   detail != NULL ? detail : "failed", rc);
}

/* ---- the socket, as libssh2 reads it ---- */

/* libssh2 drains the socket in every read. Here a turn's share is bounded, the
 * needless last recv is saved, and workers learn whether anything came. */
static ssize_t on_recv(libssh2_socket_t fd, void *data, size_t len, int flags, void **abstract)
{
    struct ssh_session *s = *abstract;
    ssize_t n;

    if (s->state == SSH_END)
        return -ECONNRESET;
    if (s->dry)
        return -EAGAIN;
    if (s->turn_bytes == 0 && !ssh_dial_is_proxy(s->dial))
        ssh_tcp_quickack(fd);
    do {
        n = recv(fd, data, len, flags);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        s->dry = true;
        return -EAGAIN;
    }
    if (n <= 0 && s->turn_bytes > 0) { /* deliver what came with it first: libssh2 would drop that */
        s->dry = true;
        return -EAGAIN;
    }
    if (n <= 0) {
        s->peer_gone = true;
        s->peer_errno = n < 0 ? errno : 0;
        return n < 0 ? -errno : 0;
    }
    s->turn_bytes += (size_t)n;
    s->read_bytes += (size_t)n;
    s->dry = (size_t)n < len || s->turn_bytes >= TURN_READ_MAX_BYTES;
    return n;
}

/* Here for its error alone: libssh2 forgets which one it was, and in the key exchange that there was one. */
static ssize_t on_send(libssh2_socket_t fd, const void *data, size_t len, int flags, void **abstract)
{
    struct ssh_session *s = *abstract;
    ssize_t n;

    if (s->state == SSH_END)
        return -EPIPE;
    do {
        n = send(fd, data, len, flags | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    if (errno != EAGAIN) {
        s->peer_gone = true;
        s->peer_errno = errno;
    }
    return -errno;
}

/* libssh2 takes functions as object pointers, for which C has no cast. */
#if LIBSSH2_VERSION_NUM >= 0x010b01
#define SET_CALLBACK(lib, which, fn) \
    ((void)libssh2_session_callback_set2(lib, which, (libssh2_cb_generic *)(fn)))
#else
#define SET_CALLBACK(lib, which, fn)                             \
    do {                                                         \
        void *pointer;                                           \
        memcpy(&pointer, &(fn), sizeof pointer);                 \
        (void)libssh2_session_callback_set(lib, which, pointer); \
    } while (0)
#endif

static void set_callbacks(LIBSSH2_SESSION *lib)
{
    LIBSSH2_RECV_FUNC((*recv_fn)) = on_recv;
    LIBSSH2_SEND_FUNC((*send_fn)) = on_send;

    SET_CALLBACK(lib, LIBSSH2_CALLBACK_RECV, recv_fn);
    SET_CALLBACK(lib, LIBSSH2_CALLBACK_SEND, send_fn);
}

/* ---- one function per state ---- */

static enum step step_idle(struct ssh_session *s, struct err *err)
{
    (void)s;
    (void)err;
    return STEP_WAIT;
}

static enum step step_handshake(struct ssh_session *s, struct err *err)
{
    int rc = libssh2_session_handshake(s->lib, s->fd);

    s->half_shaken = rc == LIBSSH2_ERROR_EAGAIN;
    if (rc == LIBSSH2_ERROR_EAGAIN)
        return STEP_WAIT;
    if (rc != 0) {
        (void)ssh_session_error(s, "handshake", rc, err);
        return STEP_FAILED;
    }
    session_to(s, SSH_HOSTKEY);
    return STEP_NEXT;
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
        (void)err_set(
            err, ERR_HOSTKEY,
            "%s: THE HOST KEY HAS CHANGED: pinned is %s %s, shown is %s %s; another machine may be "
            "answering. "
            "If the node was reinstalled, compare at its console, then: patchwave enroll --replace-key %s",
            where, t->pin->type, t->pin->fingerprint, s->hostkey.type, s->hostkey.fingerprint, t->node);
}

static enum step step_hostkey(struct ssh_session *s, struct err *err)
{
    const struct ssh_target *t = s->config.target;
    enum ssh_hostkey_verdict verdict;
    int type;
    size_t len = 0;
    const char *blob = libssh2_session_hostkey(s->lib, &len, &type);

    if (blob == NULL || ssh_hostkey_from_blob(blob, len, &s->hostkey, err) != 0) {
        (void)err_set(err, ERR_PROTOCOL, "%s: host key of %zu bytes is malformed or too long", t->node, len);
        return STEP_FAILED;
    }
    s->hostkey_seen = true;
    if (s->config.scan) {
        (void)err_set(err, ERR_CANCELLED, "%s: host key read", t->node);
        return STEP_FAILED;
    }
    verdict = ssh_hostkey_check(t->pin, &s->hostkey);
    if (verdict == SSH_HOSTKEY_MISMATCH || (verdict == SSH_HOSTKEY_UNKNOWN && !s->config.learn)) {
        fail_hostkey(s, verdict, err);
        return STEP_FAILED;
    }
    session_to(s, SSH_IDENTITIES);
    return STEP_NEXT;
}

static enum step step_identities(struct ssh_session *s, struct err *err)
{
    char where[SSH_WHERE_MAX];

    switch (ssh_auth_collect(&s->auth, err)) {
    case SSH_AUTH_WAIT:
        return STEP_WAIT;
    case SSH_AUTH_FAILED:
        (void)err_wrap(err, "%s", ssh_target_where(s->config.target, where));
        return STEP_FAILED;
    case SSH_AUTH_DONE:
    default:
        session_to(s, SSH_AUTH);
        return STEP_NEXT;
    }
}

static enum step step_auth(struct ssh_session *s, struct err *err)
{
    char where[SSH_WHERE_MAX];
    int rc = 0;

    switch (ssh_auth_step(&s->auth, s->lib, &rc, err)) {
    case SSH_AUTH_WAIT:
        return STEP_WAIT;
    case SSH_AUTH_FAILED:
        if (err->code == ERR_OK)
            (void)ssh_session_error(s, "login", rc, err);
        else
            (void)err_wrap(err, "%s", ssh_target_where(s->config.target, where));
        return STEP_FAILED;
    case SSH_AUTH_DONE:
    default:
        loop_timer_stop(&s->limit);
        ssh_auth_clear(&s->auth);
        session_to(s, SSH_READY);
        s->config.on_ready(s->config.arg);
        return STEP_NEXT;
    }
}

/* One turn for each worker; only for the sender while a packet is half out. */
static enum step workers_round(struct ssh_session *s, struct err *err)
{
    if (s->sender != NULL) {
        if (s->sender->turn(s->sender, err) != 0)
            return STEP_FAILED;
        if (s->state != SSH_READY || s->sender != NULL)
            return STEP_WAIT;
    }
    s->cursor = s->workers;
    while (s->cursor != NULL) {
        struct ssh_worker *w = s->cursor;

        s->cursor = w->next;
        if (w->turn(w, err) != 0)
            return STEP_FAILED;
        if (s->state != SSH_READY || s->sender != NULL)
            return STEP_WAIT;
    }
    return STEP_NEXT;
}

static enum step step_ready(struct ssh_session *s, struct err *err)
{
    char where[SSH_WHERE_MAX];

    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        uint64_t before = s->read_bytes;
        enum step r;

        s->woken = false;
        r = workers_round(s, err);
        if (r == STEP_NEXT && s->peer_gone) {
            (void)fail_gone(s, "session", err);
            return STEP_FAILED;
        }
        if (r == STEP_FAILED && s->state == SSH_READY && err->code == ERR_OK)
            (void)err_set(err, ERR_INTERNAL, "%s: a worker failed without a reason",
                          ssh_target_where(s->config.target, where));
        if (r != STEP_NEXT)
            return r;
        if (s->read_bytes == before && !s->woken)
            return STEP_WAIT;
    }
    s->again = true;
    return STEP_WAIT;
}

static enum step (*const steps[SSH_STATES])(struct ssh_session *s, struct err *err) = {
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

static void session_watch(struct ssh_session *s)
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
    enum step r;

    if (s->running) {
        s->woken = true;
        return;
    }
    s->running = true;
    s->again = s->dry = false;
    s->turn_bytes = 0;
    do {
        r = steps[s->state](s, &err);
    } while (r == STEP_NEXT);
    s->running = false;
    if (r == STEP_FAILED)
        session_end(s, &err, true);
    if (s->state != SSH_END)
        session_watch(s);
}

/* ---- beginning and end ---- */

static void on_auth_wake(void *arg)
{
    session_run(arg);
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
    const struct ssh_target *t = s->config.target;

    session_to(s, SSH_HANDSHAKE);
    loop_timer_start(&s->limit, t->limits.handshake_ms > 0 ? t->limits.handshake_ms : SSH_HANDSHAKE_MS);
    s->again = true; /* from the loop, so that callers are not called from in here */
    session_watch(s);
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
    set_callbacks(s->lib);
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

/* ---- for workers ---- */

void ssh_session_attach(struct ssh_session *s, struct ssh_worker *w)
{
    struct ssh_worker **at = &s->workers;

    while (*at != NULL)
        at = &(*at)->next;
    w->next = NULL;
    *at = w;
    ssh_session_wake(s);
}

void ssh_session_detach(struct ssh_session *s, struct ssh_worker *w)
{
    struct ssh_worker **at = &s->workers;

    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    if (s->cursor == w)
        s->cursor = w->next;
    if (s->sender == w)
        s->sender = NULL;
    if (s->opener == w)
        s->opener = NULL;
}

LIBSSH2_SESSION *ssh_session_lib(struct ssh_session *s)
{
    return s->lib;
}

bool ssh_session_waits(struct ssh_session *s, struct ssh_worker *w, ssize_t rc)
{
    if (rc != LIBSSH2_ERROR_EAGAIN) {
        if (s->sender == w)
            s->sender = NULL;
        return false;
    }
    if ((libssh2_session_block_directions(s->lib) & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0)
        s->sender = w;
    else if (s->sender == w)
        s->sender = NULL;
    return true;
}

bool ssh_session_sends(const struct ssh_session *s, const struct ssh_worker *w)
{
    return s->sender == w;
}

bool ssh_session_may_open(struct ssh_session *s, struct ssh_worker *w)
{
    if (s->opener == NULL)
        s->opener = w;
    return s->opener == w;
}

void ssh_session_opened(struct ssh_session *s)
{
    s->opener = NULL;
    s->woken = true; /* who waited for this may go on in the same round */
}

void ssh_session_wake(struct ssh_session *s)
{
    if (s->running)
        s->woken = true;
    else
        ssh_session_again(s);
}

void ssh_session_again(struct ssh_session *s)
{
    s->again = true;
    if (!s->running && s->state == SSH_READY)
        session_watch(s);
}
