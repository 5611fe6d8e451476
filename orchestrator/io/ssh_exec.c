#include "orchestrator/io/ssh_exec.h"

#include "orchestrator/io/ssh_session.h"
#include "schema/buf.h"
#include "schema/sm.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SEND_MAX_BYTES ((size_t)4 << 20)
#define TURN_MAX_BYTES ((size_t)128 << 10)
#define WINDOW_BYTES (512u << 10) /* what the far side may have under way to us: bounds libssh2's queue */
#define PACKET_BYTES 32768u
#define READ_BYTES 16384
#define COMPACT_BYTES ((size_t)64 << 10)

enum exec_state {
    EXEC_OPENING,
    EXEC_ASKING,
    EXEC_RUNNING,
    EXEC_CLOSING,
    EXEC_FREEING,
    EXEC_ENDED,
    EXEC_STATES
};
#define TO(state) (1u << EXEC_##state)
static const struct sm_state states[EXEC_STATES] = {
    [EXEC_OPENING] = { "opening", TO(ASKING) | TO(ENDED), SM_INITIAL },
    [EXEC_ASKING] = { "asking", TO(RUNNING) | TO(CLOSING) | TO(ENDED), 0 },
    [EXEC_RUNNING] = { "running", TO(CLOSING) | TO(ENDED), 0 },
    [EXEC_CLOSING] = { "closing", TO(FREEING) | TO(ENDED), 0 },
    [EXEC_FREEING] = { "freeing", TO(ENDED), 0 },
    [EXEC_ENDED] = { "ended", 0, SM_FINAL },
};

/* What came back EAGAIN with a packet half out: to be called again, before anything else. */
enum exec_repeat { REPEAT_NONE, REPEAT_READ, REPEAT_WRITE, REPEAT_EOF };

struct ssh_exec {
    struct ssh_worker worker; /* first: the session's handle on us */
    struct ssh_session *session;
    struct ssh_exec_config config;
    enum exec_state state;
    char *command;
    LIBSSH2_CHANNEL *channel;
    enum exec_repeat repeat;
    struct buf out;
    size_t out_at; /* bytes of `out` already gone */
    bool eof_wanted, eof_sent, far_eof;
    bool was_full; /* on_room is owed */
    bool closed;   /* by the owner: no callbacks */
    bool in_turn;  /* our frame is on the stack: free later */
    struct err why;
    int exit_status;
    char errors[SSH_EXEC_TAIL_MAX];
    size_t errors_len;
};

static void exec_to(struct ssh_exec *x, enum exec_state next)
{
    assert(sm_may(states, x->state, next));
    x->state = next;
}

static void exec_free(struct ssh_exec *x)
{
    buf_clear(&x->out);
    free(x->command);
    free(x);
}

/* The end, told once. The worker is detached by now. */
static void exec_end(struct ssh_exec *x)
{
    struct ssh_exec_end end = { .why = x->why, .exit_status = x->exit_status, .errors = x->errors };

    exec_to(x, EXEC_ENDED);
    if (!x->closed) {
        x->closed = true;
        x->config.on_end(x->config.arg, &end);
    }
    if (!x->in_turn)
        exec_free(x);
}

static bool waits(struct ssh_exec *x, ssize_t rc)
{
    return ssh_session_waits(x->session, &x->worker, rc);
}

static void keep_tail(struct ssh_exec *x, const char *data, size_t len)
{
    const size_t max = sizeof x->errors - 1;

    if (len > max) {
        data += len - max;
        len = max;
    }
    if (x->errors_len + len > max) {
        size_t drop = x->errors_len + len - max;
        memmove(x->errors, x->errors + drop, x->errors_len - drop);
        x->errors_len -= drop;
    }
    memcpy(x->errors + x->errors_len, data, len);
    x->errors_len += len;
    x->errors[x->errors_len] = '\0';
}

/* The result of each step: go on, wait (for the socket or another turn), or the session is broken. */
enum exec_step { EXEC_NEXT, EXEC_WAIT, EXEC_BROKEN };

