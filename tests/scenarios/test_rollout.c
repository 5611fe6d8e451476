/* The good way: what a rollout does when nothing goes wrong. */
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For the schemas' test, which has a validator that is not ours. */
static void leave_events(const struct scenario *s)
{
    const char *dir = getenv("PW_BUILD_DIR");
    char path[512];
    FILE *f;

    if (dir == NULL)
        return;
    snprintf(path, sizeof path, "%s/events.jsonl", dir);
    f = fopen(path, "w");
    assert_non_null(f);
    for (uint32_t i = 0; i < s->kept.n; i++)
        fprintf(f, "%s\n", s->kept.items[i].event);
    fclose(f);
}

/* 2 clusters of 4 nodes in waves of 1, 2 and all: every node is patched, every VM is where it may be, as planned. */
static void test_all_waves_pass(void **state)
{
    struct scenario *s = scenario_new(NULL, NULL, NULL);

    (void)state;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 8);
    assert_int_equal(engine_run(s->engine).deviations, 0);
    assert_int_equal(engine_run(s->engine).failures, 0);
    assert_false(engine_run(s->engine).unfinished);
    scenario_truth(s);
    scenario_replays(s);
    leave_events(s);
    scenario_free(s);
}

/* The same inputs give the same log, byte for byte, and the same state (I23). */
static void test_deterministic(void **state)
{
    struct scenario *a = scenario_new(NULL, NULL, NULL), *b = scenario_new(NULL, NULL, NULL);
    char x[SHA256_TEXT], y[SHA256_TEXT];

    (void)state;
    scenario_start(a);
    scenario_run(a);
    scenario_start(b);
    scenario_run(b);
    assert_int_equal(a->kept.n, b->kept.n);
    for (uint32_t i = 0; i < a->kept.n; i++) {
        assert_string_equal(a->kept.items[i].event, b->kept.items[i].event);
        assert_string_equal(a->kept.items[i].commands, b->kept.items[i].commands);
    }
    engine_hash(a->engine, x);
    engine_hash(b->engine, y);
    assert_string_equal(x, y);
    scenario_free(a);
    scenario_free(b);
}

/* S2D: one node out at a time, the next only after two clean samples 30 s apart (O21). */
static void test_s2d_one_at_a_time(void **state)
{
    static const struct fleet_words words = { .seed = 3,
                                              .clusters = 1,
                                              .nodes = 5,
                                              .vms = 2,
                                              .node_mib = 65536,
                                              .vm_mib_min = 2048,
                                              .vm_mib_max = 4096,
                                              .max_out = 3,
                                              .s2d = true };
    struct scenario *s = scenario_new(&words, "[\"100%\"]", "");
    bool was_out = false, said = false;
    time_ms back = 0;

    (void)state;
    scenario_start(s);
    while (scenario_step(s)) {
        uint32_t out = 0;

        for (uint32_t i = 0; i < 5; i++) {
            out += engine_node(s->engine, i).out;
            said = said || strcmp(engine_node(s->engine, i).waits_for, "O21: storage repair") == 0;
        }
        assert_true(out <= 1);
        if (was_out && out == 0)
            back = s->now;
        if (!was_out && out == 1 && back != 0)
            assert_true(s->now >= back);
        was_out = out == 1;
    }
    check_run(s, RUN_FINISHED);
    assert_true(said); /* what is waited for is named (I28) */
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(backend_plan_effects(s->world, i, "storage_out"), 1);
        assert_int_equal(backend_plan_effects(s->world, i, "storage_in"), 1);
    }
    scenario_truth(s);
    scenario_free(s);
}

static struct inventory *with_pinned_vm(void)
{
    static const struct fleet_words words = { .seed = 4,
                                              .clusters = 1,
                                              .nodes = 4,
                                              .vms = 2,
                                              .node_mib = 65536,
                                              .vm_mib_min = 2048,
                                              .vm_mib_max = 4096 };
    struct buf text = BUF_INIT, pinned = BUF_INIT;
    struct inventory *inv;
    const char *at;

    small_fleet_json(&words, &text);
    at = strstr(buf_text(&text), "\"dirty_mib_s\"");
    assert_non_null(at);
    buf_add(&pinned, text.data, (size_t)(at - text.data));
    buf_str(&pinned, "\"dda\":true,");
    buf_str(&pinned, at);
    inv = inventory_of(buf_text(&pinned));
    buf_clear(&text);
    buf_clear(&pinned);
    return inv;
}

#define CONSENT                                                                                           \
    ",\"consents\":[{\"vm\":\"00000000-0000-4000-8000-000000000000\",\"method\":\"shutdown\",\"person\":" \
    "\"owner\",\"ticket\":\"CHG2\","                                                                      \
    "\"checkpoint\":false,\"expires\":\"2026-01-01T00:00:00Z\"}]"

