/* From empty to verified: storage maintenance, vmms, the package, the boot, the proof (O3, O8 to O14). */
#include "orchestrator/core/engine_state.h"

#include <string.h>

#define STEP_AGAIN_MS (30 * SECOND_MS)
#define VERIFY_POLL_MS (15 * SECOND_MS)
#define VERIFY_FLOOR_MS (20 * MINUTE_MS)
#define BOOT_WAIT_MS (20 * MINUTE_MS)
#define REBOOTS_MAX 3 /* of one life */
#define FACTS_TRIES 40
#define QUORUM_LIMIT_MS (4 * HOUR_MS)

static enum node_phase effect_phase(const struct engine_node *n)
{
    switch ((enum node_goal)n->goal) {
    case GOAL_INSTALL:
        return NODE_INSTALLING;
    case GOAL_REMOVE:
        return NODE_REMOVING;
    case GOAL_REBOOT_FIRST:
    case GOAL_REBOOT_AGAIN:
        break;
    }
    return NODE_REBOOTING;
}

static bool is_s2d(const struct engine *e, const struct engine_node *n)
{
    return e->inv->clusters[n->cluster].storage == STORAGE_S2D;
}

/* What comes before the effect and has its turn after `phase`. */
static enum node_phase before_effect(const struct engine *e, const struct engine_node *n,
                                     enum node_phase phase)
{
    if (phase < NODE_STORAGE_OUT && is_s2d(e, n))
        return NODE_STORAGE_OUT;
    if (phase < NODE_STOPPING_VMMS && e->rollout->policy.stop_vmms)
        return NODE_STOPPING_VMMS;
    return effect_phase(n);
}

static bool suspend_due(const struct engine *e, const struct engine_node *n)
{
    return e->rollout->policy.bitlocker_suspend && n->before.bitlocker && !n->suspended;
}

/* The effect of this life has not begun: nothing must be brought to its end. */
static bool untouched(const struct engine_node *n)
{
    return !n->installed && !(n->phase == NODE_REBOOTING && n->reboot_sent);
}

/* O20, once more at the last moment: a paused node votes until it goes down, and others may have gone since. */
static bool quorum_holds(const struct engine *e, const struct engine_node *n)
{
    const struct cluster *c = &e->inv->clusters[n->cluster];
    uint32_t witness = c->witness != WITNESS_NONE, all = witness;
    uint32_t up = witness != 0 && !e->clusters[n->cluster].witness_bad;

    for (uint32_t i = 0; i < c->n_nodes; i++) {
        const struct engine_node *other = &e->nodes[c->nodes[i]];
        bool votes = e->seen[other->ix] == SEEN_UP || e->seen[other->ix] == SEEN_PAUSED;

        all += e->inv->nodes[other->ix].vote;
        if (other != n && other->claimed && votes)
            up += e->inv->nodes[other->ix].vote;
    }
    return up * 2 > all;
}

static bool may_go_down(struct engine *e, struct engine_node *n)
{
    struct engine_cluster *c = &e->clusters[n->cluster];
    /* counted from the asking: a cluster that answers slowly must not be asked for ever */
    bool fresh = c->seen_at >= n->step_since && cluster_fresh(e, c);

    if (fresh && quorum_holds(e, n))
        return true;
    if (node_waited(e, n, e->now) > QUORUM_LIMIT_MS) {
        node_give_up(e, n, NODE_SET_ASIDE, "O20: quorum did not allow the reboot");
        return false;
    }
    node_waits(e, n, "O20: quorum for the reboot");
    bool again = !fresh || e->now - c->seen_at >= STEP_AGAIN_MS;
    if (again)
        cluster_want(e, c);
    if (!again || c->ask == NULL)
        node_wake(e, n, STEP_AGAIN_MS);
    return false;
}

static bool drive_reboot(struct engine *e, struct engine_node *n)
{
    if (n->reboot_sent) { /* it has happened; the node is back when it says a new boot id */
        if (strcmp(n->boot_id, n->boot_effect) != 0) {
            if (n->goal == GOAL_REBOOT_FIRST) {
                ask_node(e, n, OBSERVE_FACTS); /* what was pending may have changed the build */
                return false;
            }
            n->reboot_sent = false;
            node_to(e, n, NODE_VERIFYING);
            return true;
        }
        if (e->now - later(n->step_since, engine_awake_since(e)) > BOOT_WAIT_MS) {
            n->reboot_sent = false;
            node_give_up(e, n, NODE_SET_ASIDE, "the reboot was reported, the boot id is the old one");
            return true;
        }
        node_wake(e, n, VERIFY_POLL_MS);
        return false;
    }
    if (suspend_due(e, n)) {
        op_start(e, n, ACT_BITLOCKER);
        return false;
    }
    if (!may_go_down(e, n))
        return n->phase != NODE_REBOOTING;
    FILL(n->boot_effect, n->boot_id);
    op_start(e, n, ACT_REBOOT);
    return false;
}

