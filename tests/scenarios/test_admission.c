/* Why a node does not start: what its own facts, its cluster's picture, its VMs or the package's way say against it, each alone,
 * and what becomes of it when that stays so (O7, O11, O20, O26, I14, I16, I27). */
#include "tests/scenarios/scenario.h"

#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define BUDGET ",\"policy\":{\"failures_per_wave\":9,\"failures_per_run\":9}"

/* Of the first node, or of its cluster: its change is in every answer. */
static void (*change)(const struct scenario *s, struct event *ev);

static void change_answers(struct scenario *s, struct plan_answer *a)
{
    bool of_it = a->node == scenario_first(s) ||
                 (a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_CLUSTER);

    if (of_it && (a->cause == CMD_OBSERVE || a->cause == CMD_STAGE))
        change(s, a->ev);
}

static bool shows(const struct event *ev, enum observe_what what)
{
    return ev->type == EV_OBSERVED && ev->u.observed.what == what && ev->u.observed.ok;
}

static void stretched(const struct scenario *s, struct event *ev)
{
    (void)s;
    if (shows(ev, OBSERVE_CLUSTER))
        ev->u.observed.view.stretched = true;
}

static void no_witness(const struct scenario *s, struct event *ev)
{
    (void)s;
    if (shows(ev, OBSERVE_CLUSTER))
        ev->u.observed.view.witness_online = false;
}

static void witness_removed(const struct scenario *s, struct event *ev)
{
    (void)s;
    if (shows(ev, OBSERVE_CLUSTER)) {
        ev->u.observed.view.witness = WITNESS_NONE;
        ev->u.observed.view.witness_online = false;
    }
}

static void vm_busy(const struct scenario *s, struct event *ev)
{
    if (!shows(ev, OBSERVE_CLUSTER))
        return;
    for (uint32_t i = 0; i < ev->u.observed.n_vms_nodes; i++)
        if (ev->u.observed.vms_nodes[i] == scenario_first(s) && ev->u.observed.vms[i].n > 0)
            ((struct vm_seen *)(uintptr_t)ev->u.observed.vms[i].items)[0].vm.busy = VM_BUSY_BACKUP;
}

static void other_cluster(const struct scenario *s, struct event *ev)
{
    (void)s;
    if (shows(ev, OBSERVE_FACTS))
        ev->u.observed.facts.cluster = "elsewhere";
}

static void servicing(const struct scenario *s, struct event *ev)
{
    (void)s;
    if (shows(ev, OBSERVE_FACTS))
        ev->u.observed.facts.servicing_idle = false;
}

static void deaf(const struct scenario *s, struct event *ev)
{
    (void)s;
    if (shows(ev, OBSERVE_FACTS)) {
        ev->u.observed.ok = false;
        ev->u.observed.text = "the driver gave no answer";
    }
}

static void not_staged(const struct scenario *s, struct event *ev)
{
    (void)s;
    if (ev->type == EV_STAGED) {
        ev->u.staged.ok = false;
        ev->u.staged.text = "no space left";
    }
}

static const struct {
    void (*change)(const struct scenario *s, struct event *ev);
    enum node_end end;
    const char *reason;
} rows[] = {
    { stretched, NODE_NOT_STARTED, "O26: the cluster is stretched, which is not supported yet" },
    { no_witness, NODE_NOT_STARTED, "O20: the quorum witness is not online" },
    { witness_removed, NODE_NOT_STARTED,
      "O20: the quorum witness is not online" }, /* the inventory has one */
    { vm_busy, NODE_NOT_STARTED, "is busy" },
    { other_cluster, NODE_SET_ASIDE, "I16: the node says it belongs to cluster elsewhere" },
    { servicing, NODE_SET_ASIDE, "O26: servicing is in progress on the node" },
    { deaf, NODE_SET_ASIDE, "no facts: the driver gave no answer" },
    { not_staged, NODE_SET_ASIDE, "staging failed: no space left" },
};

static void test_stays_so(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        struct node_view v;

        change = rows[i].change;
        s->meddle = change_answers;
        scenario_start(s);
        scenario_run(s);
        v = engine_node(s->engine, scenario_first(s));
        if (v.end != rows[i].end || strstr(v.reason, rows[i].reason) == NULL)
            fail_msg("%u: %s (%s)", i, node_end_names[v.end], v.reason);
        assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "pause"), 0);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* What the storage was like when it was looked at last, and since when each look has found it whole. */
static struct {
    time_ms repairs_from, repairs_to, whole_since, last;
} storage;

