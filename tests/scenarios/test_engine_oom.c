/* Runs as they were recorded, decided anew with each place that allocates
 * failing (tests/lib/alloc_places.h): the engine says that memory ran out, or
 * it decides what it decided, to the end. Events are read and written so too. */
#include "tests/lib/alloc_places.h"
#include "tests/scenarios/recorded.h"

#include <stdlib.h>
#include <string.h>

static int tell_run(void *arg)
{
    return recorded_decide(arg);
}

/* The first of each kind, and the first three pictures: the later ones are told as changes. */
static bool is_read(uint32_t *seen, const struct event *ev)
{
    uint32_t kind =
        ev->type == EV_OBSERVED ? EVENT_TYPES + (uint32_t)ev->u.observed.what : (uint32_t)ev->type;

    return ++seen[kind] <= (kind == EVENT_TYPES + OBSERVE_CLUSTER ? 3 : 1);
}

/* The log's own texts: read as they were, or memory ran out. */
static int tell_log(void *arg)
{
    struct recorded *r = arg;
    struct event_pictures pictures = { 0 };
    uint32_t seen[EVENT_TYPES + OBSERVE_WHATS] = { 0 };
    int rc = 0;

    for (uint32_t i = 0; i < r->s->kept.n && rc == 0; i++) {
        struct arena a = ARENA_INIT;
        struct event ev;

        if (!is_read(seen, &r->events[i]))
            continue;
        rc = event_read(r->s->kept.items[i].event, strlen(r->s->kept.items[i].event), r->s->plan->inv,
                        &pictures, &a, &ev, NULL);
        alloc_places_rest();
        if (rc == 0)
            recorded_same(r, &ev, &r->events[i]);
        alloc_places_go_on();
        arena_clear(&a);
    }
    event_pictures_clear(&pictures);
    return rc;
}

/* --- the runs --- */

#define PARKED "00000000-0000-4000-8000-00000000000a"
#define CONSENT                                                                                    \
    ",\"consents\":[{\"vm\":\"" PARKED "\",\"person\":\"p\",\"ticket\":\"t\",\"checkpoint\":true," \
    "\"expires\":\"2030-01-01T00:00:00Z\"}]"
#define WAIVED ",\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"CHG1\"}]"
#define GATES                                                                                         \
    ",\"gates\":[{\"type\":\"cluster_health\",\"when\":\"both\",\"samples\":2,\"interval\":\"10s\"}," \
    "{\"type\":\"time_sync\",\"when\":\"after\",\"samples\":1,\"soak\":\"0s\"},"                      \
    "{\"type\":\"vm_heartbeat\",\"when\":\"both\",\"samples\":1,\"soak\":\"0s\"},"                    \
    "{\"name\":\"backup\",\"type\":\"backup_agent\",\"when\":\"after\",\"samples\":1,"                \
    "\"soak\":\"0s\",\"on_fail\":\"rollback\"}]"

static const char *const switches[] = { "vSwitch1", "vSwitch2" };

static struct inventory *fleet(bool s2d, const char *more)
{
    struct fleet_words words = { .seed = 5,
                                 .clusters = 1,
                                 .nodes = s2d ? 5 : 4,
                                 .vms = 2,
                                 .node_mib = 65536,
                                 .vm_mib_min = 2048,
                                 .vm_mib_max = 4096,
                                 .s2d = s2d };
    struct buf text = BUF_INIT;
    struct inventory *inv;

    small_fleet_json(&words, &text);
    text.len -= strlen("]}");
    buf_printf(&text, "%s]}", more);
    inv = inventory_of(buf_text(&text));
    for (uint32_t i = 0; i < inv->n_nodes; i++)
        inv->nodes[i].time_source = "dc1";
    for (uint32_t i = 0; i < inv->n_vms; i++) {
        inv->vms[i].switches = switches;
        inv->vms[i].n_switches = 1;
    }
    buf_clear(&text);
    return inv;
}

static void two_switches(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->cause != CMD_OBSERVE || a->ev->u.observed.what != OBSERVE_FACTS)
        return;
    a->ev->u.observed.facts.switches = switches;
    a->ev->u.observed.facts.n_switches = 2;
}

/* A VM is parked with a checkpoint; three controllers die. */
static struct scenario *parked_and_crashed(void)
{
    struct scenario *s = scenario_of(
        fleet(false, ",{\"id\":\"" PARKED
                     "\",\"node\":\"n00-01\",\"local_disk\":true,\"memory\":{\"assigned_mib\":1000}}"),
        "[1,\"100%\"]", CONSENT GATES ",\"policy\":{\"bitlocker_suspend\":true}");

