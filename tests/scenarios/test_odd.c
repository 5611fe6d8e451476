/* The world is not as it was thought to be: what is left on a node, what others do, what does not come back. */
#include "tests/scenarios/scenario.h"

#include "orchestrator/core/backend_plan_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define BUDGET ",\"policy\":{\"failures_per_wave\":4,\"failures_per_run\":4}"

static uint32_t times_left; /* of the meddling under test */

static struct scenario *run_with(const char *more, void (*meddle)(struct scenario *, struct plan_answer *),
                                 uint32_t times)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", more);

    times_left = times;
    s->meddle = meddle;
    scenario_start(s);
    scenario_run(s);
    return s;
}

static void expect(struct scenario *s, enum run_state run, enum node_end end, const char *reason)
{
    struct node_view v = engine_node(s->engine, scenario_first(s));

    if (engine_run(s->engine).state != run || v.end != end || strstr(v.reason, reason) == NULL)
        fail_msg("run %s, node %s (%s)\n%s", run_states[engine_run(s->engine).state].name,
                 node_end_names[v.end], v.reason, buf_text(&s->notes));
    scenario_replays(s);
    scenario_free(s);
}

static bool about(const struct plan_answer *a, enum observe_what what)
{
    return a->cause == CMD_OBSERVE && a->ev->u.observed.what == what && a->ev->u.observed.ok;
}

static bool observes(const struct scenario *s, const struct plan_answer *a, enum observe_what what)
{
    return about(a, what) && a->node == scenario_first(s) && times_left > 0 && times_left-- > 0;
}

static struct empty_left left = { "vm", "00000000-0000-4000-8000-0000000000ff", "stranger", "runs here" };

static void something_left(struct scenario *s, struct plan_answer *a)
{
    if (!observes(s, a, OBSERVE_EMPTY))
        return;
    a->ev->u.observed.empty.empty = false;
    a->ev->u.observed.empty.left = &left;
    a->ev->u.observed.empty.n_left = 1;
}

/* A VM that came in between is moved by a new proof; one that never goes ends the node's drain (O2). */
static void test_not_empty(void **state)
{
    (void)state;
    left.kind = "vm";
    expect(run_with(BUDGET, something_left, 1), RUN_FINISHED, NODE_DONE, "");
    expect(run_with(BUDGET, something_left, 99), RUN_FINISHED, NODE_RETURNED,
           "O2: the node is not empty: stranger");
    left.kind = "csv";
    expect(run_with(BUDGET, something_left, 1), RUN_FINISHED, NODE_DONE, "");
    expect(run_with(BUDGET, something_left, 99), RUN_FINISHED, NODE_RETURNED, "O2");
}

static void no_answer(struct scenario *s, struct plan_answer *a)
{
    if (observes(s, a, OBSERVE_EMPTY))
        a->ev->u.observed.ok = false;
}

static void test_does_not_tell_whether_empty(void **state)
{
    (void)state;
    expect(run_with(BUDGET, no_answer, 2), RUN_FINISHED, NODE_DONE, "");
    expect(run_with(BUDGET, no_answer, 99), RUN_FINISHED, NODE_RETURNED, "O2");
}

static void stage_fails(struct scenario *s, struct plan_answer *a)
{
    if (a->cause == CMD_STAGE && a->node == scenario_first(s) && times_left > 0 && times_left-- > 0) {
        a->ev->u.staged.ok = false;
        a->ev->u.staged.text = "no space";
    }
}

static void test_staging_fails(void **state)
{
    (void)state;
    expect(run_with(BUDGET, stage_fails, 2), RUN_FINISHED, NODE_DONE, "");
    expect(run_with(BUDGET, stage_fails, 99), RUN_FINISHED, NODE_SET_ASIDE, "no space");
}

static void servicing(struct scenario *s, struct plan_answer *a)
{
    if (observes(s, a, OBSERVE_FACTS))
        a->ev->u.observed.facts.servicing_idle = false;
}

static void other_cluster(struct scenario *s, struct plan_answer *a)
{
    if (observes(s, a, OBSERVE_FACTS))
        a->ev->u.observed.facts.cluster = "another";
}

static void no_facts(struct scenario *s, struct plan_answer *a)
{
    if (observes(s, a, OBSERVE_FACTS))
        a->ev->u.observed.ok = false;
}

