/* One relay channel, many requests: order, size, limits, and every way a
 * connection can go away under them. */
#include "tests/live/ssh_world.h"

#include "orchestrator/io/agent_client.h"
#include "tests/lib/fault_proxy.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALLS 200

struct seen_client {
    struct agent_client *client;
    unsigned ups, downs, notes;
    struct err why; /* of the last down */
    dur_ms retry_ms;
};

struct seen_call {
    unsigned answers; /* how often the callback came */
    enum err_code code;
    char text[1024];
    int64_t value;
    size_t bytes;
    unsigned place; /* n-th answer of the test */
};

static unsigned place;

static void on_up(void *arg)
{
    struct seen_client *c = arg;

    c->ups++;
}

static void on_down(void *arg, const struct err *why, dur_ms retry_ms)
{
    struct seen_client *c = arg;

    c->downs++;
    c->why = *why;
    c->retry_ms = retry_ms;
}

static void on_notify(void *arg, const struct rpc_message *msg)
{
    struct seen_client *c = arg;

    assert_string_equal(msg->method, "op.progress");
    assert_int_equal(json_get_int(msg->params, "percent", -1), c->notes);
    c->notes++;
}

static void on_reply(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct seen_call *call = arg;

    call->answers++;
    call->place = ++place;
    call->code = why != NULL ? why->code : ERR_OK;
    if (why != NULL)
        (void)snprintf(call->text, sizeof call->text, "%s", why->text);
    if (reply != NULL && reply->kind == RPC_RESULT) {
        call->value = json_get_int(reply->result, "n", json_get_int(reply->result, "pid", -1));
        call->bytes = strlen(json_get_str(reply->result, "text", ""));
    } else if (reply != NULL) {
        call->value = json_get_int(reply->error_data, "epoch", -1);
    }
}

static bool is_up(void *arg)
{
    return agent_client_is_up(((struct seen_client *)arg)->client);
}

static bool is_down(void *arg)
{
    return ((struct seen_client *)arg)->downs > 0;
}

static bool is_idle(void *arg)
{
    return agent_client_pending(((struct seen_client *)arg)->client) == 0;
}

static void client_open(struct ssh_world *w, struct seen_client *c, const struct ssh_target *t,
                        const char *command)
{
    const struct agent_client_config config = { .pool = w->pool,
                                                .target = t,
                                                .command = command,
                                                .on_up = on_up,
                                                .on_down = on_down,
                                                .on_notify = on_notify,
                                                .arg = c };
    struct err err;

    memset(c, 0, sizeof *c);
    place = 0;
    check_ok(agent_client_new(&config, &c->client, &err), &err);
    agent_client_open(c->client);
}

static void client_up(struct ssh_world *w, struct seen_client *c, const struct ssh_target *t)
{
    client_open(w, c, t, NULL);
    ssh_world_until(w, is_up, c);
}

static void ask(struct seen_client *c, const char *method, const char *params, dur_ms limit_ms,
                struct seen_call *call)
{
    struct err err;

    memset(call, 0, sizeof *call);
    check_ok(agent_client_call(c->client, method, params, limit_ms, on_reply, call, &err), &err);
}

static void check_call(const struct seen_call *call, enum err_code code)
{
    assert_int_equal(call->answers, 1);
    if (call->code != code)
        fail_msg("%s expected, got %s: %s", err_name(code), err_name(call->code), call->text);
}

/* ---- answers ---- */

static void test_two_hundred_requests_at_once_are_answered_in_order(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_client c;
    struct seen_call *calls = calloc(CALLS, sizeof *calls);
    char params[64];

    client_up(w, &c, &t);
    for (int i = 0; i < CALLS; i++) {
        (void)snprintf(params, sizeof params, "{\"n\":%d}", i);
        ask(&c, "echo", params, 20000, &calls[i]);
    }
    assert_int_equal(agent_client_pending(c.client), CALLS);
    ssh_world_until(w, is_idle, &c);
    for (int i = 0; i < CALLS; i++) {
        check_call(&calls[i], ERR_OK);
        assert_int_equal(calls[i].value, i);
        assert_int_equal(calls[i].place, i + 1);
    }
    agent_client_close(c.client);
    free(calls);
}

