#include "tests/scenarios/scenario.h"

#include "orchestrator/core/handover.h"

#include "schema/list.h"

#include <stdlib.h>
#include <string.h>

static struct scenario *of_log(struct event_log *l)
{
    return (struct scenario *)(void *)((char *)l - offsetof(struct scenario, log));
}

static char *text_of(struct buf *b)
{
    char *copy = strdup(buf_text(b));

    assert_non_null(copy);
    buf_clear(b);
    return copy;
}

/* The log keeps texts, as the real one does, and tries each event's way there and back. */
static int keep(struct event_log *l, const struct event *ev, const struct command_list *commands,
                const struct engine *engine, struct err *err)
{
    struct scenario *s = of_log(l);
    struct kept_entry *k = list_push(&s->kept);
    struct buf event = BUF_INIT, list = BUF_INIT;

    (void)engine, (void)err;
    assert_non_null(k);
    event_write(&event, ev, s->plan->inv, &s->pictures);
    commands_write(&list, commands, s->plan->inv);
    for (uint32_t i = 0; i < commands->n; i++)
        if (commands->items[i].type == CMD_NOTE)
            buf_printf(&s->notes, "%s %s\n", commands->items[i].rule, commands->items[i].text);
    k->event = text_of(&event);
    k->commands = text_of(&list);
    return 0;
}

static struct log_position position(const struct event_log *l)
{
    struct log_position p = { 0 };

    (void)l;
    return p;
}

static bool matches(const struct scenario *s, const struct fault *f, const struct plan_answer *a)
{
    if (f->hits >= f->skip + f->times || a->action == NULL || strcmp(a->action, f->action) != 0)
        return false;
    return f->node == NULL || strcmp(f->node, s->plan->inv->nodes[a->node].id) == 0;
}

static void meddle(void *arg, struct plan_answer *a)
{
    struct scenario *s = arg;

    for (uint32_t i = 0; i < s->n_faults; i++) {
        struct fault *f = &s->faults[i];

        if (!matches(s, f, a) || f->hits++ < f->skip)
            continue;
        if (f->code != NULL) {
            a->ev->u.op_result.record.outcome = f->outcome;
            a->ev->u.op_result.record.error_code = f->code;
        }
        a->effect = !f->no_effect;
        a->journal = !f->no_journal;
        a->silent = f->silent;
    }
    if (s->meddle != NULL)
        s->meddle(s, a);
}

struct fault *scenario_fault(struct scenario *s, const char *node, const char *action, const char *code)
{
    struct fault *f = &s->faults[s->n_faults++];

    assert_true(s->n_faults <= TABLE_LEN(s->faults));
    *f =
        (struct fault){ .node = node, .action = action, .code = code, .outcome = OUTCOME_FAILED, .times = 1 };
    f->no_effect = code != NULL;
    return f;
}

static const struct fleet_words words_default = {
    .seed = 1, .clusters = 2, .nodes = 4, .vms = 3, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};

static struct rollout *rollout_for(const char *waves, const char *more)
{
    struct buf text = BUF_INIT;
    struct rollout *r;

    buf_printf(&text, "{\"version\":1,\"name\":\"scenario\",\"waves\":%s%s%s%s}", waves,
               strstr(more, "\"patch\"") == NULL ? SCENARIO_PATCH("") : "",
               strstr(more, "\"gates\"") == NULL ? ",\"gates\":[]" : "", more);
    r = rollout_of(buf_text(&text));
    buf_clear(&text);
    return r;
}

struct inventory *fleet_with_pinned_vm(const struct fleet_words *w)
{
    struct buf text = BUF_INIT, pinned = BUF_INIT;
    struct inventory *inv;
    const char *at;

    small_fleet_json(w, &text);
    at = strstr(buf_text(&text), "\"dirty_mib_s\"");
    buf_add(&pinned, text.data, (size_t)(at - text.data));
    buf_printf(&pinned, "\"local_disk\":true,%s", at);
    inv = inventory_of(buf_text(&pinned));
    buf_clear(&text);
    buf_clear(&pinned);
    return inv;
}

struct scenario *scenario_new(const struct fleet_words *words, const char *waves, const char *more)
{
    return scenario_of(small_fleet(words == NULL ? &words_default : words), waves, more);
}

