/* Another log went on with the run, and its controller acknowledged what it did: a claim alone tells of none of it. Whoever goes
 * on hears it all the same, or says that he cannot (I9, I29). */
#include "orchestrator/core/backend_plan_world.h"
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define BUDGET ",\"policy\":{\"failures_per_wave\":4,\"failures_per_run\":4}"
#define WAIVED ",\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"C1\"}]"

/* Done on the node by the other log, and closed there. */
static void by_another(struct scenario *s, const char *step)
{
    char op[128];
    struct command ack = { .type = CMD_OP_ACK, .node = scenario_first(s), .cluster = IX_NONE, .op = op };

    snprintf(op, sizeof op, "r1/%s/1/%s/1", scenario_first_id(s), step);
    backend_plan_by_another(s->world, scenario_first(s), op);
    backend_plan_backend(s->world)->submit(backend_plan_backend(s->world), &ack);
}

static void decide(struct scenario *s, uint32_t node, enum op_witness decision)
{
    check_ok(scenario_decide(s, node, decision), &s->err);
}

static void decide_done(struct scenario *s)
{
    decide(s, scenario_first(s), WITNESS_SAYS_DONE);
}

/* Whoever takes over dies before the node has told, and the next start is a plain one; or it had told before that. */
static void test_died_in_its_takeover(void **state)
{
    static const struct {
        bool dies, told;
    } rows[] = { { false, false }, { true, false }, { true, true } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        const char *id = scenario_first_id(s);

        scenario_start(s);
        by_another(s, "pause");
        scenario_takeover(s);
        assert_non_null(strstr(scenario_commanded(s), "\"journal\":true"));
        while (rows[i].told && !scenario_node(s, id).unknown)
            assert_true(scenario_step(s));
        if (rows[i].dies)
            scenario_crash(s);
        scenario_run(s);
        check_run(s, RUN_HOLDING);
        assert_true(scenario_node(s, id).unknown);
        decide_done(s);
        check_end(s, id, NODE_STUCK);
        check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        check_end(s, id, NODE_RETURNED);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* What is in the log of whoever took over is not asked for again. */
static void test_told_once(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);

    (void)state;
    scenario_start(s);
    assert_null(strstr(scenario_commanded(s), "\"journal\""));
    scenario_takeover(s);
    scenario_until(s, scenario_first_id(s), NODE_DRAINING);
    scenario_crash(s);
    assert_null(strstr(scenario_commanded(s), "\"journal\""));
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 4);
    scenario_free(s);
}

/* A copy goes on by a plain start, and the one node that knows better is not to be spoken to. The cluster says that it is paused, or
 * misses its disks: by whom nobody can tell, and it is reported, if it had ended here before too. In service it is set aside, as
 * ever. */