static enum exec_step broken(struct ssh_exec *x, const char *doing, ssize_t rc, struct err *err)
{
    (void)ssh_session_error(x->session, doing, (int)rc, err);
    return EXEC_BROKEN;
}

/* The channel alone failed: the session is fine. */
static enum exec_step give_up(struct ssh_exec *x, const char *doing, int rc)
{
    (void)ssh_session_error(x->session, doing, rc, &x->why);
    if (x->channel != NULL) {
        exec_to(x, EXEC_CLOSING);
        return EXEC_NEXT;
    }
    ssh_session_detach(x->session, &x->worker);
    exec_end(x);
    return EXEC_WAIT;
}

static enum exec_step step_opening(struct ssh_exec *x, struct err *err)
{
    LIBSSH2_SESSION *lib = ssh_session_lib(x->session);
    int rc;

    if (!ssh_session_may_open(x->session, &x->worker))
        return EXEC_WAIT;
    x->channel = libssh2_channel_open_ex(lib, "session", 7, WINDOW_BYTES, PACKET_BYTES, NULL, 0);
    rc = x->channel != NULL ? 0 : libssh2_session_last_errno(lib);
    if (waits(x, rc))
        return EXEC_WAIT;
    ssh_session_opened(x->session);
    if (rc == LIBSSH2_ERROR_CHANNEL_FAILURE)
        return give_up(x, "open a channel", rc);
    if (rc != 0)
        return broken(x, "open a channel", rc, err);
    exec_to(x, EXEC_ASKING);
    return EXEC_NEXT;
}

static enum exec_step step_asking(struct ssh_exec *x, struct err *err)
{
    int rc = libssh2_channel_process_startup(x->channel, "exec", 4, x->command, (unsigned)strlen(x->command));

    if (waits(x, rc))
        return EXEC_WAIT;
    if (rc == LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED)
        return give_up(x, "run the command", rc);
    if (rc != 0)
        return broken(x, "run the command", rc, err);
    exec_to(x, EXEC_RUNNING);
    if (x->config.on_open != NULL && !x->closed)
        x->config.on_open(x->config.arg);
    return EXEC_NEXT;
}

/* ---- running: write, then read ---- */

static void drop_sent(struct ssh_exec *x, size_t n)
{
    x->out_at += n;
    if (x->out_at == x->out.len) {
        buf_reset(&x->out);
        x->out_at = 0;
    } else if (x->out_at >= COMPACT_BYTES && x->out_at >= x->out.len / 2) {
        buf_drop(&x->out, x->out_at); /* seldom enough that moving the rest does not count */
        x->out_at = 0;
    }
}

static void drop_all(struct ssh_exec *x)
{
    buf_reset(&x->out);
    x->out_at = 0;
}

static bool is_sender(const struct ssh_exec *x, enum exec_repeat what)
{
    return x->repeat == what && ssh_session_sends(x->session, &x->worker);
}

static enum exec_step write_some(struct ssh_exec *x, struct err *err)
{
    size_t budget = x->config.turn_max_bytes;

    while (ssh_exec_unsent(x) > 0) {
        ssize_t n;

        if (budget == 0) {
            ssh_session_again(x->session);
            break;
        }
        n = libssh2_channel_write(x->channel, x->out.data + x->out_at, ssh_exec_unsent(x));
        x->repeat = REPEAT_NONE;
        if (waits(x, n)) {
            x->repeat = REPEAT_WRITE;
            return EXEC_WAIT;
        }
        if (n < 0)
            return broken(x, "send", n, err);
        if (n == 0)
            break;
        budget -= (size_t)n < budget ? (size_t)n : budget;
        drop_sent(x, (size_t)n);
        if (x->closed) /* the half-sent packet is through; the rest need not go */
            drop_all(x);
    }
    return EXEC_NEXT;
}

static enum exec_step send_eof(struct ssh_exec *x, struct err *err)
{
    int rc;

    if (!x->eof_wanted || x->eof_sent || ssh_exec_unsent(x) > 0)
        return EXEC_NEXT;
    rc = libssh2_channel_send_eof(x->channel);
    x->repeat = REPEAT_NONE;
    if (waits(x, rc)) {
        x->repeat = REPEAT_EOF;
        return EXEC_WAIT;
    }
    if (rc != 0)
        return broken(x, "end the input", rc, err);
    x->eof_sent = true;
    return EXEC_NEXT;
}

