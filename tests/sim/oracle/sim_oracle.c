/* The oracle's books: what stores and agents made durable. */
#include "tests/sim/oracle/sim_oracle.h"

#include "schema/ids.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void oracle_init(struct sim_oracle *o, struct sim_world *w, const struct oracle_policy *p)
{
    struct oracle_intents intents = o->intents;
    struct oracle_evidences evidence = o->evidence;
    struct buf why = o->why;

    buf_reset(&why);
    intents.n = evidence.n = 0; /* memory is kept from run to run */
    memset(o, 0, sizeof *o);
    o->intents = intents;
    o->evidence = evidence;
    o->why = why;
    o->w = w;
    o->policy = *p;
}

void oracle_clear(struct sim_oracle *o)
{
    list_clear(&o->intents);
    list_clear(&o->evidence);
    buf_clear(&o->why);
}

struct buf *oracle_broken(struct sim_oracle *o, int invariant)
{
    if (o->broken != 0 || o->copying)
        return NULL;
    o->broken = invariant;
    o->broken_at = o->w->now;
    buf_reset(&o->why);
    buf_printf(&o->why, "I%d at +%lld ms: ", invariant, (long long)(o->w->now - WORLD_START));
    return &o->why;
}

bool oracle_recent(const struct sim_oracle *o, uint32_t cluster)
{
    time_ms at = o->w->clusters[cluster].exo_at;

    return at != 0 && o->w->now - at <= o->policy.fresh_ms + o->policy.slack_ms;
}

struct oracle_intent *oracle_find(struct sim_oracle *o, uint32_t store, const char *op)
{
    for (uint32_t i = o->intents.n; i > 0; i--) {
        struct oracle_intent *x = &o->intents.items[i - 1];

        if ((store == WORLD_NONE || x->store == store) && strcmp(x->op, op) == 0)
            return x;
    }
    return NULL;
}

static void copy(char *out, size_t size, const char *text)
{
    size_t len = strlen(text);

    len = len < size - 1 ? len : size - 1;
    memcpy(out, text, len);
    out[len] = '\0';
}

static bool begins_drain(const char *action)
{
    return strcmp(action, "pause") == 0;
}

void oracle_entry(struct sim_oracle *o, uint32_t store, time_ms at, bool begins)
{
    struct oracle_store *s = &o->stores[store];

    if (begins) {
        memset(s->spoken_to, 0, sizeof s->spoken_to);
        memset(s->distrusted, 0, sizeof s->distrusted); /* each is asked anew */
    }
    if (begins || s->heard_at == 0 || at - s->heard_at > 5 * MINUTE_MS)
        s->awake_since = at;
    s->heard_at = at;
}

/* The 95th percentile of what the node will truly be out for at the least, however empty it is: servicing takes 300 to 700
 * and a boot 120 to 300 thousandths of its model's pace, in seconds; their sum exceeds 915 once in twenty times. */
static dur_ms least_life(const struct world_node *n)
{
    return 915 * (dur_ms)n->speed_permille;
}

/* Told as made by a driver that lied (F26), with its boot pending: no fact denies it before that boot. */
static bool seems_in(const struct world_node *n)
{
    return n->has_package || (n->pending_in && n->boot == n->boot_installed);
}

