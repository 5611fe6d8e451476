/* What must hold when all is calm (I9, I22, I27..I30). */
#include "tests/sim/oracle/sim_oracle.h"

#include <string.h>

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* The last word on the package there was an installation by this store, and nobody else put one in. */
static bool ours_is_in(const struct sim_oracle *o, uint32_t store, uint32_t node)
{
    const struct world_node *n = &o->w->nodes[node];
    bool in = false;

    for (uint32_t i = 0; i < o->intents.n; i++) {
        const struct oracle_intent *x = &o->intents.items[i];

        if (x->node == node && x->started && (is(x->action, "install") || is(x->action, "uninstall")))
            in = x->store == store && is(x->action, "install");
    }
    return in && n->has_package && !oracle_theirs(o, node) && !n->compliant_at_start;
}

/* I17: what is said to have been left alone, or taken back, holds nothing of ours. */
static void end_untouched(struct sim_oracle *o, const struct oracle_ending *e, uint32_t node)
{
    static const char *const said[] = { [ORACLE_END_COMPLIANT] = "compliant",
                                        [ORACLE_END_ROLLED_BACK] = "rolled back",
                                        [ORACLE_END_RETURNED] = "back untouched",
                                        [ORACLE_END_NOT_STARTED] = "never begun",
                                        [ORACLE_END_STUCK] = NULL };
    const char *as = said[o->stores[e->store].ends[node]];

    if (as == NULL)
        return;
    o->checks[17]++;
    if (ours_is_in(o, e->store, node))
        oracle_break(o, 17, "%s is said to be %s, and our package is in it", o->w->nodes[node].id, as);
}

/* O14, O16: rolled back is a run that has left our package nowhere; where it is left the run has halted and names the node. */
static void end_way_back(struct sim_oracle *o, const struct oracle_ending *e)
{
    const struct oracle_store *s = &o->stores[e->store];
    bool cut_off =
        s->handed_at != 0 && s->handed_at >= s->back_began; /* by a takeover: said in other words */

    if (!e->at_rest || !s->rolled_back || !o->policy.back_run)
        return;
    for (uint32_t i = 0; i < o->w->n_nodes; i++) {
        if (o->policy.wave_of[i] == WORLD_NONE || !ours_is_in(o, e->store, i))
            continue;
        o->checks[12]++;
        if (s->run == ORACLE_RUN_ROLLED_BACK)
            oracle_break(o, 12, "the run is rolled back, and our package is in %s", o->w->nodes[i].id);
        else if (s->run == ORACLE_RUN_HALTED && !cut_off && !(e->named >> i & 1u))
            oracle_break(o, 12, "our package is in %s, and the halted run does not name it",
                         o->w->nodes[i].id);
    }
}

static void end_nodes(struct sim_oracle *o, const struct oracle_ending *e)
{
    const struct oracle_store *s = &o->stores[e->store];

    for (uint32_t i = 0; i < o->w->n_nodes; i++) {
        const struct world_node *n = &o->w->nodes[i];

        if (o->policy.wave_of[i] == WORLD_NONE)
            continue;
        if (s->ends[i] == ORACLE_END_DONE && s->done_of_old[i])
            oracle_check_done(o, i, true);
        else if (s->ends[i] == ORACLE_END_DONE)
            oracle_check_patched(o, i);
        end_untouched(o, e, i);
        o->checks[27]++;
        if (s->ends[i] == ORACLE_END_NONE)
            oracle_break(o, 27, "%s has no end", n->id);
        o->checks[29]++;
        if (n->paused && n->paused_ours && s->ends[i] != ORACLE_END_STUCK)
            oracle_break(o, 29, "%s is left paused and not reported as stuck", n->id);
        if (n->storage_out && s->ends[i] != ORACLE_END_STUCK)
            oracle_break(o, 29, "%s is left in storage maintenance", n->id);
        if (n->power == POWER_ON && !n->vmms && s->ends[i] != ORACLE_END_STUCK)
            oracle_break(o, 29, "%s is left with its vmms stopped", n->id);
        if (e->no_reason >> i & 1u)
            oracle_break(o, 27, "%s has its end without a reason", n->id);
    }
}

