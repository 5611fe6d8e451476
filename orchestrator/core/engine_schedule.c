/* Admission: may this node go out now? Every condition in the order in which it is judged (docs/rules.md; I2 to I14). */
#include "orchestrator/core/clock.h"
#include "orchestrator/core/engine_state.h"

#include <string.h>

#define RECHECK_MS (60 * SECOND_MS)
#define GIVE_UP_MS (30 * MINUTE_MS)
#define SAMPLE_APART_MS (30 * SECOND_MS)
#define QUARANTINE_MS (65 * MINUTE_MS) /* O14: three departures within an hour would quarantine the node */

/* What an obstacle stops. */
enum admit {
    ADMIT_YES,
    ADMIT_NOT_NODE,    /* the next one may go */
    ADMIT_NOT_CLUSTER, /* none of it */
    ADMIT_LATER        /* ends by itself: no reason to give up */
};

bool over_budget(const struct engine *e)
{
    const struct engine_wave *w = &e->waves[e->wave];

    if (e->state == RUN_ROLLING_BACK)
        return false;
    return w->failures + w->unknown > e->rollout->policy.failures_per_wave ||
           e->failures + e->unknown > e->rollout->policy.failures_per_run;
}

bool run_may_start(const struct engine *e)
{
    if (e->stopped || e->ending != RUN_RUNNING || over_budget(e))
        return false;
    return e->state == RUN_ROLLING_BACK ||
           (e->state == RUN_RUNNING && e->waves[e->wave].state == WAVE_RUNNING);
}

void round_clear(struct engine *e)
{
    for (uint32_t i = 0; i < e->inv->n_clusters; i++) {
        e->clusters[i].members.n = 0;
        e->clusters[i].refused_since = 0;
    }
}

void round_add(struct engine *e, struct engine_node *n)
{
    uint32_t *ix = list_push(&e->clusters[n->cluster].members);

    if (ix == NULL)
        e->nomem = true;
    else
        *ix = n->ix;
}

static uint32_t vms_of(const struct engine *e, uint32_t cluster)
{
    return e->inv->clusters[cluster].n_vms + (e->fleet.vms.n - e->inv->n_vms);
}

/* The i-th VM of a cluster: those of the inventory, then newcomers of any cluster. */
static uint32_t vm_at(const struct engine *e, uint32_t cluster, uint32_t i)
{
    const struct cluster *c = &e->inv->clusters[cluster];

    return i < c->n_vms ? c->vms[i] : e->inv->n_vms + (i - c->n_vms);
}

static enum admit wait(struct engine *e, struct engine_node *n, enum admit what, const char *why)
{
    node_waits(e, n, why);
    return what;
}

static enum admit check_caps(struct engine *e, struct engine_cluster *c, struct engine_node *n)
{
    uint32_t cap = e->inv->clusters[c->ix].max_out, fleet = e->rollout->policy.max_out_fleet;

    if (c->out >= cap)
        return wait(e, n, ADMIT_NOT_CLUSTER, SAY(e, "C9: %u nodes of the cluster are out", c->out));
    if (e->out_all >= fleet) {
        c->shared = true;
        return wait(e, n, ADMIT_NOT_CLUSTER, SAY(e, "C9: %u nodes of the fleet are out", e->out_all));
    }
    return ADMIT_YES;
}

static dur_ms life_p95(const struct engine *e, const struct engine_node *n)
{
    const struct predictor *p = e->predictor;
    dur_ms life = 0, moves = 0;
    uint32_t slots = e->inv->clusters[n->cluster].migrations_parallel;

    for (int s = PREDICT_PAUSE; s < PREDICT_STEPS; s++)
        if (s != (n->back ? PREDICT_INSTALL : PREDICT_REMOVE) &&
            (e->inv->clusters[n->cluster].storage == STORAGE_S2D ||
             (s != PREDICT_STORAGE && s != PREDICT_RESYNC)))
            life += predict_step(p, n->ix, (enum predict_step)s).p95;
    for (uint32_t i = 0; i < vms_of(e, n->cluster); i++) {
        uint32_t vm = vm_at(e, n->cluster, i);

        if (e->fleet.vms.items[vm].at == n->ix && !e->fleet.vms.items[vm].gone)
            moves += predict_move(p, &e->fleet, vm).p95;
    }
    return life + moves / slots;
}

