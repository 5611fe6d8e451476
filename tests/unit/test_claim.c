/* Fencing by epoch and controller (C.6), stale copies unmasked by the log pair. */
#include "agent/core/claim.h"
#include "tests/lib/check.h"

#include <string.h>

static struct agent_claim claim(int64_t epoch, const char *controller, int64_t seq, const char *hash)
{
    struct agent_claim c = { .epoch = epoch, .log = { .seq = seq } };

    memcpy(c.controller, controller, strlen(controller) + 1);
    memcpy(c.log.hash, hash, strlen(hash) + 1);
    return c;
}

static void test_rules(void **state)
{
    static const struct {
        const char *what;
        int64_t epoch;
        const char *controller;
        int64_t seq;
        const char *hash;
        bool takeover;
        enum err_code want;
    } rows[] = {
        { "a lower epoch", 4, "new", 20, "x", false, ERR_FENCED },
        { "a lower epoch by takeover", 4, "new", 20, "x", true, ERR_FENCED },
        { "the same epoch, another controller", 5, "new", 20, "x", false, ERR_FENCED },
        { "the same epoch and controller, a reconnect", 5, "old", 1, "y", false, ERR_OK },
        { "a higher epoch, a longer log", 6, "new", 11, "z", false, ERR_OK },
        { "a higher epoch, the same log", 6, "new", 10, "h", false, ERR_OK },
        { "a higher epoch, another log of that length", 6, "new", 10, "other", false, ERR_STALE },
        { "a higher epoch, a shorter log", 6, "new", 9, "g", false, ERR_STALE },
        { "a higher epoch, a shorter log, by takeover", 6, "new", 9, "g", true, ERR_OK },
    };
    struct agent_claim held = claim(5, "old", 10, "h");

    (void)state;
    for (size_t i = 0; i < TABLE_LEN(rows); i++) {
        struct agent_claim asked = claim(rows[i].epoch, rows[i].controller, rows[i].seq, rows[i].hash);
        struct err err;

        if (agent_claim_judge(&held, &asked, rows[i].takeover, &err) != (int)rows[i].want)
            fail_msg("%s: wanted %s", rows[i].what, err_name(rows[i].want));
    }
}

static void test_first_claim(void **state)
{
    struct agent_claim held = { 0 }, asked = claim(1, "a", 0, "");
    struct err err;

    (void)state;
    assert_false(agent_claim_is(&held, 0, ""));
    check_ok(agent_claim_judge(&held, &asked, false, &err), &err);
}

/* Within an epoch the pair only grows; the next one replaces it. */
static void test_log_pair(void **state)
{
    struct agent_claim held = claim(5, "a", 10, "h"), asked = claim(5, "a", 8, "old");

    (void)state;
    agent_claim_take(&held, &asked);
    assert_int_equal(held.log.seq, 10);
    assert_string_equal(held.log.hash, "h");
    agent_claim_raise_log(&held, &(struct agent_log_position){ .seq = 11, .hash = "i" });
    assert_string_equal(held.log.hash, "i");
    asked = claim(6, "b", 3, "c");
    agent_claim_take(&held, &asked);
    assert_int_equal(held.log.seq, 3);
    assert_string_equal(held.controller, "b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_first_claim),
        cmocka_unit_test(test_log_pair),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
