#include "orchestrator/io/store_project.h"

#include "orchestrator/core/event_names.h"
#include "orchestrator/core/rollout_names.h"
#include "orchestrator/io/store_impl.h"
#include "schema/list.h"

#include <stdlib.h>
#include <string.h>

struct shadows LIST_OF(uint64_t);

struct projector {
    struct store *s;
    char *run;
    const struct plan *plan;
    bool dry; /* remember only */
    struct shadows nodes, waves, gates, rows, vms;
};

static const char *const answer_names[] = {
    [ANSWER_PASS] = "pass", [ANSWER_FAIL] = "fail", [ANSWER_UNKNOWN] = "unknown"
};
static const char *const note_names[] = { [NOTE_DECISION] = "decision",
                                          [NOTE_DEVIATION] = "deviation",
                                          [NOTE_WARNING] = "warning",
                                          [NOTE_GATE] = "gate" };

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

int projector_new(struct store *s, const char *run, const struct plan *plan, struct projector **ret_p,
                  struct err *err)
{
    struct projector *p = calloc(1, sizeof *p);

    if (p == NULL || (p->run = strdup(run)) == NULL) {
        free(p);
        return err_set(err, ERR_NOMEM, "project run %s", run);
    }
    p->s = s;
    p->plan = plan;
    *ret_p = p;
    return 0;
}

void projector_free(struct projector *p)
{
    if (p == NULL)
        return;
    list_clear(&p->nodes);
    list_clear(&p->waves);
    list_clear(&p->gates);
    list_clear(&p->rows);
    list_clear(&p->vms);
    free(p->run);
    free(p);
}

/* --- shadows: a fingerprint of each row as it was written last --- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

static uint64_t mix_text(uint64_t h, const char *text)
{
    for (; text != NULL && *text != '\0'; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return mix(h, 0x1f);
}

#define MIX_START 0xcbf29ce484222325u

/* Whether row `at` has to be written now. Out of memory: written once too often. */
static bool changed(struct projector *p, struct shadows *l, uint32_t at, uint64_t print)
{
    while (l->n <= at)
        if (list_push(l) == NULL)
            return !p->dry;
    if (l->items[at] == print)
        return false;
    l->items[at] = print;
    return !p->dry;
}

/* --- the engine's views --- */

static uint64_t node_print(const struct node_view *v)
{
    uint64_t h = MIX_START;

    h = mix(h, (uint64_t)v->phase | (uint64_t)v->end << 8 | (uint64_t)v->back << 16 |
                   (uint64_t)v->unknown << 17 | (uint64_t)v->claimed << 18 | (uint64_t)v->out << 19);
    h = mix(mix(mix(h, v->life), v->attempt), (uint64_t)v->since);
    h = mix(mix(h, (uint64_t)v->out_since), (uint64_t)v->out_until);
    h = mix_text(mix_text(h, v->reason), v->waits_for);
    h = mix(mix(h, v->build_before.number), v->build_before.ubr);
    return mix(mix(h, v->build_now.number), v->build_now.ubr);
}

static int write_node(struct projector *p, const struct plan_node *pn, const struct node_view *v,
                      struct err *err)
{
    const struct inventory *inv = p->plan->inv;
    const struct node *n = &inv->nodes[pn->node];
    char before[32], now[32];

    return store_do(p->s, err,
                    "INSERT OR REPLACE INTO run_nodes (run, node, cluster, wave, phase, ending, back, "
                    "unknown, claimed, is_out, "
                    "life, attempt, since, out_since, out_until, reason, waits_for, build_before, build_now) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    "sssissiiiiiiittssss", p->run, n->id, inv->clusters[n->cluster].id,
                    pn->wave == IX_NONE ? (int64_t)0 : (int64_t)pn->wave + 1, node_phases[v->phase].name,
                    v->end == NODE_END_NONE ? "" : node_end_names[v->end], (int64_t)v->back,
                    (int64_t)v->unknown, (int64_t)v->claimed, (int64_t)v->out, (int64_t)v->life,
                    (int64_t)v->attempt, (int64_t)v->since, v->out_since, v->out_until, or_empty(v->reason),
                    or_empty(v->waits_for), build_text(v->build_before, before),
                    build_text(v->build_now, now));
}

static int write_nodes(struct projector *p, const struct engine *e, struct err *err)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < p->plan->n_nodes; i++) {
        struct node_view v = engine_node(e, p->plan->nodes[i].node);

        if (changed(p, &p->nodes, i, node_print(&v)))
            rc = write_node(p, &p->plan->nodes[i], &v, err);
    }
    return rc;
}

