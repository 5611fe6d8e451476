/* Draining and returning one node in thought. */
#include "orchestrator/core/plan_own.h"

#include <string.h>

#define EVIDENCE_TRIES 16

static struct plan_move move_of(const struct planner *pl, uint32_t vm, uint32_t to, bool unproved, bool early)
{
    return (struct plan_move){ vm,
                               to,
                               predict_move(pl->predictor, &pl->fleet, vm),
                               predict_blackout(pl->predictor, &pl->fleet, vm),
                               unproved,
                               early };
}

/* The cluster's migration slots share its bandwidth: transfers add up, what is
 * fixed about a migration does not; nothing ends before the longest. */
static struct estimate drain_time(const struct planner *pl, const struct drain_proof *p, uint32_t cluster)
{
    int64_t slots = pl->fleet.health[cluster].migrations_parallel;
    struct estimate sum = { 0 }, fixed = { 0 }, longest = { 0 };

    for (uint32_t i = 0; i < p->moves.n; i++) {
        struct estimate one = predict_move(pl->predictor, &pl->fleet, p->moves.items[i].vm);
        struct estimate sent = predict_transfer(pl->predictor, &pl->fleet, p->moves.items[i].vm);

        sum = estimate_add(sum, sent);
        fixed.p5 += one.p5 - sent.p5;
        fixed.p50 += one.p50 - sent.p50;
        fixed.p95 += one.p95 - sent.p95;
        longest = estimate_max(longest, one);
    }
    sum.p5 += fixed.p5 / slots;
    sum.p50 += fixed.p50 / slots;
    sum.p95 += fixed.p95 / slots;
    return estimate_max(sum, longest);
}

/* Keep the proof in the plan. */
static int record(struct planner *pl, uint32_t node, const struct drain_proof *p)
{
    struct plan_node *x = &pl->of[node].result;

    x->moves = ARENA_ARRAY(pl->arena, struct plan_move, p->moves.n);
    x->parks = ARENA_ARRAY(pl->arena, struct plan_park, p->parks.n);
    if (x->moves == NULL || x->parks == NULL)
        return err_set(pl->err, ERR_NOMEM, "plan a drain");
    x->n_moves = p->moves.n;
    x->n_parks = p->parks.n;
    for (uint32_t i = 0; i < p->moves.n; i++)
        x->moves[i] =
            move_of(pl, p->moves.items[i].vm, p->moves.items[i].to, p->moves.items[i].unproved, false);
    for (uint32_t i = 0; i < p->parks.n; i++)
        x->parks[i] = (struct plan_park){
            p->parks.items[i].vm, p->parks.items[i].method, p->parks.items[i].checkpoint, { 0 }
        };
    x->reached = p->reached;
    x->drain = drain_time(pl, p, pl->inv->nodes[node].cluster);
    return 0;
}

static void put_into_effect(struct planner *pl, uint32_t node)
{
    const struct plan_node *x = &pl->of[node].result;

    pl->fleet.nodes[node].out |= OUT_OURS;
    for (uint32_t i = 0; i < x->n_moves; i++) {
        fleet_promise(&pl->fleet, x->moves[i].vm, x->moves[i].to);
        fleet_arrive(&pl->fleet, x->moves[i].vm, x->moves[i].to);
        pl->fleet.vms.items[x->moves[i].vm].moves++;
    }
    for (uint32_t i = 0; i < x->n_parks; i++)
        fleet_park(&pl->fleet, x->parks[i].vm, true);
}

static bool lands_on_due(const struct planner *pl, const struct drain_proof *p)
{
    for (uint32_t i = 0; i < p->moves.n; i++)
        if (pl->fleet.nodes[p->moves.items[i].to].due > 0)
            return true;
    return false;
}

/* I10: each VM has a number of moves for the whole run. */
static const struct fleet_vm *over_budget(const struct planner *pl, const struct drain_proof *p)
{
    for (uint32_t i = 0; i < p->moves.n; i++)
        if (pl->fleet.vms.items[p->moves.items[i].vm].moves >= pl->r->policy.moves_per_vm)
            return &pl->fleet.vms.items[p->moves.items[i].vm];
    return NULL;
}

static int refuse(struct planner *pl, uint32_t node, const char *rule, const char *reason)
{
    pl->of[node].rule = rule;
    pl->of[node].refusal = arena_str(pl->arena, reason);
    return pl->of[node].refusal == NULL ? err_set(pl->err, ERR_NOMEM, "plan a drain") : 0;
}

