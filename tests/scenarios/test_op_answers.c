/* What the engine makes of each record that a node may tell: of the op that is under way, by state and witness, and of
 * ops that this log never meant (C.3, I19, O17, O35). One row each: what is commanded, and whether the node is unknown. */
#include "orchestrator/core/backend_plan_world.h"
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define BUDGET ",\"policy\":{\"failures_per_wave\":4,\"failures_per_run\":4}"

static bool commands_it(const struct scenario *s, const char *what, const char *op)
{
    char want[200];

    snprintf(want, sizeof want, "{\"type\":\"%s\",\"node\":\"%s\",\"op\":\"%s\"", what, scenario_first_id(s),
             op);
    return strstr(scenario_commanded(s), want) != NULL;
}

/* --- the op under way --- */

struct told {
    enum op_state state;
    enum op_witness witness;
    uint32_t starts; /* it was started once more, so often */
};

/* The node's install was sent, and nothing was heard of it. */
static struct scenario *installing(char op[128])
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);

    scenario_fault(s, NULL, "install", NULL)->silent = true;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_INSTALLING);
    assert_int_equal(engine_ops_open(s->engine), 1);
    snprintf(op, 128, "%s", engine_op_open(s->engine, 0).op);
    assert_non_null(strstr(op, "/install/"));
    return s;
}

static void tell(struct scenario *s, const char *op, struct told t)
{
    struct event ev = { .type = EV_OP_RESULT, .node = scenario_first(s), .cluster = IX_NONE };

    ev.u.op_result.record = (struct op_record){ .op = op,
                                                .action = "install",
                                                .state = t.state,
                                                .witness = t.witness,
                                                .boot_id = "b",
                                                .accepted = s->now,
                                                .started = t.state >= OP_RUNNING ? s->now + t.starts : 0 };
    check_ok(scenario_event(s, &ev), &s->err);
}

#define NOT_DONE                             \
    {                                        \
        OP_UNKNOWN, WITNESS_SAYS_NOT_DONE, 0 \
    }
#define NOT_DONE_AGAIN                       \
    {                                        \
        OP_UNKNOWN, WITNESS_SAYS_NOT_DONE, 1 \
    }
#define NONE                          \
    {                                 \
        OP_NONE, WITNESS_NOT_ASKED, 0 \
    }

static const struct {
    const char *name;
    bool abort; /* said before: the op is cancelled */
    struct told told[3];
    uint32_t n;
    const char *command; /* by the last; NULL: none about the op */
    bool open, unknown;  /* the op, the node, afterwards */
} rows[] = {
    { "accepted", false, { { OP_ACCEPTED, WITNESS_NOT_ASKED, 0 } }, 1, NULL, true, false },
    { "running", false, { { OP_RUNNING, WITNESS_NOT_ASKED, 0 } }, 1, NULL, true, false },
    { "unknown", false, { { OP_UNKNOWN, WITNESS_NOT_ASKED, 0 } }, 1, "op_probe", true, true },
    { "unknown, and again to the probe",
      false,
      { { OP_UNKNOWN, WITNESS_NOT_ASKED, 0 }, { OP_UNKNOWN, WITNESS_NOT_ASKED, 0 } },
      2,
      NULL,
      true,
      true },
    { "its witness cannot tell", false, { { OP_UNKNOWN, WITNESS_CANNOT_TELL, 0 } }, 1, NULL, true, true },
    { "its witness sees it run", false, { { OP_UNKNOWN, WITNESS_SAYS_RUNNING, 0 } }, 1, NULL, true, false },
    { "its witness sees it done",
      false,
      { { OP_UNKNOWN, WITNESS_SAYS_DONE, 0 } },
      1,
      "op_ack",
      false,
      false },
    { "refuted once", false, { NOT_DONE }, 1, "op_start", true, false },
    { "refuted twice", false, { NOT_DONE, NOT_DONE_AGAIN }, 2, "op_ack", false, false },
    { "refuted, and told so once more", false, { NOT_DONE, NOT_DONE }, 2, NULL, true, false },
    { "never seen", false, { NONE }, 1, "op_start", true, false },
    { "never seen, and told so once more", false, { NONE, NONE }, 2, NULL, true, false },
    { "seen, then never seen", false, { { OP_RUNNING, WITNESS_NOT_ASKED, 0 }, NONE }, 2, NULL, true, true },
    { "cancelled, never seen", true, { NONE }, 1, NULL, false, false },
    { "cancelled, refuted", true, { NOT_DONE }, 1, "op_ack", false, false },
    { "cancelled, accepted", true, { { OP_ACCEPTED, WITNESS_NOT_ASKED, 0 } }, 1, NULL, true, false },
};

static bool is_open(const struct scenario *s, const char *op)
{
    for (uint32_t i = 0; i < engine_ops_open(s->engine); i++)
        if (strcmp(engine_op_open(s->engine, i).op, op) == 0)
            return true;
    return false;
}

/* Past its deadline, it is asked for. */
static void until_asked(struct scenario *s, const char *op)
{
    struct event ev = { .type = EV_TIMEOUT, .node = IX_NONE, .cluster = IX_NONE };

    while (!commands_it(s, "op_probe", op)) {
        s->now = engine_deadline(s->engine);
        check_ok(scenario_event(s, &ev), &s->err);
    }
}

static void test_under_way(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        char op[128];
        struct scenario *s = installing(op);
        static const char *const about[] = { "op_start", "op_probe", "op_cancel", "op_ack" };

        if (rows[i].abort) {
            check_ok(scenario_verb(s, VERB_ABORT, NULL), &s->err);
            assert_true(commands_it(s, "op_cancel", op));
        }
        for (uint32_t k = 0; k < rows[i].n; k++)
            tell(s, op, rows[i].told[k]);
        for (unsigned k = 0; k < TABLE_LEN(about); k++)
            if (commands_it(s, about[k], op) !=
                (rows[i].command != NULL && strcmp(rows[i].command, about[k]) == 0))
                fail_msg("%s: %s", rows[i].name, scenario_commanded(s));
        if (is_open(s, op) != rows[i].open ||
            engine_node(s->engine, scenario_first(s)).unknown != rows[i].unknown)
            fail_msg("%s: %s, %s", rows[i].name, is_open(s, op) ? "open" : "closed",
                     engine_node(s->engine, scenario_first(s)).unknown ? "unknown" : "known");
        scenario_replays(s);
        scenario_free(s);
    }
}