static void test_out_of_reach(void **state)
{
    static const struct {
        const char *step; /* of the log that went on */
        enum node_end end;
        bool ended; /* in this log, before that */
    } rows[] = { { NULL, NODE_SET_ASIDE, false },      { "pause", NODE_STUCK, false },
                 { "storage_out", NODE_STUCK, false }, { NULL, NODE_SET_ASIDE, true },
                 { "pause", NODE_STUCK, true },        { "storage_out", NODE_STUCK, true } };
    struct event refused = { .type = EV_NODE_REFUSED, .cluster = IX_NONE };
    struct fleet_words s2d = words;

    (void)state;
    s2d.s2d = true;
    refused.u.refused.code = ERR_HOSTKEY;
    refused.u.refused.text = "another key";
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = scenario_new(&s2d, "[1,\"100%\"]", BUDGET);
        const char *id = scenario_first_id(s);

        scenario_start(s);
        refused.node = scenario_first(s);
        if (rows[i].ended) {
            check_ok(scenario_event(s, &refused), &s->err);
            check_end(s, id, NODE_SET_ASIDE);
        }
        if (rows[i].step != NULL)
            by_another(s, rows[i].step);
        backend_plan_cut(s->world, scenario_first(s), TIME_NEVER);
        scenario_crash(s);
        check_ok(scenario_event(s, &refused), &s->err);
        scenario_run(s);
        check_end(s, id, rows[i].end);
        assert_int_equal(strstr(scenario_node(s, id).reason, "it may be out") != NULL,
                         rows[i].end == NODE_STUCK);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* A node has had its end here; the log that went on had it paused, and its journal is lost with its machine. No claim tells of that:
 * whoever takes over sees it in the cluster, and reports it when the run ends. In service it keeps the end that it had (I29). */
static void test_its_journal_is_lost(void **state)
{
    static const struct {
        bool paused;
        enum node_end end;
    } rows[] = { { true, NODE_STUCK }, { false, NODE_SET_ASIDE } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        const char *id = scenario_first_id(s);

        scenario_start(s);
        check_ok(scenario_verb(s, VERB_SET_ASIDE, id), &s->err);
        check_end(s, id, NODE_SET_ASIDE);
        if (rows[i].paused)
            by_another(s, "pause");
        s->world->nodes[scenario_first(s)].journal.n = 0;
        scenario_takeover(s);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        assert_int_equal(backend_plan_in_service(s->world, scenario_first(s)), !rows[i].paused);
        check_end(s, id, rows[i].end);
        assert_int_equal(strstr(scenario_node(s, id).reason, "it may be out") != NULL, rows[i].paused);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* A node has refused this log's controller: another one goes on. Started again, by a plain start too, it hears what that one did, or, from
 * a node whose journal is lost, sees it in the cluster (I29). */
static void test_refused_for_another_log(void **state)
{
    struct event refused = { .type = EV_NODE_REFUSED, .cluster = IX_NONE };

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        const char *id = scenario_first_id(s);
        bool lost = i % 2 == 1;

        refused.node = scenario_first(s);
        refused.u.refused.code = i < 2 ? ERR_STALE : ERR_FENCED;
        refused.u.refused.text = "another log goes on";
        scenario_start(s);
        check_ok(scenario_verb(s, VERB_SET_ASIDE, id), &s->err);
        by_another(s, "pause");
        if (lost)
            s->world->nodes[scenario_first(s)].journal.n = 0;
        check_ok(scenario_event(s, &refused), &s->err);
        scenario_crash(s);
        assert_non_null(strstr(scenario_commanded(s), "\"journal\":true"));
        scenario_run(s);
        assert_int_equal(scenario_node(s, id).unknown, !lost);
        check_run(s, lost ? RUN_FINISHED : RUN_HOLDING);
        check_end(s, id, NODE_STUCK);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* The first node's journal held no claim. */
static void is_blank(struct scenario *s, struct plan_answer *a)
{
    if (a->node == scenario_first(s) && a->ev->type == EV_NODE_CLAIMED)
        a->ev->u.claimed.blank = true;
}

/* The same on a copy that goes on by a plain start, and is refused by nobody. Paused by whom only a journal could tell: one that says
 * nothing of us shows that it was others (O7); one that was lost does not (I29). */
static void test_its_journal_is_blank(void **state)
{
    (void)state;
    for (int blank = 0; blank < 2; blank++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        const char *id = scenario_first_id(s);

        s->meddle = blank == 1 ? is_blank : NULL;
        scenario_start(s);
        by_another(s, "pause");
        s->world->nodes[scenario_first(s)].journal.n = 0;
        scenario_crash(s);
        scenario_run(s);
        check_end(s, id, blank == 1 ? NODE_STUCK : NODE_NOT_STARTED);
        assert_false(backend_plan_in_service(s->world, scenario_first(s)));
        scenario_replays(s);
        scenario_free(s);
    }
}

/* Two logs have gone on with a node that had settled here: one has taken the package out, and nobody has acknowledged that; the next put
 * the node back in service, and an administrator has paused it since. A claim tells last what nobody has acknowledged, whenever it was:
 * of the two lives the later counts, and nobody ends that pause (O7); the package is out all the same (I17). */
static void test_told_last_and_done_before(void **state)
{
    static const char *const ops[] = { "r1/n00-01/2/pause/1", "r1/n00-01/3/resume/1",
                                       "r1/n00-01/2/uninstall/1", "r9/n00-01/1/pause/1" };
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET WAIVED);
    uint32_t resumed;

    (void)state;
    assert_string_equal(scenario_first_id(s), "n00-01");
    scenario_start(s);
    scenario_until(s, "n00-01", NODE_SETTLING);
    for (unsigned i = 0; i < TABLE_LEN(ops); i++)
        backend_plan_by_another(s->world, scenario_first(s), ops[i]);
    scenario_takeover(s);
    resumed = backend_plan_effects(s->world, scenario_first(s), "resume");
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    decide_done(s);
    scenario_run(s);
    check_end(s, "n00-01", NODE_STUCK);
    assert_non_null(strstr(scenario_node(s, "n00-01").reason, "O7: paused by somebody else"));
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "resume"), resumed);
    s->runner.ended = false;
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
    scenario_run(s);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "uninstall"), 1);
    scenario_replays(s);
    scenario_free(s);
}