static int write_waves(struct projector *p, const struct engine *e, struct err *err)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < p->plan->n_waves; i++) {
        struct wave_view v = engine_wave(e, i);
        const struct plan_wave *w = &p->plan->waves[i];
        uint64_t h =
            mix(mix(mix(mix(MIX_START, v.state), v.failures), (uint64_t)v.started), (uint64_t)v.ended);

        if (changed(p, &p->waves, i, h))
            rc = store_do(p->s, err,
                          "INSERT OR REPLACE INTO waves (run, wave, state, nodes, failures, started, ended, "
                          "took_p50, took_p95) "
                          "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                          "sisiittii", p->run, (int64_t)i + 1, wave_states[v.state].name, (int64_t)w->n_nodes,
                          (int64_t)v.failures, v.started, v.ended, w->took.p50, w->took.p95);
    }
    return rc;
}

static int write_gate(struct projector *p, uint32_t i, const struct gate_view *v, struct err *err)
{
    return store_do(p->s, err,
                    "INSERT OR REPLACE INTO gates (run, n, name, type, wave, side, answer, done, samples, "
                    "started, ended, text) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    "sississiitts", p->run, (int64_t)i, v->gate->name, gate_type_names[v->gate->type],
                    (int64_t)v->wave + 1, v->after ? "after" : "before",
                    v->done ? answer_names[v->answer] : "", (int64_t)v->done, (int64_t)v->samples, v->started,
                    v->ended, or_empty(v->text));
}

static int write_gates(struct projector *p, const struct engine *e, struct err *err)
{
    uint32_t n = engine_gates(e);
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        struct gate_view v = engine_gate(e, i);
        uint64_t h = mix(mix(MIX_START, (uint64_t)v.answer | (uint64_t)v.done << 8), v.samples);

        h = mix_text(mix(mix(h, (uint64_t)v.started), (uint64_t)v.ended), v.text);
        if (changed(p, &p->gates, i, h))
            rc = write_gate(p, i, &v, err);
    }
    return rc;
}

static const char *subject_name(const struct projector *p, const struct ledger_row *r)
{
    uint32_t vm = r->subject == DOWN_VM ? inventory_vm(p->plan->inv, r->id) : IX_NONE;

    return vm == IX_NONE ? r->id : p->plan->inv->vms[vm].name;
}

static int write_row(struct projector *p, uint32_t i, const struct ledger_row *r, struct err *err)
{
    const struct inventory *inv = p->plan->inv;
    bool open = r->end == TIME_NEVER;

    return store_do(
        p->s, err,
        "INSERT OR REPLACE INTO downtime (run, n, subject, id, name, node, cluster, wave, cause, step, op, "
        "how, "
        "start_at, end_at, measured_ms, predicted_p5, predicted_p50, predicted_p95, back) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CASE WHEN ? THEN NULL ELSE ? END, ?, ?, ?, ?)",
        "sisssssissssitiiiiii", p->run, (int64_t)i, down_subject_names[r->subject], r->id, subject_name(p, r),
        r->node == IX_NONE ? NULL : inv->nodes[r->node].id,
        r->node == IX_NONE ? NULL : inv->clusters[inv->nodes[r->node].cluster].id,
        r->wave == IX_NONE ? (int64_t)0 : (int64_t)r->wave + 1, down_cause_names[r->cause],
        r->step ? r->step : "", r->op ? r->op : "", r->how ? r->how : "", (int64_t)r->start, r->end,
        (int64_t)open, open ? (int64_t)0 : r->end - r->start, r->predicted.p5, r->predicted.p50,
        r->predicted.p95, (int64_t)r->back);
}

static int write_rows(struct projector *p, const struct engine *e, struct err *err)
{
    const struct ledger *l = engine_ledger(e);
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < l->n; i++) {
        const struct ledger_row *r = &l->items[i];
        uint64_t h = mix(mix(mix(MIX_START, (uint64_t)r->start), (uint64_t)r->end), (uint64_t)r->cause);

        h = mix(mix(h, (uint64_t)r->predicted.p50), r->wave);
        h = mix(h, r->how == NULL ? 0 : strlen(r->how));
        if (changed(p, &p->rows, i, h))
            rc = write_row(p, i, r, err);
    }
    return rc;
}

/* Where VMs are now; those that the inventory knows. */
static int write_vms(struct projector *p, const struct engine *e, struct err *err)
{
    const struct fleet *f = engine_fleet(e);
    const struct inventory *inv = p->plan->inv;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < inv->n_vms; i++) {
        uint32_t at = f->vms.items[i].at;

        if (changed(p, &p->vms, i, mix(MIX_START, at)))
            rc = store_do(p->s, err, "UPDATE vms SET node = (SELECT id FROM nodes WHERE id = ?) WHERE id = ?",
                          "ss", at == IX_NONE ? NULL : inv->nodes[at].id, inv->vms[i].id);
    }
    return rc;
}

