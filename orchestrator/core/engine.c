#include "orchestrator/core/handover.h"

#include <string.h>

static void init_nodes(struct engine *e)
{
    for (uint32_t i = 0; i < e->inv->n_nodes; i++) {
        struct engine_node *n = &e->nodes[i];

        n->ix = i;
        n->cluster = e->inv->nodes[i].cluster;
        n->plan_ix = n->wave = IX_NONE;
        n->build_now = n->build_first = n->level_first = e->inv->nodes[i].build;
        n->wake = (struct timer){ .kind = TIMER_NODE, .of = n };
        n->link = (struct timer){ .kind = TIMER_LINK, .of = n };
    }
    for (uint32_t i = 0; i < e->plan->n_nodes; i++) {
        const struct plan_node *pn = &e->plan->nodes[i];
        struct engine_node *n = &e->nodes[pn->node];

        n->plan_ix = i;
        n->wave = pn->compliant ? IX_NONE : pn->wave;
        n->order = pn->order;
        n->batch = pn->batch;
        n->rehearse = pn->rehearse && !pn->compliant;
        if (pn->compliant) {
            n->phase = NODE_ENDED;
            n->end = NODE_COMPLIANT;
            e->fleet.nodes[pn->node].patched = true;
        } else {
            n->counted_open = true;
            e->waves[pn->wave].open++;
        }
    }
}

/* Whose turn comes when: receivers that are drained late are preferred, as in the plan. */
static void init_turns(struct engine *e)
{
    uint32_t turn = 0;

    for (uint32_t w = 0; w < e->plan->n_waves; w++)
        for (uint32_t i = 0; i < e->plan->waves[w].n_nodes; i++)
            e->fleet.nodes[e->plan->nodes[e->plan->waves[w].nodes[i]].node].due = ++turn;
}

/* Nodes that the plan refuses take no part, and say why. */
static void init_refusals(struct engine *e)
{
    for (uint32_t i = 0; i < e->plan->n_refusals; i++) {
        struct engine_node *n = &e->nodes[e->plan->refusals[i].node];

        if (n->plan_ix != IX_NONE && n->wave != IX_NONE)
            continue;
        n->phase = NODE_ENDED;
        n->end = NODE_NOT_STARTED;
        FILL(n->reason, SAY(e, "%s: %s", e->plan->refusals[i].rule, e->plan->refusals[i].reason));
    }
}

static void init_clusters(struct engine *e)
{
    for (uint32_t i = 0; i < e->inv->n_clusters; i++) {
        struct engine_cluster *c = &e->clusters[i];

        c->ix = i;
        c->seen_at = c->moved_at = c->settings_at = -1;
        c->timer = (struct timer){ .kind = TIMER_CLUSTER, .of = c };
        c->in_scope = false;
    }
    for (uint32_t i = 0; i < e->plan->n_nodes; i++)
        e->clusters[e->inv->nodes[e->plan->nodes[i].node].cluster].in_scope = true;
}

/* Until a picture says otherwise they are as they were planned. */
static void init_vms(struct engine *e)
{
    for (uint32_t i = 0; i < e->inv->n_vms; i++)
        e->vms[i].down_before = e->inv->vms[i].state != VM_RUNNING;
}

static bool engine_alloc(struct engine *e)
{
    uint32_t nodes = e->inv->n_nodes, clusters = e->inv->n_clusters;
    size_t targets = (size_t)nodes + clusters;

    e->n_vms = e->fleet.vms.n;
    e->nodes = calloc(nodes + 1, sizeof *e->nodes);
    e->clusters = calloc(clusters + 1, sizeof *e->clusters);
    e->vms = calloc(e->n_vms + 1, sizeof *e->vms);
    e->waves = calloc(e->plan->n_waves + 1, sizeof *e->waves);
    e->slots_used = calloc(nodes + 1, sizeof *e->slots_used);
    e->seen = calloc(nodes + 1, sizeof *e->seen);
    e->baseline = calloc(targets * e->rollout->n_gates + 1, sizeof *e->baseline);
    e->stamps = calloc(targets * e->rollout->n_gates + 1, sizeof *e->stamps);
    return e->nodes != NULL && e->clusters != NULL && e->vms != NULL && e->waves != NULL &&
           e->slots_used != NULL && e->seen != NULL && e->baseline != NULL && e->stamps != NULL;
}

