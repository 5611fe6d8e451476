/* What orchestrator/io/backend_live.h promises, over the simulated net:
 * commands become requests (docs/wire.md), answers become events. */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct inventory *inv_of(const struct sim_backend *b)
{
    return b->c->s->plan->inv;
}

static void copy(char *out, size_t size, const char *text)
{
    size_t len = strlen(text);

    len = len < size - 1 ? len : size - 1;
    memcpy(out, text, len);
    out[len] = '\0';
}

/* ---- requests ---- */

struct sim_pending *sim_request(struct sim_backend *b, uint32_t node, enum sim_req kind, const char *method,
                                const char *params)
{
    struct sim_link *l = &b->links[node];
    struct buf line = BUF_INIT;

    for (uint32_t i = 0; i < SIM_PENDING; i++)
        if (l->pending[i].kind == REQ_NONE) {
            struct sim_pending *p = &l->pending[i];

            *p = (struct sim_pending){
                .kind = kind, .id = ++l->next_id, .ask = SIM_NONE, .sent = b->c->s->now
            };
            rpc_write_request(&line, p->id, method, params);
            sim_to_agent(b->c->s, l->conn, buf_text(&line), line.len);
            buf_clear(&line);
            return p;
        }
    return NULL;
}

static void refused_or_lost(struct sim_controller *c, enum event_type type, uint32_t node, enum err_code code,
                            const char *text)
{
    struct event ev = { .type = type, .node = node, .cluster = IX_NONE };

    ev.u.refused.code = code;
    ev.u.refused.text = text;
    sim_ctl_feed(c, &ev);
}

static void drop_pending(struct sim_link *l)
{
    for (uint32_t i = 0; i < l->n_told; i++)
        rpc_clear(&l->told[i]);
    free(l->told);
    l->told = NULL;
    l->n_told = l->told_left = 0;
    for (uint32_t i = 0; i < SIM_PENDING; i++) {
        free(l->pending[i].start);
        l->pending[i].start = NULL;
        l->pending[i].kind = REQ_NONE;
    }
}

/* ---- connecting ---- */

static void dial(struct sim_backend *b, uint32_t node)
{
    struct sim_link *l = &b->links[node];

    l->conn = sim_connect(b->c->s, b->c->index, node);
    l->state = LINK_CONNECTING;
    drop_pending(l);
}

static void later(struct sim_backend *b, uint32_t node)
{
    struct sim_link *l = &b->links[node];
    dur_ms wait = 1000 << (l->tries < 5 ? l->tries : 5);

    l->state = LINK_DOWN;
    l->conn = 0;
    l->tries++;
    if (l->want_claim)
        sim_put(b->c->s, b->c->s->now + wait + prng_between(&b->c->s->rng_net, 0, wait / 2), SIM_Q_CONNECT,
                b->c->index, node, l->claim_no, NULL, 0);
}

static void say_hello(struct sim_backend *b, uint32_t node)
{
    struct buf p = BUF_INIT;

    buf_printf(&p, "{\"protocol\":{\"min\":1,\"max\":1},\"controller\":\"%s\",\"program\":\"sim\"}",
               b->c->id);
    b->links[node].state = LINK_HELLO;
    sim_request(b, node, REQ_HELLO, "hello", buf_text(&p));
    buf_clear(&p);
}

static void write_position(struct sim_backend *b, struct json_writer *w)
{
    struct log_position at = b->c->log->base.position(&b->c->log->base);

    jw_object(w, "log");
    jw_int(w, "seq", (int64_t)at.seq);
    jw_str(w, "hash", at.hash);
    jw_object_end(w);
}

static void send_claim(struct sim_backend *b, uint32_t node)
{
    struct buf p = BUF_INIT;
    struct json_writer w;

    jw_init(&w, &p);
    jw_object(&w, NULL);
    jw_str(&w, "run", "r1");
    jw_str(&w, "controller", b->c->id);
    jw_int(&w, "epoch", (int64_t)b->c->epoch);
    write_position(b, &w);
    jw_bool(&w, "takeover", b->takeover);
    jw_str(&w, "session", b->links[node].session);
    jw_object_end(&w);
    b->links[node].state = LINK_CLAIMING;
    sim_request(b, node, REQ_CLAIM, "claim", buf_text(&p));
    buf_clear(&p);
}

