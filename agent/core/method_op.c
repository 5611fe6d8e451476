/* op.start, op.status, op.witness, op.cancel, op.ack, op.output. */
#include "agent/core/agent_state.h"

#include <string.h>

static int want_op(const struct agent_request *rq, const char **ret_op, struct err *err)
{
    struct op_id_parts parts;
    int rc = json_want_str(rq->doc, rq->params, "op", JSON_REQUIRED, ret_op, err);

    return rc != 0 ? rc : op_id_parse(*ret_op, &parts, err);
}

struct order {
    const char *op, *action, *digest, *controller;
    const json *args, *precondition;
    int64_t limit_ms, epoch, until_mono_ms;
    struct agent_log_position log;
    const struct driver_action_row *row;
};

static int read_precondition(const struct agent_request *rq, const struct order *o, struct err *err)
{
    static const char *const known[] = { "boot_id", "empty", "parked", "build", NULL };
    const char *boot = NULL, *empty = "vmms", *build = NULL;
    const json *parked = NULL;
    int rc = json_want_known(rq->doc, o->precondition, known, err);

    if (rc == 0)
        rc = json_want_str(rq->doc, o->precondition, "boot_id", JSON_OPTIONAL, &boot, err);
    if (rc == 0)
        rc = json_want_str(rq->doc, o->precondition, "build", JSON_OPTIONAL, &build, err);
    if (rc == 0)
        rc = json_want_str(rq->doc, o->precondition, "empty", JSON_OPTIONAL, &empty, err);
    if (rc == 0)
        rc = json_want_array(rq->doc, o->precondition, "parked", JSON_OPTIONAL, &parked, err);
    if (rc == 0 && strcmp(empty, "vmms") != 0 && strcmp(empty, "processes") != 0)
        rc = json_fault(rq->doc, o->precondition, err, "`empty` is `vmms` or `processes`");
    return rc;
}

static int read_order(const struct agent_request *rq, struct order *o, struct err *err)
{
    int rc = json_want_str(rq->doc, rq->params, "action", JSON_REQUIRED, &o->action, err);

    if (rc == 0)
        rc = want_op(rq, &o->op, err);
    if (rc == 0)
        rc = json_want_object(rq->doc, rq->params, "args", JSON_REQUIRED, &o->args, err);
    if (rc == 0)
        rc = json_want_str(rq->doc, rq->params, "digest", JSON_REQUIRED, &o->digest, err);
    if (rc == 0)
        rc = json_want_str(rq->doc, rq->params, "controller", JSON_REQUIRED, &o->controller, err);
    if (rc == 0)
        rc = json_want_int(rq->doc, rq->params, "limit_ms", JSON_REQUIRED, 1, 7 * DAY_MS, &o->limit_ms, err);
    if (rc == 0)
        rc = json_want_int(rq->doc, rq->params, "epoch", JSON_REQUIRED, 1, INT64_MAX, &o->epoch, err);
    if (rc == 0)
        rc = json_want_object(rq->doc, rq->params, "precondition", JSON_OPTIONAL, &o->precondition, err);
    if (rc == 0 && o->precondition != NULL)
        rc = read_precondition(rq, o, err);
    if (rc == 0)
        rc = json_want_int(rq->doc, rq->params, "until_mono_ms", JSON_OPTIONAL, 0, INT64_MAX,
                           &o->until_mono_ms, err);
    return rc != 0 ? rc : agent_want_log(rq, &o->log, err);
}

static bool digest_is(struct agent *a, const struct order *o)
{
    struct buf text = BUF_INIT;
    char hex[SHA256_TEXT];
    bool same;

    json_write(&text, o->args, true);
    a->no_memory |= text.failed;
    same = strcmp(sha256_text(buf_text(&text), text.len, hex), o->digest) == 0;
    buf_clear(&text);
    return same;
}

