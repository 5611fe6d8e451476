/* The people. While faults go on they say odd things at odd moments (F7);
 * in the calm there is one who is reasonable: starts what has died, answers
 * what is asked, and gives up in the end. */
#include "tests/sim/sim.h"

#include <string.h>

void sim_operator_init(struct sim *s)
{
    s->operator_tries = s->held_tries = 0;
    memset(s->put_back, 0, sizeof s->put_back);
    sim_put(s, s->now + 20 * MINUTE_MS, SIM_Q_OPERATOR, 0, 0, 0, NULL, 0);
}

static void lead_out(struct sim *s, struct sim_controller *c, const struct run_view *v)
{
    if (strcmp(v->hold_verb, "promote") == 0) {
        SIM_HIT(s, promoted);
        sim_ctl_verb(s, c->index, VERB_PROMOTE, IX_NONE, NULL, WITNESS_NOT_ASKED);
    } else if (strcmp(v->hold_verb, "resume") == 0) {
        sim_ctl_verb(s, c->index, VERB_RESUME, IX_NONE, NULL, WITNESS_NOT_ASKED);
    } else if (strcmp(v->hold_verb, "rollback") == 0) {
        sim_ctl_verb(s, c->index, VERB_ROLLBACK, IX_NONE, NULL, WITNESS_NOT_ASKED);
    } else {
        sim_ctl_verb(s, c->index, VERB_ABORT, IX_NONE, NULL, WITNESS_NOT_ASKED);
    }
}

/* What somebody who goes and looks finds of an op: still at work, done, or not. */
static enum op_witness looked_at(const struct sim *s, const struct op_view *v)
{
    const struct sim_world *w = &s->world;
    const struct world_node *n = &w->nodes[v->node];
    struct op_id_parts parts = { 0 };
    bool of_vm = op_id_parse(v->op, &parts, NULL) == 0 && world_vm_find(w, parts.subject) != WORLD_NONE;
    uint32_t vm = of_vm ? world_vm_find(w, parts.subject) : WORLD_NONE;
    const struct {
        const char *action;
        bool there;
    } seen[] = {
        { "install", n->has_package },
        { "uninstall", !n->has_package },
        { "pause", n->paused },
        { "resume", !n->paused },
        { "storage_out", n->storage_out || !w->clusters[n->cluster].s2d },
        { "storage_in", !n->storage_out },
        { "stop_vmms", !n->vmms },
        { "start_vmms", n->vmms },
        { "move_vm", !of_vm || w->vms[vm].node != v->node },
        { "park_vm", !of_vm || !world_vm_live(&w->vms[vm]) },
        { "unpark_vm", !of_vm || world_vm_live(&w->vms[vm]) },
    };

    if (world_effect_of(w, v->node, v->action, vm) != WORLD_NONE)
        return WITNESS_SAYS_RUNNING;
    for (uint32_t i = 0; i < sizeof seen / sizeof seen[0]; i++)
        if (strcmp(v->action, seen[i].action) == 0 && !seen[i].there)
            return WITNESS_SAYS_NOT_DONE;
    return WITNESS_SAYS_DONE;
}

/* Out, as somebody who goes there finds it. */
static bool is_out(const struct world_node *n)
{
    return n->paused || !n->vmms || n->storage_out;
}

/* Operations that this log lacks, after a takeover: somebody goes and looks at the node. */
static bool decide_foreign(struct sim *s, struct sim_controller *c)
{
    for (uint32_t i = 0; i < s->plan->n_nodes; i++) {
        uint32_t node = s->plan->nodes[i].node, open = 0;
        const struct world_node *n = &s->world.nodes[node];

        for (uint32_t k = 0; k < engine_ops_open(c->engine); k++)
            open += engine_op_open(c->engine, k).node == node;
        if (open > 0 || !engine_node(c->engine, node).unknown || n->power != POWER_ON)
            continue;
        sim_ctl_verb(s, c->index, VERB_DECIDE, node, NULL,
                     is_out(n) ? WITNESS_SAYS_DONE : WITNESS_SAYS_NOT_DONE);
        return true;
    }
    return false;
}

/* A doubt that nothing decides: somebody goes and looks. */
static bool decide(struct sim *s, struct sim_controller *c)
{
    for (uint32_t i = 0; i < engine_ops_open(c->engine); i++) {
        struct op_view v = engine_op_open(c->engine, i);
        enum op_witness found;
        char op[ID_TEXT_MAX];

        if (v.state != OP_UNKNOWN || s->world.nodes[v.node].power != POWER_ON)
            continue;
        found = looked_at(s, &v);
        if (found == WITNESS_SAYS_RUNNING)
            continue;
        memcpy(op, v.op, strlen(v.op) + 1);
        sim_ctl_verb(s, c->index, VERB_DECIDE, v.node, op, found);
        return true;
    }
    return decide_foreign(s, c);
}

