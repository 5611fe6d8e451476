/* What is decided is decided on a picture of now: one that came late, that was asked for before a node came into reach, or that
 * nobody has taken for hours decides nothing, and neither does a limit that ran while nobody could look. */
#include "orchestrator/core/backend_plan_world.h"
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>

static const struct fleet_words words = { .seed = 5,
                                          .clusters = 1,
                                          .nodes = 6,
                                          .vms = 2,
                                          .node_mib = 65536,
                                          .vm_mib_min = 2048,
                                          .vm_mib_max = 4096,
                                          .max_out = 2 };
#define BUDGET ",\"policy\":{\"failures_per_wave\":9,\"failures_per_run\":9}"
#define ALL "[\"100%\"]"

static struct scenario *begin(const char *waves, void (*meddle)(struct scenario *s, struct plan_answer *a))
{
    struct scenario *s = scenario_new(&words, waves, BUDGET);

    s->meddle = meddle;
    scenario_start(s);
    return s;
}

static uint32_t pictures(const struct scenario *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->kept.n; i++)
        n += strstr(s->kept.items[i].event, "\"what\":\"cluster\"") != NULL;
    return n;
}

static void another_picture(struct scenario *s)
{
    for (uint32_t n = pictures(s); pictures(s) == n;)
        assert_true(scenario_step(s));
}

static void ends_well(struct scenario *s, enum node_end want)
{
    scenario_run(s);
    check_end(s, scenario_first_id(s), want);
    scenario_replays(s);
    scenario_free(s);
}

/* The second of the plan goes out beside the third. */
static uint32_t second(const struct scenario *s)
{
    return s->plan->nodes[s->plan->waves[0].nodes[1]].node;
}

static uint32_t third(const struct scenario *s)
{
    return s->plan->nodes[s->plan->waves[0].nodes[2]].node;
}

/* Its `op` is NULL where it has none open. */
static struct op_view open_op(const struct scenario *s, uint32_t node)
{
    for (uint32_t i = 0; i < engine_ops_open(s->engine); i++)
        if (engine_op_open(s->engine, i).node == node)
            return engine_op_open(s->engine, i);
    return (struct op_view){ 0 };
}

/* Its pause is made, and nobody hears so for four minutes. Meanwhile the third waits for moves, and the cluster is looked at. */
static struct scenario *paused_unheard(void)
{
    struct scenario *s = begin(ALL, NULL);
    struct fault *f = scenario_fault(s, s->plan->inv->nodes[third(s)].id, "move_vm", "busy");

    f->outcome = OUTCOME_REFUSED;
    f->times = 8;
    scenario_until(s, s->plan->inv->nodes[second(s)].id, NODE_DRAINING);
    backend_plan_cut(s->world, second(s), s->now + 4 * MINUTE_MS);
    while (!s->world->nodes[second(s)].paused)
        assert_true(scenario_step(s));
    return s;
}

/* Past its time the cluster shows the node in service: others have ended that pause. One that is found when the node is back may be
 * theirs: nothing is drained by it, and nobody but a person ends it (O7). */
