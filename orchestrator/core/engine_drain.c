/* Draining: pause first, then the VMs by their targets, then parking with consent, then every other group and CSV,
 * then the check on the node itself (O1, O2, O4, O25). */
#include "orchestrator/core/engine_state.h"

#include <string.h>

#define RECEIVER_OUT "the receiver cannot be reached"
#define MOVE_AGAIN_MS (60 * SECOND_MS)
#define MOVE_POLL_MS (15 * SECOND_MS)
#define BUSY_TRIES 10
#define STEP_AGAIN_MS (30 * SECOND_MS)
#define JOIN_LIMIT_MS (20 * MINUTE_MS) /* after its boot, until the cluster has it again */
#define PROOFS_MAX 3

static void prefer_plan(struct engine *e, const struct engine_node *n, bool set)
{
    const struct plan_node *pn = &e->plan->nodes[n->plan_ix]; /* nothing else is drained */

    for (uint32_t i = 0; i < pn->n_moves; i++)
        e->prefer[pn->moves[i].vm] = set && !n->back ? pn->moves[i].to : IX_NONE;
}

static bool prefer_room(struct engine *e)
{
    uint32_t n = e->fleet.vms.n;
    uint32_t *p;

    if (n <= e->n_prefer)
        return true;
    p = realloc(e->prefer, n * sizeof *p);
    if (p == NULL)
        return false;
    for (uint32_t i = e->n_prefer; i < n; i++)
        p[i] = IX_NONE;
    e->prefer = p;
    e->n_prefer = n;
    return true;
}

bool drain_prove(struct engine *e, struct engine_node *n)
{
    struct err err;
    int rc;

    drain_proof_clear(&e->proof);
    if (!prefer_room(e)) {
        e->nomem = true;
        return false;
    }
    prefer_plan(e, n, true);
    rc = capacity_prove_drain(&e->fleet, e->rollout, n->ix, e->prefer, e->now, &e->proof, &err);
    prefer_plan(e, n, false);
    if (rc != 0)
        e->nomem = true;
    return rc == 0 && e->proof.verdict == CAPACITY_SAFE;
}

void drain_take_proof(struct engine *e, struct engine_node *n, const struct drain_proof *p)
{
    for (uint32_t i = 0; i < p->moves.n; i++) {
        struct node_move *m = list_push(&n->moves);

        if (m == NULL) {
            e->nomem = true;
            return;
        }
        m->vm = p->moves.items[i].vm;
        m->to = p->moves.items[i].to;
        m->unproved = p->moves.items[i].unproved;
        fleet_promise(&e->fleet, m->vm, m->to); /* the next proof counts it */
    }
    for (uint32_t i = 0; i < p->parks.n; i++) {
        struct node_park *k = node_park_of(n, p->parks.items[i].vm);

        if (k == NULL)
            k = list_push(&n->parks);
        if (k == NULL) {
            e->nomem = true;
            return;
        }
        k->vm = p->parks.items[i].vm;
        k->method = p->parks.items[i].method;
        k->checkpoint = p->parks.items[i].checkpoint;
    }
}

/* After a boot: ours is the pause, parked VMs may run again, everything is checked anew. */
void drain_once_more(struct engine *e, struct engine_node *n)
{
    for (uint32_t i = 0; i < n->parks.n; i++)
        n->parks.items[i].again = true;
    node_to(e, n, NODE_DRAINING);
}

/* moves */

/* Asked without the VM's own reservation. */
static const char *may_land(struct engine *e, uint32_t vm, uint32_t to)
{
    uint32_t reserved = e->fleet.vms.items[vm].moving_to;
    const char *why;

    fleet_promise(&e->fleet, vm, IX_NONE);
    why = capacity_may_land(&e->fleet, e->rollout, vm, to, &e->nomem);
    fleet_promise(&e->fleet, vm, reserved);
    return why;
}

static bool retarget(struct engine *e, struct engine_node *n, struct node_move *m, const char *why_not)
{
    const struct fleet_vm *v = &e->fleet.vms.items[m->vm];
    bool received = e->fleet.nodes[m->to].receives;
    char reason[256];
    uint32_t to;

    fleet_promise(&e->fleet, m->vm, IX_NONE);
    e->fleet.nodes[m->to].receives = false; /* not the same again */
    to = capacity_place_vm(&e->fleet, e->rollout, m->vm, reason, &e->nomem);
    e->fleet.nodes[m->to].receives = received;
    if (to == IX_NONE ||
        (n->back && e->fleet.nodes[n->ix].patched && !e->fleet.nodes[to].patched && !m->unproved))
        return false;
    deviation(e, "C2", n->ix,
              SAY(e, "VM %s goes to %s, not to %s: %s", v->vm.id, e->inv->nodes[to].id,
                  e->inv->nodes[m->to].id, why_not));
    m->to = to;
    m->state = MOVE_PENDING;
    fleet_promise(&e->fleet, m->vm, to);
    return true;
}

