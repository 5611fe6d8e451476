/* What the fleet in memory does and shows. */
#include "orchestrator/core/backend_plan_world.h"

#include <string.h>

const char *world_boot_id(struct backend_plan *b, uint32_t node)
{
    const char *id = arena_printf(&b->arena, "boot-%s-%u", b->inv->nodes[node].id, b->nodes[node].boot);

    b->nomem |= id == NULL;
    return id;
}

/* effects */

static void effect_reboot(struct backend_plan *b, struct world_node *n)
{
    (void)b;
    n->boot++;
    n->vmms = true;
    if (n->install_pending)
        n->build = b->plan->rollout->patch.target;
    if (n->remove_pending)
        n->build = n->before;
    n->install_pending = n->remove_pending = false;
}

static void effect_vm(struct backend_plan *b, struct world_op *op)
{
    struct world_vm *v = &b->vms[op->vm];

    if (op->action == ACT_MOVE_VM) {
        fleet_arrive(&b->fleet, op->vm, op->to);
        op->blackout_ms = predict_blackout(b->predictor, &b->fleet, op->vm).p50;
    } else if (op->action == ACT_PARK_VM) {
        op->already = !v->running;
        v->down_since = v->running ? b->now : v->down_since;
        v->running = false;
    } else if (op->action == ACT_UNPARK_VM) {
        op->down_since = v->down_since;
        v->running = true;
    }
}

static dur_ms resync(const struct backend_plan *b, uint32_t node)
{
    if (b->inv->clusters[b->inv->nodes[node].cluster].storage != STORAGE_S2D)
        return 0;
    return predict_step(b->predictor, node, PREDICT_RESYNC).p50;
}

/* Found as nobody expected it: refused, and left (docs/driver.md). */
static void effect_setting(struct backend_plan *b, uint32_t node, struct world_op *op)
{
    uint32_t *now = &b->settings[b->inv->nodes[node].cluster][op->setting];

    op->already = *now == op->value;
    if (*now == op->value || *now == op->expected) {
        *now = op->value;
        return;
    }
    op->true_done = false;
    op->outcome = OUTCOME_REFUSED;
    memcpy(op->error_code, "refused", sizeof "refused");
}

static void effect_node(struct backend_plan *b, uint32_t node, struct world_op *op)
{
    struct world_node *n = &b->nodes[node];

    if (op->action == ACT_PAUSE) {
        n->paused = true;
    } else if (op->action == ACT_RESUME) {
        n->paused = false;
        n->resync_until = b->now + resync(b, node);
    } else if (op->action == ACT_STORAGE_OUT || op->action == ACT_STORAGE_IN) {
        n->storage_out = op->action == ACT_STORAGE_OUT;
    } else if (op->action == ACT_STOP_VMMS) {
        n->vmms = false;
    } else if (op->action == ACT_START_VMMS) {
        n->vmms = true;
    } else if (op->action == ACT_INSTALL) {
        n->before = n->build;
        n->install_pending = true;
        op->reboot_required = true;
    } else if (op->action == ACT_UNINSTALL) {
        n->remove_pending = true;
        op->reboot_required = true;
    } else if (op->action == ACT_REBOOT) {
        effect_reboot(b, n);
    } else if (op->action == ACT_CLUSTER_SETTING) {
        effect_setting(b, node, op);
    }
}

void world_effect(struct backend_plan *b, uint32_t node, struct world_op *op)
{
    op->true_done = true;
    b->nodes[node].effects[op->action]++;
    if (op->vm != IX_NONE)
        effect_vm(b, op);
    else
        effect_node(b, node, op);
}

/* records */

static void record_row(struct backend_plan *b, const struct world_op *op, struct op_record *rec)
{
    struct down_row *row = ARENA_NEW(&b->arena, struct down_row);

    if (row == NULL) {
        b->nomem = true;
        return;
    }
    row->subject = DOWN_VM;
    row->id = b->fleet.vms.items[op->vm].vm.id;
    row->how = "predicted";
    row->cause = op->action == ACT_MOVE_VM ? CAUSE_BLACKOUT : CAUSE_SHUT_DOWN;
    row->end = op->action == ACT_PARK_VM ? TIME_NEVER : op->ended;
    row->start = op->action == ACT_MOVE_VM   ? op->ended - op->blackout_ms
                 : op->action == ACT_PARK_VM ? op->ended
                                             : op->down_since;
    rec->rows = row;
    rec->n_rows = 1;
}

