/* A whole run recorded, and what can be made of the record. */
#include "orchestrator/io/store_log.h"

#include "orchestrator/io/downtime_sum.h"
#include "orchestrator/io/render_report.h"
#include "orchestrator/io/render_status.h"
#include "orchestrator/io/store_impl.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/io/store_rebuild.h"
#include "orchestrator/io/store_record.h"
#include "tests/lib/check.h"
#include "tests/lib/store_bed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static void projections(char out[SHA256_TEXT])
{
    struct err err = { 0 };

    check_ok(store_projections_hash(bed.store, out, &err), &err);
}

static void check_rebuild_is_equal(void)
{
    char before[SHA256_TEXT], after[SHA256_TEXT];
    struct err err = { 0 };

    projections(before);
    check_ok(store_rebuild(bed.store, &err), &err);
    projections(after);
    assert_string_equal(before, after);
}

static void test_a_run_leaves_rows_that_people_can_ask(void **state)
{
    int64_t nodes = bed.plan->n_nodes;

    (void)state;
    bed_start(&bed);
    bed_play(&bed, ENOUGH);
    assert_true(bed.runner.ended);
    assert_int_equal(
        bed_number(&bed, "SELECT count(*) FROM runs WHERE state = 'finished' AND ended IS NOT NULL"), 1);
    assert_int_equal(bed_number(&bed, "SELECT count(*) FROM run_nodes WHERE ending = 'done'"), nodes);
    assert_int_equal(bed_number(&bed, "SELECT count(*) FROM waves WHERE state = 'passed'"),
                     bed.plan->n_waves);
    assert_int_equal(
        bed_number(&bed, "SELECT count(*) FROM steps WHERE action = 'install' AND outcome = 'ok'"), nodes);
    assert_int_equal(bed_number(&bed, "SELECT count(*) FROM steps WHERE state <> 'done'"), 0);
    assert_true(bed_number(&bed, "SELECT count(*) FROM gates WHERE done AND answer = 'pass'") > 0);
    assert_true(bed_number(&bed, "SELECT count(*) FROM evidence") > 0);
    assert_int_equal(
        bed_number(&bed,
                   "SELECT count(DISTINCT id) FROM downtime WHERE subject = 'node' AND end_at IS NOT NULL"),
        nodes);
    assert_int_equal(bed_number(&bed, "SELECT count(*) FROM nodes n JOIN run_nodes r ON r.node = n.id WHERE "
                                      "r.build_now = '26100.4066'"),
                     nodes);
}

static void test_a_rebuild_gives_the_same_tables(void **state)
{
    (void)state;
    bed_start(&bed);
    bed_play(&bed, ENOUGH);
    check_rebuild_is_equal();
}

/* In the middle of a run, with steps open and nodes out, too. */
static void test_a_rebuild_in_the_middle_is_the_same(void **state)
{
    (void)state;
    bed_start(&bed);
    assert_int_equal(bed_play(&bed, 450), 450);
    assert_true(bed_number(&bed, "SELECT count(*) FROM run_nodes WHERE is_out") > 0);
    check_rebuild_is_equal();
}

/* A projection that somebody changed by hand is put right. */
static void test_a_rebuild_puts_right_what_was_changed(void **state)
{
    char before[SHA256_TEXT], changed[SHA256_TEXT], after[SHA256_TEXT];
    struct err err = { 0 };

    (void)state;
    bed_start(&bed);
    bed_play(&bed, 100);
    projections(before);
    check_ok(store_exec(bed.store->db, "UPDATE run_nodes SET reason = 'forged'; DELETE FROM downtime", &err),
             &err);
    projections(changed);
    assert_string_not_equal(before, changed);
    check_ok(store_rebuild(bed.store, &err), &err);
    projections(after);
    assert_string_equal(before, after);
}