static void test_facts_say_no(void **state)
{
    (void)state;
    expect(run_with(BUDGET, servicing, 3), RUN_FINISHED, NODE_DONE, "");
    expect(run_with(BUDGET, servicing, 99), RUN_FINISHED, NODE_SET_ASIDE, "O26");
    expect(run_with(BUDGET, other_cluster, 1), RUN_FINISHED, NODE_SET_ASIDE, "I16");
    expect(run_with(BUDGET, no_facts, 3), RUN_FINISHED, NODE_DONE, "");
    expect(run_with(BUDGET, no_facts, 99), RUN_FINISHED, NODE_SET_ASIDE, "no facts");
}

static void bitlocker_on(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (about(a, OBSERVE_FACTS))
        a->ev->u.observed.facts.bitlocker_os_volume = "on";
}

/* How often it was warned of BitLocker before a node was paused. */
static uint32_t warned_in_time(const struct scenario *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->kept.n && strstr(s->kept.items[i].commands, "\"pause\"") == NULL; i++)
        n += strstr(s->kept.items[i].commands, "protected by BitLocker") != NULL;
    return n;
}

/* Reported when checking; suspended for the one reboot where the rollout says so (O12). */
static void test_bitlocker(void **state)
{
    struct scenario *s = run_with(",\"policy\":{\"bitlocker_suspend\":true}", bitlocker_on, 0);

    (void)state;
    check_run(s, RUN_FINISHED);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(backend_plan_effects(s->world, i, "bitlocker_suspend"), 1);
    assert_non_null(strstr(buf_text(&s->notes), "BitLocker"));
    scenario_free(s);
    s = run_with("", bitlocker_on, 0);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "bitlocker_suspend"), 0);
    assert_int_equal(warned_in_time(s), 1);
    scenario_free(s);
}

static void csv_gone(struct scenario *s, struct plan_answer *a)
{
    static struct view_csv csv = { "csv1", "Volume1", "n00-00", false };

    if (about(a, OBSERVE_CLUSTER) && engine_node(s->engine, scenario_first(s)).phase == NODE_RESUMING) {
        a->ev->u.observed.view.csvs = &csv;
        a->ev->u.observed.view.n_csvs = 1;
    }
}

/* A volume that was healthy before the drain is not: the node stays out (O12). */
static void test_csv_not_as_before(void **state)
{
    (void)state;
    expect(run_with(BUDGET, csv_gone, 0), RUN_FINISHED, NODE_STUCK, "O12: a cluster shared volume");
}

static void never_up(struct scenario *s, struct plan_answer *a)
{
    struct cluster_view *v = &a->ev->u.observed.view;
    static struct view_node nodes[16];

    if (!about(a, OBSERVE_CLUSTER) || engine_node(s->engine, scenario_first(s)).phase != NODE_SETTLING)
        return;
    assert_true(v->n_nodes <= TABLE_LEN(nodes));
    for (uint32_t i = 0; i < v->n_nodes; i++) {
        nodes[i] = v->nodes[i];
        if (strcmp(nodes[i].id, scenario_first_id(s)) == 0)
            nodes[i].state = SEEN_JOINING;
    }
    v->nodes = nodes;
}

/* It stays out, and where its BMC is stands with it (O12). */
static void test_never_up_again(void **state)
{
    struct inventory *inv = small_fleet(&words);
    struct scenario *s;

    (void)state;
    for (uint32_t i = 0; i < inv->n_nodes; i++)
        inv->nodes[i].bmc = "10.0.0.9";
    s = scenario_of(inv, "[1,\"100%\"]", BUDGET);
    s->meddle = never_up;
    scenario_start(s);
    scenario_run(s);
    expect(s, RUN_FINISHED, NODE_STUCK, "I17: the cluster does not say Up; BMC 10.0.0.9");
    expect(run_with(BUDGET, never_up, 0), RUN_FINISHED, NODE_STUCK, "I17");
}

/* One of the first pictures: until they are over nothing is drained. */
static bool is_a_bad_picture(const struct scenario *s, const struct plan_answer *a)
{
    if (!about(a, OBSERVE_CLUSTER) || times_left == 0)
        return false;
    times_left--;
    for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++)
        assert_int_equal(backend_plan_effects(s->world, i, "pause"), 0);
    return true;
}

