/* Sums over the ledger: who is asked about, spans that overlap or touch, and
 * what is down still. */
#include "orchestrator/core/ledger.h"

#include "tests/lib/check.h"

#include <string.h>

static struct ledger_row rows[] = {
    { .subject = DOWN_VM,
      .id = "a",
      .cause = CAUSE_SHUT_DOWN,
      .node = 0,
      .wave = 0,
      .start = 100,
      .end = 200 },
    { .subject = DOWN_VM, .id = "a", .cause = CAUSE_SAVED, .node = 1, .wave = 1, .start = 150, .end = 250 },
    { .subject = DOWN_VM,
      .id = "a",
      .cause = CAUSE_BLACKOUT,
      .node = 1,
      .wave = 1,
      .start = 160,
      .end = 170 },
    { .subject = DOWN_VM,
      .id = "b",
      .cause = CAUSE_SHUT_DOWN,
      .node = 0,
      .wave = 0,
      .start = 150,
      .end = 160 },
    { .subject = DOWN_VM,
      .id = "b",
      .cause = CAUSE_SHUT_DOWN,
      .node = 0,
      .wave = 0,
      .start = 300,
      .end = TIME_NEVER },
    { .subject = DOWN_NODE,
      .id = "a",
      .cause = CAUSE_NODE_OUT,
      .node = 0,
      .wave = 0,
      .start = 0,
      .end = 1000 },
    { .subject = DOWN_VMMS,
      .id = "n",
      .cause = CAUSE_VMMS_STOPPED,
      .node = 1,
      .wave = 1,
      .start = 50,
      .end = 50 },
};

#define ANY (-1)

static void test_sums(void **state)
{
    static const struct {
        struct ledger_ask ask;
        dur_ms sum;
    } cases[] = {
        { { DOWN_VM, ANY, IX_NONE, IX_NONE, "a" }, 150 },        /* 100 to 250, counted once */
        { { DOWN_VM, ANY, IX_NONE, IX_NONE, "b" }, 10 + 100 },   /* down still, at 400 */
        { { DOWN_VM, ANY, IX_NONE, IX_NONE, NULL }, 150 + 110 }, /* two VMs at once are two */
        { { DOWN_VM, CAUSE_SHUT_DOWN, IX_NONE, IX_NONE, "a" }, 100 },
        { { DOWN_VM, ANY, 1, IX_NONE, NULL }, 100 }, /* 150 to 250 */
        { { DOWN_VM, ANY, IX_NONE, 0, NULL }, 100 + 110 },
        { { DOWN_NODE, ANY, IX_NONE, IX_NONE, "a" }, 1000 }, /* a node's id is no VM's */
        { { DOWN_VMMS, ANY, IX_NONE, IX_NONE, NULL }, 0 },
        { { ANY, ANY, 0, 0, NULL }, 1000 + 100 + 110 },
        { { DOWN_VM, CAUSE_CRASH, IX_NONE, IX_NONE, NULL }, 0 },
    };
    const struct ledger l = { .items = rows, .n = TABLE_LEN(rows) }, empty = { 0 };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(cases); i++)
        if (ledger_sum(&l, &cases[i].ask, 400) != cases[i].sum)
            fail_msg("case %u: %lld, wanted %lld", i, (long long)ledger_sum(&l, &cases[i].ask, 400),
                     (long long)cases[i].sum);
    assert_int_equal(ledger_sum(&empty, &cases[0].ask, 400), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_sums) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
