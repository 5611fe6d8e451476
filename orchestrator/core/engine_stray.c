/* Records of no open op: of ops that people gave up, of a log that was overtaken, of another run (C.3, C.6). */
#include "orchestrator/core/engine_op.h"

#include <string.h>

#define WATCH_AGAIN_MS (30 * SECOND_MS)

static enum action action_by_name(const char *name)
{
    for (int a = 0; a < ACTIONS; a++)
        if (strcmp(action_rows[a].name, name) == 0)
            return (enum action)a;
    return ACTIONS;
}

/* Did this log ever mean such an op? */
static bool op_was_ours(const struct engine *e, const struct engine_node *n, const struct op_id_parts *p)
{
    enum action a = action_by_name(p->step);

    if (a == ACTIONS || strcmp(p->run, e->run) != 0 || strcmp(p->node, node_id(e, n)) != 0)
        return false;
    if (p->subject[0] != '\0') {
        uint32_t vm = fleet_vm_by_id(&e->fleet, p->subject);

        return vm != IX_NONE && p->attempt <= e->vms[vm].ops && p->life <= (n->life == 0 ? 1 : n->life);
    }
    if (a == ACT_CLUSTER_SETTING)
        return p->attempt <= n->setting_ops && (n->own_settings & node_bit(p->attempt)) != 0;
    return p->life <= n->life && (n->own_lives & node_bit(p->life)) != 0 &&
           p->attempt <= (p->life == n->life ? n->attempts[a] : n->attempts_ever[a]);
}

/* What an op cost that nobody waited for, another log's too, stands in the ledger of whoever goes on, once (O35). */
static void op_rows(struct engine *e, const struct engine_node *n, const struct op_record *rec,
                    const struct op_id_parts *p)
{
    enum action a = action_by_name(p->step);
    uint32_t vm = p->subject[0] == '\0' ? IX_NONE : fleet_vm_by_id(&e->fleet, p->subject);

    if (a != ACTIONS && rec->state == OP_DONE && (vm != IX_NONE || p->subject[0] == '\0'))
        ledger_take_foreign(e, n, a, vm, rec);
}

static bool came_to_pass(const struct op_record *rec)
{
    return rec->state == OP_DONE && rec->outcome == OUTCOME_OK;
}

static struct node_park *park_made(struct engine *e, struct engine_node *n, uint32_t vm)
{
    struct node_park *k = node_park_of(n, vm);

    if (k != NULL)
        return k;
    k = list_push(&n->parks);
    if (k == NULL)
        e->nomem = true;
    else
        k->vm = vm;
    return k;
}

/* VMs that the other log parked are owed a way back by whoever goes on (I9). */
static void op_foreign_vm(struct engine *e, struct engine_node *n, const struct op_record *rec,
                          const struct op_id_parts *p)
{
    uint32_t vm = p->subject[0] == '\0' ? IX_NONE : fleet_vm_by_id(&e->fleet, p->subject);
    bool park = strcmp(p->step, "park_vm") == 0, unpark = strcmp(p->step, "unpark_vm") == 0;
    struct node_park *k;

    if (vm == IX_NONE || !came_to_pass(rec) || (!park && !unpark))
        return;
    k = park_made(e, n, vm);
    if (k == NULL)
        return;
    k->down = park;
    k->method = rec->n_rows > 0 && rec->rows[0].cause == CAUSE_SAVED ? PARK_SAVE : PARK_SHUTDOWN;
    k->down_since = rec->n_rows > 0 ? rec->rows[0].start : rec->ended;
    fleet_park(&e->fleet, vm, park);
}

/* Where a step is taken: what the other log has acknowledged itself, its pause for one, the node tells no more. */
enum step_place { STEP_ANYWHERE, STEP_OUT, STEP_IN_SERVICE };

