/* A node's lives and their ends: a turn, a way back and a rehearsal are lives of their own. What it ends as, what is added to that when
 * it may be out, and what an end means to wave, run and books. */
#include "orchestrator/core/engine_state.h"

#include <string.h>

/* Those that are down stay: they are owed a way back, whoever parked them (I9). */
static void forget_parks(struct engine_node *n)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < n->parks.n; i++)
        if (n->parks.items[i].down)
            n->parks.items[kept++] = n->parks.items[i];
    n->parks.n = kept;
}

void node_begin_life(struct engine *e, struct engine_node *n, bool back)
{
    n->life++;
    n->back = back;
    n->goal = back ? GOAL_REMOVE : GOAL_INSTALL;
    n->end = n->home_end = NODE_END_NONE;
    n->paused = n->pause_lost = n->vmms_touched = n->storage_touched = n->installed = n->verified =
        n->unpark_failed = false;
    n->go_home = n->suspended = n->pause_in_doubt = false;
    n->looked_from = 0;
    n->reboots = n->proofs = 0;
    n->before.known = false;
    n->reason[0] = '\0';
    n->turn_since = e->now;
    memset(n->attempts, 0, sizeof n->attempts);
    memset(n->withdrawn, 0, sizeof n->withdrawn);
    list_clear(&n->moves);
    forget_parks(n);
    node_to(e, n, NODE_CHECKING);
    if (!n->claimed && n->link.pos == 0)
        engine_timer(e, &n->link, e->now + e->rollout->policy.unreachable_ms);
}

uint64_t node_bit(uint32_t number)
{
    return (uint64_t)1 << (number < 63 ? number : 63);
}

bool node_has_down(const struct engine_node *n)
{
    for (uint32_t i = 0; i < n->parks.n; i++)
        if (n->parks.items[i].down)
            return true;
    return false;
}

struct node_park *node_park_of(const struct engine_node *n, uint32_t vm)
{
    for (uint32_t i = 0; i < n->parks.n; i++)
        if (n->parks.items[i].vm == vm)
            return &n->parks.items[i];
    return NULL;
}

void node_own_life(struct engine_node *n)
{
    if (n->life > n->life_heard)
        return;
    n->life = n->life_heard + 1;
    memset(n->attempts, 0, sizeof n->attempts);
    memset(n->withdrawn, 0, sizeof n->withdrawn);
}

void node_activate(struct engine *e, struct engine_node *n)
{
    if (n->phase != NODE_PENDING)
        return;
    n->attempt++;
    node_begin_life(e, n, false);
    node_drive(e, n);
}

/* A failed node counts once (O8, O12 and the like). */
void node_fail(struct engine *e, struct engine_node *n)
{
    if (n->failed)
        return;
    n->failed = true;
    e->failures++;
    if (n->wave != IX_NONE)
        e->waves[n->wave].failures++;
    e->budget_changed = true; /* judged when this step is over: nothing changes under its feet */
}

/* Out of our books. It receives VMs as the cluster showed it last: others may have it paused. */
static void back_in_service(struct engine *e, struct engine_node *n)
{
    struct engine_cluster *c = &e->clusters[n->cluster];
    struct fleet_node *f = &e->fleet.nodes[n->ix];

    /* of one that another log had out too: it was never in these books */
    f->out &= ~(uint32_t)(OUT_OURS | OUT_STUCK);
    if (e->seen[n->ix] == SEEN_PAUSED)
        f->out |= OUT_PAUSED;
    if (!n->counted_out)
        return;
    n->counted_out = false;
    n->out_until = e->now;
    assert(c->out > 0 && e->out_all > 0);
    c->out--;
    c->changed_at = e->now;
    e->out_all--;
    f->receives = e->seen[n->ix] == SEEN_UP;
    ledger_node_out(e, n);
    e->clusters_dirty = true; /* K_g may have a place again */
}