/* I12, I14: judged where it is decided. */
static void check_drain_intent(struct sim_oracle *o, const struct oracle_intent *x)
{
    const struct oracle_store *s = &o->stores[x->store];
    const struct oracle_policy *p = &o->policy;
    bool back = s->run == ORACLE_RUN_BACK;
    dur_ms life = least_life(&o->w->nodes[x->node]);
    uint32_t failures = 0, in_wave = 0, wave = p->wave_of[x->node], alone = oracle_rehearsed(o, x->store);

    for (uint32_t i = 0; i < o->w->n_nodes; i++) {
        bool refused_back =
            i == alone && o->w->nodes[i].has_package; /* in service, patched: no failure (O14) */

        if ((s->ends[i] == ORACLE_END_SET_ASIDE && !refused_back) || s->ends[i] == ORACLE_END_STUCK) {
            failures++;
            in_wave += p->wave_of[i] == wave;
        }
    }
    for (uint32_t i = 0; i < o->w->n_nodes; i++)
        if (s->ends[i] == ORACLE_END_NONE && oracle_out_of_reach(o, x->store, i)) {
            failures++;
            in_wave += p->wave_of[i] == wave;
        }
    o->checks[12]++;
    if (s->run != ORACLE_RUN_RUNNING && !back)
        oracle_break(o, 12, "drain of %s was decided while the run was not running", o->w->nodes[x->node].id);
    if (s->paused_by_verb)
        oracle_break(o, 12, "drain of %s was decided although the run is paused", o->w->nodes[x->node].id);
    if (!back && (failures > p->failures_run || in_wave > p->failures_wave))
        oracle_break(o, 12, "drain of %s was decided over the failure budget", o->w->nodes[x->node].id);
    if (back && !seems_in(&o->w->nodes[x->node]) && o->w->nodes[x->node].out_since == 0 &&
        !oracle_recent(o, o->w->nodes[x->node].cluster))
        oracle_break(o, 12, "rolling back drains %s, which is not patched", o->w->nodes[x->node].id);
    o->checks[14]++;
    if (p->expires != 0 && x->at + life > p->expires)
        oracle_break(o, 14, "drain of %s was decided after the approval's end", o->w->nodes[x->node].id);
    if (back && p->back_outside_window)
        return;
    if (p->window_to != 0 && (x->at < p->window_from || x->at + life > p->window_to))
        oracle_break(o, 14, "drain of %s was decided outside the window", o->w->nodes[x->node].id);
    if (p->freeze_to != 0 && x->at + life > p->freeze_from && x->at < p->freeze_to)
        oracle_break(o, 14, "drain of %s was decided in a freeze", o->w->nodes[x->node].id);
}

static bool of_one_line(const struct oracle_intent *a, const struct oracle_intent *b)
{
    bool moves = strcmp(a->action, "move_vm") == 0, moved = strcmp(b->action, "move_vm") == 0;

    if (a->store != b->store || strcmp(b->action, "cluster_setting") == 0)
        return false;
    return moves ? moved && a->vm == b->vm : moved ? b->node == a->node && !b->load : b->node == a->node;
}

/* Another store has begun something on the node of which this one cannot know before it has heard the node's journal. */
static bool overtaken(struct sim_oracle *o, uint32_t store, uint32_t node)
{
    for (uint32_t i = 0; i < o->intents.n; i++) {
        const struct oracle_intent *x = &o->intents.items[i];

        if (x->store != store && x->node == node && x->started && oracle_find(o, store, x->op) == NULL)
            return true;
    }
    return false;
}

/* Where its VMs were to go may be no place any more: a receiver is out of reach, or others have changed the cluster since the
 * drain was decided on. */
static bool nowhere_to_go(const struct sim_oracle *o, const struct oracle_intent *p)
{
    uint32_t k = o->w->nodes[p->node].cluster;

    if (strcmp(p->action, "move_vm") != 0)
        return false;
    if (o->w->clusters[k].exo_at > p->first_at - o->policy.fresh_ms)
        return true;
    for (uint32_t i = 0; i < o->w->n_nodes; i++)
        if (i != p->node && o->w->nodes[i].cluster == k && !o->stores[p->store].spoken_to[i])
            return true;
    return false;
}

/* On a node that comes home, or is there, what it never saw is not sent again: the run stops, a step of its drain failed or can be
 * done no more, or another log has led it on. */
static bool left_undone(struct sim_oracle *o, const struct oracle_intent *p, const char *next)
{
    const struct oracle_store *s = &o->stores[p->store];
    bool home = oracle_goes_home(next) || s->ended_at[p->node] > p->first_at;

    return home &&
           (s->aborted_at != 0 || s->stopped_at != 0 || s->given_up[p->node] > p->first_at ||
            s->step_failed[p->node] == p->life || nowhere_to_go(o, p) || overtaken(o, p->store, p->node));
}