/* A cluster's first picture stands whole in the log, each later one as what changed; asked for, it is whole again. */
static void test_pictures_are_kept_as_changes(void **state)
{
    struct buf out = BUF_INIT;
    struct err err = { 0 };
    int64_t last, first;

    (void)state;
    bed_start(&bed);
    bed_play(&bed, ENOUGH);
    assert_int_equal(
        bed_number(&bed, "SELECT count(DISTINCT json_extract(event, '$.cluster')) FROM log WHERE "
                         "json_extract(event, '$.view') IS NOT NULL"),
        bed_number(&bed, "SELECT count(*) FROM log WHERE json_extract(event, '$.view') IS NOT NULL"));
    last = bed_number(&bed, "SELECT max(seq) FROM log WHERE json_extract(event, '$.base') IS NOT NULL");
    first = bed_number(&bed, "SELECT min(seq) FROM log");
    check_ok(store_log_whole(bed.store, BED_RUN, bed.plan, (uint64_t)last, &out, &err), &err);
    assert_non_null(strstr(buf_text(&out), "\"view\":{\"cluster\""));
    assert_null(strstr(buf_text(&out), "\"base\""));
    assert_int_equal(store_log_whole(bed.store, BED_RUN, bed.plan, (uint64_t)first, &out, &err),
                     ERR_NOT_FOUND);
    buf_clear(&out);
}

/* Without the entry that a picture builds on there is no guessing. */
static void test_a_lost_picture_is_named(void **state)
{
    struct buf out = BUF_INIT;
    struct err err = { 0 };
    int64_t last;

    (void)state;
    bed_start(&bed);
    bed_play(&bed, 450);
    check_ok(store_exec(bed.store->db,
                        "PRAGMA foreign_keys = OFF; DELETE FROM log WHERE seq = (SELECT min(seq) FROM log "
                        "WHERE json_extract(event, "
                        "'$.base') IS NOT NULL)",
                        &err),
             &err);
    last = bed_number(&bed, "SELECT max(seq) FROM log WHERE json_extract(event, '$.base') IS NOT NULL");
    assert_int_equal(store_log_whole(bed.store, BED_RUN, bed.plan, (uint64_t)last, &out, &err), ERR_CORRUPT);
    if (strstr(err.text, "tells what changed since picture") == NULL ||
        strstr(err.text, "and the last one is") == NULL)
        fail_msg("%s", err.text);
    buf_clear(&out);
}

/* After a restart the log alone brings the engine back, and the tables go on as if nothing had been. */
static void test_replay_brings_the_engine_back(void **state)
{
    char before[SHA256_TEXT], after[SHA256_TEXT];
    struct err err = { 0 };

    (void)state;
    bed_start(&bed);
    bed_play(&bed, 450);
    engine_hash(bed.engine, before);
    bed_stop(&bed);
    bed_restart(&bed);
    check_ok(store_log_replay(bed.log, &bed.runner, 0, &err), &err);
    engine_hash(bed.engine, after);
    assert_string_equal(before, after);
    assert_int_equal(bed_number(&bed, "SELECT count(*) FROM log WHERE run IS NOT NULL"), 450);
}

/* A new inventory resets where VMs are; the resumed run must not put back what it once wrote. */
static void test_interleaved_records_rebuild_equal(void **state)
{
    struct record_by by = { "tester", BED_AT };
    struct event verb = { .type = EV_VERB, .node = IX_NONE, .cluster = IX_NONE };
    struct err err = { 0 };

    (void)state;
    bed_start(&bed);
    bed_play(&bed, 450);
    bed_stop(&bed);
    check_ok(store_put_inventory(bed.store, bed.plan->inv, "again.json", bed.plan->hash, by, &err), &err);
    bed_restart(&bed);
    check_ok(store_log_replay(bed.log, &bed.runner, 0, &err), &err);
    check_ok(backend_plan_new(bed.plan, BED_AT, &bed.backend, &err), &err);
    bed.runner.backend = backend_plan_backend(bed.backend);
    verb.at = bed_number(&bed, "SELECT max(at) FROM log") + 1;
    verb.u.verb.verb = VERB_PAUSE;
    verb.u.verb.person = "operator";
    check_ok(runner_feed(&bed.runner, &verb, &err), &err);
    assert_int_equal(
        bed_number(&bed, "SELECT count(*) FROM verbs WHERE verb = 'pause' AND person = 'operator'"), 1);
    check_rebuild_is_equal();
}

