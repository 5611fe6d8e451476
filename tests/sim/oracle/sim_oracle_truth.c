/* Judged when an effect takes hold of the world, and after every event. */
#include "tests/sim/oracle/sim_oracle.h"

#include <string.h>

static uint32_t moves_at(const struct sim_world *w, uint32_t node)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < w->n_vms; i++)
        n += w->vms[i].state == GUEST_MIGRATING && (w->vms[i].node == node || w->vms[i].to == node);
    return n;
}

static void truth_move_begin(struct sim_oracle *o, const struct world_truth *t)
{
    uint32_t slots = o->w->clusters[o->w->nodes[t->node].cluster].slots;

    o->checks[10]++;
    if (moves_at(o->w, t->node) > slots || moves_at(o->w, t->to) > slots)
        oracle_break(o, 10, "more than %u migrations at %s or %s", slots, o->w->nodes[t->node].id,
                     o->w->nodes[t->to].id);
}

/* The node on which a rehearsal plays its three lives (O14): the first one that this store had anything installed on. Moves off it
 * are no part of the bound. */
uint32_t oracle_rehearsed(const struct sim_oracle *o, uint32_t store)
{
    for (uint32_t i = 0; i < o->intents.n && o->policy.rehearse; i++)
        if (o->intents.items[i].store == store && strcmp(o->intents.items[i].action, "install") == 0)
            return o->intents.items[i].node;
    return WORLD_NONE;
}

/* Drain moves of the VM of which that store knows. */
static uint32_t drains_known(const struct sim_oracle *o, const struct world_truth *t, struct oracle_intent *x)
{
    uint32_t n = 0, alone;

    if (x == NULL || x->back)
        return 0;
    x->drained = o->w->nodes[t->node].out_since != 0;
    alone = oracle_rehearsed(o, x->store);
    for (uint32_t i = 0; i < o->intents.n; i++) {
        const struct oracle_intent *y = &o->intents.items[i];

        n += y->drained && y->store == x->store && y->vm == t->vm && y->node != alone;
    }
    return n;
}

/* Moves of the VM in its rollback (O16), of which that store knows. */
static uint32_t backs_known(const struct sim_oracle *o, const struct world_truth *t,
                            const struct oracle_intent *x)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < o->intents.n && x != NULL && x->back; i++) {
        const struct oracle_intent *y = &o->intents.items[i];

        n +=
            y->back && y->took && y->store == x->store && y->vm == t->vm && strcmp(y->action, "move_vm") == 0;
    }
    return n;
}

/* Drain moves count apart from evidence loads (onto a node in service from one in service). */
static void truth_move_end(struct sim_oracle *o, const struct world_truth *t, struct oracle_intent *x)
{
    struct world_vm *v = &o->w->vms[t->vm];
    bool drains = o->w->nodes[t->node].out_since != 0;
    uint32_t *n = x != NULL && x->back ? &v->moves_back : drains ? &v->moves : &v->loads;
    uint32_t known = drains_known(o, t, x), backs = backs_known(o, t, x);

    ++*n;
    o->checks[10]++;
    if (known > o->policy.moves_per_vm)
        oracle_break(o, 10, "%s was moved %u times, allowed are %u", v->id, known, o->policy.moves_per_vm);
    if (backs > o->policy.moves_back)
        oracle_break(o, 10, "%s was moved %u times in the rollback, allowed are %u", v->id, backs,
                     o->policy.moves_back);
    if (v->moves_back > o->policy.moves_back + o->policy.moves_per_vm ||
        v->loads > o->w->n_nodes) /* loads: at most one a node's return */
        oracle_break(o, 10, "%s was moved %u times (back %u, as load %u)", v->id, v->moves, v->moves_back,
                     v->loads);
}

static void truth_install(struct sim_oracle *o, const struct world_truth *t)
{
    o->checks[15]++;
    if (strcmp(t->sha256, WORLD_SHA) != 0)
        oracle_break(o, 15, "%s installs a package that is not the approved one", o->w->nodes[t->node].id);
    /* What was hashed right before is held open: nobody else writes to it any more (O9). */
    if (o->w->nodes[t->node].staged_corrupt && o->w->now - o->w->nodes[t->node].corrupt_at > 2 * SECOND_MS)
        oracle_break(o, 15, "%s installs a package whose bytes are not the approved ones",
                     o->w->nodes[t->node].id);
    o->nodes[t->node].installs++;
    if (o->nodes[t->node].installs > 3 * (o->policy.attempts + 1))
        oracle_break(o, 19, "%s was serviced %u times", o->w->nodes[t->node].id, o->nodes[t->node].installs);
}

