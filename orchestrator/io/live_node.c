/* The talk with one node: connect, hello, claim (docs/wire.md). */
#include "orchestrator/io/live_own.h"
#include "orchestrator/io/node_target.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GREET_AGAIN_MS ((dur_ms)250)

static const struct node *inv_node(const struct live_node *n)
{
    return &n->b->setup.plan->inv->nodes[n->ix];
}

void live_refused(struct live_node *n, enum err_code code, const char *text)
{
    struct event ev = live_event(EV_NODE_REFUSED, n->ix);

    n->claim_wanted = false;
    n->refused = true;
    loop_timer_stop(&n->claim_limit);
    ev.u.refused.code = code;
    ev.u.refused.text = text;
    live_emit(n->b, &ev);
}

/* Connected and yet mute: begin anew rather than wait for ever. */
static void drop_if_silent(struct live_node *n, const struct err *why)
{
    if (why->code == ERR_TIMEOUT && n->talk != TALK_DOWN)
        agent_client_drop(n->client, why);
}

/* --- claim --- */

void live_claimed(struct live_node *n, const struct op_record *ops, uint32_t n_ops)
{
    struct event ev = live_event(EV_NODE_CLAIMED, n->ix);

    if (!n->claim_wanted)
        return;
    n->talk = TALK_CLAIMED;
    n->claim_wanted = false;
    loop_timer_stop(&n->claim_limit);
    agent_client_expect(n->client, 0);
    ev.u.claimed.machine_id = n->machine_id;
    ev.u.claimed.boot_id = n->boot_id;
    ev.u.claimed.agent = n->agent;
    ev.u.claimed.ops = ops;
    ev.u.claimed.n_ops = n_ops;
    ev.u.claimed.blank = n->blank;
    n->blank = false;
    live_emit(n->b, &ev);
}

static void on_claimed(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct live_node *n = arg;
    struct arena a = ARENA_INIT;
    struct err err = { 0 };
    struct op_record *ops;
    const json *list;
    uint32_t n_ops = 0;
    int rc = 0;

    if (n->b->closing)
        return;
    if (reply == NULL) { /* lost: on_down tells, and the claim is tried again */
        drop_if_silent(n, why);
        return;
    }
    if (why != NULL) {
        n->talk = TALK_GREETED;
        if (why->code == ERR_STATE)
            loop_timer_start(&n->greet_again, GREET_AGAIN_MS);
        else if (n->claim_wanted)
            live_refused(n, why->code, why->text);
        return;
    }
    if (n->journal_wanted && n->claim_wanted) {
        live_takeover_begin(n, reply);
        return;
    }
    list = json_get(reply->result, "ops");
    ops = ARENA_ARRAY(&a, struct op_record, json_count(list) + 1);
    for (const json *v = json_first(list); v != NULL && rc == 0 && ops != NULL; v = json_next(v))
        rc = live_record_read(reply->doc, v, &a, &ops[n_ops++], &err);
    if (ops == NULL)
        rc = err_set(&err, ERR_NOMEM, "%s: claim", n->target.node);
    if (rc != 0)
        agent_client_drop(n->client, &err);
    else
        live_claimed(n, ops, n_ops);
    arena_clear(&a);
}

static void send_claim(struct live_node *n)
{
    struct backend_live *b = n->b;
    struct log_position at = b->setup.position(b->setup.arg);
    struct buf text = BUF_INIT;
    struct json_writer w;
    struct err err = { 0 };

    jw_init(&w, &text);
    jw_object(&w, NULL);
    jw_str(&w, "run", b->run);
    jw_str(&w, "controller", b->controller);
    jw_int(&w, "epoch", (int64_t)b->epoch);
    jw_object(&w, "log");
    jw_int(&w, "seq", (int64_t)at.seq);
    jw_str(&w, "hash", at.hash);
    jw_object_end(&w);
    jw_bool(&w, "takeover", b->takeover);
    jw_str(&w, "session", n->session);
    jw_object_end(&w);
    if (live_call(n, "claim", &text, LIVE_CALL_MS, on_claimed, n, &err) != 0)
        loop_timer_start(&n->greet_again, GREET_AGAIN_MS);
}

static void on_claim_limit(void *arg)
{
    struct live_node *n = arg;
    struct event ev = live_event(EV_NODE_LOST, n->ix);

    n->claim_wanted = false;
    ev.u.refused.code = n->last_down.code != ERR_OK ? n->last_down.code : ERR_TIMEOUT;
    ev.u.refused.text = n->last_down.code != ERR_OK ? n->last_down.text : "no answer within the time limit";
    live_emit(n->b, &ev);
}

