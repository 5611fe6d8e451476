/* Two real nodes behind the controller's live backend: sshds, agents, and the toy driver. What is said of a move whose
 * receiver has no word to give, and of a node that waits in the queue for the package and is asked for again. */
#include "orchestrator/io/backend_live.h"
#include "tests/lib/agent_process.h"
#include "tests/lib/small_fleet.h"
#include "tests/live/ssh_world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACKAGE "kb5061977.msu"
#define PACKAGE_BYTES 40000
#define VM "3c6ef362-0000-4000-8000-000000000002"
#define OP "r1/HV07/1/move_vm:" VM "/1"
#define OP_LATE "r1/HV07/1/move_vm:" VM "/2"
#define HV07 0
#define HV08 1

static struct pair {
    struct ssh_world *w;
    struct agent_process agents[2];
    struct sshd_bed sshds[2];
    struct ssh_hostkey pins[2];
    char commands[2][2 * BED_PATH_MAX], package[BED_PATH_MAX];
    struct plan plan;
    struct plan_node nodes[2];
    struct backend_live *live;
    /* what was told */
    bool surveyed, closed, claimed[2], ended, refused;
    enum err_code refused_code;
    unsigned staged[2];
    enum op_outcome outcome;
    char code[32], why[256];
    const char *op; /* of what is submitted */
} pair = { .op = OP };

static struct log_position position(void *arg)
{
    (void)arg;
    return (struct log_position){ .seq = 1, .hash = "h" };
}

static void on_event(void *arg, const struct event *ev)
{
    const struct op_record *r = &ev->u.op_result.record;

    (void)arg;
    if (ev->type == EV_NODE_CLAIMED) {
        pair.claimed[ev->node] = true;
    } else if (ev->type == EV_NODE_LOST) {
        pair.claimed[ev->node] = false;
    } else if (ev->type == EV_NODE_REFUSED) {
        pair.refused = true;
        pair.refused_code = ev->u.refused.code;
    } else if (ev->type == EV_STAGED) {
        if (!ev->u.staged.ok)
            fail_msg("not staged: %s", ev->u.staged.text);
        pair.staged[ev->node]++;
    } else if (ev->type == EV_OP_RESULT && r->state == OP_DONE) {
        pair.ended = true;
        pair.outcome = r->outcome;
        (void)snprintf(pair.code, sizeof pair.code, "%s", r->error_code == NULL ? "" : r->error_code);
        (void)snprintf(pair.why, sizeof pair.why, "%s", r->error_text == NULL ? "" : r->error_text);
    }
}

static void on_surveyed(void *arg, const struct live_survey *s)
{
    (void)arg;
    (void)s;
    pair.surveyed = true;
}

static void on_closed(void *arg)
{
    (void)arg;
    pair.closed = true;
}

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

/* ---- the two nodes ---- */

static void package_make(char sha256[SHA256_TEXT])
{
    static char data[PACKAGE_BYTES];
    FILE *f = fopen(bed_path(&pair.w->bed, PACKAGE, pair.package), "w");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, sizeof data, f), sizeof data);
    (void)fclose(f);
    (void)sha256_text(data, sizeof data, sha256);
}

static void write_node(struct buf *out, unsigned i)
{
    const struct ssh_target t = ssh_world_target(pair.w, &pair.sshds[i]);

    buf_printf(out,
               "%s{\"id\":\"%s\",\"cluster\":\"c1\",\"memory_mib\":65536,\"host_reserve_mib\":0,"
               "\"build\":\"26100.4061\",\"ssh\":{\"address\":\"%s\",\"port\":%u,\"user\":\"%s\","
               "\"identity\":\"%s\"}}",
               i == 0 ? "" : ",", pair.agents[i].node, t.address, t.port, t.user, t.key_file);
}

static void plan_make(void)
{
    char sha256[SHA256_TEXT], text[1024];
    struct buf inv = BUF_INIT;

    buf_str(&inv, "{\"version\":1,\"name\":\"f\",\"clusters\":[{\"id\":\"c1\",\"storage\":\"shared\","
                  "\"witness\":\"disk\"}],\"vms\":[],\"nodes\":[");
    write_node(&inv, HV07);
    write_node(&inv, HV08);
    buf_str(&inv, "]}");
    pair.plan.inv = inventory_of(buf_text(&inv));
    buf_clear(&inv);
    package_make(sha256);
    (void)snprintf(text, sizeof text,
                   "{\"version\":1,\"name\":\"f\",\"patch\":{\"kb\":\"KB5061977\",\"file\":\"" PACKAGE
                   "\",\"sha256\":\"%s\",\"size_bytes\":%d,\"target\":\"26100.4066\"},\"gates\":[],"
                   "\"waves\":[\"100%%\"]}",
                   sha256, PACKAGE_BYTES);
    pair.plan.rollout = rollout_of(text);
    pair.nodes[HV08].node = HV08;
    pair.plan.nodes = pair.nodes;
    pair.plan.n_nodes = 2;
}