static void truth_reboot(struct sim_oracle *o, const struct world_truth *t)
{
    o->checks[8]++;
    for (uint32_t i = 0; i < o->w->n_vms; i++)
        if (!o->w->vms[i].gone && world_vm_live(&o->w->vms[i]) && o->w->vms[i].node == t->node &&
            o->w->now - o->w->vms[i].here_since > 15 * SECOND_MS)
            oracle_break(o, 8, "our reboot of %s takes %s down", o->w->nodes[t->node].id, o->w->vms[i].id);
}

/* Promise 1: methods never change. */
static void truth_park(struct sim_oracle *o, const struct world_truth *t)
{
    const struct world_vm *v = &o->w->vms[t->vm];

    o->checks[9]++;
    if (v->consent && strcmp(t->method, v->consent_method) != 0)
        oracle_break(o, 9, "%s is parked by %s, consented is %s", v->id, t->method, v->consent_method);
}

/* An installation that failed or died with its node has had no effect, and its id may run once more (C.3): what counts is
 * the one that came to its end. */
static bool counts_once(enum world_what what)
{
    return what == TRUTH_INSTALL_END || what == TRUTH_REMOVE_END || what == TRUTH_REBOOT ||
           what == TRUTH_MOVE_END;
}

static uint32_t at_work(const struct sim_world *w, const char *op)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < w->n_effects; i++)
        n += w->effects[i].used && !w->effects[i].witness && strcmp(w->effects[i].op, op) == 0;
    return n;
}

/* I19: per id at most one effect, and never two at work. */
static void truth_once(struct sim_oracle *o, const struct world_truth *t, struct oracle_intent *x)
{
    bool begins = t->what == TRUTH_INSTALL_BEGIN || t->what == TRUTH_REMOVE_BEGIN;

    if (!begins && !counts_once(t->what))
        return;
    o->checks[19]++;
    if (begins ? x->applied > 0 || at_work(o->w, t->op) > 1 : ++x->applied > 1)
        oracle_break(o, 19, "%s happened twice", t->op);
}

/* I3 in the state after the drain: before anything further is taken away. */
static void truth_drained(struct sim_oracle *o, const struct world_truth *t)
{
    uint32_t k = o->w->nodes[t->node].cluster;
    const struct world_cluster *c = &o->w->clusters[k];

    if (c->waive_none || strcmp(c->reserve, "none") == 0 || c->exo_at != o->nodes[t->node].exo_at_pause ||
        oracle_recent(o, k))
        return;
    o->checks[3]++;
    if (!oracle_survives_one_more(o->w, k, strcmp(c->reserve, "protected") == 0,
                                  o->nodes[t->node].unseen_at_pause))
        oracle_break(o, 3, "with %s drained %s does not survive one more loss", o->w->nodes[t->node].id,
                     c->id);
}

static bool came_with_ours(const struct sim_oracle *o, uint32_t node, const struct oracle_intent *x)
{
    return x->at - o->w->nodes[node].admin_at <= o->policy.fresh_ms + o->policy.slack_ms;
}

/* When others ended the pause that we know as ours, 0: they did not. One that came in the very moment of ours is ours to us. */
static time_ms pause_ended_at(const struct sim_oracle *o, uint32_t node)
{
    const struct world_node *n = &o->w->nodes[node];
    time_ms as_ours = o->nodes[node].not_told_apart;

    return as_ours != 0 && n->unpaused_at > as_ours && n->unpaused_at > n->ended_at ? n->unpaused_at
                                                                                    : n->ended_at;
}

/* No picture has shown that log the node in service since others ended its pause. Another revision goes on from projections and probes:
 * pictures before it are no part of that. */
static bool untold(const struct oracle_store *s, uint32_t node, time_ms ended)
{
    return ended != 0 && (s->seen_up[node] <= ended || s->seen_up[node] <= s->handed_at);
}

/* O7: one that others ended is not ours any more where a picture showed the node in service; where none did, nobody can tell. */
bool oracle_pause_not_told_apart(const struct sim_oracle *o, uint32_t store, uint32_t node)
{
    return o->w->nodes[node].paused_admin && untold(&o->stores[store], node, pause_ended_at(o, node));
}

bool oracle_pauses_again(const struct sim_oracle *o, const struct oracle_intent *x)
{
    const struct world_node *n = &o->w->nodes[x->node];

    return oracle_pause_not_told_apart(o, x->store, x->node) ||
           (!n->paused && untold(&o->stores[x->store], x->node, n->ended_at) &&
            oracle_drained_by(o, x->store, x->node, x));
}

