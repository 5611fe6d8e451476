/* What operators may say, and when. A verb that is not possible now changes nothing and says what is. */
#include "orchestrator/core/engine_state.h"

#include <string.h>

static int not_now(const struct engine *e, struct err *err, const char *verb, const char *instead)
{
    return err_set(err, ERR_STATE, "%s is not possible: the run is %s%s%s; %s", verb,
                   run_states[e->state].name, e->hold_text[0] == '\0' ? "" : " because ", e->hold_text,
                   instead);
}

static const char *said_by(const struct event *ev)
{
    return ev->u.verb.person == NULL ? "an operator" : ev->u.verb.person;
}

/* What a node is, for the sentence. */
static const char *what_is(const struct engine_node *n)
{
    return n->phase == NODE_ENDED ? node_end_names[n->end] : node_phases[n->phase].name;
}

/* The verb that is possible, for the sentence. */
static const char *instead_of(const struct engine *e)
{
    if (run_has_ended(e))
        return "rollback and return are possible";
    if (e->state == RUN_HOLDING)
        return e->hold == HOLD_OPERATOR || e->hold == HOLD_WINDOW || e->hold == HOLD_DEVIATIONS
                   ? "resume leads on"
               : e->hold == HOLD_UNKNOWN ? "decide leads on"
                                         : "promote leads on";
    return "pause and abort are possible";
}

static int verb_pause(struct engine *e, const struct event *ev, struct err *err)
{
    (void)ev;
    if ((e->state != RUN_RUNNING && e->state != RUN_ROLLING_BACK) || e->ending != RUN_RUNNING)
        return not_now(e, err, "pause", instead_of(e));
    run_hold(e, HOLD_OPERATOR, ev->u.verb.person == NULL ? "" : ev->u.verb.person);
    return 0;
}

static void gates_anew(struct engine *e)
{
    bool after = e->waves[e->wave].state == WAVE_GATE_AFTER;

    if (after || e->waves[e->wave].state == WAVE_GATE_BEFORE)
        gates_begin(e, e->wave, after);
}

/* A person has looked at what was refused (host key, identity). */
static void claim_again(struct engine *e, struct engine_node *n)
{
    if (!n->refused)
        return;
    n->refused = false;
    claim_node(e, n);
}

/* As many again as the plan allows, and at least what the start takes that was held for it. */
static void allow_deviations(struct engine *e)
{
    uint32_t again = e->deviations + e->rollout->policy.deviations_max + 1;

    e->deviations_allowed = e->deviations_asked > again ? e->deviations_asked : again;
}

static int verb_resume(struct engine *e, const struct event *ev, struct err *err)
{
    enum hold hold = e->hold;

    (void)ev;
    if (e->state != RUN_HOLDING || hold == HOLD_REMOVAL || hold == HOLD_MANUAL)
        return not_now(e, err, "resume", instead_of(e));
    if (hold == HOLD_DEVIATIONS)
        allow_deviations(e);
    run_unhold(e);
    if (hold == HOLD_GATE)
        gates_anew(e); /* evidence is asked for again */
    for (uint32_t i = 0; hold == HOLD_UNKNOWN && i < e->inv->n_nodes; i++)
        claim_again(e, &e->nodes[i]);
    for (uint32_t i = 0; hold == HOLD_UNKNOWN && i < e->ops.n; i++)
        if (e->ops.items[i]->unknown && e->nodes[e->ops.items[i]->node].claimed)
            op_probe(e, e->ops.items[i]);
    return 0;
}

