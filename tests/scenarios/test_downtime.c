/* An outage of a parked VM from its beginning to its end, where the driver tells no row of one of them: it found its work done, or
 * a witness decided. The ledger has what is known then, and says how it is known (O35). */
#include "orchestrator/core/backend_plan_world.h"
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define TIED "00000000-0000-4000-8000-000000000000"
#define BUDGET ",\"policy\":{\"failures_per_wave\":4,\"failures_per_run\":4}"
#define NO_BUDGET ",\"policy\":{\"failures_per_wave\":0,\"failures_per_run\":0,\"balancer\":\"keep\"}"
#define CONSENT                                                                             \
    ",\"consents\":[{\"vm\":\"" TIED                                                        \
    "\",\"method\":\"save\",\"person\":\"owner\",\"ticket\":\"CHG2\",\"checkpoint\":false," \
    "\"expires\":\"2026-01-01T00:00:00Z\"}]"

#define BY_STEP "running when the step ended"
#define BY_PICTURE "running in a picture"
#define DOWN_BY_STEP "down when the step ended"
#define BY_DRIVER "predicted" /* as the fleet in memory says it */

static struct scenario *begin_with(const char *more)
{
    struct scenario *s = scenario_of(fleet_with_pinned_vm(&words), "[\"100%\"]", more);

    scenario_start(s);
    return s;
}

static struct scenario *begin(void)
{
    return begin_with(BUDGET CONSENT);
}

static uint32_t home_of(const struct scenario *s)
{
    return s->plan->inv->vms[inventory_vm(s->plan->inv, TIED)].home;
}

/* The outages in the ledger that lasted or last; the last of them. */
static uint32_t outages(const struct scenario *s, struct ledger_row *ret_last)
{
    const struct ledger *l = engine_ledger(s->engine);
    uint32_t n = 0;

    for (uint32_t i = 0; i < l->n; i++)
        if (l->items[i].subject == DOWN_VM && strcmp(l->items[i].id, TIED) == 0 &&
            l->items[i].cause != CAUSE_BLACKOUT && l->items[i].end > l->items[i].start) {
            *ret_last = l->items[i];
            n++;
        }
    return n;
}

static struct ledger_row only_outage(const struct scenario *s)
{
    struct ledger_row row = { 0 };

    assert_int_equal(outages(s, &row), 1);
    return row;
}

/* The world does the step, and nobody hears of it. */
static void until_unheard(struct scenario *s, const char *action)
{
    struct fault *f = scenario_fault(s, NULL, action, NULL);

    f->silent = true;
    while (f->hits == 0)
        assert_true(scenario_step(s));
}

/* Its record, as it comes from a driver that told no row; or a witness's word on it. */
static void told_without_a_row(struct scenario *s, enum op_witness witness)
{
    struct event ev = { .type = EV_OP_RESULT, .node = home_of(s), .cluster = IX_NONE };
    struct op_record *rec = &ev.u.op_result.record;
    char op[128];

    assert_int_equal(engine_ops_open(s->engine), 1);
    snprintf(op, sizeof op, "%s", engine_op_open(s->engine, 0).op);
    s->now += MINUTE_MS;
    *rec = (struct op_record){ .op = op,
                               .state = witness == WITNESS_NOT_ASKED ? OP_DONE : OP_UNKNOWN,
                               .witness = witness,
                               .outcome = witness == WITNESS_NOT_ASKED ? OUTCOME_OK : OUTCOME_NONE,
                               .already = witness == WITNESS_NOT_ASKED,
                               .boot_id = "b",
                               .ended = witness == WITNESS_NOT_ASKED ? s->now - 5 * SECOND_MS : 0 };
    check_ok(scenario_event(s, &ev), &s->err);
    for (uint32_t i = 0; i < engine_ops_open(s->engine); i++)
        assert_string_not_equal(engine_op_open(s->engine, i).op, op);
}

