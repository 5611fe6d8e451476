/* An event log in memory: durable when append returns. What the projections
 * say after each entry is told to the oracle as plain facts. */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct log_position log_position_of(const struct event_log *base)
{
    const struct sim_log *l = (const struct sim_log *)(const void *)base;
    struct log_position p = { .seq = l->entries.n };

    if (l->entries.n > 0)
        memcpy(p.hash, l->entries.items[l->entries.n - 1].hash, SHA256_TEXT);
    return p;
}

bool sim_log_holds(const struct sim_log *l, uint64_t seq, const char *hash)
{
    if (seq == 0)
        return true;
    return seq <= l->entries.n && strcmp(l->entries.items[seq - 1].hash, hash) == 0;
}

uint32_t sim_log_revision(const struct sim_log *l, uint32_t *ret_from)
{
    uint32_t i = l->entries.n;

    while (i > 0 && l->entries.items[i - 1].revision == 0)
        i--;
    if (ret_from != NULL)
        *ret_from = i == 0 ? 0 : i - 1;
    return i == 0 ? 0 : l->entries.items[i - 1].revision;
}

static const char *const evidence_words[OBSERVE_WHATS] = {
    [OBSERVE_CLUSTER] = "cluster",
    [OBSERVE_TIME] = "time",
    [OBSERVE_BACKUP] = "backup",
    [OBSERVE_HEARTBEAT] = "heartbeat",
};

/* By the journal, or by the effect's own witness. */
static bool decided(const struct op_record *r)
{
    return r->state == OP_DONE || r->witness == WITNESS_SAYS_DONE || r->witness == WITNESS_SAYS_NOT_DONE ||
           (r->state != OP_NONE && strcmp(r->action, "reboot") == 0); /* the boot is its witness */
}

/* Its driver said that it did something. A witness tells how things are, not by whom: such a result has no words. */
static void tell_effect(struct sim_log *l, const struct op_record *r)
{
    if (r->state == OP_DONE && r->outcome == OUTCOME_OK && !r->already && r->text != NULL &&
        strcmp(r->text, "{}") != 0)
        oracle_claims_effect(&l->s->oracle, r->op, r->action);
}

static bool succeeded(const struct op_record *r)
{
    return r->state == OP_DONE && r->outcome == OUTCOME_OK && r->witness == WITNESS_NOT_ASKED;
}

static bool did_not(const struct op_record *r)
{
    return r->outcome == OUTCOME_FAILED || r->outcome == OUTCOME_REFUSED;
}

/* What ended while nobody heard of it comes with the claim. */
static void tell_claimed(struct sim_log *l, const struct event *ev)
{
    struct sim_oracle *o = &l->s->oracle;

    oracle_spoken_to(o, l->store, ev->node, ev->at, true);
    for (uint32_t i = 0; i < ev->u.claimed.n_ops; i++) {
        const struct op_record *r = &ev->u.claimed.ops[i];

        if (r->state != OP_DONE)
            continue;
        tell_effect(l, r);
        oracle_result(o, l->store, r->op, ev->node, false);
        if (did_not(r))
            oracle_step_failed(o, l->store, r->op, ev->node);
    }
}

static void tell_vms(struct sim_log *l, const struct event *ev)
{
    for (uint32_t i = 0; i < ev->u.observed.n_vms_nodes; i++)
        oracle_vms_told(&l->s->oracle, l->store, ev->u.observed.vms_nodes[i], ev->u.observed.taken);
}

