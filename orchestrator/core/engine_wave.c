/* Waves, what the run holds for, and how it ends. */
#include "orchestrator/core/engine_handover.h"

#include <string.h>

void wave_to(struct engine *e, enum wave_state state)
{
    struct engine_wave *w = &e->waves[e->wave];

    assert(sm_may(wave_states, w->state, state));
    w->state = state;
    e->moved_at = e->now;
    if ((wave_states[state].flags & SM_FINAL) != 0)
        w->ended = e->now;
}

void run_to(struct engine *e, enum run_state state)
{
    assert(sm_may(run_states, e->state, state));
    e->state = state;
    e->at_rest = false;
    e->moved_at = e->now;
}

/* Why a run holds, and the verb that leads out. */
static const struct {
    const char *text, *verb;
} hold_rows[HOLDS] = {
    [HOLD_NONE] = { "", "" },
    [HOLD_OPERATOR] = { "paused by an operator", "resume" },
    [HOLD_GATE] = { "a gate has no answer", "promote" },
    [HOLD_MANUAL] = { "a manual gate waits", "promote" },
    [HOLD_WINDOW] = { "no change window is open", "resume" },
    [HOLD_UNKNOWN] = { "the outcome on a node is not known", "decide" },
    [HOLD_DEVIATIONS] = { "more deviations from the plan than it allows", "resume" },
    [HOLD_REMOVAL] = { "the rehearsal found the package not removable", "promote" },
};

const char *hold_verb(enum hold h)
{
    return hold_rows[h].verb;
}

/* Of a text that run_hold() made, in whatever revision; what is not known is a person's to lead on. */
enum hold hold_by_text(const char *text)
{
    for (int h = HOLD_NONE + 1; h < HOLDS; h++)
        if (strncmp(text, hold_rows[h].text, strlen(hold_rows[h].text)) == 0)
            return (enum hold)h;
    return HOLD_OPERATOR;
}

bool engine_hold_asks(const char *hold_reason)
{
    return hold_by_text(hold_reason) == HOLD_GATE;
}

void run_hold(struct engine *e, enum hold why, const char *text)
{
    if (e->state != RUN_RUNNING && e->state != RUN_ROLLING_BACK)
        return;
    e->held_state = e->state;
    e->hold = why;
    FILL(e->hold_text, SAY(e, "%s%s%s", hold_rows[why].text, text[0] == '\0' ? "" : ": ", text));
    run_to(e, RUN_HOLDING);
    engine_note(e, NOTE_DECISION, "I28", IX_NONE, e->hold_text);
}

void run_unhold(struct engine *e)
{
    if (e->state != RUN_HOLDING)
        return;
    e->hold = HOLD_NONE;
    e->hold_text[0] = '\0';
    e->deviations_asked = 0;
    e->window_blocked = false;
    e->window_at = TIME_NEVER;
    run_to(e, e->held_state);
    e->loads_due = true;
    e->clusters_dirty = true;
}

void run_rest(struct engine *e, const char *text)
{
    struct command *c;

    if (e->at_rest)
        return;
    e->at_rest = true;
    c = engine_command(e, CMD_END);
    c->text = engine_keep(e, text);
}

/* waves */

static void activate(struct engine *e, struct engine_node *n)
{
    round_add(e, n);
    node_activate(e, n);
}

static bool rehearsing(const struct engine *e, const struct engine_node *n)
{
    (void)e;
    return n->rehearse && n->end == NODE_END_NONE;
}

/* What is down before it is not this wave's doing (O15). */
static void note_down(struct engine *e)
{
    for (uint32_t i = 0; i < e->n_vms; i++)
        e->vms[i].down_before = e->vms[i].down_before || e->vms[i].down_since != 0;
}

/* O14: before any second node the rehearsal has gone through its three lives. */
static void wave_run(struct engine *e)
{
    const struct plan_wave *pw = &e->plan->waves[e->wave];
    bool alone = false;

    wave_to(e, WAVE_RUNNING);
    note_down(e);
    round_clear(e);
    for (uint32_t i = 0; i < pw->n_nodes; i++)
        alone = alone || rehearsing(e, &e->nodes[e->plan->nodes[pw->nodes[i]].node]);
    for (uint32_t i = 0; i < pw->n_nodes; i++) {
        struct engine_node *n = &e->nodes[e->plan->nodes[pw->nodes[i]].node];

        if (!alone || n->rehearse)
            activate(e, n);
    }
}

