#include "examples/lab/ask.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ = 1u << 0, NAMES_VM = 1u << 1, ANY_VM = 1u << 2 };

static const struct action {
    const char *name;
    uint32_t flags;
    ask_fn *act; /* runs it, or answers as its witness when a->witness */
} actions[] = {
    { "facts", READ, act_facts },
    { "vms", READ, act_vms },
    { "gate_facts", READ, act_gate_facts },
    { "storage_health", READ, act_storage_health },
    { "removability", READ, act_removability },
    { "check_empty", READ, act_check_empty },
    { "verify", READ, act_verify },
    { "pause", 0, act_pause },
    { "move_vm", NAMES_VM, act_move_vm },
    { "move_groups", 0, act_move_groups },
    { "park_vm", NAMES_VM, act_park_vm },
    { "unpark_vm", NAMES_VM | ANY_VM, act_unpark_vm },
    { "checkpoint", NAMES_VM | ANY_VM, act_checkpoint },
    { "merge", NAMES_VM | ANY_VM, act_merge },
    { "storage_out", 0, act_storage_out },
    { "storage_in", 0, act_storage_in },
    { "stop_vmms", 0, act_stop_vmms },
    { "start_vmms", 0, act_start_vmms },
    { "fetch_package", 0, act_fetch_package },
    { "install", 0, act_install },
    { "uninstall", 0, act_uninstall },
    { "reboot", 0, act_reboot },
    { "resume", 0, act_resume },
    { "bitlocker_suspend", 0, act_bitlocker_suspend },
    { "cluster_setting", 0, act_cluster_setting },
};

static const struct action *action_find(const char *name)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    return NULL;
}

/* --- answers --- */

void ask_add_row(struct ask *a, const char *subject, const char *id, const char *cause, time_ms start,
                 time_ms end, const char *how)
{
    struct ask_row *r = &a->rows[a->n_rows < ASK_ROWS ? a->n_rows++ : ASK_ROWS - 1];

    *r = (struct ask_row){ .subject = subject, .cause = cause, .how = how, .start = start, .end = end };
    snprintf(r->id, sizeof r->id, "%s", id);
}