void sim_backend_survey(struct sim_controller *c)
{
    for (uint32_t i = 0; i < c->s->world.n_nodes; i++)
        dial(&c->backend, i);
}

static void begin_claim(struct sim_backend *b, uint32_t node, dur_ms limit, bool journal)
{
    struct sim_link *l = &b->links[node];

    l->want_claim = true;
    l->journal = journal;
    l->claim_no++;
    l->tries = 0;
    l->claim_until = b->c->s->now + limit;
    sim_put(b->c->s, l->claim_until, SIM_Q_CLAIM_LIMIT, b->c->index, node, l->claim_no, NULL, 0);
    if (l->state == LINK_READY || l->state == LINK_GREETED)
        send_claim(b, node);
    else if (l->state == LINK_DOWN)
        sim_put(b->c->s, b->c->s->now + 1, SIM_Q_CONNECT, b->c->index, node, l->claim_no, NULL, 0);
}

void sim_backend_retry(struct sim_controller *c, uint32_t node, uint32_t claim_no)
{
    struct sim_link *l = &c->backend.links[node];

    if (l->state == LINK_DOWN && l->want_claim && l->claim_no == claim_no)
        dial(&c->backend, node);
}

void sim_backend_claim_limit(struct sim_controller *c, uint32_t node, uint32_t claim_no)
{
    struct sim_link *l = &c->backend.links[node];

    if (!l->want_claim || l->claim_no != claim_no)
        return;
    l->want_claim = false;
    if (l->conn != 0)
        sim_close(c->s, l->conn, true);
    l->state = LINK_DOWN;
    l->conn = 0;
    refused_or_lost(c, EV_NODE_LOST, node, ERR_CONNECT, "cannot connect");
}

void sim_backend_connected(struct sim_controller *c, uint32_t node, uint32_t conn)
{
    struct sim_link *l = &c->backend.links[node];

    if (l->conn != conn)
        return;
    if (c->s->agents[node].host_key_changed) { /* pinned: nothing is said to it */
        bool asked = l->want_claim;

        sim_close(c->s, conn, true);
        l->state = LINK_DOWN;
        l->conn = 0;
        l->want_claim = false;
        if (asked)
            refused_or_lost(c, EV_NODE_REFUSED, node, ERR_HOSTKEY, "the host key is not the pinned one");
        return;
    }
    say_hello(&c->backend, node);
}

static void fail_parts(struct sim_backend *b, uint32_t node, const char *why)
{
    struct sim_link *l = &b->links[node];

    for (uint32_t i = 0; i < SIM_PENDING; i++)
        if (l->pending[i].kind == REQ_PART) {
            struct sim_pending p = l->pending[i];

            l->pending[i].kind = REQ_NONE;
            sim_ask_part(b, p.ask, p.part, NULL, why);
        }
}

/* A receiver that is gone cannot accept: the moves that wait for it are refused. */
static void fail_accepts(struct sim_backend *b, uint32_t node)
{
    struct sim_link *l = &b->links[node];

    for (uint32_t i = 0; i < SIM_PENDING; i++)
        if (l->pending[i].kind == REQ_ACCEPT) {
            sim_put(b->c->s, b->c->s->now + 1, SIM_Q_LOCAL, b->c->index, l->pending[i].source, 1,
                    l->pending[i].op, strlen(l->pending[i].op));
            free(l->pending[i].start);
            l->pending[i].start = NULL;
            l->pending[i].kind = REQ_NONE;
        }
}

