/* One node's way up to its admission, its ends, and the doors between phases. */
#include "orchestrator/core/engine_state.h"

#include <string.h>

#define CHECK_AGAIN_MS (60 * SECOND_MS)
#define PICTURE_POLL_MS (5 * SECOND_MS)
#define CHECK_TRIES 10
#define STAGE_TRIES 3
#define STAGE_FLOOR_MS (30 * MINUTE_MS)

const char *node_id(const struct engine *e, const struct engine_node *n)
{
    return e->inv->nodes[n->ix].id;
}

bool node_in_flight(const struct engine_node *n)
{
    return (node_phases[n->phase].flags & NODE_COUNTS_AS_OUT) != 0;
}

bool node_is_unknown(const struct engine_node *n)
{
    return n->unknown_ops > 0 || n->lost_unknown || n->foreign_op;
}

/* Unknown counts against the budget while it lasts (O17). */
void node_unknown(struct engine *e, struct engine_node *n, bool was)
{
    bool is = node_is_unknown(n);

    if (is == was)
        return;
    e->unknown = is ? e->unknown + 1 : e->unknown - 1;
    e->moved_at = e->now; /* from here on it may hold */
    if (n->wave != IX_NONE)
        e->waves[n->wave].unknown = is ? e->waves[n->wave].unknown + 1 : e->waves[n->wave].unknown - 1;
    if (is)
        engine_note(e, NOTE_WARNING, "O17", n->ix, n->doubt);
    e->clusters_dirty = true;
}

void node_waits(struct engine *e, struct engine_node *n, const char *text)
{
    (void)e;
    FILL(n->waits, text);
}

void node_to(struct engine *e, struct engine_node *n, enum node_phase phase)
{
    bool was = node_in_flight(n);

    assert(sm_may(node_phases, n->phase, phase));
    n->phase = phase;
    n->since = e->now;
    n->tries = 0;
    n->waits[0] = '\0';
    node_step(e, n, 0);
    timer_stop(&e->timers, &n->wake);
    e->in_flight = e->in_flight + node_in_flight(n) - was;
    e->moved_at = e->now;
}

void node_step(struct engine *e, struct engine_node *n, uint32_t step)
{
    n->step = step;
    n->step_since = e->now;
    n->tries = 0;
}

void node_wake(struct engine *e, struct engine_node *n, dur_ms after)
{
    engine_timer(e, &n->wake, e->now + after);
}

time_ms engine_awake_since(const struct engine *e)
{
    return later(e->controller_at, e->woke_at);
}

dur_ms node_waited(const struct engine *e, const struct engine_node *n, time_ms at)
{
    return at - later(n->since, engine_awake_since(e));
}

bool node_again(struct engine *e, struct engine_node *n, uint32_t tries, dur_ms after)
{
    if (++n->tries > tries)
        return false;
    node_wake(e, n, after);
    return true;
}

bool node_ready(const struct engine_node *n)
{
    return n->phase == NODE_STAGING && (n->staged || n->back) && n->ask == NULL && n->wake.pos == 0;
}

/* checking and staging */

static void stage(struct engine *e, struct engine_node *n)
{
    dur_ms p95 =
        predict_step(e->predictor, n->ix, PREDICT_STAGE).p95 * (dur_ms)e->rollout->policy.timeout_factor;
    struct command *c = engine_command(e, CMD_STAGE);

    c->node = n->ix;
    c->limit_ms = p95 > STAGE_FLOOR_MS ? p95 : STAGE_FLOOR_MS;
    n->staging = true;
}

static bool prepare_drive(struct engine *e, struct engine_node *n)
{
    if (n->phase == NODE_CHECKING) {
        ask_node(e, n, OBSERVE_FACTS);
        return false;
    }
    if (!n->staged && !n->back) {
        stage(e, n);
        return false;
    }
    cluster_dirty(e, &e->clusters[n->cluster]);
    return false;
}

void node_staged(struct engine *e, const struct event *ev)
{
    struct engine_node *n = &e->nodes[ev->node];

    if (!n->staging)
        return;
    n->staging = false;
    e->moved_at = e->now;
    n->staged = ev->u.staged.ok;
    if (ev->u.staged.ok) {
        if (ev->u.staged.took > 0)
            predictor_measured(e->predictor, n->ix, PREDICT_STAGE, ev->u.staged.took);
    } else if (n->phase == NODE_STAGING && !node_again(e, n, STAGE_TRIES, CHECK_AGAIN_MS)) {
        node_give_up(e, n, NODE_SET_ASIDE,
                     SAY(e, "staging failed: %s", ev->u.staged.text == NULL ? "" : ev->u.staged.text));
    }
    node_drive(e, n);
}

