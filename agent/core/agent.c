#include "agent/core/agent_state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int agent_new(const struct agent_config *config, struct journal_fold *fold, struct agent **ret_agent,
              struct err *err)
{
    struct agent *a = calloc(1, sizeof *a);

    if (a == NULL) {
        journal_fold_clear(fold);
        return err_set(err, ERR_NOMEM, "start the agent");
    }
    a->cfg = *config;
    a->fold = *fold;
    *fold = (struct journal_fold)JOURNAL_FOLD_INIT;
    a->identity_at = TIME_NEVER;
    *ret_agent = a;
    return 0;
}

void agent_free(struct agent *a)
{
    if (a == NULL)
        return;
    while (a->n_lives > 0)
        agent_live_drop(a, a->lives[0]);
    while (a->n_runs > 0)
        agent_run_drop(a, a->runs[0]);
    while (a->n_conns > 0)
        agent_conn_close(a, a->conns[0]->id);
    free(a->lives);
    free(a->runs);
    free(a->conns);
    free(a->reserves);
    buf_clear(&a->error_data);
    journal_fold_clear(&a->fold);
    free(a);
}

const struct journal_fold *agent_fold(const struct agent *a)
{
    return &a->fold;
}

static void begin(struct agent *a, time_ms at, dur_ms mono, struct agent_effects *out)
{
    agent_effects_reset(out);
    a->out = out;
    a->at = at;
    a->mono = mono;
    a->no_memory = false;
}

/* C.8: the journal stays bounded; what is acknowledged goes first. */
static void forget_old(struct agent *a)
{
    for (uint32_t i = 0; i < a->fold.n_ops && a->fold.n_ops > AGENT_OPS_MAX;) {
        const struct agent_op *op = a->fold.ops[i];

        if (!op->acked || agent_op_at_work(a, op)) {
            i++;
            continue;
        }
        agent_emit(a, AGENT_DO_FORGET)->op = agent_emit_copy(a, op->id);
        journal_fold_forget(&a->fold, op->id);
    }
}

static int finish(struct agent *a, struct err *err)
{
    if (!a->no_memory)
        agent_runs_next(a);
    a->out = NULL;
    return a->no_memory ? err_set(err, ERR_NOMEM, "agent") : 0;
}

/* A driver outlived the last agent: its op runs on, under its old deadline. */
static uint32_t adopt(struct agent *a, const char *id)
{
    struct agent_op *op = journal_fold_find(&a->fold, id);
    struct agent_live *l;
    struct agent_run *run;

    if (op == NULL || op->state != AGENT_OP_UNKNOWN || driver_action_find(op->action) == NULL)
        return 0;
    l = agent_live_new(a, op, AGENT_LIVE_ACTING);
    run = agent_run_new(a, AGENT_RUN_ACTION, driver_action_find(op->action)->name);
    if (l == NULL || run == NULL)
        return 0;
    agent_op_state_move(&op->state, AGENT_OP_RUNNING);
    memcpy(run->op, op->id, sizeof run->op);
    l->run = run->no;
    l->deadline = op->accepted_mono + op->limit_ms;
    return run->no;
}

int agent_start(struct agent *a, time_ms at, dur_ms mono, const char *const *alive, uint32_t n_alive,
                uint32_t *runs, struct agent_effects *out, struct err *err)
{
    begin(a, at, mono, out);
    journal_fold_recover(&a->fold);
    for (uint32_t i = 0; i < n_alive; i++)
        runs[i] = adopt(a, alive[i]);
    agent_identity_ask(a);
    return finish(a, err);
}

typedef AGENT_ON_RUN((*on_run));

static AGENT_ON_RUN(on_identity)
{
    (void)ev;
    agent_on_identity(a, run, answer);
}

