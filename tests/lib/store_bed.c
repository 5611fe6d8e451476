#include "tests/lib/store_bed.h"

#include "orchestrator/io/rollout_load.h"
#include "orchestrator/io/store_impl.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/io/store_record.h"
#include "tests/lib/check.h"

#include <stdio.h>
#include <string.h>

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

static struct inventory *bed_inventory(const char *path)
{
    struct inventory *inv = NULL;
    struct json_doc *doc = NULL;
    struct buf text = BUF_INIT;
    struct err err = { 0 };

    read_all(path, &text);
    check_ok(json_parse(path, text.data, text.len, &doc, &err), &err);
    check_ok(inventory_read(doc, &inv, &err), &err);
    json_free(doc);
    buf_clear(&text);
    return inv;
}

static void bed_plan(struct store_bed *b, struct inventory *inv, const char *path)
{
    struct rollout *r = NULL;
    struct plan *p = NULL;
    struct buf text = BUF_INIT;
    struct err err = { 0 };

    read_all(path, &text);
    check_ok(rollout_load(b->store, path, text.data, text.len, BED_AT, &r, &err), &err);
    check_ok(plan_build(inv, r, BED_AT, "planner", &p, &err), &err);
    check_ok(store_put_plan(b->store, p, &err), &err);
    buf_clear(&text);
    plan_free(p);
}

void bed_make(struct store_bed *b, const char *inventory, const char *rollout)
{
    struct patch patch = { .kb = "KB5061977",
                           .file = "windows11.0-kb5061977-x64.msu",
                           .sha256 = "9f3c5d0f7b0e4a55c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8",
                           .size_bytes = 1024,
                           .target = { 26100, 4066 },
                           .reboot = REBOOT_ALWAYS,
                           .tool = "dism" };
    struct record_by by = { "tester", BED_AT };
    struct approval approval = {
        .person = "approver", .ticket = "CHG-1", .at = BED_AT, .expires = BED_AT + 7 * DAY_MS
    };
    struct inventory *inv;
    struct err err = { 0 };

    *b = (struct store_bed){ 0 };
    temp_dir_make(&b->dir);
    snprintf(b->path, sizeof b->path, "%s", temp_dir_file(&b->dir, "patchwave.db"));
    check_ok(store_create(b->path, &err), &err);
    check_ok(store_open(b->path, STORE_WRITE, &b->store, &err), &err);
    /* What a power cut would leave is not asked here, and waiting for disks is slow. */
    check_ok(store_exec(b->store->db, "PRAGMA synchronous = OFF", &err), &err);
    inv = bed_inventory(inventory);
    check_ok(store_put_inventory(b->store, inv, inventory, patch.sha256, by, &err), &err);
    check_ok(store_put_patch(b->store, &patch, "/nowhere/x.msu", by, &err), &err);
    bed_plan(b, inv, rollout);
    check_ok(store_load_plan(b->store, NULL, &b->plan, &err), &err);
    approval.plan = b->plan->hash;
    check_ok(store_put_approval(b->store, &approval, &err), &err);
}

void bed_restart(struct store_bed *b)
{
    struct err err = { 0 };

    check_ok(engine_new(b->plan, &b->engine, &err), &err);
    check_ok(store_log_new(b->store, BED_RUN, b->plan, &b->log, &err), &err);
    runner_init(&b->runner, b->engine, store_log_face(b->log), NULL);
}

void bed_start(struct store_bed *b)
{
    struct err err = { 0 };

    bed_restart(b);
    check_ok(backend_plan_new(b->plan, BED_AT, &b->backend, &err), &err);
    b->runner.backend = backend_plan_backend(b->backend);
}

void bed_stop(struct store_bed *b)
{
    if (b->engine != NULL)
        runner_clear(&b->runner);
    store_log_free(b->log);
    engine_free(b->engine);
    if (b->backend != NULL)
        backend_plan_free(b->backend);
    b->log = NULL;
    b->engine = NULL;
    b->backend = NULL;
}

void bed_drop(struct store_bed *b)
{
    bed_stop(b);
    plan_free(b->plan);
    store_close(b->store);
    temp_dir_remove(&b->dir);
}

uint32_t bed_play(struct store_bed *b, uint32_t events)
{
    struct event ev = { .at = BED_AT, .type = EV_RUN_START, .node = IX_NONE, .cluster = IX_NONE };
    struct err err = { 0 };
    uint32_t n = 0;

    ev.u.run_start.run = BED_RUN;
    ev.u.run_start.plan_hash = b->plan->hash;
    ev.u.run_start.person = "operator";
    ev.u.run_start.revision = ENGINE_REVISION;
    ev.u.run_start.epoch = 1;
    ev.u.run_start.controller = "0123456789abcdef0123456789abcdef";
    ev.u.run_start.approval_expires = BED_AT + 7 * DAY_MS;
    do {
        int rc = runner_feed(&b->runner, &ev, &err);

        if (rc != 0 && b->runner.stopped)
            fail_msg("event %u: %s", (unsigned)n, err.text);
        n++;
    } while (n < events && !b->runner.ended &&
             backend_plan_next(b->backend, engine_deadline(b->engine), &ev));
    return n;
}

int64_t bed_number(struct store_bed *b, const char *sql)
{
    struct rows r = { 0 };
    struct err err = { 0 };
    int64_t n;

    check_ok(store_ask(b->store, &r, &err, sql, ""), &err);
    assert_int_equal(r.n, 1);
    n = rows_int(&r, 0, 0);
    rows_clear(&r);
    return n;
}