static int verb_promote(struct engine *e, const struct event *ev, struct err *err)
{
    enum hold hold = e->hold;
    bool signed_for = ev->u.verb.accept_unknown && ev->u.verb.person != NULL && ev->u.verb.ticket != NULL;

    if (e->state != RUN_HOLDING || (hold != HOLD_GATE && hold != HOLD_MANUAL && hold != HOLD_REMOVAL))
        return not_now(e, err, "promote", instead_of(e));
    if (hold == HOLD_GATE && !signed_for)
        return err_set(err, ERR_STATE,
                       "the gate is unknown, not passed: promote needs --accept-unknown with person and "
                       "ticket, or resume to ask again");
    engine_note(e, NOTE_GATE, "I13", IX_NONE,
                SAY(e, "promoted by %s%s%s: %s", said_by(ev), ev->u.verb.ticket == NULL ? "" : ", ",
                    ev->u.verb.ticket == NULL ? "" : ev->u.verb.ticket, e->hold_text));
    run_unhold(e);
    if (hold != HOLD_REMOVAL)
        wave_gates_done(e, ANSWER_PASS, "");
    return 0;
}

static int verb_abort(struct engine *e, const struct event *ev, struct err *err)
{
    if (run_has_ended(e) || e->ending == RUN_ABORTED || e->closing)
        return not_now(e, err, "abort",
                       run_has_ended(e) ? instead_of(e)
                       : e->closing
                           ? "it ends as soon as the cluster settings are back; abort --force closes it"
                           : "it is under way; abort --force closes the run as it is");
    run_stop_towards(e, RUN_ABORTED, SAY(e, "aborted by %s", said_by(ev)));
    return 0;
}

/* Also what was stuck before, or may be out by another log's doing; and VMs that are down by us, on whatever node (I9, I29). */
static void list_left(const struct engine *e, struct buf *b)
{
    for (uint32_t i = 0; i < e->inv->n_nodes; i++) {
        const struct engine_node *n = &e->nodes[i];

        if (node_in_flight(n) || n->end == NODE_STUCK || (e->fleet.nodes[i].out & OUT_STUCK) != 0)
            buf_printf(b, " %s", node_id(e, n));
        for (uint32_t k = 0; k < n->parks.n; k++)
            if (n->parks.items[k].down)
                buf_printf(b, " VM %s (%s)", e->fleet.vms.items[n->parks.items[k].vm].vm.id, node_id(e, n));
    }
    settings_list_left(e, b);
}

static int verb_abort_force(struct engine *e, const struct event *ev, struct err *err)
{
    struct buf *b;

    if (run_has_ended(e))
        return not_now(e, err, "abort --force", instead_of(e));
    FILL(e->end_text, SAY(e, "closed by force by %s", said_by(ev)));
    run_quiet(e, RUN_ABORTED); /* before the list: some are found out only as they end */
    b = engine_scratch(e);
    buf_printf(b, "%s; not put back:", e->end_text);
    list_left(e, b);
    FILL(e->end_text, engine_said(e));
    run_end(e, RUN_ABORTED);
    return 0;
}

/* Its wave, at its gates or not, waits for its end; the gates after it are asked anew (I11). */
static void wave_opens(struct engine *e, struct engine_node *n)
{
    struct engine_wave *w = &e->waves[n->wave];

    w->open++;
    n->counted_open = true;
    if (w->state <= WAVE_RUNNING)
        return;
    gates_stop(e);
    e->gates_due = false;
    wave_to(e, WAVE_RUNNING);
    if (e->hold == HOLD_GATE || e->hold == HOLD_MANUAL)
        run_unhold(e);
}

