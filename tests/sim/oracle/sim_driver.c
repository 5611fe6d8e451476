/* What driver actions do to the world: docs/driver.md in deeds. `begin` says
 * how long it takes and what it will refuse; `end` is when it takes hold. */
#include "tests/sim/oracle/sim_world.h"

#include "schema/json.h"

#include <string.h>

struct action {
    const char *name;
    bool effect;
    dur_ms lo_ms, hi_ms;
    void (*begin)(struct sim_world *w, struct world_effect *e);
    void (*end)(struct sim_world *w, struct world_effect *e, struct json_writer *j);
    const char *(*witness)(const struct sim_world *w, const struct world_effect *e); /* a word */
};

static void fail(struct world_effect *e, const char *code, const char *native, const char *why)
{
    e->code = code;
    e->native = native;
    e->why = why;
}

void world_tell(struct sim_world *w, enum world_what what, uint32_t node, const struct world_effect *e)
{
    struct world_truth t = { .what = what,
                             .node = node,
                             .vm = e->vm,
                             .to = e->to,
                             .op = e->op,
                             .sha256 = e->sha256,
                             .method = e->text };

    w->hooks.on_truth(w->hooks.arg, &t);
}

static bool done_already(struct world_effect *e, bool already)
{
    e->already = already;
    return already;
}

/* ---- pause, resume ---- */

static void begin_pause(struct sim_world *w, struct world_effect *e)
{
    struct world_node *n = &w->nodes[e->node];

    if (n->evicted)
        fail(e, "failed", "0x80071397", "the node is no member of a cluster");
    else if (n->refuse_pause)
        fail(e, "refused", "0x80071398", "the cluster refused the pause");
    else if (n->paused && !e->flag)
        fail(e, "found_paused", NULL, "the node was paused before");
}

static void end_pause(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    struct world_node *n = &w->nodes[e->node];

    if (!done_already(e, n->paused)) {
        n->paused = n->paused_ours = true;
        n->paused_admin = false;
        if (n->out_since == 0)
            n->out_since = w->now;
        n->ended_at = 0;
        world_tell(w, TRUTH_PAUSE, e->node, e);
    } else {
        if (n->out_since == 0) /* the one that came in the moment of ours: from now on it is out by us */
            n->out_since = w->now;
        world_tell(w, TRUTH_PAUSE_FOUND, e->node, e);
    }
    jw_str(j, "state", "paused");
}

static const char *witness_pause(const struct sim_world *w, const struct world_effect *e)
{
    return w->nodes[e->node].paused ? "done" : "not_done";
}

static void begin_resume(struct sim_world *w, struct world_effect *e)
{
    if (w->nodes[e->node].evicted)
        fail(e, "failed", "0x80071397", "the node is no member of a cluster");
}

static void end_resume(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    struct world_node *n = &w->nodes[e->node];

    if (!done_already(e, !n->paused)) {
        world_tell(w, TRUTH_RESUME, e->node, e); /* of the pause as it is */
        n->paused = n->paused_ours = n->paused_admin = false;
        n->unpaused_at = w->now;
    }
    jw_str(j, "state", "up");
}

static const char *witness_resume(const struct sim_world *w, const struct world_effect *e)
{
    return w->nodes[e->node].paused ? "not_done" : "done";
}

/* ---- moves ---- */

static const char *move_refused(const struct sim_world *w, const struct world_vm *v, uint32_t to)
{
    if (v->dda)
        return "the virtual machine has an assigned device";
    if (v->refuses)
        return "the virtual machine cannot be migrated now";
    if (to == WORLD_NONE || !world_receives(w, to))
        return "the destination does not take it";
    if (!world_may_own(w, v, to) || !v->clustered)
        return "the destination is no possible owner";
    if (world_free_mib(w, to) < v->memory_mib)
        return "not enough memory on the destination";
    return NULL;
}

