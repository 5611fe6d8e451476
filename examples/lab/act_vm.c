/* Actions on one VM: move, park, unpark, checkpoint, merge. */
#include "examples/lab/ask.h"

#include <string.h>

/* --- move_vm --- */

/* Event 20415 tells the blackout in tenths of a second; when it is not there,
 * the worker's own summary (22509) does. */
static void blackout_row(struct ask *a)
{
    const struct world_vm *v = ask_vm(a);
    dur_ms told = (v->blackout_ms + 50) / 100 * 100;

    ask_add_row(a, "vm", v->id, "blackout", v->blackout_end - told, v->blackout_end,
                v->blackout_logged ? "event 20415" : "event 22509");
}

static bool moved(struct ask *a)
{
    const struct world_vm *v = ask_vm(a);
    bool live = v->move_how == MOVE_LIVE;

    if (live)
        blackout_row(a);
    else
        ask_add_row(a, "vm", v->id, "quick", v->move_from, v->move_until, "state change");
    ask_result(a);
    jw_int(&a->jw, "blackout_ms", live ? (v->blackout_ms + 50) / 100 * 100 : v->move_until - v->move_from);
    jw_int(&a->jw, "duration_ms", v->move_until - v->move_from);
    return ask_finish(a);
}

static void tell_progress(struct ask *a, time_ms from, time_ms until)
{
    if (until > from && a->w->now >= from)
        a->percent = (int32_t)((a->w->now - from) * 100 / (until - from + 1));
}

static bool on_move(struct ask *a)
{
    const struct world_vm *v = ask_vm(a);

    if ((int64_t)v->moves == a->mark) {
        if (v->move_running)
            tell_progress(a, v->move_from, v->move_until);
        return false;
    }
    if (v->move_error[0] != 0)
        return ask_error(a, "failed", v->move_error, "the migration of the virtual machine failed");
    return moved(a);
}

static bool witness_move(struct ask *a, uint32_t to)
{
    const struct world_vm *v = ask_vm(a);

    if (v->move_to != WORLD_NONE)
        return ask_witness(a, v->move_to == to ? "running" : "cannot_tell");
    if (v->node != to)
        return ask_witness(a, "not_done");
    if (v->moves > 0 && v->move_error[0] == 0 && v->move_how == MOVE_LIVE)
        blackout_row(a);
    else if (v->moves > 0 && v->move_error[0] == 0)
        ask_add_row(a, "vm", v->id, "quick", v->move_from, v->move_until, "state change");
    return ask_witness(a, "done");
}

bool act_move_vm(struct ask *a)
{
    const char *method = json_get_str(a->args, "method", "live");
    uint32_t to = world_node_by_id(a->w, json_get_str(a->args, "to", ""));
    struct refusal r;

    if (strcmp(method, "live") != 0 && strcmp(method, "quick") != 0)
        return ask_error(a, "bad_request", NULL, "`method` must be live or quick");
    if (json_get_str(a->args, "to", NULL) == NULL)
        return ask_error(a, "bad_request", NULL, "`to` is missing");
    if (!world_in_cluster(a->w, to, ask_vm(a)->cluster))
        return ask_error(a, "not_found", "0x8007139a", "the cluster has no such node");
    if (a->witness)
        return witness_move(a, to);
    if (ask_vm(a)->node == to)
        return ask_already(a);
    if (ask_vm(a)->node != a->node)
        return ask_error(a, "not_found", "0x80070490", "the virtual machine is not on this node");
    a->mark = ask_vm(a)->moves;
    if (world_move(a->w, a->vm, to, strcmp(method, "quick") == 0 ? MOVE_QUICK : MOVE_LIVE, &r) != 0)
        return ask_refused(a, &r);
    return ask_wait(a, on_move);
}

/* --- park_vm, unpark_vm --- */

static void stopped_row(struct ask *a, time_ms from, time_ms end)
{
    const struct world_vm *v = ask_vm(a);

    ask_add_row(a, "vm", v->id, world_cause_text(v->stop_cause), from, end, "state change");
}

static bool is_parked(const struct world_vm *v)
{
    return v->state == VM_OFF || v->state == VM_SAVED;
}

static bool on_parked(struct ask *a)
{
    if (!is_parked(ask_vm(a)))
        return false;
    stopped_row(a, ask_vm(a)->stop_asked_ms, -1);
    return ask_state(a, world_vm_state_text(ask_vm(a)->state), false);
}

static enum stop_how park_method(const struct ask *a)
{
    return strcmp(json_get_str(a->args, "method", ""), "save") == 0 ? STOP_SAVE : STOP_SHUTDOWN;
}

static bool stop_it(struct ask *a)
{
    struct refusal r;

    if (world_vm_stop(a->w, a->vm, park_method(a), &r) != 0)
        return ask_refused(a, &r);
    return ask_wait(a, on_parked);
}