void node_withdraw(struct engine *e, struct engine_node *n, const char *why, bool in_doubt)
{
    for (uint32_t i = 0; i < n->moves.n; i++)
        fleet_promise(&e->fleet, n->moves.items[i].vm, IX_NONE);
    n->moves.n = 0;
    forget_parks(n);
    back_in_service(e, n);
    engine_note(e, NOTE_DECISION, "O26", n->ix, SAY(e, "%s: its drain is proved anew", why));
    n->pause_in_doubt |= in_doubt;
    n->vmms_touched = n->storage_touched =
        false; /* supposed of what another log may have done; there is no way home from here */
    node_to(e, n, NODE_STAGING);
}

/* The rehearsal's next life, if this end was one of its first two (O14). */
static bool rehearsal_goes_on(struct engine *e, struct engine_node *n, enum node_end end)
{
    if (!n->rehearse || n->rehearsal >= 2 || e->ending != RUN_RUNNING || n->go_home || n->unpark_failed)
        return false;
    if (end != (n->rehearsal == 0 ? NODE_DONE : NODE_ROLLED_BACK))
        return false;
    if (++n->rehearsal == 2) {
        e->removal_known = e->removal_possible = true;
        engine_note(e, NOTE_DECISION, "O14", n->ix, "removal is proved possible");
    }
    back_in_service(e, n);
    node_begin_life(e, n, n->rehearsal == 1);
    return true;
}

static void count_end(struct engine *e, struct engine_node *n)
{
    if (n->in_rollback) {
        n->in_rollback = false;
        e->rollback_open--;
        e->rollback_failed += n->end != NODE_ROLLED_BACK;
    } else if (n->counted_open) {
        e->waves[n->wave].open--;
        e->waves[n->wave].nodes_ended = e->now;
    }
    n->counted_open = false;
}

/* The controller has started anew, perhaps on a copy that is older than it knows, and the one node that could say so is out of
 * its reach, or has lost its journal: the cluster says that it is not in service, or misses disks though nothing is out here, and no journal by whom.
 * A node that is down, and was never begun here, may yet have its turn. */
static bool found_out(const struct engine *e, const struct engine_node *n)
{
    const struct engine_cluster *c = &e->clusters[n->cluster];
    bool s2d = e->inv->clusters[n->cluster].storage == STORAGE_S2D;
    uint8_t state = e->seen[n->ix];

    if (!e->resumed || (n->seen && !n->blank) || c->seen_at < e->controller_at)
        return false;
    return state == SEEN_PAUSED || (s2d && c->out == 0 && c->clean_since == 0) ||
           (state != SEEN_UP && e->ending != RUN_RUNNING);
}

/* Withdrawn with its pause in doubt, and the cluster has not been looked at since. */
static bool pause_unseen(const struct engine *e, const struct engine_node *n)
{
    return n->pause_in_doubt && n->phase == NODE_STAGING && e->clusters[n->cluster].seen_at < n->since;
}

/* Paused, and perhaps by a pause of which no journal tells (I29, O7): that of a log which was overtaken stood in one that is lost. */
static bool paused_untold(const struct engine *e, const struct engine_node *n)
{
    return (n->pause_in_doubt || (e->overtook && !n->up_since)) && e->seen[n->ix] == SEEN_PAUSED;
}

/* What another log may have left out. After a takeover this log may be the older one: what a node is like whose journal nobody has
 * read, nobody here knows. */
static bool may_be_out(const struct engine *e, const struct engine_node *n)
{
    return n->foreign_op || n->foreign_out || n->unread || found_out(e, n) || pause_unseen(e, n) ||
           paused_untold(e, n);
}

/* It came back untouched because another engine had drained it: this one judges for itself (I19: in its attempts). */
static bool has_another_turn(struct engine *e, struct engine_node *n)
{
    bool anew = n->anew && n->end == NODE_RETURNED;

    n->anew = false;
    if (!anew || n->wave != e->wave || e->waves[e->wave].state != WAVE_RUNNING || e->ending != RUN_RUNNING ||
        (e->state != RUN_RUNNING && e->state != RUN_HOLDING) || n->attempt >= e->rollout->policy.attempts_max)
        return false;
    engine_note(e, NOTE_DECISION, "C.6", n->ix, "back as it was before the takeover: it has its turn again");
    n->attempt++;
    node_begin_life(e, n, false);
    return true;
}

