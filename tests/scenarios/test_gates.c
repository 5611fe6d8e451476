/* Gates have three answers; what each leads to (I13, O14 to O16). */
#include "tests/scenarios/scenario.h"

#include <string.h>

#define WAIVED ",\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"CHG1\"}]"
#define BACKUP(more)                                                                               \
    ",\"gates\":[{\"name\":\"backup\",\"type\":\"backup_agent\",\"when\":\"after\",\"samples\":3," \
    "\"interval\":\"30s\",\"soak\":\"1m\"" more "}]"

/* Fails after wave 1, the plan waives the proof: wave 2 never starts, wave 1 is removed in reverse order. */
static void test_fail_rolls_back(void **state)
{
    struct scenario *s = scenario_new(NULL, "[2,\"100%\"]", BACKUP(",\"on_fail\":\"rollback\"") WAIVED);

    (void)state;
    s->meddle = backup_7001;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_ROLLED_BACK);
    assert_int_equal(scenario_ended(s, NODE_ROLLED_BACK), 2);
    assert_int_equal(scenario_ended(s, NODE_NOT_STARTED), 6);
    assert_non_null(strstr(engine_run(s->engine).end_text, "7001"));
    for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++)
        assert_int_equal(build_compare(backend_plan_build(s->world, i), s->plan->inv->nodes[i].build), 0);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* The same without proof or waiver: halted, the patched nodes stay in service, named. */
static void test_fail_without_way_back_halts(void **state)
{
    struct scenario *s = scenario_new(NULL, "[2,\"100%\"]", BACKUP(",\"on_fail\":\"rollback\""));

    (void)state;
    s->meddle = backup_7001;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HALTED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 2);
    assert_non_null(strstr(engine_run(s->engine).end_text, "not proved"));
    scenario_truth(s);
    scenario_free(s);
}

/* A removal that is refused: patched, in service, halted with the list (O16). */
static void test_refused_removal_halts(void **state)
{
    struct scenario *s = scenario_new(NULL, "[2,\"100%\"]", BACKUP(",\"on_fail\":\"rollback\"") WAIVED);
    struct fault *f = scenario_fault(s, NULL, "uninstall", "not_removable");

    (void)state;
    f->times = 9;
    f->outcome = OUTCOME_REFUSED;
    s->meddle = backup_7001;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HALTED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 2);
    assert_non_null(strstr(engine_run(s->engine).end_text, "not rolled back: n"));
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

static const char *refusal;

/* The first move of a way back is refused, once. */
static void refuse_a_way_back(struct scenario *s, struct plan_answer *a)
{
    backup_7001(s, a);
    if (refusal == NULL || a->cause != CMD_OP_START || strcmp(a->action, "move_vm") != 0 ||
        engine_run(s->engine).state != RUN_ROLLING_BACK)
        return;
    a->ev->u.op_result.record.outcome = OUTCOME_REFUSED;
    a->ev->u.op_result.record.error_code = refusal;
    a->effect = false;
    refusal = NULL;
}

/* O16: a hypervisor that refuses a move to the older host ends that node's rollback; a receiver without room (O22) refuses
 * itself only, the VM goes elsewhere. */
static void test_refused_moves_of_the_way_back(void **state)
{
    static const struct {
        const char *code;
        enum run_state comes_to;
    } rows[] = { { "capacity", RUN_ROLLED_BACK }, { "busy", RUN_ROLLED_BACK }, { "refused", RUN_HALTED } };

    (void)state;
    for (uint32_t i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = scenario_new(NULL, "[2,\"100%\"]", BACKUP(",\"on_fail\":\"rollback\"") WAIVED);

        refusal = rows[i].code;
        s->meddle = refuse_a_way_back;
        scenario_start(s);
        scenario_run(s);
        assert_null(refusal);
        check_run(s, rows[i].comes_to);
        assert_int_equal(scenario_ended(s, NODE_ROLLED_BACK), rows[i].comes_to == RUN_HALTED ? 1 : 2);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* Silence holds the wave and never rolls anything back; promote leads on, with person and ticket only. */
static void test_unknown_holds(void **state)
{
    struct scenario *s = scenario_new(NULL, "[2,\"100%\"]", BACKUP(",\"on_fail\":\"rollback\"") WAIVED);
    struct event ev = { .type = EV_VERB, .node = IX_NONE, .cluster = IX_NONE };

    (void)state;
    s->meddle = backup_silence;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_string_equal(engine_run(s->engine).hold_verb, "promote");
    assert_int_equal(scenario_ended(s, NODE_DONE), 2);
    assert_int_equal(scenario_verb(s, VERB_PROMOTE, NULL), ERR_STATE);
    ev.u.verb.verb = VERB_PROMOTE;
    ev.u.verb.person = "anna";
    ev.u.verb.ticket = "INC7";
    ev.u.verb.accept_unknown = true;
    check_ok(scenario_event(s, &ev), &s->err);
    s->meddle = NULL;
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 8);
    scenario_replays(s);
    scenario_free(s);
}

/* Resume asks for the evidence again. */
static void test_unknown_asked_again(void **state)
{
    struct scenario *s = scenario_new(NULL, "[\"100%\"]", BACKUP(""));

    (void)state;
    s->meddle = backup_silence;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    s->meddle = NULL;
    check_ok(scenario_verb(s, VERB_RESUME, NULL), &s->err);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    scenario_free(s);
}

static void agent_stopped(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_BACKUP)
        a->ev->u.observed.backup.agents[0].state = "stopped";
}