static void half_a_picture(struct scenario *s, struct plan_answer *a)
{
    if (is_a_bad_picture(s, a))
        a->ev->u.observed.n_vms_nodes--;
}

static void no_picture(struct scenario *s, struct plan_answer *a)
{
    if (is_a_bad_picture(s, a))
        a->ev->u.observed.ok = false;
}

/* Half a picture is none: it is asked for again, and nothing is drained on it. */
static void test_pictures(void **state)
{
    (void)state;
    expect(run_with(BUDGET, half_a_picture, 3), RUN_FINISHED, NODE_DONE, "");
    expect(run_with(BUDGET, no_picture, 3), RUN_FINISHED, NODE_DONE, "");
}

#define CONSENT                                                                                           \
    ",\"consents\":[{\"vm\":\"00000000-0000-4000-8000-000000000000\",\"method\":\"shutdown\",\"person\":" \
    "\"owner\","                                                                                          \
    "\"ticket\":\"CHG2\",\"checkpoint\":true,\"expires\":\"2026-01-01T00:00:00Z\"}]"

/* Parked with a checkpoint: merged before the node counts as done; what fails on the way is said (O4, I9). */
static void test_parking_goes_wrong(void **state)
{
    static const struct {
        const char *action, *code;
        enum op_outcome outcome;
        bool effect; /* it happened all the same */
        uint32_t times;
        enum node_end end;
        const char *reason;
    } rows[] = {
        { "park_vm", "failed", OUTCOME_FAILED, false, 0, NODE_DONE, "" },
        { "park_vm", "failed", OUTCOME_FAILED, false, 9, NODE_RETURNED, "could not be parked" },
        { "park_vm", "failed", OUTCOME_FAILED, true, 9, NODE_RETURNED, "could not be parked" },
        { "park_vm", "busy", OUTCOME_REFUSED, false, 1, NODE_DONE, "" },
        { "park_vm", "busy", OUTCOME_REFUSED, false, 9, NODE_RETURNED, "could not be parked" },
        { "unpark_vm", "failed", OUTCOME_FAILED, false, 1, NODE_DONE, "" },
        { "unpark_vm", "failed", OUTCOME_FAILED, false, 9, NODE_SET_ASIDE, "did not come back" },
        { "merge", "failed", OUTCOME_FAILED, false, 1, NODE_DONE, "" },
        { "merge", "failed", OUTCOME_FAILED, false, 9, NODE_SET_ASIDE, "O4: a checkpoint was not merged" },
    };

    (void)state;
    for (uint32_t i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = scenario_of(fleet_with_pinned_vm(&words), "[\"100%\"]", CONSENT BUDGET);
        uint32_t home =
            s->plan->inv->vms[inventory_vm(s->plan->inv, "00000000-0000-4000-8000-000000000000")].home;
        struct fault *f = scenario_fault(s, NULL, rows[i].action, rows[i].code);
        struct node_view v;

        f->times = rows[i].times;
        f->outcome = rows[i].outcome;
        f->no_effect = !rows[i].effect;
        scenario_start(s);
        scenario_run(s);
        v = engine_node(s->engine, home);
        if (v.end != rows[i].end || strstr(v.reason, rows[i].reason) == NULL)
            fail_msg("%s x%u: %s (%s)", rows[i].action, rows[i].times, node_end_names[v.end], v.reason);
        if (rows[i].end == NODE_DONE)
            assert_int_equal(backend_plan_effects(s->world, home, "merge"), 1);
        if (strcmp(rows[i].action, "park_vm") == 0)
            scenario_truth(s); /* it runs again, however far its parking went (I9) */
        scenario_replays(s);
        scenario_free(s);
    }
}