/* A node that was refused is asked again when somebody says so. */
static bool retry(struct sim *s, struct sim_controller *c)
{
    for (uint32_t i = 0; i < s->plan->n_nodes; i++) {
        uint32_t node = s->plan->nodes[i].node;
        struct node_view v = engine_node(c->engine, node);

        if (v.end == NODE_END_NONE && !v.claimed && v.phase != NODE_PENDING) {
            sim_ctl_verb(s, c->index, VERB_RETRY, node, NULL, WITNESS_NOT_ASKED);
            return true;
        }
    }
    return false;
}

/* After the end: what is still out is put back, and once more if it was too early. */
static void put_back(struct sim *s, struct sim_controller *c)
{
    for (uint32_t i = 0; i < s->plan->n_nodes; i++) {
        uint32_t node = s->plan->nodes[i].node;

        if (engine_node(c->engine, node).end == NODE_STUCK && s->put_back[node] < 2 &&
            s->world.nodes[node].power == POWER_ON) {
            s->put_back[node]++;
            sim_ctl_verb(s, c->index, VERB_RETURN, node, NULL, WITNESS_NOT_ASKED);
            return;
        }
    }
}

static void give_up(struct sim *s, struct sim_controller *c)
{
    struct buf text = BUF_INIT;

    sim_describe(s, c, &text);
    oracle_endless(&s->oracle, buf_text(&text));
    buf_clear(&text);
    sim_ctl_verb(s, c->index, VERB_ABORT, IX_NONE, NULL, WITNESS_NOT_ASKED);
}

static void calm_step(struct sim *s)
{
    struct sim_controller *c = &s->ctls[s->primary];
    struct run_view v;

    if (c->state == CTL_OFF) {
        sim_ctl_start(s, s->primary, c->log == NULL ? 0 : (uint32_t)(c->log - s->logs),
                      c->refused_stale || s->operator_tries > 3);
        return;
    }
    if (c->state != CTL_LIVE)
        return;
    v = engine_run(c->engine);
    if (v.stopped) { /* fenced or told to stop: start anew */
        sim_ctl_kill(s, s->primary);
        return;
    }
    if (v.at_rest && v.state != RUN_HOLDING) {
        put_back(s, c);
        return;
    }
    s->operator_tries++;
    if (s->operator_tries == 6 || s->operator_tries == 30) { /* off and on again */
        sim_ctl_kill(s, s->primary);
        return;
    }
    if (s->operator_tries % 4 == 2 && retry(s, c))
        return;
    if (v.state == RUN_HOLDING && strcmp(v.hold_verb, "decide") == 0 && s->held_tries < 3)
        s->held_tries += decide(s, c) ? 0 : 1;
    else if (v.state == RUN_HOLDING && ++s->held_tries <= 8)
        lead_out(s, c, &v);
    else if (v.state == RUN_HOLDING)
        sim_ctl_verb(s, c->index, s->held_tries % 2 == 0 ? VERB_ABORT : VERB_ABORT_FORCE, IX_NONE, NULL,
                     WITNESS_NOT_ASKED);
    else if (s->operator_tries % 6 == 5 && decide(s, c))
        return;
    else if (s->operator_tries == 60)
        give_up(s, c);
    else if (s->operator_tries == 90)
        sim_ctl_verb(s, c->index, VERB_ABORT_FORCE, IX_NONE, NULL, WITNESS_NOT_ASKED);
}

static void fault_step(struct sim *s)
{
    struct sim_controller *c = &s->ctls[s->primary];
    struct run_view v;

    if (c->state != CTL_LIVE || c->paused || s->opt.no_verbs)
        return;
    v = engine_run(c->engine);
    if (v.state != RUN_HOLDING || !prng_permille(&s->rng_fault, 500))
        return;
    if (strcmp(v.hold_verb, "decide") != 0)
        lead_out(s, c, &v);
    else if (!retry(s, c))
        decide(s, c);
}

/* I28: a run that does not hold has a moment at which it looks again. */
static void ask_awake(struct sim *s)
{
    const struct sim_controller *c = &s->ctls[s->primary];
    struct buf text = BUF_INIT;

    if (c->state != CTL_LIVE || c->paused || engine_run(c->engine).state == RUN_HOLDING ||
        engine_run(c->engine).stopped || engine_at_rest(c->engine) ||
        engine_deadline(c->engine) != TIME_NEVER)
        return;
    sim_describe(s, c, &text);
    oracle_asleep(&s->oracle, s->now - c->log->entries.items[c->log->entries.n - 1].at, buf_text(&text));
    buf_clear(&text);
}

void sim_operator_step(struct sim *s)
{
    dur_ms next = 10 * MINUTE_MS;

    ask_awake(s);
    if (s->calm)
        calm_step(s);
    else
        fault_step(s);
    if (!s->over)
        sim_put(s, s->now + next, SIM_Q_OPERATOR, 0, 0, 0, NULL, 0);
}