/* It was asked twice whether its install had happened, and sent again at the first answer: the second is as old as the
 * first, and says nothing of what was sent since (I21). */
static void test_a_refutation_heard_twice(void **state)
{
    char op[128];
    struct scenario *s = installing(op);

    (void)state;
    tell(s, op, (struct told)NOT_DONE);
    assert_true(commands_it(s, "op_start", op));
    tell(s, op, (struct told)NOT_DONE);
    assert_true(is_open(s, op));
    tell(s, op, (struct told){ OP_RUNNING, WITNESS_NOT_ASKED, 1 });
    assert_true(is_open(s, op));
    tell(s, op, (struct told){ OP_UNKNOWN, WITNESS_SAYS_DONE, 1 });
    assert_false(is_open(s, op));
    assert_string_equal(node_phases[scenario_node(s, scenario_first_id(s)).phase].name, "rebooting");
    scenario_replays(s);
    scenario_free(s);
}

/* Told the same each time it is asked, it has an end after some. */
static void ends_however_often(struct scenario *s, const char *op, struct told what)
{
    uint32_t sends = 1;

    for (; is_open(s, op) && sends < 20; sends++) {
        until_asked(s, op);
        tell(s, op, what);
    }
    assert_in_range(sends, 3, 10);
}

/* Sent again it was lost on its way: asked anew the witness says the same of the same start, which is no second failure.
 * However often: in the end it has failed. */
static void test_a_refuted_one_lost_on_its_way(void **state)
{
    char op[128];
    struct scenario *s = installing(op);

    (void)state;
    ends_however_often(s, op, (struct told){ OP_UNKNOWN, WITNESS_SAYS_NOT_DONE, 0 });
    scenario_free(s);
}

/* A node that never saw it however often it is sent: refused in the end, and the node comes home. */
static void test_never_takes_it(void **state)
{
    char op[128];
    struct scenario *s = installing(op);

    (void)state;
    ends_however_often(s, op, (struct told)NONE);
    scenario_run(s);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "install"), 1);
    scenario_free(s);
}

/* --- ops of another log --- */

#define VM "00000000-0000-4000-8000-000000000000" /* the first of small_fleet */

static const struct foreign {
    const char *name, *op; /* of the first node */
    enum op_state state;
    enum op_outcome outcome;
    enum down_cause cause; /* of its one row; CAUSE_CRASH: none */
    bool unknown, acked, parked;
} foreigners[] = {
    { "a pause that was done", "r1/n00-01/7/pause/1", OP_DONE, OUTCOME_OK, CAUSE_CRASH, true, false, false },
    { "a pause that failed", "r1/n00-01/7/pause/1", OP_DONE, OUTCOME_FAILED, CAUSE_CRASH, true, false,
      false },
    { "a pause that runs", "r1/n00-01/7/pause/1", OP_RUNNING, OUTCOME_NONE, CAUSE_CRASH, true, false, false },
    { "one that it never saw", "r1/n00-01/7/pause/1", OP_NONE, OUTCOME_NONE, CAUSE_CRASH, false, false,
      false },
    { "done, of another run", "r9/n00-01/1/pause/1", OP_DONE, OUTCOME_OK, CAUSE_CRASH, false, true, false },
    { "runs, of another run", "r9/n00-01/1/pause/1", OP_RUNNING, OUTCOME_NONE, CAUSE_CRASH, true, false,
      false },
    { "of another node", "r1/other/1/pause/1", OP_DONE, OUTCOME_OK, CAUSE_CRASH, true, false, false },
    { "of no known action", "r1/n00-01/1/dance/1", OP_DONE, OUTCOME_OK, CAUSE_CRASH, true, false, false },
    { "a word", "nonsense", OP_DONE, OUTCOME_OK, CAUSE_CRASH, false, false, false },
    { "a setting, done", "r1/n00-01/1/cluster_setting/9", OP_DONE, OUTCOME_OK, CAUSE_CRASH, false, true,
      false },
    { "a setting under way", "r1/n00-01/1/cluster_setting/9", OP_RUNNING, OUTCOME_NONE, CAUSE_CRASH, false,
      false, false },
    { "a VM shut down", "r1/n00-01/1/park_vm:" VM "/9", OP_DONE, OUTCOME_OK, CAUSE_SHUT_DOWN, true, false,
      true },
    { "a VM saved", "r1/n00-01/1/park_vm:" VM "/9", OP_DONE, OUTCOME_OK, CAUSE_SAVED, true, false, true },
    { "a VM parked untold", "r1/n00-01/1/park_vm:" VM "/9", OP_DONE, OUTCOME_OK, CAUSE_CRASH, true, false,
      true },
    { "parking failed", "r1/n00-01/1/park_vm:" VM "/9", OP_DONE, OUTCOME_FAILED, CAUSE_CRASH, true, false,
      false },
    { "parking runs", "r1/n00-01/1/park_vm:" VM "/9", OP_RUNNING, OUTCOME_NONE, CAUSE_CRASH, true, false,
      false },
    { "a VM that is back", "r1/n00-01/1/unpark_vm:" VM "/9", OP_DONE, OUTCOME_OK, CAUSE_SHUT_DOWN, true,
      false, false },
    { "a VM that nobody knows", "r1/n00-01/1/park_vm:00000000-0000-4000-8000-0000000000ff/9", OP_DONE,
      OUTCOME_OK, CAUSE_SHUT_DOWN, true, false, false },
    { "moved", "r1/n00-01/1/move_vm:" VM "/9", OP_DONE, OUTCOME_OK, CAUSE_BLACKOUT, true, false, false },
};