/* I29: nothing kept it, a person said that it be put back, and it is out as before. */
static void end_put_back(struct sim_oracle *o, const struct oracle_ending *e)
{
    for (uint32_t i = 0; i < o->w->n_nodes; i++) {
        const struct world_node *n = &o->w->nodes[i];

        if (!(e->put_back >> i & 1u) || o->policy.wave_of[i] == WORLD_NONE || n->shrunk)
            continue;
        o->checks[29]++;
        if (n->paused && n->paused_ours)
            oracle_break(o, 29, "%s was to be put back in all calm, and is still out", n->id);
    }
}

/* Parked last by another log, of which this one never heard, and the journal that told of it is lost: as it is found anybody may
 * have switched it off, and what a person's word puts back is the node (I9, I22). */
static bool parked_unheard_of(struct sim_oracle *o, uint32_t store, uint32_t vm)
{
    const struct oracle_intent *last = NULL;

    for (uint32_t i = 0; i < o->intents.n; i++) {
        const struct oracle_intent *x = &o->intents.items[i];

        if (x->vm == vm && x->took && is(x->action, "park_vm") && (last == NULL || x->at >= last->at))
            last = x;
    }
    return last != NULL && last->unrecorded && oracle_find(o, store, last->op) == NULL;
}

static void end_vms(struct sim_oracle *o, const struct oracle_ending *e)
{
    const struct oracle_store *s = &o->stores[e->store];

    for (uint32_t i = 0; i < o->w->n_vms; i++) {
        const struct world_vm *v = &o->w->vms[i];

        if (v->gone || v->down != DOWN_PARKED || parked_unheard_of(o, e->store, i))
            continue;
        o->checks[9]++;
        if (s->ends[v->node] != ORACLE_END_STUCK && !(e->reported_down >> i & 1u))
            oracle_break(o, 9, "%s was parked by us and is not back", v->id);
        if (s->ends[v->node] == ORACLE_END_DONE && !s->done_of_old[v->node])
            oracle_break(o, 17, "%s counts as done, and %s, which we parked, is down on it",
                         o->w->nodes[v->node].id, v->id);
    }
}

static bool parked_by(const struct sim_oracle *o, uint32_t store, uint32_t vm)
{
    for (uint32_t i = 0; i < o->intents.n; i++) {
        const struct oracle_intent *x = &o->intents.items[i];

        if (x->store == store && x->vm == vm && x->took && x->resulted && !x->unrecorded &&
            is(x->action, "park_vm"))
            return true;
    }
    return false;
}

/* O35: what stands in the ledger as still down is down; what is down by us stands there. */
static void end_ledger(struct sim_oracle *o, const struct oracle_ending *e)
{
    for (uint32_t i = 0; i < o->w->n_vms; i++) {
        const struct world_vm *v = &o->w->vms[i];
        bool told = e->ledger_down >> i & 1u;

        if (v->gone || (!told && v->down != DOWN_PARKED))
            continue;
        o->checks[24]++;
        if (told && world_vm_live(v))
            oracle_break(o, 24, "%s runs, and the ledger has it as still down", v->id);
        else if (!told && v->down == DOWN_PARKED && parked_by(o, e->store, i))
            oracle_break(o, 24, "%s is down by us, and no ledger tells since when", v->id);
    }
}

void oracle_setting_told(struct sim_oracle *o, uint32_t store, time_ms at, uint32_t cluster, bool warning)
{
    o->stores[store].setting_told[cluster] = warning;
    o->stores[store].setting_known[cluster] = at;
}