void world_record(struct backend_plan *b, const struct world_op *op, uint32_t node, struct op_record *rec)
{
    bool told = op->action == ACT_MOVE_VM || op->action == ACT_PARK_VM || op->action == ACT_UNPARK_VM;
    const char *id = arena_str(&b->arena, op->id.text), *code = arena_str(&b->arena, op->error_code);

    memset(rec, 0, sizeof *rec);
    b->nomem |= id == NULL || code == NULL;
    rec->op = id;
    rec->action = action_rows[op->action].name;
    rec->state = op->state;
    rec->outcome = op->state == OP_DONE ? op->outcome : OUTCOME_NONE;
    rec->error_code = op->error_code[0] == '\0' ? NULL : code;
    rec->error_text = op->error_code[0] == '\0' ? NULL : "as the scenario says";
    rec->accepted = op->accepted;
    rec->started = op->started;
    rec->ended = op->ended;
    rec->boot_id = world_boot_id(b, node);
    rec->already = op->already;
    rec->reboot_required = op->reboot_required;
    rec->blackout_ms = op->blackout_ms;
    if (op->true_done && told && op->state == OP_DONE && !op->already)
        record_row(b, op, rec);
}

/* observations */

static bool here(const struct backend_plan *b, uint32_t vm, uint32_t node)
{
    return b->fleet.vms.items[vm].at == node && !b->fleet.vms.items[vm].gone;
}

static void see_facts(struct backend_plan *b, uint32_t node, struct node_facts *f)
{
    static const char *const switches[] = { "vSwitch1" };
    static const struct named_state interfaces[] = { { "Cluster 1", "up" } };
    const struct node *n = &b->inv->nodes[node];

    f->node = n->id;
    f->machine_id = n->machine_id == NULL ? n->id : n->machine_id;
    f->boot_id = world_boot_id(b, node);
    f->cluster = b->inv->clusters[n->cluster].id;
    f->model = n->model;
    f->firmware = n->firmware;
    f->bmc = n->bmc;
    f->build = b->nodes[node].build;
    f->server = f->servicing_idle = true;
    f->memory_mib = n->memory_mib;
    f->host_reserve_mib = n->host_reserve_mib;
    f->cpus = n->cpus;
    f->storage_paths = 4;
    f->bitlocker_os_volume = "off";
    f->switches = switches;
    f->n_switches = 1;
    f->interfaces = interfaces;
    f->n_interfaces = 1;
}

static const char *const *owner_ids(struct backend_plan *b, const struct vm *v)
{
    const char **ids = ARENA_ARRAY(&b->arena, const char *, v->n_owners);

    b->nomem |= ids == NULL;
    for (uint32_t i = 0; ids != NULL && i < v->n_owners; i++)
        ids[i] = b->inv->nodes[v->owners[i]].id;
    return ids;
}

static void see_vms(struct backend_plan *b, uint32_t node, struct vms_seen *ret)
{
    const struct cluster *c = &b->inv->clusters[b->inv->nodes[node].cluster];
    struct vm_seen *items = ARENA_ARRAY(&b->arena, struct vm_seen, c->n_vms);
    uint32_t n = 0;

    b->nomem |= items == NULL;
    for (uint32_t i = 0; items != NULL && i < c->n_vms; i++) {
        const struct vm *v = &b->fleet.vms.items[c->vms[i]].vm;

        if (!here(b, c->vms[i], node))
            continue;
        items[n].vm = *v;
        items[n].vm.state = b->vms[c->vms[i]].running ? VM_RUNNING
                            : v->state == VM_RUNNING  ? VM_OFF
                                                      : v->state;
        items[n].node = b->inv->nodes[node].id;
        items[n].owner_ids = owner_ids(b, v);
        items[n].n_owner_ids = v->n_owners;
        n++;
    }
    ret->items = items;
    ret->n = n;
}

static void see_node(struct backend_plan *b, uint32_t node, struct view_node *v)
{
    const struct world_node *n = &b->nodes[node];

    v->id = b->inv->nodes[node].id;
    v->state = !n->up ? SEEN_DOWN : n->paused ? SEEN_PAUSED : SEEN_UP;
    v->vote = v->dynamic_vote = b->inv->nodes[node].vote;
    v->fault_domain = b->inv->nodes[node].fault_domain;
}