/* Since when the VM is down, as the node is told when it is to start it again; 0: it is not told. */
static int64_t told_since_when(const struct scenario *s)
{
    for (uint32_t i = 0; i < s->kept.n; i++) {
        const char *since = strstr(s->kept.items[i].commands, "\"down_since_ms\":");

        if (since != NULL && strstr(s->kept.items[i].commands, "\"unpark_vm\"") != NULL)
            return strtoll(since + strlen("\"down_since_ms\":"), NULL, 10);
    }
    return 0;
}

/* A VM that cannot move is parked with its owner's consent, comes back, and its minutes stand in the ledger (O4, I9). */
static void test_parked_with_consent(void **state)
{
    struct scenario *s = scenario_of(with_pinned_vm(), "[1,\"100%\"]", CONSENT);
    uint32_t vm = inventory_vm(s->plan->inv, "00000000-0000-4000-8000-000000000000");
    struct ledger_ask ask = { DOWN_VM, CAUSE_SHUT_DOWN, IX_NONE, IX_NONE,
                              "00000000-0000-4000-8000-000000000000" };
    uint32_t home = s->plan->inv->vms[vm].home;

    (void)state;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 4);
    assert_int_equal(backend_plan_effects(s->world, home, "park_vm"), 1);
    assert_int_equal(backend_plan_effects(s->world, home, "unpark_vm"), 1);
    assert_true(ledger_sum(engine_ledger(s->engine), &ask, s->now) > 10 * MINUTE_MS);
    assert_true(told_since_when(s) > START_MS);
    assert_null(strstr(buf_text(&s->notes), "BitLocker")); /* of which no node has any */
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* Without consent nothing is stopped: the plan leaves the node out and says so. */
static void test_no_consent_no_stop(void **state)
{
    struct scenario *s = scenario_of(with_pinned_vm(), "[1,\"100%\"]", "");

    (void)state;
    assert_int_equal(s->plan->n_refusals, 1);
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 3);
    assert_true(engine_run(s->engine).unfinished);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(backend_plan_effects(s->world, i, "park_vm"), 0);
    scenario_free(s);
}

/* Every step has a row, zero included; every node out has its span. */
static void test_ledger_has_every_step(void **state)
{
    struct scenario *s = scenario_new(NULL, NULL, NULL);
    const struct ledger *l = engine_ledger(s->engine);
    struct ledger_ask out = { DOWN_NODE, CAUSE_NODE_OUT, IX_NONE, IX_NONE, NULL };
    uint32_t spans = 0, reboots = 0;
    dur_ms sum = 0;

    (void)state;
    scenario_start(s);
    scenario_run(s);
    for (uint32_t i = 0; i < l->n; i++) {
        assert_true(l->items[i].end >= l->items[i].start);
        reboots += strcmp(l->items[i].step, "reboot") == 0;
        spans += strcmp(l->items[i].step, "node_out") == 0;
    }
    assert_int_equal(reboots, 8);
    assert_int_equal(spans, 8);
    for (uint32_t i = 0; i < 8; i++) {
        struct node_view v = engine_node(s->engine, i);

        sum += v.out_until - v.out_since;
    }
    assert_int_equal(ledger_sum(l, &out, s->now), sum);
    scenario_free(s);
}

static uint32_t batch_of(const struct scenario *s, uint32_t node)
{
    return s->plan->nodes[plan_node_of(s->plan, node)].batch;
}

/* The moves of a batch count on the nodes of the one before it as receivers: the two are never out together, although
 * there is room for both, and so nothing deviates from the plan where nobody meddles. */
static void test_batches_go_one_after_the_other(void **state)
{
    const struct fleet_words many = { .seed = 3,
                                      .clusters = 1,
                                      .nodes = 12,
                                      .vms = 2,
                                      .node_mib = 65536,
                                      .vm_mib_min = 1024,
                                      .vm_mib_max = 2048,
                                      .max_out = 6 };
    struct scenario *s = scenario_new(&many, "[6,\"100%\"]", "");
    uint32_t together = 0;

    (void)state;
    scenario_start(s);
    while (scenario_step(s)) {
        uint32_t batch = IX_NONE, out = 0;

        for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++) {
            if (!engine_node(s->engine, i).out)
                continue;
            out++;
            if (batch != IX_NONE)
                assert_int_equal(batch_of(s, i), batch);
            batch = batch_of(s, i);
        }
        together = out > together ? out : together;
    }
    check_run(s, RUN_FINISHED);
    assert_true(together > 1);
    assert_int_equal(engine_run(s->engine).deviations, 0);
    scenario_truth(s);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches_go_one_after_the_other),
        cmocka_unit_test(test_all_waves_pass),
        cmocka_unit_test(test_deterministic),
        cmocka_unit_test(test_s2d_one_at_a_time),
        cmocka_unit_test(test_parked_with_consent),
        cmocka_unit_test(test_no_consent_no_stop),
        cmocka_unit_test(test_ledger_has_every_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
