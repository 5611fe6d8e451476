/* Gates: whom to ask, how often, and what the answers come to (I13, O15). */
#include "orchestrator/core/engine_handover.h"

#include <string.h>

#define SKEW_MS (5 * SECOND_MS)       /* between a node's clock and ours */
#define CLAIM_POLL_MS (5 * SECOND_MS) /* before the first wave's gates: claims are still coming in */

static const enum observe_what asks_of[GATE_TYPES] = {
    [GATE_TIME_SYNC] = OBSERVE_TIME,         [GATE_BACKUP_AGENT] = OBSERVE_BACKUP,
    [GATE_CLUSTER_HEALTH] = OBSERVE_CLUSTER, [GATE_VM_HEARTBEAT] = OBSERVE_HEARTBEAT,
    [GATE_MANUAL] = OBSERVE_WHATS,
};

/* Of a node, or of a cluster after all nodes. */
static size_t target_at(const struct engine *e, const struct gate_run *g, uint32_t target)
{
    return (size_t)g->gate_ix * (e->inv->n_nodes + e->inv->n_clusters) + target;
}

static void say_sample(struct engine *e, struct gate_run *g, const char *who, const struct gate_finding *f)
{
    bool worse = f->answer == ANSWER_FAIL && g->sample != ANSWER_FAIL;

    if (f->answer != ANSWER_PASS && (worse || g->sample_text[0] == '\0'))
        FILL(g->sample_text, SAY(e, "%s: %s", who, f->text));
    if (worse || (f->answer == ANSWER_UNKNOWN && g->sample == ANSWER_PASS))
        g->sample = f->answer;
}

static void run_done(struct engine *e, struct gate_run *g, enum gate_answer answer)
{
    g->done = true;
    g->sampling = false;
    g->answer = answer;
    g->ended = e->now;
    timer_stop(&e->timers, &g->timer);
    FILL(g->text, g->sample_text);
    e->gates_open--;
    if (!g->baseline)
        engine_note(e, NOTE_GATE, "I13", IX_NONE,
                    SAY(e, "gate %s %s wave %u: %s after %u samples%s%s", g->gate->name,
                        g->after ? "after" : "before", g->wave + 1, gate_answer_names[answer],
                        g->tally.samples, g->text[0] == '\0' ? "" : ": ", g->text));
}

/* Which of two answers decides: a failure, and one that rolls back; then what was not answered before what only waits
 * for a person, so that promoting the one never passes the other unseen. */
static uint32_t weight(const struct gate_run *g)
{
    if (g->answer == ANSWER_FAIL)
        return g->gate->on_fail == ON_FAIL_ROLLBACK ? 4 : 3;
    return g->gate->type == GATE_MANUAL ? 1 : 2;
}

static bool weighs_more(const struct gate_run *a, const struct gate_run *b)
{
    return weight(a) > weight(b);
}

/* A failure ends the stage at once; otherwise the last answer does. */
static void stage_check(struct engine *e)
{
    enum gate_answer worst = ANSWER_PASS;
    const struct gate_run *why = NULL;

    for (uint32_t i = e->gates_first; i < e->gate_runs.n; i++) {
        const struct gate_run *g = e->gate_runs.items[i];

        if (g->done && !g->baseline && g->answer != ANSWER_PASS && (why == NULL || weighs_more(g, why)))
            why = g;
    }
    if (why != NULL)
        worst = why->answer;
    if (worst != ANSWER_FAIL && e->gates_open > 0)
        return;
    e->gate_rolls_back = why != NULL && why->gate->on_fail == ON_FAIL_ROLLBACK;
    e->gate_manual = why != NULL && why->gate->type == GATE_MANUAL;
    if (worst != ANSWER_PASS)
        gates_stop(e);
    wave_gates_done(e, worst,
                    why == NULL ? ""
                                : SAY(e, "gate %s %s wave %u is %s%s%s", why->gate->name,
                                      why->after ? "after" : "before", why->wave + 1,
                                      gate_answer_names[worst], why->text[0] == '\0' ? "" : ": ", why->text));
}