static enum step_place step_place(enum action a, bool begun, bool done)
{
    if (a == ACT_MOVE_VM || a == ACT_CLUSTER_SETTING || a == ACTIONS || (a == ACT_PAUSE && !begun))
        return STEP_ANYWHERE;
    return (a == ACT_RESUME && done) || a == ACT_UNPARK_VM || a == ACT_MERGE ? STEP_IN_SERVICE : STEP_OUT;
}

/* Of a removal that has no end nobody says whether the package is out: its build does, before a rollback passes it over (O16). */
static void removal_in_doubt(const struct engine *e, struct engine_node *n, const struct op_id_parts *p)
{
    n->patched_by_us |= strcmp(p->run, e->run) == 0;
    if (n->patched_by_us)
        n->supposed_at = e->now;
    n->proved = false;
}

/* Of an installation that came to nothing, by what it said, it may be in all the same: the node's build says (O10). */
static bool perhaps_in(enum action a, const struct op_record *rec)
{
    return a == ACT_INSTALL && rec->state == OP_DONE && rec->outcome != OUTCOME_OK &&
           install_may_be_in(rec->error_code == NULL ? "" : rec->error_code, rec->outcome, false);
}

/* What nobody has acknowledged is told last, whenever it was: of several lives of this run the latest counts. */
static bool is_latest(const struct engine *e, const struct op_id_parts *p, uint32_t *latest)
{
    if (strcmp(p->run, e->run) != 0)
        return true;
    if (p->life < *latest)
        return false;
    *latest = p->life;
    return true;
}

/* Patched, unless it removed that, and what this log has verified is no proof of either (I17). */
static void op_foreign_package(struct engine *e, struct engine_node *n, const struct op_record *rec,
                               const struct op_id_parts *p, enum action a)
{
    bool done = came_to_pass(rec);

    if (perhaps_in(a, rec)) {
        node_suppose_patched(e, n);
    } else if (a == ACT_UNINSTALL && !done) {
        removal_in_doubt(e, n, p);
    } else {
        n->patched_by_us = a == ACT_INSTALL;
        n->supposed_at = 0;
        n->proved = false;
    }
}

/* How the other log left the node: paused, unless it resumed it (O7). */
static void op_foreign_state(struct engine *e, struct engine_node *n, const struct op_record *rec,
                             const struct op_id_parts *p)
{
    bool done = came_to_pass(rec);
    bool begun = done || rec->state != OP_DONE; /* it may yet take hold */
    enum action a = action_by_name(p->step);
    enum step_place place = step_place(a, begun, done);
    bool changes = ((a == ACT_INSTALL || a == ACT_UNINSTALL) && begun) || perhaps_in(a, rec);

    n->foreign_led |= p->subject[0] == '\0'; /* a VM's move or parking leaves the node where it was */
    if (place != STEP_ANYWHERE && is_latest(e, p, &n->life_placed)) {
        n->foreign_out = place == STEP_OUT;
        n->paused = n->paused && place != STEP_IN_SERVICE;
        n->pause_lost = n->pause_lost && a != ACT_PAUSE; /* others ended an earlier one */
    }
    if (changes && is_latest(e, p, &n->life_changed))
        op_foreign_package(e, n, rec, p, a);
}

bool stray_is(const struct engine_node *n, enum action action)
{
    struct op_id_parts p;

    return n->undecided[0] != '\0' && op_id_parse(n->undecided, &p, NULL) == 0 &&
           action_by_name(p.step) == action;
}

/* A move and a cluster's setting say nothing of the node itself: they hide nothing that does. */
static bool of_the_node(const char *op)
{
    struct op_id_parts p;

    return op[0] != '\0' && op_id_parse(op, &p, NULL) == 0 && strcmp(p.step, "move_vm") != 0 &&
           strcmp(p.step, action_rows[ACT_CLUSTER_SETTING].name) != 0;
}

void stray_give_up(struct engine_node *n, const char *op, bool runs)
{
    if (of_the_node(n->undecided) && !of_the_node(op))
        return;
    n->undecided_runs = runs;
    FILL(n->undecided, op);
}