/* It went on with a node's way back, and somebody has looked: no removal is begun from where this log had it. The node comes home as it
 * was, patched, and the rollback says so; a removal that was made is proved (I17, O16). */
static void test_led_on_its_way_back(void **state)
{
    static const struct {
        enum node_phase at;
        const char *step; /* of the other log */
        enum node_end end;
        uint32_t uninstalls;
        enum run_state run;
    } rows[] = { { NODE_DRAINING, "move_groups", NODE_DONE, 0, RUN_HALTED },
                 { NODE_STOPPING_VMMS, "storage_in", NODE_DONE, 0, RUN_HALTED },
                 { NODE_VERIFYING, "storage_in", NODE_ROLLED_BACK, 1, RUN_ROLLED_BACK } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET WAIVED);
        const char *id = scenario_first_id(s);
        char op[64];

        scenario_start(s);
        scenario_until(s, id, NODE_ENDED);
        check_end(s, id, NODE_DONE);
        check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
        scenario_until(s, id, rows[i].at);
        snprintf(op, sizeof op, "r1/%s/9/%s/1", id, rows[i].step);
        backend_plan_by_another(s->world, scenario_first(s), op);
        backend_plan_cut(s->world, scenario_first(s), s->now + MINUTE_MS);
        scenario_until_unknown(s, id);
        decide_done(s);
        scenario_run(s);
        check_run(s, rows[i].run);
        check_end(s, id, rows[i].end);
        assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "uninstall"), rows[i].uninstalls);
        assert_int_equal(strstr(engine_run(s->engine).end_text, id) != NULL, rows[i].run == RUN_HALTED);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* The other log has taken the package out of a node that waits for its turn back here: there is nothing left to take out, and it is not
 * drained for that (I12). Nobody here has verified it; and if it may be out, it is stuck. */
static void test_removed_before_its_turn_back(void **state)
{
    static const struct {
        enum op_witness decision;
        enum node_end end;
    } rows[] = { { WITNESS_SAYS_NOT_DONE, NODE_SET_ASIDE }, { WITNESS_SAYS_DONE, NODE_STUCK } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s =
            scenario_new(&words, "[1,\"100%\"]", ",\"policy\":{\"rollback\":\"run\"}" WAIVED);
        const char *id = scenario_first_id(s); /* the last to go back */
        uint32_t first = scenario_first(s);
        char op[64];

        scenario_start(s);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
        scenario_until(s, id, NODE_STAGING);
        snprintf(op, sizeof op, "r1/%s/9/uninstall/1", id);
        backend_plan_by_another(s->world, first, op);
        backend_plan_cut(s->world, first, s->now + MINUTE_MS);
        scenario_until_unknown(s, id);
        decide(s, first, rows[i].decision);
        scenario_run(s);
        check_run(s, RUN_HALTED);
        check_end(s, id, rows[i].end);
        assert_non_null(strstr(engine_run(s->engine).end_text, id));
        assert_int_equal(backend_plan_effects(s->world, first, "pause"), 1); /* to be patched, once */
        assert_int_equal(backend_plan_effects(s->world, first, "uninstall"), 1);
        scenario_replays(s);
        scenario_free(s);
    }
}

