/* The end of a fold: the projected phases are there, and say which operations without an end may still be open. */
#include "orchestrator/core/handover_own.h"

#include <string.h>

/* The phase that waits for it. */
static bool fits_phase(enum node_phase p, enum action a)
{
    static const enum node_phase phase_of[ACTIONS] = {
        [ACT_PAUSE] = NODE_DRAINING,          [ACT_PARK_VM] = NODE_DRAINING,
        [ACT_MOVE_VM] = NODE_DRAINING,        [ACT_MOVE_GROUPS] = NODE_DRAINING,
        [ACT_STORAGE_OUT] = NODE_STORAGE_OUT, [ACT_STOP_VMMS] = NODE_STOPPING_VMMS,
        [ACT_INSTALL] = NODE_INSTALLING,      [ACT_UNINSTALL] = NODE_REMOVING,
        [ACT_REBOOT] = NODE_REBOOTING,        [ACT_START_VMMS] = NODE_STARTING_VMMS,
        [ACT_STORAGE_IN] = NODE_STORAGE_IN,   [ACT_RESUME] = NODE_RESUMING,
        [ACT_UNPARK_VM] = NODE_RESUMING,      [ACT_MERGE] = NODE_SETTLING,
    };

    return a == ACT_BITLOCKER ? p == NODE_INSTALLING || p == NODE_REMOVING || p == NODE_REBOOTING
                              : p == phase_of[a];
}

static bool still_open(const struct handover_fold *f, const struct handover_op *op)
{
    return op->action == ACT_CLUSTER_SETTING || op->evidence ||
           fits_phase(f->now.nodes[op->node].phase, op->action);
}

static bool later_one(const struct handover_fold *f, uint32_t at)
{
    const struct handover_op *op = &f->ops.items[at].op;

    for (uint32_t i = at + 1; i < f->ops.n; i++)
        if (f->ops.items[i].op.action == ACT_MOVE_VM && strcmp(f->ops.items[i].op.vm, op->vm) == 0)
            return true;
    return false;
}

static void settle_ops(struct handover_fold *f)
{
    for (uint32_t i = 0; i < f->ops.n; i++) {
        struct folded_op *o = &f->ops.items[i];
        struct handover_op *kept;

        if (o->over)
            continue;
        if (!still_open(f, &o->op) || (o->op.action == ACT_MOVE_VM && later_one(f, i))) {
            handover_op_given_up(f, o, ACTIONS);
            continue;
        }
        kept = list_push(&f->open);
        if (kept == NULL)
            f->nomem = true;
        else
            *kept = o->op;
    }
}

/* A life that has no operation yet: a new one, or what `return` has begun. What another log did in it is not ours. */
static void settle_life(struct handover_fold *f, struct handover_node *n)
{
    uint32_t ours = n->ops_life;

    if (n->life <= n->ops_life || n->ops_life == 0)
        return;
    handover_life_begun(f, n, n->life,
                        (node_phases[n->phase].flags & NODE_GOES_HOME) != 0 ? ACT_START_VMMS : ACT_PAUSE);
    n->ops_life = ours;
}

static void count_moves(struct handover_fold *f)
{
    for (uint32_t i = 0; i < f->ops.n; i++) {
        const struct folded_op *o = &f->ops.items[i];
        struct handover_vm *v;

        if (o->op.action != ACT_MOVE_VM || !o->ok || o->op.evidence)
            continue;
        v = handover_fold_vm(f, o->op.vm, f->inv->nodes[o->op.node].cluster);
        v->moves += !o->back;
        v->moves_back += o->back;
    }
}

int handover_fold_end(struct handover_fold *f, const struct handover **ret_h, struct err *err)
{
    f->open.n = 0;
    for (uint32_t i = 0; i < f->now.n_nodes; i++)
        if (f->now.nodes[i].back)
            handover_life_goes_back(f, i, f->now.nodes[i].life);
    settle_ops(f);
    count_moves(f);
    for (uint32_t i = 0; i < f->now.n_nodes; i++)
        settle_life(f, &f->now.nodes[i]);
    for (uint32_t i = 0; i < f->now.n_nodes; i++)
        if (f->now.nodes[i].end == NODE_ROLLED_BACK)
            f->now.nodes[i].patched = f->now.nodes[i].proved = false;
    f->now.ops = f->open.items;
    f->now.n_ops = f->open.n;
    f->now.vms = f->vms.items;
    f->now.n_vms = f->vms.n;
    f->now.parks = f->parks.items;
    f->now.n_parks = f->parks.n;
    if (f->nomem)
        return err_set(err, ERR_NOMEM, "fold a log");
    *ret_h = &f->now;
    return 0;
}