/* A slow answer holds up no quick one. */
static void test_answers_come_in_any_order(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_client c;
    struct seen_call slow, quick;

    client_up(w, &c, &t);
    ask(&c, "later", "{\"ms\":200}", 20000, &slow);
    ask(&c, "echo", "{\"n\":1}", 20000, &quick);
    ssh_world_until(w, is_idle, &c);
    check_call(&slow, ERR_OK);
    check_call(&quick, ERR_OK);
    assert_true(quick.place < slow.place);
    agent_client_close(c.client);
}

/* The wire's bound is 1 MiB with the newline: up to it both ways, not beyond. */
static void test_lines_of_a_mebibyte(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    const size_t envelope = strlen("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"text\":\"\"}}\n");
    struct seen_client c;
    struct seen_call call;
    struct err err;
    struct buf params = BUF_INIT;
    char text[64];

    client_up(w, &c, &t);
    (void)snprintf(text, sizeof text, "{\"bytes\":%zu}", WIRE_LINE_MAX - envelope);
    ask(&c, "big", text, 20000, &call);
    ssh_world_until(w, is_idle, &c);
    check_call(&call, ERR_OK);
    assert_int_equal(call.bytes, WIRE_LINE_MAX - envelope);

    buf_str(&params, "{\"text\":\"");
    while (params.len < WIRE_LINE_MAX - 100)
        buf_char(&params, 'y');
    buf_str(&params, "\"}");
    ask(&c, "echo", params.data, 20000, &call);
    ssh_world_until(w, is_idle, &c);
    check_call(&call, ERR_OK);
    assert_int_equal(call.bytes, params.len - strlen("{\"text\":\"\"}"));

    params.len -= 2;
    while (params.len < WIRE_LINE_MAX)
        buf_char(&params, 'y');
    buf_str(&params, "\"}");
    assert_int_equal(agent_client_call(c.client, "echo", params.data, 1000, on_reply, &call, &err),
                     ERR_INVALID);
    check_contains(err.text, "over the wire's bound");
    assert_int_equal(agent_client_pending(c.client), 0);
    buf_clear(&params);
    agent_client_close(c.client);
}

static void test_notifications_come_before_the_answer_that_follows_them(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_client c;
    struct seen_call call;

    client_up(w, &c, &t);
    ask(&c, "notify", "{\"n\":50}", 20000, &call);
    ssh_world_until(w, is_idle, &c);
    check_call(&call, ERR_OK);
    assert_int_equal(c.notes, 50);
    agent_client_close(c.client);
}

static void test_an_error_keeps_its_name_and_data(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_client c;
    struct seen_call call;

    client_up(w, &c, &t);
    ask(&c, "fail", NULL, 20000, &call);
    ssh_world_until(w, is_idle, &c);
    check_call(&call, ERR_FENCED);
    assert_int_equal(call.value, 9);
    check_contains(call.text, "HV07: fail: epoch 7 is below 9");
    agent_client_close(c.client);
}

/* ---- time ---- */

static void test_each_request_has_its_time_limit(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_client c;
    struct seen_call never, late, good;

    client_up(w, &c, &t);
    ask(&c, "drop", NULL, 150, &never);
    ask(&c, "later", "{\"ms\":400}", 100, &late);
    ask(&c, "later", "{\"ms\":600}", 20000, &good);
    ssh_world_until(w, is_idle, &c);
    check_call(&never, ERR_TIMEOUT);
    check_call(&late, ERR_TIMEOUT); /* its answer came while `good` was waited for, and was dropped */
    check_call(&good, ERR_OK);
    assert_int_equal(c.downs, 0); /* a slow node is not a lost one */
    agent_client_close(c.client);
}

/* ---- losses ---- */

static struct fault_proxy *proxy_before(struct ssh_world *w, struct ssh_target *t, char address[32])
{
    struct fault_proxy *p;

