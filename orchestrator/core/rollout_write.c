#include "orchestrator/core/inventory_names.h"
#include "orchestrator/core/rollout_names.h"
#include "orchestrator/core/vm_json.h"
#include "schema/buf.h"

const char *const gate_type_names[GATE_TYPES] = { "time_sync", "backup_agent", "cluster_health",
                                                  "vm_heartbeat", "manual" };
const char *const gate_scope_names[3] = { "node", "cluster", "wave" };
const char *const gate_when_names[4] = { "never", "before", "after", "both" };
const char *const gate_on_fail_names[2] = { "halt", "rollback" };
const char *const rollback_policy_names[3] = { "wave", "run", "none" };
const char *const reboot_policy_names[2] = { "always", "if_required" };
const char *const pending_policy_names[2] = { "refuse", "reboot_first" };
const char *const park_method_names[2] = { "shutdown", "save" };
const char *const patch_tool_names[2] = { "dism", "wusa" };
const char *const balancer_names[2] = { "off", "keep" };
const char *const cluster_setting_names[CLUSTER_SETTINGS] = { "auto_balancer_mode", "move_type_threshold",
                                                              "max_parallel_migrations" };
const struct waiver_kind waiver_kinds[5] = {
    { "reserve_none", true },       { "reserve_protected", true },        { "s2d_rack", true },
    { "rollback_unproved", false }, { "rollback_outside_window", false },
};

const char *gate_type_name(enum gate_type t)
{
    return gate_type_names[t];
}

const char *park_method_name(enum park_method m)
{
    return park_method_names[m];
}

const char *cluster_setting_name(enum cluster_setting s)
{
    return cluster_setting_names[s];
}

static void write_dur(struct json_writer *w, const char *key, dur_ms d)
{
    char text[32]; /* no buffer that could fail unseen: the plan's hash is over this */

    text_into(text, sizeof text, "%lldms", (long long)d);
    jw_str(w, key, text);
}

static void write_time(struct json_writer *w, const char *key, time_ms at)
{
    char text[TIME_TEXT_MAX];

    jw_str(w, key, time_text(at, text));
}