static int verb_retry(struct engine *e, const struct event *ev, struct err *err)
{
    struct engine_node *n = &e->nodes[ev->node];
    struct engine_wave *w = n->wave == IX_NONE ? NULL : &e->waves[n->wave];
    bool ended = n->end == NODE_SET_ASIDE || n->end == NODE_RETURNED || n->end == NODE_NOT_STARTED ||
                 (n->end == NODE_ROLLED_BACK && n->rehearse);

    if (n->refused && n->phase != NODE_ENDED && !run_has_ended(e)) {
        claim_again(e, n);
        return 0;
    }
    if ((e->state != RUN_RUNNING && e->state != RUN_HOLDING) || e->ending != RUN_RUNNING ||
        e->held_state == RUN_ROLLING_BACK)
        return not_now(e, err, "retry", instead_of(e));
    if (!ended || w == NULL)
        return err_set(err, ERR_STATE,
                       "%s is %s: only a node that was set aside, returned or not started can be tried again",
                       node_id(e, n), what_is(n));
    if (n->wave != e->wave || w->state == WAVE_PASSED)
        return err_set(err, ERR_STATE, "the wave of %s has passed: it needs a plan of its own",
                       node_id(e, n));
    if (n->attempt >= e->rollout->policy.attempts_max)
        return err_set(err, ERR_STATE, "%s had its %u attempts (I19)", node_id(e, n), n->attempt);
    if (n->failed) {
        n->failed = false;
        e->failures--;
        w->failures--;
    }
    claim_again(e, n);
    settings_anew(e, &e->clusters[n->cluster]);
    n->rehearsal = 0;
    wave_opens(e, n);
    if (w->state < WAVE_RUNNING) { /* its wave has not begun: it waits for it like the others */
        n->end = NODE_END_NONE;
        node_to(e, n, NODE_PENDING);
        return 0;
    }
    n->attempt++;
    node_begin_life(e, n, false);
    node_drive(e, n);
    return 0;
}

static int verb_set_aside(struct engine *e, const struct event *ev, struct err *err)
{
    struct engine_node *n = &e->nodes[ev->node];
    const char *bmc = e->inv->nodes[n->ix].bmc;

    if ((run_has_ended(e) && !node_in_flight(n)) || n->phase == NODE_ENDED || n->wave == IX_NONE)
        return err_set(err, ERR_STATE, "%s is %s: there is nothing to set aside; return puts a node back",
                       node_id(e, n), what_is(n));
    if (!node_in_flight(n)) {
        if (n->phase == NODE_PENDING)
            node_to(e, n, NODE_CHECKING);
        node_fail(e, n);
        node_end(e, n, NODE_SET_ASIDE, "set aside by an operator");
    } else if (node_is_unknown(n)) { /* a person decided that it is out of reach */
        op_forget(e, n);
        node_end(e, n, NODE_STUCK,
                 SAY(e, "set aside by an operator while its state was unknown%s%s",
                     bmc == NULL ? "" : "; BMC ", bmc == NULL ? "" : bmc));
    } else {
        node_safe_point(e, n);
        n->go_end = n->back ? NODE_DONE : NODE_SET_ASIDE;
        FILL(n->reason, "set aside by an operator");
        node_fail(e, n);
    }
    return 0;
}

static int verb_rollback(struct engine *e, const struct event *ev, struct err *err)
{
    const char *why_not;

    if (run_goes_back(e) || e->state == RUN_ROLLED_BACK || e->ending == RUN_ROLLING_BACK)
        return not_now(e, err, "rollback", instead_of(e));
    if (run_has_ended(e) && e->in_flight > 0) /* it would be passed over */
        return err_set(
            err, ERR_STATE,
            "rollback is not possible yet: a node is on its way back into service; again when it is "
            "there");
    if (!rollback_allowed(e, &why_not))
        return err_set(err, ERR_STATE, "rollback is not possible: %s", why_not);
    if (e->approval_expires != TIME_NEVER && e->now >= e->approval_expires)
        return err_set(err, ERR_STATE, "rollback is not possible: the approval has expired");
    e->rollback_wave = e->rollout->policy.rollback == ROLLBACK_RUN ? IX_NONE : e->wave;
    if (run_has_ended(e)) {
        FILL(e->end_text, SAY(e, "rolled back by %s", said_by(ev)));
        claim_lost_again(e);
        rollback_begin(e);
    } else {
        run_stop_towards(e, RUN_ROLLING_BACK, SAY(e, "rolled back by %s", said_by(ev)));
    }
    return 0;
}