static const on_run handlers[AGENT_RUN_KINDS] = {
    [AGENT_RUN_IDENTITY] = on_identity,
    [AGENT_RUN_FACTS] = agent_on_read,
    [AGENT_RUN_OBSERVE] = agent_on_read,
    [AGENT_RUN_TIME_FACTS] = agent_on_time_facts,
    [AGENT_RUN_SNTP] = agent_on_sntp,
    [AGENT_RUN_ROOM_FACTS] = agent_on_room_facts,
    [AGENT_RUN_ROOM_VMS] = agent_on_room_vms,
    [AGENT_RUN_PACKAGE] = agent_on_package,
    [AGENT_RUN_CHECK_FACTS] = agent_on_check,
    [AGENT_RUN_CHECK_EMPTY] = agent_on_check,
    [AGENT_RUN_ACTION] = agent_on_action,
    [AGENT_RUN_ADOPT] = agent_on_adopt,
    [AGENT_RUN_DOUBT] = agent_on_doubt,
    [AGENT_RUN_WITNESS] = agent_on_witness,
    [AGENT_RUN_FETCH_HELD] = agent_on_fetch_held,
    [AGENT_RUN_FETCH_PLACE] = agent_on_fetch_place,
    [AGENT_RUN_FETCH] = agent_on_fetch,
    [AGENT_RUN_FETCH_ADOPT] = agent_on_fetch_adopt,
    [AGENT_RUN_HELD] = agent_on_held,
};

static const char *const end_texts[] = {
    [AGENT_DRIVER_EXITED] = "",
    [AGENT_DRIVER_BAD_EXIT] = "the driver ended badly: another exit code than 0, a signal or too much output",
    [AGENT_DRIVER_NOT_BEGUN] = "the driver could not be started",
    [AGENT_DRIVER_KILLED] = "the driver was ended at its time limit",
    [AGENT_DRIVER_LOST] = "the driver outlived the agent; its exit code is not known",
};

static void on_answer(struct agent *a, const struct agent_event *ev)
{
    struct agent_run *run = agent_run_find(a, ev->run);
    struct driver_answer answer = { 0 };
    bool driver = ev->type == AGENT_EV_DRIVER_DONE;

    if (run == NULL)
        return; /* answers nobody waits for any more */
    if (driver && ev->end == AGENT_DRIVER_EXITED)
        driver_answer_read(run->mode, ev->text, ev->len, &answer);
    else if (driver)
        memcpy(answer.why, end_texts[ev->end], strlen(end_texts[ev->end]) + 1);
    agent_run_take(a, run); /* first: a handler may end or begin others */
    handlers[run->kind](a, run, ev, &answer);
    driver_answer_clear(&answer);
    agent_run_free(run);
}

static void on_progress(struct agent *a, const struct agent_event *ev)
{
    const struct agent_run *run = agent_run_find(a, ev->run);
    struct buf params = BUF_INIT;
    struct json_writer w;

    if (run != NULL && run->kind == AGENT_RUN_FETCH)
        agent_fetch_progress(a, run, ev->percent);
    if (run == NULL || run->kind != AGENT_RUN_ACTION)
        return;
    jw_init(&w, &params);
    jw_object(&w, NULL);
    jw_str(&w, "op", run->op);
    jw_int(&w, "percent", ev->percent);
    jw_str(&w, "text", ev->text);
    jw_object_end(&w);
    agent_notify(a, "op.progress", &params);
}

static void on_time(struct agent *a)
{
    if (a->identity_at <= a->mono)
        agent_identity_ask(a);
    for (uint32_t i = 0; i < a->n_runs; i++)
        if (a->runs[i]->deadline <= a->mono && a->runs[i]->kind != AGENT_RUN_ACTION)
            agent_run_kill(a, a->runs[i]);
    for (uint32_t i = a->n_lives; i > 0; i--) /* from the end: handling may drop the one at hand */
        if (agent_live_due(a->lives[i - 1]) <= a->mono)
            agent_live_on_time(a, a->lives[i - 1]);
}

