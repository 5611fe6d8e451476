/* The way home, the same for every node that was paused by us: start_vmms, storage_in, the check of O12, resume,
 * unpark, settle. Come back whole or stay out. */
#include "orchestrator/core/engine_state.h"

#include <string.h>

#define STEP_AGAIN_MS (30 * SECOND_MS)
#define COMPARE_LIMIT_MS (15 * MINUTE_MS)
#define SETTLE_POLL_MS (30 * SECOND_MS)
#define WATCHED_MS (3 * MINUTE_MS)
#define SETTLE_FLOOR_MS (30 * MINUTE_MS)
#define RESYNC_FLOOR_MS (2 * HOUR_MS)
#define ANSWER_LIMIT_MS (4 * HOUR_MS) /* each picture comes when it is old */
#define UNDECIDED_LIMIT_MS (2 * HOUR_MS)

static void stuck(struct engine *e, struct engine_node *n, const char *why)
{
    const char *bmc = e->inv->nodes[n->ix].bmc;
    const char *text = SAY(e, "%s%s%s", why, bmc == NULL ? "" : "; BMC ", bmc == NULL ? "" : bmc);

    engine_note(e, NOTE_WARNING, "O12", n->ix, text);
    node_end(e, n, NODE_STUCK, text);
}

static bool drive_compare(struct engine *e, struct engine_node *n)
{
    if (!n->before.known) { /* never recorded: there is nothing it could differ from */
        node_step(e, n, RESUME_CSV);
        return true;
    }
    ask_node(e, n, OBSERVE_FACTS);
    return false;
}

/* O7: the log that paused it has resumed it, or others have, so this pause is somebody else's. VMs that are down cannot come up
 * under it. */
static void paused_by_others(struct engine *e, struct engine_node *n)
{
    const char *why =
        n->pause_lost
            ? "O7: paused by somebody else since somebody ended our pause: not ours to end"
            : "O7: paused by somebody else since another log put it back in service: not ours to end";

    if (node_has_down(n)) {
        stuck(e, n, why);
        return;
    }
    engine_note(e, NOTE_WARNING, "O7", n->ix, why);
    node_end(e, n, NODE_SET_ASIDE, why);
}

static bool home_blind(struct engine *e, struct engine_node *n)
{
    if (!cluster_unseen(e, n))
        return false;
    stuck(e, n, SAY(e, "O12: no whole picture of its cluster: %s", e->clusters[n->cluster].why));
    return true;
}

void home_compare_anew(struct engine *e, struct engine_node *n, bool ended)
{
    n->pause_lost |= ended;
    if (n->phase == NODE_RESUMING)
        node_step(e, n, RESUME_COMPARE);
}

static bool drive_csv(struct engine *e, struct engine_node *n)
{
    struct engine_cluster *c = &e->clusters[n->cluster];
    bool seen = c->seen_at >= n->step_since && c->seen_at >= c->reached_at;

    if (seen)
        n->paused = n->paused && !n->pause_lost;
    if (seen && !n->paused && e->seen[n->ix] == SEEN_PAUSED) {
        paused_by_others(e, n);
        return true;
    }
    if (seen && c->csv_bad <= n->csv_bad) {
        node_step(e, n, n->paused ? RESUME_NODE : RESUME_VMS);
        return true;
    }
    if (seen && node_waited(e, n, c->seen_at) > COMPARE_LIMIT_MS) { /* a look, not the clock */
        stuck(e, n, "O12: a cluster shared volume is not as before");
        return true;
    }
    if (!seen && home_blind(e, n))
        return true;
    node_waits(e, n, "O12: the state of the cluster shared volumes");
    cluster_want(e, c);
    node_wake(e, n, SETTLE_POLL_MS);
    return false;
}

static bool drive_unpark(struct engine *e, struct engine_node *n)
{
    for (uint32_t i = 0; i < n->parks.n; i++) {
        if (n->parks.items[i].down && !n->parks.items[i].lost) {
            n->park_at = i;
            op_start(e, n, ACT_UNPARK_VM);
            return false;
        }
    }
    cluster_look_anew(e, &e->clusters[n->cluster]);
    node_to(e, n, NODE_SETTLING);
    return true;
}