static void begin_move(struct sim_world *w, struct world_effect *e)
{
    struct world_vm *v = e->vm == WORLD_NONE ? NULL : &w->vms[e->vm];
    const char *why;

    if (v == NULL || v->gone) {
        fail(e, "not_found", NULL, "no such virtual machine");
        return;
    }
    if (v->node == e->to && v->state != GUEST_MIGRATING) {
        e->already = true;
        return;
    }
    if (v->node != e->node) {
        fail(e, "not_found", NULL, "the virtual machine is not on this node");
        return;
    }
    if (v->state == GUEST_MIGRATING) {
        fail(e, "busy", NULL, "another migration is under way");
        return;
    }
    why = v->state != GUEST_RUNNING   ? "the virtual machine is not running"
          : w->nodes[e->node].evicted ? "the node is no member of a cluster"
                                      : move_refused(w, v, e->to);
    if (why != NULL) {
        fail(e, "refused", "0x80070032", why);
        return;
    }
    v->state = GUEST_MIGRATING;
    v->to = e->to;
    e->done_at = w->now + 1000 +
                 v->memory_mib * 1200 / w->clusters[w->nodes[e->node].cluster].bandwidth_mib_s *
                     v->slow_permille / 1000;
    world_tell(w, TRUTH_MOVE_BEGIN, e->node, e);
}

static void end_move(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    struct world_vm *v = &w->vms[e->vm];

    jw_int(j, "blackout_ms", e->already ? 0 : 400);
    jw_int(j, "duration_ms", w->now - e->begun);
    if (e->already)
        return;
    if (v->state != GUEST_MIGRATING || v->to != e->to) {
        fail(e, "failed", "0x80070490", "the migration was interrupted");
        return;
    }
    v->state = GUEST_RUNNING;
    if (v->crashes) {
        v->crashes = false;
        v->state = GUEST_OFF;
        v->down = DOWN_EXOGENOUS;
        v->down_since = w->now;
        v->restart_at = w->now + 30 * SECOND_MS;
        world_touched(w, WORLD_NONE, e->node);
        fail(e, "failed", "0x8007274c", "the virtual machine stopped during the migration");
    } else if (v->fails_half || !world_receives(w, e->to)) {
        v->fails_half = false;
        fail(e, "failed", "0x80072746", "the migration failed; the virtual machine is on its source");
    } else {
        v->node = e->to;
        v->here_since = w->now;
        world_tell(w, TRUTH_MOVE_END, e->node, e);
    }
}

static const char *witness_move(const struct sim_world *w, const struct world_effect *e)
{
    if (e->vm == WORLD_NONE || w->vms[e->vm].gone)
        return "cannot_tell";
    if (w->vms[e->vm].state == GUEST_MIGRATING)
        return "running";
    return w->vms[e->vm].node == e->to ? "done" : "not_done";
}

static bool owns_groups(const struct sim_world *w, uint32_t node)
{
    const struct world_cluster *c = &w->clusters[w->nodes[node].cluster];

    if (c->core_owner == node || c->csv_owner[0] == node || c->csv_owner[1] == node)
        return true;
    for (uint32_t i = 0; i < w->n_vms; i++)
        if (!w->vms[i].gone && w->vms[i].clustered && w->vms[i].node == node && !world_vm_live(&w->vms[i]) &&
            !w->vms[i].dda)
            return true;
    return false;
}

static uint32_t any_receiver(const struct sim_world *w, uint32_t node)
{
    for (uint32_t i = 0; i < w->n_nodes; i++)
        if (i != node && w->nodes[i].cluster == w->nodes[node].cluster && world_receives(w, i))
            return i;
    return WORLD_NONE;
}

