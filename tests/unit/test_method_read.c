/* Large answers in pages: which cursors lead on, which are void; questions that
 * end badly; who asked and is gone. */
#include "tests/lib/agent_bench.h"
#include "tests/lib/check.h"

#include <stdio.h>
#include <string.h>

static int64_t observe(struct bench *b, const char *what, const char *cursor)
{
    char params[160];

    snprintf(params, sizeof params, "{\"what\":\"%s\",\"args\":{},\"cursor\":\"%s\"}", what, cursor);
    return bench_ask(b, 1, "observe", params);
}

/* 5000 groups of 120 bytes: three pages; gives the cursor of the second. */
static const char *first_page(struct bench *b)
{
    int64_t id = bench_ask(b, 1, "observe", "{\"what\":\"cluster_health\",\"args\":{}}");
    struct buf answer = BUF_INIT;

    buf_str(&answer, "{\"result\":{\"groups\":[");
    for (uint32_t i = 0; i < 5000; i++)
        buf_printf(&answer, "%s{\"id\":%u,\"name\":\"%0100u\"}", i == 0 ? "" : ",", i, i);
    buf_str(&answer, "]}}");
    bench_answer(b, bench_run(b, "gate_facts", "run"), buf_text(&answer));
    buf_clear(&answer);
    return json_get_str(bench_result(b, id), "next", "");
}

/* A cursor is void when it is not of the page that is kept, for the very question, and within it; the page stays for a good
 * one. */
static void test_void_cursors(void **state)
{
    struct bench *b = *state;
    unsigned page, from;
    char good[40], cursor[40];
    struct {
        const char *what, *format;
        unsigned page, from;
    } rows[] = {
        { "cluster_health", "p%u:%u", 7, 0 },    { "cluster_health", "p%u:%ux", 0, 5 },
        { "cluster_health", "p%u;%u", 0, 5 },    { "cluster_health", "q%u:%u", 0, 5 },
        { "cluster_health", "p%u:%u", 0, 5001 }, { "cluster_health", "p%u:%u", 0, 0 },
        { "backup_agent", "p%u:%u", 0, 5 },      { "cluster_health", "d%u:%u", 0, 5 },
    };

    snprintf(good, sizeof good, "%s", first_page(b));
    assert_int_equal(sscanf(good, "p%u:%u", &page, &from), 2);
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        const char *f = rows[i].format;

        snprintf(cursor, sizeof cursor, "%c%u%c%u%s", f[0], rows[i].page == 0 ? page : page + rows[i].page,
                 f[3], rows[i].from, f[6] == '\0' ? "" : f + 6);
        if (strcmp(bench_error(b, observe(b, rows[i].what, cursor)), "state") != 0)
            fail_msg("%u: %s of %s was taken", i, cursor, rows[i].what);
    }
    assert_non_null(bench_result(b, observe(b, "cluster_health", good)));
    assert_int_equal(b->n_runs, 0); /* no driver was asked for it */
}

/* Nothing was paged: there is nothing to go on with. Another question drops the pages of the one before. */
static void test_no_page(void **state)
{
    struct bench *b = *state;
    char good[40];

    assert_string_equal(bench_error(b, observe(b, "cluster_health", "p1:5")), "state");
    snprintf(good, sizeof good, "%s", first_page(b));
    bench_ask(b, 1, "observe", "{\"what\":\"backup_agent\",\"args\":{}}");
    bench_answer(b, bench_run(b, "gate_facts", "run"), "{\"result\":{\"agents\":[]}}");
    assert_string_equal(bench_error(b, observe(b, "cluster_health", good)), "state");
}

/* Large, and no list in it to cut: told whole. */
static void test_nothing_to_cut(void **state)
{
    struct bench *b = *state;
    int64_t id = bench_ask(b, 1, "observe", "{\"what\":\"backup_agent\",\"args\":{}}");
    struct buf answer = BUF_INIT;

    buf_printf(&answer, "{\"result\":{\"note\":\"%0400000u\"}}", 7u);
    bench_answer(b, bench_run(b, "gate_facts", "run"), buf_text(&answer));
    assert_int_equal(strlen(json_get_str(json_get(bench_result(b, id), "data"), "note", "")), 400000);
    assert_null(json_get_str(bench_result(b, id), "next", NULL));
    buf_clear(&answer);
}

/* Time is asked of servers that are named, each an address; and its failure is told. */
static void test_time_sync(void **state)
{
    static const char *const bad[] = {
        "{\"what\":\"time_sync\"}",
        "{\"what\":\"time_sync\",\"args\":{}}",
        "{\"what\":\"time_sync\",\"args\":{\"servers\":[7]}}",
        "{\"what\":\"time_sync\",\"args\":{\"servers\":[\"a\"],\"samples\":0}}",
        "{\"what\":\"time_sync\",\"args\":{\"servers\":[\"a\"],\"timeout_ms\":0}}",
        "{\"what\":\"time_sync\",\"args\":{\"servers\":[\"a\"],\"other\":0}}",
        "{\"what\":\"time_sync\",\"args\":{\"servers\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\","
        "\"9\","
        "\"10\",\"11\",\"12\",\"13\",\"14\",\"15\",\"16\",\"17\"]}}",
    };
    struct bench *b = *state;
    int64_t id;

    for (unsigned i = 0; i < TABLE_LEN(bad); i++)
        if (strcmp(bench_error(b, bench_ask(b, 1, "observe", bad[i])), "invalid") != 0)
            fail_msg("%s was taken", bad[i]);
    id = bench_ask(b, 1, "observe", "{\"what\":\"time_sync\",\"args\":{\"servers\":[\"127.0.0.1\"]}}");
    bench_identify(b);
    bench_refuse(b, bench_run(b, "sntp", ""), ERR_TIMEOUT, "no server answers");
    assert_string_equal(bench_error(b, id), "timeout");
    bench_ask(b, 1, "observe", "{\"what\":\"time_sync\",\"args\":{\"servers\":[\"127.0.0.1\"]}}");
    bench_identify(b);
    bench_disconnect(b, 1);
    id = b->n_sent;
    bench_answer(b, bench_run(b, "sntp", ""), "{\"servers\":[]}");
    assert_int_equal(b->n_sent, id); /* who asked is gone */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = { T(test_void_cursors), T(test_no_page), T(test_nothing_to_cut),
                                        T(test_time_sync) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