/* Is this an order for this node, from the holder, for an action there is? */
static int check_order(struct agent *a, struct order *o, struct err *err)
{
    struct op_id_parts parts;

    if (op_id_parse(o->op, &parts, err) != 0)
        return ERR_INVALID;
    if (strcmp(parts.node, a->cfg.node) != 0)
        return err_set(err, ERR_INVALID, "op %s is not for node %s", o->op, a->cfg.node); /* I16 */
    if (!agent_claim_is(&a->fold.claim, o->epoch, o->controller))
        return err_set(err, ERR_FENCED, "epoch %lld of controller %s does not hold this node",
                       (long long)o->epoch, o->controller);
    o->row = driver_action_find(o->action);
    if (o->row == NULL || !(o->row->flags & DRIVER_EFFECT))
        return err_set(err, ERR_INVALID, "`%.64s` is no action of op.start", o->action);
    if (driver_manifest_find(a->cfg.driver, o->action) == NULL)
        return err_set(err, ERR_NOT_FOUND, "driver %s has no action `%s`", a->cfg.driver->name, o->action);
    if (!digest_is(a, o))
        return err_set(err, ERR_INVALID, "`digest` is not the SHA-256 of `args`");
    return 0;
}

/* Something is busy with it, or may still be. */
static bool is_busy(const struct agent *a, const struct agent_op *op)
{
    if (agent_op_at_work(a, op))
        return true;
    return op->state == AGENT_OP_UNKNOWN && !op->not_done && !op->acked;
}

static bool same_vm(const struct agent_op *op, const json *args)
{
    struct json_doc *d = NULL;
    bool same = true;

    if (json_parse("own", op->args, strlen(op->args), &d, NULL) == 0)
        same = strcmp(json_get_str(json_root(d), "vm", ""), json_get_str(args, "vm", "")) == 0;
    json_free(d);
    return same;
}

/* I10: one node-level op at a time; moves beside it within the slots, one per VM. */
static int check_room(struct agent *a, const struct order *o, struct err *err)
{
    uint32_t moves = 0;

    for (uint32_t i = 0; i < a->fold.n_ops; i++) {
        const struct agent_op *op = a->fold.ops[i];
        bool beside = (driver_action_flags(op->action) & DRIVER_BESIDE) != 0;

        if (strcmp(op->id, o->op) == 0 || !is_busy(a, op) || beside != ((o->row->flags & DRIVER_BESIDE) != 0))
            continue;
        if (!beside || same_vm(op, o->args))
            return err_set(err, ERR_STATE, "op %s is %s on this node", op->id,
                           agent_op_state_name(op->state));
        moves += op->state != AGENT_OP_UNKNOWN;
    }
    if (moves >= a->cfg.move_slots && (o->row->flags & DRIVER_BESIDE))
        return err_set(err, ERR_CAPACITY, "all %u move slots of this node are taken", a->cfg.move_slots);
    if (journal_fold_unacked(&a->fold) >= AGENT_UNACKED_MAX)
        return err_set(err, ERR_FULL, "%d ops wait for op.ack", AGENT_UNACKED_MAX);
    return 0;
}

static void append_accept(struct agent *a, const struct order *o)
{
    struct buf body = BUF_INIT;
    struct json_writer w;

    jw_init(&w, &body);
    jw_object(&w, NULL);
    jw_str(&w, "action", o->action);
    jw_value(&w, "args", o->args);
    jw_str(&w, "digest", o->digest);
    jw_int(&w, "limit_ms", o->limit_ms);
    if (o->precondition != NULL)
        jw_value(&w, "precondition", o->precondition);
    else
        jw_raw(&w, "precondition", "{}");
    jw_int(&w, "epoch", o->epoch);
    jw_str(&w, "controller", o->controller);
    jw_object(&w, "log");
    jw_int(&w, "seq", o->log.seq);
    jw_str(&w, "hash", o->log.hash);
    jw_object_end(&w);
    jw_int(&w, "mono_ms", a->mono);
    jw_object_end(&w);
    agent_append(a, AGENT_REC_ACCEPT, o->op, &body);
}

/* Same id: the record answers, unless the op was accepted and nothing is at it
 * (restart, other claim), or its witness said `not_done`: then it goes on. */
static bool may_go_on(const struct agent *a, const struct agent_op *op)
{
    if (op->state == AGENT_OP_ACCEPTED)
        return agent_live_find(a, op) == NULL;
    return op->state == AGENT_OP_UNKNOWN && op->not_done && op->starts < 2 && !op->acked;
}

