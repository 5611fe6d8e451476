/* What the projections of a log hold, from the views that they are written from (store_project.c). */
#include "orchestrator/core/handover.h"

static void view_run(struct handover_fold *f, struct handover *h, const struct engine *e)
{
    struct run_view v = engine_run(e);

    h->state = v.state;
    h->hold_text = handover_fold_keep(f, v.hold_reason);
    h->end_text = handover_fold_keep(f, v.end_text);
    h->wave = v.wave;
    h->failures = v.failures;
    h->deviations = v.deviations;
    h->started = v.started;
    h->ended = v.ended;
}

static void view_nodes(struct handover_fold *f, struct handover *h, const struct engine *e)
{
    for (uint32_t i = 0; i < e->plan->n_nodes; i++) {
        struct handover_node *n = &h->nodes[e->plan->nodes[i].node];
        struct node_view v = engine_node(e, e->plan->nodes[i].node);

        n->phase = v.phase;
        n->end = v.end;
        n->back = v.back;
        n->out = v.out;
        n->life = v.life;
        n->attempt = v.attempt;
        n->since = v.since;
        n->out_since = v.out_since;
        n->out_until = v.out_until;
        n->reason =
            v.unknown && v.end == NODE_END_NONE ? "" : handover_fold_keep(f, v.reason); /* a doubt is none */
        n->build_before = v.build_before;
        n->build_now = v.build_now;
    }
}

static void view_waves(struct handover *h, const struct engine *e)
{
    for (uint32_t i = 0; i < h->n_waves; i++) {
        struct wave_view v = engine_wave(e, i);

        h->waves[i] = (struct handover_wave){ v.state, v.started, v.ended, v.failures };
    }
}

static int view_gates(struct handover_fold *f, struct handover *h, const struct engine *e, struct err *err)
{
    h->n_gates = engine_gates(e);
    h->gates = ARENA_ARRAY(handover_fold_arena(f), struct handover_gate, h->n_gates);
    if (h->gates == NULL)
        return err_set(err, ERR_NOMEM, "handover");
    for (uint32_t i = 0; i < h->n_gates; i++) {
        struct gate_view v = engine_gate(e, i);

        h->gates[i] = (struct handover_gate){ .name = v.gate->name,
                                              .text = handover_fold_keep(f, v.text),
                                              .wave = v.wave,
                                              .samples = v.samples,
                                              .after = v.after,
                                              .done = v.done,
                                              .answer = v.answer,
                                              .started = v.started,
                                              .ended = v.ended };
    }
    return 0;
}

static int view_rows(struct handover_fold *f, struct handover *h, const struct engine *e, struct err *err)
{
    const struct ledger *l = engine_ledger(e);

    h->n_rows = l->n;
    h->rows = ARENA_ARRAY(handover_fold_arena(f), struct ledger_row, l->n);
    if (h->rows == NULL)
        return err_set(err, ERR_NOMEM, "handover");
    for (uint32_t i = 0; i < l->n; i++) {
        struct ledger_row *r = &h->rows[i];

        *r = l->items[i];
        r->id = handover_fold_keep(f, r->id);
        r->step = handover_fold_keep(f, r->step);
        r->op = handover_fold_keep(f, r->op);
        r->how = handover_fold_keep(f, r->how);
    }
    return 0;
}

/* The inventory's: of others the store has no rows. */
static void view_vms(struct handover_fold *f, const struct engine *e)
{
    const struct fleet *fleet = engine_fleet(e);

    for (uint32_t i = 0; i < e->inv->n_vms; i++)
        handover_fold_vm(f, e->inv->vms[i].id, e->inv->vms[i].cluster)->at = fleet->vms.items[i].at;
}

int handover_view(struct handover_fold *f, const struct engine *e, struct err *err)
{
    struct handover *h = handover_fold_now(f);
    int rc;

    view_run(f, h, e);
    view_nodes(f, h, e);
    view_waves(h, e);
    view_vms(f, e);
    rc = view_gates(f, h, e, err);
    return rc != 0 ? rc : view_rows(f, h, e, err);
}
