/* A run in the store that another engine revision decided so far: what a takeover reads, writes and leaves alone. */
#include "orchestrator/io/store_handover.h"

#include "orchestrator/io/store_impl.h"
#include "orchestrator/io/store_rebuild.h"
#include "tests/lib/check.h"
#include "tests/lib/store_bed.h"

#include <stdlib.h>
#include <string.h>

#define OTHER (ENGINE_REVISION + 7)
#define ENOUGH 20000

static struct store_bed bed;

static int set_up(void **state)
{
    (void)state;
    bed_make(&bed, "examples/inventories/two-clusters.json", "examples/rollouts/emergency.json");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bed_drop(&bed);
    return 0;
}

static bool feed(struct event *ev)
{
    struct err err = { 0 };
    int rc = runner_feed(&bed.runner, ev, &err);

    if (rc != 0 && bed.runner.stopped)
        fail_msg("%s", err.text);
    return rc == 0;
}

static bool step(void)
{
    struct event ev;

    if (bed.runner.ended || !backend_plan_next(bed.backend, engine_deadline(bed.engine), &ev))
        return false;
    (void)feed(&ev);
    return true;
}

/* A run of the other revision, up to `events` events. */
static void play_other(uint32_t events)
{
    struct event ev = { .at = BED_AT, .type = EV_RUN_START, .node = IX_NONE, .cluster = IX_NONE };

    bed_start(&bed);
    engine_be(bed.engine, OTHER);
    ev.u.run_start.run = BED_RUN;
    ev.u.run_start.plan_hash = bed.plan->hash;
    ev.u.run_start.person = "operator";
    ev.u.run_start.revision = OTHER;
    ev.u.run_start.epoch = 1;
    ev.u.run_start.controller = "0123456789abcdef0123456789abcdef";
    ev.u.run_start.approval_expires = BED_AT + 7 * DAY_MS;
    assert_true(feed(&ev));
    for (uint32_t i = 1; i < events && step(); i++) {
    }
}

static void written(const struct handover *h, struct buf *out)
{
    struct json_writer w;

    jw_init(&w, out);
    handover_write(&w, NULL, h, bed.plan->inv);
}

/* Reads the log as the store has it into a fold of its own. */
static void fold_log(struct handover_fold *f)
{
    struct event_pictures pictures = { 0 };
    struct rows r = { 0 };
    struct err err = { 0 };

    check_ok(store_ask(bed.store, &r, &err,
                       "SELECT event, commands FROM log WHERE run IS NOT NULL ORDER BY seq", ""),
             &err);
    for (uint32_t i = 0; i < r.n; i++) {
        struct arena a = ARENA_INIT;
        struct event ev;

        check_ok(event_read(rows_text(&r, i, 0), strlen(rows_text(&r, i, 0)), bed.plan->inv, &pictures, &a,
                            &ev, &err),
                 &err);
        check_ok(handover_fold_event(f, &ev, rows_text(&r, i, 1), &err), &err);
        arena_clear(&a);
    }
    rows_clear(&r);
    event_pictures_clear(&pictures);
}

static void check_tables_tell_what_the_engine_shows(void)
{
    struct handover_fold *tables = NULL, *views = NULL;
    const struct handover *by_tables = NULL, *by_views = NULL;
    struct buf a = BUF_INIT, b = BUF_INIT;
    struct err err = { 0 };

    check_ok(store_handover(bed.store, BED_RUN, bed.plan, &tables, &by_tables, &err), &err);
    check_ok(handover_fold_new(bed.plan, &views, &err), &err);
    fold_log(views);
    check_ok(handover_view(views, bed.engine, &err), &err);
    check_ok(handover_fold_end(views, &by_views, &err), &err);
    written(by_tables, &a);
    written(by_views, &b);
    assert_string_equal(buf_text(&a), buf_text(&b));
    buf_clear(&a);
    buf_clear(&b);
    handover_fold_free(tables);
    handover_fold_free(views);
}

/* At any moment of a run the tables and the log say what the engine that wrote them shows. */
static void test_the_tables_tell_what_the_engine_shows(void **state)
{
    uint32_t looks = 0;

    (void)state;
    play_other(1);
    for (uint32_t n = 0; step(); n++)
        if (n % 97 == 0) {
            check_tables_tell_what_the_engine_shows();
            looks++;
        }
    check_tables_tell_what_the_engine_shows();
    assert_true(looks > 10);
}