    bed_address(&w->bed, address);
    assert_int_equal(fault_proxy_new(w->loop, address, 40022, t->address, t->port, &p), 0);
    t->address = address;
    t->port = 40022;
    return p;
}

static void test_a_cut_fails_each_pending_request_once_and_reconnects(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_client c;
    struct seen_call *calls = calloc(CALLS, sizeof *calls);
    struct seen_call after;
    char address[32];
    struct fault_proxy *p = proxy_before(w, &t, address);
    struct err err;

    client_up(w, &c, &t);
    for (int i = 0; i < CALLS; i++)
        ask(&c, "drop", NULL, 20000, &calls[i]);
    ssh_world_turn(w, 50);
    fault_proxy_cut(p);
    ssh_world_until(w, is_down, &c);
    for (int i = 0; i < CALLS; i++) {
        check_call(&calls[i], ERR_LOST);
        assert_int_equal(calls[i].place, i + 1);
    }
    assert_int_equal(c.why.code, ERR_LOST);
    assert_int_equal(agent_client_call(c.client, "echo", NULL, 100, on_reply, &after, &err), ERR_LOST);
    ssh_world_until(w, is_up, &c);
    assert_int_equal(c.ups, 2);
    ask(&c, "echo", "{\"n\":5}", 20000, &after);
    ssh_world_until(w, is_idle, &c);
    check_call(&after, ERR_OK);
    agent_client_close(c.client);
    fault_proxy_close(p);
    free(calls);
}

/* Cut after every so many bytes: in the handshake, the login, the opening of the channel, in the middle of answers. */
static void test_cuts_at_many_places(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    char address[32];
    struct fault_proxy *p = proxy_before(w, &t, address);

    for (uint64_t at = 1; at < 9000; at = at * 5 / 4 + 100) {
        struct seen_client c;
        struct seen_call call = { 0 };
        struct err err;

        fault_proxy_set(p, &(struct fault_proxy_faults){ .cut_after = at });
        client_open(w, &c, &t, NULL);
        for (int i = 0; i < 400 && c.downs == 0; i++) {
            if (agent_client_is_up(c.client) && agent_client_pending(c.client) == 0) {
                assert_int_equal(call.answers > 1, false);
                call.answers = 0;
                assert_int_equal(
                    agent_client_call(c.client, "echo", "{\"n\":1}", 20000, on_reply, &call, &err), 0);
            }
            loop_turn(w->loop, 50);
        }
        if (c.downs == 0)
            fail_msg("cut after %llu bytes: nobody noticed", (unsigned long long)at);
        if (call.answers == 1 && call.code != ERR_OK)
            assert_int_equal(call.code, ERR_LOST);
        if (c.why.code != ERR_CONNECT && c.why.code != ERR_LOST)
            fail_msg("cut after %llu bytes: %s", (unsigned long long)at, c.why.text);
        fault_proxy_set(p, &(struct fault_proxy_faults){ .cut_after = 0 });
        ssh_world_until(w, is_up, &c); /* and it comes back */
        agent_client_close(c.client);
    }
    fault_proxy_close(p);
}

/* Nothing passes any more and nobody says so: only a ping finds out. */
static void test_a_half_open_connection_is_found_by_a_ping(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_client c;
    struct seen_call call;
    char address[32];
    struct fault_proxy *p = proxy_before(w, &t, address);

    t.limits = (struct ssh_limits){ .ping_ms = 100, .ping_limit_ms = 4000 };
    client_up(w, &c, &t);
    ssh_world_turn(w, 1000); /* pings are answered: it stays */
    assert_int_equal(c.downs, 0);
    fault_proxy_set(p, &(struct fault_proxy_faults){ .frozen = true });
    ask(&c, "echo", NULL, 20000, &call);
    ssh_world_until(w, is_down, &c);
    check_call(&call, ERR_LOST);
    check_contains(c.why.text, "half-open");
    fault_proxy_set(p, &(struct fault_proxy_faults){ .frozen = false });
    ssh_world_until(w, is_up, &c);
    agent_client_close(c.client);
    fault_proxy_close(p);
}

