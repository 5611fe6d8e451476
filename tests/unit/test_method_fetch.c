/* package.fetch and package.held at each of their stages: what stands in the way of another, who asked and is gone, and who cannot
 * (O32). */
#include "tests/lib/agent_bench.h"
#include "tests/lib/check.h"

#include <stdio.h>
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

static dur_ms limit_of(const struct bench_run *run)
{
    struct json_doc *d = NULL;
    dur_ms limit;

    assert_int_equal(json_parse("request", run->text, strlen(run->text), &d, NULL), 0);
    limit = json_get_int(json_root(d), "limit_ms", 0);
    json_free(d);
    return limit;
}

/* A cap that wants more time than the driver's limit gets it, and half as much again; one that wants less changes nothing. */
static void test_a_slow_cap_has_its_time(void **state)
{
    static const struct {
        const char *size_and_cap;
        dur_ms at_least, less_than; /* 0: the limit of driver.json */
    } rows[] = {
        { "4294967296,\"bytes_per_second\":131072", 32768000 / 2 * 3, 32768000 / 2 * 3 + 2000 },
        { "4294967296,\"bytes_per_second\":1099511627776", 0, 0 },
        { "1099511627776,\"bytes_per_second\":1", 1099511627776 / 2 * 3 * 1000,
          1099511627776 / 2 * 3 * 1000 + 2000 },
        { "4294967296", 0, 0 },
    };
    struct bench *b = *state;
    dur_ms usual = driver_manifest_find(&b->manifest, "fetch_package")->limit_ms;

    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        char params[512];
        dur_ms limit;

        snprintf(params, sizeof params,
                 "{\"source\":\"//share/kb.msu\",\"name\":\"kb.msu\",\"sha256\":\"" DIGEST
                 "\",\"size_bytes\":%s}",
                 rows[i].size_and_cap);
        (void)bench_ask(b, 1, "package.fetch", params);
        answer_stage(b, 0);
        answer_stage(b, 1);
        limit = limit_of(bench_run(b, "fetch_package", "run"));
        if (rows[i].at_least == 0)
            assert_int_equal(limit, usual);
        else
            assert_in_range(limit, rows[i].at_least, rows[i].less_than);
        answer_stage(b, 2);
        answer_stage(b, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_at_a_time, bench_set_up, bench_tear_down),
        cmocka_unit_test_setup_teardown(test_who_asked_is_gone, bench_set_up, bench_tear_down),
        cmocka_unit_test_setup_teardown(test_who_asked_is_gone_when_it_fails, bench_set_up, bench_tear_down),
        cmocka_unit_test_setup_teardown(test_a_slow_cap_has_its_time, bench_set_up, bench_tear_down),
        cmocka_unit_test_setup_teardown(test_a_driver_that_cannot_fetch, bench_set_up, bench_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
