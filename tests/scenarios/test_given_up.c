/* An operation that a person gave up goes on on its node. What it comes to there counts: the node is what it made of it, its
 * downtime stands in the ledger, and a person's word is about it and about no other (I9, I10, I17, O10, O35). */
#include "orchestrator/core/backend_plan_world.h"
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define WAIVED ",\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"C1\"}]"
#define MORE ",\"policy\":{\"failures_per_wave\":2,\"failures_per_run\":2,\"rollback\":\"run\"}" WAIVED

static bool acks(const struct scenario *s, const char *op)
{
    char want[200];

    snprintf(want, sizeof want, "{\"type\":\"op_ack\",\"node\":\"%s\",\"op\":\"%s\"", scenario_first_id(s),
             op);
    return strstr(scenario_commanded(s), want) != NULL;
}

static void cannot_tell(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->cause == CMD_OP_PROBE && a->ev->u.op_result.record.state == OP_UNKNOWN)
        a->ev->u.op_result.record.witness = WITNESS_CANNOT_TELL;
}

/* No answer to a probe arrives. */
static void unheard(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    a->silent = a->silent || a->cause == CMD_OP_PROBE;
}

/* The node's operation of that action has been done, and the controller has heard nothing of it. */
static void until_done_unheard(struct scenario *s, uint32_t node, const char *action, enum node_phase phase)

{
    const char *id = s->plan->inv->nodes[node].id;

    scenario_fault(s, id, action, NULL)->silent = true;
    s->meddle = unheard;
    scenario_until(s, id, phase);
    while (backend_plan_effects(s->world, node, action) == 0)
        assert_true(scenario_step(s));
    assert_int_equal(engine_ops_open(s->engine), 1);
}

static void force_closed(struct scenario *s, const char *id)
{
    check_ok(scenario_verb(s, VERB_ABORT_FORCE, NULL), &s->err);
    check_end(s, id, NODE_STUCK);
}

static void put_back(struct scenario *s, const char *id)
{
    check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
    scenario_goes_on(s);
}

static void claim_of(struct scenario *s, const struct op_record *recs, uint32_t n)
{
    struct event ev = {
        .at = s->now, .type = EV_NODE_CLAIMED, .node = scenario_first(s), .cluster = IX_NONE
    };

    ev.u.claimed.machine_id = scenario_first_id(s);
    ev.u.claimed.boot_id = "boot";
    ev.u.claimed.ops = recs;
    ev.u.claimed.n_ops = n;
    check_ok(scenario_event(s, &ev), &s->err);
}

static int decide(struct scenario *s, const char *op, enum op_witness decision)
{
    struct event ev = { .at = s->now, .type = EV_VERB, .node = scenario_first(s), .cluster = IX_NONE };

    ev.u.verb.verb = VERB_DECIDE;
    ev.u.verb.person = "anna";
    ev.u.verb.op = op;
    ev.u.verb.decision = decision;
    return scenario_event(s, &ev);
}

/* The patch that it brought is on the node, unverified: the way back takes it off. */
static void check_patched_and_goes_back(struct scenario *s)
{
    check_end(s, scenario_first_id(s), NODE_SET_ASIDE);
    scenario_truth(s);
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
    scenario_goes_on(s);
    check_end(s, scenario_first_id(s), NODE_ROLLED_BACK);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "uninstall"), 1);
    scenario_replays(s);
    scenario_free(s);
}

/* The claim that `return` asks for tells its end. */
static void test_done_says_the_claim_after_return(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", MORE);

    (void)state;
    scenario_start(s);
    until_done_unheard(s, scenario_first(s), "install", NODE_INSTALLING);
    force_closed(s, scenario_first_id(s));
    put_back(s, scenario_first_id(s));
    check_patched_and_goes_back(s);
}

/* The node comes back with its end after the run was closed by force, and before anybody says `return`. */
static void test_done_says_the_claim_before_return(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", MORE);
    struct op_record rec = { .action = "install", .state = OP_DONE, .outcome = OUTCOME_OK, .boot_id = "b" };
    char op[128];

    (void)state;
    scenario_start(s);
    until_done_unheard(s, scenario_first(s), "install", NODE_INSTALLING);
    snprintf(op, sizeof op, "%s", engine_op_open(s->engine, 0).op);
    force_closed(s, scenario_first_id(s));
    rec.op = op;
    claim_of(s, &rec, 1);
    assert_true(acks(s, op));
    put_back(s, scenario_first_id(s));
    check_patched_and_goes_back(s);
}