/* Offline VM groups go along; one that lacks an owner elsewhere stays. */
static void end_groups(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    struct world_cluster *c = &w->clusters[w->nodes[e->node].cluster];
    uint32_t to = any_receiver(w, e->node);

    jw_array(j, "moved");
    jw_array_end(j);
    jw_array(j, "left");
    if (to != WORLD_NONE && !w->nodes[e->node].leaves_group) {
        c->core_owner = c->core_owner == e->node ? to : c->core_owner;
        for (unsigned i = 0; i < 2; i++)
            c->csv_owner[i] = c->csv_owner[i] == e->node ? to : c->csv_owner[i];
        for (uint32_t i = 0; i < w->n_vms; i++) {
            struct world_vm *v = &w->vms[i];

            if (v->gone || !v->clustered || v->node != e->node || world_vm_live(v) || v->dda || v->refuses)
                continue;
            if (world_may_own(w, v, to))
                v->node = to;
        }
        world_tell(w, TRUTH_GROUPS, e->node, e);
    }
    w->nodes[e->node].leaves_group = false;
    jw_array_end(j);
}

static const char *witness_groups(const struct sim_world *w, const struct world_effect *e)
{
    return owns_groups(w, e->node) ? "not_done" : "done";
}

/* ---- park ---- */

static void begin_park(struct sim_world *w, struct world_effect *e)
{
    const struct world_vm *v = e->vm == WORLD_NONE ? NULL : &w->vms[e->vm];

    if (v == NULL || v->gone || v->node != e->node)
        fail(e, "not_found", NULL, "no such virtual machine here");
    else if (v->state == GUEST_MIGRATING)
        fail(e, "busy", NULL, "it is being migrated");
    else if (v->refuses)
        fail(e, "failed", NULL, "the guest did not shut down");
}

static void write_down(struct sim_world *w, const struct world_effect *e, time_ms since, bool closed)
{
    struct json_writer j;

    buf_reset(&w->scratch);
    jw_init(&j, &w->scratch);
    jw_array(&j, NULL);
    jw_object(&j, NULL);
    jw_str(&j, "subject", "vm");
    jw_str(&j, "id", w->vms[e->vm].id);
    jw_str(&j, "cause", strcmp(e->text, "save") == 0 ? "saved" : "shut_down");
    jw_int(&j, "start_ms", since);
    if (closed)
        jw_int(&j, "end_ms", w->now);
    else
        jw_null(&j, "end_ms");
    jw_str(&j, "how", "state change");
    jw_object_end(&j);
    jw_array_end(&j);
}

static void end_park(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    struct world_vm *v = &w->vms[e->vm];
    bool save = strcmp(e->text, "save") == 0;

    if (!done_already(e, !world_vm_live(v))) {
        v->state = save ? GUEST_SAVED : GUEST_OFF;
        v->down = DOWN_PARKED;
        v->down_since = w->now;
        v->restart_at = 0;
        world_tell(w, TRUTH_PARK, e->node, e);
        write_down(w, e, w->now, false);
    } else if (v->down != DOWN_PARKED) { /* it was off: now it is to stay so */
        v->down = DOWN_PARKED;
        v->restart_at = 0;
    }
    jw_str(j, "state", v->state == GUEST_SAVED ? "saved" : "off");
}

static const char *witness_park(const struct sim_world *w, const struct world_effect *e)
{
    if (e->vm == WORLD_NONE)
        return "cannot_tell";
    return world_vm_live(&w->vms[e->vm]) ? "not_done" : "done";
}

static void begin_unpark(struct sim_world *w, struct world_effect *e)
{
    const struct world_vm *v = e->vm == WORLD_NONE ? NULL : &w->vms[e->vm];

    if (v == NULL || v->gone)
        fail(e, "not_found", NULL, "no such virtual machine");
    else if (world_vm_live(v))
        e->already = true;
    else if (v->node != e->node)
        fail(e, "not_found", NULL, "the virtual machine is not on this node");
    else if (v->clustered && w->nodes[e->node].paused)
        fail(e, "refused", "0x80071748", "a paused node brings no group online");
    else if (!w->nodes[e->node].vmms)
        fail(e, "failed", NULL, "the virtual machine management service does not run");
}