static void refuse(struct engine *e, struct engine_node *n, const char *why)
{
    node_give_up(e, n, NODE_SET_ASIDE, why);
}

/* Forward only: is there anything to do, and may it be done? What an attempt of this run has put in, and nobody verified, goes the
 * whole way once more (I17). What another log has put in before its first attempt here is found like anybody's: at the target, it is
 * not drained for that; a rollback takes it out all the same. */
static bool judge_forward(struct engine *e, struct engine_node *n)
{
    if (n->before.pending) {
        if (e->rollout->policy.pending == PENDING_REFUSE) {
            refuse(e, n, "O11: a reboot is pending from before");
            return false;
        }
        n->goal = GOAL_REBOOT_FIRST;
    } else if (build_compare(n->before.level, e->rollout->patch.target) >= 0 &&
               (n->attempt <= 1 || !n->patched_by_us)) {
        e->fleet.nodes[n->ix].patched = true;
        node_end(e, n, NODE_COMPLIANT, "at the target or newer already");
        return false;
    }
    return true;
}

/* O6: movability is judged between both nodes' facts; of these the virtual switches are kept. */
static void keep_facts(struct engine *e, struct engine_node *n, const struct node_facts *f)
{
    const char **switches;

    e->fleet.nodes[n->ix].facts = NULL;
    arena_clear(&n->facts_arena);
    switches = ARENA_ARRAY(&n->facts_arena, const char *, f->n_switches);
    e->nomem |= switches == NULL;
    for (uint32_t i = 0; switches != NULL && i < f->n_switches; i++) {
        switches[i] = arena_str(&n->facts_arena, f->switches[i]);
        e->nomem |= switches[i] == NULL;
    }
    if (e->nomem)
        return;
    if (f->memory_mib > 0) { /* capacity as it is now, not as it was planned with (I2) */
        e->fleet.nodes[n->ix].memory_mib = f->memory_mib;
        e->fleet.nodes[n->ix].host_reserve_mib = f->host_reserve_mib;
    }
    n->facts_at = n->asked_at; /* the answer may have waited: they are as old as the question */
    n->facts_failed = false;
    n->facts.switches = switches;
    n->facts.n_switches = f->n_switches;
    e->fleet.nodes[n->ix].facts = &n->facts;
}

static void tell_hotpatched(struct engine *e, const struct engine_node *n, const struct node_facts *f)
{
    char level[32];

    engine_note(e, NOTE_WARNING, "I17", n->ix,
                f->level == 0 ? "hotpatched, and its cumulative updates are not told: not counted as patched"
                              : SAY(e, "hotpatched: counted as %s, the level of its newest cumulative update",
                                    build_text(facts_level(f), level)));
}

void node_suppose_patched(struct engine *e, struct engine_node *n)
{
    if (!n->patched_by_us || n->supposed_at != 0)
        n->supposed_at = e->now;
    n->patched_by_us = true;
}

/* I12: another log may have taken it out, or a boot what was never verified; and what was given up need never have been in. Nothing
 * is drained for what is not in. Before the boot of what was told as made the build says nothing. */
static bool nothing_to_remove(struct engine *e, struct engine_node *n)
{
    bool booted = n->boot_effect_first[0] != '\0' && strcmp(n->boot_id, n->boot_effect_first) != 0;
    dur_ms left = n->supposed_at + DRIVER_LEFT_MS - e->now;

    if (!n->in_rollback || !(booted || n->supposed_at != 0) || n->before.pending ||
        build_compare(n->build_now, e->rollout->patch.target) >= 0)
        return false;
    if (!booted && left > 0) {
        node_wake(e, n, left);
        node_waits(e, n, "whether an installation is left on it");
        return true;
    }
    n->patched_by_us = false;
    node_end(e, n, NODE_SET_ASIDE, "I12: its build is below the patch's: there is nothing to take out");
    return true;
}