static void move_failed(struct engine *e, struct engine_node *n, struct node_move *m, const char *why)
{
    m->state = MOVE_GIVEN_UP;
    fleet_promise(&e->fleet, m->vm, IX_NONE);
    if (n->go_home)
        return;
    if (!n->back)
        node_fail(e, n);
    n->go_home = true;
    n->go_end = n->back ? NODE_DONE : NODE_RETURNED;
    FILL(n->reason, SAY(e, "VM %s could not be moved: %s", e->fleet.vms.items[m->vm].vm.id, why));
}

/* A receiver without a connection is waited for as long as any node may be out of reach (O17), and then is none. */
static bool receiver_is_out(const struct engine *e, uint32_t to)
{
    const struct engine_node *r = &e->nodes[to];

    return !r->claimed &&
           (r->refused || e->now - later(r->lost_at, e->woke_at) >= e->rollout->policy.unreachable_ms);
}

static bool start_move(struct engine *e, struct engine_node *n, struct node_move *m)
{
    const struct fleet_vm *v = &e->fleet.vms.items[m->vm];

    if (v->gone || (v->at != n->ix && v->at != IX_NONE)) {
        m->state = MOVE_LANDED; /* somebody else was quicker, or a move of ours that its node knew no more */
        if (!v->gone && m->tries > 0 && v->at == m->to)
            move_made(e, m->vm, n->ix);
        fleet_promise(&e->fleet, m->vm, IX_NONE);
        return true;
    }
    if (receiver_is_out(e, m->to) && !retarget(e, n, m, RECEIVER_OUT)) {
        move_failed(e, n, m, RECEIVER_OUT);
        return true;
    }
    if (!move_may_start(e, m->vm, m->to) || m->not_before > e->now)
        return false;
    if (e->clusters[n->cluster].seen_at >= n->step_since || !e->fleet.nodes[m->to].receives) {
        const char *why = may_land(e, m->vm, m->to);

        if (why != NULL && !retarget(e, n, m, why)) {
            move_failed(e, n, m, why);
            return true;
        }
        if (!move_may_start(e, m->vm, m->to))
            return false;
    }
    m->state = MOVE_FLYING;
    n->moves_open++;
    move_start(e, m->vm, m->to, m->unproved, false);
    return true;
}

/* True: it goes home without. */
static bool drain_blind(struct engine *e, struct engine_node *n)
{
    if (n->moves_open > 0 || !cluster_unseen(e, n))
        return false;
    node_give_up(e, n, n->go_home ? n->go_end : NODE_RETURNED,
                 SAY(e, "no whole picture of its cluster: %s", e->clusters[n->cluster].why));
    return true;
}

/* Others may have changed what decides where a VM may go, or whether the node belongs to the cluster, since that was looked
 * at: a slow pause, a slow move or a controller's absence leaves the picture old (I7, I16). True: it waits, or goes home. */
static bool picture_is_old(struct engine *e, struct engine_node *n)
{
    struct engine_cluster *c = &e->clusters[n->cluster];

    if (cluster_fresh(e, c))
        return false;
    if (drain_blind(e, n))
        return true;
    node_waits(e, n, "a fresh picture of the cluster");
    node_wake(e, n, MOVE_POLL_MS);
    cluster_want(e, c);
    return true;
}

/* I16: the cluster does not have it any more: nothing further leaves it before a person has looked. */
static bool left_its_cluster(const struct engine *e, const struct engine_node *n)
{
    return e->seen[n->ix] == SEEN_DOWN;
}

static bool put_aside(struct engine *e, struct engine_node *n)
{
    node_give_up(e, n, NODE_SET_ASIDE, "I16: the cluster does not have the node any more, or not in service");
    return true;
}

/* Once more: a while after a boot the cluster may not have it yet; others may have evicted it meanwhile, for good. What was seen
 * before that boot was verified, or before a person decided, says nothing of who has ended its pause. */
