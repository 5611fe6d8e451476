/* A receiver's room: what counts as used, what was promised, and what is no
 * answer; who may still be told (C.6, O22). */
#include "tests/lib/agent_bench.h"
#include "tests/lib/check.h"

#include <stdio.h>
#include <string.h>

#define OTHER "00000000-0000-4000-8000-000000000002"
#define FACTS \
    "{\"result\":{\"machine_id\":\"M1\",\"boot_id\":\"B1\",\"memory_mib\":100,\"host_reserve_mib\":10}}"
#define VM(id, state, mib) \
    "{\"id\":\"" id "\",\"state\":\"" state "\",\"memory\":{\"assigned_mib\":" #mib "}}"
#define VMS(list) "{\"result\":{\"vms\":[" list "],\"next\":null}}"

static int64_t ask(struct bench *b, const char *vm, int mib)
{
    char params[320];

    snprintf(params, sizeof params,
             "{\"op\":\"r1/HV06/1/move_vm:%s/1\",\"vm\":\"%s\",\"memory_mib\":%d,\"from\":\"HV06\","
             "\"session\":\"$S\"}",
             vm, vm, mib);
    return bench_ask(b, 1, "move.accept", params);
}

static void check_answer(struct bench *b, int64_t id, int64_t free_mib, const char *error)
{
    if (error != NULL)
        assert_string_equal(bench_error(b, id), error);
    else
        assert_int_equal(json_get_int(bench_result(b, id), "free_mib", -1), free_mib);
}

static void test_what_is_used(void **state)
{
    static const struct {
        const char *vms;
        int64_t free_mib; /* after a VM of 20 */
        const char *error;
    } rows[] = {
        { VMS(""), 70, NULL },
        { VMS(VM(OTHER, "running", 50)), 20, NULL },
        { VMS(VM(OTHER, "paused", 50)), 20, NULL },
        { VMS(VM(OTHER, "off", 50)), 70, NULL },
        { VMS(VM(OTHER, "saved", 50)), 70, NULL },
        { VMS(VM(OTHER, "running", 70)), 0, NULL },
        { VMS(VM(OTHER, "running", 71)), 0, "capacity" },
        { "{\"result\":{\"vms\":null,\"next\":null}}", 0, "refused" },
        { "{\"result\":{\"vms\":[]}}", 70, NULL }, /* a driver that does not page */
        { "nonsense", 0, "refused" },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct bench *b;
        void *bed;
        int64_t id;

        bench_set_up(&bed);
        b = bed;
        id = ask(b, BENCH_VM, 20);
        bench_answer(b, bench_run(b, "facts", "run"), FACTS);
        bench_answer(b, bench_run(b, "vms", "run"), rows[i].vms);
        if (rows[i].error != NULL && bench_error(b, id) == NULL)
            fail_msg("row %u was accepted", i);
        check_answer(b, id, rows[i].free_mib, rows[i].error);
        bench_tear_down(&bed);
    }
}

/* What was promised to others is not free, until they are seen here or the promise is old; one VM has one promise. */
static void test_promises(void **state)
{
    struct bench *b = *state;
    int64_t id;

    for (int again = 0; again < 2; again++) {
        id = ask(b, OTHER, 60);
        bench_answer(b, bench_run(b, "facts", "run"), FACTS);
        bench_answer(b, bench_run(b, "vms", "run"), VMS(""));
        check_answer(b, id, 30, NULL);
    }
    id = ask(b, BENCH_VM, 40);
    bench_answer(b, bench_run(b, "facts", "run"), FACTS);
    bench_answer(b, bench_run(b, "vms", "run"), VMS(""));
    check_answer(b, id, 0, "capacity");
    id = ask(b, BENCH_VM, 40);
    bench_answer(b, bench_run(b, "facts", "run"), FACTS);
    bench_answer(b, bench_run(b, "vms", "run"), VMS(VM(OTHER, "running", 30))); /* it has come, smaller */
    check_answer(b, id, 20, NULL);
}

/* Another controller claimed while the driver was asked: the first is not told that there is room. */
static void test_fenced_meanwhile(void **state)
{
    struct bench *b = *state;
    int64_t id = ask(b, BENCH_VM, 20);

    bench_answer(b, bench_run(b, "facts", "run"), FACTS);
    bench_connect(b, 2);
    bench_try_claim(b, 2, BENCH_OTHER, 2);
    bench_answer(b, bench_run(b, "vms", "run"), VMS(""));
    check_answer(b, id, 0, "fenced");
}

static void test_asker_is_gone(void **state)
{
    struct bench *b = *state;
    uint32_t sent;

    ask(b, BENCH_VM, 20);
    bench_disconnect(b, 1);
    sent = b->n_sent;
    bench_answer(b, bench_run(b, "facts", "run"), FACTS);
    assert_int_equal(b->n_runs, 0); /* nobody is asked on */
    bench_connect(b, 1);
    bench_claim(b, 1, BENCH_CONTROLLER, 1);
    ask(b, BENCH_VM, 20);
    bench_answer(b, bench_run(b, "facts", "run"), FACTS);
    bench_disconnect(b, 1);
    sent = b->n_sent;
    bench_answer(b, bench_run(b, "vms", "run"), VMS(""));
    assert_int_equal(b->n_sent, sent);
}

static void test_driver_lacks_vms(void **state)
{
    struct bench *b = *state;
    int64_t id;

    for (uint32_t i = 0; i < b->manifest.n_actions; i++)
        if (strcmp(b->manifest.actions[i].name, "vms") == 0)
            b->manifest.actions[i].name = "other";
    id = ask(b, BENCH_VM, 20);
    bench_answer(b, bench_run(b, "facts", "run"), FACTS);
    check_answer(b, id, 0, "not_found");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_what_is_used), T(test_promises),
                                        T(test_fenced_meanwhile), T(test_asker_is_gone),
                                        T(test_driver_lacks_vms) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