/* I14: for the P95 of the node's whole life. */
static enum admit check_window(struct engine *e, struct engine_node *n)
{
    dur_ms life = life_p95(e, n);
    const char *why = NULL;
    time_ms at;

    /* the removal of a rehearsal is no rollback: it is as planned as the install before it (O14) */
    if (n->in_rollback &&
        rollout_waives(e->rollout, "rollback_outside_window", e->inv->clusters[n->cluster].id)) {
        if (e->approval_expires == TIME_NEVER || e->now + life <= e->approval_expires)
            return ADMIT_YES;
        at = TIME_NEVER;
        why = "the approval expires before";
    } else {
        at = clock_opens(e->rollout, e->now, life, e->approval_expires, &why);
    }
    if (at == e->now)
        return ADMIT_YES;
    e->window_blocked = true;
    e->window_at = at < e->window_at ? at : e->window_at;
    return wait(e, n, ADMIT_NOT_CLUSTER, SAY(e, "I14: %s", why));
}

/* I2: the capacity of whoever may receive is part of the fresh picture. Asked all at once. */
static enum admit check_receivers(struct engine *e, const struct engine_cluster *c, struct engine_node *n)
{
    const struct cluster *ic = &e->inv->clusters[c->ix];
    enum admit found = ADMIT_YES;

    for (uint32_t i = 0; i < ic->n_nodes; i++) {
        struct engine_node *other = &e->nodes[ic->nodes[i]];
        bool old = other->facts_at == 0 || e->now - other->facts_at > e->rollout->policy.fresh_ms;

        if (!other->claimed || node_in_flight(other) || !fleet_receives(&e->fleet, other->ix) || !old)
            continue;
        if (other->facts_failed)
            found = wait(e, n, ADMIT_NOT_CLUSTER, SAY(e, "I2: %s tells no facts", node_id(e, other)));
        else if (found == ADMIT_YES)
            found = wait(e, n, ADMIT_LATER, "fresh facts of the receivers");
        if (other->ask != NULL || (other->facts_failed && e->now - other->facts_asked < RECHECK_MS))
            continue;
        other->facts_asked = e->now;
        ask_node(e, other, OBSERVE_FACTS);
    }
    return found;
}

static enum admit check_fresh(struct engine *e, struct engine_cluster *c, struct engine_node *n)
{
    if (e->now - n->before.at > e->rollout->policy.fresh_ms) {
        ask_node(e, n, OBSERVE_FACTS);
        return wait(e, n, ADMIT_LATER, "fresh facts of the node");
    }
    if (!cluster_fresh(e, c) || c->seen_at < c->changed_at) {
        cluster_want(e, c);
        return wait(e, n, ADMIT_LATER,
                    c->why[0] == '\0' ? "a fresh picture of the cluster"
                                      : SAY(e, "a picture of the cluster: %s", c->why));
    }
    return ADMIT_YES;
}

/* O26, O20, O7: look again, refuse by name. */
static enum admit check_cluster(struct engine *e, struct engine_cluster *c, struct engine_node *n)
{
    if (c->stretched)
        return wait(e, n, ADMIT_NOT_CLUSTER, "O26: the cluster is stretched, which is not supported yet");
    if (c->busy[0] != '\0')
        return wait(e, n, ADMIT_NOT_CLUSTER, SAY(e, "O26: %s", c->busy));
    if (e->now < c->held_until)
        return wait(e, n, ADMIT_LATER, "O26: a VM was moved by somebody else");
    if (c->loads > 0)
        return wait(e, n, ADMIT_LATER, "O15: evidence loads on their way");
    if (c->strangers > 0)
        return wait(e, n, ADMIT_NOT_CLUSTER,
                    "O26: a VM migrates that nobody here moves: where it lands nobody says");
    if (c->witness_bad)
        return wait(e, n, ADMIT_NOT_CLUSTER, "O20: the quorum witness is not online");
    if (e->seen[n->ix] != SEEN_UP)
        return wait(e, n, ADMIT_NOT_NODE, "O7: the node is not Up in its cluster");
    if (!cluster_clean(e, c)) {
        if (e->now - c->seen_at >= SAMPLE_APART_MS) /* else as fast as it answers */
            cluster_want(e, c);
        return wait(e, n, ADMIT_NOT_CLUSTER, "O21: storage clean in two samples 30 s apart");
    }
    return ADMIT_YES;
}