/* --- hello --- */

static void send_hello(struct live_node *n);

/* The survey said hello before this controller had its name: then anew. */
static void claim_or_greet(struct live_node *n)
{
    if (strcmp(n->greeted_as, n->b->controller) == 0) {
        send_claim(n);
    } else {
        n->talk = TALK_UP;
        send_hello(n);
    }
}

static int check_hello(struct live_node *n, const json *r, struct err *err)
{
    const json *clock = json_get(r, "clock");
    const struct fleet_clock *ours = &n->b->setup.clock;

    if (strcmp(json_get_str(r, "node", ""), inv_node(n)->id) != 0)
        return err_set(err, ERR_REFUSED, "the agent there calls itself \"%s\"", json_get_str(r, "node", ""));
    if (json_get_int(clock, "factor", 0) != ours->factor ||
        (ours->factor != 1 && json_get_int(clock, "anchor_ms", -1) != ours->anchor))
        return err_set(err, ERR_REFUSED, "its clock runs by factor %lld, the plan's by %u",
                       (long long)json_get_int(clock, "factor", 0), (unsigned)ours->factor);
    return 0;
}

static int keep_hello(struct live_node *n, const json *r, struct err *err)
{
    arena_clear(&n->hello_arena);
    n->mono_at_hello = json_get_int(json_get(r, "clock"), "mono_ms", -1);
    n->hello_heard = fleet_now(&n->b->setup.clock);
    snprintf(n->session, sizeof n->session, "%s", json_get_str(r, "session", ""));
    n->machine_id = arena_str(&n->hello_arena, json_get_str(r, "machine_id", ""));
    n->boot_id = arena_str(&n->hello_arena, json_get_str(r, "boot_id", ""));
    n->agent = arena_str(&n->hello_arena, json_get_str(r, "agent", ""));
    if (n->machine_id == NULL || n->boot_id == NULL || n->agent == NULL)
        return err_set(err, ERR_NOMEM, "%s: hello", n->target.node);
    return 0;
}

/* A node that was out of reach in the survey tells only now that it has seen a log that is not in this database: a stale
 * copy stops (docs/wire.md). */
static bool stale_stops(struct live_node *n, const struct live_hello *h)
{
    struct backend_live *b = n->b;
    struct err err;

    if (!n->claim_wanted || b->takeover || h->seq == 0 || b->setup.log_holds == NULL ||
        b->setup.log_holds(b->setup.arg, h->seq, h->hash))
        return false;
    (void)err_set(&err, ERR_STALE,
                  "this node has seen entry %" PRIu64
                  " of a log that this database does not hold: it is a stale copy",
                  h->seq);
    live_refused(n, err.code, err.text);
    return true;
}

static void on_hello(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct live_node *n = arg;
    struct err err = { 0 };
    struct live_hello h;
    const json *log;

    if (n->b->closing)
        return;
    if (reply == NULL) {
        drop_if_silent(n, why);
        return;
    }
    if (why != NULL && why->code == ERR_STATE) { /* its driver does not answer yet */
        loop_timer_start(&n->greet_again, GREET_AGAIN_MS);
        return;
    }
    if (why == NULL && check_hello(n, reply->result, &err) != 0)
        why = &err;
    if (why != NULL && why->code == ERR_VERSION) {
        (void)err_set(&err, ERR_VERSION,
                      "%s; this patchwave speaks %d to %d: bring the older of the two up to date", why->text,
                      WIRE_PROTOCOL_MIN, WIRE_PROTOCOL_MAX);
        why = &err;
    }
    if (why != NULL) {
        n->last_down = *why;
        live_surveyed(n, NULL);
        live_stage_lost(n, why);
        if (n->claim_wanted)
            live_refused(n, why->code, why->text);
        return;
    }
    if (keep_hello(n, reply->result, &err) != 0) {
        agent_client_drop(n->client, &err);
        return;
    }
    n->talk = TALK_GREETED;
    log = json_get(reply->result, "log");
    h = (struct live_hello){ .epoch = (uint64_t)json_get_int(reply->result, "epoch", 0),
                             .seq = (uint64_t)json_get_int(log, "seq", 0),
                             .hash = json_get_str(log, "hash", "") };
    n->blank |= h.epoch == 0; /* the answer to a claim may have been lost */
    live_surveyed(n, &h);
    live_stage_greeted(n);
    if (n->claim_wanted && !stale_stops(n, &h))
        claim_or_greet(n);
}

