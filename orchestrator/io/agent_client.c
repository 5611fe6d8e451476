#include "orchestrator/io/agent_client.h"

#include "orchestrator/io/backoff.h"
#include "orchestrator/io/loop.h"
#include "orchestrator/io/ssh_exec.h"
#include "orchestrator/io/ssh_pool.h"
#include "orchestrator/io/ssh_session.h"
#include "orchestrator/io/wire_error.h"
#include "schema/list.h"

#include <stdlib.h>
#include <string.h>

#define METHOD_MAX 40
#define SEND_MAX_BYTES ((size_t)8 << 20)
#define RELAY_RETRY_MIN_MS ((dur_ms)100) /* sshd is back before the agent is: ask again on the same session */
#define RELAY_RETRY_MAX_MS ((dur_ms)5000)
#define RPC_METHOD_NOT_FOUND (-32601)

struct call {
    int64_t id;
    int64_t deadline_ms; /* on the loop's clock */
    char method[METHOD_MAX];
    agent_reply_fn *fn; /* NULL: our own ping */
    void *arg;
};

struct agent_client {
    struct agent_client_config config;
    struct loop *loop;
    struct ssh_link *link;
    struct ssh_exec *relay; /* NULL: none, or not open yet (see up) */
    bool up, closed;
    struct line_cutter lines;
    struct LIST_OF(struct call) calls;
    int64_t next_id;
    int64_t heard_ms; /* when the last bytes came */
    bool pinging;
    struct loop_timer timer;       /* the earliest deadline, or the next ping */
    struct loop_timer relay_retry; /* the session is up, the relay ended */
    struct backoff relay_backoff;
    dur_ms expect_cap_ms; /* 0: the node is not expected back */
    struct loop_closer closer;
};

static dur_ms ping_ms(const struct agent_client *c)
{
    return c->config.target->limits.ping_ms > 0 ? c->config.target->limits.ping_ms : SSH_PING_MS;
}

static dur_ms ping_limit_ms(const struct agent_client *c)
{
    return c->config.target->limits.ping_limit_ms > 0 ? c->config.target->limits.ping_limit_ms
                                                      : SSH_PING_LIMIT_MS;
}

/* ---- pending calls ---- */

/* The next thing that time brings: a call's limit, or a ping when all is silent. */
static void arm(struct agent_client *c)
{
    int64_t now = loop_now_ms(c->loop);
    int64_t at = c->pinging ? INT64_MAX : c->heard_ms + ping_ms(c);

    if (!c->up) {
        loop_timer_stop(&c->timer);
        return;
    }
    for (uint32_t i = 0; i < c->calls.n; i++) {
        if (c->calls.items[i].deadline_ms < at)
            at = c->calls.items[i].deadline_ms;
    }
    loop_timer_start(&c->timer, at - now);
}

static struct call calls_take(struct agent_client *c, uint32_t i)
{
    struct call call = c->calls.items[i];

    c->calls.n--;
    memmove(&c->calls.items[i], &c->calls.items[i + 1],
            (c->calls.n - i) * sizeof call); /* order of asking is kept */
    return call;
}

static void call_fail(const struct call *call, const struct err *why)
{
    struct err err = *why;

    if (call->fn == NULL)
        return;
    (void)err_wrap(&err, "%s", call->method);
    call->fn(call->arg, NULL, &err);
}

/* Every call that was pending hears it once, in the order of asking; what a callback asks now is not among them. */
static void calls_fail_all(struct agent_client *c, const struct err *why)
{
    struct call *items = c->calls.items;
    uint32_t n = c->calls.n;

    c->calls.items = NULL;
    c->calls.n = c->calls.cap = 0;
    c->pinging = false;
    for (uint32_t i = 0; i < n; i++)
        call_fail(&items[i], why);
    free(items);
}