static void end_unpark(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    struct world_vm *v = &w->vms[e->vm];

    if (!e->already && !world_vm_live(v)) {
        v->state = GUEST_RUNNING;
        v->down = DOWN_NOT;
        v->here_since = w->now;
        v->restart_at = 0;
        world_tell(w, TRUTH_UNPARK, e->node, e);
        if (e->number > 0) /* since when, it knows only from who parked it */
            write_down(w, e, e->number, true);
    } else {
        e->already = true;
    }
    jw_str(j, "state", "running");
}

static const char *witness_unpark(const struct sim_world *w, const struct world_effect *e)
{
    if (e->vm == WORLD_NONE)
        return "cannot_tell";
    return world_vm_live(&w->vms[e->vm]) ? "done" : "not_done";
}

static void end_checkpoint(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    (void)w;
    (void)e;
    jw_str(j, "checkpoint", "cp1");
}

static void end_merge(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    (void)w;
    (void)e;
    jw_bool(j, "merged", true);
}

static const char *witness_yes(const struct sim_world *w, const struct world_effect *e)
{
    (void)w;
    (void)e;
    return "done";
}

/* ---- storage, vmms ---- */

static void begin_storage_out(struct sim_world *w, struct world_effect *e)
{
    uint32_t c = w->nodes[e->node].cluster;

    if (w->clusters[c].s2d && !w->nodes[e->node].storage_out && !world_storage_whole(w, c))
        fail(e, "refused", "0x80070015", "a virtual disk is not healthy");
}

static void end_storage_out(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    struct world_node *n = &w->nodes[e->node];

    if (!done_already(e, !w->clusters[n->cluster].s2d || n->storage_out)) {
        n->storage_out = true;
        world_tell(w, TRUTH_STORAGE_OUT, e->node, e);
        world_storage_dirty(w, n->cluster);
    }
    jw_int(j, "disks", 4);
}

static void end_storage_in(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    struct world_node *n = &w->nodes[e->node];

    if (!done_already(e, !n->storage_out)) {
        n->storage_out = false;
        world_tell(w, TRUTH_STORAGE_IN, e->node, e);
    }
    jw_int(j, "disks", 4);
}

static const char *witness_storage_out(const struct sim_world *w, const struct world_effect *e)
{
    return !w->clusters[w->nodes[e->node].cluster].s2d || w->nodes[e->node].storage_out ? "done" : "not_done";
}

static const char *witness_storage_in(const struct sim_world *w, const struct world_effect *e)
{
    return w->nodes[e->node].storage_out ? "not_done" : "done";
}

static void begin_stop(struct sim_world *w, struct world_effect *e)
{
    if (w->nodes[e->node].vmms_sticks && w->nodes[e->node].vmms) {
        w->nodes[e->node].vmms_sticks = false;
        fail(e, "failed", "1053", "the service did not stop");
    }
}

static void end_stop(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    if (!done_already(e, !w->nodes[e->node].vmms)) {
        w->nodes[e->node].vmms = false;
        world_tell(w, TRUTH_VMMS_STOP, e->node, e);
    }
    jw_str(j, "state", "stopped");
}

static void end_start(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    if (!done_already(e, w->nodes[e->node].vmms)) {
        w->nodes[e->node].vmms = true;
        world_tell(w, TRUTH_VMMS_START, e->node, e);
    }
    jw_str(j, "state", "running");
}

static const char *witness_stop(const struct sim_world *w, const struct world_effect *e)
{
    return w->nodes[e->node].vmms ? "not_done" : "done";
}

static const char *witness_start(const struct sim_world *w, const struct world_effect *e)
{
    return w->nodes[e->node].vmms ? "done" : "not_done";
}

/* ---- package ---- */

static void end_fetch(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    done_already(e, w->nodes[e->node].staged);
    w->nodes[e->node].staged = true;
    jw_str(j, "path", "store/" WORLD_FILE);
}

static const char *witness_fetch(const struct sim_world *w, const struct world_effect *e)
{
    return w->nodes[e->node].staged ? "done" : "not_done";
}