/* A gate that fails before a wave halts; nothing was touched. */
static void test_fail_before_halts(void **state)
{
    struct scenario *s =
        scenario_new(NULL, NULL,
                     ",\"gates\":[{\"type\":\"backup_agent\",\"when\":\"before\",\"samples\":1,"
                     "\"soak\":\"0s\",\"on_fail\":\"rollback\"}]" WAIVED);

    (void)state;
    s->meddle = agent_stopped;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HALTED);
    assert_int_equal(scenario_ended(s, NODE_NOT_STARTED), 8);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(backend_plan_effects(s->world, i, "pause"), 0);
    scenario_free(s);
}

static void test_manual_gate(void **state)
{
    struct scenario *s =
        scenario_new(NULL, "[1,\"100%\"]", ",\"gates\":[{\"type\":\"manual\",\"when\":\"after\"}]");

    (void)state;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_int_equal(scenario_ended(s, NODE_DONE), 1);
    check_ok(scenario_verb(s, VERB_PROMOTE, NULL), &s->err);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    check_ok(scenario_verb(s, VERB_PROMOTE, NULL), &s->err);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    scenario_free(s);
}

static void an_hour_early(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_HEARTBEAT)
        a->ev->u.observed.taken -= HOUR_MS;
}

static time_ms repeated;

/* By a clock that was wrong when it was taken, and again and again since. */
static void the_same_once_more(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->cause != CMD_OBSERVE || a->ev->u.observed.what != OBSERVE_HEARTBEAT)
        return;
    if (repeated == 0)
        repeated = a->ev->u.observed.taken + 12 * HOUR_MS;
    a->ev->u.observed.taken = repeated;
}

static void an_hour_ahead(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->cause == CMD_OBSERVE)
        a->ev->u.observed.taken += HOUR_MS;
}

static void is_unknown_when(void (*meddle)(struct scenario *s, struct plan_answer *a))
{
    struct scenario *s =
        scenario_new(NULL, "[1,\"100%\"]", ",\"gates\":[{\"type\":\"vm_heartbeat\",\"when\":\"after\"}]");

    s->meddle = meddle;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_int_equal(engine_wave(s->engine, 1).state, WAVE_WAITING);
    scenario_free(s);
}

/* Evidence from before the question is none, nor is the same once more, whatever its date (I13). */
static void test_stale_evidence_is_unknown(void **state)
{
    (void)state;
    is_unknown_when(an_hour_early);
    repeated = 0;
    is_unknown_when(the_same_once_more);
}

/* A controller whose own clock is behind takes what is new all the same. */
static void test_evidence_dated_ahead(void **state)
{
    struct scenario *s = scenario_new(NULL, "[1,\"100%\"]",
                                      ",\"gates\":[{\"type\":\"vm_heartbeat\",\"when\":\"after\"},{\"type\":"
                                      "\"cluster_health\",\"when\":\"after\"}]");

    (void)state;
    s->meddle = an_hour_ahead;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    scenario_free(s);
}

/* O15: each patched node of a wave carries VMs again before its gate begins, and the gate passes on them. */
static void test_patched_nodes_carry_load(void **state)
{
    struct scenario *s =
        scenario_new(NULL, "[2,\"100%\"]", ",\"gates\":[{\"type\":\"vm_heartbeat\",\"when\":\"after\"}]");

    (void)state;
    scenario_start(s);
    while (engine_wave(s->engine, 0).state != WAVE_GATE_AFTER)
        assert_true(scenario_step(s));
    for (uint32_t i = 0; i < s->plan->waves[0].n_nodes; i++) {
        uint32_t node = s->plan->nodes[s->plan->waves[0].nodes[i]].node, carried = 0;

        for (uint32_t v = 0; v < s->plan->inv->n_vms; v++)
            carried += backend_plan_vm_at(s->world, v) == node;
        assert_true(carried >= 2);
    }
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    scenario_free(s);
}

static bool gives_load(const struct scenario *s, const char *id)
{
    const struct plan_node *pn = &s->plan->nodes[s->plan->waves[0].nodes[0]];

    for (uint32_t i = 0; i < pn->n_evidence; i++) {
        uint32_t at = backend_plan_vm_at(s->world, pn->evidence[i].vm);

        if (at != pn->node && strcmp(s->plan->inv->nodes[at].id, id) == 0)
            return true;
    }
    return false;
}