/* A VM that did not come back is owed a way back still: the node's next way home tries it again (I9). */
static void test_a_lost_vm_is_tried_again(void **state)
{
    struct scenario *s =
        scenario_of(fleet_with_pinned_vm(&words), "[\"100%\"]",
                    CONSENT BUDGET ",\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":"
                                   "\"board\",\"ticket\":\"C1\"}]");
    uint32_t home =
        s->plan->inv->vms[inventory_vm(s->plan->inv, "00000000-0000-4000-8000-000000000000")].home;
    struct fault *f = scenario_fault(s, NULL, "unpark_vm", "failed");

    (void)state;
    f->times = 9;
    f->outcome = OUTCOME_FAILED;
    f->no_effect = true;
    scenario_start(s);
    scenario_run(s);
    check_end(s, s->plan->inv->nodes[home].id, NODE_SET_ASIDE);
    assert_int_equal(backend_plan_effects(s->world, home, "unpark_vm"), 0);
    f->times = 0;
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
    scenario_run(s);
    check_end(s, s->plan->inv->nodes[home].id, NODE_ROLLED_BACK);
    assert_int_equal(backend_plan_effects(s->world, home, "unpark_vm"), 1);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* The same after the end, when no way home is left: what the list of a forced close names, `return` puts back. Nothing else is touched,
 * and the node ends as before (I9). */
static void test_a_lost_vm_is_put_back(void **state)
{
    struct scenario *s = scenario_of(fleet_with_pinned_vm(&words), "[\"100%\"]", CONSENT BUDGET);
    const char *vm = "00000000-0000-4000-8000-000000000000";
    uint32_t ix = inventory_vm(s->plan->inv, vm), home = s->plan->inv->vms[ix].home, resumes;
    const char *id = s->plan->inv->nodes[home].id;
    struct fault *f = scenario_fault(s, NULL, "unpark_vm", "failed");

    (void)state;
    f->times = 9;
    scenario_start(s);
    scenario_until(s, id, NODE_ENDED);
    check_end(s, id, NODE_SET_ASIDE);
    assert_int_equal(scenario_verb(s, VERB_RETURN, id), ERR_STATE); /* `retry` may yet */
    check_ok(scenario_verb(s, VERB_ABORT_FORCE, NULL), &s->err);
    assert_non_null(strstr(engine_run(s->engine).end_text, vm));
    resumes = backend_plan_effects(s->world, home, "resume");
    f->times = f->hits + 9; /* once more in vain */
    for (int again = 0; again < 2; again++) {
        assert_false(backend_plan_vm_runs(s->world, ix));
        check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
        assert_int_equal(scenario_verb(s, VERB_ROLLBACK, NULL), ERR_STATE);
        s->runner.ended = false;
        scenario_until(s, id, NODE_ENDED);
        check_end(s, id, NODE_SET_ASIDE);
        f->times = 0;
    }
    assert_true(backend_plan_vm_runs(s->world, ix));
    assert_int_equal(backend_plan_effects(s->world, home, "unpark_vm"), 1);
    assert_int_equal(backend_plan_effects(s->world, home, "resume"), resumes);
    assert_int_equal(scenario_verb(s, VERB_RETURN, id), ERR_STATE);
    scenario_replays(s);
    scenario_free(s);
}

/* Aborted while nobody has heard of a park yet: it is cancelled, and undone as if it had been done, for its node may have begun it. */
static void test_abort_while_parking(void **state)
{
    struct scenario *s = scenario_of(fleet_with_pinned_vm(&words), "[\"100%\"]", CONSENT BUDGET);
    uint32_t home =
        s->plan->inv->vms[inventory_vm(s->plan->inv, "00000000-0000-4000-8000-000000000000")].home;
    struct fault *f = scenario_fault(s, NULL, "park_vm", NULL);

    (void)state;
    f->silent = f->no_journal = f->no_effect = true;
    scenario_start(s);
    while (f->hits == 0)
        assert_true(scenario_step(s));
    check_ok(scenario_verb(s, VERB_ABORT, NULL), &s->err);
    scenario_run(s);
    check_run(s, RUN_ABORTED);
    assert_string_equal(node_end_names[engine_node(s->engine, home).end], node_end_names[NODE_RETURNED]);
    assert_int_equal(backend_plan_effects(s->world, home, "unpark_vm"), 1);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* Identity and host key: a refused node is set aside before its turn, unknown while it is out; a person may ask again. */
static void test_refused_nodes(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    struct event ev = { .type = EV_NODE_REFUSED, .node = scenario_first(s), .cluster = IX_NONE };

    (void)state;
    ev.u.refused.code = ERR_HOSTKEY;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_STAGING);
    check_ok(scenario_event(s, &ev), &s->err);
    expect(s, RUN_RUNNING, NODE_SET_ASIDE, "host key");

    s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_STOPPING_VMMS);
    check_ok(scenario_event(s, &ev), &s->err);
    assert_true(engine_node(s->engine, scenario_first(s)).unknown);
    check_ok(scenario_verb(s, VERB_RETRY, scenario_first_id(s)), &s->err);
    scenario_run(s);
    expect(s, RUN_FINISHED, NODE_DONE, "");
}

