/* VMs that are down when a gate asks after a wave: whose doing it is decides (I13, I17, O15). */
#include "tests/scenarios/scenario.h"

#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define VM "00000000-0000-4000-8000-000000000000" /* at home on the first node of the inventory */
#define GATE                                                                                               \
    ",\"gates\":[{\"type\":\"cluster_health\",\"when\":\"both\",\"samples\":2,\"interval\":\"30s\","       \
    "\"soak\":\"0s\",\"on_fail\":\"rollback\"}],\"policy\":{\"failures_per_wave\":1,\"failures_per_run\":" \
    "1},\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"CHG1\"}]"
#define CONSENT                                                                                           \
    ",\"consents\":[{\"vm\":\"" VM "\",\"method\":\"shutdown\",\"person\":\"owner\",\"ticket\":\"CHG2\"," \
    "\"expires\":\"2027-01-01T00:00:00Z\"}]"

static struct {
    bool (*down)(const struct scenario *s);
    enum group_state state;
    bool wanted;
    uint32_t shown; /* so often already */
} story;

static void shows_the_vm(struct scenario *s, struct plan_answer *a)
{
    static struct view_group groups[16];
    struct cluster_view *v = &a->ev->u.observed.view;

    if (!scenario_is_picture(a) || !story.down(s))
        return;
    assert_true(v->n_groups <= TABLE_LEN(groups));
    for (uint32_t i = 0; i < v->n_groups; i++) {
        groups[i] = v->groups[i];
        if (strcmp(groups[i].vm, VM) == 0) {
            groups[i].state = story.state;
            groups[i].wanted_online = story.wanted;
            story.shown++;
        }
    }
    v->groups = groups;
}

static bool first_is_patched(const struct scenario *s)
{
    return engine_node(s->engine, scenario_first(s)).end == NODE_DONE;
}

static bool always(const struct scenario *s)
{
    (void)s;
    return true;
}

static bool but_while_the_wave_runs(const struct scenario *s)
{
    return engine_wave(s->engine, 0).state != WAVE_RUNNING;
}

static bool twice_at_the_gate(const struct scenario *s)
{
    return engine_wave(s->engine, 0).state == WAVE_GATE_AFTER && story.shown < 2;
}

static void tell(struct scenario *s, bool (*down)(const struct scenario *s), enum group_state state,
                 bool wanted)
{
    story.down = down;
    story.state = state;
    story.wanted = wanted;
    story.shown = 0;
    s->meddle = shows_the_vm;
    scenario_start(s);
}

static struct scenario *begun(bool (*down)(const struct scenario *s), enum group_state state, bool wanted)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", GATE);

    tell(s, down, state, wanted);
    return s;
}

/* It ran before the wave, its cluster wants it, and it does not come up again: that fails the gate. What was off before, what its
 * owner has switched off since, and what its cluster is about to start anew does not. */
static void test_a_vm_that_does_not_come_up(void **state)
{
    static const struct {
        bool (*down)(const struct scenario *s);
        enum group_state state;
        bool wanted;
        enum run_state comes_to;
    } rows[] = {
        { first_is_patched, GROUP_OFFLINE, true, RUN_ROLLED_BACK },
        { first_is_patched, GROUP_FAILED, true, RUN_ROLLED_BACK },
        { but_while_the_wave_runs, GROUP_OFFLINE, true, RUN_ROLLED_BACK },
        { always, GROUP_OFFLINE, true, RUN_FINISHED },
        { always, GROUP_FAILED, true, RUN_FINISHED },
        { first_is_patched, GROUP_OFFLINE, false, RUN_FINISHED },
        { twice_at_the_gate, GROUP_OFFLINE, true, RUN_FINISHED },
    };

    (void)state;
    for (uint32_t i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = begun(rows[i].down, rows[i].state, rows[i].wanted);

        scenario_run(s);
        assert_true(story.shown >= 2);
        if (engine_run(s->engine).state != rows[i].comes_to ||
            (rows[i].comes_to == RUN_ROLLED_BACK &&
             strstr(engine_run(s->engine).end_text, "a group is not online: vm0") == NULL))
            fail_msg("%u: %s, %s", i, run_states[engine_run(s->engine).state].name,
                     engine_run(s->engine).end_text);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* Another revision took over in mid-wave, and does not know what ran before it: no answer, and nothing is rolled back. */
static void test_down_before_or_after_the_upgrade(void **state)
{
    struct scenario *s = begun(first_is_patched, GROUP_OFFLINE, true);

    (void)state;
    while (engine_wave(s->engine, 0).state != WAVE_GATE_AFTER)
        assert_true(scenario_step(s));
    scenario_upgrade(s);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_non_null(strstr(engine_run(s->engine).hold_reason, "a group is not online: vm0"));
    scenario_replays(s);
    scenario_free(s);
}

static bool is_parked(const struct scenario *s)
{
    uint32_t vm = inventory_vm(s->plan->inv, VM);

    return engine_fleet(s->engine)->vms.items[vm].parked;
}

/* Parked by us, and not to be started again: its node is set aside for it, by name, and no gate charges it once more. */
static void test_a_vm_that_we_parked(void **state)
{
    struct scenario *s = scenario_of(fleet_with_pinned_vm(&words), "[\"100%\"]", GATE CONSENT);
    struct fault *f = scenario_fault(s, NULL, "unpark_vm", "failed");

    (void)state;
    f->times = 9;
    f->no_effect = true;
    tell(s, is_parked, GROUP_FAILED, true);
    scenario_run(s);
    assert_true(story.shown > 0);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_SET_ASIDE), 1);
    assert_int_equal(scenario_ended(s, NODE_DONE), 3);
    scenario_replays(s);
    scenario_free(s);
}