/* An agent that reads and never answers is as dead as a cut cable. */
static void test_a_mute_agent_is_found_by_a_ping(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_client c;
    struct seen_call call;

    t.limits = (struct ssh_limits){ .ping_ms = 100, .ping_limit_ms = 4000 };
    client_up(w, &c, &t);
    ask(&c, "mute", NULL, 20000, &call);
    ssh_world_until(w, is_down, &c);
    check_call(&call, ERR_LOST);
    ssh_world_until(w, is_up, &c); /* a new relay, a new agent */
    agent_client_close(c.client);
}

/* Slow is not lost: a stream of 16 KiB/s with delays, and big lines both ways. */
static void test_a_slow_stream_is_endured(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_client c;
    struct seen_call down, up;
    char address[32];
    struct fault_proxy *p = proxy_before(w, &t, address);
    struct buf params = BUF_INIT;

    t.limits = (struct ssh_limits){ .ping_ms = 500, .ping_limit_ms = 3000 };
    client_up(w, &c, &t);
    fault_proxy_set(p, &(struct fault_proxy_faults){ .rate_bytes_s = 65536, .delay_ms = 5 });
    buf_str(&params, "{\"text\":\"");
    for (int i = 0; i < 100000; i++)
        buf_char(&params, 'z');
    buf_str(&params, "\"}");
    ask(&c, "big", "{\"bytes\":100000}", 25000, &down);
    ask(&c, "echo", params.data, 25000, &up);
    ssh_world_until(w, is_idle, &c);
    check_call(&down, ERR_OK);
    check_call(&up, ERR_OK);
    assert_int_equal(up.bytes, 100000);
    assert_int_equal(c.downs, 0);
    buf_clear(&params);
    agent_client_close(c.client);
    fault_proxy_close(p);
}

/* The agent's process ends: the relay ends, the session stays, a new relay is opened on it. */
static void test_a_relay_that_ends_is_opened_again_on_the_same_session(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_client c;
    struct seen_call dead, first, second;
    char address[32];
    struct fault_proxy *p = proxy_before(w, &t, address);

    client_up(w, &c, &t);
    ask(&c, "pid", NULL, 20000, &first);
    ssh_world_until(w, is_idle, &c);
    ask(&c, "die", NULL, 20000, &dead);
    ssh_world_until(w, is_down, &c);
    check_call(&dead, ERR_LOST);
    check_contains(c.why.text, "told to die");
    check_contains(c.why.text, "exit status 3");
    ssh_world_until(w, is_up, &c);
    ask(&c, "pid", NULL, 20000, &second);
    ssh_world_until(w, is_idle, &c);
    check_call(&second, ERR_OK);
    assert_int_not_equal(first.value, second.value);
    assert_int_equal(fault_proxy_counts(p).accepted, 1); /* one connection all the time */
    agent_client_close(c.client);
    fault_proxy_close(p);
}