/* Until nobody knows what became of the first node's installation, and a person sets the node aside. */
static struct scenario *set_aside(enum op_witness says, char op[128])
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", MORE);
    struct fault *f = scenario_fault(s, scenario_first_id(s), "install", NULL);
    struct event ev = { .type = EV_OP_RESULT, .cluster = IX_NONE };

    f->silent = f->no_journal = true;
    s->meddle = cannot_tell;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_INSTALLING);
    scenario_until_unknown(s, scenario_first_id(s));
    snprintf(op, 128, "%s", engine_op_open(s->engine, 0).op);
    ev.at = s->now;
    ev.node = scenario_first(s);
    ev.u.op_result.record =
        (struct op_record){ .op = op, .action = "install", .state = OP_UNKNOWN, .witness = says };
    check_ok(scenario_event(s, &ev), &s->err);
    check_ok(scenario_verb(s, VERB_SET_ASIDE, scenario_first_id(s)), &s->err);
    check_end(s, scenario_first_id(s), NODE_STUCK);
    return s;
}

static uint32_t rows_of(const struct scenario *s, const char *op)
{
    const struct ledger *l = engine_ledger(s->engine);
    uint32_t n = 0;

    for (uint32_t i = 0; i < l->n; i++)
        n += strcmp(l->items[i].op, op) == 0;
    return n;
}

/* Set aside, and the node comes back with its end: what it cost is in the ledger, once (O35). */
static void test_its_downtime_is_in_the_ledger(void **state)
{
    char op[128];
    struct scenario *s = set_aside(WITNESS_CANNOT_TELL, op);
    struct down_row down = { DOWN_NODE,       scenario_first_id(s), CAUSE_NODE_OUT,
                             START_MS + 1000, START_MS + 2000,      "its event" };
    struct op_record rec = { .op = op,
                             .action = "install",
                             .state = OP_DONE,
                             .outcome = OUTCOME_OK,
                             .boot_id = "b",
                             .rows = &down,
                             .n_rows = 1 };

    (void)state;
    assert_int_equal(rows_of(s, op), 0);
    claim_of(s, &rec, 1);
    assert_true(acks(s, op));
    assert_int_equal(rows_of(s, op), 1);
    claim_of(s, &rec, 1); /* claimed again: told again */
    assert_int_equal(rows_of(s, op), 1);
    scenario_replays(s);
    scenario_free(s);
}

/* Several moves were under way when the run was closed by force: what each of them cost is in the ledger (O35). */
static void test_downtime_of_several_moves(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", MORE);
    struct fault *f = scenario_fault(s, scenario_first_id(s), "move_vm", NULL);
    char ops[2][128];

    (void)state;
    f->silent = true;
    f->times = 2;
    s->meddle = unheard;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_DRAINING);
    while (backend_plan_effects(s->world, scenario_first(s), "move_vm") < 2)
        assert_true(scenario_step(s));
    assert_int_equal(engine_ops_open(s->engine), 2);
    for (uint32_t i = 0; i < 2; i++)
        snprintf(ops[i], sizeof ops[i], "%s", engine_op_open(s->engine, i).op);
    force_closed(s, scenario_first_id(s));
    put_back(s, scenario_first_id(s));
    check_end(s, scenario_first_id(s), NODE_RETURNED);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(rows_of(s, ops[i]), 1);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* Set aside while it was at work: nobody's word ends it (I10, O10). */
static void test_nobody_decides_what_is_at_work(void **state)
{
    char op[128];
    struct scenario *s = set_aside(WITNESS_SAYS_RUNNING, op);
    struct op_record rec = { .op = op, .action = "install", .state = OP_UNKNOWN, .boot_id = "b" };

    (void)state;
    assert_int_equal(decide(s, NULL, WITNESS_SAYS_NOT_DONE), ERR_STATE);
    assert_non_null(strstr(s->err.text, "still runs"));
    claim_of(s, &rec, 1); /* its agent was started anew, and its witness has yet to speak */
    assert_int_equal(decide(s, NULL, WITNESS_SAYS_NOT_DONE), ERR_STATE);
    assert_non_null(strstr(s->err.text, "still runs"));
    scenario_replays(s);
    scenario_free(s);
}

/* A VM that was moved off the first node, by this log and in its first life. */
static uint32_t moved_vm(const struct scenario *s)
{
    const struct plan_node *n = &s->plan->nodes[s->plan->waves[0].nodes[0]];

    assert_true(n->n_moves > 0);
    return n->moves[0].vm;
}