static int call_send(struct agent_client *c, const char *method, const char *params, dur_ms limit_ms,
                     agent_reply_fn *fn, void *arg, struct err *err)
{
    const char *node = c->config.target->node;
    struct buf line = BUF_INIT;
    struct call *call;
    int rc = 0;

    if (!c->up)
        return err_set(err, ERR_LOST, "%s: %s: not connected", node, method);
    call = list_push(&c->calls); /* first: what has gone out must be in it */
    if (call == NULL)
        return err_set(err, ERR_NOMEM, "%s: %s", node, method);
    rpc_write_request(&line, c->next_id, method, params);
    if (line.failed)
        rc = err_set(err, ERR_NOMEM, "%s: %s", node, method);
    else if (line.len > WIRE_LINE_MAX)
        rc = err_set(err, ERR_INVALID, "%s: %s: a request of %zu bytes is over the wire's bound of %u", node,
                     method, line.len, WIRE_LINE_MAX);
    else if (ssh_exec_send(c->relay, line.data, line.len, err) != 0)
        rc = err->code == ERR_STATE ? err_set(err, ERR_LOST, "%s: %s: the relay is ending", node, method)
                                    : err_wrap(err, "%s: %s", node, method);
    buf_clear(&line);
    if (rc != 0) {
        c->calls.n--;
        return rc;
    }
    call->id = c->next_id++;
    call->deadline_ms = loop_now_ms(c->loop) + limit_ms;
    (void)strncat(call->method, method, sizeof call->method - 1);
    call->fn = fn;
    call->arg = arg;
    arm(c);
    return 0;
}

int agent_client_call(struct agent_client *c, const char *method, const char *params, dur_ms limit_ms,
                      agent_reply_fn *fn, void *arg, struct err *err)
{
    return call_send(c, method, params, limit_ms, fn, arg, err);
}

/* ---- answers ---- */

static void answer(struct agent_client *c, const struct call *call, const struct rpc_message *msg)
{
    enum err_code unnamed = msg->error_code == RPC_METHOD_NOT_FOUND ? ERR_VERSION : ERR_PROTOCOL;
    struct err why;

    if (call->fn == NULL) { /* any answer to a ping is a sign of life */
        c->pinging = false;
        return;
    }
    if (msg->kind == RPC_RESULT) {
        call->fn(call->arg, msg, NULL);
    } else {
        (void)err_set(&why, wire_error_code(msg->error_name, unnamed), "%s: %s: %s", c->config.target->node,
                      call->method, msg->error_text);
        call->fn(call->arg, msg, &why);
    }
}

static int take_answer(struct agent_client *c, const struct rpc_message *msg, struct err *err)
{
    for (uint32_t i = 0; i < c->calls.n; i++) {
        if (c->calls.items[i].id == msg->id) {
            struct call call = calls_take(c, i);
            answer(c, &call, msg);
            return 0;
        }
    }
    if (msg->id < c->next_id && msg->id > 0)
        return 0; /* its time limit had come first */
    return err_set(err, ERR_PROTOCOL, "an answer to a request that was never made (id %lld)",
                   (long long)msg->id);
}

static int take_message(struct agent_client *c, const struct rpc_message *msg, struct err *err)
{
    switch (msg->kind) {
    case RPC_RESULT:
    case RPC_ERROR:
        return take_answer(c, msg, err);
    case RPC_NOTIFICATION:
        if (c->config.on_notify != NULL) {
            c->config.on_notify(c->config.arg, msg);
        }
        return 0;
    case RPC_REQUEST:
    default:
        return err_set(err, ERR_PROTOCOL, "the agent sent a request (%s)", msg->method);
    }
}

static void on_relay_data(void *arg, const void *data, size_t len)
{
    struct agent_client *c = arg;
    struct ssh_exec *relay = c->relay;
    struct err err;
    const char *line;
    size_t line_len;
    int rc = line_cutter_feed(&c->lines, data, len, &err);

    c->heard_ms = loop_now_ms(c->loop);
    backoff_reset(&c->relay_backoff); /* only now: a relay without an agent opens, too */
    while (rc == 0 && c->relay == relay && (line = line_cutter_take(&c->lines, &line_len)) != NULL) {
        struct rpc_message msg;

        rc = rpc_parse(line, line_len, &msg, &err);
        if (rc != 0)
            break;
        rc = take_message(c, &msg, &err);
        rpc_clear(&msg);
    }
    if (rc != 0) {
        (void)err_wrap(&err, "%s: what came from the agent", c->config.target->node);
        agent_client_drop(c, &err);
    } else if (c->relay == relay) {
        arm(c);
    }
}

