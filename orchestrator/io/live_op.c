/* Ops: sent once, asked about, cancelled, acknowledged. A lost connection is
 * told by NODE_LOST alone; nothing here guesses an outcome. */
#include "orchestrator/io/live_own.h"
#include "schema/sha256.h"

#include <stdlib.h>
#include <string.h>

#define REBOOT_KNOCK_MS ((dur_ms)250) /* how often to knock while a node reboots */
/* A receiver without a word has refused nothing: the move is tried again later, on a fresh picture, and goes to another
 * when the engine holds the receiver for lost (O17). */
#define NO_RECEIVER "busy"
/* Real: as long as a message may be on its way, either way. A controller that was stopped finds an answer in its socket, a node
 * an order in what a dead connection had swallowed, and what the step was decided on is old by then (C.5, I7, I16). */
#define ORDER_GOOD_MS ((dur_ms)60000)

/* A call about one op; owns its copy of what later calls need. */
struct live_op {
    struct live_node *n;
    char op[ID_TEXT_MAX];
    char *start_params; /* of a move: sent when the receiver has accepted */
    time_ms asked;      /* the receiver */
    bool reboots;
    bool dropped;         /* not to be sent any more */
    struct live_op *next; /* of those that wait for their receivers */
};

static struct live_op *op_new(struct live_node *n, const char *op)
{
    struct live_op *o = calloc(1, sizeof *o);

    if (o != NULL) {
        o->n = n;
        strncpy(o->op, op, sizeof o->op - 1);
    }
    return o;
}

static void op_free(struct live_op *o)
{
    free(o->start_params);
    free(o);
}

/* The place of a start that has not been sent; what it points to is NULL: there is none. */
static struct live_op **waiting_at(struct live_node *n, const char *op)
{
    struct live_op **at = &n->waiting;

    while (*at != NULL && strcmp((*at)->op, op) != 0)
        at = &(*at)->next;
    return at;
}

/* The receiver's answer will find it so, and end it. */
static void drop(struct live_op **at)
{
    (*at)->dropped = true;
    *at = (*at)->next;
}

void live_op_lost(struct live_node *n)
{
    while (n->waiting != NULL)
        drop(&n->waiting);
}

static void emit_record(struct live_node *n, const struct op_record *r)
{
    struct event ev = live_event(EV_OP_RESULT, n->ix);

    ev.u.op_result.record = *r;
    live_emit(n->b, &ev);
}

/* An agent said no before anything was accepted, or there was none to say yes: nothing changed. */
static void emit_refused(struct live_node *n, const char *op, const char *code, const char *text)
{
    struct op_record r = {
        .op = op, .state = OP_DONE, .outcome = OUTCOME_REFUSED, .error_code = code, .error_text = text
    };

    emit_record(n, &r);
}

static void call(struct live_op *o, const char *method, struct buf *params, agent_reply_fn *fn)
{
    struct err err = { 0 };

    /* Not connected: NODE_LOST has told or will tell. No memory: the engine's deadline asks again. */
    if (live_call(o->n, method, params, LIVE_CALL_MS, fn, o, &err) != 0)
        op_free(o);
}

static void call_with_driver(struct live_op *o, const char *method, struct buf *params, agent_reply_fn *fn)
{
    struct err err = { 0 };

    if (live_call(o->n, method, params, 4 * LIVE_CALL_MS, fn, o, &err) != 0)
        op_free(o);
}

static void begin_params(struct json_writer *w, struct buf *b, const struct live_node *n, const char *op)
{
    jw_init(w, b);
    jw_object(w, NULL);
    jw_str(w, "op", op);
    jw_str(w, "session", n->session);
}

/* True when the error was of a kind that is told by other means. */
static bool told_otherwise(struct live_node *n, const struct err *why)
{
    if (why->code != ERR_FENCED && why->code != ERR_STALE)
        return false;
    n->talk = TALK_GREETED;
    live_refused(n, why->code, why->text);
    return true;
}

/* --- asking --- */

static enum op_witness witness_of(const json *result)
{
    static const struct {
        const char *word;
        enum op_witness w;
    } words[] = { { "done", WITNESS_SAYS_DONE },
                  { "not_done", WITNESS_SAYS_NOT_DONE },
                  { "running", WITNESS_SAYS_RUNNING } };
    const char *word = json_get_str(result, "witness", "");

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i].word, word) == 0)
            return words[i].w;
    return WITNESS_CANNOT_TELL;
}