/* A claim that the node's disk refuses, full, broken for a moment or in use: nobody is distrusted for that. It is asked again, by
 * itself, and has its turn. */
static void test_a_disk_refuses_the_claim(void **state)
{
    static const enum err_code codes[] = { ERR_FULL, ERR_IO, ERR_LOCKED };

    (void)state;
    for (unsigned k = 0; k < TABLE_LEN(codes); k++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        struct event ev = { .type = EV_NODE_REFUSED, .node = scenario_first(s), .cluster = IX_NONE };

        ev.u.refused.code = codes[k];
        scenario_start(s);
        scenario_until(s, scenario_first_id(s), NODE_STAGING);
        for (int i = 0; i < 3; i++)
            check_ok(scenario_event(s, &ev), &s->err);
        assert_false(engine_node(s->engine, scenario_first(s)).claimed);
        assert_string_equal(node_end_names[engine_node(s->engine, scenario_first(s)).end], "none");
        scenario_run(s);
        expect(s, RUN_FINISHED, NODE_DONE, "");
    }
}

/* Not to be trusted before its turn, and then its connection ends too: set aside for the former (I16). */
static void test_distrusted_and_then_lost(void **state)
{
    struct scenario *s = scenario_new(&words, "[\"50%\",\"100%\"]", BUDGET);
    uint32_t last = s->plan->nodes[s->plan->waves[1].nodes[0]].node;
    struct event ev = { .type = EV_NODE_REFUSED, .node = last, .cluster = IX_NONE };

    (void)state;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_STAGING);
    ev.u.refused.code = ERR_HOSTKEY;
    ev.u.refused.text = "another host key";
    check_ok(scenario_event(s, &ev), &s->err);
    ev.type = EV_NODE_LOST;
    ev.u.refused.code = ERR_LOST;
    ev.u.refused.text = "the connection is gone";
    check_ok(scenario_event(s, &ev), &s->err);
    scenario_run(s);
    check_end(s, s->plan->inv->nodes[last].id, NODE_SET_ASIDE);
    assert_non_null(strstr(engine_node(s->engine, last).reason, "another host key"));
    scenario_replays(s);
    scenario_free(s);
}

/* The command was in the log and never went out: probed, never seen, sent once, under its own id (C.3). */
static uint32_t dropped;
static struct backend *inner;

static void drop_install(struct backend *b, const struct command *c)
{
    (void)b;
    if (c->type == CMD_OP_START && strcmp(c->action, "install") == 0 && dropped++ == 0)
        return;
    inner->submit(inner, c);
}

static void test_lost_between_log_and_wire(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    struct backend cut = { drop_install };

    (void)state;
    dropped = 0;
    inner = backend_plan_backend(s->world);
    s->runner.backend = &cut;
    scenario_start(s);
    while (dropped == 0)
        assert_true(scenario_step(s));
    scenario_crash(s);
    scenario_run(s);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "install"), 1);
    expect(s, RUN_FINISHED, NODE_DONE, "");
}

/* The agent died between ACCEPT and START: its successor has the op, and waits to be told once more (C.3). */
static void test_accepted_and_nobody_at_it(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    const char *id = scenario_first_id(s);
    struct op_record rec = { .action = "install", .state = OP_ACCEPTED };
    struct event ev = { .type = EV_NODE_LOST, .node = scenario_first(s), .cluster = IX_NONE };
    char op[64];
    uint32_t sent = 0;

    (void)state;
    scenario_start(s);
    scenario_until(s, id, NODE_INSTALLING);
    check_ok(scenario_event(s, &ev), &s->err);
    snprintf(op, sizeof op, "r1/%s/1/install/1", id);
    rec.op = op;
    ev.type = EV_NODE_CLAIMED;
    ev.u.claimed.boot_id = "boot";
    ev.u.claimed.ops = &rec;
    ev.u.claimed.n_ops = 1;
    check_ok(scenario_event(s, &ev), &s->err);
    for (uint32_t i = 0; i < s->runner.commands.n; i++)
        sent += s->runner.commands.items[i].type == CMD_OP_START &&
                strcmp(s->runner.commands.items[i].op, op) == 0;
    assert_int_equal(sent, 1);
    scenario_free(s);
}