/* ---- time ---- */

static void silence(struct agent_client *c)
{
    char limit[TIME_TEXT_MAX];
    struct err why;

    (void)err_set(&why, ERR_LOST,
                  "%s: no sign of life within %s of a ping: the connection is half-open or the agent hangs",
                  c->config.target->node, dur_text(ping_limit_ms(c), limit));
    agent_client_drop(c, &why);
}

static void overdue(struct agent_client *c, const struct call *call)
{
    struct err why;

    (void)err_set(&why, ERR_TIMEOUT, "%s: no answer within its time limit; the outcome is not known",
                  c->config.target->node);
    call_fail(call, &why);
}

static void on_time(void *arg)
{
    struct agent_client *c = arg;
    int64_t now = loop_now_ms(c->loop);
    struct err err;

    for (uint32_t i = 0; c->up && i < c->calls.n;) {
        struct call call;

        if (c->calls.items[i].deadline_ms > now) {
            i++;
            continue;
        }
        call = calls_take(c, i);
        if (call.fn != NULL) {
            overdue(c, &call);
            i = 0; /* the callback may have changed the list */
            continue;
        }
        c->pinging = false;
        if (now - c->heard_ms >= ping_limit_ms(c)) { /* else something else was heard meanwhile */
            silence(c);
            return;
        }
    }
    if (!c->up)
        return;
    if (!c->pinging && now - c->heard_ms >= ping_ms(c)) {
        c->pinging = call_send(c, "ping", "{}", ping_limit_ms(c), NULL, NULL, &err) == 0;
        if (!c->pinging) { /* not even room for it: nothing has gone out for long */
            silence(c);
            return;
        }
    }
    arm(c);
}

/* ---- up and down ---- */

static void go_down(struct agent_client *c, const struct err *why, dur_ms retry_ms)
{
    c->up = false;
    c->relay = NULL;
    loop_timer_stop(&c->timer);
    calls_fail_all(c, why);
    if (c->closed)
        return;
    c->config.on_down(c->config.arg, why, retry_ms);
}

static void on_relay_open(void *arg)
{
    struct agent_client *c = arg;

    c->up = true;
    c->heard_ms = loop_now_ms(c->loop);
    arm(c);
    c->config.on_up(c->config.arg);
}

/* The relay ended while the session is fine: the agent's service is not there (yet). */
static void relay_ended(struct agent_client *c, const struct ssh_exec_end *end)
{
    dur_ms wait = backoff_next(&c->relay_backoff, ssh_pool_random(c->config.pool));
    int said = (int)strcspn(end->errors, "\r\n");
    struct err why;

    if (c->expect_cap_ms > 0 && wait > c->expect_cap_ms)
        wait = c->expect_cap_ms;
    if (end->why.code != ERR_OK)
        why = end->why;
    else
        (void)err_set(&why, ERR_LOST,
                      "%s: the relay ended (exit status %d)%s%.*s; is the patchwave-agent service running?",
                      c->config.target->node, end->exit_status, said > 0 ? ": " : "", said, end->errors);
    loop_timer_start(&c->relay_retry, wait);
    go_down(c, &why, wait);
}

static void on_relay_end(void *arg, const struct ssh_exec_end *end)
{
    struct agent_client *c = arg;
    const struct ssh_session *session = ssh_link_session(c->link);

    c->relay = NULL;
    c->up = false;
    if (session != NULL && ssh_session_state(session) == SSH_READY)
        relay_ended(c, end);
    /* else the session was lost: on_link_down is next, and knows when it will be back */
}