int engine_new(const struct plan *plan, struct engine **ret_engine, struct err *err)
{
    struct engine *e = calloc(1, sizeof *e);
    int rc;

    if (e == NULL)
        return err_set(err, ERR_NOMEM, "engine");
    e->revision = engine_revision;
    e->plan = plan;
    e->inv = plan->inv;
    e->rollout = plan->rollout;
    e->state = RUN_APPROVED; /* an engine is made for an approved plan */
    e->ending = e->held_state = RUN_RUNNING;
    e->approval_expires = e->window_at = TIME_NEVER;
    e->rollback_wave = IX_NONE;
    e->deviations_allowed = e->rollout->policy.deviations_max;
    e->run_timer.kind = TIMER_RUN;
    rc = fleet_init(&e->fleet, plan->inv, err);
    if (rc == 0)
        rc = predictor_new(plan->inv, &e->predictor, err);
    if (rc == 0 && !engine_alloc(e))
        rc = err_set(err, ERR_NOMEM, "engine");
    if (rc != 0) {
        engine_free(e);
        return rc;
    }
    memset(e->seen, SEEN_UNKNOWN, plan->inv->n_nodes);
    init_nodes(e);
    init_vms(e);
    init_turns(e);
    init_refusals(e);
    init_clusters(e);
    *ret_engine = e;
    return 0;
}

static void free_op(struct op *op)
{
    buf_clear(&op->args);
    buf_clear(&op->precondition);
    free(op);
}

static void free_lists(struct engine *e)
{
    for (uint32_t i = 0; e->nodes != NULL && i < e->inv->n_nodes; i++) {
        list_clear(&e->nodes[i].moves);
        list_clear(&e->nodes[i].parks);
        arena_clear(&e->nodes[i].facts_arena);
    }
    for (uint32_t i = 0; e->clusters != NULL && i < e->inv->n_clusters; i++) {
        list_clear(&e->clusters[i].members);
        list_clear(&e->clusters[i].waiters);
    }
    for (uint32_t i = 0; i < e->ops.n; i++)
        free_op(e->ops.items[i]);
    for (uint32_t i = 0; i < e->ops_free.n; i++)
        free_op(e->ops_free.items[i]);
    for (uint32_t i = 0; i < e->asks.n; i++)
        free(e->asks.items[i]);
    for (uint32_t i = 0; i < e->gate_runs.n; i++)
        free(e->gate_runs.items[i]);
    list_clear(&e->ops);
    list_clear(&e->ops_free);
    list_clear(&e->asks);
    list_clear(&e->asks_free);
    list_clear(&e->gate_runs);
    list_clear(&e->loads);
    list_clear(&e->dirty);
    list_clear(&e->rows_open);
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    free_lists(e);
    timer_heap_clear(&e->timers);
    drain_proof_clear(&e->proof);
    ledger_clear(&e->ledger);
    predictor_free(e->predictor);
    fleet_clear(&e->fleet);
    for (int i = 0; i < 4; i++)
        buf_clear(&e->scratch[i]);
    free(e->prefer);
    free(e->nodes);
    free(e->clusters);
    free(e->vms);
    free(e->waves);
    free(e->slots_used);
    free(e->seen);
    free(e->baseline);
    free(e->stamps);
    free(e);
}

/* events */

/* Every op id that this run may need has a place in ID_TEXT_MAX. */
static bool ids_fit(const struct engine *e, const char *run)
{
    struct op_id id;

    for (uint32_t i = 0; i < e->inv->n_nodes; i++)
        if (op_id_make(run, e->inv->nodes[i].id, 99, "unpark_vm", "00000000-0000-4000-8000-000000000000", 999,
                       &id, NULL) != 0)
            return false;
    return true;
}

static int check_run(const struct engine *e, const char *run, const char *plan_hash, struct err *err)
{
    if (strcmp(plan_hash, e->plan->hash) != 0)
        return err_set(err, ERR_INVALID, "the run is bound to plan %s, not to %s", plan_hash, e->plan->hash);
    if (!id_is_name(run))
        return err_set(err, ERR_INVALID, "`%s` is no name for a run", run);
    if (!ids_fit(e, run))
        return err_set(err, ERR_INVALID, "the names of run `%s` and of its nodes are too long together", run);
    return 0;
}