static void sampled(struct engine *e, struct gate_run *g)
{
    enum gate_next next;

    g->sampling = false;
    if (g->baseline) {
        run_done(e, g, ANSWER_PASS);
        stage_check(e);
        return;
    }
    next = gate_count(g->gate, &g->tally, g->sample, g->sample_at, e->now);
    if (next == GATE_MORE) {
        engine_timer(e, &g->timer, e->now + g->gate->interval_ms);
        return;
    }
    run_done(e, g,
             next == GATE_SAYS_PASS   ? ANSWER_PASS
             : next == GATE_SAYS_FAIL ? ANSWER_FAIL
                                      : ANSWER_UNKNOWN);
    stage_check(e);
}

/* excuses (O15): what is not in service by our own books owes no evidence */

/* What the callbacks of a judgement are told. */
struct asking {
    struct engine *e;
    const struct gate_run *g;
    time_ms asked;
};

static bool node_excused(const struct engine *e, const char *id)
{
    uint32_t node = inventory_node(e->inv, id);
    enum node_end end = node == IX_NONE ? NODE_END_NONE : e->nodes[node].end;

    if (node != IX_NONE && node_in_flight(&e->nodes[node]))
        return true; /* it is being put back */
    return end == NODE_SET_ASIDE || end == NODE_STUCK || end == NODE_NOT_STARTED || end == NODE_ROLLED_BACK;
}

static bool node_owes_nothing(void *arg, const char *id)
{
    return node_excused(((const struct asking *)arg)->e, id);
}

/* Before a wave nothing is ours; nor is what was down then, nor what is down with a node that owes nothing. */
static bool not_ours(struct engine *e, const struct gate_run *g, uint32_t vm)
{
    const struct fleet_vm *v = &e->fleet.vms.items[vm];

    return !g->after || v->parked || e->vms[vm].down_before ||
           (v->at != IX_NONE && e->seen[v->at] != SEEN_UP && node_excused(e, e->inv->nodes[v->at].id));
}

/* A cluster starts its VMs anew by itself: no longer than the gate may be without an answer, then it is lost. */
static enum gate_owes group_owes(void *arg, const char *id)
{
    const struct asking *a = arg;
    uint32_t vm = fleet_vm_by_id(&a->e->fleet, id);
    dur_ms grace = (dur_ms)a->g->gate->unknown_limit * a->g->gate->interval_ms;
    dur_ms fresh = a->e->rollout->policy.fresh_ms;
    time_ms since;

    if (vm == IX_NONE)
        return GATE_OWES;
    if (not_ours(a->e, a->g, vm))
        return GATE_OWES_NOTHING;
    since = a->e->vms[vm].down_since;
    return a->asked - since < (grace < fresh ? grace : fresh) ? GATE_OWES_SOON : GATE_OWES;
}

/* Off by the last picture: it may have begun to run just now. */
static enum gate_owes beat_owes(void *arg, const char *id)
{
    const struct asking *a = arg;
    uint32_t vm = fleet_vm_by_id(&a->e->fleet, id);
    const struct fleet_vm *v = vm == IX_NONE ? NULL : &a->e->fleet.vms.items[vm];

    return v != NULL && (v->parked || v->vm.state != VM_RUNNING) ? GATE_OWES_NOTHING : GATE_OWES;
}

static bool owes(const struct gate_run *g, const struct engine_node *n)
{
    if (!g->after)
        return n->end == NODE_END_NONE;
    if (g->gate->type == GATE_VM_HEARTBEAT)
        return n->end == NODE_DONE;
    return n->end == NODE_DONE || n->end == NODE_COMPLIANT;
}

/* asking */

static const char *time_args(struct engine *e, const char *source)
{
    struct buf *b = engine_scratch(e);
    struct json_writer w;

    jw_init(&w, b);
    jw_object(&w, NULL);
    jw_array(&w, "servers");
    jw_str(&w, NULL, source);
    jw_array_end(&w);
    jw_int(&w, "samples", 4);
    jw_object_end(&w);
    return engine_keep(e, engine_said(e));
}

static const char *gate_args(struct engine *e, const struct gate_run *g, const struct engine_node *n)
{
    if (g->gate->type == GATE_TIME_SYNC)
        return time_args(e, e->inv->nodes[n->ix].time_source);
    if (g->gate->type != GATE_BACKUP_AGENT)
        return "{}";
    return engine_keep(e, SAY(e, "{\"since_ms\":%lld}", (long long)e->waves[g->wave].started));
}

