/* One op from ACCEPT to DONE.
 *
 *   checking --> acting --> (done)
 *                  | \--> booting --> (done, at the next start) | (unknown)
 *                  +--> doubting --> (done) | (unknown)
 *                  +--> (unknown)
 */
#include "agent/core/agent_state.h"

#include <stdlib.h>
#include <string.h>

struct agent_live *agent_live_find(const struct agent *a, const struct agent_op *op)
{
    for (uint32_t i = 0; i < a->n_lives; i++)
        if (a->lives[i]->op == op)
            return a->lives[i];
    return NULL;
}

struct agent_live *agent_live_new(struct agent *a, struct agent_op *op, enum agent_live_phase phase)
{
    struct agent_live *l = calloc(1, sizeof *l);

    if (l == NULL || !list_grow(&a->lives, a->n_lives, &a->cap_lives, sizeof(struct agent_live *))) {
        free(l);
        a->no_memory = true;
        return NULL;
    }
    *l = (struct agent_live){ .op = op, .phase = phase, .deadline = TIME_NEVER, .retry_at = TIME_NEVER };
    a->lives[a->n_lives++] = l;
    return l;
}

void agent_live_drop(struct agent *a, struct agent_live *l)
{
    for (uint32_t i = 0; i < a->n_lives; i++)
        if (a->lives[i] == l) {
            memmove(&a->lives[i], &a->lives[i + 1], (a->n_lives - i - 1) * sizeof(struct agent_live *));
            a->n_lives--;
            break;
        }
    free(l->done);
    free(l->path);
    free(l);
}

static dur_ms floored(const struct agent *a, dur_ms limit)
{
    return limit > a->cfg.run_floor_ms ? limit : a->cfg.run_floor_ms;
}

void agent_live_arm(struct agent *a, struct agent_op *op)
{
    struct agent_live *l = agent_live_new(a, op, AGENT_LIVE_CHECKING);

    if (l == NULL)
        return;
    l->deadline = a->mono + floored(a, op->limit_ms);
    agent_checks_next(a, l);
}

static void append_start(struct agent *a, const struct agent_live *l)
{
    struct buf body = BUF_INIT;
    struct json_writer w;

    jw_init(&w, &body);
    jw_object(&w, NULL);
    jw_raw(&w, "found", l->op->precondition); /* each member was seen to hold */
    jw_object_end(&w);
    agent_append(a, AGENT_REC_START, l->op->id, &body);
}

void agent_fetch_target(struct agent *a, const struct agent_op *op, struct driver_request *rq,
                        struct buf *text)
{
    if (!(driver_action_flags(op->action) & DRIVER_FETCHES))
        return;
    buf_printf(text, "%s/%s", a->cfg.fetch_dir, json_get_str(rq->args, "sha256", ""));
    a->no_memory |= text->failed;
    rq->in_args = "";
    rq->add_key = "to";
    rq->add_value = buf_text(text);
}

/* Ask the op's driver, to do it or to bear witness. */
static struct agent_run *run_op(struct agent *a, struct agent_op *op, enum agent_run_kind kind, dur_ms limit,
                                const char *path)
{
    const struct driver_manifest_action *m = driver_manifest_find(a->cfg.driver, op->action);
    struct agent_run *run = m == NULL ? NULL : agent_run_new(a, kind, m->name);
    struct json_doc *args = NULL;
    struct buf to = BUF_INIT;
    struct driver_request rq = { .action = op->action,
                                 .node = a->cfg.node,
                                 .op = op->id,
                                 .mode = kind == AGENT_RUN_ACTION ? DRIVER_RUN : DRIVER_WITNESS };

    if (run == NULL)
        return NULL;
    if (json_parse("own", op->args, strlen(op->args), &args, NULL) != 0) {
        a->no_memory = true;
        return run;
    }
    memcpy(run->op, op->id, sizeof run->op);
    rq.args = json_root(args);
    rq.limit_ms = limit < m->limit_ms ? limit : m->limit_ms;
    if (path != NULL) {
        rq.in_args = "package";
        rq.add_key = "path";
        rq.add_value = path;
    }
    agent_fetch_target(a, op, &rq, &to);
    agent_run_start(a, run, &rq);
    json_free(args);
    buf_clear(&to);
    return run;
}

void agent_live_act(struct agent *a, struct agent_live *l)
{
    struct agent_run *run;
    dur_ms left = l->deadline - a->mono;

    if (!agent_claim_is(&a->fold.claim, l->op->epoch, l->op->controller)) { /* I20 */
        agent_live_drop(a, l);
        return;
    }
    if (left <= 0) {
        agent_op_cancel(a, l->op, "timeout", "its time was over before it could start; nothing was begun");
        return;
    }
    append_start(a, l);
    l->phase = AGENT_LIVE_ACTING;
    run = run_op(a, l->op, AGENT_RUN_ACTION, left, l->path);
    if (run != NULL)
        l->run = run->no;
}