/* Requests of one connection are numbered upwards. One that comes a second time was answered then, by a refusal perhaps that its
 * controller has gone on from: it begins nothing (F17). Nor does one that has lain in a queue for too long: what it was decided on
 * is old (C.5). */
static int check_new(const struct agent *a, const struct agent_request *rq, const struct order *o,
                     bool told_before, struct err *err)
{
    if (told_before)
        return err_set(err, ERR_STATE, "request %lld has been answered before", (long long)rq->id);
    if (a->mono > o->until_mono_ms)
        return err_set(err, ERR_TIMEOUT, "the order came %lld ms after its time and is void",
                       (long long)(a->mono - o->until_mono_ms));
    return 0;
}

AGENT_HANDLER(agent_do_op_start)
{
    struct order o = { .until_mono_ms = INT64_MAX };
    struct agent_op *op;
    bool told_before = rq->id <= rq->conn->start_request;
    int rc = read_order(rq, &o, err);

    rq->conn->start_request = told_before ? rq->conn->start_request : rq->id;
    if (rc == 0)
        rc = check_order(a, &o, err);
    if (rc != 0)
        return rc;
    op = journal_fold_find(&a->fold, o.op);
    if (op != NULL && (strcmp(op->digest, o.digest) != 0 || strcmp(op->action, o.action) != 0))
        return err_set(err, ERR_INVALID, "op %s was accepted with other arguments", o.op);
    if (op == NULL || may_go_on(a, op)) {
        rc = check_new(a, rq, &o, told_before, err);
        if (rc == 0)
            rc = check_room(a, &o, err);
        if (rc != 0)
            return rc;
        append_accept(a, &o);
        if (a->no_memory)
            return 0;
        if (o.row->flags & DRIVER_BESIDE) /* it goes: so it has come, though nobody asked for room since */
            agent_promise_kept(a, json_get_str(o.args, "vm", ""));
        agent_reply_record(a, rq->conn->id, rq->id, o.op);
        agent_live_arm(a, journal_fold_find(&a->fold, o.op));
        return 0;
    }
    agent_reply_record(a, rq->conn->id, rq->id, o.op);
    return 0;
}

AGENT_HANDLER(agent_do_op_status)
{
    const char *op = NULL;
    int rc = want_op(rq, &op, err);

    if (rc == 0)
        agent_reply_record(a, rq->conn->id, rq->id, op);
    return rc;
}

static void reply_verdict(struct agent *a, const struct agent_request *rq, const struct agent_op *op,
                          const char *verdict)
{
    struct buf result = BUF_INIT;
    struct json_writer w;

    jw_init(&w, &result);
    jw_object(&w, NULL);
    jw_str(&w, "witness", verdict);
    agent_record_write(&w, "record", op->id, op);
    jw_object_end(&w);
    agent_reply(a, rq->conn->id, rq->id, &result);
}

static int ask_witness(struct agent *a, const struct agent_request *rq, const struct agent_op *op,
                       struct err *err)
{
    const struct driver_manifest_action *m = driver_manifest_find(a->cfg.driver, op->action);
    struct agent_run *run;
    struct json_doc *args = NULL;
    struct buf to = BUF_INIT;
    struct driver_request d = {
        .action = op->action, .node = a->cfg.node, .op = op->id, .mode = DRIVER_WITNESS
    };

    if (m == NULL)
        return err_set(err, ERR_NOT_FOUND, "driver %s has no action `%s` any more", a->cfg.driver->name,
                       op->action);
    run = agent_run_new(a, AGENT_RUN_WITNESS, m->name);
    if (run == NULL || json_parse("own", op->args, strlen(op->args), &args, NULL) != 0) {
        a->no_memory = true;
        return 0;
    }
    run->conn = rq->conn->id;
    run->request = rq->id;
    run->starts = op->starts;
    memcpy(run->op, op->id, sizeof run->op);
    d.args = json_root(args);
    d.limit_ms = m->limit_ms < AGENT_WITNESS_LIMIT_MS ? m->limit_ms : AGENT_WITNESS_LIMIT_MS;
    agent_fetch_target(a, op, &d, &to);
    agent_run_start(a, run, &d);
    json_free(args);
    buf_clear(&to);
    return 0;
}