/* Its witness may decide it there, and what has not begun is called off. Till then the node takes no other op. */
static void stray_ask(struct engine *e, struct engine_node *n, const struct op_record *rec)
{
    bool ran = n->undecided_runs && strcmp(rec->op, n->undecided) == 0;

    /* told without its witness: what that said last holds until it answers */
    stray_give_up(n, rec->op, rec->state == OP_RUNNING || (ran && rec->state == OP_UNKNOWN));
    if (rec->state == OP_UNKNOWN)
        op_command(e, CMD_OP_PROBE, n->ix, rec->op);
    else if (rec->state == OP_ACCEPTED)
        op_command(e, CMD_OP_CANCEL, n->ix, rec->op);
}

/* While another log's ran it was taken for one that may take hold: the node is what it was before. */
static void was_for_nothing(struct engine_node *n, enum action action)
{
    if (!n->patched_by_us || (action != ACT_INSTALL && action != ACT_UNINSTALL))
        return;
    n->patched_by_us = action == ACT_UNINSTALL;
    if (n->home_end == NODE_SET_ASIDE && (!n->patched_by_us || n->verified))
        n->home_end = n->patched_by_us ? NODE_DONE : NODE_RETURNED;
}

/* An installation or a removal that nobody waited for has taken hold: the node is patched, or no longer, and nobody has
 * verified it (I17). */
static void took_hold(struct engine *e, struct engine_node *n, enum action action)
{
    if (action != ACT_INSTALL && action != ACT_UNINSTALL)
        return;
    if (action == ACT_UNINSTALL && n->supposed_at != 0 && n->home_end == NODE_SET_ASIDE)
        n->home_end = NODE_RETURNED; /* set aside for what is no doubt any more */
    n->patched_by_us = action == ACT_INSTALL;
    n->supposed_at = 0;
    n->proved = e->fleet.nodes[n->ix].patched = false;
    if (n->home_end == (n->patched_by_us ? NODE_RETURNED : NODE_DONE))
        n->home_end = NODE_SET_ASIDE;
    n->verified = false;
    if (n->home_end == NODE_SET_ASIDE && n->reason[0] == '\0')
        FILL(n->reason, n->patched_by_us ? "the package was put in, and nobody has verified that"
                                         : "the package was taken out, and nobody has verified that");
}

static void told_late(struct engine *e, struct engine_node *n, enum action action,
                      const struct op_record *rec)
{
    if (came_to_pass(rec))
        took_hold(e, n, action);
    else if (perhaps_in(action, rec))
        node_suppose_patched(e, n);
}

/* Another log's pause that came to nothing, or its resume that came to pass, leaves nothing of ours to end (O7). */
static void foreign_closed(struct engine_node *n, enum action action, bool done)
{
    if (action == ACT_PAUSE && !done)
        n->foreign_out = false;
    else if (action == ACT_RESUME && done)
        n->paused = n->foreign_out = false;
}

/* It has an end. `in`: an installation that came to nothing, of which that promises nothing. While another log's ran it was taken for one
 * that takes hold; it is only supposed now (I12). */
static void stray_close(struct engine *e, struct engine_node *n, bool done, bool in)
{
    struct op_id_parts p;

    if (op_id_parse(n->undecided, &p, NULL) == 0) {
        enum action action = action_by_name(p.step);
        bool ours = op_was_ours(e, n, &p);

        if (done)
            took_hold(e, n, action);
        else if (!in)
            was_for_nothing(n, action);
        else if (!ours)
            n->supposed_at = e->now;
        if (!ours)
            foreign_closed(n, action, done);
    }
    n->undecided[0] = '\0';
    n->undecided_runs = false;
}

/* Of a former life, or under a number of the VM's that this log has only counted past, it may be another log's after all: told by
 * a claim only (I21). */
static bool sent_by_us(const struct engine *e, const struct engine_node *n, const struct op_id_parts *p)
{
    uint32_t vm = p->subject[0] == '\0' ? IX_NONE : fleet_vm_by_id(&e->fleet, p->subject);

    return vm == IX_NONE ? p->life == n->life : (e->vms[vm].own_ops & node_bit(p->attempt)) != 0;
}