/* The overtaken log had paused a node that this one thinks untouched. Whatever a person says of the op: it stays out, and says so,
 * until it is put back (I29). */
static void test_paused_by_the_overtaken_log(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    const char *id = scenario_first_id(s);
    struct op_record rec = { .action = "pause", .state = OP_DONE, .outcome = OUTCOME_OK };
    struct event ev = { .type = EV_NODE_CLAIMED, .node = scenario_first(s), .cluster = IX_NONE };
    char op[64];

    (void)state;
    snprintf(op, sizeof op, "r1/%s/1/pause/1", id);
    rec.op = op;
    ev.u.claimed.boot_id = "boot";
    ev.u.claimed.ops = &rec;
    ev.u.claimed.n_ops = 1;
    scenario_start(s);
    check_ok(scenario_event(s, &ev), &s->err);
    check_ok(scenario_decide(s, scenario_first(s), WITNESS_SAYS_DONE), &s->err);
    check_end(s, id, NODE_STUCK);
    assert_true(scenario_node(s, id).out);
    check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
    scenario_run(s);
    check_end(s, id, NODE_RETURNED);
    assert_false(scenario_node(s, id).out);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), s->plan->n_nodes - 1);
    scenario_free(s);
}

/* It had parked a VM on the way home of a node that this one thinks untouched, and resumed the node. The VM is owed a way back:
 * the node has no turn before it was put back (I9). */
static void test_parked_by_the_overtaken_log(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    const char *id = scenario_first_id(s), *vm = s->plan->inv->vms[0].id;
    char ops[3][128];
    struct op_record recs[] = { { .action = "pause", .state = OP_DONE, .outcome = OUTCOME_OK },
                                { .action = "park_vm", .state = OP_DONE, .outcome = OUTCOME_OK },
                                { .action = "resume", .state = OP_DONE, .outcome = OUTCOME_OK } };
    struct event ev = { .type = EV_NODE_CLAIMED, .node = scenario_first(s), .cluster = IX_NONE };

    (void)state;
    snprintf(ops[0], sizeof ops[0], "r1/%s/1/pause/1", id);
    snprintf(ops[1], sizeof ops[1], "r1/%s/1/park_vm:%s/1", id, vm);
    snprintf(ops[2], sizeof ops[2], "r1/%s/1/resume/1", id);
    for (int i = 0; i < 3; i++)
        recs[i].op = ops[i];
    ev.u.claimed.boot_id = "boot";
    ev.u.claimed.ops = recs;
    ev.u.claimed.n_ops = 3;
    scenario_start(s);
    check_ok(scenario_event(s, &ev), &s->err);
    check_ok(scenario_decide(s, scenario_first(s), WITNESS_SAYS_NOT_DONE), &s->err);
    check_end(s, id, NODE_STUCK);
    assert_non_null(strstr(scenario_node(s, id).reason, vm));
    check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
    scenario_run(s);
    check_end(s, id, NODE_RETURNED);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "unpark_vm"), 1);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "install"), 0);
    scenario_free(s);
}

static uint32_t rows_of(const struct scenario *s, const char *vm, time_ms end)
{
    const struct ledger *l = engine_ledger(s->engine);
    uint32_t n = 0;

    for (uint32_t i = 0; i < l->n; i++)
        n += strcmp(l->items[i].id, vm) == 0 && l->items[i].end == end;
    return n;
}

