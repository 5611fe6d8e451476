#include "orchestrator/core/engine_op.h"

static dur_ms less(dur_ms whole, dur_ms gone)
{
    return whole > gone ? whole - gone : 0;
}

/* Waves to come as planned; of the one under way what its time leaves. */
static struct estimate remaining(const struct engine *e)
{
    struct estimate sum = { 0, 0, 0 };

    if (e->state < RUN_RUNNING || (run_states[e->state].flags & SM_FINAL) != 0)
        return sum;
    for (uint32_t w = e->wave; w < e->plan->n_waves; w++) {
        struct estimate took = e->plan->waves[w].took;

        if (w == e->wave) {
            dur_ms gone = e->now - e->waves[w].started;

            took = (struct estimate){ less(took.p5, gone), less(took.p50, gone), less(took.p95, gone) };
        }
        sum = estimate_add(sum, took);
    }
    return sum;
}

static bool unfinished(const struct engine *e)
{
    if (e->plan->n_refusals > 0)
        return true;
    if (settings_left(e))
        return true;
    for (uint32_t i = 0; i < e->plan->n_nodes; i++) {
        enum node_end end = e->nodes[e->plan->nodes[i].node].end;

        if (end != NODE_DONE && end != NODE_COMPLIANT)
            return true;
    }
    return false;
}

struct run_view engine_run(const struct engine *e)
{
    struct run_view v = { .state = e->state,
                          .hold_reason = e->hold_text,
                          .hold_verb = hold_verb(e->hold),
                          .run = e->run,
                          .controller = e->controller,
                          .epoch = e->epoch,
                          .wave = e->wave,
                          .failures = e->failures,
                          .deviations = e->deviations,
                          .started = e->started,
                          .ended = e->ended,
                          .remaining = remaining(e),
                          .end_text = e->fenced ? e->fence_text : e->end_text,
                          .fenced = e->fenced,
                          .stopped = e->stopped,
                          .at_rest = e->at_rest,
                          .unfinished = unfinished(e),
                          .puts_back = run_has_ended(e) && (e->in_flight > 0 || e->settings_due) };
    return v;
}

/* I28: a node whose turn has come says what it waits for. */
static const char *waits_for(const struct engine *e, const struct engine_node *n)
{
    if (n->phase == NODE_ENDED || n->phase == NODE_PENDING)
        return n->phase == NODE_PENDING ? "its wave" : "";
    if (n->op != NULL)
        return op_awaits_boot(n->op, e->now) ? "its return from the reboot" : n->op->id.text;
    if (e->hold_text[0] != '\0' && !node_in_flight(n))
        return e->hold_text;
    if (!n->claimed)
        return "the connection to the node";
    return n->waits;
}

bool engine_at_rest(const struct engine *e)
{
    return e->at_rest;
}

/* One that another log left out is in no books: nobody knows since when. */
static bool is_out(const struct engine *e, const struct engine_node *n)
{
    return n->counted_out || ((e->fleet.nodes[n->ix].out & OUT_STUCK) != 0 && !n->foreign_op);
}

struct node_view engine_node(const struct engine *e, uint32_t node)
{
    const struct engine_node *n = &e->nodes[node];
    struct node_view v = { .phase = n->phase,
                           .end = n->end,
                           .back = n->back,
                           .unknown = node_is_unknown(n),
                           .claimed = n->claimed,
                           .out = is_out(e, n),
                           .life = n->life,
                           .attempt = n->attempt,
                           .wave = n->wave,
                           .since = n->since,
                           .out_since = n->out_since,
                           .out_until = n->out_until,
                           .reason = node_is_unknown(n) && n->doubt[0] != '\0' ? n->doubt : n->reason,
                           .waits_for = waits_for(e, n),
                           .build_before = n->build_first,
                           .build_now = n->build_now };
    return v;
}

struct wave_view engine_wave(const struct engine *e, uint32_t wave)
{
    const struct engine_wave *w = &e->waves[wave];
    struct wave_view v = {
        .state = w->state, .started = w->started, .ended = w->ended, .failures = w->failures
    };

    return v;
}

uint32_t engine_gates(const struct engine *e)
{
    return e->gate_runs.n;
}

struct gate_view engine_gate(const struct engine *e, uint32_t i)
{
    const struct gate_run *g = e->gate_runs.items[i];
    struct gate_view v = { .gate = g->gate,
                           .wave = g->wave,
                           .after = g->after,
                           .answer = g->done ? g->answer : ANSWER_UNKNOWN,
                           .done = g->done,
                           .samples = g->tally.samples,
                           .started = g->started,
                           .ended = g->ended,
                           .text = g->done ? g->text : g->sample_text };
    return v;
}

uint32_t engine_ops_open(const struct engine *e)
{
    return e->ops.n;
}

struct op_view engine_op_open(const struct engine *e, uint32_t i)
{
    const struct op *op = e->ops.items[i];
    struct op_view v = { .op = op->id.text,
                         .action = action_rows[op->action].name,
                         .node = op->node,
                         .state = op->state,
                         .outcome = op->outcome,
                         .sent = op->sent,
                         .deadline = op->deadline };
    return v;
}

const struct ledger *engine_ledger(const struct engine *e)
{
    return &e->ledger;
}

const struct fleet *engine_fleet(const struct engine *e)
{
    return &e->fleet;
}
