/* Evidence to answer, and samples to a verdict. */
#include "tests/lib/check.h"

#include "orchestrator/core/clock.h"
#include "orchestrator/core/gate.h"
#include "orchestrator/core/ledger.h"
#include "orchestrator/core/node_sm.h"

#include <string.h>

static void test_time(void **state)
{
    struct gate g = { .offset_max_ms = 100, .stratum_max = 10 };
    struct time_source s[2] = { { .server = "dc1", .ok = true, .stratum = 3, .offset_us = 100000 },
                                { .server = "dc2", .ok = false } };
    struct time_facts f = { s, 2 };
    struct gate_finding r;

    (void)state;
    gate_judge_time(&g, &f, &r);
    assert_int_equal(r.answer, ANSWER_PASS); /* exactly the limit */
    s[0].offset_us = -100001;
    gate_judge_time(&g, &f, &r);
    assert_int_equal(r.answer, ANSWER_FAIL);
    assert_non_null(strstr(r.text, "dc1"));
    s[0].offset_us = 0;
    s[0].stratum = 16;
    gate_judge_time(&g, &f, &r);
    assert_int_equal(r.answer, ANSWER_FAIL);
    s[0].ok = false;
    gate_judge_time(&g, &f, &r);
    assert_int_equal(r.answer, ANSWER_UNKNOWN); /* silence is not failure */
}

static void test_backup(void **state)
{
    struct backup_agent a = { "p", "svc", "running", "running" };
    struct event_7001 e = { 1000, "svc", "RpcSs" };
    struct backup_facts f = { .agents = &a, .n_agents = 1, .events = &e, .n_events = 1 };
    struct gate_finding r;

    (void)state;
    gate_judge_backup(&f, 1000, &r);
    assert_int_equal(r.answer, ANSWER_PASS); /* not newer than the baseline */
    gate_judge_backup(&f, 999, &r);
    assert_int_equal(r.answer, ANSWER_FAIL);
    assert_int_equal(r.bad, BAD_7001);
    gate_weigh(&r, BAD_7001);
    assert_int_equal(r.answer, ANSWER_UNKNOWN); /* it was so before the wave */
    f.n_events = 0;
    a.state = "stopped";
    gate_judge_backup(&f, 0, &r);
    assert_int_equal(r.answer, ANSWER_FAIL);
    f.n_agents = 0;
    gate_judge_backup(&f, 0, &r);
    assert_int_equal(r.answer, ANSWER_UNKNOWN);
}

static bool excuse_hv2(void *arg, const char *id)
{
    (void)arg;
    return strcmp(id, "HV2") == 0;
}

static void test_cluster(void **state)
{
    struct view_node n[2] = { { .id = "HV1", .state = SEEN_UP }, { .id = "HV2", .state = SEEN_PAUSED } };
    struct view_job job = { "j", JOB_REPAIR, true, 1 };
    struct cluster_view v = {
        .nodes = n, .n_nodes = 2, .witness = WITNESS_DISK, .witness_online = true, .s2d = true
    };
    struct storage_view s = { .s2d = true };
    struct gate_excuse none = { 0 }, x = { .node = excuse_hv2 };
    struct gate_finding r;

    (void)state;
    gate_judge_cluster(&v, &s, &none, &r);
    assert_int_equal(r.answer, ANSWER_FAIL);
    gate_judge_cluster(&v, &s, &x, &r);
    assert_int_equal(r.answer, ANSWER_PASS); /* set aside: it owes nothing (O15) */
    s.jobs = &job;
    s.n_jobs = 1;
    gate_judge_cluster(&v, &s, &x, &r);
    assert_int_equal(r.answer, ANSWER_UNKNOWN);
    job.kind = JOB_OPTIMIZE; /* O21: does not block */
    gate_judge_cluster(&v, &s, &x, &r);
    assert_int_equal(r.answer, ANSWER_PASS);
    v.witness_online = false;
    gate_judge_cluster(&v, &s, &x, &r);
    assert_int_equal(r.bad, BAD_WITNESS);
}

static void test_heartbeat_needs_load(void **state)
{
    struct vm_beat b = { "v", "v", VM_RUNNING, HEARTBEAT_OK };
    struct heartbeat_facts f = { &b, 1 };
    struct gate_excuse none = { 0 };
    struct gate_finding r;

    (void)state;
    gate_judge_heartbeat(&f, &none, &r);
    assert_int_equal(r.answer, ANSWER_PASS);
    b.heartbeat = HEARTBEAT_LOST;
    gate_judge_heartbeat(&f, &none, &r);
    assert_int_equal(r.answer, ANSWER_FAIL);
    f.n_vms = 0;
    gate_judge_heartbeat(&f, &none, &r);
    assert_int_equal(r.answer, ANSWER_UNKNOWN); /* a node that carries nothing proves nothing (O15) */
}