    s->meddle = two_switches; /* the copy of the first failed, and nobody saw it */
    scenario_start(s);
    for (uint32_t n = 1; scenario_step(s); n++)
        if (n == 60 || n == 150 || n == 220)
            scenario_crash(s);
    check_run(s, RUN_FINISHED);
    return s;
}

/* The first node goes there, back and there again; then an operator takes it all back. */
static struct scenario *rehearsed_and_back(void)
{
    struct scenario *s =
        scenario_of(fleet(true, ""), "[1,\"100%\"]", ",\"policy\":{\"rehearse\":true,\"rollback\":\"run\"}");

    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
    scenario_run(s);
    check_run(s, RUN_HALTED); /* the last one finds no patched receiver */
    return s;
}

static struct scenario *gate_fails(void)
{
    struct scenario *s = scenario_of(fleet(false, ""), "[2,\"100%\"]", GATES WAIVED);

    s->meddle = backup_7001;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_ROLLED_BACK);
    return s;
}

static void foreign_pause(struct scenario *s)
{
    struct op_record rec = { .action = "pause", .state = OP_DONE, .outcome = OUTCOME_OK, .boot_id = "b" };
    struct event ev = { .type = EV_NODE_CLAIMED, .node = scenario_first(s), .cluster = IX_NONE };
    struct buf op = BUF_INIT;

    buf_printf(&op, "r1/%s/7/pause/1", scenario_first_id(s));
    rec.op = buf_text(&op);
    ev.u.claimed.machine_id = scenario_first_id(s);
    ev.u.claimed.boot_id = "boot";
    ev.u.claimed.ops = &rec;
    ev.u.claimed.n_ops = 1;
    check_ok(scenario_event(s, &ev), &s->err);
    buf_clear(&op);
}

/* An operation that nobody meant, a lost reply, a step that fails, a node cut off; persons lead on. */
static struct scenario *trouble(void)
{
    struct scenario *s = scenario_of(fleet(false, ""), "[1,\"100%\"]",
                                     GATES ",\"policy\":{\"failures_per_wave\":2,\"failures_per_run\":3}");
    const char *first = scenario_first_id(s);
    struct event decide = { .type = EV_VERB, .node = scenario_first(s), .cluster = IX_NONE };

    decide.u.verb.verb = VERB_DECIDE;
    decide.u.verb.person = "anna";
    decide.u.verb.decision = WITNESS_SAYS_NOT_DONE;
    scenario_fault(s, NULL, "install", "failed");
    scenario_fault(s, NULL, "stop_vmms", NULL)->silent = true;
    s->faults[1].skip = 1;
    scenario_start(s);
    foreign_pause(s);
    check_ok(scenario_event(s, &decide), &s->err);
    while (scenario_step(s) && scenario_node(s, first).end == NODE_END_NONE)
        ;
    check_ok(scenario_verb(s, VERB_PAUSE, NULL), &s->err);
    scenario_run(s);
    check_ok(scenario_verb(s, VERB_RETRY, first), &s->err);
    check_ok(scenario_verb(s, VERB_RESUME, NULL), &s->err);
    scenario_until(s, first, NODE_INSTALLING);
    backend_plan_cut(s->world, scenario_first(s), s->now + 20 * MINUTE_MS);
    scenario_run(s);
    check_ok(scenario_verb(s, VERB_SET_ASIDE, first), &s->err);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_end(s, first, NODE_STUCK);
    return s;
}

static void fail_each(struct scenario *s)
{
    struct recorded r;
    struct alloc_places run = { .story = tell_run, .arg = &r }, log = { .story = tell_log, .arg = &r };

    recorded_make(s, &r);
    alloc_places_fail(&run);
    alloc_places_fail(&log);
    print_message("# %u events: %u allocations of the engine and %u of the reader failed\n", s->kept.n,
                  run.told, log.told);
    assert_true(run.told >= 100 && log.told >= 100); /* fewer where callers are inlined */
    recorded_clear(&r);
    scenario_free(s);
}

static void test_parked_and_crashed(void **state)
{
    (void)state;
    fail_each(parked_and_crashed());
}

static void test_rehearsed_and_back(void **state)
{
    (void)state;
    fail_each(rehearsed_and_back());
}

static void test_gate_fails(void **state)
{
    (void)state;
    fail_each(gate_fails());
}

static void test_trouble(void **state)
{
    (void)state;
    fail_each(trouble());
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_parked_and_crashed),
                                        cmocka_unit_test(test_rehearsed_and_back),
                                        cmocka_unit_test(test_gate_fails), cmocka_unit_test(test_trouble) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