/* After a boot sshd is there before the agent is. */
static void test_waits_for_the_agent_behind_sshd(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_client c;
    struct seen_call call;
    struct err err;
    char path[BED_PATH_MAX];
    int fd;

    client_open(w, &c, &t, "late");
    ssh_world_until(w, is_down, &c);
    check_contains(c.why.text, "no agent at its socket");
    fd = open(bed_path(&w->bed, "agent", path), O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    for (int i = 0; i < 100;
         i++) { /* a relay opens before it is known whether an agent answers behind it: hello decides */
        ssh_world_until(w, is_up, &c);
        if (agent_client_call(c.client, "hello", "{\"n\":1}", 5000, on_reply, memset(&call, 0, sizeof call),
                              &err) != 0) {
            assert_int_equal(err.code, ERR_LOST);
            loop_turn(w->loop, 10);
            continue;
        }
        ssh_world_until(w, is_idle, &c);
        if (call.code == ERR_OK)
            break;
        assert_int_equal(call.code, ERR_LOST);
    }
    check_call(&call, ERR_OK);
    assert_int_equal(call.value, 1);
    agent_client_close(c.client);
}

static void test_what_is_not_a_message_ends_the_connection(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_client c;
    struct seen_call call;

    client_up(w, &c, &t);
    ask(&c, "garbage", NULL, 20000, &call);
    ssh_world_until(w, is_down, &c);
    check_call(&call, ERR_PROTOCOL);
    assert_int_equal(c.why.code, ERR_PROTOCOL);
    ssh_world_until(w, is_up, &c);
    agent_client_close(c.client);
}

static bool keeps_trying(void *arg)
{
    return ((struct seen_client *)arg)->downs > 3;
}

/* sshd itself goes down and comes back, as in a reboot. */
static void test_comes_back_after_sshd_does(void **state)
{
    struct ssh_world *w = *state;
    struct sshd_bed d;
    struct ssh_target t;
    struct seen_client c;
    struct seen_call call;

    sshd_start(&w->bed, &d, &(struct sshd_setup){ .command = w->command });
    t = ssh_world_target(w, &d);
    client_up(w, &c, &t);
    ask(&c, "pid", NULL, 20000, &call);
    ssh_world_until(w, is_idle, &c);
    sshd_stop(&d);
    assert_int_equal(kill((pid_t)call.value, SIGKILL),
                     0); /* the session's own sshd lives on; its command does not */
    agent_client_drop(c.client, &(struct err){ .code = ERR_LOST, .text = "rebooting" });
    assert_int_equal(c.downs, 1);
    agent_client_expect(c.client, 100);
    ssh_world_until(w, keeps_trying, &c);
    assert_int_equal(c.why.code, ERR_CONNECT);
    sshd_restart(&w->bed, &d);
    ssh_world_until(w, is_up, &c);
    agent_client_expect(c.client, 0);
    agent_client_close(c.client);
    sshd_stop(&d);
}

/* ---- the owner's end ---- */

struct closer_call {
    struct seen_client *c;
    unsigned answers;
};

static void on_reply_close(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct closer_call *call = arg;

    (void)reply;
    (void)why;
    if (call->answers++ == 0)
        agent_client_close(call->c->client);
}

static bool is_answered(void *arg)
{
    return ((struct closer_call *)arg)->answers > 0;
}

/* Closing from inside an answer: the other calls hear CANCELLED, once, and nothing is used after it is gone. */
static void test_closing_from_inside_an_answer(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_client c;
    struct seen_call pending;
    struct closer_call closing = { &c, 0 };
    struct err err;

    client_up(w, &c, &t);
    check_ok(agent_client_call(c.client, "echo", NULL, 5000, on_reply_close, &closing, &err), &err);
    ask(&c, "echo", NULL, 5000, &pending); /* answered in the same packet, perhaps */
    ssh_world_until(w, is_answered, &closing);
    ssh_world_turn(w, 100);
    assert_int_equal(closing.answers, 1);
    check_call(&pending, ERR_CANCELLED);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, ssh_world_begin, ssh_world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_two_hundred_requests_at_once_are_answered_in_order),
        STORY(test_answers_come_in_any_order),
        STORY(test_lines_of_a_mebibyte),
        STORY(test_notifications_come_before_the_answer_that_follows_them),
        STORY(test_an_error_keeps_its_name_and_data),
        STORY(test_each_request_has_its_time_limit),
        STORY(test_a_cut_fails_each_pending_request_once_and_reconnects),
        STORY(test_cuts_at_many_places),
        STORY(test_a_half_open_connection_is_found_by_a_ping),
        STORY(test_a_mute_agent_is_found_by_a_ping),
        STORY(test_a_slow_stream_is_endured),
        STORY(test_a_relay_that_ends_is_opened_again_on_the_same_session),
        STORY(test_waits_for_the_agent_behind_sshd),
        STORY(test_what_is_not_a_message_ends_the_connection),
        STORY(test_comes_back_after_sshd_does),
        STORY(test_closing_from_inside_an_answer),
    };

    return cmocka_run_group_tests(tests, ssh_world_open, ssh_world_close);
}