static void claim_of(struct scenario *s, const struct op_record *recs, uint32_t n)
{
    struct event ev = { .type = EV_NODE_CLAIMED, .node = scenario_first(s), .cluster = IX_NONE };

    ev.u.claimed.machine_id = scenario_first_id(s);
    ev.u.claimed.boot_id = "boot";
    ev.u.claimed.ops = recs;
    ev.u.claimed.n_ops = n;
    check_ok(scenario_event(s, &ev), &s->err);
}

/* Of the op under way the claim tells, or it does not and is asked; what else it tells changes nothing about that. */
static void test_claim_during_an_op(void **state)
{
    char op[128];
    struct scenario *s = installing(op);
    struct op_record recs[] = { { .op = "r1/n00-01/1/pause/1",
                                  .action = "pause",
                                  .state = OP_DONE,
                                  .outcome = OUTCOME_OK,
                                  .boot_id = "b" },
                                { .op = op, .action = "install", .state = OP_RUNNING, .boot_id = "b" } };

    (void)state;
    assert_string_equal(scenario_first_id(s), "n00-01");
    claim_of(s, recs, 2);
    assert_false(commands_it(s, "op_probe", op));
    claim_of(s, recs, 1);
    assert_true(commands_it(s, "op_probe", op));
    scenario_free(s);
}

static void claim_with(struct scenario *s, const struct foreign *f)
{
    struct down_row down = { DOWN_VM, VM, f->cause, START_MS + 1000, START_MS + 2000, "seen" };
    struct op_record rec = { .op = f->op,
                             .action = "?",
                             .state = f->state,
                             .outcome = f->outcome,
                             .boot_id = "b",
                             .rows = &down,
                             .n_rows = f->cause == CAUSE_CRASH ? 0 : 1 };

    assert_string_equal(scenario_first_id(s), "n00-01");
    claim_of(s, &rec, 1);
}

static void check_foreign(struct scenario *s, const struct foreign *f)
{
    bool unknown = engine_node(s->engine, scenario_first(s)).unknown;
    uint32_t vm = fleet_vm_by_id(engine_fleet(s->engine), VM);
    bool parked = engine_fleet(s->engine)->vms.items[vm].parked;

    if (unknown != f->unknown || commands_it(s, "op_ack", f->op) != f->acked || parked != f->parked)
        fail_msg("%s: %s%s, %s", f->name, unknown ? "unknown" : "known", parked ? ", parked" : "",
                 scenario_commanded(s));
}

static void test_foreign(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(foreigners); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);

        scenario_start(s);
        claim_with(s, &foreigners[i]);
        check_foreign(s, &foreigners[i]);
        scenario_replays(s);
        scenario_free(s);
    }
}

static int say_decide(struct scenario *s, enum op_witness decision)
{
    return scenario_decide(s, scenario_first(s), decision);
}

static void decide(struct scenario *s, enum op_witness decision)
{
    check_ok(say_decide(s, decision), &s->err);
}

/* What is at work is decided by nobody. */
static void check_refused(struct scenario *s, const char *sentence)
{
    assert_int_equal(say_decide(s, WITNESS_SAYS_DONE), ERR_STATE);
    assert_string_equal(s->err.text, sentence);
    assert_true(engine_node(s->engine, scenario_first(s)).unknown);
    s->err = (struct err){ 0 };
}

/* Of a node that has its end: a like op of another run is no op of ours, however often ours did the same; the node says what
 * it is, and goes on saying so when a person has decided. */
static void test_foreign_after_the_end(void **state)
{
    static const struct foreign runs = { "runs, of another run, as ours did",
                                         "r9/n00-01/1/pause/1",
                                         OP_RUNNING,
                                         OUTCOME_NONE,
                                         CAUSE_CRASH,
                                         true,
                                         false,
                                         false },
                                failed = { "",          "r9/n00-01/1/pause/1",
                                           OP_DONE,     OUTCOME_FAILED,
                                           CAUSE_CRASH, true,
                                           true,        false };
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);

    (void)state;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_ENDED);
    check_end(s, scenario_first_id(s), NODE_DONE);
    claim_with(s, &runs);
    check_foreign(s, &runs);
    check_end(s, scenario_first_id(s), NODE_STUCK);
    check_refused(s, "r9/n00-01/1/pause/1 still runs, says the node itself: wait for it, or end it there");
    claim_with(s, &failed);
    decide(s, WITNESS_SAYS_NOT_DONE);
    assert_false(scenario_node(s, scenario_first_id(s)).unknown);
    assert_non_null(strstr(scenario_node(s, scenario_first_id(s)).reason, "is not in this log"));
    scenario_free(s);
}

/* Put back it is in service like any other: nothing waits for it, and all the others have their turn. */
static void check_others_done(struct scenario *s)
{
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), s->plan->n_nodes - 1);
}

/* A removal by another log: the node that was done lacks the patch, and put back it is no longer done (I17). */
static void test_foreign_removal(void **state)
{
    static const struct foreign removed = {
        "a removal", "r1/n00-01/7/uninstall/1", OP_DONE, OUTCOME_OK, CAUSE_CRASH, true, false, false
    };
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);

    (void)state;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_ENDED);
    check_end(s, scenario_first_id(s), NODE_DONE);
    claim_with(s, &removed);
    check_end(s, scenario_first_id(s), NODE_STUCK);
    check_ok(scenario_verb(s, VERB_RETURN, scenario_first_id(s)), &s->err);
    scenario_run(s);
    check_end(s, scenario_first_id(s), NODE_RETURNED);
    check_others_done(s);
    scenario_free(s);
}