static void judge_facts(struct engine *e, struct engine_node *n, const struct node_facts *f)
{
    if (f->cluster != NULL && strcmp(f->cluster, e->inv->clusters[n->cluster].id) != 0) {
        refuse(e, n, SAY(e, "I16: the node says it belongs to cluster %s", f->cluster));
        return;
    }
    if (n->life == 1 && n->attempt == 1) {
        n->build_first = f->build;
        n->level_first = facts_level(f);
    }
    n->build_now = f->build;
    record_take(&n->before, f, n->asked_at);
    keep_facts(e, n, f);
    if (f->hotpatch && n->phase == NODE_CHECKING && n->life == 1)
        tell_hotpatched(e, n, f);
    if (!n->before.idle) {
        if (!node_again(e, n, CHECK_TRIES, CHECK_AGAIN_MS))
            refuse(e, n, "O26: servicing is in progress on the node");
        else
            node_waits(e, n, "O26: servicing is in progress on the node");
        return;
    }
    if (n->phase == NODE_CHECKING && n->before.bitlocker && n->attempts[ACT_BITLOCKER] == 0 && n->life == 1)
        engine_note(e, NOTE_WARNING, "O12", n->ix,
                    "the OS volume is protected by BitLocker: check that the recovery key is escrowed");
    if (n->back ? nothing_to_remove(e, n) : !judge_forward(e, n))
        return;
    if (n->phase == NODE_CHECKING)
        node_to(e, n, NODE_STAGING);
}

static void prepare_observed(struct engine *e, struct engine_node *n, const struct event *ev)
{
    if (ev->u.observed.ok)
        judge_facts(e, n, &ev->u.observed.facts);
    else if (!node_again(e, n, CHECK_TRIES, CHECK_AGAIN_MS))
        refuse(e, n, SAY(e, "no facts: %s", ev->u.observed.text == NULL ? "" : ev->u.observed.text));
}

/* A node that is asked because others depend on it: a receiver. */
static void receiver_observed(struct engine *e, struct engine_node *n, const struct event *ev)
{
    if (ev->u.observed.what != OBSERVE_FACTS)
        return;
    n->facts_failed = !ev->u.observed.ok;
    if (ev->u.observed.ok)
        keep_facts(e, n, &ev->u.observed.facts);
    cluster_dirty(e, &e->clusters[n->cluster]);
}

/* After another start the cluster says first whether the node is in service: then it is known what becomes of it (I29). */
static bool not_looked_at(const struct engine *e, const struct engine_node *n)
{
    return e->resumed && !n->seen && e->clusters[n->cluster].seen_at < e->controller_at &&
           e->now - e->controller_at < e->rollout->policy.unreachable_ms;
}

/* Gone for too long before its first effect, or not to be trusted: set aside (O17, I16). */
static void prepare_unclaimed(struct engine *e, struct engine_node *n)
{
    if (n->phase != NODE_CHECKING && n->phase != NODE_STAGING)
        return;
    if (n->refused && not_looked_at(e, n)) {
        node_waits(e, n, "a fresh picture of the cluster");
        node_wake(e, n, PICTURE_POLL_MS);
    } else if (n->refused) {
        refuse(e, n, n->lost_why);
    } else if (e->now - claim_gone_since(e, n) >= e->rollout->policy.unreachable_ms) {
        refuse(e, n, n->lost_why[0] == '\0' ? "unreachable" : SAY(e, "unreachable: %s", n->lost_why));
    } else {
        node_waits(e, n, "the connection to the node");
    }
}

/* dispatch by phase */

static bool drive_nothing(struct engine *e, struct engine_node *n)
{
    (void)e, (void)n;
    return false;
}

static const struct phase_row {
    bool (*drive)(struct engine *, struct engine_node *);
    void (*op_ended)(struct engine *, struct engine_node *, const struct op_end *);
    void (*observed)(struct engine *, struct engine_node *, const struct event *);
} phase_rows[NODE_PHASES] = {
    [NODE_PENDING] = { drive_nothing, NULL, receiver_observed },
    [NODE_CHECKING] = { prepare_drive, NULL, prepare_observed },
    [NODE_STAGING] = { prepare_drive, NULL, prepare_observed },
    [NODE_DRAINING] = { drain_drive, drain_op_ended, drain_observed },
    [NODE_EMPTIED] = { effect_drive, effect_op_ended, NULL },
    [NODE_STORAGE_OUT] = { effect_drive, effect_op_ended, NULL },
    [NODE_STOPPING_VMMS] = { effect_drive, effect_op_ended, NULL },
    [NODE_INSTALLING] = { effect_drive, effect_op_ended, NULL },
    [NODE_REMOVING] = { effect_drive, effect_op_ended, NULL },
    [NODE_REBOOTING] = { effect_drive, effect_op_ended, effect_observed },
    [NODE_VERIFYING] = { effect_drive, effect_op_ended, effect_observed },
    [NODE_STARTING_VMMS] = { home_drive, home_op_ended, NULL },
    [NODE_STORAGE_IN] = { home_drive, home_op_ended, NULL },
    [NODE_RESUMING] = { home_drive, home_op_ended, home_observed },
    [NODE_SETTLING] = { home_drive, home_op_ended, NULL },
    [NODE_ENDED] = { drive_nothing, NULL, receiver_observed },
};