static bool drive_merge(struct engine *e, struct engine_node *n)
{
    for (uint32_t i = 0; i < n->parks.n; i++) {
        if (n->parks.items[i].checkpoint && !n->parks.items[i].merged) {
            n->park_at = i;
            op_start(e, n, ACT_MERGE);
            return true;
        }
    }
    return false;
}

static dur_ms settle_limit(const struct engine *e, const struct engine_node *n)
{
    bool s2d = e->inv->clusters[n->cluster].storage == STORAGE_S2D;
    dur_ms p95 =
        predict_step(e->predictor, n->ix, PREDICT_RESYNC).p95 * (dur_ms)e->rollout->policy.timeout_factor;
    dur_ms floor = s2d ? RESYNC_FLOOR_MS : SETTLE_FLOOR_MS;

    return p95 > floor ? p95 : floor;
}

/* How long it took is known only where somebody has looked all the time: hours without a controller are no repair's. */
static bool watched_it_settle(const struct engine *e, const struct engine_node *n)
{
    const struct engine_cluster *c = &e->clusters[n->cluster];
    time_ms before = c->looked_before > n->since ? c->looked_before : n->since;

    return e->inv->clusters[n->cluster].storage == STORAGE_S2D && e->now > n->since &&
           c->clean_since - before <= WATCHED_MS && e->now - c->clean_since <= WATCHED_MS;
}

static void settled(struct engine *e, struct engine_node *n)
{
    struct engine_cluster *c = &e->clusters[n->cluster];
    time_ms before = c->changed_at;

    if (watched_it_settle(e, n))
        predictor_measured(e->predictor, n->ix, PREDICT_RESYNC, e->now - n->since);
    if (n->unpark_failed && (!n->back || n->home_end == NODE_DONE))
        node_end(e, n, NODE_SET_ASIDE, SAY(e, "%s", n->reason)); /* I17: patched, and not as it was */
    else
        node_end(e, n, n->home_end, SAY(e, "%s", n->reason));
    c->changed_at = before > c->seen_at ? before : c->seen_at; /* this picture shows it back */
}

/* I17: the cluster says Up, its storage is whole. */
static bool drive_settle(struct engine *e, struct engine_node *n)
{
    struct engine_cluster *c = &e->clusters[n->cluster];
    bool seen =
        c->seen_at >= n->step_since && c->seen_at >= c->reached_at; /* not by one from before it was lost */

    if (drive_merge(e, n))
        return false;
    if (seen && cluster_fresh(e, c) && e->seen[n->ix] == SEEN_UP && cluster_clean(e, c)) {
        settled(e, n);
        return true;
    }
    if (seen && node_waited(e, n, c->seen_at) > settle_limit(e, n) &&
        !(e->seen[n->ix] == SEEN_UP && cluster_clean_once(c))) { /* clean once: the second sample decides */
        stuck(e, n,
              e->seen[n->ix] == SEEN_UP ? "O21: the storage did not resync in time"
                                        : "I17: the cluster does not say Up");
        return true;
    }
    if (!seen && home_blind(e, n))
        return true;
    if (seen && node_waited(e, n, c->seen_at) > settle_limit(e, n) + ANSWER_LIMIT_MS) {
        stuck(e, n, "I17: the cluster does not answer in time");
        return true;
    }
    node_waits(e, n, e->seen[n->ix] == SEEN_UP ? "O21: storage repair" : "the cluster to say Up");
    if (!seen || e->now - c->seen_at >= SETTLE_POLL_MS) {
        cluster_want(e, c);
        node_wake(e, n, SETTLE_POLL_MS); /* in case nobody answers */
    } else {
        node_wake(e, n, SETTLE_POLL_MS - (e->now - c->seen_at));
    }
    return false;
}

static bool drive_resume(struct engine *e, struct engine_node *n)
{
    switch ((enum resume_step)n->step) {
    case RESUME_COMPARE:
        return drive_compare(e, n);
    case RESUME_CSV:
        return drive_csv(e, n);
    case RESUME_NODE:
        op_start(e, n, ACT_RESUME);
        return false;
    case RESUME_VMS:
        return drive_unpark(e, n);
    }
    return false;
}