/* Removed by another log and installed anew: nobody here has verified that, and put back it is not done (I17). */
static void test_foreign_installation_anew(void **state)
{
    struct op_record recs[] = {
        { .op = "r1/n00-01/7/uninstall/1", .action = "uninstall", .state = OP_DONE, .outcome = OUTCOME_OK },
        { .op = "r1/n00-01/8/install/1", .action = "install", .state = OP_DONE, .outcome = OUTCOME_OK },
    };
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);

    (void)state;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_ENDED);
    check_end(s, scenario_first_id(s), NODE_DONE);
    recs[0].boot_id = recs[1].boot_id = "b";
    claim_of(s, recs, 2);
    check_end(s, scenario_first_id(s), NODE_STUCK);
    check_ok(scenario_verb(s, VERB_RETURN, scenario_first_id(s)), &s->err);
    scenario_run(s);
    check_end(s, scenario_first_id(s), NODE_SET_ASIDE);
    scenario_free(s);
}

/* A person has decided: what else that log had done is acknowledged, and is no new doubt. */
static void test_foreign_settled(void **state)
{
    static const struct foreign
        before = { "", "r1/n00-01/7/pause/1", OP_DONE, OUTCOME_FAILED, CAUSE_CRASH, true, false, false },
        after = { "", "r1/n00-01/7/move_groups/1", OP_DONE, OUTCOME_OK, CAUSE_CRASH, false, true, false };
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);

    (void)state;
    scenario_start(s);
    claim_with(s, &before);
    check_foreign(s, &before);
    decide(s, WITNESS_SAYS_NOT_DONE);
    claim_with(s, &after);
    check_foreign(s, &after);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_end(s, scenario_first_id(s), NODE_DONE);
    scenario_truth(s);
    scenario_free(s);
}

/* Closed by force it names what is still to be put back: a node that was stuck long before, and a VM that is down (I9, I29). */
static void test_force_names_what_was_stuck(void **state)
{
    static const struct foreign parked = {
        "", "r1/n00-01/1/park_vm:" VM "/9", OP_DONE, OUTCOME_OK, CAUSE_SHUT_DOWN, true, false, true
    };
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);

    (void)state;
    scenario_start(s);
    claim_with(s, &parked);
    decide(s, WITNESS_SAYS_DONE);
    check_end(s, scenario_first_id(s), NODE_STUCK);
    check_ok(scenario_verb(s, VERB_ABORT_FORCE, NULL), &s->err);
    check_run(s, RUN_ABORTED);
    assert_string_equal(engine_run(s->engine).end_text,
                        "closed by force by tester; not put back: n00-01 VM " VM " (n00-01)");
    scenario_replays(s);
    scenario_free(s);
}

/* Downtime stands under whom it hit: a VM, the node, its service (O35). */
static void test_whom_downtime_hit(void **state)
{
    char op[128];
    struct scenario *s = installing(op);
    const struct down_row down[] = {
        { DOWN_VM, VM, CAUSE_SAVED, s->now - 7 * MINUTE_MS, s->now - MINUTE_MS, "seen" },
        { DOWN_NODE, scenario_first_id(s), CAUSE_CRASH, s->now - 5 * MINUTE_MS, s->now, "seen" },
        { DOWN_VMMS, scenario_first_id(s), CAUSE_VMMS_STOPPED, s->now - 3 * MINUTE_MS, s->now, "seen" },
    };
    struct event ev = { .type = EV_OP_RESULT, .node = scenario_first(s), .cluster = IX_NONE };

    (void)state;
    ev.u.op_result.record = (struct op_record){ .op = op,
                                                .action = "install",
                                                .state = OP_DONE,
                                                .outcome = OUTCOME_OK,
                                                .boot_id = "b",
                                                .accepted = s->now,
                                                .started = s->now,
                                                .ended = s->now,
                                                .rows = down,
                                                .n_rows = TABLE_LEN(down) };
    check_ok(scenario_event(s, &ev), &s->err);
    for (unsigned i = 0; i < TABLE_LEN(down); i++) {
        struct ledger_ask ask = { (int)down[i].subject, (int)down[i].cause, scenario_first(s), IX_NONE,
                                  down[i].id };

        assert_int_equal(ledger_sum(engine_ledger(s->engine), &ask, s->now), down[i].end - down[i].start);
    }
    scenario_replays(s);
    scenario_free(s);
}

/* It rests, and what was under way on nodes ends all the same. */
static void until_nothing_is_open(struct scenario *s)
{
    while (engine_ops_open(s->engine) > 0) {
        s->runner.ended = false;
        assert_true(scenario_step(s));
    }
}

/* Another log went on with the node, and somebody has looked. What it is like is not what this log's phase says: its disks
 * may be in service again. Nothing goes on from there, least of all a reboot: what was installed is verified, what was not
 * comes home and has its turn again (O3; seed 10619 of the runs with real processes). */