/* With a consent to be parked, running when it was planned, now down on the node, and no journal tells by whom. */
static bool perhaps_parked(const struct engine *e, const struct engine_node *n, uint32_t vm)
{
    const struct fleet_vm *v = &e->fleet.vms.items[vm];

    return v->at == n->ix && !v->gone && !v->parked && e->inv->vms[vm].state == VM_RUNNING &&
           (v->vm.state == VM_OFF || v->vm.state == VM_SAVED) &&
           rollout_consent(e->rollout, v->vm.id) != NULL;
}

/* After a takeover it may have been the overtaken log: it is named, and people decide (I9). */
static const char *with_parked(struct engine *e, const struct engine_node *n, const char *text)
{
    const struct cluster *c = &e->inv->clusters[n->cluster];
    struct buf *b = engine_scratch(e);
    bool found = false;

    buf_str(b, text);
    for (uint32_t i = 0; i < c->n_vms; i++) {
        if (!perhaps_parked(e, n, c->vms[i]))
            continue;
        buf_printf(b, "%s %s", found ? "" : "; down, and perhaps parked by the overtaken run:",
                   e->inv->vms[c->vms[i]].id);
        found = true;
    }
    return engine_said(e);
}

void node_end(struct engine *e, struct engine_node *n, enum node_end end, const char *text)
{
    char why[sizeof n->reason];

    FILL(why, text);
    if (e->overtook)
        FILL(why, with_parked(e, n, why));
    if (rehearsal_goes_on(e, n, end))
        return;
    if (n->patched_by_us && (end == NODE_RETURNED || end == NODE_NOT_STARTED || end == NODE_ROLLED_BACK))
        end = NODE_SET_ASIDE; /* it is not as it was before (I17) */
    if (end == NODE_DONE && n->back && !n->proved)
        end = NODE_SET_ASIDE; /* patched as before, and that was never verified (I17) */
    if (may_be_out(e, n) && end != NODE_STUCK) {
        end = NODE_STUCK;
        FILL(why, SAY(e, "%s; it may be out", why));
    }
    n->end = end;
    n->go_home = false;
    if (end == NODE_SET_ASIDE && !n->in_rollback)
        node_fail(e, n);
    if (end == NODE_STUCK) {
        e->fleet.nodes[n->ix].out |= OUT_STUCK;
        node_fail(e, n);
    } else {
        back_in_service(e, n);
    }
    node_to(e, n, NODE_ENDED);
    FILL(n->reason, why);
    if (has_another_turn(e, n))
        return;
    if (n->rehearse && e->ending == RUN_RUNNING)
        wave_rehearsed(e, n);
    count_end(e, n);
    if (end == NODE_DONE && !n->back)
        evidence_node(e, n);
    ledger_look(e, n);
    cluster_dirty(e, &e->clusters[n->cluster]);
}

void node_end_stuck(struct engine *e, struct engine_node *n, const char *why)
{
    n->end = NODE_STUCK;
    FILL(n->reason, why);
    e->fleet.nodes[n->ix].out |= OUT_STUCK;
    node_fail(e, n);
}

void node_end_found_out(struct engine *e, struct engine_node *n)
{
    if (n->phase == NODE_ENDED && n->wave != IX_NONE && n->end != NODE_STUCK &&
        (found_out(e, n) || paused_untold(e, n)))
        node_end_stuck(e, n, SAY(e, "%s; it may be out", n->reason));
}

void node_drop_moves(struct engine *e, struct engine_node *n)
{
    for (uint32_t i = 0; i < n->moves.n; i++) {
        struct node_move *m = &n->moves.items[i];

        if (m->state != MOVE_PENDING)
            continue;
        m->state = MOVE_GIVEN_UP;
        fleet_promise(&e->fleet, m->vm, IX_NONE);
    }
}