int plan_drain(struct planner *pl, uint32_t node, bool settled_only, bool *ret_safe)
{
    struct drain_proof p;
    const struct fleet_vm *tired;
    int rc = capacity_prove_drain(&pl->fleet, pl->r, node, NULL, pl->now, &p, pl->err);

    *ret_safe = false;
    if (rc != 0)
        return rc;
    tired = over_budget(pl, &p);
    if (p.verdict != CAPACITY_SAFE) {
        rc = refuse(pl, node, p.rule, p.reason);
    } else if (tired != NULL) {
        rc = refuse(pl, node, "I10", "a VM would be moved more often than policy.moves_per_vm allows");
    } else if (!settled_only || !lands_on_due(pl, &p)) {
        rc = record(pl, node, &p);
        if (rc == 0)
            put_into_effect(pl, node);
        *ret_safe = rc == 0;
    }
    drain_proof_clear(&p);
    return rc;
}

/* What a node carries now. */
struct load {
    uint64_t mib;
    uint32_t vms;
};

static struct load load_of(const struct planner *pl, uint32_t node)
{
    struct load load = { 0 };

    for (uint32_t i = pl->fleet.nodes[node].first_vm; i != IX_NONE; i = pl->fleet.vms.items[i].next)
        if (vm_holds_memory(&pl->fleet.vms.items[i])) {
            load.mib += vm_demand_mib(&pl->fleet.vms.items[i].vm);
            load.vms++;
        }
    return load;
}

static struct load load_owed(const struct planner *pl, uint32_t node)
{
    const struct plan_node *x = &pl->of[node].result;
    struct load owed = { 0, pl->r->policy.evidence_vms_min };

    for (uint32_t i = 0; i < x->n_moves; i++)
        owed.mib += vm_demand_mib(&pl->fleet.vms.items[x->moves[i].vm].vm);
    owed.mib = owed.mib * pl->r->policy.evidence_percent / 100;
    return owed;
}

static bool was_here(const struct planner *pl, uint32_t node, uint32_t vm)
{
    return pl->inv->vms[vm].home == node;
}

static bool same_class(const struct vm *a, const struct vm *b)
{
    bool same_sla = a->sla == b->sla || (a->sla != NULL && b->sla != NULL && strcmp(a->sla, b->sla) == 0);

    return same_sla && a->priority == b->priority;
}

/* Is this VM better evidence than the best so far? One from a node still to be
 * drained costs nothing: it has to move anyway. */
static bool better_evidence(const struct planner *pl, uint32_t node, uint32_t vm, uint32_t best,
                            uint32_t first)
{
    const struct fleet_vm *a = &pl->fleet.vms.items[vm], *b;
    bool x, y;

    if (best == IX_NONE)
        return true;
    b = &pl->fleet.vms.items[best];
    x = pl->fleet.nodes[a->at].due > 0;
    y = pl->fleet.nodes[b->at].due > 0;
    if (x != y)
        return x;
    if (first != IX_NONE) {
        x = same_class(&a->vm, &pl->fleet.vms.items[first].vm);
        y = same_class(&b->vm, &pl->fleet.vms.items[first].vm);
        if (x != y)
            return y;
    }
    x = was_here(pl, node, vm);
    y = was_here(pl, node, best);
    if (x != y)
        return x;
    return vm_demand_mib(&a->vm) < vm_demand_mib(&b->vm);
}

/* May it leave where it is: not an infrastructure VM, no patched node is robbed of its own evidence, and off a node still to be
 * drained it is one of the moves that it has (I10). */
static bool may_leave(const struct planner *pl, uint32_t node, uint32_t vm)
{
    const struct fleet_vm *v = &pl->fleet.vms.items[vm];
    const struct fleet_node *at;

    if (!vm_holds_memory(v) || v->at == IX_NONE || v->at == node || v->vm.role != ROLE_NONE)
        return false;
    at = &pl->fleet.nodes[v->at];
    if (at->due > 0 && v->moves >= pl->r->policy.moves_per_vm)
        return false;
    return at->out == 0 && (at->due > 0 || load_of(pl, v->at).vms > pl->r->policy.evidence_vms_min);
}