/* VMs of ours that are down on a node that is back: after the end nothing else comes for them (I9). */
static bool leaves_vms_down(const struct engine *e, const struct engine_node *n)
{
    return run_has_ended(e) && n->phase == NODE_ENDED && n->end != NODE_STUCK && node_has_down(n);
}

/* In service, so that nothing of it is undone; it ends as before. */
static void return_vms(struct engine *e, struct engine_node *n)
{
    n->vmms_touched = n->storage_touched = n->paused = n->unpark_failed = false;
    n->before.known = false; /* it is not resumed: nothing to compare (O12) */
    for (uint32_t i = 0; i < n->parks.n; i++)
        n->parks.items[i].lost = false;
    n->home_end = n->end;
    FILL(n->reason, SAY(e, "%s; its VMs put back by an operator", n->reason));
}

/* Removed, and whether the boot that it waits for was made nobody has verified (I17). */
static bool half_removed(const struct engine_node *n)
{
    return n->back && n->installed && !n->verified;
}

static void return_node(struct engine *e, struct engine_node *n)
{
    op_forget(e, n);
    n->foreign_settled = true;
    n->vmms_touched = n->storage_touched = true;
    n->paused = true; /* a person says so */
    n->paused_at = 0;
    n->home_end = !n->patched_by_us && !half_removed(n) ? NODE_RETURNED
                  : n->verified && n->proved            ? NODE_DONE
                                                        : NODE_SET_ASIDE; /* I17 */
    FILL(n->reason, "put back by an operator");
}

/* The wave at work has it, or one to come, and does not pass before it is back. */
static bool is_waited_for(const struct engine *e, const struct engine_node *n)
{
    return !run_has_ended(e) && !run_goes_back(e) && e->ending == RUN_RUNNING && n->wave != IX_NONE &&
           (wave_states[e->waves[n->wave].state].flags & SM_FINAL) == 0;
}

/* Put a node back that is still out: the way home and nothing else; VMs that are still down on one that is back; and what its cluster
 * was left with (O18). */
static int verb_return(struct engine *e, const struct event *ev, struct err *err)
{
    struct engine_node *n = &e->nodes[ev->node];
    bool settings = run_has_ended(e) && settings_return(e, &e->clusters[n->cluster]);
    bool vms = leaves_vms_down(e, n);

    e->at_rest = e->at_rest && !settings;
    if (settings && n->end != NODE_STUCK && !vms) {
        claim_lost_again(e);
        return 0;
    }
    if (n->end != NODE_STUCK && !vms)
        return err_set(err, ERR_STATE, "%s is %s: only a node that is stuck is put back", node_id(e, n),
                       what_is(n));
    if (vms)
        return_vms(e, n);
    else
        return_node(e, n);
    claim_again(e, n);
    n->pause_lost = false;
    n->rehearse = false; /* judged when it got stuck; no further life begins */
    memset(n->attempts, 0, sizeof n->attempts);
    memset(n->withdrawn, 0, sizeof n->withdrawn);
    n->life++;
    n->end = NODE_END_NONE;
    n->turn_since = e->now; /* from here on it matters whether it is there */
    e->at_rest = false;
    if (is_waited_for(e, n))
        wave_opens(e, n);
    if (run_has_ended(e))
        claim_lost_again(e);
    node_to(e, n, NODE_STARTING_VMMS);
    if (n->claimed)
        claim_anew(e, n); /* what was given up may have no end there yet */
    node_drive(e, n);
    return 0;
}

static void note_decided(struct engine *e, const struct event *ev, const char *op)
{
    bool done = ev->u.verb.decision == WITNESS_SAYS_DONE;

    engine_note(e, NOTE_DECISION, "C.3", ev->node,
                SAY(e, "%s: %s, says %s", op, done ? "done" : "not done", said_by(ev)));
}