static int on_run_start(struct engine *e, const struct event *ev, struct err *err)
{
    int rc;

    if (ev->u.run_start.revision != e->revision)
        return err_set(err, ERR_INVALID,
                       "the run was started by engine revision %u, this is %u: takeover goes on",
                       (unsigned)ev->u.run_start.revision, (unsigned)e->revision);
    rc = check_run(e, ev->u.run_start.run, ev->u.run_start.plan_hash, err);
    if (rc != 0)
        return rc;
    FILL(e->run, ev->u.run_start.run);
    FILL(e->controller, ev->u.run_start.controller);
    e->epoch = ev->u.run_start.epoch;
    e->approval_expires = ev->u.run_start.approval_expires;
    e->started = e->moved_at = e->controller_at = e->now;
    run_to(e, RUN_RUNNING);
    claim_all(e);
    if (e->plan->n_waves > 0) {
        wave_begin(e, 0);
    } else {
        FILL(e->end_text, "the plan has nothing to do");
        run_end(e, RUN_FINISHED);
    }
    return 0;
}

static int on_controller_start(struct engine *e, const struct event *ev, struct err *err)
{
    if (ev->u.controller_start.revision != e->revision)
        return err_set(err, ERR_STATE, "this is engine revision %u, the run has %u: takeover goes on",
                       (unsigned)ev->u.controller_start.revision, (unsigned)e->revision);
    if (ev->u.controller_start.epoch <= e->epoch)
        return err_set(err, ERR_STATE, "epoch %llu is not above %llu (C.6)",
                       (unsigned long long)ev->u.controller_start.epoch, (unsigned long long)e->epoch);
    recover_start(e, ev);
    return 0;
}

static int on_handover(struct engine *e, const struct event *ev, struct err *err)
{
    uint64_t before = ev->u.handover.state->log.epoch;
    int rc;

    if (ev->u.handover.revision != e->revision)
        return err_set(err, ERR_INVALID,
                       "the run was taken over by engine revision %u, this is %u: takeover goes on",
                       (unsigned)ev->u.handover.revision, (unsigned)e->revision);
    if (ev->u.handover.epoch <= before)
        return err_set(err, ERR_STATE, "epoch %llu is not above %llu (C.6)",
                       (unsigned long long)ev->u.handover.epoch, (unsigned long long)before);
    rc = check_run(e, ev->u.handover.run, ev->u.handover.plan_hash, err);
    return rc != 0 ? rc : handover_take(e, ev, err);
}

static int on_controller_stop(struct engine *e, const struct event *ev, struct err *err)
{
    const char *why =
        ev->u.controller_stop.reason == NULL ? "the controller was stopped" : ev->u.controller_stop.reason;

    (void)err;
    e->stopped = true;
    e->at_rest = false;
    run_rest(e, SAY(e, "%s; resume goes on", why));
    return 0;
}

static int of_node(const struct engine *e, const struct event *ev, struct err *err)
{
    if (ev->node == IX_NONE || ev->node >= e->inv->n_nodes ||
        !e->clusters[e->nodes[ev->node].cluster].in_scope)
        return err_set(err, ERR_INVALID, "%s names no node of the run", event_type_name(ev->type));
    return 0;
}

static int on_claimed(struct engine *e, const struct event *ev, struct err *err)
{
    int rc = of_node(e, ev, err);

    if (rc == 0)
        claim_on_claimed(e, ev);
    return rc;
}

static int on_refused(struct engine *e, const struct event *ev, struct err *err)
{
    int rc = of_node(e, ev, err);

    if (rc == 0)
        claim_on_refused(e, ev);
    return rc;
}

static int on_lost(struct engine *e, const struct event *ev, struct err *err)
{
    int rc = of_node(e, ev, err);

    if (rc == 0)
        claim_on_lost(e, ev);
    return rc;
}

static int on_observed(struct engine *e, const struct event *ev, struct err *err)
{
    int rc = of_node(e, ev, err);

    if (rc == 0)
        ask_on_observed(e, ev);
    return rc;
}

static int on_op_result(struct engine *e, const struct event *ev, struct err *err)
{
    int rc = of_node(e, ev, err);

    if (rc == 0)
        op_on_record(e, ev->node, &ev->u.op_result.record);
    return rc;
}

static int on_staged(struct engine *e, const struct event *ev, struct err *err)
{
    int rc = of_node(e, ev, err);

    if (rc == 0)
        node_staged(e, ev);
    return rc;
}

static int on_verb(struct engine *e, const struct event *ev, struct err *err)
{
    int rc = ev->node == IX_NONE ? 0 : of_node(e, ev, err);

    return rc == 0 ? verb_do(e, ev, err) : rc;
}

