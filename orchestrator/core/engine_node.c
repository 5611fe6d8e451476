/* One node's way up to its admission, the doors between phases, and the record that its way home compares (O12). */
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
/* An answer may have waited while the controller was stopped: facts are as old as the question. On a node that takes longer than that
 * for each answer none would ever be fresh: there they are as old as the answer. */
static time_ms facts_time(const struct engine *e, const struct engine_node *n)
{
    bool slow = e->now - n->asked_at > e->rollout->policy.fresh_ms && e->woke_at <= n->asked_at;

    return slow ? e->now : n->asked_at;
}

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
    n->facts_at = facts_time(e, n);
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
    record_take(&n->before, f, facts_time(e, n));
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