static void take_finding(struct engine *e, struct gate_run *g, uint32_t target, const char *who,
                         struct gate_finding *f)
{
    if (!g->after)
        e->baseline[target_at(e, g, target)] = f->bad;
    else
        gate_weigh(f, e->baseline[target_at(e, g, target)]);
    say_sample(e, g, who, f);
}

static void unanswered(struct engine *e, struct gate_run *g, const char *who, const char *why)
{
    struct gate_finding f = { .answer = ANSWER_UNKNOWN };

    FILL(f.text, why == NULL ? "no answer" : why);
    say_sample(e, g, who, &f);
}

static void ask_target_node(struct engine *e, struct gate_run *g, struct engine_node *n)
{
    struct ask *a;

    if (!n->claimed) {
        if (g->after)
            unanswered(e, g, node_id(e, n), "not connected");
        return; /* before its turn it owes nothing: it will be set aside */
    }
    if (g->gate->type == GATE_TIME_SYNC && e->inv->nodes[n->ix].time_source == NULL) {
        unanswered(e, g, node_id(e, n), "the inventory names no time source for it");
        return;
    }
    a = ask_new(e, asks_of[g->gate->type], n->ix, IX_NONE, gate_args(e, g, n));
    if (a == NULL)
        return;
    a->gate = g->ix;
    g->pending++;
}

static void ask_target_cluster(struct engine *e, struct gate_run *g, struct engine_cluster *c)
{
    uint32_t *w = list_push(&c->waiters);

    if (w == NULL) {
        e->nomem = true;
        return;
    }
    *w = g->ix;
    g->pending++;
    cluster_want(e, c);
}

static void ask_cluster_of(struct engine *e, struct gate_run *g, struct engine_cluster *c)
{
    const struct cluster *ic = &e->inv->clusters[c->ix];

    if (c->stamp == e->stamp)
        return;
    c->stamp = e->stamp;
    if (g->gate->type == GATE_CLUSTER_HEALTH) {
        ask_target_cluster(e, g, c);
        return;
    }
    for (uint32_t i = 0; i < ic->n_nodes; i++)
        if (e->fleet.nodes[ic->nodes[i]].out == 0)
            ask_target_node(e, g, &e->nodes[ic->nodes[i]]);
}

static void ask_everyone(struct engine *e, struct gate_run *g)
{
    const struct plan_wave *pw = &e->plan->waves[g->wave];

    e->stamp++;
    for (uint32_t i = 0; i < pw->n_nodes; i++) {
        struct engine_node *n = &e->nodes[e->plan->nodes[pw->nodes[i]].node];

        if (g->gate->type == GATE_CLUSTER_HEALTH ||
            (g->gate->scope == SCOPE_CLUSTER && g->gate->type != GATE_VM_HEARTBEAT))
            ask_cluster_of(e, g, &e->clusters[n->cluster]);
        else if (owes(g, n))
            ask_target_node(e, g, n);
    }
}

/* A controller that has just started, or woken, still claims: wait for it, but not without end. One that took over may not
 * know what is out, so it waits for every node. */
static bool claims_pending(const struct engine *e, const struct gate_run *g)
{
    if (e->now - engine_awake_since(e) >= e->rollout->policy.unreachable_ms)
        return false;
    for (uint32_t i = 0; i < e->inv->n_nodes; i++) {
        const struct engine_node *n = &e->nodes[i];
        bool matters = n->wave == g->wave || e->overtook;

        if (matters && !n->claimed && !n->refused && e->clusters[n->cluster].in_scope)
            return true;
    }
    return false;
}

static void gate_sample(struct engine *e, struct gate_run *g)
{
    if (claims_pending(e, g)) {
        engine_timer(e, &g->timer, e->now + CLAIM_POLL_MS);
        return;
    }
    g->sampling = true;
    g->sample = ANSWER_PASS;
    g->sample_text[0] = '\0';
    g->sample_at = e->now;
    g->pending = 0;
    if (g->gate->type == GATE_MANUAL) {
        FILL(g->sample_text, "waits for promote");
        run_done(e, g, ANSWER_UNKNOWN);
        stage_check(e);
        return;
    }
    ask_everyone(e, g);
    if (g->pending == 0)
        sampled(e, g);
}

