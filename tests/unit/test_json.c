#include "schema/json.h"
#include "tests/lib/check.h"

#include <stdlib.h>
#include <string.h>

static const char text[] = "{\n"
                           "  \"name\": \"HV01\",\n"
                           "  \"votes\": 1,\n"
                           "  \"big\": 9007199254740993,\n"
                           "  \"s2d\": true,\n"
                           "  \"none\": null,\n"
                           "  \"vms\": [\n"
                           "    {\"id\": 1}, {\"id\": 2},\n"
                           "    {\"id\": 3, \"a/b\": {\"~\": \"x\"}}\n"
                           "  ]\n"
                           "}\n";

static int start(void **state)
{
    return json_parse("inv.json", text, sizeof text - 1, (struct json_doc **)state, NULL);
}

static int end(void **state)
{
    json_free(*state);
    return 0;
}

static void test_values_are_read_exactly(void **state)
{
    const json *root = json_root(*state);

    assert_string_equal(json_get_str(root, "name", "?"), "HV01");
    assert_int_equal(json_get_int(root, "votes", -1), 1);
    assert_true(json_get_int(root, "big", -1) == 9007199254740993); /* a double would say ...992 */
    assert_true(json_get_bool(root, "s2d", false));
    assert_int_equal(json_count(json_get(root, "vms")), 3);
    assert_int_equal(json_count(root), 6);
}

static void test_other_kinds_and_missing_members_give_the_default(void **state)
{
    const json *root = json_root(*state);

    assert_string_equal(json_get_str(root, "votes", "?"), "?");
    assert_int_equal(json_get_int(root, "name", -1), -1);
    assert_true(json_get_bool(root, "none", true));
    assert_null(json_get(root, "Name")); /* names are case-sensitive */
    assert_null(json_get(json_get(root, "vms"), "id"));
    assert_null(json_get(NULL, "x"));
    assert_null(json_str(NULL, NULL));
    assert_int_equal(json_count(NULL), 0);
    assert_null(json_first(json_get(root, "name")));
}

static void test_kinds(void **state)
{
    static const char *const keys[] = { "name", "votes", "s2d", "none", "vms" };
    bool (*const is[])(const json *) = { json_is_string, json_is_int,   json_is_bool,
                                         json_is_null,   json_is_array, json_is_object };
    const json *root = json_root(*state);

    for (unsigned k = 0; k < TABLE_LEN(keys); k++)
        for (unsigned i = 0; i < TABLE_LEN(is); i++)
            assert_int_equal(is[i](json_get(root, keys[k])), i == k);
    assert_true(json_is_object(root));
    for (unsigned i = 0; i < TABLE_LEN(is); i++)
        assert_false(is[i](NULL));
}

static void test_members_come_in_the_texts_order(void **state)
{
    static const char *const keys[] = { "name", "votes", "big", "s2d", "none", "vms" };
    unsigned i = 0;

    for (const json *m = json_first(json_root(*state)); m != NULL; m = json_next(m))
        assert_string_equal(json_key(m), keys[i++]);
    assert_int_equal(i, TABLE_LEN(keys));
    assert_null(json_key(json_first(json_get(json_root(*state), "vms"))));
}

/* A fault names the place of any value of the document. */
static void test_faults_name_line_column_and_pointer(void **state)
{
    const json *root = json_root(*state), *vms = json_get(root, "vms");
    const json *third = json_next(json_next(json_first(vms)));
    struct err e;

    check_err(json_fault(*state, root, &e, "is wrong"), &e, ERR_INVALID, "inv.json:1:1: is wrong");
    check_err(json_fault(*state, json_get(root, "name"), &e, "is %s", "wrong"), &e, ERR_INVALID,
              "inv.json:2:11: is wrong (at /name)");
    check_err(json_fault(*state, json_first(vms), &e, "x"), &e, ERR_INVALID, "inv.json:8:5: x (at /vms/0)");
    check_err(json_fault(*state, json_get(json_next(json_first(vms)), "id"), &e, "x"), &e, ERR_INVALID,
              "inv.json:8:23: x (at /vms/1/id)");
    check_err(json_fault(*state, json_get(json_get(third, "a/b"), "~"), &e, "x"), &e, ERR_INVALID,
              "inv.json:9:28: x (at /vms/2/a~1b/~0)");
}

/* The text may go away after the parse. */
static void test_the_document_keeps_nothing_of_the_text(void **state)
{
    char *copy = malloc(sizeof text), name[] = "gone";
    struct json_doc *doc;
    struct err e;

    (void)state;
    memcpy(copy, text, sizeof text);
    check_ok(json_parse(name, copy, sizeof text - 1, &doc, &e), &e);
    memset(copy, 'x', sizeof text);
    memset(name, 'x', sizeof name - 1);
    free(copy);
    check_err(json_fault(doc, json_get(json_root(doc), "votes"), &e, "x"), &e, ERR_INVALID,
              "gone:3:12: x (at /votes)");
    json_free(doc);
    json_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_values_are_read_exactly, start, end),
        cmocka_unit_test_setup_teardown(test_other_kinds_and_missing_members_give_the_default, start, end),
        cmocka_unit_test_setup_teardown(test_kinds, start, end),
        cmocka_unit_test_setup_teardown(test_members_come_in_the_texts_order, start, end),
        cmocka_unit_test_setup_teardown(test_faults_name_line_column_and_pointer, start, end),
        cmocka_unit_test(test_the_document_keeps_nothing_of_the_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