AGENT_HANDLER(agent_do_op_witness)
{
    static const char *const settled[AGENT_OP_STATES] = {
        [AGENT_OP_ACCEPTED] = "not_done",
        [AGENT_OP_RUNNING] = "running",
        [AGENT_OP_DONE] = "done",
    };
    const char *id = NULL;
    const struct agent_op *op;
    int rc = want_op(rq, &id, err);

    if (rc != 0)
        return rc;
    op = journal_fold_find(&a->fold, id);
    if (op == NULL)
        return err_set(err, ERR_NOT_FOUND, "op %s was never seen here", id);
    if (op->state == AGENT_OP_UNKNOWN)
        return ask_witness(a, rq, op, err);
    reply_verdict(a, rq, op, settled[op->state]);
    return 0;
}

AGENT_HANDLER(agent_do_op_cancel)
{
    const char *id = NULL;
    struct agent_op *op;
    const struct agent_live *l;
    struct agent_run *run;
    int rc = want_op(rq, &id, err);

    if (rc != 0)
        return rc;
    op = journal_fold_find(&a->fold, id);
    if (op != NULL && op->state == AGENT_OP_ACCEPTED) {
        l = agent_live_find(a, op);
        run = l == NULL || l->run == 0 ? NULL : agent_run_find(a, l->run);
        agent_op_cancel(a, op, "cancelled", "cancelled by the controller before it began");
        if (run != NULL && run->kind != AGENT_RUN_PACKAGE)
            agent_run_kill(a, run);
    }
    agent_reply_record(a, rq->conn->id, rq->id, id);
    return 0;
}

static bool may_ack(const struct agent_op *op)
{
    return op != NULL && !op->acked && (op->state == AGENT_OP_DONE || op->state == AGENT_OP_UNKNOWN);
}

AGENT_HANDLER(agent_do_op_ack)
{
    const json *ops = NULL;
    struct buf result = BUF_INIT, body = BUF_INIT;
    uint32_t n = 0;
    int rc = json_want_array(rq->doc, rq->params, "ops", JSON_REQUIRED, &ops, err);

    for (const json *v = json_first(ops); rc == 0 && v != NULL; v = json_next(v))
        if (!json_is_string(v))
            rc = json_fault(rq->doc, v, err, "`ops` holds op ids");
    if (rc != 0)
        return rc;
    for (const json *v = json_first(ops); v != NULL && !a->no_memory; v = json_next(v)) {
        if (!may_ack(journal_fold_find(&a->fold, json_str(v, ""))))
            continue;
        buf_str(&body, "{}");
        agent_append(a, AGENT_REC_ACK, json_str(v, ""), &body);
        n++;
    }
    buf_printf(&result, "{\"acked\":%u}", n);
    agent_reply(a, rq->conn->id, rq->id, &result);
    return 0;
}

AGENT_HANDLER(agent_do_op_output)
{
    const char *op = NULL;
    int64_t offset = 0, max = AGENT_PAGE_BYTES;
    struct agent_effect *e;
    int rc = want_op(rq, &op, err);

    if (rc == 0)
        rc = json_want_int(rq->doc, rq->params, "offset", JSON_OPTIONAL, 0, INT64_MAX, &offset, err);
    if (rc == 0)
        rc = json_want_int(rq->doc, rq->params, "max_bytes", JSON_OPTIONAL, 1, AGENT_PAGE_BYTES, &max, err);
    if (rc == 0 && journal_fold_find(&a->fold, op) == NULL)
        rc = err_set(err, ERR_NOT_FOUND, "op %s was never seen here", op);
    if (rc != 0)
        return rc;
    e = agent_emit(a, AGENT_DO_OUTPUT);
    e->conn = rq->conn->id;
    e->request = rq->id;
    e->op = agent_emit_copy(a, op);
    e->offset = offset;
    e->max = max;
    return 0;
}