static void test_led_by_another(void **state)
{
    static const struct {
        enum node_phase at;
        struct foreign op;
        enum node_phase then;
        enum node_end end;
        uint32_t reboots;
    } leads[] = {
#define BY(op) { "", "r1/n00-01/1/" op "/1", OP_DONE, OUTCOME_OK, CAUSE_CRASH, true, false, false }
        { NODE_DRAINING, BY("move_groups"), NODE_STARTING_VMMS, NODE_DONE, 1 },
        { NODE_STOPPING_VMMS, BY("storage_in"), NODE_STARTING_VMMS, NODE_DONE, 1 },
        { NODE_STOPPING_VMMS, BY("install"), NODE_VERIFYING, NODE_SET_ASIDE,
          0 }, /* so it said; it is not there */
        { NODE_INSTALLING, BY("storage_in"), NODE_VERIFYING, NODE_DONE, 1 },
        { NODE_INSTALLING, BY("resume"), NODE_VERIFYING, NODE_SET_ASIDE,
          0 }, /* in service: not drained unproved */
        { NODE_REBOOTING, BY("storage_in"), NODE_VERIFYING, NODE_DONE, 1 },
        { NODE_VERIFYING, BY("storage_in"), NODE_STARTING_VMMS, NODE_DONE, 1 },
        { NODE_RESUMING, BY("storage_out"), NODE_STARTING_VMMS, NODE_DONE, 1 },
        { NODE_RESUMING, BY("uninstall"), NODE_STARTING_VMMS, NODE_SET_ASIDE, 1 },
#undef BY
    };
    struct event ev = { .type = EV_VERB, .cluster = IX_NONE };

    (void)state;
    ev.u.verb.verb = VERB_DECIDE;
    ev.u.verb.person = "anna";
    ev.u.verb.decision = WITNESS_SAYS_DONE;
    for (unsigned i = 0; i < TABLE_LEN(leads); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);

        ev.node = scenario_first(s);
        scenario_start(s);
        scenario_until(s, scenario_first_id(s), leads[i].at);
        claim_with(s, &leads[i].op);
        scenario_run(s); /* it waits for somebody; what was under way there ends */
        check_run(s, RUN_HOLDING);
        until_nothing_is_open(s);
        if (scenario_event(s, &ev) != 0)
            fail_msg("%s: %s: %s\n%s", node_phases[leads[i].at].name, leads[i].op.op, s->err.text,
                     buf_text(&s->notes));
        if (scenario_node(s, scenario_first_id(s)).phase != leads[i].then)
            fail_msg("%s, then %s: %s", node_phases[leads[i].at].name, leads[i].op.op,
                     node_phases[scenario_node(s, scenario_first_id(s)).phase].name);
        assert_null(strstr(scenario_commanded(s), "\"action\":\"reboot\""));
        scenario_run(s);
        if (scenario_node(s, scenario_first_id(s)).end != leads[i].end ||
            backend_plan_effects(s->world, scenario_first(s), "reboot") != leads[i].reboots)
            fail_msg("%s, then %s: %s (%s), %u reboots\n%s", node_phases[leads[i].at].name, leads[i].op.op,
                     node_end_names[scenario_node(s, scenario_first_id(s)).end],
                     scenario_node(s, scenario_first_id(s)).reason,
                     backend_plan_effects(s->world, scenario_first(s), "reboot"), buf_text(&s->notes));
        scenario_replays(s);
        scenario_free(s);
    }
}

/* What another log does is done, and the node's journal tells it when it is claimed anew. */
static void led_by_another(struct scenario *s, const char *const *steps)
{
    char op[128];

    for (; *steps != NULL; steps++) {
        snprintf(op, sizeof op, "r1/%s/%s/1", scenario_first_id(s), *steps);
        backend_plan_by_another(s->world, scenario_first(s), op);
    }
    backend_plan_cut(s->world, scenario_first(s), s->now + MINUTE_MS);
    scenario_until_unknown(s, scenario_first_id(s));
}

/* What this log had out the overtaken one has put back in service, and an administrator has paused it since. Nobody ends that
 * pause but who began it: the node is named with it. After a takeover it counts as out: journals may have been lost (O7, I29); and so
 * it does with a VM down that cannot come up under that pause (I9). */
static void paused_by_others_since(enum node_phase at, bool takeover, bool parked)
{
    static const char *const steps[] = { "1/park_vm:" VM, "1/start_vmms", "1/storage_in", "1/resume", NULL };
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    uint32_t resumed;

    scenario_start(s);
    scenario_until(s, scenario_first_id(s), at);
    led_by_another(s, steps + (parked ? 0 : at == NODE_RESUMING ? 3 : 1));
    if (takeover)
        scenario_takeover(s);
    backend_plan_by_another(s->world, scenario_first(s), "r9/n00-01/1/pause/1");
    resumed = backend_plan_effects(s->world, scenario_first(s), "resume");
    scenario_run(s);
    until_nothing_is_open(s);
    decide(s, WITNESS_SAYS_DONE);
    scenario_run(s);
    if (backend_plan_effects(s->world, scenario_first(s), "resume") != resumed)
        fail_msg("%s: resumed by us", node_phases[at].name);
    assert_false(backend_plan_in_service(s->world, scenario_first(s)));
    check_end(s, scenario_first_id(s), takeover || parked ? NODE_STUCK : NODE_SET_ASIDE);
    assert_non_null(strstr(scenario_node(s, scenario_first_id(s)).reason, "O7: paused by somebody else"));
    scenario_replays(s);
    scenario_free(s);
}

static void test_paused_by_others_since(void **state)
{
    static const enum node_phase at[] = { NODE_STOPPING_VMMS, NODE_INSTALLING, NODE_RESUMING };

    (void)state;
    for (unsigned i = 0; i < 2 * TABLE_LEN(at); i++)
        paused_by_others_since(at[i / 2], i % 2 == 1, false);
    paused_by_others_since(NODE_STOPPING_VMMS, false, true);
}

/* It said that it runs, and has not been heard of since, or not by this controller: a person's word is all there is. */
static void test_nobody_there_to_say_that_it_runs(void **state)
{
    static const struct foreign runs = {
        "", "r1/n00-01/7/install/1", OP_RUNNING, OUTCOME_NONE, CAUSE_CRASH, true, false, false
    };

    (void)state;
    for (int anew = 0; anew < 2; anew++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        struct event lost = { .type = EV_NODE_LOST, .node = scenario_first(s), .cluster = IX_NONE };

        scenario_start(s);
        scenario_until(s, scenario_first_id(s), NODE_STAGING);
        claim_with(s, &runs);
        check_ok(scenario_event(s, &lost), &s->err);
        check_refused(s,
                      "r1/n00-01/7/install/1 still runs, says the node itself: wait for it, or end it there");
        if (anew == 1)
            scenario_crash(s);
        else
            s->now += s->plan->rollout->policy.unreachable_ms;
        decide(s, WITNESS_SAYS_DONE);
        check_end(s, scenario_first_id(s), NODE_STUCK);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* It ran when the node was first asked, and came to nothing: the node is where it was, and has its turn. */
static void test_a_pause_that_came_to_nothing(void **state)
{
    static const struct foreign
        runs = { "", "r1/n00-01/7/pause/1", OP_RUNNING, OUTCOME_NONE, CAUSE_CRASH, true, false, false },
        failed = { "", "r1/n00-01/7/pause/1", OP_DONE, OUTCOME_FAILED, CAUSE_CRASH, true, false, false };
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);

    (void)state;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_STAGING);
    claim_with(s, &runs);
    claim_with(s, &failed);
    decide(s, WITNESS_SAYS_DONE);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_end(s, scenario_first_id(s), NODE_DONE);
    scenario_replays(s);
    scenario_free(s);
}

