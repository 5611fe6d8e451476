/* Steps that answer oddly: busy for a while or for ever, done by somebody else, decided otherwise by the policy; where the node
 * ends, what truly happened on it, and the reason that stands there. */
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>

#define BUDGET "\"failures_per_wave\":5,\"failures_per_run\":5"

static struct fleet_words words_of(bool s2d)
{
    return (struct fleet_words){ .seed = 5,
                                 .clusters = 1,
                                 .nodes = s2d ? 5 : 4,
                                 .vms = 2,
                                 .node_mib = 65536,
                                 .vm_mib_min = 2048,
                                 .vm_mib_max = 4096,
                                 .s2d = s2d };
}

static const struct {
    const char *action, *code;
    enum op_outcome outcome;
    uint32_t times;
    bool s2d, effect;
    enum node_end end;
    const char *reason;
    uint32_t installs;
} rows[] = {
    { "pause", "busy", OUTCOME_REFUSED, 99, false, false, NODE_SET_ASIDE, "pause: busy", 0 },
    { "pause", "busy", OUTCOME_FAILED, 99, false, false, NODE_SET_ASIDE, "pause: busy", 0 },
    { "move_vm", "not_found", OUTCOME_REFUSED, 1, false, true, NODE_DONE, "", 1 },
    { "move_vm", "busy", OUTCOME_REFUSED, 99, false, false, NODE_RETURNED, "could not be moved", 0 },
    { "move_vm", "capacity", OUTCOME_REFUSED, 1, false, false, NODE_DONE, "", 1 },
    { "storage_out", "busy", OUTCOME_REFUSED, 1, true, false, NODE_DONE, "", 1 },
    { "storage_out", "busy", OUTCOME_REFUSED, 99, true, false, NODE_SET_ASIDE, "storage_out: busy", 0 },
    { "stop_vmms", "busy", OUTCOME_REFUSED, 1, false, false, NODE_DONE, "", 1 },
    { "stop_vmms", "busy", OUTCOME_REFUSED, 99, false, false, NODE_SET_ASIDE, "stop_vmms: busy", 0 },
    { "install", "busy", OUTCOME_REFUSED, 1, false, false, NODE_DONE, "", 1 },
    { "install", "busy", OUTCOME_REFUSED, 99, false, false, NODE_SET_ASIDE, "install: busy", 0 },
    { "reboot", "failed", OUTCOME_FAILED, 99, false, false, NODE_SET_ASIDE, "reboot: failed", 1 },
    { "bitlocker_suspend", "failed", OUTCOME_FAILED, 1, false, false, NODE_DONE, "", 1 },
    { "bitlocker_suspend", "failed", OUTCOME_FAILED, 99, false, false, NODE_SET_ASIDE,
      "bitlocker_suspend: failed", 1 },
};

static void bitlocker_on(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_FACTS)
        a->ev->u.observed.facts.bitlocker_os_volume = "on";
}

static void test_steps(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct fleet_words words = words_of(rows[i].s2d);
        struct scenario *s =
            scenario_new(&words, "[1,\"100%\"]", ",\"policy\":{" BUDGET ",\"bitlocker_suspend\":true}");
        const char *id = scenario_first_id(s);
        struct fault *f = scenario_fault(s, id, rows[i].action, rows[i].code);
        struct node_view v;

        f->outcome = rows[i].outcome;
        f->times = rows[i].times;
        f->no_effect = !rows[i].effect;
        s->meddle = bitlocker_on;
        scenario_start(s);
        scenario_run(s);
        v = engine_node(s->engine, scenario_first(s));
        if (v.end != rows[i].end || strstr(v.reason, rows[i].reason) == NULL)
            fail_msg("%s %s x%u: %s (%s)", rows[i].action, rows[i].code, rows[i].times, node_end_names[v.end],
                     v.reason);
        assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "install"), rows[i].installs);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* O8: vmms is left alone where the rollout says so. */
static void test_vmms_stays(void **state)
{
    struct fleet_words words = words_of(false);
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", ",\"policy\":{\"stop_vmms\":false}");

    (void)state;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(backend_plan_effects(s->world, i, "stop_vmms"), 0);
    scenario_truth(s);
    scenario_free(s);
}

static void no_reboot_needed(struct scenario *s, struct plan_answer *a)
{
    if (a->action != NULL && a->cause == CMD_OP_START && strcmp(a->action, "install") == 0)
        a->effect = false; /* the world's own packages wait for a boot: this one is in by what verify shows */
    if (a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_VERIFY) {
        a->ev->u.observed.verify.build = s->plan->rollout->patch.target;
        a->ev->u.observed.verify.package = PACKAGE_INSTALLED;
        a->ev->u.observed.verify.pending = false;
    }
}

/* A package that asks for no boot gets none, and is proved on the boot it was installed in. */
static void test_no_reboot(void **state)
{
    struct fleet_words words = words_of(false);
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", NULL);

    (void)state;
    s->plan->own.rollout->patch.reboot = REBOOT_IF_REQUIRED;
    s->meddle = no_reboot_needed;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(backend_plan_effects(s->world, i, "reboot"), 0);
        assert_int_equal(backend_plan_effects(s->world, i, "stop_vmms"), 1);
    }
    scenario_replays(s);
    scenario_free(s);
}