static dur_ms servicing(struct sim_world *w, uint32_t node)
{
    return prng_between(&w->rng, 300, 700) * w->nodes[node].speed_permille;
}

static void begin_install(struct sim_world *w, struct world_effect *e)
{
    struct world_node *n = &w->nodes[e->node];

    if (n->has_package) {
        e->already = true;
        return;
    }
    if (n->servicing_until > w->now) {
        fail(e, "busy", NULL, "servicing is in progress");
        return;
    }
    if (n->pending_in || n->pending_out) {
        fail(e, "needs_reboot", NULL, "a reboot is pending");
        return;
    }
    e->done_at = w->now + servicing(w, e->node);
    n->servicing_until = e->done_at;
    world_tell(w, TRUTH_INSTALL_BEGIN, e->node, e);
}

static void write_exit(struct json_writer *j, const struct world_effect *e, bool reboot)
{
    jw_int(j, "exit", e->already ? 0 : 3010);
    jw_str(j, "class", e->already ? "already" : "done");
    jw_bool(j, "reboot_required", reboot);
}

static void end_install(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    struct world_node *n = &w->nodes[e->node];

    if (!e->already && n->install_fails) {
        n->install_fails = false;
        fail(e, "failed", "0x800f0922", "the installation failed");
        return;
    }
    if (!e->already) {
        n->has_package = !n->lies;
        n->lies = false;
        n->pending_in = true;
        n->ubr = n->has_package ? WORLD_UBR_NEW : n->ubr; /* before servicing has ended (O37) */
        n->boot_installed = n->boot;
        world_tell(w, TRUTH_INSTALL_END, e->node, e);
    }
    if (n->install_odd) { /* it is in, and yet: */
        n->install_odd = false;
        fail(e, "failed", "0x00000bc3", "an odd code");
        return;
    }
    write_exit(j, e, n->pending_in);
}

static const char *witness_install(const struct sim_world *w, const struct world_effect *e)
{
    const struct world_node *n = &w->nodes[e->node];

    if (n->servicing_until > w->now)
        return "running";
    return n->has_package ? "done" : "not_done";
}

static void begin_uninstall(struct sim_world *w, struct world_effect *e)
{
    struct world_node *n = &w->nodes[e->node];

    if (!n->has_package) {
        e->already = true;
        return;
    }
    if (!w->removable || n->not_removable || n->compliant_at_start || n->ubr > WORLD_UBR_NEW) {
        fail(e, "not_removable", "0x800f0825", "the package cannot be removed");
        return;
    }
    if (n->servicing_until > w->now) {
        fail(e, "busy", NULL, "servicing is in progress");
        return;
    }
    if (n->pending_in || n->pending_out) {
        fail(e, "needs_reboot", NULL, "a reboot is pending");
        return;
    }
    e->done_at = w->now + servicing(w, e->node);
    n->servicing_until = e->done_at;
    world_tell(w, TRUTH_REMOVE_BEGIN, e->node, e);
}

static void end_uninstall(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    struct world_node *n = &w->nodes[e->node];

    if (!e->already) {
        n->has_package = false;
        n->pending_out = true;
        n->ubr = WORLD_UBR_OLD;
        n->boot_installed = n->boot;
        world_tell(w, TRUTH_REMOVE_END, e->node, e);
    }
    write_exit(j, e, n->pending_out);
}

static const char *witness_uninstall(const struct sim_world *w, const struct world_effect *e)
{
    if (w->nodes[e->node].servicing_until > w->now)
        return "running";
    return w->nodes[e->node].has_package ? "not_done" : "done";
}

/* ---- reboot ---- */

static void begin_reboot(struct sim_world *w, struct world_effect *e)
{
    char boot[24];

    e->already = strcmp(world_boot_name(w, e->node, boot), e->text) != 0;
}

