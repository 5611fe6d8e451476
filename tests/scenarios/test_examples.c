/* The files of examples/ do what they say: each rollout plans on its inventory
 * through the same loading the program does, and the checker agrees. The plans
 * are left in the build folder for the schema test. */
#include "orchestrator/core/plan.h"
#include "orchestrator/io/rollout_load.h"
#include "orchestrator/io/store.h"
#include "orchestrator/io/store_record.h"
#include "tests/lib/check.h"
#include "tests/lib/temp_dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MADE_AT 1795471200000 /* 2026-11-23T22:00Z */

static struct temp_dir dir;
static struct store *store;

static void read_all(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    char block[4096];
    size_t n;

    if (f == NULL)
        fail_msg("%s is missing", path);
    while ((n = fread(block, 1, sizeof block, f)) > 0)
        buf_add(out, block, n);
    fclose(f);
}

static int set_up(void **state)
{
    struct patch patch = { .kb = "KB5061977",
                           .file = "windows11.0-kb5061977-x64.msu",
                           .sha256 = "9f3c5d0f7b0e4a55c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8",
                           .size_bytes = 1024,
                           .target = { 26100, 4066 },
                           .reboot = REBOOT_ALWAYS,
                           .tool = "dism" };
    struct record_by by = { "tester", MADE_AT };
    struct err err = { 0 };
    char path[512];

    (void)state;
    temp_dir_make(&dir);
    snprintf(path, sizeof path, "%s", temp_dir_file(&dir, "patchwave.db"));
    check_ok(store_create(path, &err), &err);
    check_ok(store_open(path, STORE_WRITE, &store, &err), &err);
    check_ok(store_put_patch(store, &patch, "/nowhere/windows11.0-kb5061977-x64.msu", by, &err), &err);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_close(store);
    temp_dir_remove(&dir);
    return 0;
}

static struct inventory *load_inventory(const char *path)
{
    struct buf text = BUF_INIT;
    struct json_doc *doc;
    struct inventory *inv;
    struct err err = { 0 };

    read_all(path, &text);
    check_ok(json_parse(path, text.data, text.len, &doc, &err), &err);
    check_ok(inventory_read(doc, &inv, &err), &err);
    json_free(doc);
    buf_clear(&text);
    return inv;
}

static struct rollout *load_rollout(const char *path)
{
    struct buf text = BUF_INIT;
    struct rollout *r;
    struct err err = { 0 };

    read_all(path, &text);
    check_ok(rollout_load(store, path, text.data, text.len, MADE_AT, &r, &err), &err);
    buf_clear(&text);
    return r;
}

static struct plan *plan_of(const char *inventory, const char *rollout)
{
    struct buf faults = BUF_INIT;
    struct plan *p;
    struct err err = { 0 };

    check_ok(plan_build(load_inventory(inventory), load_rollout(rollout), MADE_AT, "tester", &p, &err), &err);
    if (plan_verify(p, &faults) != 0)
        fail_msg("%s", buf_text(&faults));
    buf_clear(&faults);
    return p;
}

/* For tests/unit/schemas.py. */
static void leave_plan(const struct plan *p, const char *name)
{
    const char *build = getenv("PW_BUILD_DIR");
    struct buf path = BUF_INIT, text = BUF_INIT;
    FILE *f;

    buf_printf(&path, "%s/examples", build == NULL ? "build/debug" : build);
    mkdir(buf_text(&path), 0755);
    buf_printf(&path, "/%s.plan.json", name);
    plan_write(&text, p, true);
    f = fopen(buf_text(&path), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text.data, 1, text.len, f), text.len);
    assert_int_equal(fclose(f), 0);
    buf_clear(&path);
    buf_clear(&text);
}

/* Nine nodes in two clusters: one wave, everything moves live. */
static void test_emergency(void **state)
{
    struct plan *p = plan_of("examples/inventories/two-clusters.json", "examples/rollouts/emergency.json");

    (void)state;
    assert_int_equal(p->n_waves, 1);
    assert_int_equal(p->waves[0].n_nodes, 9);
    assert_int_equal(p->n_refusals, 0);
    assert_int_equal(p->moves, p->moves_bound);
    for (uint32_t i = 0; i < p->n_nodes; i++)
        assert_int_equal(p->nodes[i].n_parks, 0);
    leave_plan(p, "emergency");
    plan_free(p);
}

/* HV05 stays out; the first node goes through three lives. */
static void test_rehearsed(void **state)
{
    struct plan *p = plan_of("examples/inventories/two-clusters.json", "examples/rollouts/rehearsed.json");

    (void)state;
    assert_int_equal(p->n_nodes, 8);
    assert_int_equal(plan_node_of(p, inventory_node(p->inv, "HV05")), IX_NONE);
    assert_int_equal(p->waves[0].n_nodes, 1);
    assert_true(p->nodes[0].rehearse);
    assert_int_equal(p->nodes[0].lives, 3);
    assert_true(p->nodes[0].steps[PREDICT_REMOVE].p50 > 0);
    leave_plan(p, "rehearsed");
    plan_free(p);
}

/* The four VMs that cannot move are parked by the consents' methods, no other. */
static void test_mixed(void **state)
{
    static const struct {
        const char *vm;
        enum park_method method;
    } parked[] = {
        { "5f0c0078-7d21-4c5e-9a10-000000000078", PARK_SHUTDOWN },
        { "5f0c0079-7d21-4c5e-9a10-000000000079", PARK_SHUTDOWN },
        { "5f0c007a-7d21-4c5e-9a10-00000000007a", PARK_SAVE },
        { "5f0c007b-7d21-4c5e-9a10-00000000007b", PARK_SHUTDOWN },
    };
    struct plan *p = plan_of("examples/inventories/mixed.json", "examples/rollouts/mixed.json");
    uint32_t parks = 0;

    (void)state;
    assert_int_equal(p->n_refusals, 0);
    for (uint32_t i = 0; i < p->n_nodes; i++)
        for (uint32_t k = 0; k < p->nodes[i].n_parks; k++, parks++)
            for (unsigned t = 0; t < TABLE_LEN(parked); t++)
                if (strcmp(p->inv->vms[p->nodes[i].parks[k].vm].id, parked[t].vm) == 0)
                    assert_int_equal(p->nodes[i].parks[k].method, parked[t].method);
    assert_int_equal(parks, TABLE_LEN(parked));
    leave_plan(p, "mixed");
    plan_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_emergency),
        cmocka_unit_test(test_rehearsed),
        cmocka_unit_test(test_mixed),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