void wave_rehearsed(struct engine *e, struct engine_node *n)
{
    const struct plan_wave *pw = &e->plan->waves[e->wave];

    if (n->wave != e->wave || e->waves[e->wave].state != WAVE_RUNNING)
        return;
    if (e->removal_known && !e->removal_possible)
        run_hold(e, HOLD_REMOVAL, node_id(e, n));
    else if (n->end != NODE_DONE)
        engine_note(e, NOTE_WARNING, "O14", n->ix, "the rehearsal ended early: removal stays unproved");
    for (uint32_t i = 0; i < pw->n_nodes; i++) {
        struct engine_node *other = &e->nodes[e->plan->nodes[pw->nodes[i]].node];

        if (other->phase == NODE_PENDING && other != n)
            activate(e, other);
    }
}

void wave_begin(struct engine *e, uint32_t wave)
{
    struct engine_wave *w = &e->waves[wave];

    e->wave = wave;
    w->started = w->nodes_ended = e->now;
    e->budget_changed = true; /* somebody may have set aside a node of this wave while another one ran */
    wave_to(e, WAVE_GATE_BEFORE);
    gates_begin(e, wave, false);
}

static void note_wave(struct engine *e)
{
    const struct plan_wave *pw = &e->plan->waves[e->wave];
    struct buf *b = engine_scratch(e);

    buf_printf(b, "wave %u passed:", e->wave + 1);
    for (uint32_t i = 0; i < pw->n_nodes; i++) {
        const struct engine_node *n = &e->nodes[e->plan->nodes[pw->nodes[i]].node];

        buf_printf(b, " %s %s", node_id(e, n), node_end_names[n->end]);
    }
    engine_note(e, NOTE_GATE, "I11", IX_NONE, engine_said(e));
}

static void wave_passed(struct engine *e)
{
    note_wave(e);
    wave_to(e, WAVE_PASSED);
    if (e->wave + 1 < e->plan->n_waves) {
        wave_begin(e, e->wave + 1);
        return;
    }
    FILL(e->end_text, "every wave has passed its gates");
    e->ending = RUN_FINISHED;
}

static void wave_gate_failed(struct engine *e, const char *text)
{
    bool after = e->waves[e->wave].state == WAVE_GATE_AFTER, back = e->gate_rolls_back;
    const char *why_not = "";

    wave_to(e, WAVE_FAILED);
    if (after && back && rollback_allowed(e, &why_not)) {
        e->rollback_wave = e->rollout->policy.rollback == ROLLBACK_RUN ? IX_NONE : e->wave;
        run_stop_towards(e, RUN_ROLLING_BACK, SAY(e, "%s; rolled back", text));
        return;
    }
    run_stop_towards(e, RUN_HALTED,
                     SAY(e, "%s%s%s", text, why_not[0] == '\0' ? "" : "; no way back: ", why_not));
}

void wave_gates_done(struct engine *e, enum gate_answer answer, const char *text)
{
    struct engine_wave *w = &e->waves[e->wave];
    char said[320];

    FILL(said, text);
    if (e->state == RUN_HOLDING) { /* nothing follows from it before the run goes on */
        e->gates_due = true;
        e->gates_answer = answer;
        FILL(e->gates_text, said);
        return;
    }
    e->gates_due = false;
    if (answer == ANSWER_FAIL)
        wave_gate_failed(e, said);
    else if (answer == ANSWER_UNKNOWN)
        run_hold(e, e->gate_manual ? HOLD_MANUAL : HOLD_GATE, said);
    else if (w->state == WAVE_GATE_BEFORE)
        wave_run(e);
    else
        wave_passed(e);
}

static bool goes_on(const struct engine *e)
{
    return e->state == RUN_RUNNING && e->ending == RUN_RUNNING;
}

void wave_check(struct engine *e)
{
    struct engine_wave *w;

    if (!goes_on(e))
        return;
    if (e->loads_due)
        evidence_pump(e); /* loads that waited while the run was holding */
    e->loads_due = false;
    if (e->gates_due)
        wave_gates_done(e, e->gates_answer, SAY(e, "%s", e->gates_text));
    if (!goes_on(e))
        return;
    w = &e->waves[e->wave]; /* perhaps one that has no open node: it is over as it begins */
    if (w->state == WAVE_RUNNING && w->open == 0) {
        wave_to(e, WAVE_EVIDENCE);
        evidence_begin(e);
    }
    if (w->state == WAVE_EVIDENCE && !evidence_done(e))
        evidence_pump(e);
    if (w->state == WAVE_EVIDENCE && evidence_done(e)) {
        w->nodes_ended = e->now;
        wave_to(e, WAVE_GATE_AFTER);
        gates_begin(e, e->wave, true);
    }
}

/* ends */