static void repairs_once(struct scenario *s, struct plan_answer *a)
{
    static const struct view_job repair = { "job1", JOB_REPAIR, true, 40 };
    struct storage_view *v = &a->ev->u.observed.storage;

    (void)s;
    if (a->cause != CMD_OBSERVE || !shows(a->ev, OBSERVE_CLUSTER))
        return;
    if (a->at >= storage.repairs_from && a->at < storage.repairs_to) {
        v->jobs = &repair;
        v->n_jobs = 1;
    }
    storage.last = a->at;
    if (storage.whole_since == 0)
        storage.whole_since = a->at;
    for (uint32_t i = 0; i < v->n_disks; i++)
        if (v->disks[i].health != DISK_HEALTHY)
            storage.whole_since = 0;
    if (v->n_jobs > 0)
        storage.whole_since = 0;
}

/* O21: two looks, half a minute apart, find the storage whole, and a repair between them begins that anew. */
static void test_storage_is_looked_at_twice(void **state)
{
    static const struct {
        dur_ms from, to; /* of a repair that somebody else set off */
    } repairs[] = { { 0, 0 }, { 0, 5 * MINUTE_MS }, { 10 * SECOND_MS, 45 * SECOND_MS } };
    struct fleet_words s2d = words;

    (void)state;
    s2d.s2d = true;
    s2d.nodes = 5;
    for (unsigned i = 0; i < TABLE_LEN(repairs); i++) {
        struct scenario *s = scenario_new(&s2d, "[\"100%\"]", BUDGET);
        uint32_t drains = 0;

        memset(&storage, 0, sizeof storage);
        storage.repairs_from = START_MS + repairs[i].from;
        storage.repairs_to = START_MS + repairs[i].to;
        s->meddle = repairs_once;
        scenario_start(s);
        while (scenario_step(s)) {
            if (strstr(scenario_commanded(s), "\"action\":\"pause\"") == NULL)
                continue;
            drains++;
            assert_true(storage.whole_since != 0 && storage.last - storage.whole_since >= 30 * SECOND_MS);
            assert_true(s->now >= storage.repairs_to + 30 * SECOND_MS);
        }
        check_run(s, RUN_FINISHED);
        assert_int_equal(drains, 5);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* I14: the way back keeps to the window like the way there; a waiver lets it, up to the approval's end. */
static void test_way_back_outside_the_window(void **state)
{
    static const struct {
        const char *more;
        time_ms expires;
        bool at_once;
    } cases[] = {
        { "", TIME_NEVER, false },
        { ",{\"what\":\"rollback_outside_window\",\"person\":\"b\",\"ticket\":\"t\"}", TIME_NEVER, true },
        { ",{\"what\":\"rollback_outside_window\",\"person\":\"b\",\"ticket\":\"t\"}", START_MS + 2 * DAY_MS,
          true },
        { ",{\"what\":\"rollback_outside_window\",\"person\":\"b\",\"ticket\":\"t\"}",
          START_MS + 20 * HOUR_MS + MINUTE_MS, false },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(cases); i++) {
        struct event ev = { .type = EV_RUN_START, .node = IX_NONE, .cluster = IX_NONE };
        struct buf more = BUF_INIT;
        struct scenario *s;

        buf_printf(&more,
                   ",\"windows\":[{\"from\":\"2025-11-24T16:00:00Z\",\"to\":\"2025-11-25T08:00:00Z\"}],"
                   "\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":\"b\",\"ticket\":\"t\"}%s],"
                   "\"policy\":{\"rollback\":\"run\"}",
                   cases[i].more);
        s = scenario_new(&words, "[1,\"100%\"]", buf_text(&more));
        ev.u.run_start.run = "r1";
        ev.u.run_start.plan_hash = s->plan->hash;
        ev.u.run_start.person = "tester";
        ev.u.run_start.controller = "00000000000000000000000000000001";
        ev.u.run_start.revision = ENGINE_REVISION;
        ev.u.run_start.epoch = s->epoch = 1;
        ev.u.run_start.approval_expires = cases[i].expires;
        check_ok(scenario_event(s, &ev), &s->err);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        s->now = START_MS + 20 * HOUR_MS; /* the window has closed */
        check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
        for (uint32_t n = 0; n < 300 && scenario_step(s); n++)
            ;
        if ((scenario_ended(s, NODE_ROLLED_BACK) > 0) != cases[i].at_once)
            fail_msg("%u: %u rolled back, %s", i, scenario_ended(s, NODE_ROLLED_BACK),
                     engine_run(s->engine).hold_reason);
        buf_clear(&more);
        scenario_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_stays_so),
                                        cmocka_unit_test(test_storage_is_looked_at_twice),
                                        cmocka_unit_test(test_way_back_outside_the_window) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