/* The phases that are one op each. */
static void drive_op(struct engine *e, struct engine_node *n)
{
    if (n->phase == NODE_STORAGE_OUT) {
        n->storage_touched = true;
        op_start(e, n, ACT_STORAGE_OUT);
    } else if (n->phase == NODE_STOPPING_VMMS) {
        n->vmms_touched = true;
        op_start(e, n, ACT_STOP_VMMS);
    } else {
        FILL(n->boot_effect_first, n->boot_id);
        op_start(e, n, n->phase == NODE_INSTALLING ? ACT_INSTALL : ACT_UNINSTALL);
    }
}

/* in: something of ours may be in it, for a rollback to take out (I12). */
static void verify_failed(struct engine *e, struct engine_node *n, const char *why, bool in)
{
    if (!n->back) /* what it is now nobody vouches for: it is not a patched receiver */
        e->fleet.nodes[n->ix].patched = false;
    n->patched_by_us = in || (n->back && n->patched_by_us);
    node_give_up(e, n, NODE_SET_ASIDE,
                 SAY(e, "verify: the %s is %s", n->back ? "predecessor" : "package", why));
}

/* Whether it is in the node itself tells (O10). Until then it is for a rollback to take out (I12). */
static void look(struct engine *e, struct engine_node *n)
{
    node_suppose_patched(e, n);
    node_to(e, n, NODE_VERIFYING);
}

/* An attempt was found busy, by itself perhaps, and waits for its next. */
static bool tried(const struct engine_node *n)
{
    return n->phase == NODE_INSTALLING && n->attempts[ACT_INSTALL] > 0;
}

bool effect_drive(struct engine *e, struct engine_node *n)
{
    if (n->go_home && untouched(n) && tried(n)) {
        look(e, n);
        return true;
    }
    if (n->pause_lost && !n->go_home && untouched(n) &&
        n->phase < NODE_INSTALLING) { /* paused again, it is so by others */
        node_give_up(e, n, NODE_SET_ASIDE, PAUSE_LOST);
        return true;
    }
    if (n->go_home && untouched(n) && n->phase != NODE_VERIFYING) {
        node_home(e, n, n->go_end,
                  n->reason[0] != '\0' ? SAY(e, "%s", n->reason) : "stopped before the effect");
        return true;
    }
    if (n->go_home && n->installed &&
        n->phase < NODE_INSTALLING) { /* drained for another reboot: nothing new is begun (I12) */
        verify_failed(e, n, "still pending", n->patched_by_us);
        return true;
    }
    if (n->phase == NODE_EMPTIED) {
        node_to(e, n, before_effect(e, n, NODE_EMPTIED));
        return true;
    }
    if (n->phase == NODE_REBOOTING)
        return drive_reboot(e, n);
    if (n->phase == NODE_VERIFYING)
        ask_node(e, n, OBSERVE_VERIFY);
    else
        drive_op(e, n);
    return false;
}

static bool again(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    if (n->go_home || !action_may_repeat(e, n, end->action))
        return false;
    node_wake(e, n, STEP_AGAIN_MS);
    return true;
}

static void give_up(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    if (end->cancelled) {
        node_home(e, n, n->go_home ? n->go_end : NODE_RETURNED, "stopped before the effect");
        return;
    }
    node_give_up(e, n, NODE_SET_ASIDE, SAY(e, "%s: %s %s", action_name(end->action), end->code, end->text));
}

static void effect_made(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    n->installed = true;
    n->proved = false;
    n->supposed_at = 0;
    if (!n->back)
        n->patched_by_us = true;
    n->reboot_due = e->rollout->patch.reboot == REBOOT_ALWAYS || end->reboot_required;
    node_to(e, n, n->reboot_due ? NODE_REBOOTING : NODE_VERIFYING);
}

bool install_may_be_in(const char *code, enum op_outcome outcome, bool again)
{
    bool servicing = strcmp(code, "busy") == 0 || strcmp(code, "needs_reboot") == 0;

    return again || servicing || outcome == OUTCOME_FAILED;
}

static bool may_be_in(const struct engine_node *n, const struct op_end *end)
{
    enum op_outcome outcome = end->cancelled ? OUTCOME_CANCELLED
                              : end->refused ? OUTCOME_REFUSED
                                             : OUTCOME_FAILED;

    return end->action == ACT_INSTALL &&
           install_may_be_in(end->code, outcome, end->unseen || n->attempts[ACT_INSTALL] > 1);
}