/* I2, I3: what another drain of the cluster promised a VM may not hold any more, and one that was given up leaves VMs on a node that
 * is out. Where they go is decided first. */
static bool is_left(const struct engine *e, const struct engine_node *other, const struct node_move *m)
{
    const struct fleet_vm *v = &e->fleet.vms.items[m->vm];

    if (v->gone || v->at != other->ix)
        return false;
    if (m->state == MOVE_PENDING && other->phase == NODE_DRAINING)
        return other->go_home || vm_cannot_move(&e->fleet, v, m->to) != NULL;
    return m->state == MOVE_GIVEN_UP;
}

static enum admit check_promises(struct engine *e, const struct engine_cluster *c, struct engine_node *n)
{
    const struct cluster *ic = &e->inv->clusters[c->ix];

    for (uint32_t i = 0; i < ic->n_nodes; i++) {
        const struct engine_node *other = &e->nodes[ic->nodes[i]];

        for (uint32_t k = 0; other->counted_out && node_in_flight(other) && k < other->moves.n; k++)
            if (is_left(e, other, &other->moves.items[k]))
                return wait(e, n, ADMIT_LATER, "C2: the VMs of a drain before it have no place yet");
    }
    return ADMIT_YES;
}

static enum admit check_spacing(struct engine *e, struct engine_node *n)
{
    if (n->rebooted[0] == 0 || e->now >= n->rebooted[0] + QUARANTINE_MS)
        return ADMIT_YES;
    return wait(e, n, ADMIT_LATER,
                "O14: the cluster would quarantine the node for a third departure within an hour");
}

static enum admit check_vms(struct engine *e, struct engine_node *n)
{
    n->former_mib = 0;
    for (uint32_t i = 0; i < vms_of(e, n->cluster); i++) {
        const struct fleet_vm *v = &e->fleet.vms.items[vm_at(e, n->cluster, i)];

        if (v->at != n->ix || v->gone || v->vm.state != VM_RUNNING)
            continue;
        n->former_mib += v->vm.assigned_mib;
        if (v->vm.busy != VM_IDLE)
            return wait(e, n, ADMIT_NOT_NODE, SAY(e, "O26: VM %s is busy", v->vm.id));
    }
    return ADMIT_YES;
}

const char *over_moves(struct engine *e, const struct engine_node *n)
{
    for (uint32_t i = 0; i < e->proof.moves.n; i++) {
        uint32_t vm = e->proof.moves.items[i].vm;
        uint32_t made = n->back ? e->vms[vm].moves_back : e->fleet.vms.items[vm].moves;
        uint32_t most = n->back ? e->rollout->policy.rollback_moves_per_vm : e->rollout->policy.moves_per_vm;

        if (made >= most && !n->rehearse)
            return SAY(e, "I10: VM %s has been moved %u times", e->fleet.vms.items[vm].vm.id, made);
    }
    return NULL;
}

/* O18: set before the first drain of the cluster, once everything else allows it. */
static enum admit check_settings(struct engine *e, struct engine_cluster *c, struct engine_node *n)
{
    bool refused;
    const char *why = settings_before_drain(e, c, &refused);

    if (why == NULL)
        return ADMIT_YES;
    return wait(e, n, refused ? ADMIT_NOT_CLUSTER : ADMIT_LATER, why);
}

static enum admit check_proof(struct engine *e, struct engine_cluster *c, struct engine_node *n)
{
    const char *why;

    if (!drain_prove(e, n)) {
        c->shared |= e->proof.rule != NULL && strcmp(e->proof.rule, "C9") == 0;
        return wait(e, n, ADMIT_NOT_NODE,
                    SAY(e, "%s: %s", e->proof.rule == NULL ? "C2" : e->proof.rule, e->proof.reason));
    }
    why = over_moves(e, n);
    if (why != NULL)
        return wait(e, n, ADMIT_NOT_NODE, why);
    return ADMIT_YES;
}