/* O10: what was given up goes on there, and the node takes nothing else before it has an end. */
static bool drive_undecided(struct engine *e, struct engine_node *n)
{
    if (node_waited(e, n, e->now) > UNDECIDED_LIMIT_MS) {
        stuck(e, n, SAY(e, "%s has no end there", n->undecided));
        return true;
    }
    if (n->tries++ == 0) {
        node_waits(e, n, SAY(e, "the end of %s, which was given up", n->undecided));
        node_wake(e, n, STEP_AGAIN_MS);
    } else {
        n->tries = 0;
        claim_anew(e, n);
    }
    return false;
}

/* Beyond what may have been undone behind it, by a log of which no journal tells any more: once more from there (O12). */
static bool too_far(const struct engine_node *n)
{
    return (n->phase == NODE_STORAGE_IN && n->vmms_touched) ||
           (n->phase == NODE_RESUMING && n->paused && (n->vmms_touched || n->storage_touched));
}

bool home_drive(struct engine *e, struct engine_node *n)
{
    bool vmms = n->phase == NODE_STARTING_VMMS;

    if (too_far(n)) {
        node_to(e, n, NODE_STARTING_VMMS);
        return true;
    }
    if (vmms && n->undecided[0] != '\0')
        return drive_undecided(e, n);
    if (vmms)
        node_own_life(n);
    if (n->phase == NODE_RESUMING)
        return drive_resume(e, n);
    if (n->phase == NODE_SETTLING)
        return drive_settle(e, n);
    if (e->overtook || (vmms ? n->vmms_touched : n->storage_touched)) { /* O12: whoever touched it */
        op_start(e, n, vmms ? ACT_START_VMMS : ACT_STORAGE_IN);
        return false;
    }
    node_to(e, n, vmms ? NODE_STORAGE_IN : NODE_RESUMING);
    return true;
}

static bool again(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    if (!action_may_repeat(e, n, end->action))
        return false;
    node_wake(e, n, STEP_AGAIN_MS);
    return true;
}

static void node_op_failed(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    if (!again(e, n, end))
        stuck(e, n, SAY(e, "%s: %s %s", action_name(end->action), end->code, end->text));
    else if (end->action == ACT_RESUME) /* meanwhile others may end our pause and make their own */
        home_compare_anew(e, n, end->undone);
}

/* A VM did not come back, or not as it was (O4): it does not count as done, and each of them is named. */
static void vm_left(struct engine *e, struct engine_node *n, const char *rule, const char *text)
{
    char why[sizeof n->reason];

    FILL(why, text);
    engine_note(e, NOTE_WARNING, rule, n->ix, why);
    FILL(n->reason, n->unpark_failed ? SAY(e, "%s; %s", n->reason, why) : why);
    n->unpark_failed = true;
    if (!n->back)
        node_fail(e, n);
}

static void unparked(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    struct node_park *k = &n->parks.items[n->park_at];

    if (end->cancelled) { /* a takeover called it off unseen: that was no try */
        node_wake(e, n, STEP_AGAIN_MS);
        return;
    }
    if (!end->ok && again(e, n, end))
        return;
    k->down = !end->ok;
    k->lost = !end->ok;
    k->again = false;
    e->clusters[n->cluster].moved_at = e->now;
    if (end->ok)
        fleet_park(&e->fleet, k->vm, false);
    else
        vm_left(
            e, n, "I9",
            SAY(e, "VM %s did not come back: %s %s", e->fleet.vms.items[k->vm].vm.id, end->code, end->text));
}

static void merged(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    if (!end->ok && again(e, n, end))
        return;
    n->parks.items[n->park_at].merged = true;
    if (end->ok)
        return;
    vm_left(e, n, "O4", SAY(e, "O4: a checkpoint was not merged: %s", end->text));
}

static void stepped(struct engine *e, struct engine_node *n, enum action action)
{
    if (action == ACT_START_VMMS) {
        n->vmms_touched = false;
        node_to(e, n, NODE_STORAGE_IN);
    } else if (action == ACT_STORAGE_IN) {
        n->storage_touched = false;
        node_to(e, n, NODE_RESUMING);
    } else {
        n->paused = n->pause_lost = n->foreign_out = false;
        for (uint32_t i = 0; i < n->parks.n; i++)
            n->parks.items[i].lost = false;
        cluster_look_anew(e, &e->clusters[n->cluster]);
        node_step(e, n, RESUME_VMS);
    }
}