/* The overtaken log had acknowledged its own pause: the node tells of the install only, and that is a step of a node that is out.
 * Once it has ended, and somebody has looked, the node is resumed. */
static void test_out_by_a_step_of_another(void **state)
{
    static const struct foreign
        runs = { "", "r1/n00-01/7/install/1", OP_RUNNING, OUTCOME_NONE, CAUSE_CRASH, true, false, false },
        ended = { "", "r1/n00-01/7/install/1", OP_DONE, OUTCOME_FAILED, CAUSE_CRASH, true, false, false };
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    time_ms asked;

    (void)state;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_STAGING);
    claim_with(s, &runs);
    for (asked = s->now; strstr(scenario_commanded(s), "\"type\":\"claim\"") == NULL;) {
        check_refused(s,
                      "r1/n00-01/7/install/1 still runs, says the node itself: wait for it, or end it there");
        assert_true(scenario_step(s)); /* it is asked again how that is */
    }
    assert_true(s->now > asked);
    claim_with(s, &ended);
    decide(s, WITNESS_SAYS_DONE);
    check_end(s, scenario_first_id(s), NODE_STUCK);
    check_ok(scenario_verb(s, VERB_RETURN, scenario_first_id(s)), &s->err);
    scenario_run(s);
    check_end(s, scenario_first_id(s), NODE_SET_ASIDE);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "resume"), 1);
    scenario_replays(s);
    scenario_free(s);
}

static enum op_outcome resume_comes_to; /* as claims tell after the decision */

static void tells_of_the_resume(struct scenario *s, struct plan_answer *a)
{
    static struct op_record rec;

    if (a->ev->type != EV_NODE_CLAIMED || a->node != scenario_first(s))
        return;
    rec = (struct op_record){ .op = "r1/n00-01/1/resume/1",
                              .action = "resume",
                              .state = OP_DONE,
                              .outcome = resume_comes_to,
                              .boot_id = "b" };
    a->ev->u.claimed.ops = &rec;
    a->ev->u.claimed.n_ops = 1;
}

/* Its resume was in doubt when somebody looked. It came to nothing: the pause is ours to end, as before. It came to pass, and the
 * node is paused all the same: by others (O7). And what may be in service is not rebooted without a proof (I2). */
static void test_a_resume_in_doubt(void **state)
{
    static const struct foreign doubt = {
        "", "r1/n00-01/1/resume/1", OP_UNKNOWN, OUTCOME_NONE, CAUSE_CRASH, true, false, false
    };
    static const struct {
        enum node_phase at;
        enum op_outcome outcome;
        enum node_end end;
        uint32_t resumes, reboots;
    } ends[] = { { NODE_STOPPING_VMMS, OUTCOME_FAILED, NODE_DONE, 2, 1 },
                 { NODE_STOPPING_VMMS, OUTCOME_OK, NODE_SET_ASIDE, 0, 0 },
                 { NODE_INSTALLING, OUTCOME_FAILED, NODE_SET_ASIDE, 1, 0 } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(ends); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);

        scenario_start(s);
        scenario_until(s, scenario_first_id(s), ends[i].at);
        claim_with(s, &doubt);
        scenario_run(s);
        until_nothing_is_open(s);
        resume_comes_to = ends[i].outcome;
        s->meddle = tells_of_the_resume;
        decide(s, WITNESS_SAYS_DONE);
        scenario_run(s);
        if (scenario_node(s, scenario_first_id(s)).end != ends[i].end ||
            backend_plan_effects(s->world, scenario_first(s), "resume") != ends[i].resumes ||
            backend_plan_effects(s->world, scenario_first(s), "reboot") != ends[i].reboots)
            fail_msg("row %u: %s (%s), %u resumes, %u reboots", i,
                     node_end_names[scenario_node(s, scenario_first_id(s)).end],
                     scenario_node(s, scenario_first_id(s)).reason,
                     backend_plan_effects(s->world, scenario_first(s), "resume"),
                     backend_plan_effects(s->world, scenario_first(s), "reboot"));
        assert_int_equal(backend_plan_in_service(s->world, scenario_first(s)), ends[i].resumes > 0);
        scenario_replays(s);
        scenario_free(s);
    }
}

static const char *in_doubt;

/* Its witness refuted it, and the journal has no word for that: each claim tells it as unknown till it is acknowledged. */
static void tells_of_the_doubt(struct scenario *s, struct plan_answer *a)
{
    static struct op_record rec;

    if (a->ev->type != EV_NODE_CLAIMED || a->node != scenario_first(s))
        return;
    rec = (struct op_record){ .op = in_doubt, .action = "?", .state = OP_UNKNOWN, .boot_id = "b" };
    a->ev->u.claimed.ops = &rec;
    a->ev->u.claimed.n_ops = 1;
}

static void witness_of_the_doubt(struct scenario *s, enum op_witness says)
{
    struct event ev = { .type = EV_OP_RESULT, .node = scenario_first(s), .cluster = IX_NONE };

    ev.at = s->now;
    ev.u.op_result.record = (struct op_record){
        .op = in_doubt, .action = "?", .state = OP_UNKNOWN, .witness = says, .boot_id = "b", .started = s->now
    };
    check_ok(scenario_event(s, &ev), &s->err);
}

/* What another log began is in doubt, and a person decides it, though not while its witness says that it runs: then nobody waits
 * for its end any more, the node has its turn, or comes home as what it is. */