/* On what another log did: the node is what it tells, and a person has looked. */
static int decide_foreign(struct engine *e, struct engine_node *n, const struct event *ev, struct err *err)
{
    int rc = stray_still_runs(e, n, err);

    if (rc != 0)
        return rc;
    note_decided(e, ev, ev->u.verb.op == NULL ? "what is not in this log" : ev->u.verb.op);
    n->foreign_op = false;
    if (n->unread) /* since a takeover: what its journal tells then nobody has looked at */
        n->life_settled = n->life_heard;
    else
        n->foreign_settled = true;
    n->foreign_out = n->foreign_out && ev->u.verb.decision == WITNESS_SAYS_DONE;
    if (!n->foreign_out && n->end != NODE_STUCK)
        e->fleet.nodes[n->ix].out &= ~(uint32_t)OUT_STUCK;
    stray_settle(e, n, ev->u.verb.decision == WITNESS_SAYS_DONE);
    node_unknown(e, n, true);
    home_after_another(e, n);
    if (n->claimed && n->undecided[0] != '\0')
        claim_anew(e, n); /* it may have an end by now; before that the node takes nothing else */
    node_drive(e, n);
    return 0;
}

static int decide_given_up(struct engine *e, struct engine_node *n, const struct event *ev, struct err *err)
{
    const char *op = SAY(e, "%s", n->undecided);
    int rc = stray_decide(e, n, ev->u.verb.op, ev->u.verb.decision == WITNESS_SAYS_DONE, err);

    if (rc == 0)
        note_decided(e, ev, op);
    return rc;
}

/* A person saw what no journal and no witness could tell. */
static int verb_decide(struct engine *e, const struct event *ev, struct err *err)
{
    struct engine_node *n = &e->nodes[ev->node];
    struct op *op = ev->u.verb.op == NULL ? n->op : op_find(e, ev->node, ev->u.verb.op);
    enum op_witness d = ev->u.verb.decision;
    struct op_record rec = { .state = OP_UNKNOWN, .witness = d };

    if (d != WITNESS_SAYS_DONE && d != WITNESS_SAYS_NOT_DONE)
        return err_set(err, ERR_INVALID, "decide: done or not_done");
    if (op == NULL && n->foreign_op)
        return decide_foreign(e, n, ev, err);
    if (op == NULL && n->undecided[0] != '\0')
        return decide_given_up(e, n, ev, err);
    if (op == NULL || !op->unknown)
        return err_set(err, ERR_STATE, "%s has no operation whose outcome is unknown", node_id(e, n));
    if (op->at_work &&
        n->claimed) /* nobody's word ends what is at work: a second one would run beside it (I10) */
        return refuse_what_runs(op->id.text, err);
    rec.op = op->id.text;
    note_decided(e, ev, op->id.text);
    op_on_record(e, ev->node, &rec);
    return 0;
}

static const struct verb_row {
    int (*act)(struct engine *, const struct event *, struct err *);
    bool of_node;
} verb_rows[VERBS] = {
    [VERB_PAUSE] = { verb_pause, false },     [VERB_RESUME] = { verb_resume, false },
    [VERB_ABORT] = { verb_abort, false },     [VERB_ABORT_FORCE] = { verb_abort_force, false },
    [VERB_RETRY] = { verb_retry, true },      [VERB_SET_ASIDE] = { verb_set_aside, true },
    [VERB_PROMOTE] = { verb_promote, false }, [VERB_ROLLBACK] = { verb_rollback, false },
    [VERB_RETURN] = { verb_return, true },    [VERB_DECIDE] = { verb_decide, true },
};

int verb_do(struct engine *e, const struct event *ev, struct err *err)
{
    const struct verb_row *row = &verb_rows[ev->u.verb.verb];
    int rc;

    if (row->of_node && ev->node == IX_NONE)
        return err_set(err, ERR_INVALID, "%s needs a node", verb_name(ev->u.verb.verb));
    rc = row->act(e, ev, err);
    if (rc == 0 && e->state != RUN_HOLDING)
        e->at_rest = e->at_rest && run_has_ended(e);
    return rc;
}
