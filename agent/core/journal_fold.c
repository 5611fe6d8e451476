#include "agent/core/journal_fold.h"

#include "schema/list.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[AGENT_REC_KINDS] = {
    [AGENT_REC_BOOT] = "boot",   [AGENT_REC_CLAIM] = "claim",     [AGENT_REC_ACCEPT] = "accept",
    [AGENT_REC_START] = "start", [AGENT_REC_WITNESS] = "witness", [AGENT_REC_DONE] = "done",
    [AGENT_REC_ACK] = "ack",
};

const char *agent_record_kind_name(enum agent_record_kind k)
{
    return kind_names[k];
}

enum agent_record_kind agent_record_kind_by_name(const char *name)
{
    for (int i = 0; i < AGENT_REC_KINDS; i++)
        if (strcmp(kind_names[i], name) == 0)
            return (enum agent_record_kind)i;
    return AGENT_REC_KINDS;
}

/* One record's body while it is read. */
struct body {
    const struct agent_record *rec;
    struct json_doc *doc;
    const json *root;
};

static int copy_text(char *to, size_t size, const char *text, const char *what, struct err *err)
{
    if (strlen(text) >= size)
        return err_set(err, ERR_CORRUPT, "%s is longer than %u bytes", what, (unsigned)size - 1);
    memcpy(to, text, strlen(text) + 1);
    return 0;
}

static int want_text(const struct body *b, const char *key, char *to, size_t size, struct err *err)
{
    const char *text = NULL;
    int rc = json_want_str(b->doc, b->root, key, JSON_REQUIRED, &text, err);

    return rc != 0 ? rc : copy_text(to, size, text, key, err);
}

static int dup_text(const char *text, char **ret, struct err *err)
{
    size_t size = strlen(text) + 1;

    *ret = malloc(size);
    if (*ret == NULL)
        return err_set(err, ERR_NOMEM, "journal record");
    memcpy(*ret, text, size);
    return 0;
}

static int copy_value(const json *value, char **ret, struct err *err)
{
    struct buf out = BUF_INIT;

    json_write(&out, value, false);
    if (out.failed || out.data == NULL) {
        buf_clear(&out);
        return err_set(err, ERR_NOMEM, "journal record");
    }
    *ret = out.data;
    return 0;
}

static int want_log(const struct body *b, struct agent_log_position *log, struct err *err)
{
    const json *object = NULL;
    const char *hash = NULL;
    int rc = json_want_object(b->doc, b->root, "log", JSON_REQUIRED, &object, err);

    if (rc == 0)
        rc = json_want_int(b->doc, object, "seq", JSON_REQUIRED, 0, INT64_MAX, &log->seq, err);
    if (rc == 0)
        rc = json_want_str(b->doc, object, "hash", JSON_REQUIRED, &hash, err);
    return rc != 0 ? rc : copy_text(log->hash, sizeof log->hash, hash, "hash", err);
}

static void op_clear_result(struct agent_op *op)
{
    free(op->error);
    free(op->result);
    free(op->downtime);
    free(op->output_tail);
    op->error = op->result = op->downtime = op->output_tail = NULL;
    op->output_bytes = 0;
    op->outcome = AGENT_OUTCOME_NONE;
    op->ended_at = 0;
}

static void op_free(struct agent_op *op)
{
    if (op == NULL)
        return;
    op_clear_result(op);
    free(op->args);
    free(op->precondition);
    free(op);
}

static int apply_boot(struct journal_fold *f, const struct body *b, struct err *err)
{
    char machine[AGENT_NAME_MAX];
    char boot[AGENT_NAME_MAX];
    int rc = want_text(b, "machine_id", machine, sizeof machine, err);

    if (rc == 0)
        rc = copy_text(boot, sizeof boot, b->rec->boot_id, "boot_id", err);
    if (rc != 0)
        return rc;
    memcpy(f->machine_before, f->machine_id, sizeof f->machine_id);
    memcpy(f->boot_before, f->boot_id, sizeof f->boot_id);
    memcpy(f->machine_id, machine, sizeof machine);
    memcpy(f->boot_id, boot, sizeof boot);
    return 0;
}

static int apply_claim(struct journal_fold *f, const struct body *b, struct err *err)
{
    struct agent_claim asked = { 0 };
    bool takeover = false;
    int rc = json_want_int(b->doc, b->root, "epoch", JSON_REQUIRED, 1, INT64_MAX, &asked.epoch, err);

    if (rc == 0)
        rc = want_text(b, "controller", asked.controller, sizeof asked.controller, err);
    if (rc == 0)
        rc = want_text(b, "run", asked.run, sizeof asked.run, err);
    if (rc == 0)
        rc = want_log(b, &asked.log, err);
    if (rc == 0)
        rc = json_want_bool(b->doc, b->root, "takeover", JSON_REQUIRED, &takeover, err);
    if (rc == 0)
        rc = agent_claim_judge(&f->claim, &asked, takeover, err);
    if (rc != 0)
        return rc;
    f->claim_before = f->claim;
    agent_claim_take(&f->claim, &asked);
    return 0;
}

