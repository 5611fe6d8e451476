/* O15: a patched node that carries nothing proves nothing. Before the gate after a wave each of its patched nodes gets
 * some of its VMs back. These moves are proved like others and counted apart. */
#include "orchestrator/core/engine_state.h"

#include <string.h>

struct carried {
    uint64_t mib;
    uint32_t vms;
};

static struct carried carries(const struct engine *e, const struct engine_node *n)
{
    const struct cluster *c = &e->inv->clusters[n->cluster];
    struct carried sum = { 0, 0 };

    for (uint32_t i = 0; i < c->n_vms; i++) {
        const struct fleet_vm *v = &e->fleet.vms.items[c->vms[i]];

        if ((v->at == n->ix || v->moving_to == n->ix) && !v->gone && v->vm.state == VM_RUNNING) {
            sum.mib += v->vm.assigned_mib;
            sum.vms++;
        }
    }
    return sum;
}

static bool enough(const struct engine *e, const struct engine_node *n, struct carried c)
{
    uint32_t vms = e->rollout->policy.evidence_vms_min;

    return c.mib * 100 >= n->former_mib * e->rollout->policy.evidence_percent && c.vms >= vms;
}

/* VMs are taken from nodes in service only: off one that is out, by whosever doing, that would be a part of a drain (I11). */
static bool may_leave(const struct engine *e, uint32_t node)
{
    return e->nodes[node].claimed && fleet_receives(&e->fleet, node);
}

static bool may_load(struct engine *e, const struct engine_node *n, uint32_t vm)
{
    const struct fleet_vm *v = &e->fleet.vms.items[vm];

    if (v->gone || v->parked || v->at == IX_NONE || v->at == n->ix || v->moving_to != IX_NONE)
        return false;
    if (v->vm.state != VM_RUNNING || v->vm.busy != VM_IDLE || v->vm.role != ROLE_NONE || !may_leave(e, v->at))
        return false;
    return vm_cannot_move(&e->fleet, v, n->ix) == NULL &&
           capacity_may_land(&e->fleet, e->rollout, vm, n->ix, &e->nomem) == NULL;
}

/* Not from a node whose own evidence would suffer. */
static bool may_give(const struct engine *e, uint32_t vm)
{
    const struct engine_node *from = &e->nodes[e->fleet.vms.items[vm].at];

    return from->wave != e->wave || from->end != NODE_DONE;
}

static bool same_class(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* The smallest VM that may come, of another class than the one before where there is one. */
static uint32_t pick(struct engine *e, const struct engine_node *n, const char *not_class)
{
    const struct cluster *c = &e->inv->clusters[n->cluster];
    uint32_t best = IX_NONE;
    bool best_other = false;

    for (uint32_t i = 0; i < c->n_vms; i++) {
        const struct fleet_vm *v = &e->fleet.vms.items[c->vms[i]];
        bool other = !same_class(v->vm.sla, not_class);

        if (!may_load(e, n, c->vms[i]) || !may_give(e, c->vms[i]))
            continue;
        if (best == IX_NONE || (other && !best_other) ||
            (other == best_other && v->vm.assigned_mib < e->fleet.vms.items[best].vm.assigned_mib)) {
            best = c->vms[i];
            best_other = other;
        }
    }
    return best;
}

static void load(struct engine *e, const struct engine_node *n, uint32_t vm)
{
    struct engine_load *l = list_push(&e->loads);

    if (l == NULL) {
        e->nomem = true;
        return;
    }
    l->vm = vm;
    l->to = n->ix;
    e->clusters[n->cluster].loads++;
    fleet_promise(&e->fleet, vm, n->ix);
}

/* Beyond the plan, where what was planned was refused or has moved on. */
static void load_node(struct engine *e, const struct engine_node *n)
{
    const char *class_before = NULL;

    while (!e->nomem && !enough(e, n, carries(e, n))) {
        uint32_t vm = pick(e, n, class_before);

        if (vm == IX_NONE)
            return; /* the gate will answer unknown where nothing is carried */
        load(e, n, vm);
        class_before = e->fleet.vms.items[vm].vm.sla;
    }
}

/* A node is back, patched: what the plan gives it, at once. */
void evidence_node(struct engine *e, const struct engine_node *n)
{
    const struct plan_node *pn = &e->plan->nodes[n->plan_ix];

    if (e->state != RUN_RUNNING || e->ending != RUN_RUNNING)
        return;
    for (uint32_t i = 0; i < pn->n_evidence; i++)
        if (may_load(e, n, pn->evidence[i].vm))
            load(e, n, pn->evidence[i].vm);
    evidence_pump(e);
}

static void forget_ended(struct engine *e)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < e->loads.n; i++)
        if (e->loads.items[i].state < MOVE_LANDED)
            e->loads.items[kept++] = e->loads.items[i];
    e->loads.n = kept;
}

