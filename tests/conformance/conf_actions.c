/* What is known about each action from the contract alone: its arguments, the
 * state it needs, what must come back. */
#include "tests/conformance/conf.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* --- arguments --- */

static void args_none(struct conf_world *w, struct buf *b)
{
    (void)w;
    buf_str(b, "{}");
}

static void args_pause(struct conf_world *w, struct buf *b)
{
    (void)w;
    buf_str(b, "{\"found_ours\":true}");
}

static void args_move(struct conf_world *w, struct buf *b)
{
    buf_printf(b, "{\"vm\":\"%s\",\"to\":\"%s\",\"method\":\"live\"}", w->vm, w->others[0]);
}

static void write_others(struct conf_world *w, struct buf *b)
{
    for (uint32_t i = 0; i < w->n_others; i++)
        buf_printf(b, "%s\"%s\"", i == 0 ? "" : ",", w->others[i]);
}

static void args_groups(struct conf_world *w, struct buf *b)
{
    buf_str(b, "{\"to\":[");
    write_others(w, b);
    buf_str(b, "]}");
}

static void args_park(struct conf_world *w, struct buf *b)
{
    buf_printf(b, "{\"vm\":\"%s\",\"method\":\"shutdown\",\"checkpoint\":false}", w->vm);
}

static void args_unpark(struct conf_world *w, struct buf *b)
{
    buf_printf(b, "{\"vm\":\"%s\",\"method\":\"shutdown\"", w->vm);
    if (w->down_since_ms > 0)
        buf_printf(b, ",\"down_since_ms\":%lld", (long long)w->down_since_ms);
    buf_str(b, "}");
}

static void args_vm(struct conf_world *w, struct buf *b)
{
    buf_printf(b, "{\"vm\":\"%s\"}", w->vm);
}

static void args_parked(struct conf_world *w, struct buf *b)
{
    (void)w;
    buf_str(b, "{\"parked\":[]}");
}

static void args_install(struct conf_world *w, struct buf *b)
{
    buf_str(b, "{\"package\":");
    json_write(b, w->package, true);
    buf_str(b, ",\"tool\":\"dism\",\"parked\":[]}");
}

static void args_uninstall(struct conf_world *w, struct buf *b)
{
    buf_str(b, "{\"package\":");
    json_write(b, w->package, true);
    buf_printf(b, ",\"predecessor\":\"%s\",\"parked\":[]}", w->predecessor);
}

static void args_fetch(struct conf_world *w, struct buf *b)
{
    json_write(b, w->fetch, true);
}

static void args_bitlocker(struct conf_world *w, struct buf *b)
{
    (void)w;
    buf_str(b, "{\"reboots\":1}");
}

static void args_setting(struct conf_world *w, struct buf *b)
{
    buf_printf(b, "{\"name\":\"%s\",\"value\":0}", w->setting);
}

/* As if somebody had changed it since it was looked at (O18). */
static void args_setting_changed(struct conf_world *w, struct buf *b)
{
    buf_printf(b, "{\"name\":\"%s\",\"value\":0,\"expected\":1}", w->setting);
}

/* The boot that is to end: the one that runs when the arguments are made. */
static void args_reboot(struct conf_world *w, struct buf *b)
{
    struct conf_answer a;

    conf_ask(w, "facts", "run", "{}", false, &a);
    buf_printf(b, "{\"boot_id\":\"%s\",\"parked\":[]}", json_get_str(a.result, "boot_id", ""));
    conf_answer_clear(&a);
}

/* --- the table --- */

const struct conf_action conf_actions[] = {
    { .name = "pause", .level = IN_SERVICE, .args = args_pause, .refuse = "refuse-pause" },
    { .name = "resume",
      .level = IN_SERVICE,
      .prior = "pause",
      .args = args_none,
      .refuse = "refuse-resume",
      .undo = true },
    { .name = "move_vm",
      .level = IN_SERVICE,
      .args = args_move,
      .bad_args = "{\"method\":\"teleport\"}",
      .refuse = "refuse-move_vm",
      .cause = "blackout" },
    { .name = "move_groups", .level = PAUSED, .args = args_groups, .bad_args = "{}" },
    { .name = "park_vm",
      .level = IN_SERVICE,
      .args = args_park,
      .bad_args = "{\"method\":\"hypnosis\"}",
      .refuse = "refuse-park_vm",
      .cause = "shut_down" },
    { .name = "unpark_vm",
      .level = IN_SERVICE,
      .prior = "park_vm",
      .args = args_unpark,
      .bad_args = "{}",
      .refuse = "refuse-unpark_vm",
      .cause = "shut_down",
      .undo = true },
    { .name = "checkpoint",
      .level = IN_SERVICE,
      .args = args_vm,
      .bad_args = "{}",
      .refuse = "refuse-checkpoint" },
    { .name = "merge",
      .level = IN_SERVICE,
      .prior = "checkpoint",
      .args = args_vm,
      .bad_args = "{}",
      .undo = true },
    { .name = "storage_out", .level = EMPTIED, .args = args_none, .refuse = "refuse-storage_out" },
    { .name = "storage_in", .level = EMPTIED, .prior = "storage_out", .args = args_none, .undo = true },
    { .name = "stop_vmms",
      .level = DISKS_OUT,
      .args = args_parked,
      .refuse = "refuse-stop_vmms",
      .cause = "vmms_stopped" },
    { .name = "start_vmms",
      .level = DISKS_OUT,
      .prior = "stop_vmms",
      .args = args_none,
      .cause = "vmms_stopped",
      .undo = true },
    { .name = "fetch_package",
      .level = IN_SERVICE,
      .args = args_fetch,
      .bad_args = "{}",
      .refuse = "refuse-fetch_package",
      .keeps_nothing = true },
    { .name = "install",
      .level = VMMS_STOPPED,
      .args = args_install,
      .bad_args = "{}",
      .refuse = "refuse-install" },
    { .name = "uninstall",
      .level = PATCHED_BARE,
      .args = args_uninstall,
      .bad_args = "{}",
      .refuse = "refuse-uninstall",
      .undo = true },
    { .name = "reboot",
      .level = INSTALLED,
      .args = args_reboot,
      .bad_args = "{}",
      .refused_by = "not_empty",
      .may_not_answer = true },
    { .name = "bitlocker_suspend", .level = EMPTIED, .args = args_bitlocker },
    { .name = "cluster_setting",
      .level = IN_SERVICE,
      .args = args_setting,
      .args_refused = args_setting_changed,
      .refused_by = "refused",
      .bad_args = "{}" },
};
const uint32_t conf_n_actions = sizeof conf_actions / sizeof conf_actions[0];

