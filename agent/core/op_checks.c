/* What has to hold right before START: the package, the precondition that the
 * controller named, and the node's own guard (I1, O2), whatever the request
 * says. Each is asked of the world, in this order, so that `empty` is the
 * freshest. What cannot be proved refuses the op: nothing was begun. */
#include "agent/core/agent_state.h"

#include <stdlib.h>
#include <string.h>

enum { STEP_PACKAGE, STEP_FACTS, STEP_EMPTY, STEPS };

static struct json_doc *parse_own(struct agent *a, const char *text)
{
    struct json_doc *d = NULL;

    if (json_parse("own", text, strlen(text), &d, NULL) != 0)
        a->no_memory = true; /* it was parsed before */
    return d;
}

/* The form of O2 that has to be empty: the guard's, else the request's; NULL. */
static const char *empty_form(const struct agent_op *op, const json *precondition)
{
    uint32_t flags = driver_action_flags(op->action);

    if (flags & DRIVER_NEEDS_BARE)
        return "processes";
    if (flags & DRIVER_NEEDS_VMMS)
        return "vmms";
    return json_get_str(precondition, "empty", NULL);
}

static void start_check(struct agent *a, struct agent_live *l, enum agent_run_kind kind, const char *action,
                        const char *args_text)
{
    const struct driver_manifest_action *m = driver_manifest_find(a->cfg.driver, action);
    struct json_doc *args = args_text == NULL ? NULL : parse_own(a, args_text);
    struct agent_run *run = m == NULL ? NULL : agent_run_new(a, kind, m->name);
    struct driver_request rq = { .action = action, .node = a->cfg.node, .op = "", .mode = DRIVER_RUN };

    if (m == NULL) {
        agent_op_refuse(a, l->op, "unsupported", "the driver lacks an action that the guard needs");
    } else if (run != NULL) {
        memcpy(run->op, l->op->id, sizeof run->op);
        rq.args = args == NULL ? NULL : json_root(args);
        rq.limit_ms = m->limit_ms;
        l->run = run->no;
        agent_run_start(a, run, &rq);
    }
    json_free(args);
}

bool agent_is_digest(const char *s)
{
    return strlen(s) == 2 * SHA256_BYTES && strspn(s, "0123456789abcdef") == 2 * SHA256_BYTES;
}

/* The target first, then each checkpoint package that goes beside it (O9); NULL after the last. */
static const json *next_package(const struct agent_live *l, const json *package)
{
    const json *checkpoint = json_first(json_get(package, "checkpoints"));

    if (l->packages == 0)
        return package;
    for (uint32_t i = 1; checkpoint != NULL && i < l->packages; i++)
        checkpoint = json_next(checkpoint);
    return checkpoint;
}

static bool check_package(struct agent *a, struct agent_live *l, const json *args, const json *precondition)
{
    bool fetches = (driver_action_flags(l->op->action) & DRIVER_FETCHES) != 0;
    const json *target = fetches ? args : json_get(args, "package"), *package = next_package(l, target);
    struct agent_run *run;
    struct agent_effect *e;

    (void)precondition;
    if (fetches && !agent_is_digest(json_get_str(args, "sha256", ""))) {
        agent_op_refuse(a, l->op, "invalid", "`sha256` is no digest"); /* it names a folder */
        return true;
    }
    if (!(driver_action_flags(l->op->action) & (DRIVER_PACKAGE | DRIVER_FETCHES)))
        return false;
    if (package == NULL && l->packages > 0)
        return false;
    run = agent_run_new(a, AGENT_RUN_PACKAGE, "");
    if (run == NULL)
        return true;
    l->packages++;
    l->step -= fetches ? 0 : 1; /* once more, for the next one */
    memcpy(run->op, l->op->id, sizeof run->op);
    l->run = run->no;
    e = agent_emit(a, fetches ? AGENT_DO_PACKAGE_PLACE : AGENT_DO_PACKAGE_OPEN);
    e->run = run->no;
    e->sha256 = agent_emit_copy(a, json_get_str(package, "sha256", ""));
    e->name = agent_emit_copy(a, json_get_str(package, "name", ""));
    e->with = agent_emit_copy(a, json_get_str(target, "sha256", ""));
    e->size_bytes = json_get_int(args, "size_bytes", 0);
    return true;
}

static bool check_facts(struct agent *a, struct agent_live *l, const json *args, const json *precondition)
{
    (void)args;
    if (json_get(precondition, "boot_id") == NULL && json_get(precondition, "build") == NULL)
        return false;
    start_check(a, l, AGENT_RUN_CHECK_FACTS, "facts", NULL);
    return true;
}