static void test_a_pause_ended_before_it_was_heard(void **state)
{
    (void)state;
    for (unsigned again = 0; again < 2; again++) {
        struct scenario *s = paused_unheard();
        uint32_t it = second(s);
        time_ms deadline = open_op(s, it).deadline;

        s->world->nodes[it].paused = false;
        while (s->now <= deadline)
            assert_true(scenario_step(s));
        another_picture(s);
        s->world->nodes[it].paused = again;
        while (open_op(s, it).op != NULL)
            assert_true(scenario_step(s));
        assert_false(engine_node(s->engine, it).out);
        scenario_run(s);
        assert_int_equal(backend_plan_effects(s->world, it, "resume"), !again);
        assert_int_equal(s->world->nodes[it].paused, again);
        check_end(s, s->plan->inv->nodes[it].id, again ? NODE_STUCK : NODE_DONE);
        if (!again)
            scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* Where nobody ended it, it is ours as ever, and the drain goes on. */
static void test_a_pause_heard_late(void **state)
{
    struct scenario *s = paused_unheard();

    (void)state;
    scenario_run(s);
    assert_int_equal(backend_plan_effects(s->world, second(s), "pause"), 1);
    assert_int_equal(backend_plan_effects(s->world, second(s), "resume"), 1);
    scenario_truth(s);
    ends_well(s, NODE_DONE);
}

/* All nodes come into reach in one millisecond, and the first is asked for the picture before the others are there: their VMs are
 * not in it, and no VM is moved by it. */
static void test_asked_in_the_millisecond_of_the_claims(void **state)
{
    struct scenario *s = begin(ALL, NULL);

    (void)state;
    scenario_until(s, scenario_first_id(s), NODE_DRAINING);
    scenario_crash(s);
    another_picture(s);
    while (open_op(s, scenario_first(s)).op != NULL)
        assert_true(scenario_step(s));
    assert_null(strstr(scenario_commanded(s), "\"action\":\"move_vm\""));
    another_picture(s);
    assert_non_null(strstr(scenario_commanded(s), "\"action\":\"move_vm\""));
    scenario_run(s);
    scenario_truth(s);
    ends_well(s, NODE_DONE);
}

static uint32_t held_back; /* pictures that came three minutes late */

static void late_once(struct scenario *s, struct plan_answer *a, bool now)
{
    (void)s;
    if (now && held_back == 0 && scenario_is_picture(a)) {
        a->late_ms = 3 * MINUTE_MS;
        held_back++;
    }
}

static void late_while_settling(struct scenario *s, struct plan_answer *a)
{
    late_once(s, a, engine_node(s->engine, scenario_first(s)).phase == NODE_SETTLING);
}

/* The answer waited in the socket of a controller that was stopped: nobody is done by it (I17). */
static void test_settled_on_a_late_picture(void **state)
{
    struct scenario *s = begin("[1,\"100%\"]", late_while_settling);
    time_ms came;

    (void)state;
    held_back = 0;
    scenario_until(s, scenario_first_id(s), NODE_SETTLING);
    another_picture(s);
    assert_int_equal(held_back, 1);
    came = s->now;
    scenario_until(s, scenario_first_id(s), NODE_ENDED);
    assert_true(s->now > came);
    scenario_run(s);
    scenario_truth(s);
    ends_well(s, NODE_DONE);
}

/* A VM has appeared on the node, and the picture that its drain is proved anew on comes late: another is asked for, that is no
 * refusal. */
static void found_a_vm(struct scenario *s, struct plan_answer *a)
{
    static struct empty_left vm = { .kind = "vm", .id = "7", .name = "newcomer" };

    if (a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_EMPTY && held_back == 0) {
        a->ev->u.observed.empty.empty = false;
        a->ev->u.observed.empty.left = &vm;
        a->ev->u.observed.empty.n_left = 1;
    }
    late_once(s, a,
              backend_plan_effects(s->world, scenario_first(s), "move_groups") > 0 &&
                  engine_node(s->engine, scenario_first(s)).phase == NODE_DRAINING);
}

static void test_proved_anew_on_a_late_picture(void **state)
{
    struct scenario *s = begin("[1,\"100%\"]", found_a_vm);

    (void)state;
    held_back = 0;
    scenario_run(s);
    assert_int_equal(held_back, 1);
    scenario_truth(s);
    ends_well(s, NODE_DONE);
}

static uint32_t boots(const struct scenario *s)
{
    return backend_plan_effects(s->world, second(s), "reboot");
}

static time_ms
    joins_at; /* the cluster has neither of them between a first boot, after which another is due, and then */

static void joins_late(struct scenario *s, struct plan_answer *a)
{
    if (a->cause != CMD_OBSERVE || boots(s) == 0)
        return;
    if (a->node == second(s) && a->ev->u.observed.what == OBSERVE_VERIFY && boots(s) == 1)
        a->ev->u.observed.verify.pending = true;
    for (uint32_t i = 0; scenario_is_picture(a) && a->at < joins_at && i < a->ev->u.observed.view.n_nodes;
         i++) {
        struct view_node *v = &((struct view_node *)(uintptr_t)a->ev->u.observed.view.nodes)[i];

        if (node_ix(s, v->id) == second(s) || node_ix(s, v->id) == third(s))
            v->state = SEEN_DOWN;
    }
}

/* The second is lost when its time is nearly over, and while the third settles the cluster is looked at: it is looked at once more
 * before it is set aside. */
static void test_joins_while_it_is_away(void **state)
{
    struct scenario *s = begin(ALL, joins_late);
    const char *id = s->plan->inv->nodes[second(s)].id;
    time_ms since;

    (void)state;
    joins_at = START_MS * 2;
    scenario_until(s, id, NODE_VERIFYING);
    scenario_until(s, id, NODE_DRAINING);
    since = s->now;
    joins_at = since + 22 * MINUTE_MS;
    while (s->now < since + 18 * MINUTE_MS)
        assert_true(scenario_step(s));
    backend_plan_cut(s->world, second(s), joins_at);
    scenario_run(s);
    assert_int_equal(boots(s), 2);
    scenario_truth(s);
    ends_well(s, NODE_DONE);
}

/* One clean sample, hours without a look, and another: what was between them nobody saw. The row of O21 begins anew. */
static void test_clean_before_and_after_a_silence(void **state)
{
    struct fleet_words s2d = words;
    struct scenario *s;
    time_ms from;

    (void)state;
    s2d.s2d = true;
    s2d.nodes = 5;
    s = scenario_new(&s2d, ALL, BUDGET);
    scenario_start(s);
    another_picture(s);
    s->now += 2 * HOUR_MS;
    s->world->now = s->now;
    scenario_crash(s);
    another_picture(s);
    from = s->now;
    scenario_until(s, scenario_first_id(s), NODE_DRAINING);
    assert_true(s->now >= from + 30 * SECOND_MS);
    scenario_run(s);
    scenario_truth(s);
    ends_well(s, NODE_DONE);
}

/* The pause is made, and its journal is lost: withdrawn with that in doubt, and stopped before anybody has looked, the node may be
 * out (I29). Once the cluster has been seen, it is known whether it is. */
static void test_stopped_with_a_pause_in_doubt(void **state)
{
    (void)state;
    for (unsigned looked = 0; looked < 2; looked++) {
        struct scenario *s = paused_unheard();
        uint32_t it = second(s);
        const char *id = s->plan->inv->nodes[it].id;

        s->world->nodes[it].journal.n = 0;
        s->world->nodes[it].paused = false; /* it has not reached the node yet */
        while (open_op(s, it).op != NULL)
            assert_true(scenario_step(s));
        s->world->nodes[it].paused = !looked;
        assert_non_null(strstr(buf_text(&s->notes), "the pause never reached the node"));
        for (unsigned i = 0; looked && i < 2; i++) /* the first may have been asked for before */
            another_picture(s);
        check_ok(scenario_verb(s, VERB_ABORT, NULL), &s->err);
        scenario_run(s);
        check_end(s, id, looked ? NODE_RETURNED : NODE_STUCK);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* A node that says itself that others have paused it receives nothing, whatever the last picture showed (I7, I11). */
static void test_found_paused_receives_nothing(void **state)
{
    struct scenario *s = scenario_new(&words, ALL, BUDGET);

    (void)state;
    scenario_fault(s, scenario_first_id(s), "pause", "found_paused")->outcome = OUTCOME_REFUSED;
    scenario_start(s);
    while (scenario_node(s, scenario_first_id(s)).end == NODE_END_NONE)
        assert_true(scenario_step(s));
    assert_false(fleet_receives(engine_fleet(s->engine), scenario_first(s)));
    another_picture(s); /* which shows it Up: they have ended that */
    assert_true(fleet_receives(engine_fleet(s->engine), scenario_first(s)));
    ends_well(s, NODE_SET_ASIDE);
}

/* The controller is stopped for hours, and goes on where it was. */
static void sleeps(struct scenario *s)
{
    s->now += 8 * HOUR_MS;
    s->world->now = s->now;
}

static time_ms repaired_at;

static void under_repair(struct scenario *s, struct plan_answer *a)
{
    static const struct view_job job = { "job1", JOB_REPAIR, true, 40 };

    (void)s;
    if (!scenario_is_picture(a) || a->at >= repaired_at)
        return;
    a->ev->u.observed.storage.jobs = &job;
    a->ev->u.observed.storage.n_jobs = 1;
}

/* Refused for a minute, and nobody there to judge for hours: that is no half an hour of refusal (I27, I28). */
static void test_refused_before_it_slept(void **state)
{
    struct fleet_words s2d = words;
    struct scenario *s;

    (void)state;
    s2d.s2d = true;
    s2d.nodes = 5;
    s2d.max_out = 1;
    s = scenario_new(&s2d, ALL, BUDGET);
    s->meddle = under_repair;
    repaired_at = START_MS * 2;
    scenario_start(s);
    another_picture(s);
    another_picture(s);
    sleeps(s);
    repaired_at = s->now;
    scenario_run(s);
    assert_int_equal(scenario_ended(s, NODE_DONE), 5);
    scenario_truth(s);
    ends_well(s, NODE_DONE);
}

static void seen_down(struct scenario *s, struct plan_answer *a)
{
    if (scenario_is_picture(a) && a->at < joins_at &&
        engine_node(s->engine, scenario_first(s)).phase == NODE_SETTLING)
        scenario_shows_first(s, a, SEEN_DOWN);
}

/* It settled when the controller was stopped, and the first look after that finds it so still: its time has not run meanwhile. */
static void test_settles_while_nobody_is_there(void **state)
{
    struct scenario *s = begin("[1,\"100%\"]", seen_down);

    (void)state;
    joins_at = START_MS * 2;
    scenario_until(s, scenario_first_id(s), NODE_SETTLING);
    another_picture(s);
    sleeps(s);
    joins_at = s->now + 2 * MINUTE_MS;
    scenario_run(s);
    scenario_truth(s);
    ends_well(s, NODE_DONE);
}

/* The connection was lost before the controller was stopped, and its claim was answered meanwhile: the timers go first, and set it
 * not aside. */
static void test_claimed_while_nobody_is_there(void **state)
{
    struct scenario *s = begin(ALL, NULL);
    struct event ev = { .type = EV_TIMEOUT, .node = IX_NONE, .cluster = IX_NONE };

    (void)state;
    scenario_until(s, scenario_first_id(s), NODE_STAGING);
    backend_plan_cut(s->world, scenario_first(s), s->now + 2 * SECOND_MS);
    while (engine_node(s->engine, scenario_first(s)).claimed)
        assert_true(scenario_step(s));
    assert_true(scenario_step(s));
    sleeps(s);
    check_ok(scenario_event(s, &ev), &s->err);
    scenario_run(s);
    scenario_truth(s);
    ends_well(s, NODE_DONE);
}

/* Lost over and over while it is verified, no answer ever comes through: that is O17's to judge, and says nothing of the package. */
static void test_verified_between_losses(void **state)
{
    struct scenario *s = begin(ALL, NULL);

    (void)state;
    scenario_until(s, scenario_first_id(s), NODE_VERIFYING);
    for (unsigned i = 0; i < 8; i++) {
        backend_plan_cut(s->world, scenario_first(s), s->now + 4 * MINUTE_MS);
        while (engine_node(s->engine, scenario_first(s)).claimed)
            assert_true(scenario_step(s));
        while (!engine_node(s->engine, scenario_first(s)).claimed)
            assert_true(scenario_step(s));
    }
    scenario_run(s);
    scenario_truth(s);
    ends_well(s, NODE_DONE);
}

static enum node_phase blind; /* while the first node is in it there is no picture of the cluster */

static void blind_then(struct scenario *s, struct plan_answer *a)
{
    if (blind == NODE_DRAINING)
        found_a_vm(s, a);
    if (!scenario_is_picture(a) || engine_node(s->engine, scenario_first(s)).phase != blind ||
        backend_plan_effects(s->world, scenario_first(s), "move_groups") == 0)
        return;
    held_back = 1;
    a->ev->u.observed.ok = false;
    a->ev->u.observed.text = "n00-05 did not list its VMs";
}

/* No whole picture comes any more: whoever waits for one has its end after hours, with the reason (I27). */
static void test_no_picture_for_hours(void **state)
{
    static const struct {
        enum node_phase phase;
        enum node_end end;
    } rows[] = { { NODE_DRAINING, NODE_RETURNED },
                 { NODE_RESUMING, NODE_STUCK },
                 { NODE_SETTLING, NODE_STUCK } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = begin("[1,\"100%\"]", blind_then);

        held_back = 0;
        blind = rows[i].phase;
        scenario_run(s);
        assert_non_null(strstr(scenario_node(s, scenario_first_id(s)).reason,
                               "no whole picture of its cluster: n00-05 did not list its VMs"));
        scenario_truth(s);
        ends_well(s, rows[i].end);
    }
}

static void blind_while_draining(struct scenario *s, struct plan_answer *a)
{
    if (!scenario_is_picture(a) || engine_node(s->engine, scenario_first(s)).phase != NODE_DRAINING)
        return;
    a->ev->u.observed.ok = false;
    a->ev->u.observed.text = "n00-05 did not list its VMs";
}

/* Another revision has called its pause off, whether it was made is in doubt, and there is no picture of the cluster for hours: it comes
 * home, and what it comes to is what it was on its way to. Untouched it has its turn again, and is led there at once; set aside by a
 * person it stays so. */
static void test_a_pause_in_doubt_and_no_picture(void **state)
{
    (void)state;
    for (unsigned aside = 0; aside < 2; aside++) {
        struct scenario *s = begin("[1,\"100%\"]", NULL);
        const char *id = scenario_first_id(s);

        scenario_until(s, id, NODE_DRAINING);
        assert_non_null(strstr(open_op(s, scenario_first(s)).op, "/pause/"));
        s->world->nodes[scenario_first(s)].journal.n = 0;
        s->meddle = blind_while_draining;
        scenario_upgrade(s);
        while (open_op(s, scenario_first(s)).op != NULL)
            assert_true(scenario_step(s));
        if (aside)
            check_ok(scenario_verb(s, VERB_SET_ASIDE, id), &s->err);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        check_end(s, id, aside ? NODE_SET_ASIDE : NODE_DONE);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

static void no_facts_after_a_boot(struct scenario *s, struct plan_answer *a)
{
    if (a->cause != CMD_OBSERVE || a->node != scenario_first(s) || a->ev->u.observed.what != OBSERVE_FACTS)
        return;
    a->ev->u.observed.facts.pending_reboot = backend_plan_effects(s->world, a->node, "reboot") == 0;
    if (engine_node(s->engine, a->node).phase == NODE_REBOOTING) {
        a->ev->u.observed.ok = false;
        a->ev->u.observed.text = "WMI does not answer";
    }
}

/* After the planned reboot of O11 the node tells no facts: it is set aside, and not out for ever (I27). */
static void test_no_facts_after_the_first_reboot(void **state)
{
    struct scenario *s = scenario_new(
        &words, "[1,\"100%\"]",
        ",\"policy\":{\"failures_per_wave\":9,\"failures_per_run\":9,\"pending_reboot\":\"reboot_first\"}");

    (void)state;
    s->meddle = no_facts_after_a_boot;
    scenario_start(s);
    scenario_run(s);
    assert_non_null(strstr(scenario_node(s, scenario_first_id(s)).reason, "tells no facts"));
    scenario_truth(s);
    ends_well(s, NODE_SET_ASIDE);
}

static void third_is_down(struct scenario *s, struct plan_answer *a)
{
    for (uint32_t i = 0; scenario_is_picture(a) && a->at < joins_at && i < a->ev->u.observed.view.n_nodes;
         i++) {
        struct view_node *v = &((struct view_node *)(uintptr_t)a->ev->u.observed.view.nodes)[i];

        if (node_ix(s, v->id) == third(s) && backend_plan_effects(s->world, third(s), "reboot") > 0)
            v->state = SEEN_DOWN;
    }
}

/* A resume that never arrived, and minutes later the node is back: it is compared anew before it is resumed (O12). Where others have
 * ended our pause meanwhile, and a picture showed that, the one that is found is theirs (O7). */
static void test_a_resume_that_never_arrived(void **state)
{
    static const struct {
        dur_ms away;
        bool theirs;
    } rows[] = { { 4 * MINUTE_MS, false }, { 4 * MINUTE_MS, true }, { 110 * SECOND_MS, true } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        bool theirs = rows[i].theirs;
        struct scenario *s = begin(ALL, third_is_down);
        uint32_t it = second(s), from;
        struct world_node *w = &s->world->nodes[it];
        const char *id = s->plan->inv->nodes[it].id;
        struct fault *f;

        joins_at = START_MS * 2;
        f = scenario_fault(s, id, "resume",
                           "busy"); /* that one is another try, the withdrawn one was none (I19) */
        f->outcome = OUTCOME_REFUSED;
        f->times = !theirs;
        scenario_until(s, id, NODE_RESUMING);
        while (open_op(s, it).op == NULL)
            assert_true(scenario_step(s));
        assert_non_null(strstr(w->journal.items[--w->journal.n].id.text, "/resume/1"));
        backend_plan_cut(s->world, it, s->now + rows[i].away);
        joins_at = s->now + 6 * MINUTE_MS;
        w->paused = !theirs;
        another_picture(s);
        another_picture(s);
        w->paused = true;
        while (open_op(s, it).op != NULL)
            assert_true(scenario_step(s));
        from = s->kept.n - 1;
        scenario_run(s);
        assert_int_equal(backend_plan_effects(s->world, it, "resume"), !theirs);
        assert_null(strstr(s->kept.items[from].commands, "\"action\":\"resume\""));
        assert_non_null(strstr(s->kept.items[from].commands, "\"what\":\"facts\""));
        check_end(s, id, theirs ? NODE_SET_ASIDE : NODE_DONE);
        if (!theirs)
            scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

static void another_boot_is_due(struct scenario *s, struct plan_answer *a)
{
    third_is_down(s, a);
    if (a->cause == CMD_OBSERVE && a->node == second(s) && a->ev->u.observed.what == OBSERVE_VERIFY)
        a->ev->u.observed.verify.pending = boots(s) == 1;
}

/* Somebody has put the node back in service, which a picture shows, and a person decides then what another log did there. After
 * that it is looked at anew: in service it is not drained for another boot, which nothing has admitted (O7, I2, I12). */
static void test_in_service_before_it_was_decided(void **state)
{
    (void)state;
    for (unsigned theirs = 0; theirs < 2; theirs++) {
        struct scenario *s = begin(ALL, another_boot_is_due);
        uint32_t it = second(s);
        const char *id = s->plan->inv->nodes[it].id;
        char op[64];

        joins_at = START_MS * 2;
        scenario_until(s, id, NODE_VERIFYING);
        snprintf(op, sizeof op, "r1/%s/1/storage_in/1", id);
        backend_plan_by_another(s->world, it, op);
        backend_plan_cut(s->world, it, s->now + SECOND_MS);
        s->world->nodes[it].paused = !theirs;
        scenario_until_unknown(s, id);
        another_picture(s);
        another_picture(s);
        joins_at = 0;
        check_ok(scenario_decide(s, it, WITNESS_SAYS_DONE), &s->err);
        scenario_run(s);
        assert_int_equal(backend_plan_effects(s->world, it, "pause"), theirs ? 1 : 2);
        assert_int_equal(boots(s), theirs ? 1 : 2);
        check_end(s, id, theirs ? NODE_STUCK : NODE_DONE);
        if (theirs)
            assert_non_null(strstr(scenario_node(s, id).reason, "O7: somebody else has put the node back"));
        ends_well(s, NODE_DONE);
    }
}

/* The same of a resume that was refused: that is no answer to whose the pause is that the next one would end. */
static void test_a_resume_that_is_tried_again(void **state)
{
    (void)state;
    for (int theirs = 0; theirs < 2; theirs++) {
        struct scenario *s = begin(ALL, third_is_down);
        uint32_t it = second(s);
        struct world_node *w = &s->world->nodes[it];
        const char *id = s->plan->inv->nodes[it].id;
        struct fault *f = scenario_fault(s, id, "resume", "busy");

        f->outcome = OUTCOME_REFUSED;
        f->times = 1;
        f->silent = f->no_effect = true;
        joins_at = START_MS * 2;
        scenario_until(s, id, NODE_RESUMING);
        while (open_op(s, it).op == NULL)
            assert_true(scenario_step(s));
        joins_at = s->now + 9 * MINUTE_MS;
        w->paused = !theirs;
        another_picture(s);
        another_picture(s);
        w->paused = true;
        scenario_run(s);
        assert_int_equal(backend_plan_effects(s->world, it, "resume"), !theirs);
        assert_int_equal(w->paused, theirs);
        check_end(s, id, theirs ? NODE_SET_ASIDE : NODE_DONE);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* Others put a node back in service while it is drained, and a picture shows it: nothing further is done to it, paused by them or not. */
static void test_in_service_while_it_is_drained(void **state)
{
    (void)state;
    for (int again = 0; again < 2; again++) {
        struct scenario *s = begin("[1,\"100%\"]", NULL);
        struct world_node *w = &s->world->nodes[scenario_first(s)];

        scenario_until(s, scenario_first_id(s), NODE_DRAINING);
        while (strstr(scenario_commanded(s), "\"action\":\"move_vm\"") == NULL)
            assert_true(scenario_step(s));
        w->paused = false;
        scenario_crash(s);
        another_picture(s);
        w->paused = again;
        scenario_run(s);
        assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "stop_vmms"), 0);
        assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "resume"), 0);
        assert_int_equal(w->paused, again);
        ends_well(s, NODE_SET_ASIDE);
    }
}

/* The first answer of the last node, a receiver of the first, waits for three minutes in a socket. */
static bool waited;

static uint32_t receiver(const struct scenario *s)
{
    return s->plan->nodes[s->plan->n_nodes - 1].node;
}

static void facts_that_waited(struct scenario *s, struct plan_answer *a)
{
    if (waited || a->node != receiver(s) || a->ev->type != EV_OBSERVED ||
        a->ev->u.observed.what != OBSERVE_FACTS)
        return;
    waited = true;
    a->late_ms = 3 * MINUTE_MS;
}

static uint32_t facts_of(const struct scenario *s, uint32_t node)
{
    char name[64];
    uint32_t n = 0;

    snprintf(name, sizeof name, "\"type\":\"observed\",\"node\":\"%s\"", s->plan->inv->nodes[node].id);
    for (uint32_t i = 0; i < s->kept.n; i++)
        n += strstr(s->kept.items[i].event, name) != NULL &&
             strstr(s->kept.items[i].event, "\"what\":\"facts\"") != NULL;
    return n;
}

/* Facts are as old as the question where the answer waited for a controller that was stopped: it says nothing of the memory that a
 * receiver has now, which is asked once more before anything is drained on that (I2, I3). Of a node that takes that long for each answer
 * nothing newer is to be had. */
static void test_facts_that_waited(void **state)
{
    static const struct {
        bool late, asleep;
        uint32_t asked;
    } rows[] = { { false, false, 1 }, { true, false, 1 }, { true, true, 2 } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s;

        waited = !rows[i].late;
        s = begin("[1,\"100%\"]", facts_that_waited);
        while (!waited)
            assert_true(scenario_step(s));
        if (rows[i].asleep)
            sleeps(s);
        scenario_until(s, scenario_first_id(s), NODE_DRAINING);
        assert_int_equal(facts_of(s, receiver(s)), rows[i].asked);
        ends_well(s, NODE_DONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pause_ended_before_it_was_heard),
        cmocka_unit_test(test_a_pause_heard_late),
        cmocka_unit_test(test_asked_in_the_millisecond_of_the_claims),
        cmocka_unit_test(test_settled_on_a_late_picture),
        cmocka_unit_test(test_proved_anew_on_a_late_picture),
        cmocka_unit_test(test_joins_while_it_is_away),
        cmocka_unit_test(test_clean_before_and_after_a_silence),
        cmocka_unit_test(test_stopped_with_a_pause_in_doubt),
        cmocka_unit_test(test_found_paused_receives_nothing),
        cmocka_unit_test(test_refused_before_it_slept),
        cmocka_unit_test(test_settles_while_nobody_is_there),
        cmocka_unit_test(test_claimed_while_nobody_is_there),
        cmocka_unit_test(test_verified_between_losses),
        cmocka_unit_test(test_no_picture_for_hours),
        cmocka_unit_test(test_a_pause_in_doubt_and_no_picture),
        cmocka_unit_test(test_no_facts_after_the_first_reboot),
        cmocka_unit_test(test_facts_that_waited),
        cmocka_unit_test(test_a_resume_that_never_arrived),
        cmocka_unit_test(test_in_service_before_it_was_decided),
        cmocka_unit_test(test_a_resume_that_is_tried_again),
        cmocka_unit_test(test_in_service_while_it_is_drained),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("tests", tests, NULL, NULL);
}