static void answer_record(struct live_op *o, const struct json_doc *doc, const json *v, enum op_witness w)
{
    struct arena a = ARENA_INIT;
    struct err err = { 0 };
    struct op_record r;

    if (live_record_read(doc, v, &a, &r, &err) == 0) {
        r.witness = w;
        emit_record(o->n, &r);
    } else {
        agent_client_drop(o->n->client, &err);
    }
    arena_clear(&a);
}

static void on_witness(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct live_op *o = arg;

    if (why == NULL) {
        answer_record(o, reply->doc, json_get(reply->result, "record"), witness_of(reply->result));
    } else if (reply != NULL || why->code == ERR_TIMEOUT) { /* asked, and no answer to be had */
        struct op_record r = { .op = o->op,
                               .state = OP_UNKNOWN,
                               .witness = WITNESS_CANNOT_TELL,
                               .error_code = err_name(why->code),
                               .error_text = why->text };

        if (!told_otherwise(o->n, why))
            emit_record(o->n, &r);
    }
    op_free(o);
}

static void ask_witness(struct live_op *o)
{
    struct buf text = BUF_INIT;
    struct json_writer w;

    begin_params(&w, &text, o->n, o->op);
    jw_object_end(&w);
    call_with_driver(o, "op.witness", &text, on_witness);
}

static void on_status(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct live_op *o = arg;

    if (why == NULL && strcmp(json_get_str(reply->result, "state", ""), "unknown") == 0) {
        ask_witness(o);
        return;
    }
    if (why == NULL)
        answer_record(o, reply->doc, reply->result, WITNESS_NOT_ASKED);
    else if (why->code == ERR_TIMEOUT && reply == NULL)
        agent_client_drop(o->n->client, why);
    op_free(o);
}

static void ask_status(struct live_op *o)
{
    struct buf text = BUF_INIT;
    struct json_writer w;

    jw_init(&w, &text);
    jw_object(&w, NULL);
    jw_str(&w, "op", o->op);
    jw_object_end(&w);
    call(o, "op.status", &text, on_status);
}

void live_op_probe(struct backend_live *b, const struct command *c)
{
    struct live_node *n = &b->nodes[c->node];
    struct live_op *o;

    /* Of a start that waits for its receiver the node would say that it never saw it, and then it would be sent: no
     * answer is better than an old one (I21). */
    if (n->talk == TALK_CLAIMED && *waiting_at(n, c->op) == NULL && (o = op_new(n, c->op)) != NULL)
        ask_status(o);
}

/* --- starting --- */

/* Too late by the node's clock, or that clock is counted wrong here: a new hello sets it right, and the claim tells the rest. */
static void greet_anew(struct live_node *n, const struct err *why)
{
    struct err lost = { 0 };

    (void)err_set(&lost, ERR_LOST, "%s", why->text);
    agent_client_drop(n->client, &lost);
}

static void on_started(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct live_op *o = arg;
    const char *state;

    if (why == NULL) {
        state = json_get_str(reply->result, "state", "");
        if (strcmp(state, "done") == 0 || strcmp(state, "unknown") == 0)
            answer_record(o, reply->doc, reply->result, WITNESS_NOT_ASKED);
        op_free(o);
        return;
    }
    if (reply == NULL && why->code == ERR_TIMEOUT) {
        ask_status(o); /* whether it got through is not known */
        return;
    }
    if (reply != NULL && why->code == ERR_TIMEOUT)
        greet_anew(o->n, why);
    else if (reply != NULL && !told_otherwise(o->n, why))
        emit_refused(o->n, o->op, err_name(why->code), why->text);
    op_free(o);
}

/* Nothing has been sent, so nothing has changed. */
static void late_end(struct live_node *n, const char *op, enum op_outcome outcome, const char *code,
                     const char *text)
{
    struct live_late *late = live_late_new(n->b, EV_OP_RESULT, n->ix);

    if (late == NULL)
        return;
    late->ev.u.op_result.record = (struct op_record){ .op = live_late_str(late, op),
                                                      .state = OP_DONE,
                                                      .outcome = outcome,
                                                      .error_code = code,
                                                      .error_text = live_late_str(late, text) };
}