static bool check_empty(struct agent *a, struct agent_live *l, const json *args, const json *precondition)
{
    const char *form = empty_form(l->op, precondition);
    const json *parked = json_get(precondition, "parked");
    struct buf text = BUF_INIT;
    struct json_writer w;

    if (form == NULL)
        return false;
    if (parked == NULL)
        parked = json_get(args, "parked");
    jw_init(&w, &text);
    jw_object(&w, NULL);
    jw_str(&w, "form", form);
    if (json_is_array(parked))
        jw_value(&w, "parked", parked);
    else
        jw_raw(&w, "parked", "[]");
    jw_object_end(&w);
    a->no_memory |= text.failed;
    start_check(a, l, AGENT_RUN_CHECK_EMPTY, "check_empty", buf_text(&text));
    buf_clear(&text);
    return true;
}

void agent_checks_next(struct agent *a, struct agent_live *l)
{
    static bool (*const steps[STEPS])(struct agent *, struct agent_live *, const json *, const json *) = {
        [STEP_PACKAGE] = check_package,
        [STEP_FACTS] = check_facts,
        [STEP_EMPTY] = check_empty,
    };
    struct json_doc *args = parse_own(a, l->op->args), *precondition = parse_own(a, l->op->precondition);
    bool asked = false;

    while (!a->no_memory && !asked && l->step < STEPS)
        asked = steps[l->step++](a, l, json_root(args), json_root(precondition));
    json_free(args);
    json_free(precondition);
    if (!asked && !a->no_memory)
        agent_live_act(a, l);
}

AGENT_ON_RUN(agent_on_package)
{
    struct agent_live *l = agent_live_of(a, run);

    (void)answer;
    if (l == NULL)
        return;
    l->run = 0;
    if (ev->err != NULL) {
        agent_op_refuse(a, l->op, err_name(ev->err->code), ev->err->text);
        return;
    }
    if ((driver_action_flags(l->op->action) & DRIVER_PACKAGE) && l->path == NULL)
        l->path = agent_text_copy(a, ev->text);
    agent_checks_next(a, l);
}

static bool build_is(const json *facts, const char *wanted)
{
    const json *os = json_get(facts, "os");
    struct buf have = BUF_INIT;
    bool same;

    buf_printf(&have, "%lld.%lld", (long long)json_get_int(os, "build", -1),
               (long long)json_get_int(os, "ubr", -1));
    same = strcmp(buf_text(&have), wanted) == 0;
    buf_clear(&have);
    return same;
}

/* NULL when the precondition holds, else the sentence that says why not. */
static const char *facts_differ(struct agent *a, const json *facts, const json *precondition)
{
    const char *boot = json_get_str(precondition, "boot_id", NULL),
               *build = json_get_str(precondition, "build", NULL);

    if (agent_identity_learn(a, facts, NULL) != 0)
        return "the driver's facts lack this node's identity";
    if (a->foreign)
        return "the driver tells another machine than the journal's";
    if (boot != NULL && strcmp(boot, a->boot_id) != 0)
        return "the node has booted since: its boot id is another";
    if (build != NULL && !build_is(facts, build))
        return "the node's build is not the one the plan expects";
    return NULL;
}

static void on_facts(struct agent *a, struct agent_live *l, const json *facts)
{
    struct json_doc *precondition = parse_own(a, l->op->precondition);
    const char *why = a->no_memory ? NULL : facts_differ(a, facts, json_root(precondition));

    json_free(precondition);
    if (why != NULL)
        agent_op_refuse(a, l->op, "precondition", why);
    else
        agent_checks_next(a, l);
}

static void on_empty(struct agent *a, struct agent_live *l, const json *result)
{
    const json *first = json_first(json_get(result, "left"));
    struct buf why = BUF_INIT;

    if (json_get_bool(result, "empty", false) && first == NULL) {
        agent_checks_next(a, l);
        return;
    }
    buf_printf(&why, "%u left on the node", json_count(json_get(result, "left")));
    if (first != NULL)
        buf_printf(&why, ", first %.32s %.128s: %.256s", json_get_str(first, "kind", "?"),
                   json_get_str(first, "id", "?"), json_get_str(first, "why", ""));
    agent_op_refuse(a, l->op, "not_empty", buf_text(&why));
    buf_clear(&why);
}

AGENT_ON_RUN(agent_on_check)
{
    struct agent_live *l = agent_live_of(a, run);

    (void)ev;
    if (l == NULL)
        return;
    l->run = 0;
    if (answer->kind == DRIVER_RESULT) {
        (run->kind == AGENT_RUN_CHECK_FACTS ? on_facts : on_empty)(a, l, answer->result);
        return;
    }
    agent_op_refuse(a, l->op, "no_evidence",
                    answer->kind == DRIVER_ERROR ? json_get_str(answer->error, "message", "")
                    : answer->why[0] != '\0'     ? answer->why
                                                 : "the check gave no answer");
}