/* What was written can be read: the text of what was read is the same text. */
static void test_it_is_read_as_it_was_written(void **state)
{
    struct handover_fold *f = NULL;
    const struct handover *h = NULL;
    struct handover *again = NULL;
    struct buf a = BUF_INIT, b = BUF_INIT;
    struct arena mem = ARENA_INIT;
    struct json_doc *doc = NULL;
    struct err err = { 0 };

    (void)state;
    play_other(450);
    check_ok(store_handover(bed.store, BED_RUN, bed.plan, &f, &h, &err), &err);
    assert_true(h->n_ops > 0 && h->n_rows > 0 && h->n_vms > 0);
    written(h, &a);
    check_ok(json_parse("handover", buf_text(&a), a.len, &doc, &err), &err);
    check_ok(handover_read(doc, json_root(doc), bed.plan->inv, &mem, &again, &err), &err);
    written(again, &b);
    assert_string_equal(buf_text(&a), buf_text(&b));
    json_free(doc);
    arena_clear(&mem);
    buf_clear(&a);
    buf_clear(&b);
    handover_fold_free(f);
}

/* The process ends; one of this program's revision takes over, the world goes on. */
static void take_over(void)
{
    struct event ev = { .type = EV_HANDOVER, .node = IX_NONE, .cluster = IX_NONE };
    struct handover_fold *f = NULL;
    struct err err = { 0 };

    runner_clear(&bed.runner);
    store_log_free(bed.log);
    engine_free(bed.engine);
    backend_plan_forget(bed.backend);
    check_ok(engine_new(bed.plan, &bed.engine, &err), &err);
    check_ok(store_log_new(bed.store, BED_RUN, bed.plan, &bed.log, &err), &err);
    runner_init(&bed.runner, bed.engine, store_log_face(bed.log), backend_plan_backend(bed.backend));
    check_ok(store_handover(bed.store, BED_RUN, bed.plan, &f, &ev.u.handover.state, &err), &err);
    ev.at = bed_number(&bed, "SELECT max(at) FROM log") + MINUTE_MS;
    ev.u.handover.run = BED_RUN;
    ev.u.handover.plan_hash = bed.plan->hash;
    ev.u.handover.controller = "fedcba9876543210fedcba9876543210";
    ev.u.handover.person = "on-call";
    ev.u.handover.ticket = "CHG-9";
    ev.u.handover.revision = ENGINE_REVISION;
    ev.u.handover.epoch = 2;
    assert_true(feed(&ev));
    handover_fold_free(f);
}

static void check_rebuild_is_equal(void)
{
    char before[SHA256_TEXT], after[SHA256_TEXT];
    struct err err = { 0 };

    check_ok(store_projections_hash(bed.store, before, &err), &err);
    check_ok(store_rebuild(bed.store, &err), &err);
    check_ok(store_projections_hash(bed.store, after, &err), &err);
    assert_string_equal(before, after);
}

static void check_whole(void)
{
    struct buf out = BUF_INIT;
    uint32_t faults = 9;
    struct err err = { 0 };

    check_ok(store_check(bed.store, &out, &faults, &err), &err);
    if (faults > 0)
        fail_msg("%s", buf_text(&out));
    buf_clear(&out);
}

static void test_the_run_goes_on_in_the_same_log(void **state)
{
    char before[SHA256_TEXT], after[SHA256_TEXT];
    uint64_t from = 0, old = 0;
    struct err err = { 0 };

    (void)state;
    play_other(450);
    assert_int_equal(bed_number(&bed, "SELECT revision FROM runs"), OTHER);
    take_over();
    assert_int_equal(bed_number(&bed, "SELECT revision FROM runs"), ENGINE_REVISION);
    check_whole();
    check_rebuild_is_equal();
    for (uint32_t i = 0; i < ENOUGH && step(); i++) {
    }
    assert_int_equal(bed_number(&bed, "SELECT count(*) FROM runs WHERE state = 'finished'"), 1);
    assert_int_equal(bed_number(&bed, "SELECT count(*) FROM run_nodes WHERE ending <> 'done'"), 0);
    assert_int_equal(
        bed_number(&bed, "SELECT count(*) FROM (SELECT node FROM steps WHERE action = 'install' AND outcome "
                         "= 'ok' GROUP BY node HAVING count(*) > 1)"),
        0);
    check_whole();
    check_rebuild_is_equal();

    engine_hash(bed.engine, before);
    bed_stop(&bed);
    bed_restart(&bed);
    check_ok(store_log_replay(bed.log, &bed.runner, 0, &err), &err);
    engine_hash(bed.engine, after);
    assert_string_equal(before, after);
    check_ok(store_log_begins(bed.store, BED_RUN, &from, &old, &err), &err);
    assert_int_equal(old, 450);
    bed_stop(&bed);
    bed_restart(&bed);
    assert_int_equal(store_log_replay(bed.log, &bed.runner, from - 1, &err), ERR_STATE);
    assert_non_null(strstr(err.text, "decided by another engine revision"));
}