static void end_reboot(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    struct world_node *n = &w->nodes[e->node];
    dur_ms away = prng_between(&w->rng, 120, 300) * n->speed_permille + n->boot_extra_ms;

    jw_bool(j, "going", true);
    if (e->already)
        return;
    world_tell(w, TRUTH_REBOOT, e->node, e);
    n->boot_extra_ms = 0;
    e->heard = false;
    world_node_goes_down(w, e->node, n->never_returns ? -1 : away, DOWN_BY_OUR_REBOOT);
}

static const char *witness_reboot(const struct sim_world *w, const struct world_effect *e)
{
    char boot[24];

    return strcmp(world_boot_name(w, e->node, boot), e->text) != 0 ? "done" : "not_done";
}

static void end_bitlocker(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    (void)w;
    (void)e;
    jw_int(j, "volumes", 1);
}

static void begin_setting(struct sim_world *w, struct world_effect *e)
{
    const struct world_cluster *c = &w->clusters[w->nodes[e->node].cluster];

    if (strcmp(e->text, "auto_balancer_mode") != 0)
        fail(e, "not_found", NULL, "no such setting");
    else if (c->balancer != e->number && c->balancer != e->expected)
        fail(e, "refused", NULL, "somebody changed it");
}

static void end_setting(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    struct world_cluster *c = &w->clusters[w->nodes[e->node].cluster];

    jw_int(j, "old", c->balancer);
    if (!done_already(e, c->balancer == (uint32_t)e->number)) {
        c->balancer = (uint32_t)e->number;
        world_tell(w, TRUTH_SETTING, e->node, e);
    }
    jw_int(j, "new", c->balancer);
}

static const char *witness_setting(const struct sim_world *w, const struct world_effect *e)
{
    return w->clusters[w->nodes[e->node].cluster].balancer == (uint32_t)e->number ? "done" : "not_done";
}

/* ---- reads ---- */

#define HANG_MS (15 * MINUTE_MS) /* past any limit */

static void begin_gate(struct sim_world *w, struct world_effect *e)
{
    if (w->nodes[e->node].gate == GATE_FAILS)
        fail(e, "failed", "1722", "the service that could tell does not run");
    else if (w->nodes[e->node].gate == GATE_HANGS)
        e->done_at = w->now + HANG_MS;
}

static void end_removability(struct sim_world *w, struct world_effect *e, struct json_writer *j)
{
    (void)e;
    jw_str(j, "removable", w->removable ? "likely" : "no");
    jw_str(j, "why", "manifest");
    jw_str(j, "predecessor", "26100.4061");
}

static const struct action actions[] = {
    { "facts", false, 100, 400, NULL, NULL, NULL },
    { "vms", false, 100, 400, NULL, NULL, NULL },
    { "gate_facts", false, 100, 600, begin_gate, NULL, NULL },
    { "storage_health", false, 100, 400, NULL, NULL, NULL },
    { "check_empty", false, 100, 400, NULL, NULL, NULL },
    { "verify", false, 500, 2000, NULL, NULL, NULL },
    { "removability", false, 100, 400, NULL, end_removability, NULL },
    { "pause", true, 1000, 4000, begin_pause, end_pause, witness_pause },
    { "resume", true, 1000, 4000, begin_resume, end_resume, witness_resume },
    { "move_vm", true, 500, 1000, begin_move, end_move, witness_move },
    { "move_groups", true, 1000, 8000, NULL, end_groups, witness_groups },
    { "park_vm", true, 5000, 60000, begin_park, end_park, witness_park },
    { "unpark_vm", true, 5000, 30000, begin_unpark, end_unpark, witness_unpark },
    { "checkpoint", true, 1000, 5000, NULL, end_checkpoint, witness_yes },
    { "merge", true, 1000, 5000, NULL, end_merge, witness_yes },
    { "storage_out", true, 1000, 8000, begin_storage_out, end_storage_out, witness_storage_out },
    { "storage_in", true, 1000, 8000, NULL, end_storage_in, witness_storage_in },
    { "stop_vmms", true, 2000, 15000, begin_stop, end_stop, witness_stop },
    { "start_vmms", true, 2000, 15000, NULL, end_start, witness_start },
    { "fetch_package", true, 5000, 60000, NULL, end_fetch, witness_fetch },
    { "install", true, 1000, 2000, begin_install, end_install, witness_install },
    { "uninstall", true, 1000, 2000, begin_uninstall, end_uninstall, witness_uninstall },
    { "reboot", true, 1000, 3000, begin_reboot, end_reboot, witness_reboot },
    { "bitlocker_suspend", true, 500, 1000, NULL, end_bitlocker, witness_yes },
    { "cluster_setting", true, 500, 1500, begin_setting, end_setting, witness_setting },
};
#define ACTIONS (sizeof actions / sizeof actions[0])