static int pair_open(void **state)
{
    static const char *const names[2] = { "HV07", "HV08" };

    assert_int_equal(ssh_world_open(state), 0);
    pair.w = *state;
    for (unsigned i = 0; i < 2; i++) {
        ap_open(&pair.agents[i]);
        (void)snprintf(pair.agents[i].node, sizeof pair.agents[i].node, "%s", names[i]);
        ap_serve(&pair.agents[i]);
        (void)snprintf(pair.commands[i], sizeof pair.commands[i], "%s ssh --config %s",
                       ap_program("agent/patchwave-agent"), pair.agents[i].config);
        sshd_start(&pair.w->bed, &pair.sshds[i], &(struct sshd_setup){ .command = pair.commands[i] });
        pair.pins[i] = pair.sshds[i].hostkey;
    }
    plan_make();
    (void)unsetenv("SSH_AUTH_SOCK");
    return 0;
}

static int pair_close(void **state)
{
    struct inventory *inv;
    struct rollout *r;

    memcpy(&inv, &pair.plan.inv, sizeof inv);
    memcpy(&r, &pair.plan.rollout, sizeof r);
    inventory_free(inv);
    rollout_free(r);
    for (unsigned i = 0; i < 2; i++) {
        sshd_stop(&pair.sshds[i]);
        ap_close(&pair.agents[i]);
    }
    return ssh_world_close(state);
}

/* ---- the controller ---- */

static const struct fleet_clock real_time = { .factor = 1 };

/* What was decided `late` ms ago. */
static void submit_late(enum command_type type, uint32_t node, dur_ms late)
{
    struct command c = { .type = type,
                         .node = node,
                         .cluster = IX_NONE,
                         .receiver = type == CMD_OP_START ? HV08 : IX_NONE,
                         .op = pair.op,
                         .action = "move_vm",
                         .args = "{\"vm\":\"" VM "\",\"to\":\"HV08\",\"method\":\"live\"}",
                         .memory_mib = 1024,
                         .limit_ms = 20000,
                         .decided = fleet_now(&real_time) - late };

    pair.ended = false;
    backend_live_backend(pair.live)->submit(backend_live_backend(pair.live), &c);
}

static void submit(enum command_type type, uint32_t node)
{
    submit_late(type, node, 0);
}

static void claim(uint32_t node)
{
    submit(CMD_CLAIM, node);
    ssh_world_until(pair.w, is_true, &pair.claimed[node]);
}

static void open_backend(void)
{
    static uint64_t epoch;
    const struct live_setup setup = { .plan = &pair.plan,
                                      .clock = real_time,
                                      .pins = pair.pins,
                                      .package_path = pair.package,
                                      .stage_parallel = 1,
                                      .position = position,
                                      .on_event = on_event };
    char controller[33];
    struct err err = { 0 };

    pair.surveyed = pair.closed = pair.claimed[HV07] = pair.claimed[HV08] = false;
    pair.staged[HV07] = pair.staged[HV08] = 0;
    (void)snprintf(controller, sizeof controller, "%032x", (unsigned)++epoch);
    check_ok(backend_live_new(pair.w->loop, &setup, &pair.live, &err), &err);
    backend_live_identity(pair.live, "r1", controller, 0, false);
    backend_live_survey(pair.live, 20000, on_surveyed);
    ssh_world_until(pair.w, is_true, &pair.surveyed);
    backend_live_identity(pair.live, "r1", controller, epoch, false);
}

static void close_backend(void)
{
    backend_live_close(pair.live, on_closed, NULL);
    ssh_world_until(pair.w, is_true, &pair.closed);
}

static void check_end(enum op_outcome outcome, const char *code)
{
    ssh_world_until(pair.w, is_true, &pair.ended);
    if (pair.outcome != outcome || strcmp(pair.code, code) != 0)
        fail_msg("outcome %d, `%s`: %s", (int)pair.outcome, pair.code, pair.why);
}

/* ---- the tests ---- */

/* Who says nothing has refused nothing: the move is for later (`busy`), not for another receiver. What was never sent
 * never happened, and the same op is carried out once the receiver is there. */