/* A move that has no end there either does not hide the installation; and who names an operation means that one. */
static void test_a_word_is_about_the_operation_it_names(void **state)
{
    char op[128], move[128], said[200];
    struct scenario *s = set_aside(WITNESS_CANNOT_TELL, op);
    struct op_record recs[] = {
        { .op = op, .action = "install", .state = OP_UNKNOWN, .boot_id = "b" },
        { .op = move, .action = "move_vm", .state = OP_RUNNING, .boot_id = "b" },
    };

    (void)state;
    snprintf(move, sizeof move, "r1/%s/1/move_vm:%s/1", scenario_first_id(s),
             s->plan->inv->vms[moved_vm(s)].id);
    claim_of(s, recs, 2);
    assert_false(scenario_node(s, scenario_first_id(s)).unknown); /* the move is of this log */
    assert_int_equal(decide(s, move, WITNESS_SAYS_NOT_DONE), ERR_STATE);
    assert_non_null(strstr(s->err.text, "is not what was given up"));
    check_ok(decide(s, op, WITNESS_SAYS_DONE), &s->err);
    assert_true(acks(s, op));
    snprintf(said, sizeof said, "%s: done, says anna", op);
    assert_non_null(strstr(buf_text(&s->notes), said));
    scenario_replays(s);
    scenario_free(s);
}

/* A removal that was given up and took hold: the node is not patched any more, and is not removed from once more. */
static void test_a_removal_took_hold(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", MORE);
    const struct plan_wave *last = &s->plan->waves[1];
    uint32_t node = s->plan->nodes[last->nodes[last->n_nodes - 1]].node; /* the first to go back */
    const char *id = s->plan->inv->nodes[node].id;

    (void)state;
    scenario_start(s);
    scenario_run(s);
    check_end(s, id, NODE_DONE);
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
    s->runner.ended = false;
    until_done_unheard(s, node, "uninstall", NODE_REMOVING);
    force_closed(s, id);
    put_back(s, id);
    check_end(s, id, NODE_SET_ASIDE);
    assert_false(engine_fleet(s->engine)->nodes[node].patched);
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
    scenario_goes_on(s);
    assert_int_equal(backend_plan_effects(s->world, node, "uninstall"), 1);
    scenario_replays(s);
    scenario_free(s);
}

/* A parking of a life that this log has not lived is another log's, however often this one has moved the VM (I9). */
static void test_a_parking_of_a_later_life(void **state)
{
    char op[128], park[128];
    struct scenario *s = set_aside(WITNESS_CANNOT_TELL, op);
    struct op_record rec = {
        .op = park, .action = "park_vm", .state = OP_DONE, .outcome = OUTCOME_OK, .boot_id = "b"
    };

    (void)state;
    snprintf(park, sizeof park, "r1/%s/7/park_vm:%s/1", scenario_first_id(s),
             s->plan->inv->vms[moved_vm(s)].id);
    claim_of(s, &rec, 1);
    assert_false(acks(s, park));
    assert_true(scenario_node(s, scenario_first_id(s)).unknown);
    assert_true(engine_fleet(s->engine)->vms.items[moved_vm(s)].parked);
    scenario_replays(s);
    scenario_free(s);
}

static int answer_of(struct scenario *s, const struct op_record *rec)
{
    struct event ev = { .type = EV_OP_RESULT, .node = scenario_first(s), .cluster = IX_NONE };

    ev.u.op_result.record = *rec;
    return scenario_event(s, &ev);
}

/* A mere answer about what was given up says whether it runs, which a person's word does not end, and nothing else. */
static void test_an_answer_says_whether_it_runs(void **state)
{
    static const struct {
        enum op_state state;
        enum op_witness witness;
        bool runs;
    } rows[] = { { OP_RUNNING, WITNESS_NOT_ASKED, true },
                 { OP_UNKNOWN, WITNESS_SAYS_RUNNING, true },
                 { OP_UNKNOWN, WITNESS_CANNOT_TELL, false },
                 { OP_ACCEPTED, WITNESS_NOT_ASKED, false } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        char op[128];
        struct scenario *s = set_aside(WITNESS_SAYS_RUNNING, op);
        struct op_record rec = {
            .op = op, .action = "install", .state = rows[i].state, .witness = rows[i].witness, .boot_id = "b"
        };

        check_ok(answer_of(s, &rec), &s->err);
        assert_string_equal(scenario_commanded(s), "[]");
        check_end(s, scenario_first_id(s), NODE_STUCK);
        assert_int_equal(decide(s, NULL, WITNESS_SAYS_NOT_DONE), rows[i].runs ? ERR_STATE : 0);
        if (rows[i].runs)
            assert_non_null(strstr(s->err.text, "still runs"));
        else
            assert_true(acks(s, op));
        scenario_free(s);
    }
}