static uint32_t action_find(const char *name)
{
    for (uint32_t i = 0; i < ACTIONS; i++)
        if (actions[i].name[0] == name[0] && strcmp(actions[i].name, name) == 0)
            return i;
    return WORLD_NONE;
}

static void copy_text(char *out, size_t size, const char *text)
{
    size_t len = strlen(text);

    len = len < size - 1 ? len : size - 1;
    memcpy(out, text, len);
    out[len] = '\0';
}

static void read_args(const struct sim_world *w, struct world_effect *e, const json *args)
{
    const json *package = json_get(args, "package");
    static const char *const texts[] = { "method", "form", "boot_id", "type", "name" };

    e->vm = world_vm_find(w, json_get_str(args, "vm", ""));
    e->to = world_node_find(w, json_get_str(args, "to", ""));
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (json_get_str(args, texts[i], NULL) != NULL)
            copy_text(e->text, sizeof e->text, json_get_str(args, texts[i], ""));
    copy_text(e->sha256, sizeof e->sha256, json_get_str(package, "sha256", ""));
    copy_text(e->kb, sizeof e->kb, json_get_str(package, "kb", ""));
    e->flag = json_get_bool(args, "found_ours", false);
    e->number =
        json_get_int(args, "since_ms", json_get_int(args, "value", json_get_int(args, "down_since_ms", 0)));
    e->expected = json_get_int(args, "expected", e->number);
    for (const json *v = json_first(json_get(args, "parked")); v != NULL; v = json_next(v)) {
        uint32_t vm = world_vm_find(w, json_str(v, ""));

        e->parked |= vm == WORLD_NONE ? 0 : (uint64_t)1 << vm;
    }
}

static struct world_effect *effect_slot(struct sim_world *w)
{
    for (uint32_t i = 0; i < WORLD_EFFECTS; i++)
        if (!w->effects[i].used) {
            w->n_effects = i >= w->n_effects ? i + 1 : w->n_effects;
            return &w->effects[i];
        }
    return NULL;
}

uint32_t world_effect_of(const struct sim_world *w, uint32_t node, const char *action, uint32_t vm)
{
    uint32_t a = action_find(action);

    for (uint32_t i = 0; i < w->n_effects; i++)
        if (w->effects[i].used && w->effects[i].node == node && w->effects[i].action == a &&
            !w->effects[i].witness && (vm == WORLD_NONE || w->effects[i].vm == vm))
            return i;
    return WORLD_NONE;
}

uint32_t world_begin(struct sim_world *w, uint32_t node, const char *request, size_t len)
{
    struct json_doc *doc = NULL;
    struct world_effect *e = effect_slot(w);
    const json *root;

    if (e == NULL || json_parse("request", request, len, &doc, NULL) != 0)
        return 0;
    root = json_root(doc);
    *e = (struct world_effect){
        .used = true, .heard = true, .node = node, .begun = w->now, .handle = ++w->next_handle
    };
    e->action = action_find(json_get_str(root, "action", ""));
    if (e->action == WORLD_NONE) {
        e->used = false;
        json_free(doc);
        return 0;
    }
    e->witness = strcmp(json_get_str(root, "mode", ""), "witness") == 0;
    copy_text(e->op, sizeof e->op, json_get_str(root, "op", ""));
    read_args(w, e, json_get(root, "args"));
    json_free(doc);
    e->done_at =
        w->now + (e->witness ? prng_between(&w->rng, 100, 400)
                             : prng_between(&w->rng, actions[e->action].lo_ms, actions[e->action].hi_ms));
    if (!e->witness && actions[e->action].begin != NULL)
        actions[e->action].begin(w, e);
    return e->handle;
}