static int read_accept(const struct body *b, struct agent_op *op, struct agent_log_position *log,
                       struct err *err)
{
    const json *args = NULL, *precondition = NULL;
    int rc = want_text(b, "action", op->action, sizeof op->action, err);

    if (rc == 0)
        rc = want_text(b, "digest", op->digest, sizeof op->digest, err);
    if (rc == 0)
        rc = want_text(b, "controller", op->controller, sizeof op->controller, err);
    if (rc == 0)
        rc = json_want_int(b->doc, b->root, "epoch", JSON_REQUIRED, 1, INT64_MAX, &op->epoch, err);
    if (rc == 0)
        rc = json_want_int(b->doc, b->root, "limit_ms", JSON_REQUIRED, 1, INT64_MAX, &op->limit_ms, err);
    if (rc == 0)
        rc = json_want_int(b->doc, b->root, "mono_ms", JSON_REQUIRED, 0, INT64_MAX, &op->accepted_mono, err);
    if (rc == 0)
        rc = want_log(b, log, err);
    if (rc == 0)
        rc = json_want_object(b->doc, b->root, "args", JSON_REQUIRED, &args, err);
    if (rc == 0)
        rc = json_want_object(b->doc, b->root, "precondition", JSON_REQUIRED, &precondition, err);
    if (rc == 0)
        rc = copy_text(op->id, sizeof op->id, b->rec->op, "op", err);
    if (rc == 0)
        rc = copy_text(op->accept_boot, sizeof op->accept_boot, b->rec->boot_id, "boot_id", err);
    if (rc == 0)
        rc = copy_value(args, &op->args, err);
    if (rc == 0)
        rc = copy_value(precondition, &op->precondition, err);
    return rc;
}

/* An op that was accepted and not begun may be taken up again, by the same or
 * a later claim, with the same arguments only. */
static int accept_again(struct agent_op *op, struct agent_op *again, time_ms at, struct err *err)
{
    bool idle = op->state == AGENT_OP_ACCEPTED || (op->state == AGENT_OP_UNKNOWN && op->not_done);

    if (!idle || strcmp(op->digest, again->digest) != 0 || strcmp(op->action, again->action) != 0)
        return err_set(err, ERR_CORRUPT, "op %s accepted a second time", op->id);
    if (op->state != AGENT_OP_ACCEPTED)
        agent_op_state_move(&op->state, AGENT_OP_ACCEPTED);
    op->accepts++;
    op->epoch = again->epoch;
    memcpy(op->controller, again->controller, sizeof op->controller);
    memcpy(op->accept_boot, again->accept_boot, sizeof op->accept_boot);
    op->limit_ms = again->limit_ms;
    op->accepted_mono = again->accepted_mono;
    op->accepted_at = at;
    free(op->precondition);
    op->precondition = again->precondition;
    again->precondition = NULL;
    return 0;
}

static int apply_accept(struct journal_fold *f, const struct body *b, struct err *err)
{
    struct agent_op *op = calloc(1, sizeof *op), *known = journal_fold_find(f, b->rec->op);
    struct agent_log_position log = { 0 };
    int rc;

    if (op == NULL)
        return err_set(err, ERR_NOMEM, "journal record");
    rc = read_accept(b, op, &log, err);
    if (rc == 0 && !agent_claim_is(&f->claim, op->epoch, op->controller))
        rc = err_set(err, ERR_CORRUPT, "op %s accepted from controller %s, which held no claim", op->id,
                     op->controller);
    if (rc == 0 && known != NULL)
        rc = accept_again(known, op, b->rec->at, err);
    if (rc == 0 && known == NULL && !list_grow(&f->ops, f->n_ops, &f->cap_ops, sizeof *f->ops))
        rc = err_set(err, ERR_NOMEM, "journal record");
    if (rc != 0 || known != NULL) {
        op_free(op);
    } else {
        agent_op_state_move(&op->state, AGENT_OP_ACCEPTED);
        op->accepted_at = b->rec->at;
        op->accepts = 1;
        f->ops[f->n_ops++] = op;
    }
    if (rc == 0)
        agent_claim_raise_log(&f->claim, &log);
    return rc;
}