static void see_groups(struct backend_plan *b, uint32_t cluster, struct cluster_view *v)
{
    const struct cluster *c = &b->inv->clusters[cluster];
    struct view_group *groups = ARENA_ARRAY(&b->arena, struct view_group, c->n_vms);

    b->nomem |= groups == NULL;
    for (uint32_t i = 0; groups != NULL && i < c->n_vms; i++) {
        const struct fleet_vm *vm = &b->fleet.vms.items[c->vms[i]];
        struct view_group *g = &groups[v->n_groups];

        if (!vm->vm.clustered || vm->at == IX_NONE)
            continue;
        g->id = vm->vm.group == NULL ? vm->vm.id : vm->vm.group;
        g->name = vm->vm.name;
        g->owner = b->inv->nodes[vm->at].id;
        g->vm = vm->vm.id;
        g->type = GROUP_VM;
        g->state = b->vms[c->vms[i]].running ? GROUP_ONLINE : GROUP_OFFLINE;
        g->wanted_online = b->vms[c->vms[i]].running;
        v->n_groups++;
    }
    v->groups = groups;
}

static void see_storage(struct backend_plan *b, uint32_t cluster, struct storage_view *s)
{
    const struct cluster *c = &b->inv->clusters[cluster];

    s->s2d = c->storage == STORAGE_S2D;
    s->rack_aware = c->rack_aware;
    for (uint32_t i = 0; i < c->n_nodes && s->n_jobs == 0; i++) {
        const struct world_node *n = &b->nodes[c->nodes[i]];
        struct view_job *job;

        if (!s->s2d || (n->up && !n->paused && !n->storage_out && b->now >= n->resync_until))
            continue;
        job = ARENA_NEW(&b->arena, struct view_job);
        b->nomem |= job == NULL;
        if (job == NULL)
            return;
        *job = (struct view_job){ "repair", JOB_REPAIR, true, 50 };
        s->jobs = job;
        s->n_jobs = 1;
    }
}

static void see_all_vms(struct backend_plan *b, uint32_t cluster, struct event *ev)
{
    const struct cluster *c = &b->inv->clusters[cluster];
    struct vms_seen *vms = ARENA_ARRAY(&b->arena, struct vms_seen, c->n_nodes);
    uint32_t *nodes = ARENA_ARRAY(&b->arena, uint32_t, c->n_nodes), n = 0;

    b->nomem |= vms == NULL || nodes == NULL;
    for (uint32_t i = 0; vms != NULL && nodes != NULL && i < c->n_nodes; i++) {
        const struct world_node *w = &b->nodes[c->nodes[i]];

        if (!w->up || !w->vmms || b->now < w->cut_until)
            continue;
        nodes[n] = c->nodes[i];
        see_vms(b, c->nodes[i], &vms[n++]);
    }
    ev->u.observed.vms = vms;
    ev->u.observed.vms_nodes = nodes;
    ev->u.observed.n_vms_nodes = n;
}

static void see_cluster(struct backend_plan *b, uint32_t cluster, struct event *ev)
{
    const struct cluster *c = &b->inv->clusters[cluster];
    struct cluster_view *v = &ev->u.observed.view;
    struct view_node *nodes = ARENA_ARRAY(&b->arena, struct view_node, c->n_nodes);

    v->cluster = c->id;
    b->nomem |= nodes == NULL;
    for (uint32_t i = 0; nodes != NULL && i < c->n_nodes; i++)
        see_node(b, c->nodes[i], &nodes[v->n_nodes++]);
    v->nodes = nodes;
    v->witness = c->witness;
    v->witness_online = c->witness != WITNESS_NONE;
    v->witness_vote = c->witness != WITNESS_NONE;
    v->auto_balancer_mode = b->settings[cluster][SETTING_BALANCER];
    v->move_type_threshold = b->settings[cluster][SETTING_MOVE_TYPE];
    v->max_parallel_migrations = b->settings[cluster][SETTING_MIGRATIONS];
    v->bandwidth_mib_s = c->bandwidth_mib_s;
    v->enforced_anti_affinity = c->enforced_anti_affinity;
    v->s2d = c->storage == STORAGE_S2D;
    see_groups(b, cluster, v);
    see_storage(b, cluster, &ev->u.observed.storage);
    see_all_vms(b, cluster, ev);
}