void sim_backend_closed(struct sim_controller *c, uint32_t node, uint32_t conn)
{
    struct sim_link *l = &c->backend.links[node];
    bool was_ready = l->state == LINK_READY;
    uint32_t life = c->life;

    if (l->conn != conn || c->state == CTL_OFF)
        return;
    later(&c->backend, node);
    fail_accepts(&c->backend, node);
    if (was_ready)
        refused_or_lost(c, EV_NODE_LOST, node, ERR_LOST, "connection lost");
    if (c->life == life && c->state == CTL_LIVE)
        fail_parts(&c->backend, node, "connection lost");
    if (c->life == life)
        drop_pending(l);
}

/* ---- records ---- */

static enum op_state state_by(const char *word)
{
    static const char *const words[] = { "none", "accepted", "running", "done", "unknown" };

    for (uint32_t i = 0; i < 5; i++)
        if (strcmp(words[i], word) == 0)
            return (enum op_state)i;
    return OP_UNKNOWN;
}

static enum op_outcome outcome_by(const char *word)
{
    static const char *const words[] = { "", "ok", "failed", "refused", "cancelled" };

    for (uint32_t i = 1; i < 5; i++)
        if (strcmp(words[i], word) == 0)
            return (enum op_outcome)i;
    return OUTCOME_NONE;
}

static uint32_t word_in(const char *const *words, uint32_t n, const char *word)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    return 0;
}

static const struct down_row *read_rows(struct arena *mem, const json *list, uint32_t *ret_n)
{
    static const char *const subjects[] = { "vm", "node", "vmms" };
    static const char *const causes[] = { "blackout",   "quick",        "saved",    "shut_down",
                                          "turned_off", "vmms_stopped", "node_out", "crash" };
    uint32_t n = json_count(list), i = 0;
    struct down_row *rows = ARENA_ARRAY(mem, struct down_row, n == 0 ? 1 : n);

    for (const json *v = json_first(list); v != NULL; v = json_next(v), i++)
        rows[i] =
            (struct down_row){ .subject =
                                   (enum down_subject)word_in(subjects, 3, json_get_str(v, "subject", "vm")),
                               .id = json_get_str(v, "id", ""),
                               .cause = (enum down_cause)word_in(causes, 8, json_get_str(v, "cause", "")),
                               .start = json_get_int(v, "start_ms", 0),
                               .end = json_get_int(v, "end_ms", TIME_NEVER),
                               .how = json_get_str(v, "how", "") };
    *ret_n = n;
    return rows;
}

static void read_record(struct arena *mem, const json *v, struct op_record *r)
{
    const json *error = json_get(v, "error"), *result = json_get(v, "result");
    struct buf text = BUF_INIT;

    *r = (struct op_record){ .op = json_get_str(v, "op", ""),
                             .action = json_get_str(v, "action", ""),
                             .state = state_by(json_get_str(v, "state", "")),
                             .outcome = outcome_by(json_get_str(v, "outcome", "")),
                             .error_code = json_get_str(error, "code", NULL),
                             .error_text = json_get_str(error, "message", NULL),
                             .error_native = json_get_str(error, "native", NULL),
                             .error_hint = json_get_str(error, "hint", NULL),
                             .accepted = json_get_int(v, "accepted_ms", 0),
                             .started = json_get_int(v, "started_ms", 0),
                             .ended = json_get_int(v, "ended_ms", 0),
                             .boot_id = json_get_str(v, "boot_id", NULL),
                             .already = json_get_bool(result, "already", false),
                             .reboot_required = json_get_bool(result, "reboot_required", false),
                             .exit_code = json_get_int(result, "exit", 0),
                             .blackout_ms = json_get_int(result, "blackout_ms", 0) };
    r->rows = read_rows(mem, json_get(v, "downtime"), &r->n_rows);
    if (json_is_object(result)) {
        json_write(&text, result, false);
        r->text = arena_str(mem, buf_text(&text));
        buf_clear(&text);
    }
}