static void test_an_altered_entry_is_found(void **state)
{
    struct buf out = BUF_INIT;
    uint32_t faults = 9;
    struct err err = { 0 };

    (void)state;
    bed_start(&bed);
    bed_play(&bed, 50);
    check_ok(store_check(bed.store, &out, &faults, &err), &err);
    assert_int_equal(faults, 0);
    check_ok(
        store_exec(bed.store->db,
                   "UPDATE log SET event = replace(event, 'approver', 'somebody') WHERE kind = 'approval'",
                   &err),
        &err);
    check_ok(store_check(bed.store, &out, &faults, &err), &err);
    assert_int_equal(faults, 1);
    assert_non_null(strstr(buf_text(&out), "was altered"));
    check_ok(store_exec(bed.store->db, "PRAGMA foreign_keys = OFF; DELETE FROM log WHERE seq = 20", &err),
             &err);
    buf_reset(&out);
    check_ok(store_check(bed.store, &out, &faults, &err), &err);
    assert_non_null(strstr(buf_text(&out), "entries 20 to 20 are missing"));
    buf_clear(&out);
}

/* The engine of this program decides otherwise than the recorded one: said, with both texts, and nothing changed. */
static void test_a_rebuild_that_diverges_changes_nothing(void **state)
{
    char before[SHA256_TEXT], after[SHA256_TEXT];
    struct err err = { 0 };

    (void)state;
    bed_start(&bed);
    bed_play(&bed, 50);
    check_ok(store_exec(bed.store->db, "UPDATE log SET commands = '[]' WHERE kind = 'run_start'", &err),
             &err);
    projections(before);
    assert_int_equal(store_rebuild(bed.store, &err), ERR_DIVERGED);
    assert_non_null(strstr(err.text, "log entry 5: "));
    projections(after);
    assert_string_equal(before, after);
}

/* I25: when the append fails nothing is sent, and the log is as it was. */
static void test_a_failed_append_sends_nothing(void **state)
{
    struct event verb = { .type = EV_VERB, .node = IX_NONE, .cluster = IX_NONE };
    struct log_position before;
    struct err err = { 0 };

    (void)state;
    bed_start(&bed);
    bed_play(&bed, 50);
    before = store_position(bed.store);
    check_ok(store_exec(bed.store->db, "PRAGMA query_only = ON", &err), &err);
    verb.at = BED_AT + DAY_MS;
    verb.u.verb.verb = VERB_PAUSE;
    verb.u.verb.person = "operator";
    assert_int_equal(runner_feed(&bed.runner, &verb, &err), ERR_READONLY);
    assert_true(bed.runner.stopped);
    check_ok(store_exec(bed.store->db, "PRAGMA query_only = OFF", &err), &err);
    assert_int_equal(store_position(bed.store).seq, before.seq);
    assert_int_equal(bed_number(&bed, "SELECT max(seq) FROM log"), (int64_t)before.seq);
    assert_int_equal(bed_number(&bed, "SELECT count(*) FROM verbs"), 0);
}

/* Nodes that are out have no row yet. */
static dur_ms out_by_now(time_ms now, uint32_t *ret_n)
{
    dur_ms sum = 0;

    for (uint32_t i = 0; i < bed.plan->n_nodes; i++) {
        struct node_view v = engine_node(bed.engine, bed.plan->nodes[i].node);

        if (v.out) {
            sum += now - v.out_since;
            ++*ret_n;
        }
    }
    return sum;
}