static void tell_room(struct ssh_exec *x)
{
    if (!x->was_full || ssh_exec_unsent(x) > x->config.send_max_bytes / 2)
        return;
    x->was_full = false;
    if (x->config.on_room != NULL && !x->closed)
        x->config.on_room(x->config.arg);
}

/* Standard error is looked for in the queue only: asking costs no system call. */
static enum exec_step read_errors(struct ssh_exec *x, struct err *err)
{
    char chunk[1024];

    while (libssh2_poll_channel_read(x->channel, 0) == 0 && libssh2_poll_channel_read(x->channel, 1) == 1) {
        ssize_t n = libssh2_channel_read_stderr(x->channel, chunk, sizeof chunk);

        x->repeat = REPEAT_NONE;
        if (waits(x, n)) {
            x->repeat = REPEAT_READ; /* a window adjustment: any read of the channel goes on with it */
            return EXEC_WAIT;
        }
        if (n < 0)
            return broken(x, "receive", n, err);
        if (n == 0)
            break;
        keep_tail(x, chunk, (size_t)n);
    }
    return EXEC_NEXT;
}

static enum exec_step read_some(struct ssh_exec *x, struct err *err)
{
    char chunk[READ_BYTES];

    for (;;) { /* bounded by what the session takes off the socket in a turn */
        ssize_t n = libssh2_channel_read(x->channel, chunk, sizeof chunk);

        x->repeat = REPEAT_NONE;
        if (waits(x, n)) {
            x->repeat = REPEAT_READ;
            break;
        }
        if (n < 0)
            return broken(x, "receive", n, err);
        if (n == 0)
            break; /* its end, perhaps behind standard error that is still queued */
        if (!x->closed)
            x->config.on_data(x->config.arg, chunk, (size_t)n);
        if (x->closed)
            break;
    }
    return EXEC_NEXT;
}

static enum exec_step step_running(struct ssh_exec *x, struct err *err)
{
    enum exec_step r = EXEC_NEXT;

    if (!is_sender(x, REPEAT_READ)) {
        r = is_sender(x, REPEAT_EOF) ? EXEC_NEXT : write_some(x, err);
        if (r == EXEC_NEXT)
            r = send_eof(x, err);
        if (r == EXEC_BROKEN || ssh_session_sends(x->session, &x->worker))
            return r;
        tell_room(x);
    }
    if (x->state != EXEC_RUNNING)
        return EXEC_WAIT;
    r = read_some(x, err);
    if (r == EXEC_BROKEN || ssh_session_sends(x->session, &x->worker) || x->state != EXEC_RUNNING)
        return r;
    r = read_errors(x, err);
    if (r != EXEC_NEXT)
        return r;
    x->far_eof = libssh2_channel_eof(x->channel) != 0;
    if (!x->far_eof && !x->closed)
        return EXEC_WAIT;
    exec_to(x, EXEC_CLOSING);
    return EXEC_NEXT;
}

/* Closing sends the close and waits for the far one, by when the exit status has come. */
static enum exec_step step_closing(struct ssh_exec *x, struct err *err)
{
    int rc = libssh2_channel_close(x->channel);

    if (waits(x, rc))
        return EXEC_WAIT;
    if (rc != 0)
        return broken(x, "close the channel", rc, err);
    exec_to(x, EXEC_FREEING);
    return EXEC_NEXT;
}

static enum exec_step step_freeing(struct ssh_exec *x, struct err *err)
{
    char *signal_name = NULL;
    int rc;

    x->exit_status = libssh2_channel_get_exit_status(x->channel);
    (void)libssh2_channel_get_exit_signal(x->channel, &signal_name, NULL, NULL, NULL, NULL, NULL);
    if (signal_name != NULL) {
        x->exit_status = -1;
        libssh2_free(ssh_session_lib(x->session), signal_name);
    }
    rc = libssh2_channel_free(x->channel);
    if (waits(x, rc))
        return EXEC_WAIT;
    if (rc != 0)
        return broken(x, "free the channel", rc, err);
    x->channel = NULL;
    ssh_session_detach(x->session, &x->worker);
    exec_end(x);
    return EXEC_WAIT;
}