static void send_hello(struct live_node *n)
{
    struct buf text = BUF_INIT;
    struct json_writer w;
    struct err err = { 0 };

    jw_init(&w, &text);
    jw_object(&w, NULL);
    jw_object(&w, "protocol");
    jw_int(&w, "min", WIRE_PROTOCOL_MIN);
    jw_int(&w, "max", WIRE_PROTOCOL_MAX);
    jw_object_end(&w);
    snprintf(n->greeted_as, sizeof n->greeted_as, "%s",
             n->b->controller[0] != '\0' ? n->b->controller : "00000000000000000000000000000000");
    jw_str(&w, "controller", n->greeted_as);
    jw_str(&w, "program", "patchwave " PATCHWAVE_VERSION);
    jw_object_end(&w);
    if (live_call(n, "hello", &text, LIVE_CALL_MS, on_hello, n, &err) != 0)
        loop_timer_start(&n->greet_again, GREET_AGAIN_MS);
}

/* --- the connection --- */

static void on_greet_again(void *arg)
{
    struct live_node *n = arg;

    if (n->talk == TALK_UP)
        send_hello(n);
    else if (n->talk == TALK_GREETED && n->claim_wanted)
        claim_or_greet(n);
}

static void on_up(void *arg)
{
    struct live_node *n = arg;

    n->talk = TALK_UP;
    n->last_down = (struct err){ 0 };
    n->no_retry = false;
    send_hello(n);
}

static void on_down(void *arg, const struct err *why, dur_ms retry_ms)
{
    struct live_node *n = arg;
    bool claimed = n->talk == TALK_CLAIMED;
    struct event ev = live_event(EV_NODE_LOST, n->ix);

    n->talk = TALK_DOWN;
    n->last_down = *why;
    n->no_retry = retry_ms == LINK_NO_RETRY;
    live_op_lost(n);
    loop_timer_stop(&n->greet_again);
    live_surveyed(n, NULL);
    live_stage_lost(n, why);
    if (claimed) {
        ev.u.refused.code = why->code;
        ev.u.refused.text = why->text;
        live_emit(n->b, &ev);
    } else if (retry_ms == LINK_NO_RETRY && n->claim_wanted) {
        live_refused(n, why->code, why->text);
    }
}

static void on_notify(void *arg, const struct rpc_message *msg)
{
    if (strcmp(msg->method, "package.progress") == 0)
        live_stage_notified(arg, msg);
    else
        live_op_notified(arg, msg);
}

int live_node_open(struct backend_live *b, uint32_t ix, struct err *err)
{
    struct live_node *n = &b->nodes[ix];
    const struct ssh_hostkey *pin = b->setup.pins[ix].fingerprint[0] != '\0' ? &b->setup.pins[ix] : NULL;
    struct agent_client_config config = {
        .pool = b->pool, .on_up = on_up, .on_down = on_down, .on_notify = on_notify, .arg = n
    };
    int rc;

    n->target = node_target(inv_node(n), pin, b->setup.default_user);
    config.target = &n->target;
    rc = agent_client_new(&config, &n->client, err);
    if (rc != 0)
        return rc;
    loop_timer_init(b->loop, &n->claim_limit, on_claim_limit, n);
    loop_timer_init(b->loop, &n->greet_again, on_greet_again, n);
    loop_timer_init(b->loop, &n->stage_limit, live_stage_limit, n);
    return 0;
}

void live_node_close(struct live_node *n)
{
    if (n->client == NULL)
        return;
    loop_timer_stop(&n->claim_limit);
    loop_timer_stop(&n->greet_again);
    loop_timer_stop(&n->stage_limit);
    agent_client_close(n->client);
}

void live_claim(struct live_node *n, dur_ms limit_ms, bool journal)
{
    dur_ms real = fleet_to_real(&n->b->setup.clock, limit_ms);

    if (n->client == NULL)
        return;
    n->claim_wanted = true;
    n->journal_wanted = journal;
    n->refused = false;
    loop_timer_start(&n->claim_limit, real > LIVE_CLAIM_MIN_MS ? real : LIVE_CLAIM_MIN_MS);
    if (n->talk == TALK_CLAIMED)
        n->talk = TALK_GREETED; /* a second claim of the same controller is harmless */
    if (n->talk == TALK_GREETED)
        claim_or_greet(n);
    else if (n->talk == TALK_UP && n->last_down.code != ERR_OK)
        send_hello(n); /* it was refused before; what it says now counts */
    else if (n->talk == TALK_DOWN)
        agent_client_open(n->client);
}