/* Home from wherever it is, without what is left to do. Nothing was touched: ends at once. */
void node_home(struct engine *e, struct engine_node *n, enum node_end end, const char *text)
{
    n->home_end = end == NODE_RETURNED && n->installed ? NODE_SET_ASIDE
                                                       : end; /* returned: as it was before (DESIGN.md, 5) */
    n->go_home = false;
    FILL(n->reason, text);
    node_drop_moves(e, n);
    if (!n->paused && !n->vmms_touched)
        node_end(e, n, n->home_end, SAY(e, "%s", n->reason));
    else
        node_to(e, n, NODE_STARTING_VMMS);
}

/* What a way back that did not work comes to. Resumed and settled the node is patched as before, and so it is when a
 * rehearsal never began; in a rollback that never reached it, or with a removal half made, nobody vouches for it. */
enum node_end back_end(const struct engine_node *n)
{
    if (n->installed || !n->claimed || (n->in_rollback && !n->paused))
        return NODE_SET_ASIDE;
    return NODE_DONE;
}

/* In service, and the storage whole, says a picture that is no older than one may be, or was asked for to see just that. */
static bool seen_whole(const struct engine *e, const struct engine_node *n)
{
    const struct engine_cluster *c = &e->clusters[n->cluster];
    bool asked_for = n->looked_from != 0 && c->seen_at >= n->looked_from && c->seen_at >= c->reached_at;

    return (cluster_fresh(e, c) || asked_for) && e->seen[n->ix] == SEEN_UP && cluster_clean(e, c);
}

/* Of a life whose turn never came: what the lives before it came to, and patched as before is not one that others have taken out of
 * service since, or whose storage is not whole (I17). After a rehearsal's second life the patch is off. */
enum node_end unbegun_end(const struct engine *e, const struct engine_node *n)
{
    if (n->back)
        return seen_whole(e, n) ? back_end(n) : NODE_SET_ASIDE;
    return n->rehearsal == 2 ? NODE_ROLLED_BACK : NODE_NOT_STARTED;
}

void node_give_up(struct engine *e, struct engine_node *n, enum node_end end, const char *text)
{
    if (!n->back)
        node_fail(e, n);
    node_home(e, n, n->back ? back_end(n) : end, text);
}

bool node_looked_for(struct engine *e, struct engine_node *n)
{
    struct engine_cluster *c = &e->clusters[n->cluster];

    if (!n->rehearse || !n->back || n->in_rollback || !n->claimed || n->phase == NODE_ENDED ||
        node_in_flight(n) || seen_whole(e, n))
        return false;
    if (n->looked_from == 0)
        n->looked_from = e->now;
    if (e->now - later(n->looked_from, engine_awake_since(e)) > e->rollout->policy.unreachable_ms)
        return false; /* each picture comes when it is old */
    if (!cluster_fresh(e, c) || c->seen_at < c->clean_after)
        cluster_want(e, c);
    else if (e->seen[n->ix] == SEEN_UP && cluster_clean_once(c)) /* the second sample decides */
        cluster_want_later(e, c);
    else
        return false;
    node_waits(e, n, "I17: a fresh picture of its cluster");
    return c->ask != NULL || cluster_fresh(e, c);
}

/* To the next safe point, as in abort: what has begun goes on, what has not begun is not begun. */
void node_safe_point(struct engine *e, struct engine_node *n)
{
    if (n->phase == NODE_ENDED || n->phase == NODE_PENDING || node_looked_for(e, n))
        return;
    if (!node_in_flight(n)) {
        node_end(e, n, unbegun_end(e, n),
                 e->end_text[0] == '\0' ? "stopped before its turn" : SAY(e, "%s", e->end_text));
        return;
    }
    n->go_home = true;
    n->go_end = n->back ? NODE_DONE : NODE_RETURNED;
    if ((n->phase == NODE_INSTALLING || n->phase == NODE_REMOVING) && n->op != NULL &&
        n->op->state < OP_RUNNING && n->op->action != ACT_BITLOCKER)
        op_cancel(e, n->op);
    node_drive(e, n);
}