static enum exec_step step_ended(struct ssh_exec *x, struct err *err)
{
    (void)x;
    (void)err;
    return EXEC_WAIT;
}

static enum exec_step (*const steps[EXEC_STATES])(struct ssh_exec *x, struct err *err) = {
    [EXEC_OPENING] = step_opening, [EXEC_ASKING] = step_asking,   [EXEC_RUNNING] = step_running,
    [EXEC_CLOSING] = step_closing, [EXEC_FREEING] = step_freeing, [EXEC_ENDED] = step_ended,
};

static int exec_turn(struct ssh_worker *w, struct err *err)
{
    struct ssh_exec *x = (struct ssh_exec *)w;
    enum exec_step r;

    x->in_turn = true;
    do {
        r = steps[x->state](x, err);
    } while (r == EXEC_NEXT);
    x->in_turn = false;
    if (x->state == EXEC_ENDED)
        exec_free(x);
    return r == EXEC_BROKEN ? -1 : 0;
}

static void exec_lost(struct ssh_worker *w, const struct err *why)
{
    struct ssh_exec *x = (struct ssh_exec *)w;

    x->why = *why;
    x->channel = NULL; /* goes with the session */
    exec_end(x);
}

/* ---- for owners ---- */

int ssh_exec_start(struct ssh_session *s, const struct ssh_exec_config *config, struct ssh_exec **ret_exec,
                   struct err *err)
{
    struct ssh_exec *x;

    if (ssh_session_state(s) != SSH_READY)
        return err_set(err, ERR_STATE, "run %s: the session is not ready", config->command);
    x = calloc(1, sizeof *x);
    if (x == NULL || (x->command = strdup(config->command)) == NULL) {
        free(x);
        return err_set(err, ERR_NOMEM, "run %s", config->command);
    }
    x->session = s;
    x->config = *config;
    if (x->config.send_max_bytes == 0)
        x->config.send_max_bytes = SEND_MAX_BYTES;
    if (x->config.turn_max_bytes == 0)
        x->config.turn_max_bytes = TURN_MAX_BYTES;
    x->worker.turn = exec_turn;
    x->worker.lost = exec_lost;
    ssh_session_attach(s, &x->worker);
    *ret_exec = x;
    return 0;
}

size_t ssh_exec_unsent(const struct ssh_exec *x)
{
    return x->out.len - x->out_at;
}

size_t ssh_exec_room(const struct ssh_exec *x)
{
    size_t unsent = ssh_exec_unsent(x);

    return unsent < x->config.send_max_bytes ? x->config.send_max_bytes - unsent : 0;
}

int ssh_exec_send(struct ssh_exec *x, const void *data, size_t len, struct err *err)
{
    if (x->eof_wanted || x->far_eof || x->state > EXEC_RUNNING)
        return err_set(err, ERR_STATE, "%s: its input has ended", x->command);
    if (len > ssh_exec_room(x)) {
        x->was_full = true;
        return err_set(err, ERR_CAPACITY, "%s: %zu bytes wait to be sent already", x->command,
                       ssh_exec_unsent(x));
    }
    buf_add(&x->out, data, len);
    if (x->out.failed) { /* nothing was added: what waits is whole, and the next line may fit */
        x->out.failed = false;
        return err_set(err, ERR_NOMEM, "%s: send", x->command);
    }
    if (ssh_exec_unsent(x) > x->config.send_max_bytes / 2)
        x->was_full = true;
    ssh_session_wake(x->session);
    return 0;
}

void ssh_exec_eof(struct ssh_exec *x)
{
    x->eof_wanted = true;
    ssh_session_wake(x->session);
}

void ssh_exec_close(struct ssh_exec *x)
{
    x->closed = true;
    if (!is_sender(x, REPEAT_WRITE))
        drop_all(x);
    ssh_session_wake(x->session);
}
