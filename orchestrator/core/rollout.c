#include "orchestrator/core/rollout.h"

#include "orchestrator/core/fields.h"
#include "orchestrator/core/inventory_names.h"
#include "orchestrator/core/rollout_names.h"
#include "schema/ids.h"
#include "schema/sha256.h"

#include <stdlib.h>
#include <string.h>

#define WAVE_NODES_MAX 1000000

static void *nomem(struct fields *f)
{
    if (f->rc == 0)
        f->rc = err_set(f->err, ERR_NOMEM, "read rollout");
    return NULL;
}

/* A file's base name and digest, of the target or of a checkpoint package. */
static void read_file(struct fields *f, const json *o, const char **file, const char **sha256, uint64_t *size)
{
    *file = fields_str(f, o, "file", JSON_REQUIRED);
    if (*file != NULL && (strpbrk(*file, "/\\") != NULL || **file == '\0' || **file == '.'))
        fields_fault(f, json_get(o, "file"), "must be a file's base name");
    *sha256 = fields_str(f, o, "sha256", JSON_REQUIRED);
    if (*sha256 != NULL &&
        (strlen(*sha256) != SHA256_TEXT - 1 || strspn(*sha256, "0123456789abcdef") != SHA256_TEXT - 1))
        fields_fault(f, json_get(o, "sha256"), "must be 64 hex digits in lower case");
    *size = (uint64_t)fields_int(f, o, "size_bytes", JSON_REQUIRED, 1, INT64_MAX, 1);
}

static void read_checkpoints(struct fields *f, const json *o, struct patch *p)
{
    static const char *const known[] = { "file", "sha256", "size_bytes", NULL };
    const json *list = fields_array(f, o, "checkpoints", JSON_OPTIONAL);
    struct checkpoint *items = fields_items(f, list, sizeof *items, &p->n_checkpoints);
    uint32_t n = 0;

    if (p->n_checkpoints > CHECKPOINTS_MAX)
        fields_fault(f, list, "are more checkpoint packages than there can be");
    for (const json *v = json_first(list); f->rc == 0 && n < p->n_checkpoints; v = json_next(v), n++) {
        fields_known(f, v, known);
        read_file(f, v, &items[n].file, &items[n].sha256, &items[n].size_bytes);
        if (f->rc == 0 && strcmp(items[n].file, p->file) == 0)
            fields_fault(f, v, "is named like the target: they lie in one folder");
    }
    p->checkpoints = items;
}

static void read_patch(struct fields *f, const json *root, struct patch *p)
{
    static const char *const known[] = { "kb",     "file", "sha256",      "size_bytes", "target",
                                         "reboot", "tool", "checkpoints", NULL };
    const json *o = fields_object(f, root, "patch", JSON_REQUIRED);
    const char *target;

    if (o == NULL)
        return;
    fields_known(f, o, known);
    p->kb = fields_str(f, o, "kb", JSON_REQUIRED);
    read_file(f, o, &p->file, &p->sha256, &p->size_bytes);
    target = fields_str(f, o, "target", JSON_REQUIRED);
    if (target != NULL && build_parse(target, &p->target, NULL) != 0)
        fields_fault(f, json_get(o, "target"), "must be a build such as \"26100.4066\"");
    p->reboot =
        (enum reboot_policy)fields_enum(f, o, "reboot", JSON_OPTIONAL, FIELDS_NAMES(reboot_policy_names), 0);
    p->tool = patch_tool_names[fields_enum(f, o, "tool", JSON_OPTIONAL, FIELDS_NAMES(patch_tool_names), 0)];
    read_checkpoints(f, o, p);
    if (p->n_checkpoints > 0 && strcmp(p->tool, "dism") != 0)
        fields_fault(f, json_get(o, "checkpoints"), "need dism: wusa takes one package");
}

static void read_scope(struct fields *f, const json *root, struct rollout *r)
{
    static const char *const known[] = { "clusters", "nodes", "exclude", NULL };
    const json *o = fields_object(f, root, "scope", JSON_OPTIONAL);

    if (o == NULL)
        return;
    fields_known(f, o, known);
    r->clusters = fields_strings(f, o, "clusters", JSON_OPTIONAL, &r->n_clusters);
    r->nodes = fields_strings(f, o, "nodes", JSON_OPTIONAL, &r->n_nodes);
    r->exclude = fields_strings(f, o, "exclude", JSON_OPTIONAL, &r->n_exclude);
}