/* O11: the reboot before everything; what the node says after it. */
static const struct {
    bool silent_once, pending_still;
    enum node_end end;
    const char *reason;
} first_boots[] = {
    { false, false, NODE_DONE, "" },
    { true, false, NODE_DONE, "" },
    { false, true, NODE_SET_ASIDE, "O11: a reboot is still pending after a reboot" },
};
static unsigned boot_row, silenced;

static void pending_first(struct scenario *s, struct plan_answer *a)
{
    struct event *ev = a->ev;
    bool rebooted = backend_plan_effects(s->world, a->node, "reboot") > 0;

    if (a->cause != CMD_OBSERVE || ev->u.observed.what != OBSERVE_FACTS || a->node != scenario_first(s))
        return;
    ev->u.observed.facts.pending_reboot = !rebooted || first_boots[boot_row].pending_still;
    if (rebooted && first_boots[boot_row].silent_once && silenced++ == 0) {
        ev->u.observed.ok = false;
        ev->u.observed.text = "not yet";
    }
}

static void test_reboot_first(void **state)
{
    (void)state;
    for (boot_row = 0; boot_row < TABLE_LEN(first_boots); boot_row++) {
        struct fleet_words words = words_of(false);
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]",
                                          ",\"policy\":{" BUDGET ",\"pending_reboot\":\"reboot_first\"}");
        struct node_view v;

        silenced = 0;
        s->meddle = pending_first;
        scenario_start(s);
        scenario_run(s);
        v = engine_node(s->engine, scenario_first(s));
        if (v.end != first_boots[boot_row].end || strstr(v.reason, first_boots[boot_row].reason) == NULL)
            fail_msg("%u: %s (%s)", boot_row, node_end_names[v.end], v.reason);
        assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "reboot"),
                         v.end == NODE_DONE ? 2 : 1);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

static const char *told_boot;

static void old_boot_id(struct scenario *s, struct plan_answer *a)
{
    if (a->node == scenario_first(s) && a->ev->type == EV_NODE_CLAIMED)
        a->ev->u.claimed.boot_id = told_boot;
}

/* The reboot is reported, and the node shows the boot from before, for ever. */
static void test_boot_id_stays(void **state)
{
    struct fleet_words words = words_of(false);
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", ",\"policy\":{" BUDGET "}");
    struct node_view v;

    (void)state;
    told_boot = "boot-n00-01-1";
    assert_string_equal(scenario_first_id(s), "n00-01");
    s->meddle = old_boot_id;
    scenario_start(s);
    scenario_run(s);
    v = engine_node(s->engine, scenario_first(s));
    assert_int_equal(v.end, NODE_SET_ASIDE);
    assert_string_equal(v.reason, "the reboot was reported, the boot id is the old one");
    scenario_replays(s);
    scenario_free(s);
}

/* --- the drain's own pictures --- */

static const char *busy_with;

static void busy_after_the_moves(struct scenario *s, struct plan_answer *a)
{
    static const struct view_busy busy = { "backup", "a backup runs" };
    static struct empty_left stranger = { "vm", "00000000-0000-4000-8000-0000000000ff", NULL, "runs here" };
    struct event *ev = a->ev;

    if (a->cause != CMD_OBSERVE || engine_node(s->engine, scenario_first(s)).phase != NODE_DRAINING)
        return;
    if (ev->u.observed.what == OBSERVE_EMPTY && a->node == scenario_first(s)) {
        ev->u.observed.empty.empty = false;
        ev->u.observed.empty.left = &stranger;
        ev->u.observed.empty.n_left = busy_with == NULL ? 0 : 1;
    }
    if (ev->u.observed.what == OBSERVE_CLUSTER && busy_with != NULL) {
        ev->u.observed.view.busy = &busy;
        ev->u.observed.view.n_busy = 1;
    }
}

/* Something is left and the new proof fails (O26): the node goes back, with the proof's reason; nothing told is something. */
static void test_not_empty(void **state)
{
    static const struct {
        const char *busy, *reason;
    } cases[] = { { "backup", "O26: cluster c00 is busy: backup" },
                  { NULL, "O2: the node is not empty: something is left" } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(cases); i++) {
        struct fleet_words words = words_of(false);
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", ",\"policy\":{" BUDGET "}");

        busy_with = cases[i].busy;
        s->meddle = busy_after_the_moves;
        scenario_start(s);
        scenario_until(s, scenario_first_id(s), NODE_DRAINING);
        while (engine_node(s->engine, scenario_first(s)).end == NODE_END_NONE)
            assert_true(scenario_step(s));
        assert_int_equal(engine_node(s->engine, scenario_first(s)).end, NODE_RETURNED);
        assert_string_equal(engine_node(s->engine, scenario_first(s)).reason, cases[i].reason);
        assert_true(backend_plan_in_service(s->world, scenario_first(s)));
        assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "install"), 0);
        scenario_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),         cmocka_unit_test(test_vmms_stays),
        cmocka_unit_test(test_no_reboot),     cmocka_unit_test(test_reboot_first),
        cmocka_unit_test(test_boot_id_stays), cmocka_unit_test(test_not_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