static void see_empty(struct backend_plan *b, uint32_t node, struct empty_facts *f)
{
    const struct cluster *c = &b->inv->clusters[b->inv->nodes[node].cluster];

    f->empty = b->nodes[node].paused;
    f->left = ARENA_ARRAY(&b->arena, struct empty_left, c->n_vms);
    b->nomem |= f->left == NULL;
    for (uint32_t i = 0; f->left != NULL && i < c->n_vms; i++) {
        const struct vm *v = &b->fleet.vms.items[c->vms[i]].vm;

        if (!here(b, c->vms[i], node) || !b->vms[c->vms[i]].running)
            continue;
        f->empty = false;
        f->left[f->n_left++] = (struct empty_left){ "vm", v->id, v->name, "runs here" };
    }
}

static void see_verify(struct backend_plan *b, uint32_t node, struct verify_facts *f)
{
    const struct world_node *n = &b->nodes[node];
    char before[32];
    const char *text = arena_str(&b->arena, build_text(n->before, before));

    b->nomem |= text == NULL;
    f->build = n->build;
    f->servicing_idle = true;
    f->pending = n->install_pending || n->remove_pending;
    f->package =
        build_compare(n->build, b->plan->rollout->patch.target) >= 0 ? PACKAGE_INSTALLED : PACKAGE_ABSENT;
    f->predecessor = f->package == PACKAGE_ABSENT ? text : NULL;
    f->boot_id = world_boot_id(b, node);
}

static void see_time(struct backend_plan *b, struct time_facts *f)
{
    f->servers = ARENA_NEW(&b->arena, struct time_source);
    b->nomem |= f->servers == NULL;
    if (f->servers == NULL)
        return;
    f->servers[0] = (struct time_source){ "dc1", NULL, true, 4, 3, 800, 500 };
    f->n_servers = 1;
}

static void see_backup(struct backend_plan *b, struct backup_facts *f)
{
    f->agents = ARENA_NEW(&b->arena, struct backup_agent);
    b->nomem |= f->agents == NULL;
    if (f->agents == NULL)
        return;
    f->agents[0] = (struct backup_agent){ "Backup", "backupsvc", "running", "running" };
    f->n_agents = 1;
}

static void see_heartbeat(struct backend_plan *b, uint32_t node, struct heartbeat_facts *f)
{
    const struct cluster *c = &b->inv->clusters[b->inv->nodes[node].cluster];

    f->vms = ARENA_ARRAY(&b->arena, struct vm_beat, c->n_vms);
    b->nomem |= f->vms == NULL;
    for (uint32_t i = 0; f->vms != NULL && i < c->n_vms; i++) {
        const struct vm *v = &b->fleet.vms.items[c->vms[i]].vm;

        if (here(b, c->vms[i], node) && b->vms[c->vms[i]].running)
            f->vms[f->n_vms++] = (struct vm_beat){ v->id, v->name, VM_RUNNING, HEARTBEAT_OK };
    }
}

void world_observe(struct backend_plan *b, const struct world_entry *w, struct event *ev)
{
    ev->u.observed.ask = w->ask;
    ev->u.observed.what = w->what;
    ev->u.observed.ok = true;
    ev->u.observed.taken = b->now;
    if (w->what == OBSERVE_FACTS)
        see_facts(b, w->node, &ev->u.observed.facts);
    else if (w->what == OBSERVE_CLUSTER)
        see_cluster(b, w->cluster, ev);
    else if (w->what == OBSERVE_EMPTY)
        see_empty(b, w->node, &ev->u.observed.empty);
    else if (w->what == OBSERVE_VERIFY)
        see_verify(b, w->node, &ev->u.observed.verify);
    else if (w->what == OBSERVE_TIME)
        see_time(b, &ev->u.observed.time);
    else if (w->what == OBSERVE_BACKUP)
        see_backup(b, &ev->u.observed.backup);
    else /* the engine asks for nothing else */
        see_heartbeat(b, w->node, &ev->u.observed.heartbeat);
}
