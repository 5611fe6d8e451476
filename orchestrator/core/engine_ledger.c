/* Downtime into the ledger: the rows of drivers, and a row for every step, zero included. */
#include "orchestrator/core/engine_op.h"

#include <string.h>

static const char *keep(struct engine *e, const char *text)
{
    const char *copy = text == NULL ? "" : arena_str(&e->ledger.arena, text);

    if (copy == NULL)
        e->nomem = true;
    return copy == NULL ? "" : copy;
}

static struct ledger_row *new_row(struct engine *e, const struct engine_node *n, const char *step,
                                  const char *op)
{
    static struct ledger_row spare; /* the step fails; nobody reads it */
    struct ledger_row *row = list_push(&e->ledger);

    if (row == NULL) {
        e->nomem = true;
        row = &spare;
    }
    row->node = n->ix;
    row->wave = n->wave;
    row->step = step;
    row->op = keep(e, op);
    row->back = n->back;
    return row;
}

/* What is still down: a parked VM, a stopped vmms. The row that ends it, or tells it again, takes its place. */
static struct ledger_row *open_row(struct engine *e, const struct down_row *r)
{
    for (uint32_t i = 0; i < e->rows_open.n; i++) {
        struct ledger_row *row = &e->ledger.items[e->rows_open.items[i]];

        if (row->subject != r->subject || strcmp(row->id, r->id) != 0)
            continue;
        e->rows_open.items[i] = e->rows_open.items[--e->rows_open.n];
        if (r->end != TIME_NEVER || row->start == r->start)
            return row;
        row->end = r->start; /* down anew: it was up at some time in between */
        return NULL;
    }
    return NULL;
}

static void note_open(struct engine *e, const struct ledger_row *row)
{
    uint32_t *ix = list_push(&e->rows_open);

    if (ix == NULL)
        e->nomem = true;
    else
        *ix = (uint32_t)(row - e->ledger.items);
}

/* As the board signed it: the plan's minutes for a parked VM, the model's blackout for a moved one. */
static struct estimate predicted(const struct engine *e, const struct op *op)
{
    const struct engine_node *n = &e->nodes[op->node];
    const struct plan_node *pn = n->plan_ix == IX_NONE ? NULL : &e->plan->nodes[n->plan_ix];
    struct estimate none = { 0, 0, 0 };

    if (op->action == ACT_MOVE_VM)
        return predict_blackout(e->predictor, &e->fleet, op->vm);
    for (uint32_t i = 0; pn != NULL && op->vm != IX_NONE && i < pn->n_parks; i++)
        if (pn->parks[i].vm == op->vm)
            return pn->parks[i].down;
    return none;
}

static void take_row(struct engine *e, const struct op *op, const struct down_row *r)
{
    const struct engine_node *n = &e->nodes[op->node];
    struct ledger_row *row = r->cause == CAUSE_BLACKOUT ? NULL : open_row(e, r);

    if (row == NULL) {
        row = new_row(e, n, action_rows[op->action].name, op->id.text);
        row->id = keep(e, r->id);
    }
    row->subject = r->subject;
    row->cause = r->cause;
    row->how = keep(e, r->how);
    row->start = r->start;
    row->end = r->end;
    row->predicted = r->subject == DOWN_VM ? predicted(e, op) : row->predicted;
    if (row->end == TIME_NEVER && !e->nomem)
        note_open(e, row);
}

void ledger_take(struct engine *e, const struct op *op, const struct op_record *rec)
{
    const struct engine_node *n = &e->nodes[op->node];
    struct ledger_row *row;

    for (uint32_t i = 0; i < rec->n_rows; i++)
        take_row(e, op, &rec->rows[i]);
    if (rec->n_rows > 0)
        return;
    row = new_row(e, n, action_rows[op->action].name, op->id.text);
    row->subject = op->vm == IX_NONE ? DOWN_NODE : DOWN_VM;
    row->id = op->vm == IX_NONE ? node_id(e, n) : keep(e, e->fleet.vms.items[op->vm].vm.id);
    row->cause = op->vm == IX_NONE ? CAUSE_NODE_OUT : CAUSE_BLACKOUT;
    row->how = "no downtime reported";
    row->start = row->end = rec->ended != 0 ? rec->ended : e->now;
}

static bool in_ledger(const struct engine *e, const struct down_row *r)
{
    for (uint32_t i = e->ledger.n; i-- > 0;) {
        const struct ledger_row *row = &e->ledger.items[i];

        if (row->subject == r->subject && row->cause == r->cause && row->start == r->start &&
            (row->end == r->end || r->end == TIME_NEVER) && strcmp(row->id, r->id) == 0)
            return true;
    }
    return false;
}

void ledger_take_foreign(struct engine *e, const struct engine_node *n, enum action action, uint32_t vm,
                         const struct op_record *rec)
{
    struct op told = { .action = action, .node = n->ix, .vm = vm };

    FILL(told.id.text, rec->op);
    for (uint32_t i = 0; i < rec->n_rows; i++)
        if (!in_ledger(e, &rec->rows[i]))
            take_row(e, &told, &rec->rows[i]);
}

static struct estimate life_of(const struct engine *e, const struct engine_node *n)
{
    struct estimate none = { 0, 0, 0 };

    return n->plan_ix == IX_NONE ? none : e->plan->nodes[n->plan_ix].life;
}

/* The span from the first effect of the drain until resumed and resynced. */
void ledger_node_out(struct engine *e, const struct engine_node *n)
{
    struct ledger_row *row = new_row(e, n, "node_out", "");

    row->subject = DOWN_NODE;
    row->id = node_id(e, n);
    row->cause = CAUSE_NODE_OUT;
    row->how = "the controller's own log";
    row->start = n->out_since;
    row->end = n->out_until;
    row->predicted = life_of(e, n);
}