static void tell_event(struct sim_log *l, const struct event *ev, bool moved_on)
{
    struct sim_oracle *o = &l->s->oracle;

    if (ev->type == EV_RUN_START)
        o->stores[l->store].approved = true;
    if (ev->type == EV_VERB && ev->u.verb.op != NULL)
        oracle_result(o, l->store, ev->u.verb.op, ev->node, false); /* decided by a person */
    if (ev->type == EV_VERB)
        oracle_verb(o, l->store, ev->at, verb_name(ev->u.verb.verb), ev->node);
    if (ev->type == EV_VERB && ev->u.verb.verb == VERB_DECIDE && ev->u.verb.decision == WITNESS_SAYS_DONE)
        oracle_vouched(o, l->store, ev->node, ev->u.verb.op);
    if (ev->type == EV_OP_RESULT && ev->u.op_result.record.error_code != NULL &&
        strcmp(ev->u.op_result.record.error_code, "found_paused") == 0)
        SIM_HIT(l->s, found_paused);
    if (ev->type == EV_OP_RESULT)
        tell_effect(l, &ev->u.op_result.record);
    if (ev->type == EV_OP_RESULT && did_not(&ev->u.op_result.record))
        oracle_step_failed(o, l->store, ev->u.op_result.record.op, ev->node);
    if (ev->type == EV_OP_RESULT && succeeded(&ev->u.op_result.record))
        oracle_told_done(o, ev->u.op_result.record.op);
    if (ev->type == EV_OP_RESULT && decided(&ev->u.op_result.record))
        oracle_result(o, l->store, ev->u.op_result.record.op, ev->node, moved_on);
    else if (ev->type == EV_OP_RESULT && ev->u.op_result.record.state == OP_NONE)
        oracle_never_seen(o, l->store, ev->u.op_result.record.op, ev->node, moved_on);
    if (ev->type == EV_NODE_CLAIMED)
        tell_claimed(l, ev);
    if (ev->type == EV_OBSERVED && ev->u.observed.ok && ev->u.observed.what == OBSERVE_CLUSTER)
        tell_vms(l, ev);
    if (ev->type == EV_OBSERVED && ev->u.observed.ok && evidence_words[ev->u.observed.what] != NULL)
        oracle_evidence(o, l->store, ev->at, evidence_words[ev->u.observed.what], ev->node, ev->cluster,
                        ev->u.observed.taken);
    else if (ev->type == EV_OBSERVED && evidence_words[ev->u.observed.what] != NULL)
        oracle_no_evidence(o, l->store, ev->at, evidence_words[ev->u.observed.what], ev->node, ev->cluster);
    if (ev->type == EV_NODE_LOST || ev->type == EV_NODE_REFUSED) {
        oracle_spoken_to(o, l->store, ev->node, ev->at, false);
        oracle_no_evidence(o, l->store, ev->at, "", ev->node, IX_NONE);
    }
}

static void tell_intent(struct sim_log *l, const struct command *c, time_ms at)
{
    const struct inventory *inv = l->s->plan->inv;
    struct oracle_intent_fact f = { .store = l->store,
                                    .seq = l->told,
                                    .at = at,
                                    .op = c->op,
                                    .action = c->action,
                                    .vm = "",
                                    .to = "",
                                    .node = inv->nodes[c->node].id };
    struct json_doc *doc = NULL;

    if (strcmp(c->action, "move_vm") == 0 || strcmp(c->action, "park_vm") == 0)
        if (json_parse("args", c->args, strlen(c->args), &doc, NULL) == 0) {
            f.vm = json_get_str(json_root(doc), "vm", "");
            f.to = json_get_str(json_root(doc), "to", "");
        }
    oracle_intent(&l->s->oracle, &f);
    json_free(doc);
}

static enum oracle_run run_word(enum run_state s)
{
    static const enum oracle_run words[RUN_STATES] = {
        [RUN_PLANNED] = ORACLE_RUN_PLANNED,         [RUN_APPROVED] = ORACLE_RUN_PLANNED,
        [RUN_RUNNING] = ORACLE_RUN_RUNNING,         [RUN_HOLDING] = ORACLE_RUN_HOLDING,
        [RUN_ROLLING_BACK] = ORACLE_RUN_BACK,       [RUN_FINISHED] = ORACLE_RUN_FINISHED,
        [RUN_ROLLED_BACK] = ORACLE_RUN_ROLLED_BACK, [RUN_HALTED] = ORACLE_RUN_HALTED,
        [RUN_ABORTED] = ORACLE_RUN_ABORTED,
    };

    return words[s];
}