static int write_run(struct projector *p, uint64_t seq, const struct event *ev, const struct engine *e,
                     struct err *err)
{
    struct run_view v = engine_run(e);

    return store_do(p->s, err,
                    "UPDATE runs SET state = ?, hold_reason = ?, hold_verb = ?, controller = ?, epoch = ?, "
                    "wave = ?, failures = ?, "
                    "deviations = ?, started = ?, ended = ?, left_p50 = ?, left_p95 = ?, end_text = ?, "
                    "last_seq = ?, last_at = ? "
                    "WHERE id = ?",
                    "ssssiiiittiisiis", run_states[v.state].name, or_empty(v.hold_reason),
                    or_empty(v.hold_verb), or_empty(v.controller), (int64_t)v.epoch, (int64_t)v.wave + 1,
                    (int64_t)v.failures, (int64_t)v.deviations, v.started, v.ended, v.remaining.p50,
                    v.remaining.p95, or_empty(v.end_text), (int64_t)seq, (int64_t)ev->at, p->run);
}

static int write_views(struct projector *p, const struct engine *e, struct err *err)
{
    int rc = write_nodes(p, e, err);

    if (rc == 0)
        rc = write_waves(p, e, err);
    if (rc == 0)
        rc = write_gates(p, e, err);
    if (rc == 0)
        rc = write_rows(p, e, err);
    if (rc == 0)
        rc = write_vms(p, e, err);
    return rc;
}

/* --- the event and its commands --- */

static int write_start(struct projector *p, const struct event *ev, struct err *err)
{
    return store_do(p->s, err,
                    "INSERT INTO runs (id, plan, person, revision, controller, epoch, state, hold_reason, "
                    "hold_verb, wave, "
                    "failures, deviations, left_p50, left_p95, end_text, last_seq, last_at) "
                    "VALUES (?, ?, ?, ?, ?, ?, '', '', '', 1, 0, 0, 0, 0, '', 0, 0)",
                    "sssisi", p->run, ev->u.run_start.plan_hash,
                    ev->u.run_start.person ? ev->u.run_start.person : "", (int64_t)ev->u.run_start.revision,
                    ev->u.run_start.controller, (int64_t)ev->u.run_start.epoch);
}

static int write_stopped(struct projector *p, const char *reason, struct err *err)
{
    return store_do(p->s, err, "UPDATE runs SET stopped = ? WHERE id = ?", "ss", reason, p->run);
}

/* From here on another revision decides. */
static int write_handover(struct projector *p, const struct event *ev, struct err *err)
{
    return store_do(p->s, err, "UPDATE runs SET revision = ?, stopped = NULL WHERE id = ?", "is",
                    (int64_t)ev->u.handover.revision, p->run);
}

static int write_evidence(struct projector *p, uint64_t seq, const struct event *ev, struct err *err)
{
    const struct inventory *inv = p->plan->inv;

    return store_do(p->s, err,
                    "INSERT INTO evidence (seq, run, node, cluster, what, ok, taken, at, text) VALUES (?, ?, "
                    "?, ?, ?, ?, ?, ?, ?)",
                    "issssiiis", (int64_t)seq, p->run, ev->node == IX_NONE ? NULL : inv->nodes[ev->node].id,
                    ev->cluster == IX_NONE ? NULL : inv->clusters[ev->cluster].id,
                    observe_names[ev->u.observed.what], (int64_t)ev->u.observed.ok, ev->u.observed.taken,
                    (int64_t)ev->at, ev->u.observed.text ? ev->u.observed.text : "");
}

static int write_result(struct projector *p, uint64_t seq, const struct op_record *r, struct err *err)
{
    return store_do(p->s, err,
                    "UPDATE steps SET state = ?, outcome = ?, witness = ?, accepted = ?, started = ?, ended "
                    "= ?, error_code = ?, "
                    "error_text = ?, error_native = ?, error_hint = ?, output_tail = ?, seq = ? WHERE op = ?",
                    "ssstttsssssis", op_state_names[r->state], op_outcome_names[r->outcome],
                    op_witness_names[r->witness], r->accepted, r->started, r->ended, r->error_code,
                    r->error_text, r->error_native, r->error_hint, r->output_tail, (int64_t)seq, r->op);
}

static int write_results(struct projector *p, uint64_t seq, const struct event *ev, struct err *err)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < ev->u.claimed.n_ops; i++)
        rc = write_result(p, seq, &ev->u.claimed.ops[i], err);
    return rc;
}