static void feed_record(struct sim_controller *c, uint32_t node, const json *v, enum op_witness witness)
{
    struct event ev = { .type = EV_OP_RESULT, .node = node, .cluster = IX_NONE };
    struct arena mem = ARENA_INIT;

    read_record(&mem, v, &ev.u.op_result.record);
    ev.u.op_result.record.witness = witness;
    if (ev.u.op_result.record.state == OP_UNKNOWN)
        SIM_HIT(c->s, op_unknown);
    sim_ctl_feed(c, &ev);
    arena_clear(&mem);
}

/* The backend's own refusal of an op: nothing was begun on the node. */
static void feed_refused(struct sim_controller *c, uint32_t node, const char *op, const char *code,
                         const char *text)
{
    struct event ev = { .type = EV_OP_RESULT, .node = node, .cluster = IX_NONE };

    ev.u.op_result.record = (struct op_record){
        .op = op, .state = OP_DONE, .outcome = OUTCOME_REFUSED, .error_code = code, .error_text = text
    };
    sim_ctl_feed(c, &ev);
}

void sim_backend_local(struct sim_controller *c, uint32_t node, uint32_t what, const char *op)
{
    if (c->state != CTL_LIVE)
        return;
    if (what == 1)
        feed_refused(c, node, op, "busy", "the receiver is not connected");
    else if (what == 2)
        refused_or_lost(c, EV_NODE_LOST, node, ERR_LOST, "no connection");
}

/* ---- answers ---- */

/* Out of reach in the survey, and it has seen a log that is not this one: a stale copy stops (docs/wire.md). */
static bool stale_stops(struct sim_controller *c, uint32_t node)
{
    struct sim_link *l = &c->backend.links[node];

    if (c->takeover || c->state != CTL_LIVE || sim_log_holds(c->log, (uint64_t)l->log_seq, l->log_hash))
        return false;
    SIM_HIT(c->s, stale_copy_refused);
    c->refused_stale = true;
    l->want_claim = false;
    refused_or_lost(c, EV_NODE_REFUSED, node, ERR_STALE, "it has seen a log that is not this one");
    return true;
}

static void on_hello(struct sim_controller *c, uint32_t node, const struct rpc_message *m)
{
    struct sim_link *l = &c->backend.links[node];
    const json *log = json_get(m->result, "log");

    if (m->kind != RPC_RESULT) {
        sim_close(c->s, l->conn, true);
        later(&c->backend, node);
        return;
    }
    copy(l->session, sizeof l->session, json_get_str(m->result, "session", ""));
    l->mono_at_hello = json_get_int(json_get(m->result, "clock"), "mono_ms", 0);
    l->hello_heard = c->s->now;
    copy(l->machine, sizeof l->machine, json_get_str(m->result, "machine_id", ""));
    copy(l->boot, sizeof l->boot, json_get_str(m->result, "boot_id", ""));
    l->epoch_seen = json_get_int(m->result, "epoch", 0);
    l->blank |= l->epoch_seen == 0;
    l->log_seq = json_get_int(log, "seq", 0);
    copy(l->log_hash, sizeof l->log_hash, json_get_str(log, "hash", ""));
    l->greeted_once = true;
    l->state = LINK_GREETED;
    l->tries = 0;
    if (l->want_claim && stale_stops(c, node))
        return;
    if (l->want_claim)
        send_claim(&c->backend, node);
}

static enum err_code code_by(const char *name)
{
    for (int i = 1; i < ERR_CODES; i++)
        if (strcmp(err_name((enum err_code)i), name) == 0)
            return (enum err_code)i;
    return ERR_PROTOCOL;
}

