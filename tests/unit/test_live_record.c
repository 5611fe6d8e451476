/* A record as an agent tells it: read whole or refused with a place, whoever asks for the reason or does not; without
 * memory refused too, never half. */
#include "orchestrator/io/live_own.h"
#include "tests/lib/alloc_fault.h"
#include "tests/lib/check.h"

#include <string.h>

static const char whole[] =
    "{\"op\":\"r1/HV07/1/pause/1\",\"action\":\"pause\",\"state\":\"done\",\"outcome\":\"failed\","
    "\"error\":{\"code\":\"timeout\",\"message\":\"m\",\"native\":\"0x1\",\"hint\":\"h\"},\"result\":{"
    "\"already\":true},"
    "\"downtime\":[{\"subject\":\"vm\",\"id\":\"V\",\"cause\":\"blackout\",\"start_ms\":5,\"end_ms\":7,"
    "\"how\":\"w\"}],"
    "\"accepted_ms\":1,\"started_ms\":2,\"ended_ms\":3,\"boot_id\":\"B\",\"output_tail\":\"o\"}";

static int read_text(const char *text, struct arena *a, struct op_record *r, struct err *err)
{
    struct json_doc *doc;
    struct err unseen;
    int rc;

    check_ok(json_parse("record", text, strlen(text), &doc, &unseen), &unseen);
    rc = live_record_read(doc, json_root(doc), a, r, err);
    json_free(doc);
    return rc;
}

/* Strings live in the arena: the document is gone. */
static void check_whole(const struct op_record *r)
{
    assert_string_equal(r->op, "r1/HV07/1/pause/1");
    assert_string_equal(r->action, "pause");
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_string_equal(r->error_code, "timeout");
    assert_string_equal(r->error_text, "m");
    assert_string_equal(r->error_native, "0x1");
    assert_string_equal(r->error_hint, "h");
    assert_string_equal(r->text, "{\"already\":true}");
    assert_int_equal(r->n_rows, 1);
    assert_string_equal(r->rows[0].how, "w");
    assert_string_equal(r->boot_id, "B");
    assert_string_equal(r->output_tail, "o");
}

static void test_every_allocation(void **state)
{
    struct op_record r;
    struct err err;
    unsigned n = 0;
    int rc;

    (void)state;
    do {
        struct json_doc *doc;
        struct arena a = ARENA_INIT;

        check_ok(json_parse("record", whole, strlen(whole), &doc, &err), &err);
        alloc_fault_at(++n);
        rc = live_record_read(doc, json_root(doc), &a, &r, &err);
        alloc_fault_at(0);
        json_free(doc);
        if (rc == 0)
            check_whole(&r);
        else
            assert_int_equal(rc, ERR_NOMEM);
        arena_clear(&a);
    } while (rc != 0);
    assert_true(n > 2);
}

/* An agent that talks nonsense while its journal is read: nobody asks why, and nobody falls over it. */
static void test_nonsense_without_a_listener(void **state)
{
    static const char *const texts[] = {
        "{}",
        "{\"op\":7}",
        "{\"op\":\"x\",\"state\":\"sleeping\"}",
        "{\"op\":\"x\",\"state\":\"done\",\"outcome\":\"fine\"}",
        "{\"op\":\"x\",\"state\":\"done\",\"outcome\":\"ok\",\"downtime\":[{\"subject\":\"cat\"}]}",
    };

    (void)state;
    for (size_t i = 0; i < TABLE_LEN(texts); i++) {
        struct arena a = ARENA_INIT;
        struct op_record r;
        struct err err;

        assert_int_equal(read_text(texts[i], &a, &r, NULL), ERR_PROTOCOL);
        assert_int_equal(read_text(texts[i], &a, &r, &err), ERR_PROTOCOL);
        assert_string_not_equal(err.text, "");
        arena_clear(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation),
        cmocka_unit_test(test_nonsense_without_a_listener),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