/* "33%": one to three digits and the sign, 1 to 100. */
static bool read_percent(const char *text, uint32_t *ret)
{
    uint32_t value = 0;
    unsigned digits = 0;

    while (digits < 3 && text[digits] >= '0' && text[digits] <= '9')
        value = value * 10 + (uint32_t)(text[digits++] - '0');
    *ret = value;
    return digits > 0 && strcmp(text + digits, "%") == 0 && value >= 1 && value <= 100;
}

static void read_wave(struct fields *f, const json *v, struct wave_entry *w)
{
    w->percent = json_is_string(v);
    if (w->percent) {
        if (!read_percent(json_str(v, ""), &w->number))
            fields_fault(f, v, "a wave in per cent must be from \"1%\" to \"100%\"");
    } else if (json_is_int(v) && json_int(v, 0) >= 1 && json_int(v, 0) <= WAVE_NODES_MAX) {
        w->number = (uint32_t)json_int(v, 0);
    } else {
        fields_fault(f, v, "a wave must be a number of nodes from 1, or a text such as \"25%\"");
    }
}

static void read_waves(struct fields *f, const json *root, struct rollout *r)
{
    const json *list = fields_array(f, root, "waves", JSON_REQUIRED);
    uint32_t n = 0;

    if (list == NULL)
        return;
    if (json_count(list) == 0) {
        fields_fault(f, list, "must name at least one wave");
        return;
    }
    r->waves = ARENA_ARRAY(f->arena, struct wave_entry, json_count(list));
    if (r->waves == NULL) {
        nomem(f);
        return;
    }
    for (const json *v = json_first(list); v != NULL && f->rc == 0; v = json_next(v))
        read_wave(f, v, &r->waves[n++]);
    r->n_waves = n;
}

static const struct gate gate_defaults[GATE_TYPES] = {
    [GATE_TIME_SYNC] = { .scope = SCOPE_NODE, .when = GATE_AFTER },
    [GATE_BACKUP_AGENT] = { .scope = SCOPE_NODE, .when = GATE_BOTH },
    [GATE_CLUSTER_HEALTH] = { .scope = SCOPE_CLUSTER, .when = GATE_BOTH },
    [GATE_VM_HEARTBEAT] = { .scope = SCOPE_WAVE, .when = GATE_BOTH },
    [GATE_MANUAL] = { .scope = SCOPE_WAVE, .when = GATE_AFTER },
};

_Static_assert(GATE_TYPES == 5, "the refusal below names them all");
static enum gate_type read_gate_type(struct fields *f, const json *o)
{
    const char *text = fields_str(f, o, "type", JSON_REQUIRED);

    if (text == NULL)
        return GATE_MANUAL;
    for (int i = 0; i < GATE_TYPES; i++)
        if (strcmp(gate_type_names[i], text) == 0)
            return (enum gate_type)i;
    f->rc = json_fault(f->doc, json_get(o, "type"), f->err,
                       "the gate type `%s` is not built into this program, which knows %s, %s, %s, %s and %s",
                       text, gate_type_names[0], gate_type_names[1], gate_type_names[2], gate_type_names[3],
                       gate_type_names[4]);
    return GATE_MANUAL;
}