void evidence_begin(struct engine *e)
{
    const struct plan_wave *pw = &e->plan->waves[e->wave];

    forget_ended(e);
    for (uint32_t i = 0; i < pw->n_nodes; i++) {
        const struct engine_node *n = &e->nodes[e->plan->nodes[pw->nodes[i]].node];

        if (n->end == NODE_DONE)
            load_node(e, n);
    }
    evidence_pump(e);
}

static void load_end(struct engine *e, struct engine_load *l, enum move_state state)
{
    struct engine_cluster *c = &e->clusters[e->nodes[l->to].cluster];

    l->state = state;
    assert(c->loads > 0);
    c->loads--;
    cluster_dirty(e, c); /* its next node waited for this */
}

static void drop(struct engine *e, struct engine_load *l)
{
    load_end(e, l, MOVE_GIVEN_UP);
    fleet_promise(&e->fleet, l->vm, IX_NONE);
}

static bool may_still(const struct engine *e, const struct engine_load *l)
{
    const struct fleet_vm *v = &e->fleet.vms.items[l->vm];

    return !v->gone && v->at != IX_NONE && may_leave(e, v->at) && e->nodes[l->to].claimed &&
           fleet_receives(&e->fleet, l->to);
}

/* Proved on what is, not on what was before a pause. */
static bool fresh(struct engine *e, uint32_t node)
{
    struct engine_cluster *c = &e->clusters[e->nodes[node].cluster];

    if (cluster_fresh(e, c))
        return true;
    cluster_want(e, c);
    return false;
}

/* On the fresh picture: owners and what else decides may have changed since it was chosen (I7). */
static bool lands_still(struct engine *e, const struct engine_load *l)
{
    bool may;

    fleet_promise(&e->fleet, l->vm, IX_NONE); /* asked without its own reservation */
    may = capacity_may_land(&e->fleet, e->rollout, l->vm, l->to, &e->nomem) == NULL;
    fleet_promise(&e->fleet, l->vm, l->to);
    return may;
}

/* The VM of `other` would meet this one where it still is: promised elsewhere it is no conflict to the books. */
static bool meets(struct engine *e, const struct engine_load *l, const struct engine_load *other)
{
    bool met;

    if (other->state >= MOVE_LANDED || e->fleet.vms.items[other->vm].at != l->to)
        return false;
    fleet_promise(&e->fleet, other->vm, IX_NONE);
    met = fleet_conflict(&e->fleet, l->vm, l->to, true) != NULL;
    fleet_promise(&e->fleet, other->vm, other->to);
    return met;
}

/* The load that has to leave first; IX_NONE: none. */
static uint32_t in_the_way(struct engine *e, uint32_t load)
{
    for (uint32_t i = 0; i < e->loads.n; i++)
        if (i != load && meets(e, &e->loads.items[load], &e->loads.items[i]))
            return i;
    return IX_NONE;
}

void evidence_pump(struct engine *e)
{
    bool stopping = e->stopped || e->ending != RUN_RUNNING || e->state == RUN_ROLLING_BACK; /* I12 */

    for (uint32_t i = 0; i < e->loads.n; i++) {
        struct engine_load *l = &e->loads.items[i];
        uint32_t other;

        if (l->state != MOVE_PENDING)
            continue;
        if (stopping || !may_still(e, l)) {
            drop(e, l);
            continue;
        }
        if (e->state != RUN_RUNNING || !fresh(e, l->to))
            continue; /* the picture's arrival leads on */
        if (!lands_still(e, l)) {
            drop(e, l);
        } else if ((other = in_the_way(e, i)) != IX_NONE) {
            if (other > i && e->loads.items[other].state == MOVE_PENDING)
                drop(e, l); /* it may wait for this one in turn */
        } else if (move_may_start(e, l->vm, l->to)) {
            l->state = MOVE_FLYING;
            move_start(e, l->vm, l->to, false, true);
        } else if (e->clusters[e->nodes[l->to].cluster].strangers > 0) {
            cluster_want_later(e, &e->clusters[e->nodes[l->to].cluster]);
        }
    }
}

void evidence_ended(struct engine *e, const struct op_end *end)
{
    for (uint32_t i = 0; i < e->loads.n; i++)
        if (e->loads.items[i].vm == end->vm && e->loads.items[i].state == MOVE_FLYING)
            load_end(e, &e->loads.items[i], end->ok ? MOVE_LANDED : MOVE_GIVEN_UP);
    /* It may be on its way, and not by this op: until it is seen again (I10). */
    if (strcmp(end->code, "busy") == 0)
        e->clusters[e->nodes[end->receiver].cluster].strangers++;
    if (!end->ok)
        engine_note(e, NOTE_WARNING, "O15", end->receiver,
                    SAY(e, "evidence load refused: %s %s", end->code, end->text));
    evidence_pump(e);
}

bool evidence_done(const struct engine *e)
{
    for (uint32_t i = 0; i < e->loads.n; i++)
        if (e->loads.items[i].state == MOVE_FLYING ||
            (e->loads.items[i].state == MOVE_PENDING && e->ending == RUN_RUNNING))
            return false;
    return true;
}