static void late_refusal(struct live_node *n, const char *op, const char *text)
{
    late_end(n, op, OUTCOME_REFUSED, "refused", text);
}

static void send_start(struct live_op *o)
{
    struct err err = { 0 };

    if (o->reboots)
        agent_client_expect(o->n->client, REBOOT_KNOCK_MS);
    if (agent_client_call(o->n->client, "op.start", o->start_params, LIVE_CALL_MS, on_started, o, &err) == 0)
        return;
    if (err.code != ERR_LOST) /* of which NODE_LOST tells */
        late_refusal(o->n, o->op, err.text);
    op_free(o);
}

/* The receiver said no: there this VM cannot go. */
static void receiver_refused(struct live_op *o, const struct err *why)
{
    struct err no = { 0 };

    (void)err_set(&no, why->code == ERR_FENCED || why->code == ERR_CAPACITY ? why->code : ERR_REFUSED,
                  "the receiver does not take it: %s", why->text);
    if (!told_otherwise(o->n, &no))
        emit_refused(o->n, o->op, err_name(no.code), no.text);
}

static bool came_late(const struct live_op *o)
{
    const struct fleet_clock *c = &o->n->b->setup.clock;

    /* the order takes its time too */
    return fleet_to_real(c, fleet_now(c) - o->asked) > ORDER_GOOD_MS - LIVE_CALL_MS;
}

static void on_receiver(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct live_op *o = arg;

    if (o->dropped) {
        op_free(o);
        return;
    }
    drop(waiting_at(o->n, o->op));
    if (why == NULL && !came_late(o)) {
        send_start(o);
        return;
    }
    if (why == NULL)
        emit_refused(o->n, o->op, NO_RECEIVER, "the receiver's answer came too late");
    else if (reply == NULL)
        emit_refused(o->n, o->op, NO_RECEIVER, why->text);
    else
        receiver_refused(o, why);
    op_free(o);
}

static void ask_receiver(struct backend_live *b, const struct command *c, struct live_op *o)
{
    struct live_node *to = &b->nodes[c->receiver];
    struct json_doc *args = NULL;
    struct buf text = BUF_INIT;
    struct json_writer w;
    struct err err = { 0 };
    int rc = to->talk == TALK_CLAIMED ? json_parse("args", c->args, strlen(c->args), &args, &err)
                                      : err_set(&err, ERR_LOST, "the receiver is not connected");

    if (rc == 0) {
        begin_params(&w, &text, to, c->op);
        jw_str(&w, "vm", json_get_str(json_root(args), "vm", ""));
        jw_int(&w, "memory_mib", (int64_t)c->memory_mib);
        jw_str(&w, "from", b->setup.plan->inv->nodes[c->node].id);
        jw_object_end(&w);
        rc = live_call(to, "move.accept", &text, 4 * LIVE_CALL_MS, on_receiver, o, &err);
    }
    json_free(args);
    if (rc != 0) {
        late_end(o->n, o->op, OUTCOME_REFUSED, NO_RECEIVER, err.text);
        op_free(o);
        return;
    }
    o->asked = fleet_now(&b->setup.clock);
    o->next = o->n->waiting;
    o->n->waiting = o;
}

static void write_log_position(struct json_writer *w, struct backend_live *b)
{
    struct log_position at = b->setup.position(b->setup.arg);

    jw_object(w, "log");
    jw_int(w, "seq", (int64_t)at.seq);
    jw_str(w, "hash", at.hash);
    jw_object_end(w);
}

/* The node's own clock decides, counted from its hello: of how long that took to arrive, the order has less time (C.5). */
static dur_ms until_mono(const struct live_node *n, const struct command *c)
{
    const struct fleet_clock *clock = &n->b->setup.clock;

    return n->mono_at_hello + (c->decided - n->hello_heard) + ORDER_GOOD_MS * clock->factor;
}