static void write_rows(struct ask *a)
{
    struct json_writer *w = &a->jw;

    if (a->n_rows == 0)
        return;
    jw_array(w, "downtime");
    for (uint32_t i = 0; i < a->n_rows; i++) {
        const struct ask_row *r = &a->rows[i];
        jw_object(w, NULL);
        jw_str(w, "subject", r->subject);
        jw_str(w, "id", r->id);
        jw_str(w, "cause", r->cause);
        jw_int(w, "start_ms", r->start);
        if (r->end < 0)
            jw_null(w, "end_ms");
        else
            jw_int(w, "end_ms", r->end);
        jw_str(w, "how", r->how);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void begin(struct ask *a)
{
    buf_reset(&a->out);
    jw_init(&a->jw, &a->out);
    a->jw.ascii = true;
    jw_object(&a->jw, NULL);
}

void ask_result(struct ask *a)
{
    begin(a);
    jw_object(&a->jw, "result");
}

bool ask_finish(struct ask *a)
{
    jw_object_end(&a->jw);
    write_rows(a);
    jw_object_end(&a->jw);
    return true;
}

bool ask_already(struct ask *a)
{
    ask_result(a);
    jw_bool(&a->jw, "already", true);
    return ask_finish(a);
}

bool ask_state(struct ask *a, const char *state, bool already)
{
    ask_result(a);
    jw_str(&a->jw, "state", state);
    if (already)
        jw_bool(&a->jw, "already", true);
    return ask_finish(a);
}

bool ask_refused(struct ask *a, const struct refusal *r)
{
    begin(a);
    jw_object(&a->jw, "error");
    jw_str(&a->jw, "code", r->code);
    jw_str(&a->jw, "message", r->message);
    jw_str(&a->jw, "native", r->native[0] == 0 ? NULL : r->native);
    jw_str(&a->jw, "hint", r->hint[0] == 0 ? NULL : r->hint);
    return ask_finish(a);
}

bool ask_error(struct ask *a, const char *code, const char *native, const char *fmt, ...)
{
    struct refusal r = { 0 };
    va_list args;

    snprintf(r.code, sizeof r.code, "%s", code);
    snprintf(r.native, sizeof r.native, "%s", native == NULL ? "" : native);
    va_start(args, fmt);
    vsnprintf(r.message, sizeof r.message, fmt, args);
    va_end(args);
    return ask_refused(a, &r);
}

bool ask_witness(struct ask *a, const char *answer)
{
    begin(a);
    jw_str(&a->jw, "witness", answer);
    jw_object(&a->jw, "evidence");
    jw_int(&a->jw, "at_ms", a->w->now);
    return ask_finish(a);
}

bool ask_wait(struct ask *a, ask_fn *poll)
{
    a->poll = poll;
    return poll(a);
}

struct world_node *ask_host(const struct ask *a)
{
    return &a->w->nodes.items[a->node];
}

struct world_vm *ask_vm(const struct ask *a)
{
    return &a->w->vms.items[a->vm];
}

bool ask_parked(const struct ask *a, const char *vm)
{
    const json *list = json_get(a->args, "parked");

    for (const json *v = list == NULL ? NULL : json_first(list); v != NULL; v = json_next(v))
        if (strcmp(json_str(v, ""), vm) == 0)
            return true;
    return false;
}

/* --- a request comes in --- */

static bool known_members(const json *request)
{
    static const char *const known[] = { "contract", "action", "mode", "node", "op", "limit_ms", "args" };

    for (const json *m = json_first(request); m != NULL; m = json_next(m)) {
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            found = found || strcmp(json_key(m), known[i]) == 0;
        if (!found)
            return false;
    }
    return true;
}

static bool bad(struct ask *a, const char *what)
{
    return ask_error(a, "bad_request", NULL, "%s", what);
}

/* True when there is already an answer (an error). */
static bool read_envelope(struct ask *a, const json *request)
{
    const char *mode;

    if (!json_is_object(request) || !known_members(request))
        return bad(a, "the request is no object of this contract");
    if (json_get_int(request, "contract", 0) != 1)
        return bad(a, "the request is not of contract 1");
    a->action = json_get_str(request, "action", NULL);
    mode = json_get_str(request, "mode", "run");
    if (a->action == NULL || (strcmp(mode, "run") != 0 && strcmp(mode, "witness") != 0))
        return bad(a, "`action` or `mode` is missing or wrong");
    a->witness = strcmp(mode, "witness") == 0;
    if (json_get(request, "args") != NULL && !json_is_object(json_get(request, "args")))
        return bad(a, "`args` must be an object");
    a->args = json_get(request, "args") != NULL ? json_get(request, "args") : request;
    a->node = world_node_by_id(a->w, json_get_str(request, "node", ""));
    if (a->node == WORLD_NONE)
        return bad(a, "there is no such node");
    a->op = json_get_str(request, "op", "");
    a->begun = a->w->now;
    a->deadline = a->w->now + json_get_int(request, "limit_ms", 6 * HOUR_MS);
    return false;
}

/* The VM must be on this node, except for what follows it elsewhere. */
static bool find_vm(struct ask *a, uint32_t flags)
{
    const char *id = json_get_str(a->args, "vm", NULL);

    if ((flags & NAMES_VM) == 0)
        return false;
    if (id == NULL)
        return bad(a, "`vm` is missing");
    a->vm = world_vm_by_id(a->w, id);
    if (a->vm == WORLD_NONE || ask_vm(a)->cluster != ask_host(a)->cluster)
        return ask_error(a, "not_found", "0x80070490", "there is no virtual machine %s here", id);
    return false;
}

static bool struck(struct ask *a, const char *fault)
{
    struct world_fault *f = world_fault_set(a->w, fault, ask_host(a)->id);

    if (f == NULL || a->witness || (f->arg[0] != 0 && strcmp(f->arg, a->action) != 0))
        return false;
    (void)world_fault_hit(a->w, fault, ask_host(a)->id);
    return true;
}

/* A driver that hangs or dies after the effect was set off (O10). */
static bool on_hang(struct ask *a)
{
    (void)a;
    return false;
}

static void misbehave(struct ask *a)
{
    bool crash = struck(a, "driver-crash"), garbage = !crash && struck(a, "driver-garbage");

    if (struck(a, "driver-hangs")) {
        buf_reset(&a->out);
        a->poll = on_hang;
    }
    if (crash) {
        buf_reset(&a->out);
        a->lost = true;
    }
    if (garbage) {
        buf_reset(&a->out);
        buf_str(&a->out, "garbage");
    }
}

static void begin_action(struct ask *a, const json *request)
{
    const struct action *act;

    if (read_envelope(a, request))
        return;
    act = action_find(a->action);
    if (act == NULL) {
        (void)ask_error(a, "unsupported", NULL, "this driver has no action `%s`", a->action);
        return;
    }
    if (ask_host(a)->power == POWER_OFF) {
        a->lost = true;
        return;
    }
    if ((a->witness && (act->flags & READ) != 0)) {
        (void)bad(a, "a read-only action has no witness");
        return;
    }
    if (find_vm(a, act->flags))
        return;
    snprintf(a->w->op, sizeof a->w->op, "%s", a->op);
    (void)act->act(a);
    a->w->op[0] = 0;
    misbehave(a);
}

struct ask *ask_begin(struct world *w, struct json_doc *doc, const json *request)
{
    struct ask *a = calloc(1, sizeof *a);

    if (a == NULL) {
        json_free(doc);
        return NULL;
    }
    a->w = w;
    a->doc = doc;
    a->node = a->vm = WORLD_NONE;
    a->percent = a->percent_told = -1;
    begin_action(a, request);
    return a;
}

bool ask_poll(struct ask *a)
{
    if (a->out.len > 0 || a->lost)
        return true;
    /* no poll: an action that neither answered nor waits (this is a bug) */
    if (ask_host(a)->power == POWER_OFF || a->w->now >= a->deadline || a->poll == NULL)
        a->lost = true;
    else {
        snprintf(a->w->op, sizeof a->w->op, "%s", a->op);
        (void)a->poll(a);
        a->w->op[0] = 0;
    }
    return a->out.len > 0 || a->lost;
}

void ask_free(struct ask *a)
{
    if (a == NULL)
        return;
    json_free(a->doc);
    buf_clear(&a->out);
    free(a);
}