static const enum oracle_end end_words[NODE_ENDS] = {
    [NODE_DONE] = ORACLE_END_DONE,
    [NODE_COMPLIANT] = ORACLE_END_COMPLIANT,
    [NODE_ROLLED_BACK] = ORACLE_END_ROLLED_BACK,
    [NODE_RETURNED] = ORACLE_END_RETURNED,
    [NODE_SET_ASIDE] = ORACLE_END_SET_ASIDE,
    [NODE_NOT_STARTED] = ORACLE_END_NOT_STARTED,
    [NODE_STUCK] = ORACLE_END_STUCK,
};

static void tell_nodes(struct sim_log *l, const struct engine *e, time_ms at)
{
    for (uint32_t i = 0; i < l->s->plan->inv->n_nodes; i++) {
        struct node_view v = engine_node(e, i);
        static const int probes[NODE_ENDS] = {
            [NODE_COMPLIANT] = PROBE_compliant,    [NODE_ROLLED_BACK] = PROBE_node_rolled_back,
            [NODE_RETURNED] = PROBE_node_returned, [NODE_SET_ASIDE] = PROBE_node_set_aside,
            [NODE_STUCK] = PROBE_node_stuck,
        };

        if (v.phase == NODE_STAGING && v.waits_for[0] != '\0')
            SIM_HIT(l->s, drain_waits);
        if (v.end == l->ends[i])
            continue;
        l->ends[i] = v.end;
        if (probes[v.end] != 0)
            l->s->probes[probes[v.end]]++;
        sim_say(l->s, "store %u: node %s ends: %s (%s)", l->store, l->s->plan->inv->nodes[i].id,
                node_end_names[v.end], v.reason);
        oracle_node_end(&l->s->oracle, l->store, at, i, end_words[v.end]);
    }
}

static void tell_gates(struct sim_log *l, const struct engine *e, const struct event *ev)
{
    uint32_t n = engine_gates(e);

    assert(n <= SIM_GATES);
    while (l->gates_done < n && l->gate_told[l->gates_done])
        l->gates_done++;
    for (uint32_t i = l->gates_done; i < n; i++) {
        struct gate_view g;

        if (l->gate_told[i])
            continue;
        g = engine_gate(e, i);
        if (!g.done)
            continue;
        l->gate_told[i] = true;
        sim_say(l->s, "store %u: gate %s %s wave %u: %s (%s)", l->store, g.gate->name,
                g.after ? "after" : "before", g.wave + 1, gate_answer_names[g.answer], g.text);
        if (g.answer == ANSWER_FAIL)
            SIM_HIT(l->s, gate_failed);
        if (g.answer == ANSWER_UNKNOWN)
            SIM_HIT(l->s, gate_unknown);
        oracle_gate_answer(&l->s->oracle, l->store, ev->at, g.wave, g.after,
                           (uint32_t)(g.gate - l->s->plan->rollout->gates),
                           g.answer == ANSWER_PASS   ? ORACLE_PASS
                           : g.answer == ANSWER_FAIL ? ORACLE_FAIL
                                                     : ORACLE_UNKNOWN,
                           ev->type == EV_VERB);
    }
}

static void tell_waves(struct sim_log *l, const struct engine *e, time_ms at)
{
    for (uint32_t i = 0; i < l->s->plan->n_waves && i < ORACLE_WAVES; i++) {
        enum wave_state now = engine_wave(e, i).state;

        if (now == l->waves[i])
            continue;
        sim_say(l->s, "store %u: wave %u is %s", l->store, i + 1, wave_states[now].name);
        if (now == WAVE_RUNNING)
            oracle_wave_began(&l->s->oracle, l->store, i);
        if (now == WAVE_EVIDENCE || now == WAVE_GATE_AFTER)
            oracle_wave_over(&l->s->oracle, l->store, at, i);
        if (now == WAVE_FAILED)
            oracle_wave_failed(&l->s->oracle, l->store, at);
        if (now == WAVE_PASSED) {
            if (i > 0)
                SIM_HIT(l->s, two_waves);
            oracle_wave_passed(&l->s->oracle, l->store, at, i);
        }
        l->waves[i] = now;
    }
}