/* Of this log, and nobody waits for it: its end was heard before, or a person gave it up. */
static void stray_own(struct engine *e, struct engine_node *n, const struct op_record *rec,
                      const struct op_id_parts *p, bool claim)
{
    bool given_up = strcmp(rec->op, n->undecided) == 0, ended = rec->state == OP_DONE;
    bool done = ended ? rec->outcome == OUTCOME_OK : rec->witness == WITNESS_SAYS_DONE;
    bool counts = claim || sent_by_us(e, n, p);

    ended = ended || done || rec->witness == WITNESS_SAYS_NOT_DONE;
    if (given_up ||
        (counts && strcmp(p->step, "move_vm") == 0)) /* several moves may have been given up at once */
        op_rows(e, n, rec, p);
    if (ended && given_up)
        stray_close(e, n, done, perhaps_in(action_by_name(p->step), rec));
    if (ended && counts)
        op_command(e, CMD_OP_ACK, n->ix, rec->op);
    else if (claim && !ended && rec->state != OP_NONE)
        stray_ask(e, n, rec);
    else if (given_up && !ended)
        n->undecided_runs = rec->state == OP_RUNNING || rec->witness == WITNESS_SAYS_RUNNING;
}

/* Its end is told by a claim only: a mere answer about what this log never meant changes nothing (I21). */
void stray_watch(struct engine *e, struct engine_node *n)
{
    dur_ms ago = e->now - n->lost_at;

    if (n->undecided[0] == '\0' || !n->undecided_runs)
        return;
    if (ago < WATCH_AGAIN_MS)
        node_wake(e, n, WATCH_AGAIN_MS - ago);
    else
        claim_anew(e, n);
}

int refuse_what_runs(const char *op, struct err *err)
{
    return err_set(err, ERR_STATE, "%s still runs, says the node itself: wait for it, or end it there", op);
}

int stray_still_runs(const struct engine *e, const struct engine_node *n, struct err *err)
{
    bool there = n->claimed || (n->seen && e->now < n->lost_at + e->rollout->policy.unreachable_ms);

    if (n->undecided[0] == '\0' || !n->undecided_runs || !there)
        return 0;
    return refuse_what_runs(n->undecided, err);
}

/* Of several parks the first tells since when. */
void stray_park_in_doubt(struct engine *e, struct engine_node *n, uint32_t vm)
{
    struct node_park *k = vm == IX_NONE ? NULL : park_made(e, n, vm);

    if (k == NULL)
        return;
    if (!k->down || k->down_since == 0)
        k->down_since = e->now;
    k->down = true;
}

static uint32_t undecided_vm(const struct engine *e, const struct engine_node *n)
{
    struct op_id_parts p;

    return op_id_parse(n->undecided, &p, NULL) == 0 ? fleet_vm_by_id(&e->fleet, p.subject) : IX_NONE;
}

/* Of a resume its end decides yet, whose pause it is that a node is found with (O7). */
void stray_settle(struct engine *e, struct engine_node *n, bool out)
{
    if (n->undecided[0] == '\0' || n->undecided_runs || stray_is(n, ACT_RESUME))
        return;
    if (out && stray_is(n, ACT_PARK_VM))
        stray_park_in_doubt(e, n, undecided_vm(e, n));
    op_command(e, CMD_OP_ACK, n->ix, n->undecided);
    n->undecided[0] = '\0';
}

int stray_decide(struct engine *e, struct engine_node *n, const char *op, bool done, struct err *err)
{
    if (op != NULL && strcmp(op, n->undecided) != 0)
        return err_set(err, ERR_STATE, "%s is not what was given up there: that is %s", op, n->undecided);
    if (n->undecided_runs)
        return refuse_what_runs(n->undecided, err);
    op_command(e, CMD_OP_ACK, n->ix, n->undecided);
    stray_close(e, n, done, false);
    return 0;
}