/* A cluster's setting is not the node's own: it keeps none that is out of reach from being given up (I27). */
static bool is_kept(const struct engine_node *n)
{
    return n->op != NULL && (n->claimed || n->op->action != ACT_CLUSTER_SETTING);
}

void node_drive(struct engine *e, struct engine_node *n)
{
    if (e->stopped || is_kept(n) || n->ask != NULL || n->staging || n->wake.pos != 0)
        return;
    if (!n->claimed) {
        prepare_unclaimed(e, n);
        return;
    }
    if (n->foreign_op) {
        node_waits(e, n, "a person's decision about an operation that is not in this log");
        stray_watch(e, n);
        return;
    }
    while (n->op == NULL && n->ask == NULL && phase_rows[n->phase].drive(e, n)) {
    }
}

void node_op_ended(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    if (phase_rows[n->phase].op_ended != NULL)
        phase_rows[n->phase].op_ended(e, n, end);
}

void node_observed(struct engine *e, struct engine_node *n, const struct event *ev)
{
    if (phase_rows[n->phase].observed != NULL)
        phase_rows[n->phase].observed(e, n, ev);
    node_drive(e, n);
}

/* lives and ends */

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
    return (n->pause_in_doubt || e->overtook) && e->seen[n->ix] == SEEN_PAUSED;
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

/* Of a life whose turn never came: what the lives before it came to, and patched as before is not one that others have taken out of
 * service since, or whose storage is not whole (I17). After a rehearsal's second life the patch is off. */
enum node_end unbegun_end(const struct engine *e, const struct engine_node *n)
{
    if (n->back)
        return e->seen[n->ix] == SEEN_UP && cluster_clean(e, &e->clusters[n->cluster]) ? back_end(n)
                                                                                       : NODE_SET_ASIDE;
    return n->rehearsal == 2 ? NODE_ROLLED_BACK : NODE_NOT_STARTED;
}

void node_give_up(struct engine *e, struct engine_node *n, enum node_end end, const char *text)
{
    if (!n->back)
        node_fail(e, n);
    node_home(e, n, n->back ? back_end(n) : end, text);
}

/* To the next safe point, as in abort: what has begun goes on, what has not begun is not begun. */
void node_safe_point(struct engine *e, struct engine_node *n)
{
    if (n->phase == NODE_ENDED || n->phase == NODE_PENDING)
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

/* O12 */

static uint64_t hash_text(uint64_t h, const char *text)
{
    for (; text != NULL && *text != '\0'; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return (h ^ 0xff) * 1099511628211u;
}

#define HASH_START 14695981039346656037u

void record_take(struct node_record *r, const struct node_facts *f, time_ms at)
{
    memset(r, 0, sizeof *r);
    r->known = true;
    r->at = at;
    r->memory_mib = f->memory_mib;
    r->cpus = f->cpus;
    r->storage_paths = f->storage_paths;
    r->build = f->build;
    r->level = facts_level(f);
    r->pending = f->pending_reboot;
    r->idle = f->servicing_idle;
    r->bitlocker = f->bitlocker_os_volume != NULL && strcmp(f->bitlocker_os_volume, "on") == 0;
    /* Sums over the items: their order says nothing. */
    for (uint32_t i = 0; i < f->n_switches; i++)
        r->switches += hash_text(HASH_START, f->switches[i]);
    for (uint32_t i = 0; i < f->n_interfaces; i++)
        r->interfaces += hash_text(hash_text(HASH_START, f->interfaces[i].name), f->interfaces[i].state);
    r->bitlocker_state = hash_text(HASH_START, f->bitlocker_os_volume);
    r->attestation = hash_text(HASH_START, f->attestation);
    FILL(r->boot_id, f->boot_id);
}

const char *record_differs(const struct node_record *before, const struct node_record *now)
{
    if (before->memory_mib != now->memory_mib)
        return "memory";
    if (before->cpus != now->cpus)
        return "logical processors";
    if (before->switches != now->switches)
        return "virtual switches";
    if (before->interfaces != now->interfaces)
        return "cluster interfaces";
    if (before->storage_paths != now->storage_paths)
        return "storage paths";
    if (before->bitlocker_state != now->bitlocker_state)
        return "BitLocker";
    if (before->attestation != now->attestation)
        return "attestation";
    return NULL;
}