struct scenario *scenario_of(struct inventory *inv, const char *waves, const char *more)
{
    struct scenario *s = calloc(1, sizeof *s);

    assert_non_null(s);
    s->now = START_MS;
    s->revision = ENGINE_REVISION;
    check_ok(plan_build(inv, rollout_for(waves == NULL ? "[1,2,\"100%\"]" : waves, more == NULL ? "" : more),
                        START_MS, "tester", &s->plan, &s->err),
             &s->err);
    check_ok(engine_new(s->plan, &s->engine, &s->err), &s->err);
    check_ok(backend_plan_new(s->plan, START_MS, &s->world, &s->err), &s->err);
    backend_plan_hook(s->world, meddle, s);
    s->log.append = keep;
    s->log.position = position;
    runner_init(&s->runner, s->engine, &s->log, backend_plan_backend(s->world));
    return s;
}

void scenario_free(struct scenario *s)
{
    for (uint32_t i = 0; i < s->kept.n; i++) {
        free(s->kept.items[i].event);
        free(s->kept.items[i].commands);
    }
    list_clear(&s->kept);
    event_pictures_clear(&s->pictures);
    buf_clear(&s->notes);
    runner_clear(&s->runner);
    engine_free(s->engine);
    backend_plan_free(s->world);
    plan_free(s->plan);
    free(s);
}

int scenario_event(struct scenario *s, struct event *ev)
{
    ev->at = s->now;
    return runner_feed(&s->runner, ev, &s->err);
}

void scenario_start(struct scenario *s)
{
    struct event ev = { .type = EV_RUN_START, .node = IX_NONE, .cluster = IX_NONE };

    ev.u.run_start.run = "r1";
    ev.u.run_start.plan_hash = s->plan->hash;
    ev.u.run_start.person = "tester";
    ev.u.run_start.controller = "00000000000000000000000000000001";
    ev.u.run_start.revision = s->revision;
    ev.u.run_start.epoch = s->epoch = 1;
    ev.u.run_start.approval_expires = TIME_NEVER;
    check_ok(scenario_event(s, &ev), &s->err);
}

bool scenario_step(struct scenario *s)
{
    struct event ev;
    int rc;

    if (s->runner.ended)
        return false;
    if (!backend_plan_next(s->world, engine_deadline(s->engine), &ev))
        fail_msg("the run does not come to rest: nothing is waited for");
    s->now = ev.at;
    rc = runner_feed(&s->runner, &ev, &s->err);
    if (rc != 0 && rc != ERR_STATE)
        check_ok(rc, &s->err);
    return true;
}

void scenario_run(struct scenario *s)
{
    for (uint32_t n = 0; scenario_step(s); n++)
        if (n > 100000)
            fail_msg("the run does not come to rest within %u events", n);
}

void scenario_goes_on(struct scenario *s)
{
    s->runner.ended = false;
    scenario_run(s);
}

void scenario_while_holding(struct scenario *s)
{
    for (int k = 0; k < 200 && engine_deadline(s->engine) < s->now + HOUR_MS; k++) {
        s->runner.ended = false;
        scenario_step(s);
    }
}

void scenario_until(struct scenario *s, const char *node, enum node_phase phase)
{
    while (scenario_node(s, node).phase != phase)
        if (!scenario_step(s))
            fail_msg("%s never was %s", node, node_phases[phase].name);
}

void scenario_until_unknown(struct scenario *s, const char *node)
{
    while (!scenario_node(s, node).unknown)
        if (!scenario_step(s))
            fail_msg("%s never was unknown", node);
}

int scenario_decide(struct scenario *s, uint32_t node, enum op_witness decision)
{
    struct event ev = { .type = EV_VERB, .node = node, .cluster = IX_NONE };

    ev.u.verb.verb = VERB_DECIDE;
    ev.u.verb.person = "anna";
    ev.u.verb.decision = decision;
    return scenario_event(s, &ev);
}

int scenario_verb(struct scenario *s, enum verb verb, const char *node)
{
    struct event ev = { .type = EV_VERB,
                        .node = node == NULL ? IX_NONE : node_ix(s, node),
                        .cluster = IX_NONE };

    ev.u.verb.verb = verb;
    ev.u.verb.person = "tester";
    return scenario_event(s, &ev);
}

