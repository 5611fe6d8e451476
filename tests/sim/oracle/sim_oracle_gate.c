/* Gates: what a pass rests on (I13), and what waits for those before a wave (I11). */
#include "tests/sim/oracle/sim_oracle.h"

#include <string.h>

#define SKEW_MS (5 * SECOND_MS) /* between the clocks of two nodes in order */

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* A stage of a wave: its gates before it, or those after it. */
struct stage {
    uint32_t store, wave;
    bool after;
    time_ms since, at; /* evidence is from after `since`; it passes at `at` */
};

static const char *of(const struct stage *s)
{
    return s->after ? "of" : "before";
}

/* What has been so for longer, an unbroken row of answers has told: the last may be as old as it may be, and have taken as long as it
 * may take. */
static dur_ms known_after(const struct sim_oracle *o, const struct oracle_gate *g)
{
    return g->soak_ms + 2 * (g->max_age_ms + o->policy.slack_ms);
}

/* Before its turn a node owes none that may not be asked (I16), nor one whose claim is not older than the answers may be. */
static bool owes_evidence(const struct sim_oracle *o, const struct stage *s, const struct oracle_gate *g,
                          uint32_t node)
{
    const struct oracle_store *of_it = &o->stores[s->store];

    if (s->after)
        return of_it->ends[node] == ORACLE_END_DONE;
    return of_it->ends[node] == ORACLE_END_NONE && of_it->spoken_to[node] && !of_it->distrusted[node] &&
           of_it->spoken_at[node] + known_after(o, g) < s->at;
}

/* An unbroken row of answers about one node (or cluster), from its first to its last. */
struct row {
    time_ms first, last, lost; /* lost: an answer was missing, or the node, since the last one; 0: no */
    uint32_t n;
};

/* Longer than the next answer takes; or as long as two, and between them one is known to have been missing that no other gate
 * may have asked for. */
static bool breaks(const struct sim_oracle *o, const struct oracle_gate *g, const struct row *r, time_ms at)
{
    return at - r->last > g->interval_ms + g->max_age_ms + o->policy.slack_ms ||
           (!g->shared && r->lost != 0 && at - r->last >= 2 * g->interval_ms);
}

/* The same answer once more, one from before its stage, or one that is too old already is none. */
static bool is_none(const struct sim_oracle *o, const struct oracle_gate *g, const struct oracle_evidence *e,
                    time_ms since, time_ms newest)
{
    return !e->answered || e->taken + SKEW_MS < since || e->taken <= newest ||
           e->at - e->taken > g->max_age_ms + o->policy.slack_ms;
}

static struct row row_of(const struct sim_oracle *o, const struct stage *s, const struct oracle_gate *g,
                         uint32_t node, uint32_t cluster)
{
    struct row r = { 0 };
    time_ms newest = 0;

    for (uint32_t i = 0; i < o->evidence.n; i++) {
        const struct oracle_evidence *e = &o->evidence.items[i];
        bool of_it = g->by_node || e->what[0] == '\0' ? e->node == node : e->cluster == cluster;

        if (e->store != s->store || e->at < s->since || e->at > s->at || !of_it ||
            (e->what[0] != '\0' && !is(e->what, g->what)))
            continue;
        if (is_none(o, g, e, s->since, newest)) {
            r.lost = e->at;
            continue;
        }
        if (r.n > 0 && breaks(o, g, &r, e->at))
            r.n = 0;
        r.first = r.n == 0 ? e->at : r.first;
        r.last = e->at;
        r.n++;
        r.lost = 0;
        newest = e->taken;
    }
    return r;
}

/* Evidence about one node (or cluster): enough, over the soak without a gap, fresh, and newer than its stage. */
static struct row check_row(struct sim_oracle *o, const struct stage *s, const struct oracle_gate *g,
                            uint32_t node, uint32_t cluster)
{
    struct row r = row_of(o, s, g, node, cluster);
    const char *who = node != WORLD_NONE ? o->w->nodes[node].id : o->w->clusters[cluster].id;

    o->checks[13]++;
    if (r.n < g->samples)
        oracle_break(o, 13, "gate %s %s wave %u passed on %u answers about %s, needed are %u", g->what, of(s),
                     s->wave + 1, r.n, who, g->samples);
    else if (r.last - r.first + g->interval_ms / 3 < g->soak_ms)
        oracle_break(o, 13, "gate %s %s wave %u watched %s for %lld ms of %lld", g->what, of(s), s->wave + 1,
                     who, (long long)(r.last - r.first), (long long)g->soak_ms);
    else if (s->at - r.last > g->max_age_ms + o->policy.slack_ms)
        oracle_break(o, 13, "gate %s %s wave %u passed on evidence about %s that is %lld ms old", g->what,
                     of(s), s->wave + 1, who, (long long)(s->at - r.last));
    return r;
}

