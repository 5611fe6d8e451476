/* Each way that a run may hold is told with what a person types, and that is what the engine takes. */
#include "orchestrator/io/render_hold.h"

#include "tests/lib/check.h"

static void test_ways(void **state)
{
    static const struct {
        const char *reason, *verb, *way;
    } rows[] = {
        { "paused by an operator: ann", "resume", "`patchwave resume` leads on" },
        { "no change window is open: until 22:00", "resume", "`patchwave resume` leads on" },
        { "a manual gate waits: word", "promote", "`patchwave promote` leads on" },
        { "the outcome on a node is not known: 1 nodes", "decide",
          "`patchwave decide NODE done|not-done` leads on" },
        { "a gate has no answer: gate backup after wave 1 is unknown", "promote",
          "`patchwave resume` asks again; `patchwave promote --accept-unknown --ticket NUMBER` leads on "
          "without "
          "an answer" },
    };
    struct buf out = BUF_INIT;

    (void)state;
    for (size_t i = 0; i < TABLE_LEN(rows); i++) {
        buf_reset(&out);
        render_hold_way(&out, rows[i].reason, rows[i].verb);
        assert_string_equal(buf_text(&out), rows[i].way);
    }
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_ways) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
