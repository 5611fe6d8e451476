/* Documents spoilt in every way (tests/lib/json_spoil.h): what is read is refused with a sentence and leaves nothing behind, or it
 * is a document of its own that reads back equal. */
#include "tests/lib/check.h"
#include "tests/lib/json_spoil.h"
#include "tests/lib/small_fleet.h"

#include "orchestrator/core/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads `text` and writes what was read; an error as event_read and its like give it. */
typedef int read_and_write(const struct json_doc *doc, struct buf *again, struct err *err);

static int inventory_again(const struct json_doc *doc, struct buf *again, struct err *err)
{
    struct inventory *inv = NULL;
    struct json_writer w;
    int rc = inventory_read(doc, &inv, err);

    if (rc != 0) {
        assert_null(inv);
        return rc;
    }
    jw_init(&w, again);
    inventory_write(&w, NULL, inv);
    inventory_free(inv);
    return 0;
}

static int rollout_again(const struct json_doc *doc, struct buf *again, struct err *err)
{
    struct rollout *r = NULL;
    struct json_writer w;
    int rc = rollout_read(doc, &r, err);

    if (rc != 0) {
        assert_null(r);
        return rc;
    }
    jw_init(&w, again);
    rollout_write(&w, NULL, r);
    rollout_free(r);
    return 0;
}

static int plan_again(const struct json_doc *doc, struct buf *again, struct err *err)
{
    struct plan *p = NULL;
    int rc = plan_read(doc, &p, err);

    if (rc != 0) {
        assert_null(p);
        return rc;
    }
    plan_write(again, p, false);
    plan_free(p);
    return 0;
}

static int read_text(read_and_write *f, const struct buf *text, struct buf *again, struct err *err)
{
    struct json_doc *doc = NULL;
    int rc = json_parse("spoilt", text->data, text->len, &doc, err);

    if (rc != 0)
        return rc;
    rc = f(doc, again, err);
    json_free(doc);
    return rc;
}

static bool check_spoilt(read_and_write *f, const struct buf *text)
{
    struct buf once = BUF_INIT, twice = BUF_INIT;
    struct err err = { 0 };
    int rc = read_text(f, text, &once, &err);

    if (rc == 0) {
        check_ok(read_text(f, &once, &twice, &err), &err);
        assert_string_equal(buf_text(&once), buf_text(&twice));
    } else if ((rc != ERR_INVALID && rc != ERR_CORRUPT && rc != ERR_VERSION && rc != ERR_STATE) ||
               strlen(err.text) < 8) {
        fail_msg("%s: %s: %.2000s", err_name((enum err_code)rc), err.text, buf_text(text));
    }
    buf_clear(&once);
    buf_clear(&twice);
    return rc != 0;
}

/* Every way, and how many of them were refused. */
static uint32_t spoil_all(read_and_write *f, const char *text, size_t len)
{
    struct json_doc *doc;
    struct err err;
    struct buf again = BUF_INIT;
    uint32_t n, refused = 0;

    check_ok(json_parse("good", text, len, &doc, &err), &err);
    check_ok(f(doc, &again, &err), &err);
    buf_clear(&again);
    n = json_spoil_ways(json_root(doc));
    for (uint32_t way = 0; way < n; way++) {
        struct buf spoilt = BUF_INIT;

        json_spoil(&spoilt, json_root(doc), way);
        refused += check_spoilt(f, &spoilt) ? 1 : 0;
        buf_clear(&spoilt);
    }
    json_free(doc);
    assert_in_range(refused, n / 2, n);
    return refused;
}

static void spoil_file(read_and_write *f, const char *path)
{
    char text[64 * 1024];
    FILE *in = fopen(path, "r");
    size_t len;

    if (in == NULL)
        fail_msg("%s: no such file", path);
    len = fread(text, 1, sizeof text, in);
    assert_true(feof(in));
    fclose(in);
    spoil_all(f, text, len);
}