static bool beats(const struct sim_world *w, uint32_t node)
{
    for (uint32_t i = 0; i < w->n_vms; i++)
        if (!w->vms[i].gone && w->vms[i].node == node && w->vms[i].state == GUEST_RUNNING &&
            !w->vms[i].no_heartbeat)
            return true;
    return false;
}

static void check_truth(struct sim_oracle *o, time_ms at, const struct oracle_gate *g, uint32_t node)
{
    const struct world_node *n = &o->w->nodes[node];
    bool mute = n->gate != GATE_SOUND && n->gate != GATE_FLAPS;

    if (is(g->what, "backup") && n->backup_broken &&
        n->backup_broken_at + g->soak_ms + o->policy.slack_ms < at)
        oracle_break(o, 13, "gate backup passed while the backup of %s is broken for long", n->id);
    if (is(g->what, "backup") && mute && n->gate_at + g->soak_ms + o->policy.slack_ms < at)
        oracle_break(o, 13, "gate backup passed while nothing on %s can tell", n->id);
    if (is(g->what, "time") && n->clock_error_ms > 5000 &&
        n->clock_bad_at + g->soak_ms + o->policy.slack_ms < at)
        oracle_break(o, 13, "gate time passed while the clock of %s is wrong for long", n->id);
    if (is(g->what, "heartbeat") && !oracle_recent(o, n->cluster) && !beats(o->w, node))
        oracle_break(o, 13, "gate heartbeat passed while no VM of %s can tell", n->id);
}

/* It was broken when the answer was taken, which is at most `late` before it came. */
static bool was_broken(const struct world_outage *x, time_ms came, dur_ms late)
{
    return x->from + late < came && came < x->until;
}

/* The last sample passes, and no other may have failed where none is forgiven. A picture may be asked for beside the gate: then the
 * gate's own sample before it, which is of the row too, may be older by an interval and by as long as two answers take. */
static void check_outage(struct sim_oracle *o, const struct stage *s, const struct oracle_gate *g,
                         const struct row *r, uint32_t cluster, const struct world_outage *x,
                         const char *what)
{
    dur_ms fresh = g->soak_ms > o->policy.fresh_ms ? g->soak_ms : o->policy.fresh_ms;
    bool broken = was_broken(x, r->last, fresh + o->policy.slack_ms);

    if (x->from == 0 || r->n == 0)
        return;
    o->checks[13]++;
    for (uint32_t i = 0; i < o->evidence.n && !broken && g->failures == 0; i++) {
        const struct oracle_evidence *e = &o->evidence.items[i];

        broken = e->store == s->store && e->answered && e->cluster == cluster && is(e->what, g->what) &&
                 e->at + g->soak_ms >= r->last && e->at >= r->first && e->at < r->last &&
                 was_broken(x, e->at, g->interval_ms + 2 * g->max_age_ms + o->policy.slack_ms);
    }
    if (broken)
        oracle_break(o, 13, "gate %s %s wave %u passed while %s of %s is not in order", g->what, of(s),
                     s->wave + 1, what, o->w->clusters[cluster].id);
}

static bool parked_ever(const struct sim_oracle *o, uint32_t store, uint32_t vm)
{
    for (uint32_t i = 0; i < o->intents.n; i++)
        if (o->intents.items[i].store == store && o->intents.items[i].vm == vm &&
            is(o->intents.items[i].action, "park_vm"))
            return true;
    return false;
}

/* What ran before the wave, on a node that is in service, and does not come up again fails its cluster's gate. */
static void check_vms(struct sim_oracle *o, const struct stage *s, const struct oracle_gate *g,
                      uint32_t cluster)
{
    if (oracle_recent(o, cluster))
        return;
    for (uint32_t i = 0; i < o->w->n_vms; i++) {
        const struct world_vm *v = &o->w->vms[i];

        if (v->gone || !v->clustered || o->w->nodes[v->node].cluster != cluster || world_vm_live(v) ||
            v->down == DOWN_PARKED || !(o->stores[s->store].ran[s->wave] >> i & 1u) ||
            !world_receives(o->w, v->node) || parked_ever(o, s->store, i))
            continue;
        o->checks[13]++;
        if (v->down_since + known_after(o, g) < s->at)
            oracle_break(o, 13, "gate %s of wave %u passed while %s is down for long", g->what, s->wave + 1,
                         v->id);
    }
}