static bool pause_once_more(struct engine *e, struct engine_node *n)
{
    struct engine_cluster *c = &e->clusters[n->cluster];
    bool member = e->seen[n->ix] == SEEN_UP || e->seen[n->ix] == SEEN_PAUSED;
    bool fresh = cluster_fresh(e, c) && c->seen_at >= n->paused_at && c->seen_at >= n->step_since;

    if (fresh && member) {
        op_start(e, n, ACT_PAUSE);
        return false;
    }
    if (fresh && node_waited(e, n, c->seen_at) > JOIN_LIMIT_MS)
        return put_aside(e, n);
    if (drain_blind(e, n))
        return true;
    node_waits(e, n, "I16: the cluster to say that it has the node");
    if (!fresh || e->now - c->seen_at >= STEP_AGAIN_MS)
        cluster_want(e, c);
    node_wake(e, n, STEP_AGAIN_MS);
    return false;
}

/* The first pause is begun in the step that admits it. Tried again after that, what it was admitted on may be old (O26). */
static bool drive_pause(struct engine *e, struct engine_node *n)
{
    if (n->paused)
        return pause_once_more(e, n);
    if (!cluster_fresh(e, &e->clusters[n->cluster])) {
        node_withdraw(e, n, PAUSE_NOT_BEGUN, false);
        return true;
    }
    op_start(e, n, ACT_PAUSE);
    return false;
}

static bool moves_pending(const struct engine_node *n)
{
    for (uint32_t i = 0; i < n->moves.n; i++)
        if (n->moves.items[i].state == MOVE_PENDING)
            return true;
    return false;
}

static const char *moves_wait_for(struct engine *e, const struct engine_node *n)
{
    for (uint32_t i = 0; i < n->moves.n; i++) {
        const struct node_move *m = &n->moves.items[i];

        if (m->state == MOVE_PENDING && !e->nodes[m->to].claimed)
            return SAY(e, "the connection to the receiver %s", e->inv->nodes[m->to].id);
    }
    return "O19: a migration slot";
}

/* List scheduling in the proof's order: whoever finds both ends free starts. */
static bool drive_moves(struct engine *e, struct engine_node *n)
{
    uint32_t pending = 0;

    if (moves_pending(n) && !n->go_home) {
        if (picture_is_old(e, n))
            return n->phase != NODE_DRAINING;
        if (left_its_cluster(e, n))
            return n->moves_open == 0 && put_aside(e, n);
    }
    for (uint32_t i = 0; i < n->moves.n; i++) {
        struct node_move *m = &n->moves.items[i];

        if (m->state == MOVE_PENDING && !n->go_home && !n->pause_lost && !start_move(e, n, m))
            pending++;
    }
    if (n->moves_open > 0)
        return false;
    if (n->go_home)
        return true;
    if (pending > 0) {
        node_waits(e, n, moves_wait_for(e, n));
        node_wake(e, n, MOVE_POLL_MS);
        if (e->clusters[n->cluster].strangers > 0)
            cluster_want_later(e, &e->clusters[n->cluster]);
        return false;
    }
    node_step(e, n, DRAIN_PARKS);
    return true;
}

static struct node_move *flying(struct engine_node *n, uint32_t vm)
{
    for (uint32_t i = 0; i < n->moves.n; i++)
        if (n->moves.items[i].vm == vm && n->moves.items[i].state == MOVE_FLYING)
            return &n->moves.items[i];
    return NULL;
}

static void move_refused(struct engine *e, struct engine_node *n, struct node_move *m,
                         const struct op_end *end)
{
    const char *why = end->text[0] != '\0' ? end->text : end->code;
    uint32_t tries = ++m->tries;
    /* No room at the receiver, or taken up: the move itself was not refused. */
    bool waits = strcmp(end->code, "capacity") == 0 || strcmp(end->code, "busy") == 0;
    bool final = m->unproved && !waits; /* O16: patched to unpatched, refused: this node's rollback ends */

    m->state = MOVE_PENDING;
    if (strcmp(end->code, "not_found") == 0) {
        m->state = MOVE_LANDED;
    } else if (!final && strcmp(end->code, "busy") == 0 && tries <= BUSY_TRIES) {
        e->clusters[n->cluster]
            .strangers++; /* it may be on its way, and not by this op: until it is seen again */
        m->not_before = e->now + MOVE_AGAIN_MS;
        fleet_promise(&e->fleet, m->vm, m->to);
    } else if (final || tries > e->rollout->policy.moves_per_vm || !retarget(e, n, m, why)) {
        move_failed(e, n, m, why);
    }
}