/* Accepted there and not begun when it was given up: it is called off, so that it never begins, and put back the node is untouched. */
static void test_accepted_and_given_up(void **state)
{
    char op[128], want[200];
    struct scenario *s = set_aside(WITNESS_CANNOT_TELL, op);
    struct op_record rec = { .op = op, .action = "install", .state = OP_ACCEPTED, .boot_id = "b" };

    (void)state;
    snprintf(want, sizeof want, "{\"type\":\"op_cancel\",\"node\":\"%s\",\"op\":\"%s\"}",
             scenario_first_id(s), op);
    claim_of(s, &rec, 1);
    assert_non_null(strstr(scenario_commanded(s), want));
    assert_false(acks(s, op));
    rec.state = OP_DONE;
    rec.outcome = OUTCOME_CANCELLED;
    check_ok(answer_of(s, &rec), &s->err);
    assert_true(acks(s, op));
    put_back(s, scenario_first_id(s));
    check_end(s, scenario_first_id(s), NODE_RETURNED);
    scenario_replays(s);
    scenario_free(s);
}

/* What another log, or another run, does to a cluster's setting is told by claims; an answer of nobody's changes nothing (I21). */
static void test_an_answer_about_anothers_setting(void **state)
{
    static const struct {
        const char *op;
        enum op_state state;
    } rows[] = { { "r9/n00-01/1/cluster_setting/1", OP_RUNNING },
                 { "r1/n00-01/1/cluster_setting/9", OP_RUNNING },
                 { "r1/n00-01/1/cluster_setting/9", OP_DONE } };
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", MORE);
    char before[SHA256_TEXT], after[SHA256_TEXT];

    (void)state;
    assert_string_equal(scenario_first_id(s), "n00-01");
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_INSTALLING);
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct op_record rec = {
            .op = rows[i].op, .action = "cluster_setting", .state = rows[i].state, .boot_id = "b"
        };

        engine_hash(s->engine, before);
        check_ok(answer_of(s, &rec), &s->err);
        engine_hash(s->engine, after);
        assert_string_equal(before, after);
        assert_string_equal(scenario_commanded(s), "[]");
    }
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* --- the same, begun by a log that this one has overtaken --- */

static struct { /* what each claim tells of it: it runs, so often, and then has that end */
    const char *op, *action;
    uint32_t runs, told;
    enum op_outcome outcome;
} other;

static void tells_of_the_other(struct scenario *s, struct plan_answer *a)
{
    static struct op_record rec;

    if (a->ev->type != EV_NODE_CLAIMED || a->node != scenario_first(s))
        return;
    rec = (struct op_record){ .op = other.op, .action = other.action, .state = OP_RUNNING, .boot_id = "b" };
    if (other.told++ >= other.runs) {
        rec.state = OP_DONE;
        rec.outcome = other.outcome;
    }
    a->ev->u.claimed.ops = &rec;
    a->ev->u.claimed.n_ops = 1;
}

/* Set aside here, being installed there. */
static struct scenario *being_installed_by_another(const char *op, uint32_t runs, enum op_outcome outcome)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", MORE);

    other.op = op;
    other.action = "install";
    other.runs = runs;
    other.told = 0;
    other.outcome = outcome;
    scenario_start(s);
    check_ok(scenario_verb(s, VERB_SET_ASIDE, scenario_first_id(s)), &s->err);
    s->meddle = tells_of_the_other;
    backend_plan_cut(s->world, scenario_first(s), s->now + MINUTE_MS);
    while (other.told == 0 || !scenario_node(s, scenario_first_id(s)).unknown)
        assert_true(scenario_step(s));
    check_end(s, scenario_first_id(s), NODE_STUCK);
    return s;
}

/* A VM's move of the other log runs when this one takes over, and its end arrives when this log has long counted past its number: it
 * is not taken for one of our own, of which an answer is enough (I21, C.3). */