const struct conf_action *conf_action_find(const char *name)
{
    for (uint32_t i = 0; i < conf_n_actions; i++)
        if (strcmp(conf_actions[i].name, name) == 0)
            return &conf_actions[i];
    return NULL;
}

/* --- bringing the node there --- */

const char *conf_settle(struct conf_world *w, const struct conf_action *a, const char *args,
                        struct conf_answer *ret)
{
    for (int i = 0; i < 20000; i++) {
        conf_ask(w, a->name, "witness", args, false, ret);
        if (ret->witness[0] != 0 && strcmp(ret->witness, "running") != 0)
            return ret->witness;
        conf_answer_clear(ret);
        nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
    }
    return "running for ever";
}

static bool do_it(struct conf_world *w, const char *name, struct buf *why)
{
    const struct conf_action *act = conf_action_find(name);
    struct buf args = BUF_INIT;
    struct conf_answer a;
    bool ok;

    assert(act != NULL); /* the cases name what the table has */

    act->args(w, &args);
    conf_ask(w, name, "run", buf_text(&args), false, &a);
    ok = a.result != NULL;
    if (!ok && act->may_not_answer) {
        conf_answer_clear(&a);
        ok = strcmp(conf_settle(w, act, buf_text(&args), &a), "done") == 0;
    }
    if (!ok)
        buf_printf(why, "before the case, %s: %s", name, a.text);
    conf_answer_clear(&a);
    buf_clear(&args);
    return ok;
}

static bool move_one(struct conf_world *w, const char *vm, uint32_t first, struct buf *why)
{
    char args[200], last[400] = "";

    for (uint32_t i = 0; i < w->n_others; i++) {
        struct conf_answer a;
        snprintf(args, sizeof args, "{\"vm\":\"%s\",\"to\":\"%s\",\"method\":\"live\"}", vm,
                 w->others[(first + i) % w->n_others]);
        conf_ask(w, "move_vm", "run", args, false, &a);
        bool ok = a.result != NULL;
        snprintf(last, sizeof last, "%s", a.text);
        conf_answer_clear(&a);
        if (ok)
            return true;
    }
    buf_printf(why, "before the case, no node takes %s: %s", vm, last);
    return false;
}

static bool empty_it(struct conf_world *w, struct buf *why)
{
    struct conf_answer a;
    uint32_t n = 0;
    bool ok = true;

    conf_ask(w, "vms", "run", "{}", false, &a);
    for (const json *v = json_first(json_get(a.result, "vms")); ok && v != NULL; v = json_next(v))
        ok = move_one(w, json_get_str(v, "id", ""), n++, why);
    conf_answer_clear(&a);
    return ok && do_it(w, "move_groups", why);
}

/* After a boot: until nothing is pending and the services are there. */
static bool wait_verified(struct conf_world *w, struct buf *why)
{
    char args[200];

    snprintf(args, sizeof args, "{\"build\":%lld,\"ubr\":%lld,\"kb\":\"%s\"}",
             (long long)json_get_int(w->package, "build", 0), (long long)json_get_int(w->package, "ubr", 0),
             json_get_str(w->package, "kb", ""));
    for (int i = 0; i < 20000; i++) {
        struct conf_answer a;
        conf_ask(w, "verify", "run", args, false, &a);
        bool ok = a.result != NULL && !json_get_bool(a.result, "pending", true) &&
                  json_get_bool(a.result, "servicing_idle", false);
        conf_answer_clear(&a);
        if (ok)
            return do_it(w, "start_vmms", why);
        nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
    }
    buf_str(why, "before the case, the package never stopped being pending");
    return false;
}