void gate_timeout(struct engine *e, struct gate_run *g)
{
    if (!g->done && !g->sampling)
        gate_sample(e, g);
}

/* Old evidence is none (I13): not from before the question, not older than the gate allows, and not the same once more: by a clock
 * that was wrong when it was taken it may be dated ahead. */
static const char *too_old(struct engine *e, const struct gate_run *g, uint32_t target,
                           const struct event *ev, time_ms asked)
{
    time_ms *stamp = &e->stamps[target_at(e, g, target)], before = *stamp;

    *stamp = ev->u.observed.taken;
    if (ev->u.observed.taken == before)
        return "the evidence is the one before, once more";
    if (ev->u.observed.taken + SKEW_MS < asked)
        return "the evidence was taken before it was asked for";
    if (g->gate->max_age_ms > 0 && ev->at - asked > g->gate->max_age_ms)
        return "the evidence came too late";
    return NULL;
}

static void judge_node(struct engine *e, const struct gate_run *g, const struct event *ev,
                       struct gate_finding *f)
{
    struct asking a = { e, g, 0 };
    struct gate_excuse x = { node_owes_nothing, beat_owes, &a };

    if (g->gate->type == GATE_TIME_SYNC)
        gate_judge_time(g->gate, &ev->u.observed.time, f);
    else if (g->gate->type == GATE_BACKUP_AGENT)
        gate_judge_backup(&ev->u.observed.backup, g->after ? e->waves[g->wave].started : TIME_NEVER, f);
    else
        gate_judge_heartbeat(&ev->u.observed.heartbeat, &x, f);
}

static void one_less(struct engine *e, struct gate_run *g)
{
    assert(g->pending > 0);
    if (--g->pending == 0)
        sampled(e, g);
}

void gate_on_observed(struct engine *e, struct ask *a, const struct event *ev)
{
    struct gate_run *g = e->gate_runs.items[a->gate];
    uint32_t node = a->node;
    time_ms asked = a->sent;
    struct gate_finding f;
    const char *why;

    ask_end(e, a);
    if (g->done)
        return; /* stopped; otherwise no sample begins before each question of the last has ended */
    why = ev->u.observed.ok ? too_old(e, g, node, ev, asked) : ev->u.observed.text;
    if (why != NULL || !ev->u.observed.ok) {
        unanswered(e, g, e->inv->nodes[node].id, why);
    } else {
        judge_node(e, g, ev, &f);
        take_finding(e, g, node, e->inv->nodes[node].id, &f);
    }
    one_less(e, g);
}

static void cluster_sample(struct engine *e, struct gate_run *g, struct engine_cluster *c,
                           const struct event *ev, time_ms asked)
{
    uint32_t target = e->inv->n_nodes + c->ix;
    const char *why = ev->u.observed.ok ? too_old(e, g, target, ev, asked) : ev->u.observed.text;
    struct asking a = { e, g, asked };
    struct gate_excuse x = { node_owes_nothing, group_owes, &a };
    struct gate_finding f;

    if (why != NULL || !ev->u.observed.ok) {
        unanswered(e, g, e->inv->clusters[c->ix].id, why);
    } else {
        gate_judge_cluster(&ev->u.observed.view, &ev->u.observed.storage, &x, &f);
        take_finding(e, g, target, e->inv->clusters[c->ix].id, &f);
    }
    one_less(e, g);
}

/* The cluster's picture is shared: every gate that asked before it was taken gets its part. */
void gate_on_cluster(struct engine *e, struct engine_cluster *c, const struct event *ev, time_ms asked)
{
    uint32_t n = c->waiters.n, kept = 0;

    for (uint32_t i = 0; i < n; i++)
        if (e->gate_runs.items[c->waiters.items[i]]->sample_at > asked)
            kept++;
    if (n == 0)
        return;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t ix = c->waiters.items[0];
        struct gate_run *g = e->gate_runs.items[ix];

        memmove(&c->waiters.items[0], &c->waiters.items[1], (c->waiters.n - 1) * sizeof ix);
        c->waiters.n--;
        if (g->done || !g->sampling)
            continue;
        if (g->sample_at > asked) {
            c->waiters.items[c->waiters.n++] = ix; /* there is room: one was just taken */
            continue;
        }
        cluster_sample(e, g, c, ev, asked);
    }
    if (c->waiters.n > 0 && kept > 0)
        cluster_want(e, c);
}