/* O7: nobody's pause is ours but ours. */
static void truth_paused_by_whom(struct sim_oracle *o, const struct world_truth *t,
                                 const struct oracle_intent *x)
{
    const struct world_node *n = &o->w->nodes[t->node];

    o->checks[29]++;
    if (!n->paused_admin || n->admin_at == o->nodes[t->node].not_told_apart ||
        o->stores[x->store].put_back[t->node])
        return;
    if (came_with_ours(o, t->node, x)) {
        if (t->what == TRUTH_PAUSE_FOUND)
            o->nodes[t->node].not_told_apart = n->admin_at;
        return;
    }
    if (oracle_pause_not_told_apart(o, x->store, t->node))
        return;
    oracle_break(o, 29, "O7: the pause of %s is somebody else's, and %s", n->id,
                 t->what == TRUTH_RESUME ? "we end it" : "we take it for ours");
}

/* C.3: of a pause that began and whose driver did nothing, without saying so, the witness decides; and it cannot tell it from
 * one of others that came then. */
static void truth_pause_witnessed(struct sim_oracle *o, uint32_t node, const struct oracle_intent *x)
{
    if (x != NULL && x->started && o->w->nodes[node].paused_admin && came_with_ours(o, node, x))
        o->nodes[node].not_told_apart = o->w->nodes[node].admin_at;
}

/* O7: by his word the node is out by us, and the pause that he saw on it is ours; one that others make later is not. */
void oracle_vouched(struct sim_oracle *o, uint32_t store, uint32_t node, const char *op)
{
    const struct oracle_intent *x = op == NULL ? NULL : oracle_find(o, store, op);

    if (o->copying || !o->w->nodes[node].paused_admin || (x != NULL && strcmp(x->action, "pause") != 0))
        return;
    o->nodes[node].not_told_apart = o->w->nodes[node].admin_at;
    if (o->w->nodes[node].out_since == 0)
        o->w->nodes[node].out_since = o->w->now; /* so its pause for another reboot is no drain */
}

static struct oracle_intent *intent_of(struct sim_oracle *o, const struct world_truth *t)
{
    struct oracle_intent *x = oracle_find(o, o->nodes[t->node].store, t->op);

    /* begun for a controller before this one */
    for (uint32_t i = 0; i < ORACLE_STORES && (x == NULL || !x->started); i++)
        x = oracle_find(o, i, t->op) != NULL ? oracle_find(o, i, t->op) : x;
    return x;
}

void oracle_truth(struct sim_oracle *o, const struct world_truth *t)
{
    struct oracle_intent *x = intent_of(o, t);

    if (t->what == TRUTH_PAUSE_WITNESSED) {
        truth_pause_witnessed(o, t->node, x);
        return;
    }
    o->checks[24]++;
    if (x == NULL || !x->started) {
        oracle_break(o, x == NULL ? 24 : 18, "an effect of %s on %s has no %s", t->op,
                     o->w->nodes[t->node].id, x == NULL ? "intent" : "START");
        return;
    }
    truth_once(o, t, x);
    if (t->what != TRUTH_INSTALL_BEGIN && t->what != TRUTH_REMOVE_BEGIN && t->what != TRUTH_MOVE_BEGIN)
        x->took = true;
    if (t->what == TRUTH_MOVE_BEGIN)
        truth_move_begin(o, t);
    else if (t->what == TRUTH_MOVE_END)
        truth_move_end(o, t, x);
    else if (t->what == TRUTH_INSTALL_BEGIN)
        truth_install(o, t);
    else if (t->what == TRUTH_PAUSE)
        o->nodes[t->node].not_told_apart = 0;
    else if (t->what == TRUTH_RESUME || t->what == TRUTH_PAUSE_FOUND)
        truth_paused_by_whom(o, t, x);
    else if (t->what == TRUTH_REBOOT)
        truth_reboot(o, t);
    else if (t->what == TRUTH_PARK)
        truth_park(o, t);
    else if (t->what == TRUTH_VMMS_STOP)
        truth_drained(o, t);
}

/* What does nothing to this world, or finds nothing to do without saying so. */
static bool leaves_no_trace(const char *action)
{
    static const char *const such[] = { "checkpoint",        "merge",       "fetch_package",
                                        "bitlocker_suspend", "move_groups", "reboot" };

    for (unsigned i = 0; i < sizeof such / sizeof such[0]; i++)
        if (strcmp(action, such[i]) == 0)
            return true;
    return false;
}