static void test_inventories(void **state)
{
    (void)state;
    spoil_file(inventory_again, "examples/inventories/mixed.json");
    spoil_file(inventory_again, "examples/inventories/two-clusters.json");
}

/* As it stands in a plan: includes and zones are resolved. */
static const char full_rollout[] =
    "{\"version\":1,\"name\":\"all-of-it\",\"patch\":{\"kb\":\"KB5061977\",\"file\":\"a.msu\",\"sha256\":"
    "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\",\"size_bytes\":7,\"target\":"
    "\"26100.4066\","
    "\"reboot\":\"if_required\",\"tool\":\"wusa\"},\"scope\":{\"clusters\":[\"c0\"],\"nodes\":[\"n1\"],"
    "\"exclude\":[\"n2\"]},"
    "\"waves\":[1,\"50%\"],\"gates\":[{\"name\":\"watch\",\"type\":\"time_sync\",\"scope\":\"cluster\","
    "\"when\":\"both\","
    "\"on_fail\":\"rollback\",\"interval\":\"30s\",\"samples\":3,\"soak\":\"5m\",\"failure_limit\":1,"
    "\"unknown_limit\":2,"
    "\"max_age\":\"2m\",\"offset_max_ms\":1000,\"stratum_max\":10},{\"type\":\"manual\"}],"
    "\"windows\":[{\"from\":\"2026-12-01T22:00:00Z\",\"to\":\"2026-12-02T06:00:00Z\"}],"
    "\"freezes\":[{\"from\":\"2026-12-20T00:00:00Z\",\"to\":\"2027-01-06T00:00:00Z\"}],"
    "\"consents\":[{\"vm\":\"5f0c0078-7d21-4c5e-9a10-000000000078\",\"person\":\"r.owner\",\"ticket\":\"CHG-"
    "1\","
    "\"method\":\"save\",\"checkpoint\":true,\"expires\":\"2027-01-31T00:00:00Z\"}],"
    "\"waivers\":[{\"what\":\"reserve_none\",\"cluster\":\"c0\",\"person\":\"b.oss\",\"ticket\":\"CHG-2\"}],"
    "\"policy\":{\"failures_per_wave\":1,\"failures_per_run\":2,\"deviations_max\":20,\"max_out_fleet\":4,"
    "\"moves_per_vm\":2,"
    "\"rollback_moves_per_vm\":2,\"evidence_percent\":10,\"evidence_vms_min\":2,\"stop_vmms\":true,"
    "\"rehearse\":false,"
    "\"planner_may_approve\":true,\"bitlocker_suspend\":true,\"rollback\":\"wave\",\"pending_reboot\":"
    "\"reboot_first\","
    "\"park_default\":\"save\",\"reserve_min\":\"full\",\"fresh\":\"2m\",\"unreachable\":\"10m\",\"timeout_"
    "factor\":3,"
    "\"attempts_max\":2}}";

static void test_rollout(void **state)
{
    (void)state;
    spoil_all(rollout_again, full_rollout, strlen(full_rollout));
}

static void test_plan(void **state)
{
    static const struct fleet_words words = { .seed = 5,
                                              .clusters = 2,
                                              .nodes = 3,
                                              .vms = 2,
                                              .node_mib = 65536,
                                              .vm_mib_min = 512,
                                              .vm_mib_max = 4096,
                                              .s2d = true,
                                              .anti_percent = 40 };
    struct buf text = BUF_INIT;
    struct plan *p;
    struct err err;

    (void)state;
    check_ok(
        plan_build(small_fleet(&words), small_rollout("[1,\"100%\"]", ""), 1795471200000, "tester", &p, &err),
        &err);
    plan_write(&text, p, false);
    plan_free(p);
    spoil_all(plan_again, text.data, text.len);
    buf_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_inventories), cmocka_unit_test(test_rollout),
                                        cmocka_unit_test(test_plan) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