static void replay_into(struct scenario *s, struct runner *r, struct event_pictures *pictures)
{
    event_pictures_clear(pictures);
    engine_be(r->engine, s->revision);
    for (uint32_t i = s->from; i < s->kept.n; i++) {
        struct arena a = ARENA_INIT;
        struct event ev;

        check_ok(event_read(s->kept.items[i].event, strlen(s->kept.items[i].event), s->plan->inv, pictures,
                            &a, &ev, &s->err),
                 &s->err);
        check_ok(runner_replay(r, &ev, s->kept.items[i].commands, &s->err), &s->err);
        arena_clear(&a);
    }
}

static void start_anew(struct scenario *s, bool takeover)
{
    struct event ev = { .type = EV_CONTROLLER_START, .node = IX_NONE, .cluster = IX_NONE };

    engine_free(s->engine);
    runner_clear(&s->runner);
    backend_plan_forget(s->world);
    check_ok(engine_new(s->plan, &s->engine, &s->err), &s->err);
    runner_init(&s->runner, s->engine, &s->log, backend_plan_backend(s->world));
    replay_into(s, &s->runner, &s->pictures);
    ev.u.controller_start.controller = "00000000000000000000000000000002";
    ev.u.controller_start.revision = s->revision;
    ev.u.controller_start.epoch = ++s->epoch;
    ev.u.controller_start.takeover = takeover;
    check_ok(scenario_event(s, &ev), &s->err);
}

void scenario_crash(struct scenario *s)
{
    start_anew(s, false);
}

void scenario_takeover(struct scenario *s)
{
    start_anew(s, true);
}

static void fold(struct scenario *s, struct handover_fold *f)
{
    struct event_pictures pictures = { 0 };

    for (uint32_t i = 0; i < s->kept.n; i++) {
        struct arena a = ARENA_INIT;
        struct event ev;

        check_ok(event_read(s->kept.items[i].event, strlen(s->kept.items[i].event), s->plan->inv, &pictures,
                            &a, &ev, &s->err),
                 &s->err);
        check_ok(handover_fold_event(f, &ev, s->kept.items[i].commands, &s->err), &s->err);
        arena_clear(&a);
    }
    event_pictures_clear(&pictures);
}

void scenario_upgrade(struct scenario *s)
{
    struct event ev = { .type = EV_HANDOVER, .node = IX_NONE, .cluster = IX_NONE };
    struct engine *old = s->engine;
    struct handover_fold *f = NULL;

    runner_clear(&s->runner);
    backend_plan_forget(s->world);
    check_ok(handover_fold_new(s->plan, &f, &s->err), &s->err);
    fold(s, f);
    check_ok(handover_view(f, old, &s->err), &s->err);
    check_ok(handover_fold_end(f, &ev.u.handover.state, &s->err), &s->err);
    engine_free(old);
    check_ok(engine_new(s->plan, &s->engine, &s->err), &s->err);
    engine_be(s->engine, ++s->revision);
    runner_init(&s->runner, s->engine, &s->log, backend_plan_backend(s->world));
    event_pictures_clear(&s->pictures);
    s->from = s->kept.n;
    ev.u.handover.run = "r1";
    ev.u.handover.plan_hash = s->plan->hash;
    ev.u.handover.controller = "00000000000000000000000000000003";
    ev.u.handover.person = "on-call";
    ev.u.handover.ticket = "CHG-9";
    ev.u.handover.revision = s->revision;
    ev.u.handover.epoch = ++s->epoch;
    check_ok(scenario_event(s, &ev), &s->err);
    handover_fold_free(f);
}

void scenario_replays(struct scenario *s)
{
    char before[SHA256_TEXT], after[SHA256_TEXT];
    struct event_pictures pictures = { 0 };
    struct engine *again;
    struct runner r;

    engine_hash(s->engine, before);
    check_ok(engine_new(s->plan, &again, &s->err), &s->err);
    runner_init(&r, again, &s->log, backend_plan_backend(s->world));
    replay_into(s, &r, &pictures);
    event_pictures_clear(&pictures);
    engine_hash(again, after);
    assert_string_equal(before, after);
    runner_clear(&r);
    engine_free(again);
}