static void removal_pending(struct scenario *s, struct plan_answer *a)
{
    if (a->node != scenario_first(s) || a->ev->type != EV_OBSERVED ||
        a->ev->u.observed.what != OBSERVE_VERIFY)
        return;
    a->ev->u.observed.verify.package = PACKAGE_UNINSTALL_PENDING;
    a->ev->u.observed.verify.pending = true;
}

/* The other log's removal waits for its boot when a rollback begins here: the node comes home, and is not drained for a removal that
 * it would refuse (I12). */
static void test_removal_that_is_pending(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET WAIVED);
    const char *id = scenario_first_id(s);
    uint32_t first = scenario_first(s);
    char op[64];

    (void)state;
    s->meddle = removal_pending;
    scenario_start(s);
    scenario_until(s, id, NODE_REBOOTING);
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
    snprintf(op, sizeof op, "r1/%s/9/uninstall/1", id);
    backend_plan_by_another(s->world, first, op);
    backend_plan_cut(s->world, first, s->now + MINUTE_MS);
    scenario_until_unknown(s, id);
    decide_done(s);
    scenario_run(s);
    check_run(s, RUN_ROLLED_BACK);
    check_end(s, id, NODE_SET_ASIDE);
    assert_non_null(strstr(scenario_node(s, id).reason, "its removal waits for a reboot"));
    assert_int_equal(backend_plan_effects(s->world, first, "pause"), 1); /* to be patched, once */
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* Closed by force before anybody has told what the overtaken log did: whoever may be out is in the list, and is put back by `return`.
 * What was installed there is told only then: nobody here has verified it, and a rollback does not end as if it were out (I17, O16). */
static void test_closed_before_anybody_has_told(void **state)
{
    static const char *const steps[] = { "pause", "install", "reboot" };

    (void)state;
    for (unsigned patched = 0; patched < 2; patched++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET WAIVED);
        const char *id = scenario_first_id(s);

        scenario_start(s);
        for (unsigned i = 0; i < (patched ? 3u : 1u); i++)
            by_another(s, steps[i]);
        scenario_takeover(s);
        check_ok(scenario_verb(s, VERB_ABORT_FORCE, NULL), &s->err);
        check_run(s, RUN_ABORTED);
        check_end(s, id, NODE_STUCK);
        assert_non_null(strstr(engine_run(s->engine).end_text, id));
        check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
        scenario_goes_on(s);
        check_end(s, id, patched ? NODE_SET_ASIDE : NODE_RETURNED);
        scenario_truth(s);
        s->runner.ended = false;
        check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
        scenario_run(s);
        check_run(s, patched ? RUN_HALTED
                             : RUN_ROLLED_BACK); /* the others may be out still: it cannot be drained */
        assert_int_equal(strstr(engine_run(s->engine).end_text, id) != NULL, patched);
        scenario_replays(s);
        scenario_free(s);
    }
}

static char evidence_id[128];

/* The first load that is moved back onto a patched node; then: nobody has a node tell of that operation. */
static void find_evidence(struct scenario *s, struct plan_answer *a)
{
    if (a->cause == CMD_OP_START && strcmp(a->action, "move_vm") == 0 && evidence_id[0] == '\0' &&
        engine_node(s->engine, a->node).phase != NODE_DRAINING)
        snprintf(evidence_id, sizeof evidence_id, "%s", a->ev->u.op_result.record.op);
}

static void told_as_done(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->ev->type == EV_OP_RESULT)
        assert_string_not_equal(a->ev->u.op_result.record.op, evidence_id);
}

/* The overtaken log has moved a load off a node, and the VM has come back since. The same load here has an id of its own: under that
 * one the node's journal would tell it as done, and nothing would be done (C.3, O15). */