/* The record's op, if it may go to `next` (NONE: any way); NULL with `err` set. */
static struct agent_op *op_of(const struct journal_fold *f, const struct body *b, enum agent_op_state next,
                              struct err *err)
{
    struct agent_op *op = journal_fold_find(f, b->rec->op);

    if (op == NULL)
        err_set(err, ERR_CORRUPT, "%s of op %s, which was never accepted", kind_names[b->rec->kind],
                b->rec->op);
    else if (next != AGENT_OP_NONE && !agent_op_state_may(op->state, next))
        err_set(err, ERR_CORRUPT, "%s of op %s, which is %s", kind_names[b->rec->kind], op->id,
                agent_op_state_name(op->state));
    else
        return op;
    return NULL;
}

static int apply_start(struct journal_fold *f, const struct body *b, struct err *err)
{
    struct agent_op *op = op_of(f, b, AGENT_OP_RUNNING, err);
    int rc;

    if (op == NULL)
        return ERR_CORRUPT;
    if (op->state != AGENT_OP_ACCEPTED)
        return err_set(err, ERR_CORRUPT, "start of op %s, which is %s", op->id,
                       agent_op_state_name(op->state));
    rc = copy_text(op->start_boot, sizeof op->start_boot, b->rec->boot_id, "boot_id", err);
    if (rc != 0)
        return rc;
    agent_op_state_move(&op->state, AGENT_OP_RUNNING);
    op->starts++;
    op->not_done = false;
    op->started_at = b->rec->at;
    return 0;
}

static int apply_witness(struct journal_fold *f, const struct body *b, struct err *err)
{
    struct agent_op *op = op_of(f, b, AGENT_OP_NONE, err);
    const char *verdict = NULL;
    int rc;

    if (op == NULL)
        return ERR_CORRUPT;
    rc = json_want_str(b->doc, b->root, "verdict", JSON_REQUIRED, &verdict, err);
    if (rc == 0 && op->state != AGENT_OP_UNKNOWN && op->state != AGENT_OP_RUNNING)
        rc = err_set(err, ERR_CORRUPT, "witness of op %s, which is %s", op->id,
                     agent_op_state_name(op->state));
    if (rc != 0)
        return rc;
    op->not_done = strcmp(verdict, "not_done") == 0;
    if (op->not_done && op->state == AGENT_OP_RUNNING) /* a journal read back: the doubt left no record */
        agent_op_state_move(&op->state, AGENT_OP_UNKNOWN);
    return 0;
}

static int read_done(const struct body *b, struct agent_op *op, struct err *err)
{
    const char *outcome = NULL, *tail = NULL;
    const json *downtime = NULL;
    int rc = json_want_str(b->doc, b->root, "outcome", JSON_REQUIRED, &outcome, err);

    if (rc == 0)
        rc = json_want_array(b->doc, b->root, "downtime", JSON_REQUIRED, &downtime, err);
    if (rc == 0)
        rc = json_want_str(b->doc, b->root, "output_tail", JSON_REQUIRED, &tail, err);
    if (rc == 0)
        rc = json_want_int(b->doc, b->root, "output_bytes", JSON_REQUIRED, 0, INT64_MAX, &op->output_bytes,
                           err);
    if (rc != 0)
        return rc;
    op->outcome = agent_outcome_by_name(outcome);
    if (op->outcome == AGENT_OUTCOMES || json_get(b->root, "error") == NULL ||
        json_get(b->root, "result") == NULL)
        return err_set(err, ERR_CORRUPT, "done of op %s cannot be read", b->rec->op);
    rc = copy_value(json_get(b->root, "error"), &op->error, err);
    if (rc == 0)
        rc = copy_value(json_get(b->root, "result"), &op->result, err);
    if (rc == 0)
        rc = copy_value(downtime, &op->downtime, err);
    return rc != 0 ? rc : dup_text(tail, &op->output_tail, err);
}

static int apply_done(struct journal_fold *f, const struct body *b, struct err *err)
{
    struct agent_op *op = op_of(f, b, AGENT_OP_DONE, err);
    int rc;

    if (op == NULL)
        return ERR_CORRUPT;
    rc = read_done(b, op, err);
    if (rc != 0) {
        op_clear_result(op);
        return rc;
    }
    op->before = op->state;
    agent_op_state_move(&op->state, AGENT_OP_DONE);
    op->ended_at = b->rec->at;
    return 0;
}

static int apply_ack(struct journal_fold *f, const struct body *b, struct err *err)
{
    struct agent_op *op = op_of(f, b, AGENT_OP_NONE, err);

    if (op == NULL)
        return ERR_CORRUPT;
    op->acked = true;
    return 0;
}