/* I19: no step and no further attempt before the last one has an outcome; what its node never saw keeps its id. */
static void check_one_by_one(struct sim_oracle *o, const struct oracle_intent *x)
{
    if (strcmp(x->action, "cluster_setting") == 0)
        return;
    o->checks[19]++;
    for (uint32_t i = 0; i < o->intents.n; i++) {
        const struct oracle_intent *p = &o->intents.items[i];

        if (p->outcome || p == x || !of_one_line(x, p))
            continue;
        if (p->resulted && (p->cancelled || p->sent >= 5 || p->too_late || left_undone(o, p, x->action)))
            continue; /* never seen, and given up */
        oracle_break(o, 19, "%s is decided while %s has no outcome", x->op, p->op);
    }
}

void oracle_intent(struct sim_oracle *o, const struct oracle_intent_fact *f)
{
    struct oracle_store *s = &o->stores[f->store];
    struct oracle_intent *x = oracle_find(o, f->store, f->op);
    struct op_id_parts parts = { 0 };

    s->last_seq = f->seq;
    if (op_id_parse(f->op, &parts, NULL) != 0)
        oracle_break(o, 19, "op id %s has no form", f->op);
    if (x != NULL) { /* started once more under its own id: only after a witness's not_done */
        x->sent++;
        x->at = f->at;
        x->run = s->run;
        oracle_check_stopped(o, x);
        return;
    }
    x = list_push(&o->intents);
    assert(x != NULL);
    x->store = f->store;
    x->seq = f->seq;
    x->at = f->at;
    copy(x->op, sizeof x->op, f->op);
    copy(x->action, sizeof x->action, f->action);
    x->node = world_node_find(o->w, f->node);
    x->vm = world_vm_find(o->w, f->vm);
    x->to = world_node_find(o->w, f->to);
    x->life = parts.life;
    x->run = s->run;
    x->back = s->run == ORACLE_RUN_BACK;
    x->sent = 1;
    x->first_at = f->at;
    x->unseen = begins_drain(f->action) ? oracle_unseen(o, f->store) : 0;
    x->load = x->node != WORLD_NONE && o->w->nodes[x->node].out_since == 0;
    o->checks[24]++;
    if (strcmp(parts.step, f->action) != 0)
        oracle_break(o, 24, "%s is sent as %s", f->op, f->action);
    check_one_by_one(o, x);
    o->checks[19]++;
    if (parts.attempt > o->policy.attempts + 1 && strstr(f->action, "install") != NULL)
        oracle_break(o, 19, "%s is attempt %u, allowed are %u", f->op, parts.attempt, o->policy.attempts);
    o->checks[12]++;
    if (x->back && strcmp(f->action, "install") == 0)
        oracle_break(o, 12, "%s is decided in a rollback", f->op);
    if (strcmp(f->action, "uninstall") == 0 && !s->rolled_back && !o->policy.rehearse)
        oracle_break(o, 12, "%s is decided, and nobody rolls back", f->op);
    if (strcmp(parts.node, f->node) != 0)
        oracle_break(o, 16, "%s is sent to %s", f->op, f->node);
    if (begins_drain(f->action) && x->node != WORLD_NONE && o->w->nodes[x->node].out_since == 0 &&
        !oracle_pauses_again(o, x))
        check_drain_intent(o, x);
    oracle_check_stopped(o, x);
}

void oracle_verb(struct sim_oracle *o, uint32_t store, time_ms at, const char *verb, uint32_t node)
{
    struct oracle_store *s = &o->stores[store];

    oracle_stage_verb(o, store, at, verb);
    if (strcmp(verb, "pause") == 0)
        s->paused_by_verb = true;
    if (strcmp(verb, "resume") == 0)
        s->paused_by_verb = false;
    if (strcmp(verb, "abort") == 0 || strcmp(verb, "abort-force") == 0)
        s->aborted_at = at;
    if (strcmp(verb, "abort-force") == 0)
        s->closed_at = at;
    if (strcmp(verb, "set-aside") == 0 && node < WORLD_NODES)
        s->given_up[node] = at;
    if (strcmp(verb, "return") == 0 && node < WORLD_NODES)
        s->put_back[node] = true;
    if (strcmp(verb, "rollback") == 0) {
        s->aborted_at = 0;
        s->stopped_at = at; /* until it begins */
        s->paused_by_verb = false;
    }
}