static void check_cluster(struct sim_oracle *o, const struct stage *s, const struct oracle_gate *g,
                          uint32_t cluster)
{
    const struct world_cluster *c = &o->w->clusters[cluster];
    struct row r = check_row(o, s, g, WORLD_NONE, cluster);

    check_outage(o, s, g, &r, cluster, &c->no_witness, "the witness");
    check_outage(o, s, g, &r, cluster, &c->not_whole, "the storage");
    if (s->after)
        check_vms(o, s, g, cluster);
}

/* A cluster is looked at for each node of the wave, however that has ended. */
static void check_pass(struct sim_oracle *o, const struct stage *s, const struct oracle_gate *g)
{
    uint32_t clusters = 0;

    for (uint32_t i = 0; i < o->w->n_nodes; i++) {
        uint32_t k = o->w->nodes[i].cluster;

        if (o->policy.wave_of[i] != s->wave)
            continue;
        if (!g->by_node && !(clusters >> k & 1u))
            check_cluster(o, s, g, k);
        clusters |= 1u << k;
        if (!g->by_node || !owes_evidence(o, s, g, i))
            continue;
        check_truth(o, s->at, g, i);
        check_row(o, s, g, i, k);
    }
}

void oracle_check_pass(struct sim_oracle *o, uint32_t store, time_ms at, uint32_t wave, bool after,
                       const struct oracle_gate *g)
{
    const struct oracle_store *of_it = &o->stores[store];
    struct stage s = { store, wave, after, 0, at };

    if (wave >= ORACLE_WAVES)
        return;
    if (is(g->what, "manual")) {
        oracle_break(o, 13, "a person's gate of wave %u passed by itself", wave + 1);
        return;
    }
    if (after && of_it->wave_over[wave] == 0) {
        oracle_break(o, 13, "gate %s of wave %u passed before the wave was over", g->what, wave + 1);
        return;
    }
    s.since = after ? of_it->wave_over[wave] : wave > 0 ? of_it->passed_at[wave - 1] : 0;
    check_pass(o, &s, g);
}

static uint32_t gates_of(const struct sim_oracle *o, bool after)
{
    uint32_t gates = 0;

    for (uint32_t i = 0; i < o->policy.n_gates; i++)
        gates |= (after ? o->policy.gates[i].after : o->policy.gates[i].before) ? 1u << i : 0;
    return gates;
}

/* The gates that are asked, or wait for a person; NULL: none. */
static struct oracle_stage *asked(struct oracle_store *s)
{
    uint32_t wave = 0;

    while (wave < ORACLE_WAVES && s->passed[wave])
        wave++;
    if (wave == ORACLE_WAVES || (s->began[wave] && s->wave_over[wave] == 0))
        return NULL;
    return s->began[wave] ? &s->after[wave] : &s->before[wave];
}

/* The last answer counts. */
void oracle_stage_answer(struct sim_oracle *o, uint32_t store, time_ms at, uint32_t wave, bool after,
                         uint32_t gate, enum oracle_answer answer)
{
    struct oracle_store *s = &o->stores[store];
    struct oracle_stage *g = after ? &s->after[wave] : &s->before[wave];
    uint32_t bit = 1u << gate;

    g->passed = answer == ORACLE_PASS ? g->passed | bit : g->passed & ~bit;
    g->unknown = answer == ORACLE_UNKNOWN ? g->unknown | bit : g->unknown & ~bit;
    g->failed |= answer == ORACLE_FAIL;
    if ((gates_of(o, after) & ~g->passed) == 0 && g->open_at == 0)
        g->open_at = at;
}

/* A person opens a gate that could not tell, never one that failed; or has all of them asked anew. */
void oracle_stage_verb(struct sim_oracle *o, uint32_t store, time_ms at, const char *verb)
{
    struct oracle_stage *g = asked(&o->stores[store]);

    if (g == NULL)
        return;
    if (is(verb, "promote") && !g->failed)
        g->open_at = at;
    else if (is(verb, "resume") && g->unknown != 0)
        g->passed = g->unknown = 0;
}

/* Another revision asks anew what has not let the run go on. */
void oracle_stage_handed(struct sim_oracle *o, uint32_t store)
{
    struct oracle_stage *g = asked(&o->stores[store]);

    if (g != NULL)
        *g = (struct oracle_stage){ 0 };
}

bool oracle_before_passed(const struct sim_oracle *o, const struct oracle_intent *x, uint32_t wave)
{
    time_ms open_at = o->stores[x->store].before[wave].open_at;

    return gates_of(o, false) == 0 || (open_at != 0 && open_at <= x->first_at);
}

bool oracle_after_passed(const struct sim_oracle *o, uint32_t store, uint32_t wave)
{
    return gates_of(o, true) == 0 || o->stores[store].after[wave].open_at != 0;
}