static void read_gate(struct fields *f, const json *o, struct gate *g)
{
    static const char *const known[] = {
        "name", "type",          "scope",         "when",    "on_fail",       "interval",    "samples",
        "soak", "failure_limit", "unknown_limit", "max_age", "offset_max_ms", "stratum_max", NULL
    };
    enum gate_type type = read_gate_type(f, o);
    const struct gate *d = &gate_defaults[type];

    fields_known(f, o, known);
    g->type = type;
    g->name = fields_str(f, o, "name", JSON_OPTIONAL);
    if (g->name == NULL)
        g->name = gate_type_names[type];
    else if (!id_is_name(g->name))
        fields_fault(f, json_get(o, "name"), "must be a name");
    g->scope = (enum gate_scope)fields_enum(f, o, "scope", JSON_OPTIONAL, FIELDS_NAMES(gate_scope_names),
                                            (int)d->scope);
    g->when =
        (enum gate_when)fields_enum(f, o, "when", JSON_OPTIONAL, FIELDS_NAMES(gate_when_names), (int)d->when);
    g->on_fail =
        (enum gate_on_fail)fields_enum(f, o, "on_fail", JSON_OPTIONAL, FIELDS_NAMES(gate_on_fail_names), 0);
    g->interval_ms = fields_dur(f, o, "interval", JSON_OPTIONAL, 30 * SECOND_MS);
    g->soak_ms = fields_dur(f, o, "soak", JSON_OPTIONAL, type == GATE_MANUAL ? 0 : 5 * MINUTE_MS);
    g->max_age_ms = fields_dur(f, o, "max_age", JSON_OPTIONAL, 2 * MINUTE_MS);
    g->samples = (uint32_t)fields_int(f, o, "samples", JSON_OPTIONAL, 1, 10000, type == GATE_MANUAL ? 1 : 3);
    g->failure_limit = fields_u32(f, o, "failure_limit", JSON_OPTIONAL, 10000, 0);
    g->unknown_limit = fields_u32(f, o, "unknown_limit", JSON_OPTIONAL, 10000, 3);
    g->offset_max_ms = fields_int(f, o, "offset_max_ms", JSON_OPTIONAL, 1, DAY_MS, 1000);
    g->stratum_max = (uint32_t)fields_int(f, o, "stratum_max", JSON_OPTIONAL, 1, 15, 10);
    if (f->rc == 0 && g->interval_ms < SECOND_MS)
        fields_fault(f, json_get(o, "interval"), "must be at least 1s");
}

static void read_gates(struct fields *f, const json *root, struct rollout *r)
{
    const json *list = fields_array(f, root, "gates", JSON_REQUIRED);
    uint32_t n = 0, count;

    r->gates = fields_items(f, list, sizeof *r->gates, &count);
    for (const json *v = json_first(list); n < count; v = json_next(v), n++) {
        read_gate(f, v, &r->gates[n]);
        for (uint32_t i = 0; i < n && f->rc == 0; i++)
            if (strcmp(r->gates[i].name, r->gates[n].name) == 0)
                fields_fault(f, v, "two gates have the same name");
    }
    r->n_gates = f->rc == 0 ? n : 0;
}

static struct span *read_spans(struct fields *f, const json *root, const char *key, uint32_t *ret_n)
{
    static const char *const known[] = { "from", "to", NULL };
    const json *list = fields_array(f, root, key, JSON_OPTIONAL);
    struct span *spans = fields_items(f, list, sizeof *spans, ret_n);
    uint32_t n = 0;

    for (const json *v = json_first(list); spans != NULL && v != NULL; v = json_next(v), n++) {
        fields_known(f, v, known);
        spans[n].from = fields_time(f, v, "from", JSON_REQUIRED, 0);
        spans[n].to = fields_time(f, v, "to", JSON_REQUIRED, 0);
        if (f->rc == 0 && spans[n].to <= spans[n].from)
            fields_fault(f, v, "must end after it begins");
    }
    return spans;
}

static int consent_order(const void *a, const void *b)
{
    return strcmp(((const struct consent *)a)->vm, ((const struct consent *)b)->vm);
}

static void read_consents(struct fields *f, const json *root, struct rollout *r)
{
    static const char *const known[] = { "vm", "person", "ticket", "method", "checkpoint", "expires", NULL };
    const json *list = fields_array(f, root, "consents", JSON_OPTIONAL);
    uint32_t n = 0;

    r->consents = fields_items(f, list, sizeof *r->consents, &r->n_consents);
    for (const json *v = json_first(list); n < r->n_consents; v = json_next(v)) {
        struct consent *c = &r->consents[n++];

        fields_known(f, v, known);
        c->vm = fields_str(f, v, "vm", JSON_REQUIRED);
        if (c->vm != NULL && !id_is_guid(c->vm))
            fields_fault(f, json_get(v, "vm"), "must be a VM's GUID in lower case");
        c->person = fields_str(f, v, "person", JSON_REQUIRED);
        c->ticket = fields_str(f, v, "ticket", JSON_REQUIRED);
        c->method = (enum park_method)fields_enum(
            f, v, "method", JSON_OPTIONAL, FIELDS_NAMES(park_method_names), (int)r->policy.park_default);
        c->checkpoint = fields_bool(f, v, "checkpoint", JSON_OPTIONAL, false);
        c->expires = fields_time(f, v, "expires", JSON_REQUIRED, 0);
    }
    if (f->rc != 0 || n == 0)
        return;
    qsort(r->consents, n, sizeof *r->consents, consent_order);
    for (uint32_t i = 1; i < n; i++)
        if (strcmp(r->consents[i - 1].vm, r->consents[i].vm) == 0)
            fields_fault(f, list, "has two consents for one VM");
}