static void effect_failed(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    if (end->action == ACT_UNINSTALL && strcmp(end->code, "not_removable") == 0) {
        /* O14: a refused removal is the answer for the package, not for the node alone. */
        e->removal_known = true;
        e->removal_possible = false;
        engine_note(e, NOTE_WARNING, "O14", n->ix, "the package cannot be removed");
        node_home(e, n, NODE_DONE, "not removable: stays patched and in service");
        return;
    }
    if (strcmp(end->code, "busy") == 0) { /* by this very step perhaps, its journal lost (I12, I17) */
        if (end->action == ACT_INSTALL)
            node_suppose_patched(e, n);
        if (again(e, n, end))
            return;
        n->proved = false;
    }
    if (!may_be_in(n, end)) {
        give_up(e, n, end);
        return;
    }
    if (!end->cancelled) {
        FILL(n->reason, SAY(e, "%s: %s %s", action_name(end->action), end->code, end->text));
        node_fail(e, n);
    }
    look(e, n);
}

static void reboot_ended(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    if (end->ok) {
        n->reboot_sent = true;
        n->vmms_touched = true; /* it starts by itself: wait for it (O8) */
        n->storage_touched |= is_s2d(e, n);
        n->suspended = false;
        n->reboots++;
        n->rebooted[0] = n->rebooted[1];
        n->rebooted[1] = e->now;
        n->step_since = e->now;
        return;
    }
    if (end->cancelled) /* not begun; what was made before it still needs one */
        node_wake(e, n, STEP_AGAIN_MS);
    else if (!again(e, n, end))
        node_give_up(e, n, NODE_SET_ASIDE, SAY(e, "reboot: %s %s", end->code, end->text));
}

static void bitlocker_ended(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    n->suspended = end->ok;
    if (!end->ok && !again(e, n, end))
        give_up(e, n, end);
}

static void effect_ended(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    if (end->ok)
        effect_made(e, n, end);
    else
        effect_failed(e, n, end);
}

/* storage_out, stop_vmms. Refused: back into service, untouched (O3, O8). */
static void prepared(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    if (end->ok)
        node_to(e, n, before_effect(e, n, n->phase));
    else if (strcmp(end->code, "busy") != 0 || !again(e, n, end))
        give_up(e, n, end);
}

void effect_op_ended(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    if (end->action == ACT_REBOOT)
        reboot_ended(e, n, end);
    else if (end->action == ACT_BITLOCKER)
        bitlocker_ended(e, n, end);
    else if (end->action == ACT_INSTALL || end->action == ACT_UNINSTALL)
        effect_ended(e, n, end);
    else
        prepared(e, n, end);
}

/* verifying */

enum verdict { VERDICT_WAIT, VERDICT_YES, VERDICT_NO, VERDICT_REBOOT };

static bool boot_is_new(const struct engine_node *n, const struct verify_facts *f)
{
    return !n->reboot_due || strcmp(f->boot_id, n->boot_effect_first) != 0;
}

static enum verdict judge_patched(const struct engine *e, const struct engine_node *n,
                                  const struct verify_facts *f)
{
    bool built = build_compare(f->build, e->rollout->patch.target) >= 0;

    if (!f->servicing_idle)
        return VERDICT_WAIT; /* the build may change before servicing has ended */
    if (f->pending || f->package == PACKAGE_INSTALL_PENDING)
        return VERDICT_REBOOT;
    if (facts_listed(f) && built && boot_is_new(n, f))
        return VERDICT_YES;
    return facts_listed(f) || built ? VERDICT_WAIT : VERDICT_NO;
}

static enum verdict judge_removed(const struct engine *e, const struct engine_node *n,
                                  const struct verify_facts *f)
{
    char build[32];

    (void)e;
    if (!f->servicing_idle)
        return VERDICT_WAIT;
    if (f->pending || f->package == PACKAGE_UNINSTALL_PENDING)
        return VERDICT_REBOOT;
    if (facts_listed(f))
        return VERDICT_NO;
    if (f->predecessor != NULL && strcmp(f->predecessor, build_text(n->level_first, build)) == 0 &&
        build_compare(f->build, n->build_first) == 0 && boot_is_new(n, f))
        return VERDICT_YES;
    return VERDICT_WAIT;
}

static void verified(struct engine *e, struct engine_node *n, const struct verify_facts *f)
{
    n->verified = true;
    n->proved = !n->back;
    n->build_now = f->build;
    n->patched_by_us = !n->back;
    e->fleet.nodes[n->ix].patched = !n->back;
    e->fleet.nodes[n->ix].due = 0;
    node_home(e, n, n->back ? NODE_ROLLED_BACK : NODE_DONE, "");
}

bool package_is_out(const struct verify_facts *f, const char *boot_effect)
{
    bool booted = boot_effect[0] != '\0' && strcmp(f->boot_id, boot_effect) != 0;

    return f->package == PACKAGE_UNINSTALL_PENDING || (f->package == PACKAGE_ABSENT && booted);
}