static void to_its_end(struct scenario *s)
{
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_end(s, s->plan->inv->nodes[home_of(s)].id, NODE_DONE);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

static void clock_went_back(struct scenario *s, struct plan_answer *a)
{
    struct world_node *n = &s->world->nodes[a->node];

    if (a->action == NULL || strcmp(a->action, "unpark_vm") != 0)
        return;
    for (uint32_t i = 0; i < n->journal.n; i++)
        if (n->journal.items[i].action == ACT_UNPARK_VM)
            n->journal.items[i].ended = s->now - DAY_MS;
}

/* The node's clock went back by a day while its VM was down: that row has no end before its beginning, and counts. */
static void test_up_before_it_was_down(void **state)
{
    struct scenario *s = begin();
    const struct ledger *l = engine_ledger(s->engine);

    (void)state;
    s->meddle = clock_went_back;
    scenario_run(s);
    for (uint32_t i = 0; i < l->n; i++)
        assert_true(l->items[i].end >= l->items[i].start);
    to_its_end(s);
}

/* The node started it with its boot and unpark_vm finds it running, or a witness says so: it was up by then. */
static void test_found_running(void **state)
{
    static const enum op_witness words_of[] = { WITNESS_NOT_ASKED, WITNESS_SAYS_DONE };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(words_of); i++) {
        struct scenario *s = begin();
        struct ledger_row row;

        until_unheard(s, "unpark_vm");
        assert_int_equal(only_outage(s).end, TIME_NEVER);
        told_without_a_row(s, words_of[i]);
        row = only_outage(s);
        assert_int_equal(row.end, i == 0 ? s->now - 5 * SECOND_MS : s->now);
        assert_string_equal(row.how, BY_STEP);
        assert_int_equal(row.cause, CAUSE_SHUT_DOWN); /* as the driver said when it went down */
        to_its_end(s);
    }
}

/* It went down, and only a witness says so: down by then, by the method that its owner consented to. The driver's word on its way
 * back ends that row. */
static void test_parked_without_a_row(void **state)
{
    static const enum op_witness words_of[] = { WITNESS_NOT_ASKED, WITNESS_SAYS_DONE };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(words_of); i++) {
        struct scenario *s = begin();
        struct ledger_row row;
        time_ms since;

        until_unheard(s, "park_vm");
        assert_int_equal(outages(s, &row), 0);
        told_without_a_row(s, words_of[i]);
        row = only_outage(s);
        since = row.start;
        assert_int_equal(since, i == 0 ? s->now - 5 * SECOND_MS : s->now);
        assert_int_equal(row.end, TIME_NEVER);
        assert_int_equal(row.cause, CAUSE_SAVED);
        assert_string_equal(row.how, DOWN_BY_STEP);
        while (only_outage(s).end == TIME_NEVER)
            assert_true(scenario_step(s));
        row = only_outage(s);
        assert_int_equal(row.start, since);
        assert_string_equal(row.how, BY_DRIVER);
        to_its_end(s);
    }
}

/* It runs again with the boot, and a picture shows it before unpark_vm has its turn: that is when it is known. What the driver knows
 * better then takes the place of it; where it tells nothing, it stays. */
static void test_seen_running(void **state)
{
    (void)state;
    for (unsigned told = 0; told < 2; told++) {
        struct scenario *s = begin();
        const char *id = s->plan->inv->nodes[home_of(s)].id;
        struct ledger_row row;
        time_ms seen;

        scenario_until(s, id, NODE_VERIFYING);
        assert_int_equal(only_outage(s).end, TIME_NEVER);
        s->world->vms[inventory_vm(s->plan->inv, TIED)].running = true;
        while (only_outage(s).end == TIME_NEVER)
            assert_true(scenario_step(s));
        assert_int_equal(backend_plan_effects(s->world, home_of(s), "unpark_vm"), 0);
        row = only_outage(s);
        seen = row.end;
        assert_int_equal(seen, s->now);
        assert_string_equal(row.how, BY_PICTURE);
        if (!told) {
            until_unheard(s, "unpark_vm");
            told_without_a_row(s, WITNESS_NOT_ASKED);
        }
        scenario_until(s, id, NODE_ENDED);
        row = only_outage(s);
        assert_string_equal(row.how, told ? BY_DRIVER : BY_PICTURE);
        assert_int_equal(row.end == seen, !told);
        to_its_end(s);
    }
}

/* What another log did, told at each claim until it is acknowledged: taken once, and not for what came after it. */
static void test_downtime_of_another_log(void **state)
{
    static const struct {
        const char *step;
        dur_ms ended; /* after the first */
        uint32_t outages;
        dur_ms lasted; /* -1: it lasts */
    } told[] = {
        { "park_vm", 0, 1, -1 },          { "park_vm", 0, 1, -1 },
        { "unpark_vm", -1000, 1, -1 }, /* of the time before */
        { "unpark_vm", 60000, 1, 60000 }, { "unpark_vm", 60000, 1, 60000 },
        { "park_vm", 0, 1, 60000 }, /* told once more */
        { "park_vm", 90000, 2, -1 },
    };
    struct scenario *s = begin();
    struct event ev = { .type = EV_NODE_CLAIMED, .node = home_of(s), .cluster = IX_NONE };
    const char *id = s->plan->inv->nodes[home_of(s)].id;
    struct op_record rec;
    char op[128];

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(told); i++) {
        struct ledger_row row = { 0 };

        snprintf(op, sizeof op, "r1/%s/7/%s:" TIED "/1", id, told[i].step);
        rec = (struct op_record){ .op = op,
                                  .action = told[i].step,
                                  .state = OP_DONE,
                                  .outcome = OUTCOME_OK,
                                  .boot_id = "b",
                                  .ended = START_MS + told[i].ended };
        ev.u.claimed.ops = &rec;
        ev.u.claimed.n_ops = 1;
        ev.u.claimed.boot_id = "b";
        ev.u.claimed.machine_id = s->plan->inv->nodes[home_of(s)].machine_id;
        ev.u.claimed.agent = "plan";
        check_ok(scenario_event(s, &ev), &s->err);
        if (outages(s, &row) != told[i].outages ||
            (row.end == TIME_NEVER ? -1 : row.end - row.start) != told[i].lasted)
            fail_msg("%u, %s: %u outages, %lld to %lld", i, told[i].step, outages(s, &row),
                     (long long)row.start, (long long)row.end);
    }
    scenario_replays(s);
    scenario_free(s);
}