/* The sums of the table are the engine's own ledger's, and the nodes that are out count by now. */
static void test_downtime_sums_are_the_ledgers(void **state)
{
    struct ledger_ask vms = { .subject = DOWN_VM, .cause = -1, .node = IX_NONE, .wave = IX_NONE };
    struct ledger_ask nodes = { .subject = DOWN_NODE, .cause = -1, .node = IX_NONE, .wave = IX_NONE };
    struct downtime_sums d = { 0 };
    struct err err = { 0 };
    time_ms now;
    dur_ms sum = 0, out;
    uint32_t n_out = 0;

    (void)state;
    bed_start(&bed);
    bed_play(&bed, 600);
    now = bed_number(&bed, "SELECT max(at) FROM log");
    check_ok(downtime_sum(bed.store, BED_RUN, BY_NODE, now, 999900, &d, &err), &err);
    assert_int_equal(d.goal_ms, 259200); /* 0.01 % of 30 days */
    assert_int_equal(d.all.vm_ms, ledger_sum(engine_ledger(bed.engine), &vms, now));
    out = out_by_now(now, &n_out);
    assert_int_equal(d.all.node_out_ms, ledger_sum(engine_ledger(bed.engine), &nodes, now) + out);
    assert_true(d.all.node_out_ms > out && n_out > 0);
    for (uint32_t i = 0; i < d.n; i++)
        sum += d.items[i].node_out_ms;
    assert_int_equal(sum, d.all.node_out_ms);
    downtime_sums_clear(&d);
}

static void test_status_shows_the_run(void **state)
{
    struct status_look look = { .run = BED_RUN, .now = BED_AT + HOUR_MS };
    struct buf out = BUF_INIT;
    struct json_doc *doc = NULL;
    struct json_writer w;
    struct err err = { 0 };

    (void)state;
    bed_start(&bed);
    bed_play(&bed, 450);
    check_ok(render_status(&out, bed.store, &look, &err), &err);
    assert_non_null(strstr(buf_text(&out), "RUN " BED_RUN "  running  wave 1 of "));
    assert_non_null(strstr(buf_text(&out), "no controller is running: `patchwave resume` goes on"));
    assert_non_null(strstr(buf_text(&out), "downtime so far: VMs "));
    buf_reset(&out);
    jw_init(&w, &out);
    check_ok(render_status_json(&w, bed.store, &look, &err), &err);
    check_ok(json_parse("status", buf_text(&out), out.len, &doc, &err), &err);
    assert_int_equal(json_count(json_get(json_root(doc), "waves")), bed.plan->n_waves);
    json_free(doc);
    buf_clear(&out);
}

/* The report in its three forms; the JSON is left for the schema test. */
static void test_the_report_tells_the_run(void **state)
{
    const char *build = getenv("PW_BUILD_DIR");
    struct buf out = BUF_INIT, path = BUF_INIT;
    struct json_doc *doc = NULL;
    struct err err = { 0 };
    FILE *f;

    (void)state;
    bed_start(&bed);
    bed_play(&bed, ENOUGH);
    check_ok(render_report(&out, bed.store, BED_RUN, REPORT_TEXT, BED_AT, true, &err), &err);
    assert_non_null(strstr(buf_text(&out),
                           "Run " BED_RUN " of KB5061977 is finished: every wave has passed its gates. "));
    assert_non_null(strstr(buf_text(&out), "All figures are of a simulated fleet."));
    buf_reset(&out);
    check_ok(render_report(&out, bed.store, BED_RUN, REPORT_MARKDOWN, BED_AT, false, &err), &err);
    assert_non_null(strstr(buf_text(&out), "# Report of run " BED_RUN));
    assert_non_null(strstr(buf_text(&out), "## Gates\n\n| wave | side |"));
    assert_null(strstr(buf_text(&out), "simulated"));
    buf_reset(&out);
    check_ok(render_report(&out, bed.store, BED_RUN, REPORT_JSON, BED_AT, true, &err), &err);
    check_ok(json_parse("report", buf_text(&out), out.len, &doc, &err), &err);
    assert_int_equal(json_count(json_get(json_root(doc), "nodes")), bed.plan->n_nodes);
    assert_int_equal(json_count(json_get(json_root(doc), "exceptions")), 0);
    if (build != NULL) {
        buf_printf(&path, "%s/report.json", build);
        f = fopen(buf_text(&path), "wb");
        assert_non_null(f);
        fwrite(out.data, 1, out.len, f);
        fclose(f);
    }
    json_free(doc);
    buf_clear(&path);
    buf_clear(&out);
}