bool scenario_is_picture(const struct plan_answer *a)
{
    return a->cause == CMD_OBSERVE && a->ev->type == EV_OBSERVED && a->ev->u.observed.what == OBSERVE_CLUSTER;
}

void scenario_shows_first(const struct scenario *s, struct plan_answer *a, enum node_state_seen state)
{
    static struct view_node nodes[8];
    struct cluster_view *v = &a->ev->u.observed.view;

    for (uint32_t i = 0; i < v->n_nodes && i < TABLE_LEN(nodes); i++) {
        nodes[i] = v->nodes[i];
        if (strcmp(nodes[i].id, scenario_first_id(s)) == 0)
            nodes[i].state = state;
    }
    v->nodes = nodes;
}

uint32_t scenario_first(const struct scenario *s)
{
    return s->plan->nodes[s->plan->waves[0].nodes[0]].node;
}

const char *scenario_first_id(const struct scenario *s)
{
    return s->plan->inv->nodes[scenario_first(s)].id;
}

const char *scenario_commanded(const struct scenario *s)
{
    return s->kept.items[s->kept.n - 1].commands;
}

uint32_t node_ix(const struct scenario *s, const char *id)
{
    uint32_t ix = inventory_node(s->plan->inv, id);

    if (ix == IX_NONE)
        fail_msg("no node %s", id);
    return ix;
}

struct node_view scenario_node(const struct scenario *s, const char *id)
{
    return engine_node(s->engine, node_ix(s, id));
}

uint32_t scenario_ended(const struct scenario *s, enum node_end end)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++)
        n += engine_node(s->engine, i).end == end;
    return n;
}

/* Every setting is as it was, or it is said that it is not (O18). */
static void settings_are_back(const struct scenario *s)
{
    bool told = s->notes.len > 0 && (strstr(s->notes.data, "somebody changed it") != NULL ||
                                     strstr(s->notes.data, "is not put back") != NULL);

    if ((run_states[engine_run(s->engine).state].flags & SM_FINAL) == 0 || told)
        return;
    for (uint32_t c = 0; c < s->plan->inv->n_clusters; c++) {
        assert_int_equal(*backend_plan_setting(s->world, c, SETTING_BALANCER), 2);
        assert_int_equal(*backend_plan_setting(s->world, c, SETTING_MOVE_TYPE), 2000);
        assert_int_equal(*backend_plan_setting(s->world, c, SETTING_MIGRATIONS),
                         s->plan->inv->clusters[c].migrations_parallel);
    }
}

/* Every VM runs, on a node in service; every node that is not stuck is in service; no install twice (I8, I19, I29). */
void scenario_truth(const struct scenario *s)
{
    settings_are_back(s);
    for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++) {
        struct node_view v = engine_node(s->engine, i);

        assert_string_equal(node_phases[v.phase].name, "ended");
        if (v.end != NODE_STUCK && !backend_plan_in_service(s->world, i))
            fail_msg("%s ended %s and is not in service", s->plan->inv->nodes[i].id, node_end_names[v.end]);
        if (v.end == NODE_DONE)
            assert_int_equal(build_compare(backend_plan_build(s->world, i), s->plan->rollout->patch.target),
                             0);
        assert_true(backend_plan_effects(s->world, i, "install") <= 2);
    }
    for (uint32_t i = 0; i < s->plan->inv->n_vms; i++) {
        uint32_t at = backend_plan_vm_at(s->world, i);

        if (engine_node(s->engine, at).end != NODE_STUCK) {
            assert_true(backend_plan_vm_runs(s->world, i));
            assert_true(backend_plan_in_service(s->world, at));
        }
    }
}

void backup_7001(struct scenario *s, struct plan_answer *a)
{
    static struct event_7001 e = { .service = "BackupExecAgent", .depends_on = "RpcSs" };

    if (a->cause != CMD_OBSERVE || a->ev->u.observed.what != OBSERVE_BACKUP ||
        backend_plan_effects(s->world, a->node, "reboot") == 0)
        return;
    e.at = a->at;
    a->ev->u.observed.backup.events = &e;
    a->ev->u.observed.backup.n_events = 1;
}

void backup_silence(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_BACKUP) {
        a->ev->u.observed.ok = false;
        a->ev->u.observed.text = "the backup service does not answer";
    }
}
