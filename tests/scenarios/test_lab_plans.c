/* The lab's fleets can be planned as the demo promises: in the default fleet
 * every node is patched and every VM moves; in the mixed one exactly the VMs
 * that cannot move are parked. */
#include "orchestrator/core/plan.h"
#include "tests/lib/check.h"
#include "tests/lib/lab_answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MADE_AT 1700000000000

static struct inventory *inventory_of(struct lab_answers *l)
{
    struct json_doc *doc = lab_answers_inventory(l);
    struct inventory *inv;
    struct err err;

    check_ok(inventory_read(doc, &inv, &err), &err);
    json_free(doc);
    return inv;
}

static struct rollout *rollout_of(struct lab_answers *l, const char *waves)
{
    struct buf text = BUF_INIT;
    struct json_doc *doc = NULL;
    struct rollout *r;
    struct err err;
    const char *vm;

    buf_printf(&text, "{\"version\":1,\"name\":\"lab\",\"waves\":%s,\"gates\":[],\"consents\":[", waves);
    for (uint32_t i = 0; (vm = lab_answers_stuck(l, i)) != NULL; i++)
        buf_printf(&text,
                   "%s{\"vm\":\"%s\",\"person\":\"o.wner\",\"ticket\":\"C1\",\"method\":\"shutdown\","
                   "\"expires\":\"2099-01-01T00:00:00Z\"}",
                   i == 0 ? "" : ",", vm);
    buf_str(&text, "],\"patch\":{\"kb\":\"KB5061977\",\"file\":\"a.msu\",\"sha256\":"
                   "\"9f3c5d0f7b0e4a55c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8\",\"size_bytes\":1024,"
                   "\"target\":\"26100.4066\",\"reboot\":\"always\",\"tool\":\"dism\"}}");
    check_ok(json_parse("rollout", buf_text(&text), text.len, &doc, &err), &err);
    check_ok(rollout_read(doc, &r, &err), &err);
    json_free(doc);
    buf_clear(&text);
    return r;
}

static uint32_t parks_of(const struct plan *p)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->n_nodes; i++)
        n += p->nodes[i].n_parks;
    return n;
}

static void plan_fleet(uint32_t nodes, int64_t seed, bool mixed)
{
    struct lab_answers *l = lab_answers_make(nodes, seed, mixed);
    struct buf faults = BUF_INIT;
    struct plan *p;
    struct err err;
    uint32_t stuck = 0;

    while (lab_answers_stuck(l, stuck) != NULL)
        stuck++;
    check_ok(plan_build(inventory_of(l), rollout_of(l, "[12,24,\"100%\"]"), MADE_AT, "tester", &p, &err),
             &err);
    if (p->n_refusals > 0)
        fail_msg("%u nodes, seed %lld: %u refusals, the first: %s", nodes, (long long)seed, p->n_refusals,
                 p->refusals[0].reason);
    if (plan_verify(p, &faults) != 0)
        fail_msg("%u nodes, seed %lld: %s", nodes, (long long)seed, buf_text(&faults));
    assert_int_equal(p->n_nodes, nodes);
    assert_int_equal(parks_of(p), stuck);
    printf("# %u nodes, seed %lld: %u moves (bound %u), %u parked\n", nodes, (long long)seed,
           (unsigned)p->moves, (unsigned)p->moves_bound, parks_of(p));
    buf_clear(&faults);
    plan_free(p);
    lab_answers_free(l);
}

static void test_the_default_fleet(void **state)
{
    (void)state;
    for (int64_t seed = 1; seed <= 12; seed++)
        plan_fleet(72, seed, false);
}

static void test_small_fleets(void **state)
{
    (void)state;
    for (uint32_t nodes = 3; nodes <= 12; nodes++)
        for (int64_t seed = 1; seed <= 5; seed++)
            plan_fleet(nodes, seed, false);
}

static void test_the_mixed_fleet(void **state)
{
    (void)state;
    for (int64_t seed = 1; seed <= 6; seed++)
        plan_fleet(72, seed, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_default_fleet),
        cmocka_unit_test(test_small_fleets),
        cmocka_unit_test(test_the_mixed_fleet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