void home_op_ended(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    if (end->action == ACT_UNPARK_VM)
        unparked(e, n, end);
    else if (end->action == ACT_MERGE)
        merged(e, n, end);
    else if (!end->ok)
        node_op_failed(e, n, end);
    else
        stepped(e, n, end->action);
}

void home_observed(struct engine *e, struct engine_node *n, const struct event *ev)
{
    struct node_record now;
    const char *differs = "no facts";

    if (n->step != RESUME_COMPARE)
        return;
    if (ev->u.observed.ok) {
        record_take(&now, &ev->u.observed.facts, e->now);
        n->build_now = now.build;
        differs = record_differs(&n->before, &now);
    }
    if (differs == NULL) {
        node_step(e, n, RESUME_CSV);
    } else if (node_waited(e, n, n->asked_at) > COMPARE_LIMIT_MS &&
               n->claimed) { /* else it is O17's to judge */
        stuck(e, n, SAY(e, "O12: not as before the drain: %s", differs));
    } else {
        node_waits(e, n, SAY(e, "O12: the node to be as before: %s", differs));
        node_wake(e, n, STEP_AGAIN_MS);
    }
}

static const char *not_verified(const struct engine_node *n)
{
    if (!n->patched_by_us)
        return "another log has removed the package";
    if (n->supposed_at != 0)
        return "whether another log has left the package in nobody has verified";
    return "another log has installed the package anew, and nobody has verified that";
}

/* A way home that another log has gone on with begins anew; undoing nothing succeeds. */
static void home_anew(struct engine *e, struct engine_node *n)
{
    if (n->home_end == NODE_DONE && !n->back && !n->proved) { /* I17: it was removed since, or put in anew */
        n->verified = e->fleet.nodes[n->ix].patched = false;
        n->home_end = NODE_SET_ASIDE;
        FILL(n->reason, not_verified(n));
    }
    if (n->phase != NODE_STARTING_VMMS)
        node_to(e, n, NODE_STARTING_VMMS);
}

/* Why it may not simply have its turn, if so. */
static const char *left_by_another(struct engine *e, const struct engine_node *n)
{
    if (n->foreign_out)
        return "another log took it out";
    for (uint32_t i = 0; i < n->parks.n; i++)
        if (n->parks.items[i].down && !n->parks.items[i].lost)
            return SAY(e, "another log parked VM %s", e->fleet.vms.items[n->parks.items[i].vm].vm.id);
    return NULL;
}

void home_after_another(struct engine *e, struct engine_node *n)
{
    bool supposed = n->patched_by_us && n->supposed_at != 0, led = n->foreign_led;
    bool effect = n->installed || n->patched_by_us != n->back || supposed;
    bool out = n->paused || n->foreign_out, sure = out && !stray_is(n, ACT_RESUME);
    const char *left = left_by_another(e, n);

    n->foreign_led = false;
    if (n->end == NODE_STUCK)
        node_fail(e, n); /* it stays so, till it is put back */
    else if (left != NULL && n->phase == NODE_ENDED)
        node_end_stuck(e, n, left);
    else if (left != NULL && !node_in_flight(n))
        node_end(e, n, NODE_STUCK, left);
    if (!led || !node_in_flight(n))
        return;
    n->paused_at = e->now;
    n->paused = out; /* O7: where it was resumed, a pause that is found now is not ours to end */
    n->vmms_touched = true;
    n->storage_touched = e->inv->clusters[n->cluster].storage == STORAGE_S2D;
    if ((node_phases[n->phase].flags & NODE_GOES_HOME) != 0) {
        home_anew(e, n);
    } else if (effect && n->moves_open == 0) {
        n->installed = n->installed || n->back || !supposed;
        n->go_home = n->go_home || !sure ||
                     !n->installed; /* back in service, it is not taken out again without a proof */
        n->go_end = NODE_SET_ASIDE;
        node_drop_moves(e, n); /* of a drain that another log has led to its end */
        if (n->phase != NODE_VERIFYING)
            node_to(e, n, NODE_VERIFYING);
    } else {
        n->anew = !n->back;
        n->go_home = true;
        n->go_end = effect ? NODE_SET_ASIDE : n->back ? NODE_DONE : NODE_RETURNED;
        FILL(n->reason, "another log had gone on with it");
    }
}
