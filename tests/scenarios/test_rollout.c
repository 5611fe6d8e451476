#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 2 clusters of 4 nodes in waves of 1, 2 and all: every node is patched, every VM is where it may be. */
static void test_all_waves_pass(void **state)
{
    struct scenario *s = scenario_new(NULL, NULL, NULL);

    (void)state;
    scenario_start(s);
    scenario_run(s);
    if (getenv("SHOW") != NULL)
        for (uint32_t i = 0; i < s->kept.n; i++)
            printf("%s\n    %s\n", s->kept.items[i].event, s->kept.items[i].commands);
    printf("%s", buf_text(&s->notes));
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 8);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_waves_pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
