/* A claim that asks for the journal: after a takeover, the first from each node. Claim's answer lists the ops
 * that nobody has acknowledged; a log that is a stale copy may lack others as
 * well. So the node's whole journal is read, and each op of this run that the
 * answer lacks is asked about, before NODE_CLAIMED tells of all of them.
 *
 *   journal.read (page by page) --> op.status (one by one) --> live_claimed()
 *
 * One call is out at a time and owns the takeover: whoever ends it, by an
 * answer or by its failure, goes on with it or frees it. */
#include "orchestrator/io/live_own.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_RECORDS 500

struct live_takeover {
    struct live_node *n;
    struct arena arena;
    struct LIST_OF(struct op_record) open; /* from the claim's answer */
    struct LIST_OF(struct op_record) old;  /* from the journal */
    struct LIST_OF(const char *) ids;      /* found in the journal, to be asked about */
    uint32_t asked;
};

static void takeover_free(struct live_takeover *t)
{
    if (t->n->takeover == t)
        t->n->takeover = NULL;
    list_clear(&t->open);
    list_clear(&t->old);
    list_clear(&t->ids);
    arena_clear(&t->arena);
    free(t);
}

/* A claim that came later has taken this one's place, or nobody waits for it any more. */
static bool is_moot(const struct live_takeover *t)
{
    return t->n->takeover != t || t->n->b->closing || !t->n->claim_wanted;
}

static void fail(struct live_takeover *t, const struct err *why)
{
    struct live_node *n = t->n;
    bool moot = is_moot(t);

    takeover_free(t);
    if (!moot)
        agent_client_drop(n->client, why); /* the claim is tried again on a new connection */
}

/* True when the answer is of no use: lost (on_down tells), refused or moot. The takeover is gone then. */
static bool ended_by(struct live_takeover *t, const struct rpc_message *reply, const struct err *why)
{
    if (is_moot(t) || (reply == NULL && why->code != ERR_TIMEOUT))
        takeover_free(t);
    else if (why != NULL)
        fail(t, why);
    else
        return false;
    return true;
}

static void finish(struct live_takeover *t)
{
    struct live_node *n = t->n;
    uint32_t n_ops = t->old.n + t->open.n;
    struct op_record *ops = ARENA_ARRAY(&t->arena, struct op_record, n_ops + 1u);
    struct err err;

    if (ops == NULL) {
        (void)err_set(&err, ERR_NOMEM, "takeover");
        fail(t, &err);
        return;
    }
    for (uint32_t i = 0; i < t->old.n; i++)
        ops[i] = t->old.items[i];
    for (uint32_t i = 0; i < t->open.n; i++)
        ops[t->old.n + i] = t->open.items[i];
    live_claimed(n, ops, n_ops);
    takeover_free(t);
}

/* ---- each op ---- */

static void ask_next(struct live_takeover *t);

static void on_status(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct live_takeover *t = arg;
    struct op_record *r;
    struct err err = { .code = ERR_NOMEM, .text = "takeover: out of memory" };

    if (ended_by(t, reply, why))
        return;
    if (strcmp(json_get_str(reply->result, "state", "none"), "none") != 0) {
        r = list_push(&t->old);
        if (r == NULL || live_record_read(reply->doc, reply->result, &t->arena, r, &err) != 0) {
            fail(t, &err);
            return;
        }
    }
    ask_next(t);
}

static void ask_next(struct live_takeover *t)
{
    struct buf text = BUF_INIT;
    struct json_writer w;
    struct err err;

    if (t->asked == t->ids.n) {
        finish(t);
        return;
    }
    jw_init(&w, &text);
    jw_object(&w, NULL);
    jw_str(&w, "op", t->ids.items[t->asked++]);
    jw_object_end(&w);
    if (live_call(t->n, "op.status", &text, LIVE_CALL_MS, on_status, t, &err) != 0)
        fail(t, &err);
}

/* ---- the journal ---- */

static bool is_ours(const struct live_takeover *t, const char *op)
{
    size_t len = strlen(t->n->b->run);

    return strncmp(op, t->n->b->run, len) == 0 && op[len] == '/';
}

static bool is_known(const struct live_takeover *t, const char *op)
{
    for (uint32_t i = 0; i < t->open.n; i++) {
        if (strcmp(t->open.items[i].op, op) == 0)
            return true;
    }
    for (uint32_t i = t->ids.n; i-- > 0;) { /* an op's records stand close together */
        if (strcmp(t->ids.items[i], op) == 0)
            return true;
    }
    return false;
}

static int take_page(struct live_takeover *t, const json *records, struct err *err)
{
    for (const json *v = json_first(records); v != NULL; v = json_next(v)) {
        const char *op = json_get_str(v, "op", "");
        const char **id;

        if (!is_ours(t, op) || is_known(t, op))
            continue;
        id = list_push(&t->ids);
        if (id == NULL || (*id = arena_str(&t->arena, op)) == NULL)
            return err_set(err, ERR_NOMEM, "takeover");
    }
    return 0;
}

static void read_journal(struct live_takeover *t, int64_t from);

static void on_page(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct live_takeover *t = arg;
    const json *next;
    struct err err;

    if (ended_by(t, reply, why))
        return;
    if (take_page(t, json_get(reply->result, "records"), &err) != 0) {
        fail(t, &err);
        return;
    }
    next = json_get(reply->result, "next");
    if (json_is_int(next))
        read_journal(t, json_int(next, 0));
    else
        ask_next(t);
}

static void read_journal(struct live_takeover *t, int64_t from)
{
    struct buf text = BUF_INIT;
    struct json_writer w;
    struct err err;

    jw_init(&w, &text);
    jw_object(&w, NULL);
    jw_int(&w, "from", from);
    jw_int(&w, "max", PAGE_RECORDS);
    jw_object_end(&w);
    if (live_call(t->n, "journal.read", &text, LIVE_CALL_MS, on_page, t, &err) != 0)
        fail(t, &err);
}

/* ---- for live_node.c and live_op.c ---- */

void live_takeover_begin(struct live_node *n, const struct rpc_message *claim)
{
    struct live_takeover *t = calloc(1, sizeof *t);
    struct err err = { .code = ERR_NOMEM, .text = "takeover: out of memory" };
    const json *ops = json_get(claim->result, "ops");

    if (t == NULL) {
        agent_client_drop(n->client, &err);
        return;
    }
    t->n = n;
    n->takeover = t;
    for (const json *v = json_first(ops); v != NULL; v = json_next(v)) {
        struct op_record *r = list_push(&t->open);

        if (r == NULL || live_record_read(claim->doc, v, &t->arena, r, &err) != 0) {
            fail(t, &err);
            return;
        }
    }
    read_journal(t, 0);
}

void live_takeover_heard(struct live_node *n, const struct rpc_message *msg)
{
    struct live_takeover *t = n->takeover;
    struct op_record r;

    if (t == NULL || live_record_read(msg->doc, msg->params, &t->arena, &r, NULL) != 0)
        return;
    for (uint32_t i = 0; i < t->open.n; i++) {
        if (strcmp(t->open.items[i].op, r.op) == 0)
            t->open.items[i] = r;
    }
}