static void tell_run(struct sim_log *l, const struct engine *e, time_ms at)
{
    struct run_view v = engine_run(e);
    static const int probes[RUN_STATES] = { [RUN_HOLDING] = PROBE_held,
                                            [RUN_ROLLING_BACK] = PROBE_rolling_back,
                                            [RUN_FINISHED] = PROBE_finished,
                                            [RUN_HALTED] = PROBE_halted,
                                            [RUN_ABORTED] = PROBE_aborted };

    if (v.state == l->run)
        return;
    l->run = v.state;
    if (probes[v.state] != 0)
        l->s->probes[probes[v.state]]++;
    sim_say(l->s, "store %u: run is %s %s%s", l->store, run_states[v.state].name, v.hold_reason, v.end_text);
    oracle_run(&l->s->oracle, l->store, at, run_word(v.state));
}

static void tell_all(struct sim_log *l, const struct event *ev, const struct command_list *commands,
                     const struct engine *e)
{
    if (ev->type == EV_RUN_START)
        l->epoch = ev->u.run_start.epoch;
    if (ev->type == EV_CONTROLLER_START)
        l->epoch = ev->u.controller_start.epoch;
    if (ev->type == EV_HANDOVER)
        l->epoch = ev->u.handover.epoch;
    if (ev->type == EV_HANDOVER)
        oracle_handed_over(&l->s->oracle, l->store);
    oracle_entry(&l->s->oracle, l->store, ev->at,
                 ev->type == EV_RUN_START || ev->type == EV_CONTROLLER_START || ev->type == EV_HANDOVER);
    tell_event(l, ev, commands->n > 0);
    tell_nodes(l, e, ev->at);
    tell_gates(l, e, ev);
    tell_waves(l, e, ev->at);
    tell_run(l, e, ev->at);
    for (uint32_t i = 0; i < commands->n; i++)
        if (commands->items[i].type == CMD_OP_START)
            tell_intent(l, &commands->items[i], ev->at);
        else if (commands->items[i].type == CMD_OP_CANCEL)
            oracle_cancelled(&l->s->oracle, l->store, commands->items[i].op);
    for (uint32_t i = 0; i < commands->n; i++)
        if (commands->items[i].type == CMD_NOTE && commands->items[i].node != IX_NONE &&
            strcmp(commands->items[i].rule, "I16") == 0)
            oracle_distrusted(&l->s->oracle, l->store, commands->items[i].node);
        else if (commands->items[i].type == CMD_NOTE && commands->items[i].cluster != IX_NONE &&
                 strcmp(commands->items[i].rule, "O18") == 0)
            oracle_setting_told(&l->s->oracle, l->store, ev->at, commands->items[i].cluster,
                                commands->items[i].note == NOTE_WARNING);
}

static char *take_text(struct buf *b)
{
    char *text = b->data;

    assert(!b->failed && text != NULL);
    *b = (struct buf)BUF_INIT;
    return text;
}

static int log_append(struct event_log *base, const struct event *ev, const struct command_list *commands,
                      const struct engine *engine, struct err *err)
{
    struct sim_log *l = (struct sim_log *)(void *)base;
    struct buf event = BUF_INIT, text = BUF_INIT;
    struct sim_entry *entry;

    if (l->fail_next) {
        l->fail_next = false;
        oracle_store_failed(&l->s->oracle, l->store);
        return err_set(err, ERR_FULL, "the disk under the database is full");
    }
    event_write(&event, ev, l->s->plan->inv, &l->pictures);
    commands_write(&text, commands, l->s->plan->inv);
    entry = list_push(&l->entries);
    assert(entry != NULL);
    *entry = (struct sim_entry){ .event = take_text(&event), .commands = take_text(&text), .at = ev->at };
    log_chain(l->entries.n == 1 ? "" : l->entries.items[l->entries.n - 2].hash, entry->event, entry->commands,
              entry->hash);
    if (ev->type == EV_RUN_START)
        entry->revision = ev->u.run_start.revision;
    if (ev->type == EV_HANDOVER)
        entry->revision = ev->u.handover.revision;
    if (l->s->opt.verbose)
        sim_say(l->s, "store %u #%u %.*s -> %.900s", l->store, l->entries.n,
                ev->type == EV_OBSERVED ? 130 : 700, entry->event, entry->commands);
    l->told = l->entries.n;
    tell_all(l, ev, commands, engine);
    if (l->fail_after) {
        l->fail_after = false;
        oracle_store_failed(&l->s->oracle, l->store);
        return err_set(err, ERR_IO, "the disk under the database does not answer");
    }
    return 0;
}