/* What a VM lost in an operation that only the overtaken log knew stands in the ledger, once. */
static void test_downtime_of_a_foreign_operation(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    const char *vm = s->plan->inv->vms[0].id;
    struct down_row row = { .subject = DOWN_VM,
                            .id = vm,
                            .cause = CAUSE_BLACKOUT,
                            .start = START_MS + 1000,
                            .end = START_MS + 1200,
                            .how = "event 20415" };
    struct op_record rec = {
        .action = "move_vm", .state = OP_DONE, .outcome = OUTCOME_OK, .rows = &row, .n_rows = 1
    };
    struct event ev = { .type = EV_NODE_CLAIMED, .node = scenario_first(s), .cluster = IX_NONE };
    char op[128];

    (void)state;
    snprintf(op, sizeof op, "r1/%s/7/move_vm:%s/1", scenario_first_id(s), vm);
    rec.op = op;
    ev.u.claimed.boot_id = "boot";
    ev.u.claimed.ops = &rec;
    ev.u.claimed.n_ops = 1;
    scenario_start(s);
    check_ok(scenario_event(s, &ev), &s->err);
    check_ok(scenario_event(s, &ev), &s->err); /* claimed again: told again */
    assert_int_equal(rows_of(s, vm, row.end), 1);
    scenario_free(s);
}

/* A node tells of an operation that this log never meant: unknown until a person has looked (stale copy, C.6). */
static void test_foreign_operation(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    struct op_record rec = {
        .op = "r1/n00-00/7/pause/1", .action = "pause", .state = OP_DONE, .outcome = OUTCOME_OK
    };
    struct event ev = { .type = EV_NODE_CLAIMED, .node = scenario_first(s), .cluster = IX_NONE };
    char op[64];

    (void)state;
    snprintf(op, sizeof op, "r1/%s/7/pause/1", scenario_first_id(s));
    rec.op = op;
    ev.u.claimed.boot_id = "boot";
    ev.u.claimed.ops = &rec;
    ev.u.claimed.n_ops = 1;
    scenario_start(s);
    check_ok(scenario_event(s, &ev), &s->err);
    assert_true(engine_node(s->engine, scenario_first(s)).unknown);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "pause"), 0);
    memset(&ev.u, 0, sizeof ev.u);
    ev.type = EV_VERB;
    ev.u.verb.verb = VERB_DECIDE;
    ev.u.verb.person = "anna";
    ev.u.verb.decision = WITNESS_SAYS_NOT_DONE;
    check_ok(scenario_event(s, &ev), &s->err);
    scenario_run(s);
    expect(s, RUN_FINISHED, NODE_DONE, "");
}

static void slow_picture(struct scenario *s, struct plan_answer *a)
{
    static uint64_t held_back; /* each answer once */

    (void)s;
    if (a->cause != CMD_OBSERVE || a->ev->u.observed.what != OBSERVE_CLUSTER ||
        a->ev->u.observed.ask == held_back)
        return;
    held_back = a->ev->u.observed.ask;
    a->late_ms = 50 * SECOND_MS;
}

/* A cluster whose picture takes most of a minute: nodes still go through their reboot (O20 looks once more before it). */
static void test_a_slow_picture_lets_nodes_reboot(void **state)
{
    struct scenario *s = run_with(BUDGET, slow_picture, 0);

    (void)state;
    assert_int_equal(scenario_ended(s, NODE_DONE), words.nodes);
    expect(s, RUN_FINISHED, NODE_DONE, "");
}

static void witness_running(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->cause == CMD_OP_PROBE && times_left > 0 && times_left-- > 0)
        a->ev->u.op_result.record.witness = WITNESS_SAYS_RUNNING;
}

/* TrustedInstaller goes on after its driver was ended: waited for, not begun again (O10). */
static void test_still_running(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    struct fault *f = scenario_fault(s, NULL, "install", NULL);

    (void)state;
    f->silent = f->no_journal = true;
    times_left = 3;
    s->meddle = witness_running;
    scenario_start(s);
    scenario_run(s);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "install"), 1);
    expect(s, RUN_FINISHED, NODE_DONE, "");
}

/* Who moves a VM of another node, which has automatic failback or not, and where to: while the second node goes out, onto the first,
 * which has just come back, or onto one that was never out; or when the first has long been back. Or when the second is out, and for
 * long there is no picture of the cluster. */