static uint32_t planned_target(const struct engine *e, const struct engine_node *n, uint32_t vm)
{
    const struct plan_node *pn = &e->plan->nodes[n->plan_ix];

    for (uint32_t i = 0; i < pn->n_moves; i++)
        if (pn->moves[i].vm == vm)
            return pn->moves[i].to;
    return IX_NONE;
}

/* A target other than the plan's is a deviation; the log names each (promise 1). */
static uint32_t tell_deviations(struct engine *e, struct engine_node *n, bool out_of_order, bool count_only)
{
    uint32_t found = 0;

    if (n->back || n->rehearsal > 0 || n->attempt > 1)
        return 0;
    for (uint32_t i = 0; i < e->proof.moves.n; i++) {
        const struct drain_move *m = &e->proof.moves.items[i];

        if (planned_target(e, n, m->vm) == m->to)
            continue;
        found++;
        if (!count_only)
            deviation(e, "C2", n->ix,
                      SAY(e, "VM %s goes to %s: proved anew on fresh facts", e->fleet.vms.items[m->vm].vm.id,
                          e->inv->nodes[m->to].id));
    }
    if (out_of_order) {
        found++;
        if (!count_only)
            deviation(e, "C9", n->ix, "starts before a node that the plan has first");
    }
    return found;
}

static void admit(struct engine *e, struct engine_cluster *c, struct engine_node *n)
{
    drain_take_proof(e, n, &e->proof);
    node_own_life(n);
    n->counted_out = true;
    n->out_since = e->now;
    n->out_until = 0;
    n->csv_bad = c->csv_bad;
    n->reboot_sent = n->reboot_due = false;
    e->fleet.nodes[n->ix].out |= OUT_OURS;
    e->fleet.nodes[n->ix].receives = false;
    c->out++;
    e->out_all++;
    c->refused_since = 0;
    c->changes++;
    node_to(e, n, NODE_DRAINING);
    node_drive(e, n);
}

/* The run holds before such a start and says how far it would go: so far `resume` lets it. */
static bool deviates_too_far(struct engine *e, struct engine_node *n, bool out_of_order)
{
    uint32_t after = e->deviations + tell_deviations(e, n, out_of_order, true);

    if (after <= e->deviations_allowed)
        return false;
    e->deviations_asked = after;
    run_hold(e, HOLD_DEVIATIONS,
             SAY(e, "%s would need more deviations than the plan allows (%u): %u", node_id(e, n),
                 e->deviations_allowed, after));
    return true;
}

static enum admit judge(struct engine *e, struct engine_cluster *c, struct engine_node *n, bool out_of_order)
{
    enum admit a = check_caps(e, c, n);

    a = a == ADMIT_YES ? check_window(e, n) : a;
    a = a == ADMIT_YES ? check_spacing(e, n) : a;
    a = a == ADMIT_YES ? check_receivers(e, c, n) : a;
    a = a == ADMIT_YES ? check_fresh(e, c, n) : a;
    a = a == ADMIT_YES ? check_cluster(e, c, n) : a;
    if (a == ADMIT_YES && c->refused_changes == c->changes)
        return ADMIT_NOT_CLUSTER; /* nothing has changed since the last refusal */
    a = a == ADMIT_YES ? check_promises(e, c, n) : a;
    a = a == ADMIT_YES ? check_vms(e, n) : a;
    a = a == ADMIT_YES ? check_proof(e, c, n) : a;
    if (a == ADMIT_YES && deviates_too_far(e, n, out_of_order))
        return ADMIT_NOT_CLUSTER;
    return a == ADMIT_YES ? check_settings(e, c, n) : a;
}

/* Nothing of the cluster is on its way, nor anything elsewhere that it waits for, and the refusal stands: its turn never comes. */
static void give_up(struct engine *e, struct engine_cluster *c)
{
    c->refused_since = 0; /* whose turn comes next, or once more, is refused for as long again */
    for (uint32_t i = 0; i < c->members.n; i++) {
        struct engine_node *n = &e->nodes[c->members.items[i]];

        if (node_ready(n))
            node_end(e, n, unbegun_end(e, n), c->refusal);
    }
}