struct agent_live *agent_live_of(const struct agent *a, const struct agent_run *run)
{
    struct agent_live *l = agent_live_find(a, journal_fold_find(&a->fold, run->op));

    return l != NULL && l->run == run->no ? l : NULL;
}

/* What the answer itself says; the state of the op follows from it. */
static void end_by_answer(struct agent *a, struct agent_op *op, const struct agent_event *ev,
                          const struct driver_answer *answer)
{
    struct agent_ending end = {
        .outcome = AGENT_OUTCOME_OK,
        .result = answer->kind == DRIVER_WITNESSED ? answer->evidence : answer->result,
        .downtime = answer->downtime,
        .error = answer->error,
        .output_bytes = ev->output_bytes,
        .output_tail = ev->output_tail,
    };

    if (answer->kind == DRIVER_ERROR)
        end.outcome = answer->changed_nothing ? AGENT_OUTCOME_REFUSED : AGENT_OUTCOME_FAILED;
    agent_op_end(a, op, &end);
}

static void ask_adopt(struct agent *a, struct agent_live *l)
{
    struct agent_run *run = agent_run_new(a, AGENT_RUN_ADOPT, "");
    struct json_doc *args = NULL;
    struct agent_effect *e;

    if (run == NULL || json_parse("own", l->op->args, strlen(l->op->args), &args, NULL) != 0) {
        a->no_memory = true;
        return;
    }
    memcpy(run->op, l->op->id, sizeof run->op);
    l->run = run->no;
    e = agent_emit(a, AGENT_DO_PACKAGE_ADOPT);
    e->run = run->no;
    e->sha256 = agent_emit_copy(a, json_get_str(json_root(args), "sha256", ""));
    e->name = agent_emit_copy(a, json_get_str(json_root(args), "name", ""));
    json_free(args);
}

static void ask_doubt(struct agent *a, struct agent_live *l)
{
    struct agent_run *run = run_op(a, l->op, AGENT_RUN_DOUBT, AGENT_WITNESS_LIMIT_MS, NULL);

    l->phase = AGENT_LIVE_DOUBTING;
    l->deadline = TIME_NEVER; /* the witness has its own */
    l->run = run == NULL ? 0 : run->no;
    if (run == NULL && !a->no_memory)
        agent_op_doubt(a, l->op);
}

struct agent_run *agent_action_run(const struct agent *a, const char *op)
{
    for (uint32_t i = 0; i < a->n_runs; i++)
        if (a->runs[i]->kind == AGENT_RUN_ACTION && strcmp(a->runs[i]->op, op) == 0)
            return a->runs[i];
    return NULL;
}

bool agent_op_at_work(const struct agent *a, const struct agent_op *op)
{
    return agent_live_find(a, op) != NULL || agent_action_run(a, op->id) != NULL;
}

/* A driver that was left at its deadline ends after all: evidence is evidence.
 * A reboot's answer is none, and what fetch_package brought is not hashed. */
static void on_late_action(struct agent *a, const struct agent_run *run, const struct agent_event *ev,
                           const struct driver_answer *answer)
{
    struct agent_op *op = journal_fold_find(&a->fold, run->op);
    bool plain = op != NULL && !(driver_action_flags(op->action) & (DRIVER_BOOTS | DRIVER_FETCHES));

    if (plain && op->state == AGENT_OP_UNKNOWN && !op->acked && answer->kind != DRIVER_NO_EVIDENCE)
        end_by_answer(a, op, ev, answer);
}

AGENT_ON_RUN(agent_on_action)
{
    struct agent_live *l = agent_live_of(a, run);
    uint32_t flags;

    if (l == NULL) {
        on_late_action(a, run, ev, answer);
        return;
    }
    l->run = 0;
    flags = driver_action_flags(l->op->action);
    if (ev->end == AGENT_DRIVER_NOT_BEGUN)
        agent_op_end(a, l->op,
                     &(struct agent_ending){ .outcome = AGENT_OUTCOME_REFUSED,
                                             .code = "failed",
                                             .message = "the driver could not be started" });
    else if (ev->end == AGENT_DRIVER_KILLED)
        ask_doubt(a, l);
    else if (answer->kind == DRIVER_NO_EVIDENCE)
        agent_op_doubt(a, l->op);
    else if (answer->kind == DRIVER_RESULT && (flags & DRIVER_BOOTS) &&
             !json_get_bool(answer->result, "already", false))
        l->phase = AGENT_LIVE_BOOTING;
    else if (answer->kind == DRIVER_RESULT && (flags & DRIVER_FETCHES))
        ask_adopt(a, l);
    else
        end_by_answer(a, l->op, ev, answer);
}

