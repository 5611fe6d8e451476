/* Every allocation of a reader or writer fails once: each time the call says
 * so, leaves its outputs alone and leaks nothing (the sanitizer build looks). */
#include "schema/arena.h"
#include "schema/codec.h"
#include "schema/json.h"
#include "schema/list.h"
#include "tests/lib/alloc_fault.h"
#include "tests/lib/check.h"

#include <stdlib.h>
#include <string.h>

static const char text[] =
    "{\"a\":[1,2,3,4,5,6,7,8,9],\n\"b\":{\"c\":\"x\",\"d\":true,\n\"e\":null},\"f\":\"y\"}";

static int parse_once(void)
{
    struct json_doc *doc = NULL;
    struct err e = { ERR_OK, "" };
    int rc = json_parse("f", text, sizeof text - 1, &doc, &e);

    if (rc == 0)
        assert_int_equal(json_count(json_get(json_root(doc), "a")), 9);
    else
        assert_null(doc);
    json_free(doc);
    return rc;
}

static int rpc_once(void)
{
    static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\",\"params\":{\"x\":[1]}}";
    struct rpc_message m = { .doc = NULL };
    int rc = rpc_parse(line, sizeof line - 1, &m, NULL);

    rpc_clear(&m);
    return rc;
}

static int cut_once(void)
{
    struct line_cutter c;
    size_t len;
    int rc;

    line_cutter_init(&c, 1000);
    rc = line_cutter_feed(&c, text, sizeof text - 1, NULL);
    assert_int_equal(line_cutter_take(&c, &len) == NULL, rc != 0);
    line_cutter_clear(&c);
    return rc;
}

static int write_once(void)
{
    struct buf out = BUF_INIT;
    int rc;

    for (int id = 1; id <= 4; id++) /* more than the first block holds */
        rpc_write_request(&out, id, "hello", text);
    rc = out.failed ? ERR_NOMEM : 0;
    if (rc == 0)
        assert_int_equal(out.data[out.len - 1], '\n');
    buf_clear(&out);
    return rc;
}

static int arena_once(void)
{
    struct arena a = ARENA_INIT;
    char *big = arena_alloc(&a, 10000), *small = arena_printf(&a, "node %d", 7);
    int rc = big == NULL || small == NULL ? ERR_NOMEM : 0;

    arena_clear(&a);
    return rc;
}

static int list_once(void)
{
    struct {
        int *items;
        uint32_t n, cap;
    } l = { 0 };
    int rc = 0;

    for (int i = 0; i < 20 && rc == 0; i++) {
        uint32_t before = l.n;

        if (list_push(&l) == NULL) {
            assert_int_equal(l.n, before);
            rc = ERR_NOMEM;
        }
    }
    list_clear(&l);
    return rc;
}

/* Until the call gets through without meeting the fault; `least` allocations
 * were there to fail. */
static void every_allocation_fails(int (*call)(void), unsigned least)
{
    unsigned n = 1;

    for (; n < 1000; n++) {
        int rc;

        alloc_fault_at(n);
        rc = call();
        if (!alloc_fault_hit()) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
    alloc_fault_at(0);
    assert_in_range(n - 1, least, 999);
}

static void test_json_parse(void **state)
{
    (void)state;
    every_allocation_fails(parse_once, 4);
}

static void test_rpc_parse(void **state)
{
    (void)state;
    every_allocation_fails(rpc_once, 2);
}

static void test_line_cutter(void **state)
{
    (void)state;
    every_allocation_fails(cut_once, 1);
}

static void test_writer(void **state)
{
    (void)state;
    every_allocation_fails(write_once, 2);
}

static void test_arena(void **state)
{
    (void)state;
    every_allocation_fails(arena_once, 2);
}

static void test_list(void **state)
{
    (void)state;
    every_allocation_fails(list_once, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_parse),  cmocka_unit_test(test_rpc_parse),
        cmocka_unit_test(test_line_cutter), cmocka_unit_test(test_writer),
        cmocka_unit_test(test_arena),       cmocka_unit_test(test_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