/* What is out goes to its safe point, nothing new starts, then the run comes to `ending`. */
void run_stop_towards(struct engine *e, enum run_state ending, const char *text)
{
    char said[sizeof e->end_text];

    FILL(said, text);
    run_unhold(e);
    gates_stop(e);
    e->gates_due = e->closing = false;
    e->ending = ending;
    FILL(e->end_text, said);
    if ((wave_states[e->waves[e->wave].state].flags & SM_FINAL) == 0 &&
        e->waves[e->wave].state != WAVE_WAITING)
        wave_to(e, WAVE_FAILED);
    engine_note(e, NOTE_DECISION, "I12", IX_NONE, said);
    for (uint32_t i = 0; i < e->inv->n_nodes; i++)
        node_safe_point(e, &e->nodes[i]);
}

static void still_out(struct engine *e, struct engine_node *n)
{
    op_forget(e, n);
    node_end(e, n, NODE_STUCK, "not put back: the run was closed by force");
}

static void quiet_node(struct engine *e, struct engine_node *n)
{
    timer_stop(&e->timers, &n->wake);
    if (node_in_flight(n))
        still_out(e, n);
    else if (n->phase != NODE_ENDED && n->wave != IX_NONE)
        node_end(e, n, unbegun_end(e, n),
                 e->end_text[0] == '\0' ? "the run ended" : SAY(e, "%s", e->end_text));
    else
        node_end_found_out(e, n);
    timer_stop(&e->timers, &n->link);
}

void run_quiet(struct engine *e, enum run_state state)
{
    e->ending = state; /* no further consequence of what ends below */
    e->closing = false;
    gates_stop(e);
    settings_cut_off(e); /* what a forced end leaves */
    for (uint32_t i = 0; i < e->inv->n_nodes; i++)
        quiet_node(e, &e->nodes[i]);
}

void run_end(struct engine *e, enum run_state state)
{
    run_quiet(e, state);
    for (uint32_t i = 0; i < e->inv->n_clusters; i++) {
        timer_stop(&e->timers, &e->clusters[i].timer);
        e->clusters[i].wanted = false;
    }
    e->ending = RUN_RUNNING;
    e->hold = HOLD_NONE;
    e->hold_text[0] = '\0';
    if (e->state == RUN_HOLDING && !sm_may(run_states, RUN_HOLDING, state))
        run_to(e, e->held_state);
    run_to(e, state);
    e->ended = e->now;
    timer_stop(&e->timers, &e->run_timer);
    run_rest(e, e->end_text);
}

/* Settings that nobody could put back are part of how the run ended. */
static void name_left(struct engine *e)
{
    struct buf *b = engine_scratch(e);

    settings_list_left(e, b);
    if (b->len > 0)
        FILL(e->end_text, SAY(e, "%s; not put back:%s", e->end_text, buf_text(b)));
}

/* Rehearsed nodes whose way back was stopped before it began have their ends by what their clusters say now. */
static bool looks_for_some(struct engine *e)
{
    bool some = false;

    for (uint32_t i = 0; i < e->inv->n_nodes; i++) {
        struct engine_node *n = &e->nodes[i];

        if (node_looked_for(e, n))
            some = true;
        else if (n->rehearse && n->back)
            node_safe_point(e, n);
    }
    return some;
}

static void come_to_end(struct engine *e)
{
    enum run_state ending = e->ending;

    if (e->in_flight > 0 || (e->state != RUN_ROLLING_BACK && !evidence_done(e)) || looks_for_some(e))
        return;
    if (ending != RUN_ROLLING_BACK && ledger_looks(e))
        return;
    if (e->state == RUN_HOLDING)
        run_unhold(e);
    if (ending == RUN_ROLLING_BACK) {
        e->ending = RUN_RUNNING;
        rollback_begin(e);
        return;
    }
    e->closing = true;
    if (!settings_restore(e))
        return;
    name_left(e);
    run_end(e, ending);
}

/* What is at work on a node that is out, and known. One that is unknown and not out hides none. */
static bool goes_on_somewhere(const struct engine *e)
{
    for (uint32_t i = 0; i < e->inv->n_nodes && e->in_flight > 0; i++)
        if (node_in_flight(&e->nodes[i]) && !node_is_unknown(&e->nodes[i]))
            return true;
    return false;
}

/* Nothing can go on but by a person: all that is out is unknown, and has been for a while. */
static void check_unknown(struct engine *e)
{
    time_ms at = later(e->moved_at, e->woke_at) + e->rollout->policy.unreachable_ms;

    if (e->hold == HOLD_UNKNOWN && e->unknown == 0)
        run_unhold(e);
    if (e->unknown == 0 || (e->state != RUN_RUNNING && e->state != RUN_ROLLING_BACK) || goes_on_somewhere(e))
        return;
    if (e->now >= at)
        run_hold(e, HOLD_UNKNOWN, SAY(e, "%u nodes", e->unknown));
    else if (e->run_timer.pos == 0 || e->run_timer.at > at)
        engine_timer(e, &e->run_timer, at);
}