static void tell_claimed(struct sim_controller *c, uint32_t node, const struct rpc_message *claim,
                         const struct rpc_message *more, uint32_t n_more)
{
    struct sim_link *l = &c->backend.links[node];
    struct event ev = { .type = EV_NODE_CLAIMED, .node = node, .cluster = IX_NONE };
    struct arena mem = ARENA_INIT;
    const json *ops = json_get(claim->result, "ops");
    struct op_record *list = ARENA_ARRAY(&mem, struct op_record, json_count(ops) + n_more + 1);
    uint32_t n = 0;

    l->state = LINK_READY;
    l->want_claim = false; /* not before: the journal may be lost on its way */
    for (uint32_t i = 0; i < n_more; i++)
        if (more[i].kind == RPC_RESULT)
            read_record(&mem, more[i].result, &list[n++]);
    for (const json *v = json_first(ops); v != NULL; v = json_next(v))
        read_record(&mem, v, &list[n++]);
    ev.u.claimed.machine_id = l->machine;
    ev.u.claimed.boot_id = l->boot;
    ev.u.claimed.agent = "sim";
    ev.u.claimed.ops = list;
    ev.u.claimed.n_ops = n;
    ev.u.claimed.blank = l->blank;
    l->blank = false;
    sim_ctl_feed(c, &ev);
    arena_clear(&mem);
}

/* After a takeover the whole journal is read: what the last controller acknowledged may be missing in this log. The ids
 * come from the fold, as journal.read would give them; the records come by op.status. */
static bool ask_journal(struct sim_controller *c, uint32_t node, struct rpc_message *claim)
{
    struct sim_link *l = &c->backend.links[node];
    const struct sim_agent *a = &c->s->agents[node];
    const struct journal_fold *f = a->a == NULL ? NULL : agent_fold(a->a);
    uint32_t n = 0;

    if (!l->journal || f == NULL || f->n_ops == 0)
        return false;
    drop_pending(l);
    l->told = calloc(f->n_ops + 1, sizeof *l->told);
    assert(l->told != NULL);
    l->told[l->n_told++] = *claim;
    memset(claim, 0, sizeof *claim);
    for (uint32_t i = 0; i < f->n_ops && n < SIM_PENDING - 4; i++)
        if (f->ops[i]->acked) {
            struct buf q = BUF_INIT;

            buf_printf(&q, "{\"op\":\"%s\"}", f->ops[i]->id);
            l->told_left += sim_request(&c->backend, node, REQ_JOURNAL, "op.status", buf_text(&q)) != NULL;
            buf_clear(&q);
            n++;
        }
    return true;
}

static void journal_told(struct sim_controller *c, uint32_t node)
{
    struct sim_link *l = &c->backend.links[node];
    struct rpc_message *told = l->told;
    uint32_t n = l->n_told;

    if (l->told_left > 0)
        return;
    l->told = NULL;
    l->n_told = 0;
    tell_claimed(c, node, &told[0], told + 1, n - 1);
    for (uint32_t i = 0; i < n; i++)
        rpc_clear(&told[i]);
    free(told);
}

static void on_journal(struct sim_controller *c, uint32_t node, struct rpc_message *m)
{
    struct sim_link *l = &c->backend.links[node];

    if (l->told == NULL)
        return;
    l->told[l->n_told++] = *m;
    memset(m, 0, sizeof *m);
    l->told_left--;
    journal_told(c, node);
}

static void on_claim(struct sim_controller *c, uint32_t node, struct rpc_message *m)
{
    struct sim_link *l = &c->backend.links[node];

    if (m->kind != RPC_RESULT) {
        l->want_claim = false;
        if (strcmp(m->error_name, "fenced") == 0)
            SIM_HIT(c->s, fenced);
        l->state = LINK_GREETED;
        refused_or_lost(c, EV_NODE_REFUSED, node, code_by(m->error_name), m->error_text);
    } else if (ask_journal(c, node, m)) {
        journal_told(c, node);
    } else {
        tell_claimed(c, node, m, NULL, 0);
    }
}

static bool is_settled(const json *record)
{
    enum op_state s = state_by(json_get_str(record, "state", ""));

    return s == OP_DONE || s == OP_UNKNOWN || s == OP_NONE;
}

static void on_op_error(struct sim_controller *c, uint32_t node, const struct sim_pending *p,
                        const struct rpc_message *m)
{
    if (strcmp(m->error_name, "fenced") == 0) {
        SIM_HIT(c->s, fenced);
        refused_or_lost(c, EV_NODE_REFUSED, node, ERR_FENCED, m->error_text);
    } else {
        bool accept = p->kind == REQ_ACCEPT, no_room = strcmp(m->error_name, "capacity") == 0;

        if (accept && no_room)
            SIM_HIT(c->s, move_no_room);
        feed_refused(c, accept ? p->source : node, p->op, accept && !no_room ? "refused" : m->error_name,
                     m->error_text);
    }
}