void oracle_run(struct sim_oracle *o, uint32_t store, time_ms at, enum oracle_run run)
{
    struct oracle_store *s = &o->stores[store];

    if (run == ORACLE_RUN_BACK &&
        (s->back_began == 0 || (s->run != ORACLE_RUN_BACK && s->run != ORACLE_RUN_HOLDING)))
        s->back_began = at; /* holding in the middle it goes on */
    s->run = run;
    s->rolled_back = s->rolled_back || run == ORACLE_RUN_BACK;
    if (run == ORACLE_RUN_BACK)
        s->stopped_at = 0;
    else if (run >= ORACLE_RUN_FINISHED)
        s->stopped_at = at;
}

void oracle_wave_failed(struct sim_oracle *o, uint32_t store, time_ms at)
{
    if (o->stores[store].run != ORACLE_RUN_BACK)
        o->stores[store].stopped_at = at;
}

void oracle_wave_over(struct sim_oracle *o, uint32_t store, time_ms at, uint32_t wave)
{
    if (wave >= ORACLE_WAVES)
        return;
    o->stores[store].began[wave] = true; /* one that has nothing to do is over as it begins */
    o->stores[store].wave_over[wave] = at;
}

/* Begun once more, for a node that is tried again, it asks its gates anew. */
void oracle_wave_began(struct sim_oracle *o, uint32_t store, uint32_t wave)
{
    struct oracle_store *s = &o->stores[store];
    bool again = wave < ORACLE_WAVES && s->began[wave];

    if (wave >= ORACLE_WAVES)
        return;
    s->began[wave] = true;
    s->wave_over[wave] = 0;
    s->after[wave] = (struct oracle_stage){ 0 };
    if (o->copying || again)
        return; /* what ran when a copy's entries were made nobody knows any more */
    s->ran[wave] = 0;
    for (uint32_t i = 0; i < o->w->n_vms; i++)
        s->ran[wave] |= (uint64_t)world_vm_live(&o->w->vms[i]) << i;
}

/* I11: the record lists every node of the wave with its end. */
void oracle_wave_passed(struct sim_oracle *o, uint32_t store, time_ms at, uint32_t wave)
{
    struct oracle_store *s = &o->stores[store];

    if (wave >= ORACLE_WAVES)
        return;
    s->passed[wave] = true;
    s->passed_at[wave] = at;
    o->checks[11]++;
    for (uint32_t i = 0; i < o->w->n_nodes; i++)
        if (o->policy.wave_of[i] == wave && s->ends[i] == ORACLE_END_NONE)
            oracle_break(o, 11, "wave %u passed while %s has no end", wave + 1, o->w->nodes[i].id);
    if (!oracle_after_passed(o, store, wave))
        oracle_break(o, 11, "wave %u passed before its gates", wave + 1);
    for (uint32_t i = 0; i < wave; i++)
        if (!s->passed[i])
            oracle_break(o, 11, "wave %u passed before wave %u", wave + 1, i + 1);
}

void oracle_gate_answer(struct sim_oracle *o, uint32_t store, time_ms at, uint32_t wave, bool after,
                        uint32_t gate, enum oracle_answer answer, bool by_person)
{
    const struct oracle_gate *g = gate < o->policy.n_gates ? &o->policy.gates[gate] : NULL;

    if (g == NULL || !(after ? g->after : g->before)) /* some are asked before only to be compared with */
        return;
    if (answer == ORACLE_PASS && !by_person)
        oracle_check_pass(o, store, at, wave, after, g);
    if (wave < ORACLE_WAVES)
        oracle_stage_answer(o, store, at, wave, after, gate, answer);
}

/* Nobody waits for what was going on there any more. */
static void give_up_node(struct sim_oracle *o, uint32_t store, uint32_t node)
{
    for (uint32_t i = 0; i < o->intents.n; i++)
        if (o->intents.items[i].store == store && o->intents.items[i].node == node)
            o->intents.items[i].outcome = true;
}

