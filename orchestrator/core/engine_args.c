/* What each action is told (docs/driver.md), and what must be true on the node right before it (docs/wire.md). */
#include "orchestrator/core/engine_state.h"

static void write_parked(struct json_writer *w, const struct engine *e, const struct engine_node *n)
{
    jw_array(w, "parked");
    for (uint32_t i = 0; i < n->parks.n; i++)
        if (n->parks.items[i].down)
            jw_str(w, NULL, e->fleet.vms.items[n->parks.items[i].vm].vm.id);
    jw_array_end(w);
}

static void args_none(struct json_writer *w, const struct engine *e, const struct engine_node *n)
{
    (void)w, (void)e, (void)n;
}

/* O7: found paused is accepted only where our own log shows the pause. */
static void args_pause(struct json_writer *w, const struct engine *e, const struct engine_node *n)
{
    (void)e;
    jw_bool(w, "found_ours", n->paused && !n->pause_lost);
}

static void write_park(struct json_writer *w, const struct engine *e, const struct engine_node *n)
{
    const struct node_park *k = &n->parks.items[n->park_at];

    jw_str(w, "vm", e->fleet.vms.items[k->vm].vm.id);
    jw_str(w, "method", k->method == PARK_SHUTDOWN ? "shutdown" : "save");
}

static void args_park(struct json_writer *w, const struct engine *e, const struct engine_node *n)
{
    write_park(w, e, n);
    jw_bool(w, "checkpoint", n->parks.items[n->park_at].checkpoint);
}

static void args_unpark(struct json_writer *w, const struct engine *e, const struct engine_node *n)
{
    write_park(w, e, n);
    if (n->parks.items[n->park_at].down_since != 0) /* else nobody knows */
        jw_int(w, "down_since_ms", n->parks.items[n->park_at].down_since);
}

static void args_merge(struct json_writer *w, const struct engine *e, const struct engine_node *n)
{
    jw_str(w, "vm", e->fleet.vms.items[n->parks.items[n->park_at].vm].vm.id);
}

/* Where groups and volumes go: patched receivers first, so that they move once. */
static void args_groups(struct json_writer *w, const struct engine *e, const struct engine_node *n)
{
    const struct cluster *c = &e->inv->clusters[n->cluster];

    jw_array(w, "to");
    for (int patched = 1; patched >= 0; patched--)
        for (uint32_t i = 0; i < c->n_nodes; i++) {
            const struct fleet_node *f = &e->fleet.nodes[c->nodes[i]];

            if (c->nodes[i] != n->ix && f->out == 0 && f->receives && f->patched == (patched != 0))
                jw_str(w, NULL, e->inv->nodes[c->nodes[i]].id);
        }
    jw_array_end(w);
}

static void args_parked(struct json_writer *w, const struct engine *e, const struct engine_node *n)
{
    write_parked(w, e, n);
}

static void args_bitlocker(struct json_writer *w, const struct engine *e, const struct engine_node *n)
{
    (void)e, (void)n;
    jw_int(w, "reboots", 1);
}

static void write_package(struct json_writer *w, const struct engine *e)
{
    const struct patch *p = &e->rollout->patch;

    jw_object(w, "package");
    jw_str(w, "name", p->file);
    jw_str(w, "sha256", p->sha256);
    jw_str(w, "kb", p->kb);
    jw_int(w, "build", p->target.number);
    jw_int(w, "ubr", p->target.ubr);
    if (p->n_checkpoints > 0) {
        jw_array(w, "checkpoints");
        for (uint32_t i = 0; i < p->n_checkpoints; i++) {
            jw_object(w, NULL);
            jw_str(w, "name", p->checkpoints[i].file);
            jw_str(w, "sha256", p->checkpoints[i].sha256);
            jw_object_end(w);
        }
        jw_array_end(w);
    }
    jw_object_end(w);
}

static void args_install(struct json_writer *w, const struct engine *e, const struct engine_node *n)
{
    write_package(w, e);
    jw_str(w, "tool", e->rollout->patch.tool);
    write_parked(w, e, n);
}

static void args_uninstall(struct json_writer *w, const struct engine *e, const struct engine_node *n)
{
    char build[32];

    write_package(w, e);
    jw_str(w, "predecessor", build_text(n->level_first, build));
    write_parked(w, e, n);
}

static void args_reboot(struct json_writer *w, const struct engine *e, const struct engine_node *n)
{
    jw_str(w, "boot_id", n->boot_id);
    write_parked(w, e, n);
}

enum guard { GUARD_NONE, GUARD_VMMS, GUARD_PROCESSES, GUARD_BUILD };

static const struct args_row {
    void (*write)(struct json_writer *, const struct engine *, const struct engine_node *);
    enum guard guard;
    bool of_vm;
} args_rows[ACTIONS] = {
    [ACT_PAUSE] = { args_pause, GUARD_NONE, false },
    [ACT_PARK_VM] = { args_park, GUARD_NONE, true },
    [ACT_MOVE_GROUPS] = { args_groups, GUARD_NONE, false },
    [ACT_STORAGE_OUT] = { args_none, GUARD_NONE, false },
    [ACT_STOP_VMMS] = { args_parked, GUARD_VMMS, false },
    [ACT_BITLOCKER] = { args_bitlocker, GUARD_NONE, false },
    [ACT_INSTALL] = { args_install, GUARD_BUILD, false },
    [ACT_UNINSTALL] = { args_uninstall, GUARD_BUILD, false },
    [ACT_REBOOT] = { args_reboot, GUARD_PROCESSES, false },
    [ACT_START_VMMS] = { args_none, GUARD_NONE, false },
    [ACT_STORAGE_IN] = { args_none, GUARD_NONE, false },
    [ACT_RESUME] = { args_none, GUARD_NONE, false },
    [ACT_UNPARK_VM] = { args_unpark, GUARD_NONE, true },
    [ACT_MERGE] = { args_merge, GUARD_NONE, true },
};

/* Compare-and-set (C.4): the effect happens on the node that was looked at, or not at all. */
static void write_guard(struct op *op, const struct engine *e, const struct engine_node *n, enum guard guard)
{
    struct json_writer w;
    char build[32];

    if (guard == GUARD_NONE)
        return;
    jw_init(&w, &op->precondition);
    jw_object(&w, NULL);
    jw_str(&w, "boot_id", n->boot_id);
    jw_str(&w, "empty", guard == GUARD_VMMS ? "vmms" : "processes");
    write_parked(&w, e, n);
    if (guard == GUARD_BUILD)
        jw_str(&w, "build", build_text(n->build_now, build));
    jw_object_end(&w);
}

void op_start(struct engine *e, struct engine_node *n, enum action action)
{
    const struct args_row *row = &args_rows[action];
    struct op *op = op_open(e, n, action, row->of_vm ? n->parks.items[n->park_at].vm : IX_NONE);
    struct json_writer w;

    if (op == NULL)
        return;
    jw_init(&w, &op->args);
    jw_object(&w, NULL);
    row->write(&w, e, n);
    jw_object_end(&w);
    write_guard(op, e, n, row->guard);
    op_send(e, op);
}