static void read_waiver(struct fields *f, const json *o, struct waiver *w)
{
    static const char *const known[] = { "what", "cluster", "person", "ticket", NULL };
    const struct waiver_kind *kind = NULL;

    fields_known(f, o, known);
    w->what = fields_str(f, o, "what", JSON_REQUIRED);
    w->cluster = fields_str(f, o, "cluster", JSON_OPTIONAL);
    w->person = fields_str(f, o, "person", JSON_REQUIRED);
    w->ticket = fields_str(f, o, "ticket", JSON_REQUIRED);
    if (f->rc != 0)
        return;
    for (unsigned i = 0; i < sizeof waiver_kinds / sizeof *waiver_kinds; i++)
        if (strcmp(waiver_kinds[i].what, w->what) == 0)
            kind = &waiver_kinds[i];
    if (kind == NULL)
        fields_fault(f, json_get(o, "what"), "is not something that can be waived");
    else if (kind->names_cluster && w->cluster == NULL)
        fields_fault(f, o, "this waiver must name its cluster");
}

static void read_waivers(struct fields *f, const json *root, struct rollout *r)
{
    const json *list = fields_array(f, root, "waivers", JSON_OPTIONAL);
    uint32_t n = 0;

    r->waivers = fields_items(f, list, sizeof *r->waivers, &r->n_waivers);
    for (const json *v = json_first(list); n < r->n_waivers; v = json_next(v))
        read_waiver(f, v, &r->waivers[n++]);
}

/* O18, O19: the balancer rests by default; anything else only because the plan says so. */
static void read_settings(struct fields *f, const json *o, struct rollout *r)
{
    r->policy.settings[SETTING_BALANCER].wanted =
        fields_enum(f, o, "balancer", JSON_OPTIONAL, FIELDS_NAMES(balancer_names), 0) == 0;
    r->policy.settings[SETTING_MOVE_TYPE].value =
        fields_u32(f, o, "move_type_threshold", JSON_OPTIONAL, 1000000000, 0);
    r->policy.settings[SETTING_MIGRATIONS].value =
        (uint32_t)fields_int(f, o, "max_parallel_migrations", JSON_OPTIONAL, 1, 100, 1);
    for (int s = SETTING_MOVE_TYPE; s < CLUSTER_SETTINGS; s++)
        r->policy.settings[s].wanted = json_get(o, cluster_setting_names[s]) != NULL;
}