static void test_another_logs_move_that_was_counted_past(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", MORE);
    const char *id = scenario_first_id(s), *vm = s->plan->inv->vms[moved_vm(s)].id;
    struct down_row down = { DOWN_VM, vm, CAUSE_BLACKOUT, START_MS + 1000, START_MS + 1200, "its event" };
    struct op_record rec = { .action = "move_vm", .state = OP_RUNNING, .boot_id = "b" };
    char theirs[128], ours[128], before[SHA256_TEXT], after[SHA256_TEXT];
    uint32_t rows;

    (void)state;
    snprintf(theirs, sizeof theirs, "r1/%s/1/move_vm:%s/3", id, vm);
    snprintf(ours, sizeof ours, "r1/%s/2/move_vm:%s/4", id, vm); /* in a life of its own */
    rec.op = theirs;
    scenario_start(s);
    scenario_until(s, id, NODE_STAGING);
    claim_of(s, &rec, 1);
    assert_true(scenario_node(s, id).unknown);
    rec.state = OP_UNKNOWN; /* its agent was started anew: nobody says any more that it runs */
    claim_of(s, &rec, 1);
    check_ok(decide(s, NULL, WITNESS_SAYS_NOT_DONE), &s->err);
    scenario_until(s, id, NODE_INSTALLING);
    assert_int_equal(rows_of(s, ours), 1);
    rec.state = OP_DONE;
    rec.outcome = OUTCOME_OK;
    rec.rows = &down;
    rec.n_rows = 1;
    rows = engine_ledger(s->engine)->n;
    engine_hash(s->engine, before);
    check_ok(answer_of(s, &rec), &s->err);
    engine_hash(s->engine, after);
    assert_string_equal(before, after);
    assert_string_equal(scenario_commanded(s), "[]");
    assert_int_equal(engine_ledger(s->engine)->n, rows);
    claim_of(s, &rec, 1);
    assert_true(acks(s, theirs));
    assert_int_equal(rows_of(s, theirs), 1);
    scenario_replays(s);
    scenario_free(s);
}

/* Put back it is waited for: the node takes nothing else before. What it comes to is what the node is (I29, I12). */
static void test_put_back_while_another_logs_runs(void **state)
{
    static const struct {
        enum op_outcome outcome;
        enum node_end end;
    } ends[] = { { OUTCOME_OK, NODE_SET_ASIDE }, { OUTCOME_FAILED, NODE_SET_ASIDE } };
    static const char *const ops[] = { "r1/n00-01/1/install/1", "r9/n00-01/1/install/1" };

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct scenario *s = being_installed_by_another(ops[i / 2], 4, ends[i % 2].outcome);

        check_ok(scenario_verb(s, VERB_RETURN, scenario_first_id(s)), &s->err);
        s->runner.ended = false;
        while (scenario_node(s, scenario_first_id(s)).phase == NODE_STARTING_VMMS && other.told <= 4) {
            assert_null(strstr(scenario_commanded(s), "start_vmms"));
            assert_true(scenario_step(s));
        }
        assert_true(other.told > 4);
        scenario_run(s);
        check_end(s, scenario_first_id(s), ends[i % 2].end);
        check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
        scenario_goes_on(s);
        assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "uninstall"),
                         ends[i % 2].outcome == OUTCOME_OK);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* It came to its end before anybody had looked: the node is what that made of it. */
static void test_another_logs_ended_before_anybody_looked(void **state)
{
    struct scenario *s = being_installed_by_another("r1/n00-01/1/install/1", 1, OUTCOME_FAILED);

    (void)state;
    backend_plan_cut(s->world, scenario_first(s), s->now + MINUTE_MS);
    while (other.told < 2)
        assert_true(scenario_step(s));
    put_back(s, scenario_first_id(s));
    check_end(s, scenario_first_id(s), NODE_SET_ASIDE);
    scenario_replays(s);
    scenario_free(s);
}

/* This log has patched the node, and another one is taking the package out when it is put back. What that comes to is what the node
 * is: patched as before, and vouched for only if it was verified; or without the package (I12, I17). */