void drain_move_ended(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    struct node_move *m = flying(n, end->vm);

    if (m != NULL) {
        assert(n->moves_open > 0);
        n->moves_open--;
        if (end->ok)
            m->state = MOVE_LANDED;
        else if (end->cancelled)
            m->state = MOVE_GIVEN_UP;
        else
            move_refused(e, n, m, end);
    }
    timer_stop(&e->timers, &n->wake);
    moves_pump(e, &e->clusters[n->cluster]);
    cluster_dirty(e, &e->clusters[n->cluster]);
}

/* steps */

static bool drive_prove(struct engine *e, struct engine_node *n)
{
    struct engine_cluster *c = &e->clusters[n->cluster];
    const char *why;

    if (picture_is_old(e, n)) /* that would be no refusal: nobody has looked */
        return n->phase != NODE_DRAINING;
    if (c->seen_at < n->step_since) {
        node_waits(e, n, "a fresh picture of the cluster");
        node_wake(e, n, MOVE_POLL_MS);
        cluster_want(e, c);
        return false;
    }
    if (!drain_prove(e, n)) {
        node_give_up(e, n, NODE_RETURNED,
                     SAY(e, "%s: %s", e->proof.rule == NULL ? "C2" : e->proof.rule, e->proof.reason));
        return true;
    }
    why = over_moves(e, n);
    if (why != NULL) {
        node_give_up(e, n, NODE_RETURNED, why);
        return true;
    }
    drain_take_proof(e, n, &e->proof);
    deviation(e, "C2", n->ix, SAY(e, "%u more VMs have to leave the node", e->proof.moves.n));
    node_step(e, n, DRAIN_MOVES);
    return true;
}

/* It was proved when the drain began; a node that was away since, or is drained once more, may be past it (O4, I9). */
static bool consent_is_over(struct engine *e, struct engine_node *n, uint32_t vm)
{
    const char *id = e->fleet.vms.items[vm].vm.id;
    const struct consent *c = rollout_consent(e->rollout, id);

    if (c != NULL && c->expires > e->now)
        return false;
    node_give_up(e, n, NODE_RETURNED, SAY(e, "O4: the consent to park VM %s has expired", id));
    return true;
}

static bool drive_parks(struct engine *e, struct engine_node *n)
{
    for (uint32_t i = 0; i < n->parks.n; i++) {
        if (!n->parks.items[i].down || n->parks.items[i].again) {
            if (picture_is_old(e, n))
                return n->phase != NODE_DRAINING;
            if (left_its_cluster(e, n))
                return put_aside(e, n);
            if (consent_is_over(e, n, n->parks.items[i].vm))
                return true;
            n->park_at = i;
            op_start(e, n, ACT_PARK_VM);
            return false;
        }
    }
    node_step(e, n, DRAIN_GROUPS);
    return true;
}

bool drain_drive(struct engine *e, struct engine_node *n)
{
    if (n->pause_lost && !n->go_home && n->moves_open == 0) {
        node_give_up(e, n, NODE_SET_ASIDE,
                     PAUSE_LOST); /* a drain of its own, which nothing has admitted (I2 to I14) */
        return true;
    }
    if (n->go_home && n->moves_open == 0) {
        if (n->pause_in_doubt && !n->paused && picture_is_old(e, n))
            return n->phase != NODE_DRAINING; /* whether it is out the cluster says (I29) */
        node_home(e, n, n->go_end,
                  n->reason[0] != '\0' ? SAY(e, "%s", n->reason) : "stopped before anything was changed");
        return true;
    }
    switch ((enum drain_step)n->step) {
    case DRAIN_PAUSE:
        return drive_pause(e, n);
    case DRAIN_PROVE:
        return drive_prove(e, n);
    case DRAIN_MOVES:
        return drive_moves(e, n);
    case DRAIN_PARKS:
        return drive_parks(e, n);
    case DRAIN_GROUPS:
        op_start(e, n, ACT_MOVE_GROUPS);
        return false;
    case DRAIN_EMPTY:
        ask_node(e, n, OBSERVE_EMPTY);
        return false;
    }
    return false;
}

static bool step_again(struct engine *e, struct engine_node *n, enum action a)
{
    if (!action_may_repeat(e, n, a))
        return false;
    node_wake(e, n, STEP_AGAIN_MS);
    return true;
}

/* Others have ended it before anybody heard of it: a pause that is found now may be theirs (O7). */
static void pause_was_undone(struct engine *e, struct engine_node *n)
{
    if (n->paused) /* before another boot */
        n->pause_lost = true;
    else if (n->go_home)
        n->pause_in_doubt = true;
    else
        node_withdraw(e, n, "somebody else has ended our pause before its end was heard (O7)", true);
}