static bool on_park_checkpoint(struct ask *a)
{
    return ask_vm(a)->busy[0] == 0 ? stop_it(a) : false;
}

static bool witness_park(struct ask *a)
{
    const struct world_vm *v = ask_vm(a);

    if (v->state == VM_STOPPING || v->state == VM_SAVING || strcmp(v->busy, "checkpoint") == 0)
        return ask_witness(a, "running");
    if (!is_parked(v))
        return ask_witness(a, "not_done");
    stopped_row(a, v->stop_asked_ms, -1);
    return ask_witness(a, "done");
}

bool act_park_vm(struct ask *a)
{
    const char *method = json_get_str(a->args, "method", "");
    struct refusal r;

    if (strcmp(method, "shutdown") != 0 && strcmp(method, "save") != 0)
        return ask_error(a, "bad_request", NULL, "`method` must be shutdown or save");
    if (a->witness)
        return witness_park(a);
    if (is_parked(ask_vm(a)))
        return ask_state(a, world_vm_state_text(ask_vm(a)->state), true);
    if (ask_vm(a)->node != a->node)
        return ask_error(a, "not_found", "0x80070490", "the virtual machine is not on this node");
    if (!json_get_bool(a->args, "checkpoint", false))
        return stop_it(a);
    if (world_vm_checkpoint(a->w, a->vm, &r) != 0)
        return ask_refused(a, &r);
    return ask_wait(a, on_park_checkpoint);
}

/* The stop that ended with the last start; none if it never was down. */
static void started_row(struct ask *a)
{
    const struct world_vm *v = ask_vm(a);
    time_ms since = json_get_int(a->args, "down_since_ms", v->stop_asked_ms);

    if (v->stop_asked_ms > 0 && v->running_ms > v->stop_asked_ms)
        stopped_row(a, since > 0 ? since : v->stop_asked_ms, v->running_ms);
}

static bool on_unparked(struct ask *a)
{
    if (ask_vm(a)->state != VM_RUNNING)
        return false;
    started_row(a);
    return ask_state(a, "running", false);
}

/* Its group left while it was off (O4): it starts on the node that is asked. */
static void come_home(struct ask *a)
{
    struct refusal r;

    if (ask_vm(a)->clustered && ask_vm(a)->node != a->node && !world_vm_active(ask_vm(a)))
        (void)world_vm_group_move(a->w, a->vm, a->node, &r);
}

bool act_unpark_vm(struct ask *a)
{
    const struct world_vm *v = ask_vm(a);
    struct refusal r;

    if (v->state == VM_RUNNING || v->state == VM_MIGRATING) {
        started_row(a);
        return a->witness ? ask_witness(a, "done") : ask_state(a, "running", true);
    }
    if (a->witness)
        return ask_witness(a, v->state == VM_STARTING ? "running" : "not_done");
    come_home(a);
    if (world_vm_start(a->w, a->vm, &r) != 0)
        return ask_refused(a, &r);
    return ask_wait(a, on_unparked);
}

/* --- checkpoint, merge --- */

static bool on_checkpointed(struct ask *a)
{
    if (ask_vm(a)->busy[0] != 0)
        return false;
    ask_result(a);
    jw_str(&a->jw, "checkpoint", ask_vm(a)->checkpoint);
    if (a->mark != 0)
        jw_bool(&a->jw, "already", true);
    return ask_finish(a);
}

bool act_checkpoint(struct ask *a)
{
    struct refusal r;

    if (a->witness)
        return ask_witness(a, ask_vm(a)->checkpoint[0] != 0                ? "done"
                              : strcmp(ask_vm(a)->busy, "checkpoint") == 0 ? "running"
                                                                           : "not_done");
    a->mark = ask_vm(a)->checkpoint[0] != 0;
    if (world_vm_checkpoint(a->w, a->vm, &r) != 0)
        return ask_refused(a, &r);
    return ask_wait(a, on_checkpointed);
}

static bool on_merged_away(struct ask *a)
{
    if (ask_vm(a)->checkpoint[0] != 0)
        return false;
    ask_result(a);
    jw_bool(&a->jw, "merged", true);
    if (a->mark != 0)
        jw_bool(&a->jw, "already", true);
    return ask_finish(a);
}

bool act_merge(struct ask *a)
{
    struct refusal r;

    if (a->witness)
        return ask_witness(a, ask_vm(a)->checkpoint[0] == 0           ? "done"
                              : strcmp(ask_vm(a)->busy, "merge") == 0 ? "running"
                                                                      : "not_done");
    a->mark = ask_vm(a)->checkpoint[0] == 0;
    if (world_vm_merge(a->w, a->vm, &r) != 0)
        return ask_refused(a, &r);
    return ask_wait(a, on_merged_away);
}