static void test_a_doubt_that_was_decided(void **state)
{
    static const struct {
        enum node_phase at;
        const char *op;
        enum node_end end;
        const char *reason;
    } doubts[] = { { NODE_STOPPING_VMMS, "r1/n00-01/7/install/1", NODE_SET_ASIDE,
                     "verify: the package is not there" },
                   { NODE_STAGING, "r1/n00-01/7/pause/1", NODE_DONE, "" },
                   { NODE_STAGING, "r1/n00-01/7/install/1", NODE_DONE, "" } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(doubts); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        struct foreign doubt = {
            "", doubts[i].op, OP_UNKNOWN, OUTCOME_NONE, CAUSE_CRASH, true, false, false
        };
        struct node_view v;

        in_doubt = doubts[i].op;
        scenario_start(s);
        scenario_until(s, scenario_first_id(s), doubts[i].at);
        s->meddle = tells_of_the_doubt;
        claim_with(s, &doubt);
        scenario_run(s);
        until_nothing_is_open(s);
        witness_of_the_doubt(s, WITNESS_SAYS_RUNNING);
        assert_int_equal(say_decide(s, WITNESS_SAYS_NOT_DONE), ERR_STATE);
        assert_non_null(strstr(s->err.text, "still runs"));
        claim_with(s, &doubt);
        witness_of_the_doubt(s, WITNESS_SAYS_NOT_DONE);
        check_ok(say_decide(s, WITNESS_SAYS_NOT_DONE), &s->err);
        assert_true(commands_it(s, "op_ack", doubts[i].op));
        s->meddle = NULL; /* acknowledged, it is told no more */
        scenario_goes_on(s);
        v = scenario_node(s, scenario_first_id(s));
        if (v.end != doubts[i].end || strstr(v.reason, doubts[i].reason) == NULL)
            fail_msg("row %u: %s (%s)", i, node_end_names[v.end], v.reason);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* The overtaken log had led the node home in the life that this one has of it, or had not begun yet, and out again in its
 * next. Its operations are in the node's journal: under their ids nothing more is done, whoever asks. This log's own way home,
 * and its own life, have numbers that are nobody else's. */
static void test_ids_of_the_overtaken_log(void **state)
{
#define HOME "1/start_vmms", "1/storage_in", "1/resume"
    static const struct {
        enum node_phase at;
        bool put_back;
        const char *steps[8];
        enum node_end end;
        const char *effect;
    } led[] = {
        { NODE_STOPPING_VMMS,
          false,
          { HOME, "2/pause", "2/storage_out", "2/stop_vmms" },
          NODE_DONE,
          "resume" },
        { NODE_PENDING, false, { "1/pause", HOME }, NODE_DONE, "pause" },
        { NODE_PENDING,
          true,
          { "2/pause", "2/start_vmms", "2/storage_in", "2/resume", "3/pause", "3/stop_vmms" },
          NODE_RETURNED,
          "resume" },
    };
#undef HOME

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(led); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        uint32_t before;

        scenario_start(s);
        if (led[i].at != NODE_PENDING)
            scenario_until(s, scenario_first_id(s), led[i].at);
        led_by_another(s, led[i].steps);
        before = backend_plan_effects(s->world, scenario_first(s), led[i].effect);
        scenario_run(s);
        until_nothing_is_open(s);
        decide(s, WITNESS_SAYS_DONE);
        if (led[i].put_back)
            check_ok(scenario_verb(s, VERB_RETURN, scenario_first_id(s)), &s->err);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        check_end(s, scenario_first_id(s), led[i].end);
        if (backend_plan_effects(s->world, scenario_first(s), led[i].effect) == before)
            fail_msg("row %u: no %s of its own", i, led[i].effect);
        assert_true(backend_plan_in_service(s->world, scenario_first(s)));
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* --- a move, and its receiver --- */

static uint32_t receiver_of(const struct scenario *s, const char *op)
{
    const struct plan_node *p = &s->plan->nodes[s->plan->waves[0].nodes[0]];
    struct op_id_parts parts;

    assert_int_equal(op_id_parse(op, &parts, NULL), 0);
    for (uint32_t i = 0; i < p->n_moves; i++)
        if (strcmp(s->plan->inv->vms[p->moves[i].vm].id, parts.subject) == 0)
            return p->moves[i].to;
    fail_msg("%s is not a move of the plan", op);
    return IX_NONE;
}

/* A move was sent, and nothing was heard of it; then its receiver is lost, or a controller has come in whose way to it is slow. */
static struct scenario *moving(char op[128], uint32_t *ret_receiver)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    struct event lost = { .type = EV_NODE_LOST, .cluster = IX_NONE };

    scenario_fault(s, NULL, "move_vm", NULL)->silent = true;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_DRAINING);
    while (engine_ops_open(s->engine) == 0 || strstr(engine_op_open(s->engine, 0).op, "/move_vm:") == NULL)
        assert_true(scenario_step(s));
    snprintf(op, 128, "%s", engine_op_open(s->engine, 0).op);
    *ret_receiver = lost.node = receiver_of(s, op);
    check_ok(scenario_event(s, &lost), &s->err);
    return s;
}

static void receiver_back(struct scenario *s, uint32_t receiver)
{
    struct event ev = { .type = EV_NODE_CLAIMED, .node = receiver, .cluster = IX_NONE };

    ev.u.claimed.machine_id = s->plan->inv->nodes[receiver].id;
    ev.u.claimed.boot_id = "boot";
    check_ok(scenario_event(s, &ev), &s->err);
}

/* As its claim, or its answer to what is then asked, says. */
static void node_has_it(struct scenario *s, const char *op, enum op_state state)
{
    struct op_record rec = { .op = op, .action = "move_vm", .state = state, .boot_id = "b" };

    claim_of(s, &rec, state == OP_NONE ? 0 : 1);
    if (state != OP_NONE)
        return;
    assert_true(commands_it(s, "op_probe", op));
    tell(s, op, (struct told){ OP_NONE, WITNESS_NOT_ASKED, 0 });
}

static void called_off(struct scenario *s, const char *op)
{
    struct event ev = { .type = EV_OP_RESULT, .node = scenario_first(s), .cluster = IX_NONE };

    ev.u.op_result.record = (struct op_record){ .op = op,
                                                .action = "move_vm",
                                                .state = OP_DONE,
                                                .outcome = OUTCOME_CANCELLED,
                                                .error_code = "cancelled",
                                                .error_text = "before it began",
                                                .boot_id = "b",
                                                .accepted = s->now };
    check_ok(scenario_event(s, &ev), &s->err);
}

/* The node never saw the move, or has it and waits for its order: it is not given before the receiver can say whether it takes the VM,
 * for that would be a refusal, and the move's end. */
static void test_receiver_not_yet_back(void **state)
{
    static const enum op_state told[] = { OP_NONE, OP_ACCEPTED };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(told); i++) {
        char op[128];
        uint32_t receiver;
        struct scenario *s = moving(op, &receiver);

        for (int k = 0; k < 3; k++) {
            node_has_it(s, op, told[i]);
            assert_false(commands_it(s, "op_start", op));
            assert_true(is_open(s, op));
        }
        receiver_back(s, receiver);
        node_has_it(s, op, told[i]);
        assert_true(commands_it(s, "op_start", op));
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        scenario_truth(s);
        scenario_free(s);
    }
}

