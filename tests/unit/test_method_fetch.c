/* package.fetch and package.held at each of their stages: what stands in the way of another, who asked and is gone, and who cannot
 * (O32). */
#include "tests/lib/agent_bench.h"
#include "tests/lib/check.h"

#include <string.h>

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define FETCH "{\"source\":\"//share/kb.msu\",\"name\":\"kb.msu\",\"sha256\":\"" DIGEST "\",\"size_bytes\":9}"
#define OTHER \
    "{\"source\":\"//share/kb.msu\",\"name\":\"kb2.msu\",\"sha256\":\"" DIGEST "\",\"size_bytes\":9}"
#define HELD "{\"name\":\"kb.msu\",\"sha256\":\"" DIGEST "\"}"

/* The host's part in the order of a fetch; what comes first is under way. */
static const struct stage {
    const char *action, *mode;
} stages[] = {
    { "package_adopt", "" }, { "package_place", "" }, { "fetch_package", "run" }, { "package_adopt", "" }
};

static void answer_stage(struct bench *b, unsigned at)
{
    struct bench_run *run = bench_run(b, stages[at].action, stages[at].mode);

    if (at == 0)
        bench_refuse(b, run, ERR_NOT_FOUND, "not there");
    else
        bench_answer(b, run, at == 2 ? "{\"result\":{\"path\":\"p\"}}" : "/store");
}

static int64_t fetch_until(struct bench *b, uint32_t conn, unsigned at)
{
    int64_t id = bench_ask(b, conn, "package.fetch", FETCH);

    for (unsigned i = 0; i < at; i++)
        answer_stage(b, i);
    return id;
}

/* One at a time, whatever it is at (the same one again joins it: test_agent.c); reads and a look at what is held go on beside it, and
 * stand in nobody's way. */
static void test_one_at_a_time(void **state)
{
    struct bench *b = *state;

    for (unsigned at = 0; at < TABLE_LEN(stages); at++) {
        int64_t facts = bench_ask(b, 1, "facts", "{}"), held = bench_ask(b, 1, "package.held", HELD);
        int64_t first = fetch_until(b, 1, at);

        assert_string_equal(bench_error(b, bench_ask(b, 1, "package.fetch", OTHER)), "locked");
        bench_answer(b, bench_run(b, "facts", "run"), "{\"result\":{\"cpus\":4}}");
        bench_answer(b, bench_run(b, "package_check", ""), "/store/kb.msu");
        assert_non_null(bench_result(b, facts));
        assert_true(json_get_bool(bench_result(b, held), "held", false));
        for (unsigned i = at; i < TABLE_LEN(stages); i++)
            answer_stage(b, i);
        assert_true(json_get_bool(bench_result(b, first), "fetched", false));
        assert_int_equal(b->n_runs, 0);
    }
}

/* Who asked is gone: nothing is begun for nobody, but what the driver brings is taken in, and the next one finds it there. */
static void test_who_asked_is_gone(void **state)
{
    struct bench *b = *state;
    uint32_t sent;

    for (unsigned at = 0; at < TABLE_LEN(stages); at++) {
        bench_connect(b, 2);
        bench_claim(b, 2, BENCH_CONTROLLER, 1);
        (void)fetch_until(b, 2, at);
        bench_disconnect(b, 2);
        sent = b->n_sent;
        answer_stage(b, at);
        assert_int_equal(bench_has_run(b, "package_adopt", ""), at == 2);
        assert_int_equal(b->n_runs, at == 2 ? 1 : 0);
        if (at == 2)
            answer_stage(b, 3);
        assert_int_equal(b->n_sent, sent); /* nobody hears of it */
        (void)fetch_until(b, 1, 0);        /* nothing of it stands in the way */
        bench_answer(b, bench_run(b, "package_adopt", ""), "/store/kb.msu");
        assert_int_equal(b->n_runs, 0);
    }
}

static void test_who_asked_is_gone_when_it_fails(void **state)
{
    struct bench *b = *state;
    uint32_t sent;

    bench_connect(b, 2);
    bench_claim(b, 2, BENCH_CONTROLLER, 1);
    (void)fetch_until(b, 2, 2);
    (void)bench_ask(b, 2, "package.held", HELD);
    bench_disconnect(b, 2);
    sent = b->n_sent;
    bench_answer(b, bench_run(b, "fetch_package", "run"),
                 "{\"error\":{\"code\":\"failed\",\"message\":\"no share\"}}");
    bench_answer(b, bench_run(b, "package_check", ""), "/store/kb.msu");
    assert_int_equal(b->n_sent, sent);
    assert_int_equal(b->n_runs, 0);
}

/* A driver without the action cannot fetch, and says so before anything is looked for. */
static void test_a_driver_that_cannot_fetch(void **state)
{
    struct bench *b = *state;
    uint32_t last = b->manifest.n_actions - 1;

    assert_string_equal(b->manifest.actions[last].name, "fetch_package");
    b->manifest.n_actions = last;
    assert_string_equal(bench_error(b, bench_ask(b, 1, "package.fetch", FETCH)), "not_found");
    assert_int_equal(b->n_runs, 0);
    b->manifest.n_actions = last + 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_at_a_time, bench_set_up, bench_tear_down),
        cmocka_unit_test_setup_teardown(test_who_asked_is_gone, bench_set_up, bench_tear_down),
        cmocka_unit_test_setup_teardown(test_who_asked_is_gone_when_it_fails, bench_set_up, bench_tear_down),
        cmocka_unit_test_setup_teardown(test_a_driver_that_cannot_fetch, bench_set_up, bench_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
