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

static struct open_row *find_open(struct engine *e, enum down_subject subject, const char *id)
{
    for (uint32_t i = 0; i < e->rows_open.n; i++) {
        const struct ledger_row *row = &e->ledger.items[e->rows_open.items[i].row];

        if (row->subject == subject && strcmp(row->id, id) == 0)
            return &e->rows_open.items[i];
    }
    return NULL;
}

static struct ledger_row *take_open(struct engine *e, struct open_row *open)
{
    struct ledger_row *row = &e->ledger.items[open->row];

    *open = e->rows_open.items[--e->rows_open.n];
    return row;
}

/* What is still down: a parked VM, a stopped vmms. The row that ends it, or tells it again, takes its place. */
static struct ledger_row *close_open_row(struct engine *e, const struct down_row *r)
{
    struct open_row *open = find_open(e, r->subject, r->id);
    struct ledger_row *row = open == NULL ? NULL : take_open(e, open);

    if (row == NULL || r->end != TIME_NEVER || row->start == r->start)
        return row;
    row->end = r->start; /* down anew: it was up at some time in between */
    return NULL;
}

/* Ended before, by what was known then; this is the driver's own word on the same outage. */
static struct ledger_row *ended_row(struct engine *e, const struct down_row *r)
{
    for (uint32_t i = e->ledger.n; i-- > 0;) {
        struct ledger_row *row = &e->ledger.items[i];

        if (row->subject == r->subject && row->start == r->start && row->end > row->start &&
            strcmp(row->id, r->id) == 0)
            return row;
    }
    return NULL;
}

static void note_open(struct engine *e, const struct ledger_row *row)
{
    struct open_row *open = list_push(&e->rows_open);

    if (open == NULL)
        e->nomem = true;
    else
        *open = (struct open_row){ (uint32_t)(row - e->ledger.items), e->now };
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
    struct ledger_row *row = r->cause == CAUSE_BLACKOUT ? NULL : close_open_row(e, r);
    bool unpark = op->action == ACT_UNPARK_VM;
    /* Since when, its node has from us: of several parks, the first. */
    time_ms start = unpark && row != NULL ? row->start : r->start;

    if (row == NULL && unpark)
        row = ended_row(e, r);
    if (row == NULL) {
        row = new_row(e, n, action_rows[op->action].name, op->id.text);
        row->id = keep(e, r->id);
    }
    row->subject = r->subject;
    row->cause = r->cause;
    row->how = keep(e, r->how);
    row->start = start;
    row->end = r->end < start ? start : r->end; /* told by two clocks, or by one that went back */
    row->predicted = r->subject == DOWN_VM ? predicted(e, op) : row->predicted;
    if (row->end == TIME_NEVER && !e->nomem)
        note_open(e, row);
}

static void end_by(struct engine *e, struct open_row *open, time_ms at, const char *how)
{
    struct ledger_row *row = take_open(e, open);

    row->end = at > row->start ? at : row->start;
    row->how = how;
}

static enum down_cause cause_of_park(const struct engine *e, const struct op *op)
{
    const struct node_park *k = node_park_of(&e->nodes[op->node], op->vm);

    return k != NULL && k->method == PARK_SAVE ? CAUSE_SAVED : CAUSE_SHUT_DOWN;
}

/* A driver that found its work done, or a witness, tells no row: what is known then is that the VM is down, or up, by the end
 * of the step. True when that is in the ledger. */
static bool take_end(struct engine *e, const struct op *op, time_ms at)
{
    const char *id = op->vm == IX_NONE ? "" : e->fleet.vms.items[op->vm].vm.id;
    struct down_row r = { .subject = DOWN_VM, .id = id, .start = at, .end = TIME_NEVER };
    struct open_row *open = find_open(e, DOWN_VM, id);

    if (op->action == ACT_UNPARK_VM && open != NULL) {
        end_by(e, open, at, "running when the step ended");
        return true;
    }
    if (op->action != ACT_PARK_VM || open != NULL)
        return false;
    r.cause = cause_of_park(e, op);
    r.how = "down when the step ended";
    take_row(e, op, &r);
    return true;
}