void rollout_write_checkpoints(struct json_writer *w, const struct patch *p)
{
    if (p->n_checkpoints == 0)
        return;
    jw_array(w, "checkpoints");
    for (uint32_t i = 0; i < p->n_checkpoints; i++) {
        jw_object(w, NULL);
        jw_str(w, "file", p->checkpoints[i].file);
        if (p->checkpoints[i].path != NULL)
            jw_str(w, "path", p->checkpoints[i].path);
        jw_str(w, "sha256", p->checkpoints[i].sha256);
        jw_int(w, "size_bytes", (int64_t)p->checkpoints[i].size_bytes);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_patch(struct json_writer *w, const struct patch *p)
{
    char build[32];

    jw_object(w, "patch");
    jw_str(w, "kb", p->kb);
    jw_str(w, "file", p->file);
    jw_str(w, "sha256", p->sha256);
    jw_int(w, "size_bytes", (int64_t)p->size_bytes);
    jw_str(w, "target", build_text(p->target, build));
    jw_str(w, "reboot", reboot_policy_names[p->reboot]);
    jw_str(w, "tool", p->tool);
    rollout_write_checkpoints(w, p);
    jw_object_end(w);
}

static void write_waves(struct json_writer *w, const struct rollout *r)
{
    char text[16];

    jw_array(w, "waves");
    for (uint32_t i = 0; i < r->n_waves; i++) {
        if (!r->waves[i].percent) {
            jw_int(w, NULL, r->waves[i].number);
            continue;
        }
        text_into(text, sizeof text, "%u%%", r->waves[i].number);
        jw_str(w, NULL, text);
    }
    jw_array_end(w);
}

static void write_gate(struct json_writer *w, const struct gate *g)
{
    jw_object(w, NULL);
    jw_str(w, "name", g->name);
    jw_str(w, "type", gate_type_names[g->type]);
    jw_str(w, "scope", gate_scope_names[g->scope]);
    jw_str(w, "when", gate_when_names[g->when]);
    jw_str(w, "on_fail", gate_on_fail_names[g->on_fail]);
    write_dur(w, "interval", g->interval_ms);
    write_dur(w, "soak", g->soak_ms);
    write_dur(w, "max_age", g->max_age_ms);
    jw_int(w, "samples", g->samples);
    jw_int(w, "failure_limit", g->failure_limit);
    jw_int(w, "unknown_limit", g->unknown_limit);
    jw_int(w, "offset_max_ms", g->offset_max_ms);
    jw_int(w, "stratum_max", g->stratum_max);
    jw_object_end(w);
}

static void write_spans(struct json_writer *w, const char *key, const struct span *spans, uint32_t n)
{
    jw_array(w, key);
    for (uint32_t i = 0; i < n; i++) {
        jw_object(w, NULL);
        write_time(w, "from", spans[i].from);
        write_time(w, "to", spans[i].to);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_permissions(struct json_writer *w, const struct rollout *r)
{
    jw_array(w, "consents");
    for (uint32_t i = 0; i < r->n_consents; i++) {
        const struct consent *c = &r->consents[i];

        jw_object(w, NULL);
        jw_str(w, "vm", c->vm);
        jw_str(w, "person", c->person);
        jw_str(w, "ticket", c->ticket);
        jw_str(w, "method", park_method_names[c->method]);
        jw_bool(w, "checkpoint", c->checkpoint);
        write_time(w, "expires", c->expires);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_array(w, "waivers");
    for (uint32_t i = 0; i < r->n_waivers; i++) {
        const struct waiver *x = &r->waivers[i];

        jw_object(w, NULL);
        jw_str(w, "what", x->what);
        if (x->cluster != NULL)
            jw_str(w, "cluster", x->cluster);
        jw_str(w, "person", x->person);
        jw_str(w, "ticket", x->ticket);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_policy(struct json_writer *w, const struct rollout *r)
{
    jw_object(w, "policy");
    jw_int(w, "failures_per_wave", r->policy.failures_per_wave);
    jw_int(w, "failures_per_run", r->policy.failures_per_run);
    jw_int(w, "deviations_max", r->policy.deviations_max);
    jw_int(w, "max_out_fleet", r->policy.max_out_fleet);
    jw_int(w, "moves_per_vm", r->policy.moves_per_vm);
    jw_int(w, "rollback_moves_per_vm", r->policy.rollback_moves_per_vm);
    jw_int(w, "evidence_percent", r->policy.evidence_percent);
    jw_int(w, "evidence_vms_min", r->policy.evidence_vms_min);
    jw_bool(w, "stop_vmms", r->policy.stop_vmms);
    jw_bool(w, "rehearse", r->policy.rehearse);
    jw_bool(w, "planner_may_approve", r->policy.planner_may_approve);
    jw_bool(w, "bitlocker_suspend", r->policy.bitlocker_suspend);
    jw_str(w, "rollback", rollback_policy_names[r->policy.rollback]);
    jw_str(w, "pending_reboot", pending_policy_names[r->policy.pending]);
    jw_str(w, "park_default", park_method_names[r->policy.park_default]);
    jw_str(w, "reserve_min", reserve_rung_names[r->policy.reserve_min]);
    write_dur(w, "fresh", r->policy.fresh_ms);
    write_dur(w, "unreachable", r->policy.unreachable_ms);
    jw_int(w, "timeout_factor", r->policy.timeout_factor);
    jw_int(w, "attempts_max", r->policy.attempts_max);
    jw_str(w, "balancer", balancer_names[!r->policy.settings[SETTING_BALANCER].wanted]);
    for (int s = SETTING_MOVE_TYPE; s < CLUSTER_SETTINGS; s++)
        if (r->policy.settings[s].wanted)
            jw_int(w, cluster_setting_names[s], r->policy.settings[s].value);
    jw_object_end(w);
}

void rollout_write(struct json_writer *w, const char *key, const struct rollout *r)
{
    jw_object(w, key);
    jw_int(w, "version", 1);
    jw_str(w, "name", r->name);
    write_patch(w, &r->patch);
    jw_object(w, "scope");
    vm_write_strings(w, "clusters", r->clusters, r->n_clusters);
    vm_write_strings(w, "nodes", r->nodes, r->n_nodes);
    vm_write_strings(w, "exclude", r->exclude, r->n_exclude);
    jw_object_end(w);
    write_waves(w, r);
    jw_array(w, "gates");
    for (uint32_t i = 0; i < r->n_gates; i++)
        write_gate(w, &r->gates[i]);
    jw_array_end(w);
    write_spans(w, "windows", r->windows, r->n_windows);
    write_spans(w, "freezes", r->freezes, r->n_freezes);
    write_permissions(w, r);
    write_policy(w, r);
    jw_object_end(w);
}
