/* Runs: what was asked of the host and will be answered. Reads wait for one
 * another above a bound; effects, checks and witnesses never wait. */
#include "agent/core/agent_state.h"

#include <stdlib.h>
#include <string.h>

struct agent_run *agent_run_new(struct agent *a, enum agent_run_kind kind, const char *action)
{
    struct agent_run *run = calloc(1, sizeof *run);

    if (run == NULL || !list_grow(&a->runs, a->n_runs, &a->cap_runs, sizeof(struct agent_run *))) {
        free(run);
        a->no_memory = true;
        return NULL;
    }
    run->no = ++a->next_run;
    run->kind = kind;
    run->action = action;
    run->deadline = TIME_NEVER;
    run->asked_at = a->at;
    a->runs[a->n_runs++] = run;
    return run;
}

struct agent_run *agent_run_find(const struct agent *a, uint32_t no)
{
    for (uint32_t i = 0; i < a->n_runs; i++)
        if (a->runs[i]->no == no)
            return a->runs[i];
    return NULL;
}

void agent_run_take(struct agent *a, const struct agent_run *run)
{
    for (uint32_t i = 0; i < a->n_runs; i++)
        if (a->runs[i] == run) {
            memmove(&a->runs[i], &a->runs[i + 1], (a->n_runs - i - 1) * sizeof(struct agent_run *));
            a->n_runs--;
            return;
        }
}

void agent_run_free(struct agent_run *run)
{
    free(run->text);
    free(run->args);
    free(run);
}

void agent_run_drop(struct agent *a, struct agent_run *run)
{
    agent_run_take(a, run);
    agent_run_free(run);
}

void agent_run_kill(struct agent *a, struct agent_run *run)
{
    if (run->killed)
        return;
    run->killed = true;
    run->deadline = TIME_NEVER;
    agent_emit(a, AGENT_DO_DRIVER_KILL)->run = run->no;
}

static bool is_read(const struct agent_run *run)
{
    return run->kind <= AGENT_RUN_ROOM_VMS && run->kind != AGENT_RUN_SNTP;
}

static uint32_t reads_going(const struct agent *a)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < a->n_runs; i++)
        n += is_read(a->runs[i]) && !a->runs[i]->queued;
    return n;
}

bool agent_run_room(const struct agent *a)
{
    return a->n_runs < AGENT_RUNS_MAX;
}

static void emit_start(struct agent *a, struct agent_run *run, const char *text)
{
    const struct driver_manifest_action *m = driver_manifest_find(a->cfg.driver, run->action);
    struct agent_effect *e = agent_emit(a, AGENT_DO_DRIVER_START);

    e->run = run->no;
    e->action = run->action;
    e->op = agent_emit_copy(a, run->op);
    e->effect = run->kind == AGENT_RUN_ACTION;
    e->leave = e->effect && m != NULL && m->leave;
    e->text = agent_emit_copy(a, text);
    e->len = strlen(e->text);
    run->deadline = a->mono + run->limit;
}

void agent_run_start(struct agent *a, struct agent_run *run, const struct driver_request *rq)
{
    struct buf text = BUF_INIT;

    run->mode = rq->mode;
    run->limit = rq->limit_ms > a->cfg.run_floor_ms ? rq->limit_ms : a->cfg.run_floor_ms;
    driver_request_write(&text, rq);
    a->no_memory |= text.failed;
    run->queued = is_read(run) && reads_going(a) > AGENT_READS_AT_ONCE;
    if (run->queued)
        run->text = agent_text_copy(a, buf_text(&text));
    else
        emit_start(a, run, buf_text(&text));
    buf_clear(&text);
}

void agent_runs_next(struct agent *a)
{
    for (uint32_t i = 0; i < a->n_runs && reads_going(a) < AGENT_READS_AT_ONCE; i++)
        if (a->runs[i]->queued) {
            a->runs[i]->queued = false;
            emit_start(a, a->runs[i], a->runs[i]->text == NULL ? "" : a->runs[i]->text);
        }
}

struct agent_run *agent_read_start(struct agent *a, enum agent_run_kind kind, const char *action,
                                   const char *args, uint32_t conn, int64_t request)
{
    const struct driver_manifest_action *m = driver_manifest_find(a->cfg.driver, action);
    struct agent_run *run = m == NULL ? NULL : agent_run_new(a, kind, m->name);
    struct driver_request rq = {
        .action = action, .node = a->cfg.node, .op = "", .mode = DRIVER_RUN, .text = args
    };

    if (run == NULL)
        return NULL;
    run->conn = conn;
    run->request = request;
    rq.limit_ms = m->limit_ms;
    agent_run_start(a, run, &rq);
    return run;
}