/* Somebody has paused the nodes that the plan takes the load from, at the moment when the first one is back. */
static void givers_paused(struct scenario *s, struct plan_answer *a)
{
    struct cluster_view *v = &a->ev->u.observed.view;
    static struct view_node nodes[16];

    if (a->cause != CMD_OBSERVE || a->ev->u.observed.what != OBSERVE_CLUSTER ||
        engine_node(s->engine, scenario_first(s)).phase < NODE_SETTLING)
        return;
    assert_true(v->n_nodes <= TABLE_LEN(nodes));
    for (uint32_t i = 0; i < v->n_nodes; i++) {
        nodes[i] = v->nodes[i];
        if (gives_load(s, nodes[i].id))
            nodes[i].state = SEEN_PAUSED;
    }
    v->nodes = nodes;
}

/* The load does not come off a node that is out of service, whoever took it out: nobody's drain is helped on (I11, O7). */
static void test_load_comes_from_nodes_in_service(void **state)
{
    struct scenario *s =
        scenario_new(NULL, "[1,\"100%\"]", ",\"gates\":[{\"type\":\"vm_heartbeat\",\"when\":\"after\"}]");
    uint32_t first = scenario_first(s), paused = 0;

    (void)state;
    s->meddle = givers_paused;
    scenario_start(s);
    while (engine_wave(s->engine, 0).state != WAVE_GATE_AFTER)
        assert_true(scenario_step(s));
    for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++) {
        bool out = (engine_fleet(s->engine)->nodes[i].out & OUT_PAUSED) != 0;

        paused += out;
        if (out)
            assert_int_equal(backend_plan_effects(s->world, i, "move_vm"), 0);
    }
    assert_int_equal(backend_plan_effects(s->world, first, "resume"), 1);
    assert_true(paused > 0);
    scenario_free(s);
}

static void refuse_removal_moves(struct scenario *s, struct plan_answer *a)
{
    backup_7001(s, a);
    if (a->action != NULL && strcmp(a->action, "move_vm") == 0 && engine_node(s->engine, a->node).back &&
        engine_run(s->engine).state == RUN_ROLLING_BACK) {
        a->effect = false;
        a->ev->u.op_result.record.outcome = OUTCOME_REFUSED;
        a->ev->u.op_result.record.error_code = "refused";
    }
}

/* Moves from patched to unpatched hosts are refused: nothing is parked, the nodes are resumed patched, the run halts. */
static void test_refused_move_ends_a_nodes_rollback(void **state)
{
    struct scenario *s = scenario_new(NULL, "[2,\"100%\"]", BACKUP(",\"on_fail\":\"rollback\"") WAIVED);

    (void)state;
    s->meddle = refuse_removal_moves;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HALTED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 2);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(backend_plan_effects(s->world, i, "uninstall"), 0);
    scenario_truth(s);
    scenario_free(s);
}

/* Paused while a gate is at work: what it answers takes effect when the run goes on, not before. */
static void test_answer_while_paused(void **state)
{
    static const struct {
        void (*meddle)(struct scenario *, struct plan_answer *);
        enum run_state then;
    } rows[] = { { NULL, RUN_FINISHED }, { backup_silence, RUN_HOLDING }, { backup_7001, RUN_ROLLED_BACK } };

    (void)state;
    for (uint32_t i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = scenario_new(NULL, "[\"100%\"]", BACKUP(",\"on_fail\":\"rollback\"") WAIVED);

        s->meddle = rows[i].meddle;
        scenario_start(s);
        while (engine_wave(s->engine, 0).state != WAVE_GATE_AFTER)
            assert_true(scenario_step(s));
        check_ok(scenario_verb(s, VERB_PAUSE, NULL), &s->err);
        scenario_while_holding(s);
        check_run(s, RUN_HOLDING);
        assert_string_equal(engine_run(s->engine).hold_verb, "resume");
        check_ok(scenario_verb(s, VERB_RESUME, NULL), &s->err);
        scenario_run(s);
        check_run(s, rows[i].then);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* A person's gate beside one that has no answer: promoting needs the acceptance of the unknown one. */
static void test_manual_beside_unknown(void **state)
{
    struct scenario *s = scenario_new(NULL, "[\"100%\"]",
                                      ",\"gates\":[{\"type\":\"manual\",\"when\":\"after\"},{\"type\":"
                                      "\"backup_agent\",\"when\":\"after\"}]");

    (void)state;
    s->meddle = backup_silence;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_int_equal(scenario_verb(s, VERB_PROMOTE, NULL), ERR_STATE);
    assert_non_null(strstr(s->err.text, "--accept-unknown"));
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_rolls_back),
        cmocka_unit_test(test_fail_without_way_back_halts),
        cmocka_unit_test(test_refused_removal_halts),
        cmocka_unit_test(test_refused_moves_of_the_way_back),
        cmocka_unit_test(test_unknown_holds),
        cmocka_unit_test(test_unknown_asked_again),
        cmocka_unit_test(test_fail_before_halts),
        cmocka_unit_test(test_manual_gate),
        cmocka_unit_test(test_stale_evidence_is_unknown),
        cmocka_unit_test(test_evidence_dated_ahead),
        cmocka_unit_test(test_patched_nodes_carry_load),
        cmocka_unit_test(test_load_comes_from_nodes_in_service),
        cmocka_unit_test(test_refused_move_ends_a_nodes_rollback),
        cmocka_unit_test(test_answer_while_paused),
        cmocka_unit_test(test_manual_beside_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
