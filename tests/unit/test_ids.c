#include "schema/ids.h"
#include "tests/lib/check.h"

#include <stdio.h>

#define N63 "a23456789012345678901234567890123456789012345678901234567890123"

static void test_names(void **state)
{
    static const char *const good[] = { "a", "HV07", "7", "site-1.cluster_A", N63 };
    static const char *const bad[] = { "",    ".a",  "-a",       "_a",        "a b",
                                       "a/b", "a:b", "\xc3\xa9", "a\xc3\xa9", N63 "4" };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(good); i++)
        assert_true(id_is_name(good[i]));
    for (unsigned i = 0; i < TABLE_LEN(bad); i++)
        assert_false(id_is_name(bad[i]));
}

static void test_guids(void **state)
{
    static const char *const bad[] = { "",
                                       "9f86d081-884c-4d65-9a2f-eaa0c55ad01",
                                       "9f86d081-884c-4d65-9a2f-eaa0c55ad0155",
                                       "9F86d081-884c-4d65-9a2f-eaa0c55ad015",
                                       "9g86d081-884c-4d65-9a2f-eaa0c55ad015",
                                       "9f86d0810884c-4d65-9a2f-eaa0c55ad015",
                                       "{9f86d081-884c-4d65-9a2f-eaa0c55ad015}" };

    (void)state;
    assert_true(id_is_guid("9f86d081-884c-4d65-9a2f-eaa0c55ad015"));
    for (unsigned i = 0; i < TABLE_LEN(bad); i++)
        assert_false(id_is_guid(bad[i]));
}

static void test_random_ids_are_hex(void **state)
{
    static const uint8_t bytes[ID_RANDOM_BYTES] = { 0, 1, 0x0f, 0x10, 0xff, [15] = 0xab };
    char text[33];

    (void)state;
    assert_string_equal(id_from_bytes(bytes, text), "00010f10ff00000000000000000000ab");
}

/* What is made is what is read. */
static void test_op_ids_go_there_and_back(void **state)
{
    struct op_id_parts p;
    struct op_id id;
    struct err e;

    (void)state;
    check_ok(op_id_make("r1", "HV07", 1, "install", NULL, 1, &id, &e), &e);
    assert_string_equal(id.text, "r1/HV07/1/install/1");
    check_ok(op_id_parse(id.text, &p, &e), &e);
    assert_string_equal(p.run, "r1");
    assert_string_equal(p.node, "HV07");
    assert_int_equal(p.life, 1);
    assert_string_equal(p.step, "install");
    assert_string_equal(p.subject, "");
    assert_int_equal(p.attempt, 1);

    check_ok(
        op_id_make("r1", "HV07", UINT32_MAX, "move_vm", "9f86d081-884c-4d65-9a2f-eaa0c55ad015", 12, &id, &e),
        &e);
    assert_string_equal(id.text, "r1/HV07/4294967295/move_vm:9f86d081-884c-4d65-9a2f-eaa0c55ad015/12");
    check_ok(op_id_parse(id.text, &p, &e), &e);
    assert_string_equal(p.subject, "9f86d081-884c-4d65-9a2f-eaa0c55ad015");
    assert_true(p.life == UINT32_MAX);
    assert_int_equal(p.attempt, 12);
}

static void test_wrong_parts_are_refused(void **state)
{
    struct op_id id = { "kept" };
    struct err e;

    (void)state;
    check_err(op_id_make("r/1", "n", 1, "install", NULL, 1, &id, &e), &e, ERR_INVALID,
              "operation id: `r/1`, `n` and `` must be names");
    check_err(op_id_make("r1", "n", 1, "move_vm", "a:b", 1, &id, &e), &e, ERR_INVALID,
              "operation id: `r1`, `n` and `a:b` must be names");
    check_err(op_id_make("r1", "n", 1, "Install", NULL, 1, &id, &e), &e, ERR_INVALID,
              "operation id: `Install` is not a step");
    check_err(op_id_make("r1", "n", 1, "a2345678901234567890123456789012", NULL, 1, &id, &e), &e, ERR_INVALID,
              "operation id: `a2345678901234567890123456789012` is not a step");
    check_err(op_id_make("r1", "n", 0, "install", NULL, 1, &id, &e), &e, ERR_INVALID,
              "operation id: lives and attempts count from 1");
    check_err(op_id_make("r1", "n", 1, "install", NULL, 0, &id, &e), &e, ERR_INVALID,
              "operation id: lives and attempts count from 1");
    check_err(op_id_make(N63, N63, 1, "install", NULL, 1, &id, &e), &e, ERR_INVALID,
              "operation id would be longer than 127 bytes");
    assert_string_equal(id.text, "kept");
}

static void test_texts_that_are_no_op_ids(void **state)
{
    static const char *const bad[] = {
        "",
        "r1/HV07/1/install",
        "r1/HV07/1/install/",
        "r1/HV07/1/install/1/",
        "r1/HV07/1/install/1/2",
        "r1/HV07/01/install/1",
        "r1/HV07/0/install/1",
        "r1/HV07/+1/install/1",
        "r1/HV07/4294967296/install/1",
        "r1/HV07/12345678901/install/1",
        "r1/HV07/1/in stall/1",
        "r1/HV07/1/install:/1",
        "r1/HV07/1/install:a:b/1",
        "r1/HV07/1/:a/1",
        "/HV07/1/install/1",
        "r1//1/install/1",
        "r1/HV07/1/install/1\n",
        "r1/" N63 "4/1/install/1",
        "r1/HV07/1/install:" N63 "4/1",
        "r1/HV07/1/a2345678901234567890123456789012/1",
        N63 "/" N63 "/1/install/1",
    };
    struct op_id_parts p = { .run = "kept" };
    struct err e;
    char want[256];

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(bad); i++) {
        snprintf(want, sizeof want, "`%.127s` is not an operation id (RUN/NODE/LIFE/STEP[:SUBJECT]/ATTEMPT)",
                 bad[i]);
        check_err(op_id_parse(bad[i], &p, &e), &e, ERR_INVALID, want);
    }
    assert_string_equal(p.run, "kept");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_guids),
        cmocka_unit_test(test_random_ids_are_hex),
        cmocka_unit_test(test_op_ids_go_there_and_back),
        cmocka_unit_test(test_wrong_parts_are_refused),
        cmocka_unit_test(test_texts_that_are_no_op_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