/* One op, one question. */
static void ask_about(struct sim_backend *b, uint32_t node, enum sim_req kind, const char *op)
{
    static const char *const methods[] = { [REQ_STATUS] = "op.status",
                                           [REQ_WITNESS] = "op.witness",
                                           [REQ_CANCEL] = "op.cancel",
                                           [REQ_ACK] = "op.ack" };
    struct buf q = BUF_INIT;
    struct sim_pending *p;

    buf_printf(&q, kind == REQ_ACK ? "{\"ops\":[\"%s\"]" : "{\"op\":\"%s\"", op);
    if (kind != REQ_STATUS)
        buf_printf(&q, ",\"session\":\"%s\"", b->links[node].session);
    buf_str(&q, "}");
    p = sim_request(b, node, kind, methods[kind], buf_text(&q));
    if (p != NULL)
        copy(p->op, sizeof p->op, op);
    buf_clear(&q);
}

static enum op_witness witness_by(const char *word)
{
    static const char *const words[] = { "", "done", "not_done", "running", "cannot_tell" };

    return (enum op_witness)word_in(words, 5, word);
}

static void on_accept(struct sim_controller *c, uint32_t node, struct sim_pending *p,
                      const struct rpc_message *m)
{
    struct sim_link *l = &c->backend.links[p->source];
    struct sim_pending *q;

    (void)node;
    if (m->kind != RPC_RESULT) {
        SIM_HIT(c->s, move_accept_refused);
        on_op_error(c, node, p, m);
    } else if (c->s->now - p->sent > MINUTE_MS / 2) { /* the controller was stopped meanwhile */
        feed_refused(c, p->source, p->op, "busy", "the receiver's answer came too late");
    } else if (l->state == LINK_READY) {
        q = sim_request(&c->backend, p->source, REQ_START, "op.start", p->start);
        if (q != NULL)
            copy(q->op, sizeof q->op, p->op);
    }
    free(p->start);
}

static void hang_up(struct sim_controller *c, uint32_t node)
{
    uint32_t conn = c->backend.links[node].conn;

    sim_close(c->s, conn, true);
    sim_backend_closed(c, node, conn);
}

static void on_answer(struct sim_controller *c, uint32_t node, struct sim_pending *p, struct rpc_message *m)
{
    switch (p->kind) {
    case REQ_HELLO:
        on_hello(c, node, m);
        break;
    case REQ_CLAIM:
        on_claim(c, node, m);
        break;
    case REQ_ACCEPT:
        on_accept(c, node, p, m);
        break;
    case REQ_START:
    case REQ_CANCEL:
        if (m->kind != RPC_RESULT && p->kind == REQ_START && strcmp(m->error_name, "timeout") == 0)
            hang_up(c, node); /* too late by its clock, or that is counted wrong here: a new hello */
        else if (m->kind != RPC_RESULT)
            on_op_error(c, node, p, m);
        else if (is_settled(m->result))
            feed_record(c, node, m->result, WITNESS_NOT_ASKED);
        break;
    case REQ_STATUS:
        if (m->kind != RPC_RESULT)
            on_op_error(c, node, p, m);
        else if (state_by(json_get_str(m->result, "state", "")) == OP_UNKNOWN)
            ask_about(&c->backend, node, REQ_WITNESS, p->op);
        else
            feed_record(c, node, m->result, WITNESS_NOT_ASKED);
        break;
    case REQ_WITNESS:
        if (m->kind != RPC_RESULT) {
            on_op_error(c, node, p, m);
            break;
        }
        SIM_HIT(c->s, op_witnessed);
        if (witness_by(json_get_str(m->result, "witness", "")) == WITNESS_SAYS_NOT_DONE)
            SIM_HIT(c->s, witness_not_done);
        feed_record(c, node, json_get(m->result, "record"),
                    witness_by(json_get_str(m->result, "witness", "")));
        break;
    case REQ_PART:
        sim_ask_part(&c->backend, p->ask, p->part, m, m->kind == RPC_RESULT ? NULL : m->error_text);
        break;
    case REQ_JOURNAL:
        on_journal(c, node, m);
        break;
    case REQ_ACK:
        if (m->kind != RPC_RESULT && strcmp(m->error_name, "fenced") == 0)
            on_op_error(c, node, p, m);
        break;
    case REQ_NONE:
        break;
    }
}