static void test_a_load_has_an_id_of_its_own(void **state)
{
    (void)state;
    evidence_id[0] = '\0';
    for (int again = 0; again < 2; again++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        struct op_id_parts p;
        struct world_op *op;

        s->meddle = again ? told_as_done : find_evidence;
        scenario_start(s);
        if (again) {
            check_ok(op_id_parse(evidence_id, &p, &s->err), &s->err);
            backend_plan_by_another(s->world, node_ix(s, p.node), evidence_id);
            op = &s->world->nodes[node_ix(s, p.node)].journal.items[0];
            s->world->fleet.vms.items[op->vm].at = s->plan->inv->vms[op->vm].home; /* brought back */
            op->acked = true;
            scenario_takeover(s);
            while (!scenario_node(s, p.node).unknown)
                assert_true(scenario_step(s));
            decide(s, node_ix(s, p.node), WITNESS_SAYS_NOT_DONE);
        }
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        assert_int_equal(scenario_ended(s, NODE_DONE), 4);
        assert_true(evidence_id[0] != '\0');
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* The same of a cluster's setting, which the overtaken log has set and put back; or which is told while it is at work, and has come to
 * nothing a moment later. */
static void test_a_setting_has_an_id_of_its_own(void **state)
{
    (void)state;
    for (unsigned runs = 0; runs < 2; runs++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        uint32_t node = s->plan->inv->clusters[0].nodes[0], set = 0;
        char op[128];

        scenario_start(s);
        snprintf(op, sizeof op, "r1/%s/1/cluster_setting/1", s->plan->inv->nodes[node].id);
        set = *backend_plan_setting(s->world, 0, SETTING_BALANCER);
        backend_plan_by_another(s->world, node, op);
        *backend_plan_setting(s->world, 0, SETTING_BALANCER) = set;
        s->world->nodes[node].journal.items[0].outcome = OUTCOME_OK;
        s->world->nodes[node].journal.items[0].acked = !runs;
        if (runs)
            s->world->nodes[node].journal.items[0].state = OP_RUNNING;
        scenario_takeover(s);
        while (strstr(buf_text(&s->notes), "is not in this log") == NULL)
            assert_true(scenario_step(s));
        s->world->nodes[node].journal.items[0].state = OP_DONE;
        scenario_until(s, scenario_first_id(s), NODE_INSTALLING);
        assert_int_equal(*backend_plan_setting(s->world, 0, SETTING_BALANCER), 0);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        assert_int_equal(*backend_plan_setting(s->world, 0, SETTING_BALANCER), set);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* The other log has put the package in, in a life between two of this one, and a person has looked. Another revision takes over: it
 * knows of no installation, and the node's journal tells of it. It is no life of its own: the node is reported, and a rollback does
 * not end as if the package were out (I12, O16, I29). */
static void test_a_life_of_another_log_over_an_upgrade(void **state)
{
    struct scenario *s = scenario_new(
        &words, "[1,\"100%\"]",
        ",\"policy\":{\"failures_per_wave\":4,\"failures_per_run\":4,\"rollback\":\"run\"}" WAIVED);
    struct fault *f = scenario_fault(s, scenario_first_id(s), "install", "denied");
    const char *id = scenario_first_id(s);
    char op[64];

    (void)state;
    f->outcome = OUTCOME_REFUSED;
    scenario_start(s);
    scenario_until(s, id, NODE_ENDED);
    check_end(s, id, NODE_SET_ASIDE);
    snprintf(op, sizeof op, "r1/%s/2/install/1", id);
    backend_plan_by_another(s->world, scenario_first(s), op);
    backend_plan_cut(s->world, scenario_first(s), s->now + MINUTE_MS);
    scenario_until_unknown(s, id);
    decide_done(s);
    check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
    scenario_until(s, id, NODE_ENDED);
    check_end(s, id, NODE_SET_ASIDE);
    assert_int_equal(scenario_node(s, id).life, 3);
    scenario_upgrade(s);
    scenario_until_unknown(s, id);
    decide_done(s);
    check_end(s, id, NODE_STUCK);
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
    scenario_goes_on(s);
    check_run(s, RUN_HALTED);
    assert_non_null(strstr(engine_run(s->engine).end_text, id));
    scenario_replays(s);
    scenario_free(s);
}

/* A person has looked at what another log did, and this one goes on. Then it is a copy that takes over from where it was then, and
 * the log that it overtakes has had the node out once more: nobody has looked at that (I29). */
static void test_overtaken_once_more(void **state)
{
    (void)state;
    for (unsigned ended = 0; ended < 2; ended++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        const char *id = scenario_first_id(s);
        char op[64];

        scenario_start(s);
        snprintf(op, sizeof op, "r1/%s/4/move_groups/1", id);
        backend_plan_by_another(s->world, scenario_first(s), op);
        scenario_takeover(s);
        scenario_until_unknown(s, id);
        decide(s, scenario_first(s), WITNESS_SAYS_NOT_DONE);
        if (ended)
            scenario_until(s, id, NODE_ENDED);
        snprintf(op, sizeof op, "r1/%s/7/pause/1", id);
        backend_plan_by_another(s->world, scenario_first(s), op);
        scenario_takeover(s);
        scenario_until_unknown(s, id);
        decide_done(s);
        check_end(s, id, NODE_STUCK);
        check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        check_end(s, id, ended ? NODE_DONE : NODE_RETURNED);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* The run is over in the copy that takes over, and the other log had gone on with it: what it left out is found, and is put back
 * (I29). Nodes that are not there are not waited for without end (I27). */
static void test_over_here_and_gone_on_with(void **state)
{
    (void)state;
    for (unsigned away = 0; away < 2; away++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        const char *id = scenario_first_id(s);
        time_ms from;
        char op[64];

        scenario_start(s);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        snprintf(op, sizeof op, "r1/%s/2/pause/1", id);
        backend_plan_by_another(s->world, scenario_first(s), op);
        if (away)
            backend_plan_cut(s->world, scenario_first(s), TIME_NEVER);
        from = s->now;
        scenario_takeover(s);
        scenario_goes_on(s);
        check_end(s, id, away ? NODE_DONE : NODE_STUCK);
        assert_int_equal(strstr(buf_text(&s->notes), "not heard of since the takeover") != NULL, away);
        assert_int_equal(s->now - from >= 5 * MINUTE_MS, away);
        assert_true(s->now - from <= HOUR_MS);
        if (!away) {
            decide_done(s);
            check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
            scenario_goes_on(s);
            assert_true(backend_plan_in_service(s->world, scenario_first(s)));
        }
        scenario_replays(s);
        scenario_free(s);
    }
}

static bool (*owner_waits)(const struct scenario *s);

static void its_owner_pauses(struct scenario *s, struct plan_answer *a)
{
    if (!owner_waits(s) && scenario_is_picture(a))
        scenario_shows_first(s, a, SEEN_PAUSED);
}

static bool till_it_is_claimed(const struct scenario *s)
{
    return !scenario_node(s, scenario_first_id(s)).claimed;
}

static bool till_others_are_out(const struct scenario *s)
{
    return scenario_ended(s, NODE_DONE) < 2;
}

/* Over, and in service after a takeover by the first picture since: its owner pauses it before the run ends, and that is nobody's log.
 * Found paused by that picture it may be out (I29). */
static void test_its_owner_pauses_it(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        const char *id = scenario_first_id(s);
        bool since = i % 2 == 0;

        owner_waits = since ? till_others_are_out : till_it_is_claimed;
        scenario_start(s);
        scenario_until(s, id, NODE_ENDED);
        s->meddle = its_owner_pauses;
        if (i < 2)
            scenario_takeover(s);
        else
            scenario_upgrade(s);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        check_end(s, id, since ? NODE_DONE : NODE_STUCK);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* A node of a later wave that another log left out is put back, and is on its way when its wave begins: that does not pass before the
 * node has its end (I11). */
static void test_put_back_before_its_wave(void **state)
{
    struct scenario *s = scenario_new(&words, "[3,\"100%\"]", BUDGET);
    uint32_t it = s->plan->nodes[s->plan->waves[1].nodes[0]].node;
    uint32_t before = s->plan->nodes[s->plan->waves[0].nodes[2]].node;
    const char *id = s->plan->inv->nodes[it].id;
    char op[64];

    (void)state;
    scenario_start(s);
    scenario_until(s, s->plan->inv->nodes[before].id, NODE_SETTLING);
    snprintf(op, sizeof op, "r1/%s/1/pause/1", id);
    backend_plan_by_another(s->world, it, op);
    scenario_takeover(s);
    scenario_until_unknown(s, id);
    decide(s, it, WITNESS_SAYS_DONE);
    check_end(s, id, NODE_STUCK);
    check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
    assert_int_equal(engine_wave(s->engine, 1).state, WAVE_WAITING);
    while (engine_wave(s->engine, 1).state != WAVE_PASSED)
        assert_true(scenario_step(s));
    check_end(s, id, NODE_RETURNED);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* It was put back after the end, and another revision takes over on its way home: it comes home whatever another log has done to it
 * (I28). */
static void test_put_back_over_an_upgrade(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    struct fault *f = scenario_fault(s, scenario_first_id(s), "resume", "denied");
    const char *id = scenario_first_id(s);
    char op[64];

    (void)state;
    f->outcome = OUTCOME_REFUSED;
    f->times = 99;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_end(s, id, NODE_STUCK);
    f->times = 0;
    check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
    scenario_until(s, id, NODE_STORAGE_IN);
    snprintf(op, sizeof op, "r1/%s/7/move_groups/1", id);
    backend_plan_by_another(s->world, scenario_first(s), op);
    scenario_upgrade(s);
    scenario_goes_on(s);
    check_end(s, id, NODE_DONE);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* What another log did to a node whose turn has not come is a person's to decide: the run holds for that, and the program ends, when
 * nothing goes on any more, not in the middle of another one's installation (I28, I29). */
static void test_waits_for_what_goes_on(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    const struct plan_wave *last = &s->plan->waves[1];
    uint32_t it = s->plan->nodes[last->nodes[last->n_nodes - 1]].node;
    char op[128];

    (void)state;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_INSTALLING);
    snprintf(op, sizeof op, "r1/%s/1/pause/1", s->plan->inv->nodes[it].id);
    backend_plan_by_another(s->world, it, op);
    scenario_takeover(s);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_true(engine_node(s->engine, it).unknown);
    check_end(s, scenario_first_id(s), NODE_DONE);
    scenario_replays(s);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_died_in_its_takeover),
                                        cmocka_unit_test(test_told_once),
                                        cmocka_unit_test(test_waits_for_what_goes_on),
                                        cmocka_unit_test(test_out_of_reach),
                                        cmocka_unit_test(test_its_journal_is_lost),
                                        cmocka_unit_test(test_refused_for_another_log),
                                        cmocka_unit_test(test_told_last_and_done_before),
                                        cmocka_unit_test(test_its_journal_is_blank),
                                        cmocka_unit_test(test_led_on_its_way_back),
                                        cmocka_unit_test(test_removed_before_its_turn_back),
                                        cmocka_unit_test(test_removal_that_is_pending),
                                        cmocka_unit_test(test_closed_before_anybody_has_told),
                                        cmocka_unit_test(test_a_load_has_an_id_of_its_own),
                                        cmocka_unit_test(test_a_setting_has_an_id_of_its_own),
                                        cmocka_unit_test(test_a_life_of_another_log_over_an_upgrade),
                                        cmocka_unit_test(test_over_here_and_gone_on_with),
                                        cmocka_unit_test(test_its_owner_pauses_it),
                                        cmocka_unit_test(test_put_back_before_its_wave),
                                        cmocka_unit_test(test_put_back_over_an_upgrade),
                                        cmocka_unit_test(test_overtaken_once_more) };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("tests", tests, NULL, NULL);
}