static void relay_start(struct agent_client *c)
{
    const struct ssh_exec_config config = {
        .command = c->config.command != NULL ? c->config.command : "relay",
        .send_max_bytes = SEND_MAX_BYTES,
        .on_open = on_relay_open,
        .on_data = on_relay_data,
        .on_end = on_relay_end,
        .arg = c,
    };
    struct ssh_session *session = ssh_link_session(c->link);
    struct err err;

    line_cutter_clear(&c->lines);
    line_cutter_init(&c->lines, WIRE_LINE_MAX);
    if (session != NULL && ssh_exec_start(session, &config, &c->relay, &err) != 0)
        ssh_link_drop(c->link, &err);
}

static void on_relay_retry(void *arg)
{
    relay_start(arg);
}

static void on_link_up(void *arg, struct ssh_session *session)
{
    (void)session;
    relay_start(arg);
}

static void on_link_down(void *arg, const struct err *why, dur_ms retry_ms)
{
    struct agent_client *c = arg;

    loop_timer_stop(&c->relay_retry);
    go_down(c, why, retry_ms);
}

/* ---- for owners ---- */

static void on_client_closed(void *arg)
{
    struct agent_client *c = arg;

    line_cutter_clear(&c->lines);
    list_clear(&c->calls);
    free(c);
}

int agent_client_new(const struct agent_client_config *config, struct agent_client **ret_client,
                     struct err *err)
{
    struct agent_client *c = calloc(1, sizeof *c);
    const struct ssh_link_config link = { .target = config->target,
                                          .learn = config->learn,
                                          .on_up = on_link_up,
                                          .on_down = on_link_down,
                                          .arg = c };

    if (c == NULL)
        return err_set(err, ERR_NOMEM, "%s: client", config->target->node);
    if (ssh_link_new(config->pool, &link, &c->link, err) != 0) {
        free(c);
        return (int)err->code;
    }
    c->config = *config;
    c->loop = ssh_pool_loop(config->pool);
    c->next_id = 1;
    c->relay_backoff.min_ms = RELAY_RETRY_MIN_MS;
    c->relay_backoff.max_ms = RELAY_RETRY_MAX_MS;
    c->closer.done = on_client_closed;
    c->closer.arg = c;
    line_cutter_init(&c->lines, WIRE_LINE_MAX);
    loop_timer_init(c->loop, &c->timer, on_time, c);
    loop_timer_init(c->loop, &c->relay_retry, on_relay_retry, c);
    *ret_client = c;
    return 0;
}

void agent_client_open(struct agent_client *c)
{
    if (ssh_link_session(c->link) == NULL)
        ssh_link_open(c->link);
    else if (c->relay == NULL)
        loop_timer_start(&c->relay_retry, 0);
}

void agent_client_expect(struct agent_client *c, dur_ms cap_ms)
{
    c->expect_cap_ms = cap_ms;
    ssh_link_expect(c->link, cap_ms);
}

void agent_client_drop(struct agent_client *c, const struct err *why)
{
    ssh_link_drop(c->link, why);
}

void agent_client_close(struct agent_client *c)
{
    struct err why;

    c->closed = true;
    c->up = false;
    if (c->relay != NULL)
        ssh_exec_close(c->relay);
    c->relay = NULL;
    (void)err_set(&why, ERR_CANCELLED, "%s: connection closed here", c->config.target->node);
    calls_fail_all(c, &why);
    ssh_link_close(c->link);
    loop_close_timer(&c->closer, &c->timer);
    loop_close_timer(&c->closer, &c->relay_retry);
}

bool agent_client_is_up(const struct agent_client *c)
{
    return c->up;
}

uint32_t agent_client_pending(const struct agent_client *c)
{
    return c->calls.n;
}

const struct ssh_target *agent_client_target(const struct agent_client *c)
{
    return c->config.target;
}

const struct ssh_hostkey *agent_client_hostkey(const struct agent_client *c)
{
    const struct ssh_session *session = ssh_link_session(c->link);

    return session != NULL ? ssh_session_hostkey(session) : NULL;
}