void sim_backend_line(struct sim_controller *c, uint32_t node, uint32_t conn, const char *text, size_t len)
{
    struct sim_link *l = &c->backend.links[node];
    struct rpc_message m;

    if (l->conn != conn || c->state == CTL_OFF)
        return;
    if (rpc_parse(text, len > 0 && text[len - 1] == '\n' ? len - 1 : len, &m, NULL) != 0) {
        hang_up(c, node);
        return;
    }
    if (m.kind == RPC_NOTIFICATION && strcmp(m.method, "op.done") == 0 && l->state == LINK_READY)
        feed_record(c, node, m.params, WITNESS_NOT_ASKED);
    if (m.kind == RPC_RESULT || m.kind == RPC_ERROR)
        for (uint32_t i = 0; i < SIM_PENDING; i++)
            if (l->pending[i].kind != REQ_NONE &&
                l->pending[i].id == m.id) { /* I21: anything else is nobody's answer */
                struct sim_pending p = l->pending[i];

                l->pending[i].kind = REQ_NONE;
                l->pending[i].start = NULL;
                on_answer(c, node, &p, &m);
                break;
            }
    rpc_clear(&m);
}

/* ---- commands ---- */

static void write_start(struct sim_backend *b, const struct command *cmd, struct buf *out)
{
    struct json_writer w;
    char digest[SHA256_TEXT];

    jw_init(&w, out);
    jw_object(&w, NULL);
    jw_str(&w, "op", cmd->op);
    jw_str(&w, "action", cmd->action);
    jw_raw(&w, "args", cmd->args);
    jw_str(&w, "digest", sha256_text(cmd->args, strlen(cmd->args), digest));
    jw_int(&w, "limit_ms", cmd->limit_ms);
    if (cmd->precondition != NULL)
        jw_raw(&w, "precondition", cmd->precondition);
    jw_int(&w, "epoch", (int64_t)b->c->epoch);
    jw_str(&w, "controller", b->c->id);
    write_position(b, &w);
    jw_str(&w, "session", b->links[cmd->node].session);
    jw_int(&w, "until_mono_ms",
           b->links[cmd->node].mono_at_hello + (cmd->decided - b->links[cmd->node].hello_heard) + MINUTE_MS);
    jw_object_end(&w);
}

static const char *vm_of(const struct command *cmd, char out[40])
{
    struct json_doc *doc = NULL;

    out[0] = '\0';
    if (json_parse("args", cmd->args, strlen(cmd->args), &doc, NULL) == 0)
        copy(out, 40, json_get_str(json_root(doc), "vm", ""));
    json_free(doc);
    return out;
}

static void local(struct sim_backend *b, uint32_t node, uint32_t what, const char *op)
{
    sim_put(b->c->s, b->c->s->now + 1, SIM_Q_LOCAL, b->c->index, node, what, op, strlen(op));
}