/* stages */

static void gate_start(struct engine *e, uint32_t gate_ix, uint32_t wave, bool after, bool baseline)
{
    struct gate_run **slot, *g = calloc(1, sizeof *g);

    if (g == NULL || (slot = list_push(&e->gate_runs)) == NULL) {
        free(g);
        e->nomem = true;
        return;
    }
    *slot = g;
    g->ix = e->gate_runs.n - 1;
    g->gate = &e->rollout->gates[gate_ix];
    g->gate_ix = gate_ix;
    g->wave = wave;
    g->after = after;
    g->baseline = baseline;
    g->started = e->now;
    g->timer.kind = TIMER_GATE;
    g->timer.of = g;
    e->gates_open++;
}

/* As another revision left it; what it was still asking is asked anew. */
void gate_restore(struct engine *e, const struct handover_gate *from)
{
    uint32_t ix = 0;
    struct gate_run *g;

    while (strcmp(e->rollout->gates[ix].name, from->name) != 0)
        ix++;
    gate_start(e, ix, from->wave, from->after,
               !from->after && (e->rollout->gates[ix].when & GATE_BEFORE) == 0);
    if (e->nomem)
        return;
    g = e->gate_runs.items[e->gate_runs.n - 1];
    g->done = true;
    g->answer = from->done ? from->answer : ANSWER_UNKNOWN;
    g->tally.samples = from->samples;
    g->started = from->started;
    g->ended = from->done ? from->ended : e->now;
    FILL(g->text, from->done ? from->text : "cut off by a takeover");
}

/* A gate that is only asked afterwards still gets its baseline before. */
static bool wanted(const struct gate *g, bool after, bool *ret_baseline)
{
    *ret_baseline = !after && (g->when & GATE_BEFORE) == 0;
    if (after)
        return (g->when & GATE_AFTER) != 0;
    return !*ret_baseline || g->type != GATE_MANUAL;
}

void gates_begin(struct engine *e, uint32_t wave, bool after)
{
    uint32_t last;
    bool baseline;

    e->gates_first = e->gate_runs.n;
    e->gates_open = 0;
    for (uint32_t i = 0; i < e->rollout->n_gates; i++)
        if (wanted(&e->rollout->gates[i], after, &baseline))
            gate_start(e, i, wave, after, baseline);
    last = e->gate_runs.n;
    if (e->gates_first == last) {
        wave_gates_done(e, ANSWER_PASS, "");
        return;
    }
    /* By timers: no answer comes before all have begun. */
    for (uint32_t i = e->gates_first; i < last; i++)
        engine_timer(e, &e->gate_runs.items[i]->timer, e->now);
}

void gates_stop(struct engine *e)
{
    for (uint32_t i = e->gates_first; i < e->gate_runs.n; i++) {
        struct gate_run *g = e->gate_runs.items[i];

        if (g->done)
            continue;
        timer_stop(&e->timers, &g->timer);
        g->done = true;
        g->sampling = false;
        g->answer = ANSWER_UNKNOWN;
        g->ended = e->now;
        FILL(g->text, "stopped");
    }
    e->gates_open = 0;
}

/* Another controller: what was being asked is lost, and the soak is no longer continuous. */
void gates_abandon(struct engine *e)
{
    for (uint32_t i = 0; i < e->inv->n_clusters; i++)
        e->clusters[i].waiters.n = 0;
    for (uint32_t i = e->gates_first; i < e->gate_runs.n; i++) {
        struct gate_run *g = e->gate_runs.items[i];

        if (g->done)
            continue;
        memset(&g->tally, 0, sizeof g->tally);
        g->sampling = false;
        g->pending = 0;
        g->started = e->now;
        engine_timer(e, &g->timer, e->now + CLAIM_POLL_MS);
    }
}