/* Half parked, as its driver says: it may be down, and the node is told since when at the latest, not since 1970. */
static void test_half_parked(void **state)
{
    struct scenario *s = begin();
    struct fault *f = scenario_fault(s, NULL, "park_vm", "failed");
    const char *since = NULL;

    (void)state;
    f->outcome = OUTCOME_FAILED;
    scenario_run(s);
    check_end(s, s->plan->inv->nodes[home_of(s)].id, NODE_RETURNED);
    for (uint32_t i = 0; i < s->kept.n && since == NULL; i++)
        since = strstr(s->kept.items[i].commands, "\"down_since_ms\":");
    assert_non_null(since);
    assert_true(strtoll(since + strlen("\"down_since_ms\":"), NULL, 10) > START_MS);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

static void less_memory(struct scenario *s, struct plan_answer *a)
{
    if (a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_FACTS && a->node == home_of(s) &&
        backend_plan_effects(s->world, a->node, "reboot") > 0)
        a->ev->u.observed.facts.memory_mib /= 2;
}

static void tied_runs(struct scenario *s)
{
    s->world->vms[inventory_vm(s->plan->inv, TIED)].running = true;
}

static void ends_stuck(struct scenario *s, const char *id)
{
    scenario_run(s);
    check_run(s, RUN_HALTED);
    check_end(s, id, NODE_STUCK);
}

/* Not whole after its boot, the node stays out before its way home has come to the VM, and the run halts by it; likewise put back in
 * vain. Whether the boot, or somebody since, has started the VM is looked at before that: then it is not down any more. */
static void test_up_on_a_stuck_node(void **state)
{
    (void)state;
    for (unsigned later = 0; later < 2; later++) {
        struct scenario *s = begin_with(NO_BUDGET CONSENT);
        const char *id = s->plan->inv->nodes[home_of(s)].id;

        s->meddle = less_memory;
        scenario_until(s, id, NODE_VERIFYING);
        if (!later)
            tied_runs(s);
        ends_stuck(s, id);
        if (later) {
            assert_int_equal(only_outage(s).end, TIME_NEVER);
            tied_runs(s);
            check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
            ends_stuck(s, id);
        }
        assert_string_equal(only_outage(s).how, BY_PICTURE);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* Set aside while nobody could reach it, the node is back while the run holds: its VM is looked at all the same. */
static void test_up_on_a_node_that_is_back(void **state)
{
    struct scenario *s = begin();
    const char *id = s->plan->inv->nodes[home_of(s)].id;

    (void)state;
    scenario_until(s, id, NODE_VERIFYING);
    tied_runs(s);
    backend_plan_cut(s->world, home_of(s), s->now + 20 * MINUTE_MS);
    check_ok(scenario_verb(s, VERB_PAUSE, NULL), &s->err);
    scenario_until_unknown(s, id);
    check_ok(scenario_verb(s, VERB_SET_ASIDE, id), &s->err);
    check_end(s, id, NODE_STUCK);
    while (!scenario_node(s, id).claimed)
        scenario_goes_on(s);
    assert_int_equal(only_outage(s).end, TIME_NEVER);
    scenario_goes_on(s);
    assert_string_equal(only_outage(s).how, BY_PICTURE);
    scenario_replays(s);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_running),           cmocka_unit_test(test_up_before_it_was_down),
        cmocka_unit_test(test_parked_without_a_row),    cmocka_unit_test(test_seen_running),
        cmocka_unit_test(test_downtime_of_another_log), cmocka_unit_test(test_half_parked),
        cmocka_unit_test(test_up_on_a_stuck_node),      cmocka_unit_test(test_up_on_a_node_that_is_back)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("tests", tests, NULL, NULL);
}