void sim_log_init(struct sim *s, struct sim_log *l, uint32_t store)
{
    sim_log_free(l);
    l->base.append = log_append;
    l->base.position = log_position_of;
    l->s = s;
    l->store = store;
    l->epoch = 0;
    l->told = 0;
    l->fail_next = l->fail_after = false;
    l->run = RUN_PLANNED;
    l->gates_done = 0;
    memset(l->gate_told, 0, sizeof l->gate_told);
    memset(l->waves, 0, sizeof l->waves);
    memset(l->ends, 0, sizeof l->ends);
}

static char *twin(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = malloc(n);

    assert(copy != NULL);
    memcpy(copy, text, n);
    return copy;
}

/* An engine for the part of the log that begins at the entry. */
static struct engine *engine_of_part(struct sim_log *l, uint32_t entry)
{
    struct engine *e = NULL;
    struct err err;
    int rc = engine_new(l->s->plan, &e, &err);

    assert(rc == 0);
    (void)rc;
    engine_be(e, l->entries.items[entry].revision);
    event_pictures_clear(&l->pictures);
    return e;
}

/* What the copy's entries say, told once more for its own store; the oracle does not judge again. */
static void tell_copy(struct sim_log *l)
{
    struct arena mem = ARENA_INIT;
    struct command_list commands = { 0 };
    struct engine *e = NULL;
    struct err err;
    int rc = 0;

    for (uint32_t i = 0; i < l->entries.n && rc == 0; i++) {
        struct event ev;

        if (l->entries.items[i].revision != 0) {
            engine_free(e);
            e = engine_of_part(l, i);
        }
        rc = event_read(l->entries.items[i].event, strlen(l->entries.items[i].event), l->s->plan->inv,
                        &l->pictures, &mem, &ev, &err);
        command_list_reset(&commands);
        if (rc == 0)
            rc = engine_step(e, &ev, &commands, &err);
        l->told = i + 1;
        if (rc == 0)
            tell_all(l, &ev, &commands, e);
        arena_clear(&mem);
    }
    assert(rc == 0);
    command_list_clear(&commands);
    engine_free(e);
}

/* A copied or restored database: entries up to `up_to`. */
void sim_log_copy(struct sim *s, struct sim_log *from, struct sim_log *to, uint64_t up_to)
{
    bool verbose = s->opt.verbose;
    uint32_t probes[SIM_PROBE_COUNT];

    sim_log_init(s, to, to->store);
    for (uint32_t i = 0; i < from->entries.n && i < up_to; i++) {
        struct sim_entry *e = list_push(&to->entries);

        assert(e != NULL);
        *e = from->entries.items[i];
        e->event = twin(e->event);
        e->commands = twin(e->commands);
    }
    memcpy(probes, s->probes, sizeof probes); /* they were met once */
    s->opt.verbose = false;
    oracle_copy_begin(&s->oracle, to->store);
    tell_copy(to);
    oracle_copy_end(&s->oracle, from->store, to->store);
    s->opt.verbose = verbose;
    memcpy(s->probes, probes, sizeof probes);
}

void sim_log_free(struct sim_log *l)
{
    for (uint32_t i = 0; i < l->entries.n; i++) {
        free(l->entries.items[i].event);
        free(l->entries.items[i].commands);
    }
    list_clear(&l->entries);
    event_pictures_clear(&l->pictures);
}