/* A drain that waits for its receivers says for which (I28). */
static void test_waits_for_a_receiver(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    const struct plan_node *p = &s->plan->nodes[s->plan->waves[0].nodes[0]];

    (void)state;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_DRAINING);
    for (uint32_t i = 0; i < p->n_moves; i++)
        backend_plan_cut(s->world, p->moves[i].to, s->now + 2 * MINUTE_MS);
    while (strstr(scenario_node(s, scenario_first_id(s)).waits_for, "the connection to the receiver n00-0") ==
           NULL)
        assert_true(scenario_step(s));
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "move_vm"), 0);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_end(s, scenario_first_id(s), NODE_DONE);
    scenario_free(s);
}

/* A receiver that does not come back is out: the move comes too late, and the VM goes elsewhere, said as a deviation. */
static void test_receiver_never_back(void **state)
{
    static const enum op_state told[] = { OP_NONE, OP_ACCEPTED };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(told); i++) {
        char op[128];
        uint32_t receiver;
        struct scenario *s = moving(op, &receiver);
        struct event refused = { .type = EV_NODE_REFUSED, .node = receiver, .cluster = IX_NONE };

        refused.u.refused.code = ERR_HOSTKEY;
        refused.u.refused.text = "another key";
        check_ok(scenario_event(s, &refused), &s->err);
        s->now += 3 * MINUTE_MS;
        node_has_it(s, op, told[i]);
        assert_true(commands_it(s, "op_cancel", op)); /* there too, whatever may still be on its way */
        assert_int_equal(is_open(s, op),
                         told[i] == OP_ACCEPTED); /* till the node says that it is called off */
        if (told[i] == OP_ACCEPTED)
            called_off(s, op);
        assert_false(is_open(s, op));
        scenario_run(s);
        assert_non_null(strstr(buf_text(&s->notes), "the receiver cannot be reached"));
        assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "install"), 1);
        scenario_replays(s);
        scenario_free(s);
    }
}

static void clock_jumps(struct scenario *s, struct plan_answer *a)
{
    struct world_node *n = &s->world->nodes[a->node];

    for (uint32_t i = 0; a->action != NULL && strcmp(a->action, "install") == 0 && i < n->journal.n; i++)
        if (n->journal.items[i].action == ACT_INSTALL)
            n->journal.items[i].started -= DAY_MS;
}

static long long limit_of_install(const struct scenario *s, uint32_t entry)
{
    const char *at = strstr(s->kept.items[entry].commands, "\"action\":\"install\"");

    at = at == NULL ? NULL : strstr(at, "\"limit_ms\":");
    return at == NULL ? 0 : strtoll(at + strlen("\"limit_ms\":"), NULL, 10);
}

/* Each node's clock jumps by a day between beginning and end: that is not what an installation takes, and no other is waited for so long
 * (O17). */
static void test_a_clock_that_jumps_under_way(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    uint32_t installs = 0;

    (void)state;
    s->meddle = clock_jumps;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    for (uint32_t i = 0; i < s->kept.n; i++) {
        installs += limit_of_install(s, i) > 0;
        assert_true(limit_of_install(s, i) < DAY_MS);
    }
    assert_int_equal(installs, 4);
    scenario_replays(s);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_under_way),
                                        cmocka_unit_test(test_a_clock_that_jumps_under_way),
                                        cmocka_unit_test(test_never_takes_it),
                                        cmocka_unit_test(test_receiver_not_yet_back),
                                        cmocka_unit_test(test_receiver_never_back),
                                        cmocka_unit_test(test_waits_for_a_receiver),
                                        cmocka_unit_test(test_a_refutation_heard_twice),
                                        cmocka_unit_test(test_a_refuted_one_lost_on_its_way),
                                        cmocka_unit_test(test_foreign),
                                        cmocka_unit_test(test_claim_during_an_op),
                                        cmocka_unit_test(test_foreign_after_the_end),
                                        cmocka_unit_test(test_foreign_removal),
                                        cmocka_unit_test(test_foreign_installation_anew),
                                        cmocka_unit_test(test_foreign_settled),
                                        cmocka_unit_test(test_force_names_what_was_stuck),
                                        cmocka_unit_test(test_led_by_another),
                                        cmocka_unit_test(test_paused_by_others_since),
                                        cmocka_unit_test(test_nobody_there_to_say_that_it_runs),
                                        cmocka_unit_test(test_a_pause_that_came_to_nothing),
                                        cmocka_unit_test(test_out_by_a_step_of_another),
                                        cmocka_unit_test(test_a_resume_in_doubt),
                                        cmocka_unit_test(test_a_doubt_that_was_decided),
                                        cmocka_unit_test(test_ids_of_the_overtaken_log),
                                        cmocka_unit_test(test_whom_downtime_hit) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