static void submit_start(struct sim_backend *b, const struct command *cmd)
{
    struct buf start = BUF_INIT, accept = BUF_INIT;
    struct sim_pending *p;
    char vm[40];

    oracle_submit(&b->c->s->oracle, b->c->log->store, cmd->op);
    if (b->links[cmd->node].state != LINK_READY)
        return; /* NODE_LOST was or will be told */
    write_start(b, cmd, &start);
    if (cmd->receiver == IX_NONE) {
        p = sim_request(b, cmd->node, REQ_START, "op.start", buf_text(&start));
        if (p != NULL)
            copy(p->op, sizeof p->op, cmd->op);
        buf_clear(&start);
        return;
    }
    if (b->links[cmd->receiver].state != LINK_READY) {
        local(b, cmd->node, 1, cmd->op);
        buf_clear(&start);
        return;
    }
    buf_printf(&accept,
               "{\"op\":\"%s\",\"vm\":\"%s\",\"memory_mib\":%llu,\"from\":\"%s\",\"session\":\"%s\"}",
               cmd->op, vm_of(cmd, vm), (unsigned long long)cmd->memory_mib, inv_of(b)->nodes[cmd->node].id,
               b->links[cmd->receiver].session);
    p = sim_request(b, cmd->receiver, REQ_ACCEPT, "move.accept", buf_text(&accept));
    if (p != NULL) {
        copy(p->op, sizeof p->op, cmd->op);
        p->source = cmd->node;
        p->start = start.data;
        start = (struct buf)BUF_INIT;
    }
    buf_clear(&start);
    buf_clear(&accept);
}

static void submit_about(struct sim_backend *b, const struct command *cmd, enum sim_req kind)
{
    if (b->links[cmd->node].state == LINK_READY)
        ask_about(b, cmd->node, kind, cmd->op);
}

static void backend_submit(struct backend *base, const struct command *cmd)
{
    struct sim_backend *b = (struct sim_backend *)(void *)base;

    if (b->c->dying)
        return;
    switch (cmd->type) {
    case CMD_CLAIM:
        begin_claim(b, cmd->node, cmd->limit_ms, cmd->journal);
        break;
    case CMD_OBSERVE:
        sim_ask_begin(b, cmd);
        break;
    case CMD_STAGE:
        sim_put(b->c->s, b->c->s->now + prng_between(&b->c->s->rng_net, 5, 60) * SECOND_MS, SIM_Q_STAGED,
                b->c->index, cmd->node, 0, NULL, 0);
        break;
    case CMD_OP_START:
        submit_start(b, cmd);
        break;
    case CMD_OP_PROBE:
        submit_about(b, cmd, REQ_STATUS);
        break;
    case CMD_OP_CANCEL:
        submit_about(b, cmd, REQ_CANCEL);
        break;
    case CMD_OP_ACK:
        submit_about(b, cmd, REQ_ACK);
        break;
    case CMD_NOTE:
    case CMD_END:
    case COMMAND_TYPES:
        break;
    }
    if (b->c->state == CTL_LIVE || b->c->recovering)
        sim_kill_point(b->c, KILL_AFTER_SUBMIT, b->c->event);
}

void sim_backend_staged(struct sim_controller *c, uint32_t node)
{
    struct event ev = { .type = EV_STAGED, .node = node, .cluster = IX_NONE };

    if (c->state != CTL_LIVE)
        return;
    ev.u.staged.ok = c->s->agents[node].a != NULL && c->backend.links[node].state == LINK_READY;
    ev.u.staged.text = ev.u.staged.ok ? NULL : "the node is not reachable";
    ev.u.staged.took = 5000;
    if (ev.u.staged.ok)
        c->s->world.nodes[node].staged = true;
    sim_ctl_feed(c, &ev);
}

void sim_backend_init(struct sim_controller *c)
{
    struct sim_backend *b = &c->backend;

    sim_backend_free(b);
    memset(b, 0, sizeof *b);
    b->base.submit = backend_submit;
    b->c = c;
}

void sim_backend_free(struct sim_backend *b)
{
    for (uint32_t i = 0; i < WORLD_NODES; i++)
        drop_pending(&b->links[i]);
    for (uint32_t i = 0; i < SIM_ASKS; i++)
        for (uint32_t k = 0; k < SIM_PARTS; k++)
            if (b->asks[i].have[k]) {
                rpc_clear(&b->asks[i].got[k]);
                b->asks[i].have[k] = false;
            }
}
