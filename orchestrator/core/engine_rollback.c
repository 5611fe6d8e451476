/* The way back (O14, O16): the reverse order, a drain proof for each node, removals and returns only. */
#include "orchestrator/core/engine_state.h"

/* Proved, or waived in so many words; never where removal is known to be impossible. */
bool rollback_allowed(const struct engine *e, const char **ret_why_not)
{
    *ret_why_not = "";
    if (e->removal_known && !e->removal_possible)
        *ret_why_not = "the package cannot be removed (O14)";
    else if (e->rollout->policy.rollback == ROLLBACK_NONE)
        *ret_why_not = "the rollout's policy is not to roll back";
    else if (!e->removal_known && !rollout_waives(e->rollout, "rollback_unproved", NULL))
        *ret_why_not = "removal is not proved and the plan does not waive the proof (O14)";
    return (*ret_why_not)[0] == '\0';
}

/* Of the run, or of the one wave that goes back. */
static bool in_scope(const struct engine *e, const struct engine_node *n)
{
    return n->wave != IX_NONE && (e->rollback_wave == IX_NONE || n->wave == e->rollback_wave);
}

/* Our package is in it, and this rollback is to take it out. */
static bool is_due(const struct engine *e, const struct engine_node *n)
{
    return n->patched_by_us && in_scope(e, n);
}

static bool goes_back(const struct engine *e, const struct engine_node *n)
{
    return is_due(e, n) && n->phase == NODE_ENDED && n->end != NODE_STUCK;
}

static void go_back(struct engine *e, struct engine_node *n)
{
    n->in_rollback = true;
    n->rehearse = false;
    e->rollback_open++;
    round_add(e, n);
    node_begin_life(e, n, true);
    node_drive(e, n);
}

void rollback_begin(struct engine *e)
{
    run_to(e, RUN_ROLLING_BACK);
    e->ended = 0;
    e->rollback_open = e->rollback_failed = 0;
    e->closing = e->settings_due = false;
    settings_again(e);
    round_clear(e);
    for (uint32_t w = e->plan->n_waves; w-- > 0;) {
        const struct plan_wave *pw = &e->plan->waves[w];

        for (uint32_t i = pw->n_nodes; i-- > 0;) {
            struct engine_node *n = &e->nodes[e->plan->nodes[pw->nodes[i]].node];

            if (goes_back(e, n))
                go_back(e, n);
        }
    }
}

/* Sent back, and not there: nobody vouches for what is in it, though the package may be out. */
static bool failed_back(const struct engine *e, const struct engine_node *n)
{
    return e->rollback_failed > 0 && n->back && n->end != NODE_ROLLED_BACK && in_scope(e, n);
}

/* Those too that were never sent back, being stuck. */
static bool list_not_back(const struct engine *e, struct buf *b)
{
    bool any = false;

    for (uint32_t i = 0; i < e->inv->n_nodes; i++) {
        if (!is_due(e, &e->nodes[i]) && !failed_back(e, &e->nodes[i]))
            continue;
        buf_printf(b, " %s", node_id(e, &e->nodes[i]));
        any = true;
    }
    return any;
}

void rollback_check(struct engine *e)
{
    struct buf *b;

    if (e->rollback_open > 0)
        return;
    b = engine_scratch(e);
    buf_printf(b, "%s; not rolled back:", e->end_text);
    if (!list_not_back(e, b)) {
        e->ending = RUN_ROLLED_BACK;
        return;
    }
    FILL(e->end_text, engine_said(e));
    e->ending = RUN_HALTED;
}