/* The whole request, or NULL. The digest is of the arguments as json_write gives them. */
static char *start_params(struct backend_live *b, const struct command *c)
{
    struct buf text = BUF_INIT, args = BUF_INIT;
    struct json_doc *doc = NULL;
    struct json_writer w;
    char digest[SHA256_TEXT];
    struct err err = { 0 };

    if (json_parse("args", c->args, strlen(c->args), &doc, &err) != 0)
        return NULL;
    json_write(&args, json_root(doc), true);
    text.failed = args.failed; /* half of them would be other arguments */
    sha256_text(buf_text(&args), args.len, digest);
    begin_params(&w, &text, &b->nodes[c->node], c->op);
    jw_str(&w, "action", c->action);
    jw_raw(&w, "args", buf_text(&args));
    jw_str(&w, "digest", digest);
    jw_int(&w, "limit_ms", c->limit_ms);
    jw_raw(&w, "precondition", c->precondition != NULL ? c->precondition : "{}");
    jw_int(&w, "epoch", (int64_t)b->epoch);
    jw_str(&w, "controller", b->controller);
    write_log_position(&w, b);
    if (b->nodes[c->node].mono_at_hello >= 0)
        jw_int(&w, "until_mono_ms", until_mono(&b->nodes[c->node], c));
    jw_object_end(&w);
    json_free(doc);
    buf_clear(&args);
    if (text.failed)
        buf_clear(&text);
    return text.data;
}

void live_op_start(struct backend_live *b, const struct command *c)
{
    struct live_node *n = &b->nodes[c->node];
    struct live_op *o;

    if (n->talk != TALK_CLAIMED || *waiting_at(n, c->op) != NULL)
        return; /* NODE_LOST is on its way; or the start itself is */
    o = op_new(n, c->op);
    if (o == NULL || (o->start_params = start_params(b, c)) == NULL) {
        late_refusal(n, c->op, "out of memory in the controller, or arguments that are not JSON");
        if (o != NULL)
            op_free(o);
        return;
    }
    o->reboots = strcmp(c->action, "reboot") == 0;
    if (c->receiver != IX_NONE)
        ask_receiver(b, c, o);
    else
        send_start(o);
}

/* --- the rest --- */

static void on_cancelled(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct live_op *o = arg;

    if (why == NULL)
        answer_record(o, reply->doc, reply->result, WITNESS_NOT_ASKED);
    else if (reply != NULL && !told_otherwise(o->n, why)) {
        ask_status(o);
        return;
    }
    op_free(o);
}

void live_op_cancel(struct backend_live *b, const struct command *c)
{
    struct live_node *n = &b->nodes[c->node];
    struct buf text = BUF_INIT;
    struct json_writer w;
    struct live_op **start = waiting_at(n, c->op), *o;

    if (*start != NULL) {
        drop(start);
        late_end(n, c->op, OUTCOME_CANCELLED, "refused", "cancelled before it was sent");
        return;
    }
    if (n->talk != TALK_CLAIMED || (o = op_new(n, c->op)) == NULL)
        return;
    begin_params(&w, &text, n, c->op);
    jw_object_end(&w);
    call(o, "op.cancel", &text, on_cancelled);
}

/* One that got lost, or was refused for another reason, is made again after the next claim. */
static void on_acked(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct live_op *o = arg;

    if (reply != NULL && why != NULL)
        (void)told_otherwise(o->n, why);
    op_free(o);
}

void live_op_ack(struct backend_live *b, const struct command *c)
{
    struct live_node *n = &b->nodes[c->node];
    struct buf text = BUF_INIT;
    struct json_writer w;
    struct live_op *o;

    if (n->talk != TALK_CLAIMED || (o = op_new(n, c->op)) == NULL)
        return;
    jw_init(&w, &text);
    jw_object(&w, NULL);
    jw_array(&w, "ops");
    jw_str(&w, NULL, c->op);
    jw_array_end(&w);
    jw_str(&w, "session", n->session);
    jw_object_end(&w);
    call(o, "op.ack", &text, on_acked);
}

void live_op_notified(struct live_node *n, const struct rpc_message *msg)
{
    struct live_op o = { .n = n };

    if (!n->b->closing && n->talk != TALK_CLAIMED && strcmp(msg->method, "op.done") == 0)
        live_takeover_heard(n, msg);
    if (n->b->closing || n->talk != TALK_CLAIMED)
        return;
    if (strcmp(msg->method, "op.done") == 0)
        answer_record(&o, msg->doc, msg->params, WITNESS_NOT_ASKED);
    else if (strcmp(msg->method, "op.progress") == 0 && n->b->setup.on_progress != NULL)
        n->b->setup.on_progress(n->b->setup.arg, n->ix, json_get_str(msg->params, "op", ""),
                                (uint32_t)json_get_int(msg->params, "percent", 0),
                                json_get_str(msg->params, "text", ""));
}