void oracle_node_end(struct sim_oracle *o, uint32_t store, time_ms at, uint32_t node, enum oracle_end end)
{
    struct oracle_store *s = &o->stores[store];

    if (s->ends[node] == end)
        return;
    s->ends[node] = end;
    s->ended_at[node] = at;
    if (end == ORACLE_END_STUCK)
        give_up_node(o, store, node);
    s->done_of_old[node] = end == ORACLE_END_DONE && overtaken(o, store, node);
    if (end == ORACLE_END_DONE && !s->done_before[node] && !s->done_of_old[node])
        oracle_check_done(o, node, false);
    if (end == ORACLE_END_ROLLED_BACK && !overtaken(o, store, node))
        oracle_check_removed(o, node);
    if (end == ORACLE_END_COMPLIANT && !overtaken(o, store, node))
        oracle_check_compliant(o, node);
    s->done_before[node] |=
        end == ORACLE_END_DONE; /* told once more after a way back that never began: the same end */
}

/* A stamp is of the node's own clock: one that never went wrong tells when the answer was taken. */
void oracle_evidence(struct sim_oracle *o, uint32_t store, time_ms at, const char *what, uint32_t node,
                     uint32_t cluster, time_ms taken)
{
    struct oracle_evidence *e = list_push(&o->evidence);

    assert(e != NULL);
    *e = (struct oracle_evidence){ .store = store,
                                   .node = node,
                                   .cluster = cluster,
                                   .taken = o->w->nodes[node].clock_bad_at == 0 ? taken : at,
                                   .at = at,
                                   .answered = true };
    copy(e->what, sizeof e->what, what);
    if (strcmp(what, "cluster") != 0 || !oracle_whole_picture(o, store, cluster, taken))
        return;
    for (uint32_t i = 0; i < o->w->n_nodes; i++)
        if (o->w->nodes[i].cluster == cluster && world_node_up(o->w, i) && !o->w->nodes[i].paused &&
            o->w->nodes[i].unpaused_at < e->taken) /* whom it does not have, or not up, it does not show so */
            o->stores[store].seen_up[i] = at;
}

void oracle_no_evidence(struct sim_oracle *o, uint32_t store, time_ms at, const char *what, uint32_t node,
                        uint32_t cluster)
{
    struct oracle_evidence *e = list_push(&o->evidence);

    assert(e != NULL);
    *e = (struct oracle_evidence){ .store = store, .node = node, .cluster = cluster, .at = at };
    copy(e->what, sizeof e->what, what);
}

void oracle_result(struct sim_oracle *o, uint32_t store, const char *op, uint32_t node, bool moved_on)
{
    struct oracle_intent *x = oracle_find(o, store, op);

    o->checks[21]++;
    if (x == NULL || x->node != node) {
        if (moved_on)
            oracle_break(o, 21, "a result of %s, which this store never sent to that node, changed something",
                         op);
        return;
    }
    x->resulted = x->outcome = true;
}

void oracle_step_failed(struct sim_oracle *o, uint32_t store, const char *op, uint32_t node)
{
    const struct oracle_intent *x = oracle_find(o, store, op);

    if (x != NULL && x->node == node)
        o->stores[store].step_failed[node] = x->life;
}

/* C.3: DONE, then the reply. */
void oracle_told_done(struct sim_oracle *o, const char *op)
{
    const struct oracle_intent *x = oracle_find(o, WORLD_NONE, op);
    bool ended = x == NULL;

    o->checks[22]++;
    for (uint32_t i = 0; i < o->intents.n && !ended; i++)
        ended = o->intents.items[i].ended && strcmp(o->intents.items[i].op, op) == 0;
    if (!ended)
        oracle_break(o, 22, "%s was told as done, and no journal has it so", op);
}

void oracle_never_seen(struct sim_oracle *o, uint32_t store, const char *op, uint32_t node, bool moved_on)
{
    struct oracle_intent *x = oracle_find(o, store, op);
    bool had = x != NULL && x->outcome;

    oracle_result(o, store, op, node, moved_on);
    if (x == NULL)
        return;
    x->too_late = o->w->now - x->first_at > o->policy.fresh_ms;
    x->outcome = had || (strcmp(x->action, "reboot") == 0 &&
                         x->applied > 0); /* the boot tells, not the lost journal */
}