static const char *still_pending(const struct verify_facts *f, bool out)
{
    if (f->package == PACKAGE_UNINSTALL_PENDING)
        return "still pending: its removal waits for a reboot";
    return out ? "not there, and another reboot is pending" : "still pending";
}

static void reboot_again(struct engine *e, struct engine_node *n, const struct verify_facts *f)
{
    bool out = package_is_out(f, n->boot_effect_first);

    n->patched_by_us &= !out; /* a removal that waits for its boot is not made once more */
    if (n->reboots >= REBOOTS_MAX || n->go_home) {
        verify_failed(e, n, still_pending(f, out), !out);
        return;
    }
    engine_note(e, NOTE_DECISION, "O14", n->ix, "another reboot is needed");
    n->goal = GOAL_REBOOT_AGAIN;
    drain_once_more(e, n); /* a boot may have started VMs */
}

static dur_ms verify_limit(const struct engine *e, const struct engine_node *n)
{
    dur_ms p95 =
        predict_step(e->predictor, n->ix, PREDICT_VERIFY).p95 * (dur_ms)e->rollout->policy.timeout_factor;

    return p95 > VERIFY_FLOOR_MS ? p95 : VERIFY_FLOOR_MS;
}

/* O11: the planned reboot is over; the drain goes on from its start, a boot may have started VMs. */
static void rebooted_first(struct engine *e, struct engine_node *n, const struct event *ev)
{
    if (!ev->u.observed.ok) {
        node_waits(e, n, "O11: its facts after the reboot");
        if (n->claimed && !node_again(e, n, FACTS_TRIES, STEP_AGAIN_MS)) {
            n->reboot_sent = false;
            node_give_up(e, n, NODE_SET_ASIDE, "O11: the node tells no facts after the reboot");
        }
        return;
    }
    n->build_first = n->build_now = ev->u.observed.facts.build;
    n->level_first = facts_level(&ev->u.observed.facts);
    n->reboot_sent = false;
    if (ev->u.observed.facts.pending_reboot) {
        node_give_up(e, n, NODE_SET_ASIDE, "O11: a reboot is still pending after a reboot");
        return;
    }
    n->goal = GOAL_INSTALL;
    drain_once_more(e, n);
}

/* Verifying what was never told as made. It is not there: as if nobody had asked. A driver that was left behind is waited for. */
static void not_made(struct engine *e, struct engine_node *n)
{
    enum node_end end = n->failed ? NODE_SET_ASIDE : n->go_home ? n->go_end : NODE_RETURNED;

    if ((n->go_home || !n->failed) && node_waited(e, n, n->asked_at) < DRIVER_LEFT_MS) {
        node_wake(e, n, VERIFY_POLL_MS);
        return;
    }
    n->patched_by_us = false;
    node_home(e, n, end, n->reason[0] != '\0' ? SAY(e, "%s", n->reason) : "stopped before the effect");
}

static void looked(struct engine *e, struct engine_node *n, const struct verify_facts *f, enum verdict v)
{
    if (v == VERDICT_NO)
        not_made(e, n);
    else
        verify_failed(e, n,
                      SAY(e, "%s%s%s", v == VERDICT_YES ? "in, and was not told as made" : "still pending",
                          n->reason[0] == '\0' ? "" : "; ", n->reason),
                      !package_is_out(f, n->boot_effect_first));
}

static void verify_observed(struct engine *e, struct engine_node *n, const struct event *ev)
{
    const struct verify_facts *f = &ev->u.observed.verify;
    enum verdict v = VERDICT_WAIT;

    if (ev->u.observed.ok)
        v = n->back ? judge_removed(e, n, f) : judge_patched(e, n, f);
    if (v == VERDICT_YES || v == VERDICT_REBOOT || (ev->u.observed.ok && facts_listed(f)))
        n->supposed_at = 0; /* it says what is in */
    if (v == VERDICT_WAIT && n->claimed && node_waited(e, n, n->asked_at) > verify_limit(e, n))
        verify_failed(e, n, "not decided in time",
                      !ev->u.observed.ok || !f->servicing_idle || facts_listed(f));
    else if (v == VERDICT_WAIT)
        node_wake(e, n, VERIFY_POLL_MS);
    else if (!n->installed)
        looked(e, n, f, v);
    else if (v == VERDICT_YES)
        verified(e, n, f);
    else if (v == VERDICT_NO)
        verify_failed(e, n, n->back ? "not back" : "not there", n->back);
    else
        reboot_again(e, n, f);
}

void effect_observed(struct engine *e, struct engine_node *n, const struct event *ev)
{
    if (n->phase == NODE_REBOOTING)
        rebooted_first(e, n, ev);
    else
        verify_observed(e, n, ev);
}