void ledger_take(struct engine *e, const struct op *op, const struct op_record *rec, bool done)
{
    const struct engine_node *n = &e->nodes[op->node];
    time_ms at = rec->ended != 0 ? rec->ended : e->now;
    struct ledger_row *row;

    for (uint32_t i = 0; i < rec->n_rows; i++)
        take_row(e, op, &rec->rows[i]);
    if (rec->n_rows > 0 || (done && take_end(e, op, at)))
        return;
    row = new_row(e, n, action_rows[op->action].name, op->id.text);
    row->subject = op->vm == IX_NONE ? DOWN_NODE : DOWN_VM;
    row->id = op->vm == IX_NONE ? node_id(e, n) : keep(e, e->fleet.vms.items[op->vm].vm.id);
    row->cause = op->vm == IX_NONE ? CAUSE_NODE_OUT : CAUSE_BLACKOUT;
    row->how = "no downtime reported";
    row->start = row->end = at;
}

/* Listed in this picture by a node that answered: what is known of it is of now. */
static bool seen_running(const struct engine *e, const char *id, const uint32_t *nodes, uint32_t n_nodes)
{
    uint32_t vm = fleet_vm_by_id(&e->fleet, id);
    const struct fleet_vm *v = vm == IX_NONE ? NULL : &e->fleet.vms.items[vm];

    if (v == NULL || v->gone || v->seen != e->fleet.round || v->vm.state != VM_RUNNING)
        return false;
    for (uint32_t i = 0; i < n_nodes; i++)
        if (nodes[i] == v->at)
            return true;
    return false;
}

void ledger_seen(struct engine *e, const uint32_t *nodes, uint32_t n_nodes, time_ms asked)
{
    for (uint32_t i = e->rows_open.n; i-- > 0;) {
        struct open_row *open = &e->rows_open.items[i];
        const struct ledger_row *row = &e->ledger.items[open->row];

        if (row->subject == DOWN_VM && open->since < asked && seen_running(e, row->id, nodes, n_nodes))
            end_by(e, open, e->now, "running in a picture");
    }
}

/* Of an open row of a VM; IX_NONE: of something else, or of no node. */
static uint32_t node_of_vm_row(const struct engine *e, const struct open_row *open)
{
    const struct ledger_row *row = &e->ledger.items[open->row];

    return row->subject == DOWN_VM ? row->node : IX_NONE;
}

static bool vm_down(const struct engine *e, const struct engine_node *n)
{
    for (uint32_t i = 0; i < e->rows_open.n; i++)
        if (node_of_vm_row(e, &e->rows_open.items[i]) == n->ix)
            return true;
    return false;
}

void ledger_look(struct engine *e, const struct engine_node *n)
{
    if (n->end == NODE_STUCK && vm_down(e, n))
        cluster_want(e, &e->clusters[n->cluster]);
}

bool ledger_looks(const struct engine *e)
{
    for (uint32_t i = 0; i < e->rows_open.n; i++) {
        uint32_t node = node_of_vm_row(e, &e->rows_open.items[i]);

        if (node != IX_NONE && e->clusters[e->nodes[node].cluster].ask != NULL)
            return true;
    }
    return false;
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
    struct down_row end = { .subject = DOWN_VM, .start = rec->ended, .end = TIME_NEVER };
    const struct open_row *open;

    FILL(told.id.text, rec->op);
    for (uint32_t i = 0; i < rec->n_rows; i++)
        if (!in_ledger(e, &rec->rows[i]))
            take_row(e, &told, &rec->rows[i]);
    if (rec->n_rows > 0 || vm == IX_NONE || rec->outcome != OUTCOME_OK || rec->ended == 0)
        return;
    end.id = e->fleet.vms.items[vm].vm.id;
    end.cause = cause_of_park(e, &told);
    open = find_open(e, DOWN_VM, end.id);
    /* told at each claim until it is acknowledged: what came after it is not what it tells of */
    if (open != NULL ? e->ledger.items[open->row].start <= rec->ended : ended_row(e, &end) == NULL)
        (void)take_end(e, &told, rec->ended);
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