void oracle_cancelled(struct sim_oracle *o, uint32_t store, const char *op)
{
    struct oracle_intent *x = oracle_find(o, store, op);

    if (x != NULL)
        x->cancelled = true;
}

void oracle_handed_over(struct sim_oracle *o, uint32_t store)
{
    o->stores[store].handed_at = o->w->now;
    oracle_stage_handed(o, store);
    for (uint32_t i = 0; i < o->intents.n; i++)
        if (o->intents.items[i].store == store && !o->intents.items[i].outcome)
            o->intents.items[i].cancelled = true;
}

void oracle_store_failed(struct sim_oracle *o, uint32_t store)
{
    o->stores[store].failed = true;
}

void oracle_store_recovered(struct sim_oracle *o, uint32_t store)
{
    o->stores[store].failed = false;
}

void oracle_copy_begin(struct sim_oracle *o, uint32_t to)
{
    o->stores[to] = (struct oracle_store){ 0 };
    memcpy(o->checks_kept, o->checks, sizeof o->checks);
    o->copying = true;
}

void oracle_copy_end(struct sim_oracle *o, uint32_t from, uint32_t to)
{
    memcpy(o->checks, o->checks_kept, sizeof o->checks);
    o->copying = false;
    for (uint32_t i = 0; i < o->intents.n; i++) {
        struct oracle_intent *x = &o->intents.items[i];
        const struct oracle_intent *was = x->store == to ? oracle_find(o, from, x->op) : NULL;

        if (was == NULL)
            continue;
        x->accepted = was->accepted;
        x->started = was->started;
        x->applied = was->applied;
        x->unrecorded = was->unrecorded;
    }
}

void oracle_submit(struct sim_oracle *o, uint32_t store, const char *op)
{
    struct oracle_intent *x = oracle_find(o, store, op);

    o->checks[25]++;
    if (o->stores[store].failed)
        oracle_break(o, 25, "%s was sent after the store had failed", op);
    o->checks[18]++;
    if (x == NULL)
        oracle_break(o, 18, "%s was sent before its intent was stored", op);
    else
        x->sent_at = o->w->now;
}

void oracle_claimed(struct sim_oracle *o, uint32_t node, int64_t epoch, const char *controller)
{
    struct oracle_claim *c = &o->nodes[node].claim;

    o->checks[20]++;
    if (epoch < c->epoch)
        oracle_break(o, 20, "%s took a claim of epoch %lld after %lld", o->w->nodes[node].id,
                     (long long)epoch, (long long)c->epoch);
    if (epoch == c->epoch && strcmp(c->controller, controller) != 0)
        oracle_break(o, 20, "%s took a claim of the same epoch from another controller",
                     o->w->nodes[node].id);
    c->epoch = epoch;
    c->at = o->w->now;
    copy(c->controller, sizeof c->controller, controller);
}

void oracle_heard_garbage(struct sim_oracle *o)
{
    o->checks[26]++;
}

void oracle_ended(struct sim_oracle *o, const char *op, bool by_garbage)
{
    if (by_garbage)
        oracle_break(o, 26, "%s succeeded by an answer that is none", op);
    for (uint32_t i = 0; i < o->intents.n; i++)
        if (strcmp(o->intents.items[i].op, op) == 0)
            o->intents.items[i].ended = true;
}

void oracle_refuted(struct sim_oracle *o, const char *op)
{
    for (uint32_t i = 0; i < o->intents.n; i++)
        if (strcmp(o->intents.items[i].op, op) == 0)
            o->intents.items[i].refuted = true;
}

void oracle_journal_lost(struct sim_oracle *o, uint32_t node)
{
    o->nodes[node].claim = (struct oracle_claim){ 0 };
    for (uint32_t i = 0; i < o->intents.n; i++)
        if (o->intents.items[i].node == node && o->intents.items[i].started)
            o->intents.items[i].unrecorded = true;
}