static int on_timeout(struct engine *e, const struct event *ev, struct err *err)
{
    (void)e, (void)ev, (void)err;
    return 0; /* timers fire after every event */
}

static int (*const handlers[EVENT_TYPES])(struct engine *, const struct event *, struct err *) = {
    [EV_RUN_START] = on_run_start,
    [EV_CONTROLLER_START] = on_controller_start,
    [EV_HANDOVER] = on_handover,
    [EV_CONTROLLER_STOP] = on_controller_stop,
    [EV_NODE_CLAIMED] = on_claimed,
    [EV_NODE_REFUSED] = on_refused,
    [EV_NODE_LOST] = on_lost,
    [EV_OBSERVED] = on_observed,
    [EV_OP_RESULT] = on_op_result,
    [EV_STAGED] = on_staged,
    [EV_VERB] = on_verb,
    [EV_TIMEOUT] = on_timeout,
};

static void fire(struct engine *e, struct timer *t)
{
    switch ((enum timer_kind)t->kind) {
    case TIMER_OP:
        op_timeout(e, t->of);
        break;
    case TIMER_ASK:
        ask_timeout(e, t->of);
        break;
    case TIMER_NODE:
        node_drive(e, t->of);
        break;
    case TIMER_LINK:
        claim_link_timeout(e, t->of);
        break;
    case TIMER_CLUSTER:
        cluster_timeout(e, t->of);
        break;
    case TIMER_GATE:
        gate_timeout(e, t->of);
        break;
    case TIMER_RUN:
        run_timeout(e);
        break;
    }
}

#define FIRED_MAX 10000000
#define ROUNDS_MAX 10000 /* of one step; more is a bug, not a big fleet */

/* Until nothing more follows from this event at this moment. */
static void settle(struct engine *e)
{
    enum run_state before, ending;
    struct timer *t;
    uint32_t rounds = 0, fired = 0;

    do {
        while (!e->stopped && (t = timer_take(&e->timers, e->now)) != NULL && ++fired < FIRED_MAX)
            fire(e, t);
        if (!e->stopped)
            schedule_all(e);
        before = e->state;
        ending = e->ending;
        run_check(e);
    } while (!e->stopped && ++rounds < ROUNDS_MAX &&
             (e->dirty.n > 0 || e->clusters_dirty || e->state != before || e->ending != ending ||
              timer_next(&e->timers) <= e->now));
    if (rounds >= ROUNDS_MAX || fired >= FIRED_MAX)
        e->bug = true;
}

/* What may come now at all; nothing has changed yet. */
static int check_order(const struct engine *e, const struct event *ev, struct err *err)
{
    bool first = ev->type == EV_RUN_START || ev->type == EV_HANDOVER;

    if (e->nomem || e->bug)
        return err_set(err, ERR_INTERNAL, "the engine is broken: rebuild it from the log");
    if (first != (e->state == RUN_APPROVED))
        return err_set(err, ERR_STATE, first ? "the run has started already" : "the run has not started");
    if (e->stopped && ev->type != EV_CONTROLLER_START)
        return err_set(err, ERR_STATE, "this controller has stopped%s%s",
                       e->fence_text[0] == '\0' ? "" : ": ", e->fence_text);
    return 0;
}

/* A timer that is overdue by a minute says that nobody was there to hear it: the machine slept, the process was stopped. */
static void found_asleep(struct engine *e)
{
    if (!e->stopped && timer_next(&e->timers) < e->now - MINUTE_MS)
        e->woke_at = e->now;
}

int engine_step(struct engine *e, const struct event *ev, struct command_list *out, struct err *err)
{
    time_ms before = e->now, woke = e->woke_at;
    int rc = check_order(e, ev, err);

    if (rc != 0)
        return rc;
    e->out = out;
    e->now = ev->at > e->now ? ev->at : e->now; /* never backwards */
    found_asleep(e);
    rc = handlers[ev->type](e, ev, err);
    if (rc != 0) {
        e->now = before;
        e->woke_at = woke;
        return rc;
    }
    settle(e);
    if (e->nomem)
        return err_set(err, ERR_NOMEM, "engine");
    return e->bug ? err_set(err, ERR_INTERNAL, "engine: a step without end, or an id of wrong form") : 0;
}

void engine_be(struct engine *e, uint32_t revision)
{
    e->revision = revision;
}

time_ms engine_deadline(const struct engine *e)
{
    return e->stopped ? TIME_NEVER : timer_next(&e->timers);
}