static void test_a_receiver_without_a_word_is_busy(void **state)
{
    (void)state;
    open_backend();
    claim(HV07);
    submit(CMD_OP_START, HV07);
    check_end(OUTCOME_REFUSED, "busy"); /* not claimed yet */
    claim(HV08);
    ap_world(&pair.agents[HV08], "behave.json", "{\"facts\":{\"hang\":true},\"vms\":{\"hang\":true}}");
    submit(CMD_OP_START, HV07);
    ssh_world_turn(pair.w, 300); /* so that it is being asked; else it is not connected */
    ap_kill(&pair.agents[HV08], SIGTERM);
    check_end(OUTCOME_REFUSED, "busy");
    assert_int_equal(ap_effects(&pair.agents[HV07], OP), 0);
    ap_world_remove(&pair.agents[HV08], "behave.json");
    ap_serve(&pair.agents[HV08]);
    claim(HV08);
    submit(CMD_OP_START, HV07);
    check_end(OUTCOME_OK, "");
    assert_int_equal(ap_effects(&pair.agents[HV07], OP), 1);
    close_backend();
}

/* A receiver that says no is another matter: there this VM will not go. */
static void test_a_receiver_that_refuses(void **state)
{
    (void)state;
    open_backend();
    claim(HV07);
    claim(HV08);
    ap_world(
        &pair.agents[HV08], "behave.json",
        "{\"vms\":{\"error\":{\"code\":\"refused\",\"message\":\"no\",\"native\":null,\"hint\":null}},"
        "\"facts\":{\"error\":{\"code\":\"refused\",\"message\":\"no\",\"native\":null,\"hint\":null}}}");
    submit(CMD_OP_START, HV07);
    check_end(OUTCOME_REFUSED, "refused");
    ap_world_remove(&pair.agents[HV08], "behave.json");
    close_backend();
}

/* A controller was stopped between its log and its socket, or its count of the node's clock is off: the node begins nothing, and
 * that is no refusal. The connection is given up, and after a new hello the same op is carried out. */
static void test_an_order_that_comes_too_late(void **state)
{
    uint32_t before;

    (void)state;
    open_backend();
    claim(HV07);
    claim(HV08);
    before = ap_effects(&pair.agents[HV07], OP_LATE);
    pair.op = OP_LATE;
    submit_late(CMD_OP_START, HV07, 61000);
    for (unsigned i = 0; i < 500 && pair.claimed[HV07]; i++)
        ssh_world_turn(pair.w, 20);
    assert_false(pair.claimed[HV07]);
    assert_false(pair.ended);
    assert_int_equal(ap_effects(&pair.agents[HV07], OP_LATE), before);
    claim(HV07);
    submit_late(CMD_OP_START, HV07, 30000);
    check_end(OUTCOME_OK, "");
    assert_int_equal(ap_effects(&pair.agents[HV07], OP_LATE), before + 1);
    pair.op = OP;
    close_backend();
}

/* Another controller has claimed the node since. The first refusal is the answer to an acknowledgement, and it is told like
 * any other: a stale controller stops there */
static void test_fenced_by_an_acknowledgement(void **state)
{
    (void)state;
    open_backend();
    claim(HV07);
    ap_connect(&pair.agents[HV07]);
    pair.refused = false;
    submit(CMD_OP_ACK, HV07);
    ssh_world_until(pair.w, is_true, &pair.refused);
    assert_int_equal(pair.refused_code, ERR_FENCED);
    ap_disconnect(&pair.agents[HV07]);
    close_backend();
}

/* The engine asks again after a loss; one that waits in the queue is in it once, and told of once. */
static void test_a_queued_node_is_staged_once(void **state)
{
    (void)state;
    open_backend();
    claim(HV07);
    claim(HV08);
    submit(CMD_STAGE, HV07);
    submit(CMD_STAGE, HV08);
    submit(CMD_STAGE, HV08);
    while (pair.staged[HV07] == 0 || pair.staged[HV08] == 0)
        ssh_world_turn(pair.w, 20);
    ssh_world_turn(pair.w, 1000); /* a second time must not come */
    assert_int_equal(pair.staged[HV07], 1);
    assert_int_equal(pair.staged[HV08], 1);
    submit(CMD_STAGE, HV08); /* and when it is over it may be asked again */
    while (pair.staged[HV08] == 1)
        ssh_world_turn(pair.w, 20);
    close_backend();
}

/* A test that failed half-way leaves its loop as it is: let its message be seen. */
static int story_end(void **state)
{
    if (pair.closed)
        return ssh_world_end(state);
    pair.w->loop = NULL;
    return 0;
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, ssh_world_begin, story_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_a_receiver_without_a_word_is_busy), STORY(test_a_receiver_that_refuses),
        STORY(test_a_queued_node_is_staged_once),      STORY(test_an_order_that_comes_too_late),
        STORY(test_fenced_by_an_acknowledgement), /* the last: HV07 is another's from here on */
    };

    return cmocka_run_group_tests(tests, pair_open, pair_close);
}