static int write_verb(struct projector *p, uint64_t seq, const struct event *ev, struct err *err)
{
    return store_do(p->s, err,
                    "INSERT INTO verbs (seq, run, at, verb, node, person, ticket, reason) VALUES (?, ?, ?, "
                    "?, ?, ?, ?, ?)",
                    "isisssss", (int64_t)seq, p->run, (int64_t)ev->at, verb_names[ev->u.verb.verb],
                    ev->node == IX_NONE ? NULL : p->plan->inv->nodes[ev->node].id,
                    or_empty(ev->u.verb.person), or_empty(ev->u.verb.ticket), or_empty(ev->u.verb.reason));
}

static int write_event(struct projector *p, uint64_t seq, const struct event *ev, struct err *err)
{
    switch (ev->type) {
    case EV_RUN_START:
        return write_start(p, ev, err);
    case EV_CONTROLLER_START:
        return write_stopped(p, NULL, err);
    case EV_HANDOVER:
        return write_handover(p, ev, err);
    case EV_CONTROLLER_STOP:
        return write_stopped(p, or_empty(ev->u.controller_stop.reason), err);
    case EV_OBSERVED:
        return write_evidence(p, seq, ev, err);
    case EV_OP_RESULT:
        return write_result(p, seq, &ev->u.op_result.record, err);
    case EV_NODE_CLAIMED:
        return write_results(p, seq, ev, err);
    case EV_VERB:
        return write_verb(p, seq, ev, err);
    case EV_NODE_REFUSED:
    case EV_NODE_LOST:
    case EV_STAGED:
    case EV_TIMEOUT:
    case EVENT_TYPES:
        break;
    }
    return 0;
}

static int write_op(struct projector *p, uint64_t seq, const struct event *ev, const struct command *c,
                    struct err *err)
{
    return store_do(
        p->s, err,
        "INSERT INTO steps (op, run, node, action, args, state, outcome, witness, sent, limit_ms, seq) "
        "VALUES (?, ?, ?, ?, ?, 'sent', 'none', 'not_asked', ?, ?, ?) "
        "ON CONFLICT (op) DO UPDATE SET state = 'sent', sent = excluded.sent, seq = excluded.seq",
        "sssssiii", c->op, p->run, c->node == IX_NONE ? "" : p->plan->inv->nodes[c->node].id, c->action,
        c->args ? c->args : "{}", (int64_t)ev->at, c->limit_ms, (int64_t)seq);
}

static int write_note(struct projector *p, uint64_t seq, uint32_t n, const struct event *ev,
                      const struct command *c, struct err *err)
{
    const struct inventory *inv = p->plan->inv;

    return store_do(p->s, err,
                    "INSERT INTO notes (seq, n, run, at, kind, node, cluster, rule, text) VALUES (?, ?, ?, "
                    "?, ?, ?, ?, ?, ?)",
                    "iisisssss", (int64_t)seq, (int64_t)n, p->run, (int64_t)ev->at, note_names[c->note],
                    c->node == IX_NONE ? NULL : inv->nodes[c->node].id,
                    c->cluster == IX_NONE ? NULL : inv->clusters[c->cluster].id, or_empty(c->rule),
                    or_empty(c->text));
}

static int write_commands(struct projector *p, uint64_t seq, const struct event *ev,
                          const struct command_list *l, struct err *err)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < l->n; i++) {
        if (l->items[i].type == CMD_OP_START)
            rc = write_op(p, seq, ev, &l->items[i], err);
        else if (l->items[i].type == CMD_NOTE)
            rc = write_note(p, seq, i, ev, &l->items[i], err);
    }
    return rc;
}

int projector_write(struct projector *p, uint64_t seq, const struct event *ev,
                    const struct command_list *commands, const struct engine *engine, struct err *err)
{
    int rc = write_event(p, seq, ev, err);

    if (rc == 0)
        rc = write_commands(p, seq, ev, commands, err);
    if (rc == 0)
        rc = write_views(p, engine, err);
    if (rc == 0)
        rc = write_run(p, seq, ev, engine, err);
    return rc == 0 ? 0 : err_wrap(err, "projections of event %llu", (unsigned long long)seq);
}

int projector_told(struct projector *p, uint64_t seq, const struct event *ev, const char *commands,
                   struct err *err)
{
    struct command_list list = { 0 };
    int rc = commands_read(commands, p->plan->inv, &list, err);

    if (rc == 0)
        rc = write_event(p, seq, ev, err);
    if (rc == 0)
        rc = write_commands(p, seq, ev, &list, err);
    command_list_clear(&list);
    return rc == 0 ? 0 : err_wrap(err, "projections of event %llu", (unsigned long long)seq);
}

void projector_remember(struct projector *p, const struct engine *engine)
{
    p->dry = true;
    write_views(p, engine, NULL);
    p->dry = false;
}