AGENT_ON_RUN(agent_on_adopt)
{
    struct agent_live *l = agent_live_of(a, run);

    (void)answer;
    if (l == NULL)
        return;
    l->run = 0;
    if (ev->err == NULL)
        agent_op_end(a, l->op, &(struct agent_ending){ .outcome = AGENT_OUTCOME_OK });
    else
        agent_op_end(a, l->op,
                     &(struct agent_ending){ .outcome = AGENT_OUTCOME_FAILED,
                                             .code = err_name(ev->err->code),
                                             .message = ev->err->text });
}

AGENT_ON_RUN(agent_on_doubt)
{
    struct agent_live *l = agent_live_of(a, run);

    if (l == NULL)
        return;
    l->run = 0;
    if (answer->kind == DRIVER_WITNESSED && answer->witness == DRIVER_DONE)
        end_by_answer(a, l->op, ev, answer);
    else if (answer->kind == DRIVER_WITNESSED && answer->witness == DRIVER_NOT_DONE)
        agent_op_end(a, l->op,
                     &(struct agent_ending){
                         .outcome = AGENT_OUTCOME_FAILED,
                         .code = "timeout",
                         .message = "ended at its time limit; its witness says that it did not happen" });
    else
        agent_op_doubt(a, l->op);
}

static void append_not_done(struct agent *a, const struct agent_op *op)
{
    struct buf body = BUF_INIT;

    buf_str(&body, "{\"verdict\":\"not_done\"}");
    agent_append(a, AGENT_REC_WITNESS, op->id, &body);
}

static void reply_witness(struct agent *a, const struct agent_run *run, const char *verdict)
{
    struct buf result = BUF_INIT;
    struct json_writer w;

    jw_init(&w, &result);
    jw_object(&w, NULL);
    jw_str(&w, "witness", verdict);
    agent_record_write(&w, "record", run->op, journal_fold_find(&a->fold, run->op));
    jw_object_end(&w);
    agent_reply(a, run->conn, run->request, &result);
}

/* What it saw of a start is no word on the next one; what it saw done is. */
static bool of_another_start(const struct agent_run *run, const struct agent_op *op,
                             const struct driver_answer *answer)
{
    return answer->witness != DRIVER_DONE && run->starts != op->starts;
}

/* op.witness was answered by the driver; meanwhile the op may have ended, or been started once more. */
AGENT_ON_RUN(agent_on_witness)
{
    struct agent_op *op = journal_fold_find(&a->fold, run->op);
    const char *verdict = "cannot_tell";

    if (op != NULL && op->state == AGENT_OP_UNKNOWN && answer->kind == DRIVER_WITNESSED &&
        !of_another_start(run, op, answer)) {
        /* not done yet is not `not_done`: our own driver still is at it */
        bool at_it = answer->witness == DRIVER_NOT_DONE && agent_action_run(a, op->id) != NULL;

        verdict = driver_witness_name(at_it ? DRIVER_RUNNING : answer->witness);
        if (answer->witness == DRIVER_DONE)
            end_by_answer(a, op, ev, answer);
        else if (answer->witness == DRIVER_NOT_DONE && !at_it && !op->not_done)
            append_not_done(a, op);
    } else if (op != NULL && op->state == AGENT_OP_DONE) {
        verdict = "done";
    }
    if (run->conn != 0)
        reply_witness(a, run, verdict);
}

dur_ms agent_live_due(const struct agent_live *l)
{
    return l->deadline < l->retry_at ? l->deadline : l->retry_at;
}

static void on_deadline(struct agent *a, struct agent_live *l)
{
    struct agent_run *run = agent_run_find(a, l->run);
    const struct driver_manifest_action *m = driver_manifest_find(a->cfg.driver, l->op->action);

    l->deadline = TIME_NEVER;
    if (l->phase == AGENT_LIVE_CHECKING || l->phase == AGENT_LIVE_RETRY_START) {
        agent_op_cancel(a, l->op, "timeout", "its time was over before it could start; nothing was begun");
        if (run != NULL && run->kind != AGENT_RUN_PACKAGE)
            agent_run_kill(a, run);
        return;
    }
    if (run != NULL && run->kind == AGENT_RUN_ACTION && (m == NULL || !m->leave))
        agent_run_kill(a, run);
    else
        agent_op_doubt(a, l->op); /* O10: a driver that is left goes on */
}

static void on_retry(struct agent *a, struct agent_live *l)
{
    struct buf body = BUF_INIT;
    struct agent_op *op = l->op;

    l->retry_at = TIME_NEVER;
    if (l->phase == AGENT_LIVE_RETRY_START) {
        l->phase = AGENT_LIVE_CHECKING;
        l->step = l->packages = 0; /* what held then need not hold now */
        agent_checks_next(a, l);
    } else { /* AGENT_LIVE_RETRY_DONE */
        buf_str(&body, l->done);
        agent_op_finish(a, op, &body);
    }
}

void agent_live_on_time(struct agent *a, struct agent_live *l)
{
    if (l->retry_at <= a->mono)
        on_retry(a, l);
    else
        on_deadline(a, l);
}