static int (*const appliers[AGENT_REC_KINDS])(struct journal_fold *, const struct body *, struct err *) = {
    [AGENT_REC_BOOT] = apply_boot,   [AGENT_REC_CLAIM] = apply_claim,     [AGENT_REC_ACCEPT] = apply_accept,
    [AGENT_REC_START] = apply_start, [AGENT_REC_WITNESS] = apply_witness, [AGENT_REC_DONE] = apply_done,
    [AGENT_REC_ACK] = apply_ack,
};

/* What the parsers call invalid is, in a journal, corrupt. */
static int as_corrupt(int rc, struct err *err)
{
    if (rc == 0 || rc == ERR_NOMEM)
        return rc;
    if (err != NULL)
        err->code = ERR_CORRUPT;
    return ERR_CORRUPT;
}

int journal_fold_apply(struct journal_fold *f, const struct agent_record *rec, struct err *err)
{
    struct body b = { .rec = rec };
    int rc = json_parse("journal", rec->body, strlen(rec->body), &b.doc, err);

    if (rc != 0)
        return as_corrupt(rc, err);
    b.root = json_root(b.doc);
    if (json_is_object(b.root))
        rc = appliers[rec->kind](f, &b, err);
    else
        rc = err_set(err, ERR_CORRUPT, "%s record is no object", kind_names[rec->kind]);
    json_free(b.doc);
    return as_corrupt(rc, err);
}

static void remove_op(struct journal_fold *f, uint32_t i)
{
    op_free(f->ops[i]);
    memmove(&f->ops[i], &f->ops[i + 1], (f->n_ops - i - 1) * sizeof *f->ops);
    f->n_ops--;
}

static void undo_accept(struct journal_fold *f, uint32_t i)
{
    struct agent_op *op = f->ops[i];

    if (--op->accepts == 0)
        remove_op(f, i);
    else
        op->state = op->starts > 0 ? AGENT_OP_UNKNOWN : AGENT_OP_ACCEPTED;
}

static void undo_op(struct agent_op *op, enum agent_record_kind kind)
{
    if (kind == AGENT_REC_ACK)
        op->acked = false;
    if (kind == AGENT_REC_WITNESS)
        op->not_done = false;
    if (kind == AGENT_REC_START) {
        op->state = AGENT_OP_ACCEPTED;
        op->starts--;
        op->started_at = 0;
    }
    if (kind == AGENT_REC_DONE) {
        op->state = op->before;
        op_clear_result(op);
    }
}

void journal_fold_undo(struct journal_fold *f, const struct agent_record *rec)
{
    if (rec->kind == AGENT_REC_CLAIM)
        f->claim = f->claim_before;
    if (rec->kind == AGENT_REC_BOOT) {
        memcpy(f->machine_id, f->machine_before, sizeof f->machine_id);
        memcpy(f->boot_id, f->boot_before, sizeof f->boot_id);
    }
    for (uint32_t i = 0; i < f->n_ops; i++)
        if (strcmp(f->ops[i]->id, rec->op) == 0) {
            if (rec->kind == AGENT_REC_ACCEPT)
                undo_accept(f, i);
            else
                undo_op(f->ops[i], rec->kind);
            return;
        }
}

void journal_fold_clear(struct journal_fold *f)
{
    for (uint32_t i = 0; i < f->n_ops; i++)
        op_free(f->ops[i]);
    list_free(&f->ops, &f->n_ops, &f->cap_ops);
    *f = (struct journal_fold)JOURNAL_FOLD_INIT;
}

struct agent_op *journal_fold_find(const struct journal_fold *f, const char *op)
{
    for (uint32_t i = f->n_ops; i > 0; i--) /* the newest is asked for most */
        if (strcmp(f->ops[i - 1]->id, op) == 0)
            return f->ops[i - 1];
    return NULL;
}

void journal_fold_forget(struct journal_fold *f, const char *op)
{
    for (uint32_t i = 0; i < f->n_ops; i++)
        if (strcmp(f->ops[i]->id, op) == 0) {
            assert(f->ops[i]->acked);
            remove_op(f, i);
            return;
        }
}

void journal_fold_recover(struct journal_fold *f)
{
    for (uint32_t i = 0; i < f->n_ops; i++)
        if (f->ops[i]->state == AGENT_OP_RUNNING)
            agent_op_state_move(&f->ops[i]->state, AGENT_OP_UNKNOWN);
}

uint32_t journal_fold_unacked(const struct journal_fold *f)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < f->n_ops; i++)
        n += !f->ops[i]->acked;
    return n;
}