int agent_step(struct agent *a, const struct agent_event *ev, struct agent_effects *out, struct err *err)
{
    begin(a, ev->at, ev->mono, out);
    if (ev->type == AGENT_EV_OPEN)
        agent_conn_open(a, ev);
    else if (ev->type == AGENT_EV_CLOSE)
        agent_conn_close(a, ev->conn);
    else if (ev->type == AGENT_EV_REQUEST)
        agent_on_request(a, ev);
    else if (ev->type == AGENT_EV_PROGRESS)
        on_progress(a, ev);
    else if (ev->type != AGENT_EV_TIME)
        on_answer(a, ev);
    on_time(a);
    forget_old(a);
    return finish(a, err);
}

dur_ms agent_deadline(const struct agent *a)
{
    dur_ms due = a->identity_at;

    for (uint32_t i = 0; i < a->n_runs; i++)
        if (a->runs[i]->kind != AGENT_RUN_ACTION && a->runs[i]->deadline < due)
            due = a->runs[i]->deadline;
    for (uint32_t i = 0; i < a->n_lives; i++)
        if (agent_live_due(a->lives[i]) < due)
            due = agent_live_due(a->lives[i]);
    return due;
}

/* The record could not be written: as if it never was, and once more later
 * where there is something to lose. */
static void take_back(struct agent *a, const struct agent_record *rec)
{
    struct agent_op *op = journal_fold_find(&a->fold, rec->op);
    struct agent_live *l = agent_live_find(a, op);

    if (rec->kind == AGENT_REC_ACCEPT && l != NULL)
        agent_live_drop(a, l);
    journal_fold_undo(&a->fold, rec);
    if (rec->kind == AGENT_REC_BOOT) {
        a->identified = false; /* nothing is admitted before it is written */
        a->identity_at = a->mono + AGENT_IDENTITY_RETRY_MS;
    }
    if (rec->kind == AGENT_REC_START && l != NULL) {
        l->phase = AGENT_LIVE_RETRY_START;
        l->retry_at = a->mono + AGENT_APPEND_RETRY_MS;
    }
    if (rec->kind == AGENT_REC_DONE && op != NULL && op->state == AGENT_OP_RUNNING) {
        l = agent_live_new(a, op, AGENT_LIVE_RETRY_DONE);
        if (l == NULL)
            return;
        l->retry_at = a->mono + AGENT_APPEND_RETRY_MS;
        l->done = agent_text_copy(a, rec->body);
    }
}

/* Its time is over still. */
static void kill_again(struct agent *a, struct agent_run *run)
{
    struct agent_live *l = agent_live_of(a, run);

    run->killed = false;
    run->deadline = a->mono;
    if (l != NULL)
        l->deadline = a->mono;
}

/* Nothing was asked, so nothing will be answered: an op's checks begin anew later, who asked himself hears of it. */
static void not_asked(struct agent *a, struct agent_run *run, const struct err *why)
{
    struct agent_live *l = agent_live_of(a, run);

    if (l != NULL && l->phase == AGENT_LIVE_CHECKING) {
        l->phase = AGENT_LIVE_RETRY_START;
        l->retry_at = a->mono + AGENT_APPEND_RETRY_MS;
    }
    if (run->conn != 0)
        agent_reply_error(a, run->conn, run->request, why, NULL);
    agent_run_drop(a, run);
}

int agent_abandon(struct agent *a, const struct agent_effects *done, uint32_t i, const struct err *why,
                  time_ms at, dur_ms mono, struct agent_effects *out, struct err *err)
{
    assert(done != out);
    begin(a, at, mono, out);
    for (uint32_t k = done->n; k > i; k--) {
        const struct agent_effect *e = &done->items[k - 1];
        struct agent_run *run = e->run == 0 ? NULL : agent_run_find(a, e->run);

        if (e->type == AGENT_DO_APPEND)
            take_back(a, &e->record);
        else if (e->type == AGENT_DO_SEND && e->reply)
            agent_reply_error(a, e->conn, e->request, why, NULL);
        else if (e->type == AGENT_DO_DRIVER_KILL && run != NULL)
            kill_again(a, run);
        else if (run != NULL)
            not_asked(a, run, why);
    }
    return finish(a, err);
}