void world_unhear(struct sim_world *w, uint32_t handle)
{
    for (uint32_t i = 0; i < w->n_effects; i++)
        if (w->effects[i].used && w->effects[i].handle == handle)
            w->effects[i].heard = false;
}

static void answer_error(struct buf *out, const struct world_effect *e)
{
    struct json_writer j;

    buf_reset(out);
    jw_init(&j, out);
    jw_object(&j, NULL);
    jw_object(&j, "error");
    jw_str(&j, "code", e->code);
    jw_str(&j, "message", e->why);
    jw_str(&j, "native", e->native);
    jw_null(&j, "hint");
    jw_object_end(&j);
    jw_object_end(&j);
}

static bool read_answer(struct sim_world *w, const struct world_effect *e, struct buf *out)
{
    const char *name = actions[e->action].name;

    if (strcmp(name, "facts") == 0)
        world_write_facts(w, e->node, out);
    else if (strcmp(name, "vms") == 0 && w->nodes[e->node].vmms)
        world_write_vms(w, e->node, out);
    else if (strcmp(name, "gate_facts") == 0)
        world_write_gate(w, e->node, e->text, e->number, out);
    else if (strcmp(name, "storage_health") == 0)
        world_write_storage(w, e->node, out);
    else if (strcmp(name, "check_empty") == 0)
        world_write_empty(w, e->node, e->text, e->parked, out);
    else if (strcmp(name, "verify") == 0)
        world_write_verify(w, e->node, out);
    else
        return false;
    return true;
}

static void answer_witness(struct sim_world *w, const struct world_effect *e, struct buf *out)
{
    uint32_t running = world_effect_of(w, e->node, actions[e->action].name, e->vm);
    const char *word = running != WORLD_NONE ? "running" : actions[e->action].witness(w, e);

    if (actions[e->action].witness == witness_pause && strcmp(word, "done") == 0)
        world_tell(w, TRUTH_PAUSE_WITNESSED, e->node, e);
    buf_printf(out, "{\"witness\":\"%s\",\"evidence\":{}}", word);
}

static void answer_run(struct sim_world *w, struct world_effect *e, struct buf *out)
{
    struct json_writer j;

    buf_reset(&w->scratch);
    jw_init(&j, out);
    jw_object(&j, NULL);
    jw_object(&j, "result");
    if (e->code == NULL)
        actions[e->action].end(w, e, &j);
    if (e->already)
        jw_bool(&j, "already", true);
    jw_object_end(&j);
    if (w->scratch.len > 0)
        jw_raw(&j, "downtime", buf_text(&w->scratch));
    jw_object_end(&j);
}

void world_effect_end(struct sim_world *w, struct world_effect *e)
{
    struct buf out = BUF_INIT;

    if (e->witness) {
        answer_witness(w, e, &out);
    } else if (!actions[e->action].effect && actions[e->action].end == NULL) {
        buf_str(&out, "{\"result\":");
        if (e->code == NULL && !read_answer(w, e, &out))
            fail(e, "busy", NULL, "the virtual machine management service does not answer");
        buf_char(&out, '}');
    } else {
        answer_run(w, e, &out);
    }
    if (e->code != NULL)
        answer_error(&out, e);
    if (e->heard)
        w->hooks.on_answer(w->hooks.arg, e->handle, buf_text(&out), out.len);
    buf_clear(&out);
}