/* Pictures of clusters stand in the log as what changed; each part begins with whole ones, and both can be read. */
static void test_both_parts_can_be_read(void **state)
{
    struct rows r = { 0 };
    struct err err = { 0 };

    (void)state;
    play_other(450);
    take_over();
    for (uint32_t i = 0; i < 200 && step(); i++) {
    }
    check_ok(store_ask(bed.store, &r, &err, "SELECT seq FROM log WHERE kind = 'observed' ORDER BY seq", ""),
             &err);
    for (uint32_t i = 0; i < r.n; i++) {
        struct buf out = BUF_INIT;

        check_ok(store_log_whole(bed.store, BED_RUN, bed.plan, (uint64_t)rows_int(&r, i, 0), &out, &err),
                 &err);
        buf_clear(&out);
    }
    rows_clear(&r);
}

/* Nobody took it over: nothing decides it anew, and a rebuild leaves what it showed. */
static void test_a_run_of_another_revision_survives_a_rebuild(void **state)
{
    struct err err = { 0 };

    (void)state;
    play_other(ENOUGH);
    assert_int_equal(bed_number(&bed, "SELECT count(*) FROM runs WHERE state = 'finished'"), 1);
    check_rebuild_is_equal();
    check_whole();
    check_ok(store_exec(bed.store->db, "DELETE FROM steps; DELETE FROM notes", &err), &err);
    check_ok(store_rebuild(bed.store, &err), &err);
    assert_true(bed_number(&bed, "SELECT count(*) FROM steps WHERE outcome = 'ok'") > 50);
    bed_stop(&bed);
    bed_restart(&bed);
    assert_int_equal(store_log_replay(bed.log, &bed.runner, 0, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "takeover goes on"));
}

static void test_what_was_in_flight_is_told(void **state)
{
    struct buf out = BUF_INIT;
    struct err err = { 0 };

    (void)state;
    play_other(450);
    check_ok(store_in_flight(bed.store, BED_RUN, &out, &err), &err);
    assert_non_null(strstr(buf_text(&out), "was in flight: "));
    assert_non_null(strstr(buf_text(&out), "no end is known of " BED_RUN "/"));
    buf_clear(&out);
}

/* A program is told the same, node by node and op by op. */
static void test_in_flight_as_json(void **state)
{
    struct buf text = BUF_INIT, out = BUF_INIT;
    struct json_writer w;
    struct json_doc *doc = NULL;
    struct err err = { 0 };
    const json *nodes, *ops;
    uint32_t lines = 0;

    (void)state;
    play_other(450);
    check_ok(store_in_flight(bed.store, BED_RUN, &text, &err), &err);
    for (const char *p = buf_text(&text); *p != '\0'; p++)
        lines += *p == '\n';
    jw_init(&w, &out);
    jw_object(&w, NULL);
    check_ok(store_in_flight_json(bed.store, BED_RUN, &w, &err), &err);
    jw_object_end(&w);
    check_ok(json_parse("in flight", buf_text(&out), out.len, &doc, &err), &err);
    nodes = json_get(json_root(doc), "nodes");
    ops = json_get(json_root(doc), "ops");
    assert_true(json_count(nodes) > 0 && json_count(ops) > 0);
    assert_int_equal(json_count(nodes) + json_count(ops), lines);
    json_free(doc);
    buf_clear(&out);
    buf_clear(&text);
}

static void test_a_table_that_cannot_be_read_is_named(void **state)
{
    struct handover_fold *f = NULL;
    const struct handover *h = NULL;
    struct err err = { 0 };

    (void)state;
    play_other(100);
    check_ok(store_exec(bed.store->db, "UPDATE run_nodes SET phase = 'sleeping'", &err), &err);
    assert_int_equal(store_handover(bed.store, BED_RUN, bed.plan, &f, &h, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "table run_nodes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_tables_tell_what_the_engine_shows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_is_read_as_it_was_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_run_goes_on_in_the_same_log, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_both_parts_can_be_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_run_of_another_revision_survives_a_rebuild, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_was_in_flight_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_in_flight_as_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_table_that_cannot_be_read_is_named, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