static void test_counting(void **state)
{
    struct gate g = { .samples = 3, .soak_ms = 100, .failure_limit = 1, .unknown_limit = 1 };
    struct gate_tally t = { 0 };

    (void)state;
    assert_int_equal(gate_count(&g, &t, ANSWER_PASS, 1000, 1000), GATE_MORE);
    assert_int_equal(gate_count(&g, &t, ANSWER_FAIL, 1010, 1010), GATE_MORE); /* within the limit */
    assert_int_equal(gate_count(&g, &t, ANSWER_PASS, 1020, 1020), GATE_MORE); /* samples yes, soak no */
    assert_int_equal(gate_count(&g, &t, ANSWER_UNKNOWN, 1100, 1100),
                     GATE_MORE); /* it breaks the row and its soak (I13) */
    assert_int_equal(gate_count(&g, &t, ANSWER_PASS, 1110, 1110), GATE_MORE);
    assert_int_equal(gate_count(&g, &t, ANSWER_PASS, 1150, 1150), GATE_MORE);
    assert_int_equal(gate_count(&g, &t, ANSWER_PASS, 1210, 1210), GATE_SAYS_PASS);
    memset(&t, 0, sizeof t);
    g.interval_ms = 60;
    g.max_age_ms = 120;
    g.samples = 2;
    gate_count(&g, &t, ANSWER_PASS, 1000, 1000);
    assert_int_equal(gate_count(&g, &t, ANSWER_PASS, 1181, 1181),
                     GATE_MORE); /* nobody watched in between (I13) */
    assert_int_equal(gate_count(&g, &t, ANSWER_PASS, 1281, 1281), GATE_SAYS_PASS);
    memset(&t, 0, sizeof t);
    gate_count(&g, &t, ANSWER_PASS, 1000, 1000);
    assert_int_equal(gate_count(&g, &t, ANSWER_PASS, 1050, 1180),
                     GATE_MORE); /* some answered at 1050: that is no soak */
    assert_int_equal(gate_count(&g, &t, ANSWER_PASS, 1100, 1180), GATE_SAYS_PASS); /* a slow answer, no gap */
    memset(&t, 0, sizeof t);
    gate_count(&g, &t, ANSWER_FAIL, 1, 1);
    assert_int_equal(gate_count(&g, &t, ANSWER_FAIL, 2, 2), GATE_SAYS_FAIL);
    memset(&t, 0, sizeof t);
    gate_count(&g, &t, ANSWER_UNKNOWN, 1, 1);
    assert_int_equal(gate_count(&g, &t, ANSWER_UNKNOWN, 2, 2), GATE_SAYS_UNKNOWN); /* never fail */
}

static void test_windows(void **state)
{
    struct span windows[] = { { 100, 200 }, { 300, 400 } }, freezes[] = { { 320, 330 } };
    struct rollout r = { .windows = windows, .n_windows = 2, .freezes = freezes, .n_freezes = 1 };
    const char *why;

    (void)state;
    assert_true(clock_opens(&r, 100, 100, TIME_NEVER, &why) == 100 &&
                why == NULL); /* it fits to the last moment */
    assert_true(clock_opens(&r, 101, 100, TIME_NEVER, &why) ==
                TIME_NEVER); /* and not one later: 300..400 is frozen in between */
    assert_true(clock_opens(&r, 150, 60, TIME_NEVER, &why) == 330);
    assert_non_null(why);
    assert_true(clock_opens(&r, 0, 10, TIME_NEVER, &why) == 100);
    assert_true(clock_opens(&r, 100, 50, 149, &why) == TIME_NEVER); /* the approval ends first */
    assert_true(clock_opens(&r, 100, 50, 150, &why) == 100);
}

static void test_ledger_counts_once(void **state)
{
    struct ledger_row rows[] = {
        { .subject = DOWN_VM, .id = "a", .cause = CAUSE_SAVED, .start = 0, .end = 100 },
        { .subject = DOWN_VM, .id = "a", .cause = CAUSE_BLACKOUT, .start = 50, .end = 150 },
        { .subject = DOWN_VM, .id = "b", .cause = CAUSE_SAVED, .start = 50, .end = TIME_NEVER },
    };
    struct ledger l = { .items = rows, .n = 3, .cap = 3 };
    struct ledger_ask all = { -1, -1, IX_NONE, IX_NONE, NULL }, a = { DOWN_VM, -1, IX_NONE, IX_NONE, "a" },
                      saved = { -1, CAUSE_SAVED, IX_NONE, IX_NONE, NULL };

    (void)state;
    assert_int_equal(ledger_sum(&l, &a, 200), 150);
    assert_int_equal(ledger_sum(&l, &all, 200), 300); /* still down: until now */
    assert_int_equal(ledger_sum(&l, &saved, 200), 250);
}

/* Every phase but the first can be reached, every one but the last can be left, out is what counts as out. */
static void test_node_table(void **state)
{
    (void)state;
    for (int p = 0; p < NODE_PHASES; p++) {
        bool entered = p == NODE_PENDING;

        assert_non_null(node_phases[p].name);
        assert_true(node_phases[p].may_enter != 0);
        for (uint32_t q = 0; q < NODE_PHASES; q++)
            entered = entered || sm_may(node_phases, q, (uint32_t)p);
        assert_true(entered);
        assert_int_equal((node_phases[p].flags & NODE_COUNTS_AS_OUT) != 0,
                         p >= NODE_DRAINING && p < NODE_ENDED);
    }
    assert_false(sm_may(node_phases, NODE_DRAINING, NODE_INSTALLING)); /* never without the check of empty */
    assert_false(
        sm_may(node_phases, NODE_REBOOTING, NODE_REBOOTING)); /* a further reboot goes through draining */
    assert_false(
        sm_may(node_phases, NODE_VERIFYING, NODE_SETTLING)); /* home is whole: vmms, storage, check, resume */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_backup),
        cmocka_unit_test(test_cluster),
        cmocka_unit_test(test_heartbeat_needs_load),
        cmocka_unit_test(test_counting),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_ledger_counts_once),
        cmocka_unit_test(test_node_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