/* I24, the other way round: what the log says was done was done. */
void oracle_claims_effect(struct sim_oracle *o, const char *op, const char *action)
{
    if (leaves_no_trace(action))
        return;
    o->checks[24]++;
    for (uint32_t i = o->intents.n; i-- > 0;)
        if (o->intents.items[i].took && strcmp(o->intents.items[i].op, op) == 0)
            return;
    oracle_break(o, 24, "%s is told as done, and nothing was done", op);
}

/* Whether the storage is not what the end `done` says of it: the cluster's, as it came; long after, the node's own disks. */
static bool storage_open(const struct sim_oracle *o, const struct world_node *n, bool of_old)
{
    return of_old ? n->storage_out
                  : !world_storage_whole(o->w, n->cluster) &&
                        o->w->clusters[n->cluster].dirty_since <
                            o->w->now - o->policy.fresh_ms - o->policy.slack_ms;
}

void oracle_check_patched(struct sim_oracle *o, uint32_t node)
{
    const struct world_node *n = &o->w->nodes[node];

    o->checks[17]++;
    if (n->ubr < WORLD_UBR_NEW || !n->has_package)
        oracle_break(o, 17, "%s counts as done and lacks the patch", n->id);
    else if (n->pending_in || n->pending_out ||
             (o->policy.reboot_always && n->boot <= n->boot_installed && !n->compliant_at_start))
        oracle_break(o, 17, "%s counts as done and has not booted since", n->id);
}

bool oracle_theirs(const struct sim_oracle *o, uint32_t node)
{
    time_ms put_in = o->w->nodes[node].put_in_at;

    for (uint32_t i = 0; i < o->intents.n; i++)
        if (o->intents.items[i].node == node && o->intents.items[i].applied > 0 &&
            o->intents.items[i].at > put_in && strcmp(o->intents.items[i].action, "uninstall") == 0)
            return false;
    return put_in != 0;
}

void oracle_check_removed(struct sim_oracle *o, uint32_t node)
{
    const struct world_node *n = &o->w->nodes[node];

    if (oracle_theirs(o, node))
        return;
    o->checks[17]++;
    if (n->has_package || n->ubr != WORLD_UBR_OLD)
        oracle_break(o, 17, "%s counts as rolled back and is at %u", n->id, n->ubr);
    else if (n->pending_in || n->pending_out || (o->policy.reboot_always && n->boot <= n->boot_installed))
        oracle_break(o, 17, "%s counts as rolled back and has not booted since", n->id);
}

void oracle_check_compliant(struct sim_oracle *o, uint32_t node)
{
    const struct world_node *n = &o->w->nodes[node];

    o->checks[17]++;
    if (n->ubr < WORLD_UBR_NEW || n->pending_in || n->pending_out)
        oracle_break(o, 17, "%s counts as compliant and is not at the target", n->id);
}

/* I17: patched means patched. */
void oracle_check_done(struct sim_oracle *o, uint32_t node, bool of_old)
{
    const struct world_node *n = &o->w->nodes[node];

    o->checks[17]++;
    if (n->exo_at != 0 && o->w->now - n->exo_at <= o->policy.fresh_ms + o->policy.slack_ms)
        return;
    oracle_check_patched(o, node);
    if (!world_node_up(o->w, node) || n->paused)
        oracle_break(o, 17, "%s counts as done and is not in service", n->id);
    else if (storage_open(o, n, of_old))
        oracle_break(o, 17, "%s counts as done and its storage is not whole", n->id);
}

/* Out ends when a node is back and its storage is whole. */
static void nodes_in(struct sim_oracle *o)
{
    struct sim_world *w = o->w;

    for (uint32_t i = 0; i < w->n_nodes; i++) {
        struct world_node *n = &w->nodes[i];

        if (n->out_since != 0 && !n->paused && n->power == POWER_ON && !n->storage_out &&
            world_storage_whole(w, n->cluster))
            n->out_since = 0;
    }
}

static void check_parked(struct sim_oracle *o)
{
    for (uint32_t i = 0; i < o->w->n_vms; i++) {
        const struct world_vm *v = &o->w->vms[i];

        o->checks[8] += v->down != DOWN_NOT;
        if (v->gone || v->down != DOWN_BY_OUR_REBOOT)
            continue;
        if (o->w->now - v->down_since == 0)
            oracle_break(o, 8, "%s went down by a reboot of ours", v->id);
    }
}

void oracle_step(struct sim_oracle *o)
{
    nodes_in(o);
    check_parked(o);
}