static uint32_t pick_evidence(struct planner *pl, uint32_t node, uint32_t first, const bool *tried)
{
    const struct cluster *c = &pl->inv->clusters[pl->inv->nodes[node].cluster];
    uint32_t best = IX_NONE;

    for (uint32_t i = 0; i < c->n_vms; i++)
        if (!tried[i] && may_leave(pl, node, c->vms[i]) &&
            vm_cannot_move(&pl->fleet, &pl->fleet.vms.items[c->vms[i]], node) == NULL &&
            better_evidence(pl, node, c->vms[i], best, first))
            best = c->vms[i];
    return best;
}

static int add_evidence(struct planner *pl, uint32_t node, uint32_t vm, uint32_t *cap)
{
    struct plan_node *x = &pl->of[node].result;
    const struct fleet_vm *v = &pl->fleet.vms.items[vm];
    bool early;

    if (!plan_grow(pl, &x->evidence, x->n_evidence, cap, sizeof *x->evidence))
        return err_set(pl->err, ERR_NOMEM, "plan an evidence load");
    early = pl->fleet.nodes[v->at].due > 0;
    x->evidence[x->n_evidence++] = move_of(pl, vm, node, false, early);
    if (early) /* the others have a budget of their own */
        pl->fleet.vms.items[vm].moves++;
    fleet_promise(&pl->fleet, vm, node);
    fleet_arrive(&pl->fleet, vm, node);
    return 0;
}

static uint32_t position(const struct cluster *c, uint32_t vm)
{
    uint32_t i = 0;

    while (c->vms[i] != vm)
        i++;
    return i;
}

static int bring_evidence(struct planner *pl, uint32_t node)
{
    const struct cluster *c = &pl->inv->clusters[pl->inv->nodes[node].cluster];
    bool *tried = ARENA_ARRAY(pl->arena, bool, c->n_vms);
    struct load owed = load_owed(pl, node), load = load_of(pl, node);
    uint32_t vm, first = IX_NONE, cap = 0;
    bool nomem = false;
    int rc = 0;

    if (tried == NULL)
        return err_set(pl->err, ERR_NOMEM, "plan an evidence load");
    for (int tries = 0; tries < EVIDENCE_TRIES && rc == 0; tries++) {
        if (load.vms >= owed.vms && load.mib >= owed.mib)
            break;
        vm = pick_evidence(pl, node, first, tried);
        if (vm == IX_NONE)
            break;
        tried[position(c, vm)] = true;
        if (capacity_may_land(&pl->fleet, pl->r, vm, node, &nomem) != NULL && !nomem)
            continue;
        if (nomem)
            return err_set(pl->err, ERR_NOMEM, "plan an evidence load");
        rc = add_evidence(pl, node, vm, &cap);
        first = first == IX_NONE ? vm : first;
        load = load_of(pl, node);
    }
    return rc;
}

int plan_return(struct planner *pl, uint32_t node)
{
    struct plan_node *x = &pl->of[node].result;

    pl->fleet.nodes[node].out &= ~(uint32_t)OUT_OURS;
    pl->fleet.nodes[node].patched = true;
    pl->fleet.nodes[node].due = 0;
    for (uint32_t i = 0; i < x->n_parks; i++)
        fleet_park(&pl->fleet, x->parks[i].vm, false);
    x->evidence = NULL;
    x->n_evidence = 0;
    if (pl->r->policy.evidence_percent == 0 && pl->r->policy.evidence_vms_min == 0)
        return 0;
    return bring_evidence(pl, node);
}

void plan_rewind_cluster(struct planner *pl, uint32_t cluster)
{
    const struct cluster *c = &pl->inv->clusters[cluster];

    for (uint32_t i = 0; i < c->n_vms; i++) {
        fleet_promise(&pl->fleet, c->vms[i], IX_NONE);
        fleet_arrive(&pl->fleet, c->vms[i], pl->inv->vms[c->vms[i]].home);
        fleet_park(&pl->fleet, c->vms[i], false);
        pl->fleet.vms.items[c->vms[i]].moves = 0;
    }
    for (uint32_t i = 0; i < c->n_nodes; i++) {
        struct fleet_node *n = &pl->fleet.nodes[c->nodes[i]];

        n->out = 0;
        n->patched = pl->of[c->nodes[i]].compliant;
        n->due = 0;
    }
}