static void test_put_back_while_another_log_removes(void **state)
{
    static const struct {
        bool verified;
        enum op_outcome outcome;
        enum node_end end;
        uint32_t uninstalls; /* by a rollback afterwards */
    } rows[] = { { true, OUTCOME_FAILED, NODE_DONE, 1 },
                 { true, OUTCOME_OK, NODE_RETURNED, 0 },
                 { false, OUTCOME_FAILED, NODE_SET_ASIDE, 1 } };
    struct op_record running = { .action = "uninstall", .state = OP_RUNNING, .boot_id = "b" };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", MORE);
        const char *id = scenario_first_id(s);

        running.op = other.op = "r1/n00-01/9/uninstall/1";
        other.action = "uninstall";
        other.runs = 2;
        other.told = 0;
        other.outcome = rows[i].outcome;
        scenario_start(s);
        scenario_until(s, id, rows[i].verified ? NODE_SETTLING : NODE_VERIFYING);
        check_ok(scenario_verb(s, VERB_ABORT_FORCE, NULL), &s->err);
        claim_of(s, &running, 1);
        assert_true(scenario_node(s, id).unknown);
        check_end(s, id, NODE_STUCK);
        s->meddle = tells_of_the_other;
        put_back(s, id);
        assert_true(other.told > 2);
        check_end(s, id, rows[i].end);
        s->meddle = NULL;
        check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
        scenario_run(s);
        assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "uninstall"), rows[i].uninstalls);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* Nobody can tell what became of another log's removal, or its installation has failed; and a person has said where the node is. Whether
 * the package is in its build says: a rollback takes out what is, and is not held up by what is not (O10, O16, I12). */
static void test_another_logs_package_in_doubt(void **state)
{
    static const struct op_record removal = {
        .op = "r1/n00-01/9/uninstall/1", .action = "uninstall", .state = OP_UNKNOWN, .boot_id = "b"
    };
    static const struct op_record failed = { .op = "r1/n00-01/9/install/1",
                                             .action = "install",
                                             .state = OP_DONE,
                                             .outcome = OUTCOME_FAILED,
                                             .boot_id = "b" };
    static const struct {
        const struct op_record *rec;
        enum node_phase at;
    } rows[] = { { &removal, NODE_ENDED },
                 { &removal, NODE_DRAINING },
                 { &failed, NODE_STAGING },
                 { &failed, NODE_DRAINING } };

    (void)state;
    for (unsigned i = 0; i < 2 * TABLE_LEN(rows); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]",
                                          ",\"policy\":{\"failures_per_wave\":2,\"failures_per_run\":2,"
                                          "\"rollback\":\"run\",\"rollback_moves_per_vm\":9}" WAIVED);
        const char *id = scenario_first_id(s);
        uint32_t first = scenario_first(s);
        struct world_node *w = &s->world->nodes[first];
        enum node_phase at = rows[i / 2].at;
        bool in = i % 2 == 0;

        scenario_start(s);
        scenario_until(s, id, at);
        if (at == NODE_STAGING) /* it never had its turn here */
            check_ok(scenario_verb(s, VERB_SET_ASIDE, id), &s->err);
        w->before = s->plan->inv->nodes[first].build;
        w->build = in ? s->plan->rollout->patch.target : w->before;
        claim_of(s, rows[i / 2].rec, 1);
        while (engine_ops_open(s->engine) > 0) /* the pause that is under way */
            assert_true(scenario_step(s));
        check_ok(decide(s, NULL, at == NODE_DRAINING ? WITNESS_SAYS_DONE : WITNESS_SAYS_NOT_DONE), &s->err);
        if (at != NODE_DRAINING)
            put_back(s, id);
        scenario_until(s, id, NODE_ENDED);
        check_end(s, id, NODE_SET_ASIDE);
        check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
        scenario_goes_on(s);
        check_end(s, id, in ? NODE_ROLLED_BACK : NODE_SET_ASIDE);
        assert_int_equal(backend_plan_effects(s->world, first, "uninstall"), in);
        assert_int_equal(backend_plan_effects(s->world, first, "pause"), in + (at != NODE_STAGING));
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_done_says_the_claim_after_return),
        cmocka_unit_test(test_done_says_the_claim_before_return),
        cmocka_unit_test(test_its_downtime_is_in_the_ledger),
        cmocka_unit_test(test_downtime_of_several_moves),
        cmocka_unit_test(test_nobody_decides_what_is_at_work),
        cmocka_unit_test(test_a_word_is_about_the_operation_it_names),
        cmocka_unit_test(test_a_removal_took_hold),
        cmocka_unit_test(test_an_answer_says_whether_it_runs),
        cmocka_unit_test(test_accepted_and_given_up),
        cmocka_unit_test(test_an_answer_about_anothers_setting),
        cmocka_unit_test(test_another_logs_move_that_was_counted_past),
        cmocka_unit_test(test_put_back_while_another_logs_runs),
        cmocka_unit_test(test_another_logs_ended_before_anybody_looked),
        cmocka_unit_test(test_put_back_while_another_log_removes),
        cmocka_unit_test(test_another_logs_package_in_doubt),
        cmocka_unit_test(test_a_parking_of_a_later_life),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