static const char *gone_home;

static bool since_the_wave_runs(const struct scenario *s)
{
    return engine_wave(s->engine, 0).state >= WAVE_RUNNING;
}

static void its_node_is_down(struct scenario *s, struct plan_answer *a)
{
    static struct view_node nodes[8];
    struct cluster_view *v = &a->ev->u.observed.view;

    shows_the_vm(s, a);
    if (!scenario_is_picture(a) || !story.down(s))
        return;
    for (uint32_t i = 0; i < v->n_nodes; i++) {
        nodes[i] = v->nodes[i];
        if (strcmp(nodes[i].id, gone_home) == 0)
            nodes[i].state = SEEN_DOWN;
    }
    v->nodes = nodes;
}

/* A node that failed before anything was done to it, and is away: what is down with it was not the wave's doing. */
static void test_a_vm_of_a_node_that_is_away(void **state)
{
    struct scenario *s = scenario_new(&words, "[\"100%\"]", GATE);
    uint32_t home = s->plan->inv->vms[inventory_vm(s->plan->inv, VM)].home;

    (void)state;
    gone_home = s->plan->inv->nodes[home].id;
    story.down = since_the_wave_runs;
    story.state = GROUP_OFFLINE;
    story.wanted = true;
    story.shown = 0;
    s->meddle = its_node_is_down;
    scenario_start(s);
    while (engine_wave(s->engine, 0).state != WAVE_RUNNING)
        assert_true(scenario_step(s));
    backend_plan_cut(s->world, home, TIME_NEVER);
    scenario_run(s);
    assert_true(story.shown >= 2);
    check_end(s, gone_home, NODE_SET_ASIDE);
    check_run(s, RUN_FINISHED);
    scenario_replays(s);
    scenario_free(s);
}

/* A node is put back while its wave is at its gates, or the one after it: its own pause fails no gate (O15), and its wave has not
 * passed before it has its end (I11). */
static void test_put_back_at_the_gates(void **state)
{
    (void)state;
    for (uint32_t wave = 0; wave < 2; wave++) {
        struct scenario *s = scenario_new(&words, "[2,\"100%\"]", GATE);
        struct fault *f = scenario_fault(s, scenario_first_id(s), "resume", "denied");
        const char *id = scenario_first_id(s);

        f->outcome = OUTCOME_REFUSED;
        f->times = 99;
        scenario_start(s);
        while (engine_wave(s->engine, wave).state != WAVE_GATE_AFTER)
            assert_true(scenario_step(s));
        check_end(s, id, NODE_STUCK);
        f->times = 0;
        check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
        while (engine_wave(s->engine, 0).state != WAVE_PASSED)
            assert_true(scenario_step(s));
        if (wave == 0)
            assert_int_not_equal(scenario_node(s, id).end, NODE_END_NONE);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        check_end(s, id, NODE_DONE);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_back_at_the_gates),

        cmocka_unit_test(test_a_vm_that_does_not_come_up),
        cmocka_unit_test(test_down_before_or_after_the_upgrade),
        cmocka_unit_test(test_a_vm_that_we_parked),
        cmocka_unit_test(test_a_vm_of_a_node_that_is_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