static void pause_ended(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    if (end->ok && end->undone) {
        pause_was_undone(e, n);
        return;
    }
    if (end->ok) {
        n->paused = true;
        n->paused_at = e->now;
        n->pause_in_doubt = n->pause_lost = false;
        node_step(e, n, DRAIN_MOVES);
        return;
    }
    if (end->cancelled && n->go_home)
        return; /* nothing was begun */
    if (strcmp(end->code, "busy") == 0 && action_may_repeat(e, n, ACT_PAUSE)) {
        if (!n->paused) /* in service: that is to be decided anew */
            node_withdraw(e, n, PAUSE_NOT_BEGUN, false);
        node_wake(e, n, STEP_AGAIN_MS);
        return;
    }
    if (n->pause_in_doubt && strcmp(end->code, "found_paused") == 0) {
        node_end(e, n, NODE_STUCK,
                 "found paused, and perhaps by our own pause, of which its journal does not tell (O7)");
        return;
    }
    if (strcmp(end->code, "found_paused") == 0)
        e->seen[n->ix] = SEEN_PAUSED; /* it has said so itself */
    /* Refused: nothing changed, and a pause that was found is not ours to end (O7). Failed: it may be half done. */
    n->paused |= !(end->refused || end->cancelled);
    n->pause_lost |= end->undone;
    n->pause_in_doubt |= end->undone;
    node_give_up(e, n, NODE_SET_ASIDE, SAY(e, "pause: %s %s", end->code, end->text));
}

/* By us, or perhaps by us: it is owed a way back (I9), and its minutes are counted from here where nobody knows better. */
static void park_down(const struct engine *e, struct node_park *k, const struct op_end *end)
{
    k->down = true;
    if (k->down_since == 0)
        k->down_since = end->down_from != 0 ? end->down_from : end->ended != 0 ? end->ended : e->now;
}

static void park_ended(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    struct node_park *k = &n->parks.items[n->park_at];

    if (end->ok) {
        park_down(e, k, end);
        k->again = false;
        fleet_park(&e->fleet, k->vm, true);
        e->clusters[n->cluster].moved_at = e->now;
    } else if (end->cancelled && n->go_home) {
        park_down(e, k, end); /* undoing nothing succeeds */
    } else if (!step_again(e, n, ACT_PARK_VM) || !end->refused) {
        if (!end->refused) /* half down: it is unparked on the way home */
            park_down(e, k, end);
        node_give_up(e, n, NODE_RETURNED,
                     SAY(e, "VM %s could not be parked: %s %s", e->fleet.vms.items[k->vm].vm.id, end->code,
                         end->text));
    }
}

void drain_op_ended(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    if (end->action == ACT_PAUSE)
        pause_ended(e, n, end);
    else if (end->action == ACT_PARK_VM)
        park_ended(e, n, end);
    else if (end->ok)
        node_step(e, n, DRAIN_EMPTY);
    else if (!step_again(e, n, end->action))
        node_give_up(e, n, NODE_RETURNED,
                     SAY(e, "%s: %s %s", action_name(end->action), end->code, end->text));
}

static bool only_groups(const struct empty_facts *f)
{
    for (uint32_t i = 0; i < f->n_left; i++)
        if (strcmp(f->left[i].kind, "group") != 0 && strcmp(f->left[i].kind, "csv") != 0)
            return false;
    return true;
}

static void not_empty(struct engine *e, struct engine_node *n, const struct empty_facts *f)
{
    const char *what = f->n_left == 0            ? "something"
                       : f->left[0].name != NULL ? f->left[0].name
                                                 : f->left[0].id;

    if (only_groups(f) && action_may_repeat(e, n, ACT_MOVE_GROUPS)) {
        node_step(e, n, DRAIN_GROUPS);
        node_wake(e, n, STEP_AGAIN_MS);
    } else if (!only_groups(f) && ++n->proofs < PROOFS_MAX) {
        node_step(e, n, DRAIN_PROVE);
    } else {
        node_give_up(e, n, NODE_RETURNED, SAY(e, "O2: the node is not empty: %s is left", what));
    }
}

void drain_observed(struct engine *e, struct engine_node *n, const struct event *ev)
{
    if (n->step != DRAIN_EMPTY)
        return;
    if (!ev->u.observed.ok) {
        if (!node_again(e, n, 5, STEP_AGAIN_MS))
            node_give_up(e, n, NODE_RETURNED, "O2: the node does not tell whether it is empty");
    } else if (ev->u.observed.empty.empty) {
        node_to(e, n, NODE_EMPTIED);
    } else {
        not_empty(e, n, &ev->u.observed.empty);
    }
}