static bool moving(const struct engine *e, const struct engine_cluster *c)
{
    const struct cluster *ic = &e->inv->clusters[c->ix];

    for (uint32_t i = 0; i < ic->n_nodes; i++)
        if (node_in_flight(&e->nodes[ic->nodes[i]]))
            return true;
    return false;
}

/* I28: what is refused is looked at again. */
static void look_again(struct engine *e, struct engine_cluster *c)
{
    if (c->timer.pos == 0)
        engine_timer(e, &c->timer, e->now + (cluster_clean(e, c) ? RECHECK_MS : SAMPLE_APART_MS));
}

/* Nobody has judged it for a while, since nobody was there, or no node in reach: the refusal does not stand since then. */
static bool not_judged(const struct engine *e, const struct engine_cluster *c)
{
    return e->now - c->refused_at > 2 * e->rollout->policy.fresh_ms + RECHECK_MS;
}

static void refused(struct engine *e, struct engine_cluster *c)
{
    c->refused_changes = c->changes;
    if (moving(e, c) || (c->shared && e->in_flight > 0) || e->window_blocked || e->state == RUN_HOLDING) {
        c->refused_since = 0;
    } else if (c->refused_since == 0 || not_judged(e, c)) {
        c->refused_since = e->now;
    } else if (e->now - c->refused_since >= GIVE_UP_MS) {
        give_up(e, c);
        return;
    }
    c->refused_at = e->now;
    if (e->window_blocked)
        return; /* the window's own timer leads on */
    c->wanted = true;
    look_again(e, c);
}

/* The plan's batch of this cluster that has nodes out now; IX_NONE: none. */
static uint32_t batch_out(const struct engine *e, const struct engine_cluster *c)
{
    uint32_t batch = IX_NONE;

    for (uint32_t i = 0; i < c->members.n; i++) {
        const struct engine_node *n = &e->nodes[c->members.items[i]];

        if (node_in_flight(n) && n->batch < batch)
            batch = n->batch;
    }
    return batch;
}

void schedule_cluster(struct engine *e, struct engine_cluster *c)
{
    bool out_of_order = false, waiting = false;
    uint32_t batch = batch_out(e, c);

    c->shared &= c->refused_changes == c->changes;
    for (uint32_t i = 0; i < c->members.n && run_may_start(e); i++) {
        struct engine_node *n = &e->nodes[c->members.items[i]];
        enum admit a;

        if (n->phase == NODE_ENDED || node_in_flight(n))
            continue;
        if (batch != IX_NONE && n->batch > batch && !n->back) {
            node_waits(e, n, "the batch before it: its moves count on those nodes");
            break;
        }
        if (!n->claimed) {
            out_of_order = true;
            continue;
        }
        if (!node_ready(n) || n->foreign_op)
            break; /* its turn is before those behind it */
        a = judge(e, c, n, out_of_order);
        if (a == ADMIT_YES) {
            tell_deviations(e, n, out_of_order, false);
            admit(e, c, n);
            batch = n->batch < batch ? n->batch : batch; /* those behind it count on this one too */
            continue;
        }
        if (a == ADMIT_LATER) {
            look_again(e, c);
            return;
        }
        waiting = true;
        out_of_order = true;
        FILL(c->refusal, n->waits);
        if (a == ADMIT_NOT_CLUSTER)
            break;
    }
    if (waiting)
        refused(e, c);
}

static void mark_all(struct engine *e)
{
    e->clusters_dirty = false;
    for (uint32_t i = 0; i < e->inv->n_clusters; i++) {
        struct engine_cluster *c = &e->clusters[i];
        uint32_t *ix;

        if (c->dirty || c->members.n == 0)
            continue;
        ix = list_push(&e->dirty);
        if (ix == NULL) {
            e->nomem = true;
            return;
        }
        *ix = i;
        c->dirty = true;
    }
}

void schedule_all(struct engine *e)
{
    if (e->clusters_dirty)
        mark_all(e);
    for (uint32_t i = 0; i < e->dirty.n; i++) { /* grows while it runs */
        struct engine_cluster *c = &e->clusters[e->dirty.items[i]];

        c->dirty = false;
        schedule_cluster(e, c);
    }
    e->dirty.n = 0;
}
