/* driver.json with one member gone or of another kind: refused with the place
 * and nothing kept, or still a manifest that can be used. */
#include "agent/core/driver_proto.h"
#include "tests/lib/check.h"
#include "tests/lib/json_spoil.h"

#include <string.h>

static const char good[] = "{\"name\":\"t\",\"version\":\"1\",\"contract\":1,\"actions\":{"
                           "\"facts\":{\"argv\":[\"d\",\"f\"],\"limit_ms\":5,\"resident\":true},"
                           "\"install\":{\"argv\":[\"d\"],\"limit_ms\":9,\"on_deadline\":\"leave\"}}}";

static void test_spoiled(void **state)
{
    uint32_t refused = 0, usable = 0;
    struct json_doc *doc;
    struct err err;

    (void)state;
    check_ok(json_parse("d", good, sizeof good - 1, &doc, &err), &err);
    for (uint32_t way = 0; way < json_spoil_ways(json_root(doc)); way++) {
        struct driver_manifest m;
        struct buf text = BUF_INIT;
        int rc;

        json_spoil(&text, json_root(doc), way);
        rc = driver_manifest_read("driver.json", text.data, text.len, &m, &err);
        if (rc != 0 && rc != ERR_INVALID && rc != ERR_VERSION)
            fail_msg("%s: %s", buf_text(&text), err_name((enum err_code)rc));
        if (rc == 0 &&
            (driver_manifest_find(&m, "facts") == NULL || driver_manifest_find(&m, "facts")->n_argv == 0 ||
             driver_manifest_find(&m, "facts")->limit_ms < 1))
            fail_msg("%s was taken", buf_text(&text));
        if (rc != 0)
            assert_int_equal(m.n_actions, 0);
        refused += rc != 0;
        usable += rc == 0;
        driver_manifest_clear(&m);
        buf_clear(&text);
    }
    json_free(doc);
    assert_true(refused > 20 && usable > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_spoiled) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