static void read_policy(struct fields *f, const json *root, struct rollout *r)
{
    static const char *const known[] = { "failures_per_wave",
                                         "failures_per_run",
                                         "deviations_max",
                                         "max_out_fleet",
                                         "moves_per_vm",
                                         "rollback_moves_per_vm",
                                         "evidence_percent",
                                         "evidence_vms_min",
                                         "stop_vmms",
                                         "rehearse",
                                         "planner_may_approve",
                                         "bitlocker_suspend",
                                         "rollback",
                                         "pending_reboot",
                                         "park_default",
                                         "reserve_min",
                                         "fresh",
                                         "unreachable",
                                         "timeout_factor",
                                         "attempts_max",
                                         "balancer",
                                         "move_type_threshold",
                                         "max_parallel_migrations",
                                         NULL };
    const json *o = fields_object(f, root, "policy", JSON_OPTIONAL);
    const enum json_need opt = JSON_OPTIONAL;

    if (o != NULL)
        fields_known(f, o, known);
    r->policy.failures_per_wave = fields_u32(f, o, "failures_per_wave", opt, 10000, 1);
    r->policy.failures_per_run = fields_u32(f, o, "failures_per_run", opt, 10000, 3);
    r->policy.deviations_max = fields_u32(f, o, "deviations_max", opt, 1000000, 50);
    r->policy.max_out_fleet = (uint32_t)fields_int(f, o, "max_out_fleet", opt, 1, 10000, 12);
    r->policy.moves_per_vm = (uint32_t)fields_int(f, o, "moves_per_vm", opt, 1, 1000, 2);
    r->policy.rollback_moves_per_vm = fields_u32(f, o, "rollback_moves_per_vm", opt, 1000, 2);
    r->policy.evidence_percent = fields_u32(f, o, "evidence_percent", opt, 100, 10);
    r->policy.evidence_vms_min = fields_u32(f, o, "evidence_vms_min", opt, 1000, 2);
    r->policy.stop_vmms = fields_bool(f, o, "stop_vmms", opt, true);
    r->policy.rehearse = fields_bool(f, o, "rehearse", opt, false);
    r->policy.planner_may_approve = fields_bool(f, o, "planner_may_approve", opt, false);
    r->policy.bitlocker_suspend = fields_bool(f, o, "bitlocker_suspend", opt, false);
    r->policy.rollback = (enum rollback_policy)fields_enum(
        f, o, "rollback", opt, FIELDS_NAMES(rollback_policy_names), ROLLBACK_WAVE);
    r->policy.pending = (enum pending_policy)fields_enum(f, o, "pending_reboot", opt,
                                                         FIELDS_NAMES(pending_policy_names), PENDING_REFUSE);
    r->policy.park_default = (enum park_method)fields_enum(f, o, "park_default", opt,
                                                           FIELDS_NAMES(park_method_names), PARK_SHUTDOWN);
    r->policy.reserve_min = (enum reserve_rung)fields_enum(f, o, "reserve_min", opt,
                                                           FIELDS_NAMES(reserve_rung_names), RESERVE_FULL);
    r->policy.fresh_ms = fields_dur(f, o, "fresh", opt, 2 * MINUTE_MS);
    r->policy.unreachable_ms = fields_dur(f, o, "unreachable", opt, 5 * MINUTE_MS);
    r->policy.timeout_factor = (uint32_t)fields_int(f, o, "timeout_factor", opt, 1, 100, 3);
    r->policy.attempts_max = (uint32_t)fields_int(f, o, "attempts_max", opt, 1, 100, 2);
    read_settings(f, o, r);
}

static void read_all(struct fields *f, const json *root, struct rollout *r)
{
    static const char *const known[] = { "$schema", "version", "name",    "patch",   "scope",
                                         "waves",   "gates",   "windows", "freezes", "consents",
                                         "waivers", "policy",  NULL };

    fields_known(f, root, known);
    fields_int(f, root, "version", JSON_REQUIRED, 1, 1, 1);
    r->name = fields_str(f, root, "name", JSON_REQUIRED);
    if (r->name != NULL && !id_is_name(r->name))
        fields_fault(f, json_get(root, "name"), "must be a name");
    read_policy(f, root, r);
    read_patch(f, root, &r->patch);
    read_scope(f, root, r);
    read_waves(f, root, r);
    read_gates(f, root, r);
    r->windows = read_spans(f, root, "windows", &r->n_windows);
    r->freezes = read_spans(f, root, "freezes", &r->n_freezes);
    read_consents(f, root, r);
    read_waivers(f, root, r);
}

int rollout_read(const struct json_doc *doc, struct rollout **ret_rollout, struct err *err)
{
    return rollout_read_value(doc, json_root(doc), ret_rollout, err);
}

int rollout_read_value(const struct json_doc *doc, const json *value, struct rollout **ret_rollout,
                       struct err *err)
{
    struct rollout *r = calloc(1, sizeof *r);
    struct fields f = { doc, NULL, err, 0 };

    if (r == NULL)
        return err_set(err, ERR_NOMEM, "read rollout");
    f.arena = &r->arena;
    if (!json_is_object(value))
        fields_fault(&f, value, "a rollout must be an object");
    else
        read_all(&f, value, r);
    if (f.rc != 0) {
        rollout_free(r);
        return f.rc;
    }
    *ret_rollout = r;
    return 0;
}

void rollout_free(struct rollout *r)
{
    if (r == NULL)
        return;
    arena_clear(&r->arena);
    free(r);
}