/* O18: what belongs to the cluster is as its people left it, or it is said that it is not. */
static void end_settings(struct sim_oracle *o, const struct oracle_ending *e)
{
    for (uint32_t i = 0; i < o->w->n_clusters; i++) {
        const struct world_cluster *c = &o->w->clusters[i];

        o->checks[29]++;
        if (e->at_rest && c->balancer != c->balancer_theirs && !o->stores[e->store].setting_told[i])
            oracle_break(o, 29, "the balancer of %s is left at %u, was %u", c->id, c->balancer,
                         c->balancer_theirs);
    }
}

static bool resulted(struct sim_oracle *o, const char *op)
{
    for (uint32_t i = 0; i < o->intents.n; i++)
        if (o->intents.items[i].resulted && is(o->intents.items[i].op, op))
            return true;
    return false;
}

/* What a cluster is set to is its own witness, whichever of its nodes tells it. */
static bool witnessed(const struct sim_oracle *o, const struct oracle_intent *x)
{
    return is(x->action, "cluster_setting") &&
           o->stores[x->store].setting_known[o->w->nodes[x->node].cluster] > x->at;
}

/* A person closed the run or gave the node up: where nothing is left that could tell, that is how it was decided, whatever
 * rollback was asked for since. */
static bool given_up(const struct sim_oracle *o, const struct oracle_intent *x)
{
    const struct oracle_store *s = &o->stores[x->store];

    return s->closed_at > x->at || s->given_up[x->node] > x->at;
}

/* A person closed the run by force, and the node is not the one it was: it is not asked until somebody has looked (I16), who
 * may `decide`. */
static bool closed_with_it(const struct sim_oracle *o, const struct oracle_intent *x)
{
    const struct oracle_store *s = &o->stores[x->store];

    return s->distrusted[x->node] && s->closed_at > x->at;
}

/* What was given up with the node (O17): of its last life there. */
static bool given_up_there(const struct sim_oracle *o, const struct oracle_intent *x)
{
    enum oracle_end end = o->stores[x->store].ends[x->node];

    if (end != ORACLE_END_STUCK && end != ORACLE_END_SET_ASIDE)
        return false;
    for (uint32_t i = 0; i < o->intents.n; i++)
        if (o->intents.items[i].store == x->store && o->intents.items[i].node == x->node &&
            o->intents.items[i].life > x->life)
            return false;
    return true;
}

/* I22: no operation is lost: what was begun is known to some store. */
static void end_ops(struct sim_oracle *o, const struct oracle_ending *e)
{
    for (uint32_t i = 0; i < o->intents.n; i++) {
        const struct oracle_intent *x = &o->intents.items[i];

        if (x->store != e->store || !x->started)
            continue;
        o->checks[22]++;
        if (resulted(o, x->op) || witnessed(o, x) || (x->unrecorded && given_up(o, x)))
            continue;
        if (!given_up_there(o, x) && !closed_with_it(o, x))
            oracle_break(o, 22, "%s was started and its result was never recorded", x->op);
    }
}

void oracle_asleep(struct sim_oracle *o, dur_ms quiet_ms, const char *state)
{
    o->checks[28]++;
    if (quiet_ms > 30 * MINUTE_MS)
        oracle_break(o, 28, "for %lld minutes nothing goes on, and nothing will (%s)",
                     (long long)(quiet_ms / MINUTE_MS), state);
}

void oracle_endless(struct sim_oracle *o, const char *state)
{
    o->checks[27]++;
    oracle_break(o, 27, "hours of calm, and the run does not end: %s", state);
}

void oracle_end(struct sim_oracle *o, const struct oracle_ending *e)
{
    o->checks[28]++;
    if (!e->at_rest && !e->explained)
        oracle_break(o, 28, "the run stands still and does not say why (%s)", e->state);
    if (!e->at_rest)
        oracle_break(o, 27, "the run has not ended: %s", e->state);
    end_nodes(o, e);
    end_way_back(o, e);
    end_put_back(o, e);
    end_settings(o, e);
    end_vms(o, e);
    end_ledger(o, e);
    end_ops(o, e);
}