static bool patch_it(struct conf_world *w, struct buf *why)
{
    return do_it(w, "reboot", why) && wait_verified(w, why);
}

static bool step_to(struct conf_world *w, enum conf_level level, struct buf *why)
{
    switch (level) {
    case IN_SERVICE:
        return true;
    case PAUSED:
        return do_it(w, "pause", why);
    case EMPTIED:
        return empty_it(w, why);
    case DISKS_OUT:
        return do_it(w, "storage_out", why);
    case VMMS_STOPPED:
    case PATCHED_BARE:
        return do_it(w, "stop_vmms", why);
    case INSTALLED:
        return do_it(w, "install", why);
    case PATCHED:
        return patch_it(w, why);
    }
    return false;
}

bool conf_prepare(struct conf_world *w, enum conf_level level, struct buf *why)
{
    for (unsigned l = IN_SERVICE; l <= (unsigned)level; l++)
        if (!step_to(w, (enum conf_level)l, why))
            return false;
    return true;
}

/* --- read-only actions: the answer is one that the controller can read --- */

static bool has(const json *o, const char *key, bool (*is)(const json *), struct buf *why)
{
    if (is(json_get(o, key)))
        return true;
    buf_printf(why, "`%s` is missing or of another type", key);
    return false;
}

static bool check_facts(const json *r, struct buf *why)
{
    return has(r, "node", json_is_string, why) && has(r, "boot_id", json_is_string, why) &&
           has(r, "os", json_is_object, why) && has(json_get(r, "os"), "ubr", json_is_int, why) &&
           has(r, "memory_mib", json_is_int, why) && has(r, "services", json_is_array, why) &&
           has(r, "pending", json_is_object, why) && has(r, "servicing_idle", json_is_bool, why);
}

static bool check_vms(const json *r, struct buf *why)
{
    const json *first = json_first(json_get(r, "vms"));

    return has(r, "vms", json_is_array, why) && has(first, "id", json_is_string, why) &&
           has(first, "memory", json_is_object, why) && has(first, "state", json_is_string, why);
}

static bool check_storage(const json *r, struct buf *why)
{
    return has(r, "s2d", json_is_bool, why) && has(r, "virtual_disks", json_is_array, why) &&
           has(r, "jobs", json_is_array, why);
}

static bool check_removability(const json *r, struct buf *why)
{
    return has(r, "removable", json_is_string, why) && has(r, "why", json_is_string, why);
}

static bool check_empty(const json *r, struct buf *why)
{
    return has(r, "empty", json_is_bool, why) && has(r, "left", json_is_array, why) &&
           !json_get_bool(r, "empty", true);
}

static bool check_verify(const json *r, struct buf *why)
{
    return has(r, "build", json_is_int, why) && has(r, "ubr", json_is_int, why) &&
           has(r, "package", json_is_string, why) && has(r, "pending", json_is_bool, why) &&
           has(r, "boot_id", json_is_string, why) && has(r, "hotfix", json_is_object, why);
}

static bool check_cluster(const json *r, struct buf *why)
{
    return has(r, "cluster", json_is_string, why) && has(r, "nodes", json_is_array, why) &&
           has(r, "groups", json_is_array, why) && has(r, "csvs", json_is_array, why) &&
           has(r, "quorum", json_is_object, why) && has(r, "properties", json_is_object, why);
}

static bool check_backup(const json *r, struct buf *why)
{
    return has(r, "agents", json_is_array, why) && has(r, "writers", json_is_array, why) &&
           has(r, "events_7001", json_is_array, why);
}

static bool check_heartbeat(const json *r, struct buf *why)
{
    return has(r, "vms", json_is_array, why);
}

static bool check_events(const json *r, struct buf *why)
{
    return has(r, "counts", json_is_array, why);
}

const struct conf_read conf_reads[] = {
    { "facts", "{}", NULL, check_facts },
    { "vms", "{}", NULL, check_vms },
    { "storage_health", "{}", NULL, check_storage },
    { "removability", "{\"build\":26100,\"ubr\":4066,\"kb\":\"KB5061977\"}", NULL, check_removability },
    { "check_empty", "{\"form\":\"vmms\",\"parked\":[]}", "{\"form\":\"spiritual\"}", check_empty },
    { "check_empty", "{\"form\":\"processes\",\"parked\":[]}", NULL, check_empty },
    { "verify", "{\"build\":26100,\"ubr\":4066,\"kb\":\"KB5061977\"}", "{}", check_verify },
    { "gate_facts", "{\"type\":\"cluster_health\"}", "{\"type\":\"mood\"}", check_cluster },
    { "gate_facts", "{\"type\":\"backup_agent\",\"since_ms\":0}", NULL, check_backup },
    { "gate_facts", "{\"type\":\"vm_heartbeat\"}", NULL, check_heartbeat },
    { "gate_facts", "{\"type\":\"event_log\",\"since_ms\":0}", NULL, check_events },
};
const uint32_t conf_n_reads = sizeof conf_reads / sizeof conf_reads[0];