static uint32_t lines_with(const char *text, const char *word)
{
    uint32_t n = 0;

    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word))
        n++;
    return n;
}

/* Hundreds of deviations are one line for people, with the nodes they are of; the JSON has each. */
static void test_the_report_is_short_for_people(void **state)
{
    struct buf out = BUF_INIT, sql = BUF_INIT;
    struct err err = { 0 };

    (void)state;
    bed_start(&bed);
    bed_play(&bed, ENOUGH);
    for (uint32_t i = 0; i < 300; i++)
        buf_printf(&sql,
                   "INSERT INTO notes SELECT max(seq), %u, '" BED_RUN
                   "', 0, '%s', '%s', NULL, '%s', 'VM v%u%s' FROM "
                   "log;",
                   1000 + i, i < 200 ? "deviation" : "warning", i % 2 == 0 ? "N1" : "N2",
                   i < 200 ? "C2" : "O26", i < 200 ? i : 0,
                   i < 200 ? " goes to N3: proved anew" : " was moved");
    check_ok(store_exec(bed.store->db, buf_text(&sql), &err), &err);
    check_ok(render_report(&out, bed.store, BED_RUN, REPORT_TEXT, BED_AT, true, &err), &err);
    assert_true(lines_with(buf_text(&out), "\n") < 80);
    assert_int_equal(lines_with(buf_text(&out), "proved anew"), 1);
    assert_non_null(strstr(buf_text(&out), "N1 100, N2 100"));
    assert_int_equal(lines_with(buf_text(&out), "was moved"), 1);
    buf_reset(&out);
    check_ok(render_report(&out, bed.store, BED_RUN, REPORT_JSON, BED_AT, true, &err), &err);
    assert_int_equal(lines_with(buf_text(&out), "proved anew"), 200);
    assert_int_equal(lines_with(buf_text(&out), "was moved"), 100);
    buf_clear(&sql);
    buf_clear(&out);
}

static void test_plans_are_found_by_prefix_name_and_age(void **state)
{
    struct plan *p = NULL;
    struct err err = { 0 };
    char prefix[9];

    (void)state;
    snprintf(prefix, sizeof prefix, "%.8s", bed.plan->hash);
    check_ok(store_load_plan(bed.store, prefix, &p, &err), &err);
    assert_string_equal(p->hash, bed.plan->hash);
    plan_free(p);
    check_ok(store_load_plan(bed.store, bed.plan->rollout->name, &p, &err), &err);
    plan_free(p);
    assert_int_equal(store_load_plan(bed.store, "00000000", &p, &err), ERR_NOT_FOUND);
    assert_int_equal(store_load_plan(bed.store, "nothing-like-it", &p, &err), ERR_NOT_FOUND);
}

int main(void)
{
#define WITH_BED(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_BED(test_a_run_leaves_rows_that_people_can_ask),
        WITH_BED(test_a_rebuild_gives_the_same_tables),
        WITH_BED(test_a_rebuild_in_the_middle_is_the_same),
        WITH_BED(test_a_rebuild_puts_right_what_was_changed),
        WITH_BED(test_pictures_are_kept_as_changes),
        WITH_BED(test_a_lost_picture_is_named),
        WITH_BED(test_replay_brings_the_engine_back),
        WITH_BED(test_interleaved_records_rebuild_equal),
        WITH_BED(test_an_altered_entry_is_found),
        WITH_BED(test_a_rebuild_that_diverges_changes_nothing),
        WITH_BED(test_a_failed_append_sends_nothing),
        WITH_BED(test_downtime_sums_are_the_ledgers),
        WITH_BED(test_status_shows_the_run),
        WITH_BED(test_the_report_tells_the_run),
        WITH_BED(test_the_report_is_short_for_people),
        WITH_BED(test_plans_are_found_by_prefix_name_and_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