static const struct hand {
    bool failback, never_out;
    uint32_t back;    /* so many nodes are back by then */
    const char *step; /* of the node that goes out */
    dur_ms unseen;
    const char *note;
} hands[] = { { false, false, 1, "pause", 0, "O26 a VM was moved by somebody else" },
              { true, false, 1, "pause", 0, "O24 VM" },
              { true, true, 1, "pause", 0, "O26 a VM was moved by somebody else" },
              { true, false, 2, "pause", 0, "O26 a VM was moved by somebody else" },
              { true, false, 1, "install", 30 * MINUTE_MS, "O24 VM" },
              { false, false, 1, "install", 30 * MINUTE_MS, "O26 a VM was moved by somebody else" } };
static const struct hand *hand;
static time_ms moved_at;

static uint32_t where_to(const struct scenario *s, uint32_t going)
{
    if (!hand->never_out)
        return scenario_first(s);
    for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++)
        if (i != going && engine_node(s->engine, i).out_since == 0)
            return i;
    return IX_NONE;
}

static void somebody_moves_a_vm(struct scenario *s, struct plan_answer *a)
{
    uint32_t to;

    if (moved_at != 0 && a->at < moved_at + hand->unseen && scenario_is_picture(a))
        a->ev->u.observed.ok = false;
    if (moved_at != 0 || a->cause != CMD_OP_START || strcmp(a->action, hand->step) != 0 ||
        scenario_ended(s, NODE_DONE) != hand->back || backend_plan_effects(s->world, a->node, hand->step) > 0)
        return;
    to = where_to(s, a->node);
    for (uint32_t i = 0; i < s->plan->inv->n_vms && moved_at == 0; i++) {
        uint32_t at = s->world->fleet.vms.items[i].at;

        s->world->fleet.vms.items[i].vm.auto_failback = hand->failback;
        if (at == to || at == a->node)
            continue;
        fleet_arrive(&s->world->fleet, i, to);
        moved_at = a->at;
    }
}

/* O26 holds a cluster for a stranger's move; a group's own failback (O24) is none. It follows its node home soon, or not at all. */
static void test_a_failback_is_no_stranger(void **state)
{
    const struct fleet_words four = { .seed = 5,
                                      .clusters = 1,
                                      .nodes = 4,
                                      .vms = 2,
                                      .node_mib = 65536,
                                      .vm_mib_min = 2048,
                                      .vm_mib_max = 4096 };

    (void)state;
    for (unsigned k = 0; k < TABLE_LEN(hands); k++) {
        struct scenario *s = scenario_new(&four, "[\"100%\"]", ",\"policy\":{\"moves_per_vm\":9}");
        const char *notes;

        hand = &hands[k];
        moved_at = 0;
        s->meddle = somebody_moves_a_vm;
        scenario_start(s);
        scenario_run(s);
        assert_int_not_equal(moved_at, 0);
        check_run(s, RUN_FINISHED);
        notes = buf_text(&s->notes);
        if (strstr(notes, hand->note) == NULL ||
            (strstr(notes, "O26") != NULL) == (strstr(notes, "O24 VM") != NULL))
            fail_msg("%u:\n%s", k, notes);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_failback_is_no_stranger),
        cmocka_unit_test(test_not_empty),
        cmocka_unit_test(test_does_not_tell_whether_empty),
        cmocka_unit_test(test_staging_fails),
        cmocka_unit_test(test_facts_say_no),
        cmocka_unit_test(test_bitlocker),
        cmocka_unit_test(test_csv_not_as_before),
        cmocka_unit_test(test_never_up_again),
        cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_parking_goes_wrong),
        cmocka_unit_test(test_a_lost_vm_is_tried_again),
        cmocka_unit_test(test_a_lost_vm_is_put_back),
        cmocka_unit_test(test_abort_while_parking),
        cmocka_unit_test(test_a_disk_refuses_the_claim),
        cmocka_unit_test(test_distrusted_and_then_lost),
        cmocka_unit_test(test_refused_nodes),
        cmocka_unit_test(test_lost_between_log_and_wire),
        cmocka_unit_test(test_accepted_and_nobody_at_it),
        cmocka_unit_test(test_paused_by_the_overtaken_log),
        cmocka_unit_test(test_parked_by_the_overtaken_log),
        cmocka_unit_test(test_foreign_operation),
        cmocka_unit_test(test_downtime_of_a_foreign_operation),
        cmocka_unit_test(test_still_running),
        cmocka_unit_test(test_a_slow_picture_lets_nodes_reboot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