static void check_window_hold(struct engine *e)
{
    if (e->hold == HOLD_WINDOW && e->now >= e->window_at)
        run_unhold(e);
    if (e->window_blocked && e->window_at != TIME_NEVER &&
        (e->run_timer.pos == 0 || e->run_timer.at > e->window_at) && e->window_at > e->now)
        engine_timer(e, &e->run_timer, e->window_at);
    if (!e->window_blocked || e->in_flight > 0 || e->dirty.n > 0 || e->clusters_dirty)
        return;
    if (e->state != RUN_RUNNING && e->state != RUN_ROLLING_BACK)
        return;
    run_hold(e, HOLD_WINDOW,
             e->window_at == TIME_NEVER ? "and none is left before the approval expires" : "");
}

bool run_has_ended(const struct engine *e)
{
    return (run_states[e->state].flags & SM_FINAL) != 0;
}

bool run_goes_back(const struct engine *e)
{
    return e->state == RUN_ROLLING_BACK || (e->state == RUN_HOLDING && e->held_state == RUN_ROLLING_BACK);
}

/* Over here, and the log that was overtaken may have gone on all the same (`rollback`, `return`): what its nodes tell is heard, or
 * they are not there for long (I29). */
static bool journals_owed(const struct engine *e)
{
    if (!e->overtook || e->now - engine_awake_since(e) >= e->rollout->policy.unreachable_ms)
        return false;
    for (uint32_t i = 0; i < e->inv->n_nodes; i++)
        if (e->nodes[i].unread && !e->nodes[i].refused && e->nodes[i].link.pos != 0)
            return true;
    return false;
}

/* What a node was left in whose journal tells nothing nobody knows: it is named. */
static void name_unheard(struct engine *e)
{
    for (uint32_t i = 0; i < e->inv->n_nodes; i++) {
        const struct engine_node *n = &e->nodes[i];

        if (n->wave != IX_NONE && n->end != NODE_STUCK && (n->unread || (n->blank && !n->up_since)))
            engine_note(e, NOTE_WARNING, "I29", n->ix,
                        n->unread ? "not heard of since the takeover: it may be out"
                                  : "its journal is lost: another log may have it out");
    }
}

/* May the program stop? A window opens by itself, the rest needs a person. */
static bool rests(const struct engine *e)
{
    if (run_has_ended(e))
        return e->in_flight == 0 && !e->settings_due && !ledger_looks(e) && !journals_owed(e);
    if (e->state != RUN_HOLDING || (e->hold == HOLD_WINDOW && e->window_at != TIME_NEVER))
        return false;
    return !goes_on_somewhere(e);
}

/* More failed than the plan allows: nothing new starts anywhere (I12). */
static void check_budget(struct engine *e)
{
    uint32_t wave = e->waves[e->wave].failures;

    e->budget_changed = false;
    if (run_goes_back(e) || e->ending != RUN_RUNNING || run_has_ended(e))
        return;
    if (wave <= e->rollout->policy.failures_per_wave && e->failures <= e->rollout->policy.failures_per_run)
        return;
    run_stop_towards(
        e, RUN_HALTED,
        SAY(e, "the failure budget is spent: %u failed in the run, %u in this wave", e->failures, wave));
}

void run_check(struct engine *e)
{
    if (e->stopped)
        return;
    if (e->budget_changed)
        check_budget(e);
    if (e->ending != RUN_RUNNING && !run_has_ended(e))
        come_to_end(e);
    else if (e->state == RUN_RUNNING)
        wave_check(e);
    else if (e->state == RUN_ROLLING_BACK)
        rollback_check(e);
    if (e->state == RUN_ROLLING_BACK && e->ending != RUN_RUNNING)
        come_to_end(e); /* where nobody is sent back no event follows */
    if (e->settings_due && run_has_ended(e) && e->in_flight == 0)
        e->settings_due = !settings_restore(e);
    if (!run_has_ended(e) && !e->closing) {
        check_unknown(e);
        check_window_hold(e);
    }
    if (e->at_rest || !rests(e))
        return;
    if (run_has_ended(e) && e->overtook)
        name_unheard(e);
    run_rest(e, run_has_ended(e) ? e->end_text : e->hold_text);
}

void run_timeout(struct engine *e)
{
    if (e->state == RUN_HOLDING)
        return; /* run_check judges what it holds for */
    if (e->now >= e->window_at) {
        e->window_blocked = false;
        e->window_at = TIME_NEVER;
    }
    e->clusters_dirty = true;
}