/* No id of another log of this run is used again: the node would tell that one's end, and nothing would be done (C.3). */
static void keep_off_ids(struct engine *e, struct engine_node *n, const struct op_id_parts *p)
{
    uint32_t vm = p->subject[0] == '\0' ? IX_NONE : fleet_vm_by_id(&e->fleet, p->subject);

    if (p->life > n->life_heard)
        n->life_heard = p->life;
    if (vm != IX_NONE && p->attempt > e->vms[vm].ops_heard)
        e->vms[vm].ops_heard = p->attempt;
}

/* A record of no open op: an old one is acknowledged again; one that this log does not know makes the node unknown
 * until a person has looked (a stale copy took over, or another run left something open). */
void stray_record(struct engine *e, struct engine_node *n, const struct op_record *rec, bool claim)
{
    struct op_id_parts parts;
    bool was = node_is_unknown(n);

    if (op_id_parse(rec->op, &parts, NULL) != 0)
        return;
    if (op_was_ours(e, n, &parts)) {
        stray_own(e, n, rec, &parts, claim);
        return;
    }
    if (rec->state == OP_DONE && strcmp(parts.run, e->run) != 0) {
        if (claim && strcmp(rec->op, n->undecided) == 0)
            stray_close(e, n, rec->outcome == OUTCOME_OK, perhaps_in(action_by_name(parts.step), rec));
        op_command(e, CMD_OP_ACK, n->ix, rec->op);
        return;
    }
    if (rec->state == OP_NONE)
        return;
    if (strcmp(parts.step, action_rows[ACT_CLUSTER_SETTING].name) == 0) {
        if (claim)
            setting_foreign_op(e, n, rec);
        if (claim && strcmp(parts.run, e->run) == 0 && n->setting_ops < parts.attempt)
            n->setting_ops = parts.attempt; /* nor its id, while it is at work neither (C.3) */
        if (claim && rec->state == OP_DONE)
            op_command(e, CMD_OP_ACK, n->ix, rec->op);
        return;
    }
    if (strcmp(parts.run, e->run) == 0)
        keep_off_ids(e, n, &parts);
    if (claim)
        op_rows(e, n, rec, &parts);
    op_foreign_vm(e, n, rec, &parts);
    if (!claim) { /* a claim tells of all there are; a mere answer says at most that it still runs (I21) */
        n->undecided_runs |= rec->witness == WITNESS_SAYS_RUNNING && strcmp(rec->op, n->undecided) == 0;
        return;
    }
    if (n->foreign_settled ||
        parts.life <= n->life_settled) { /* a person has looked: from here on like what this log gave up */
        if (parts.life > n->life_told)   /* before anybody had told of it: put back unread */
            told_late(e, n, action_by_name(parts.step), rec);
        stray_own(e, n, rec, &parts, claim);
        return;
    }
    op_foreign_state(e, n, rec, &parts);
    if (rec->state != OP_DONE) /* remembered: what it comes to is told by a later claim */
        stray_give_up(n, rec->op, rec->state == OP_RUNNING);
    else if (strcmp(rec->op, n->undecided) == 0)
        stray_close(e, n, rec->outcome == OUTCOME_OK, perhaps_in(action_by_name(parts.step), rec));
    if (rec->state == OP_UNKNOWN) /* till its witness decides it there the node takes no other op */
        op_command(e, CMD_OP_PROBE, n->ix, rec->op);
    if (n->phase == NODE_ENDED && n->foreign_led)
        n->end = NODE_STUCK; /* it was thought untouched, or back: reported (I29), `return` puts it back */
    if (n->foreign_op)
        return;
    n->foreign_op = true;
    e->fleet.nodes[n->ix].out |= OUT_STUCK; /* it may be out: nobody here knows */
    FILL(n->doubt, SAY(e, "%s is not in this log", rec->op));
    engine_note(e, NOTE_WARNING, "C.3", n->ix, n->doubt);
    if (!node_in_flight(n))
        FILL(n->reason, n->doubt);
    node_unknown(e, n, was);
}
