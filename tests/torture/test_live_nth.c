/* The controller's way to a node when the n-th send, receive or allocation fails (F5, F9, F15): the real backend, a
 * real sshd, a real agent whose driver notes each effect. In the engine's place stands an owner who asks anew after a
 * loss, and looks before anything is started anew. Judged: the op happened once, by the driver's own notes, and its
 * result was told; the package is there; the connection was sought again; every event is whole, and every failure of
 * it has a sentence; nothing waits for ever, no descriptor stays open. And without any failure: what is said of a move
 * whose receiver has not answered yet. */
#include "tests/live/ssh_world.h"

#include "orchestrator/io/backend_live.h"
#include "tests/lib/agent_process.h"
#include "tests/lib/small_fleet.h"
#include "tests/torture/fault_socket.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PACKAGE "kb5061977.msu"
#define PACKAGE_BYTES 40000
#define LOOK_AGAIN_MS ((dur_ms)1500) /* no word for so long: the engine's deadline, in small */
#define LOOKS_MAX 30
#define FAILURES_MAX 10
#define STORY_MS 60000 /* a bound, not a measure */

/* ---- the site ---- */

static struct site {
    struct ssh_world *w;
    struct agent_process agent;
    struct sshd_bed sshd;
    char command[BED_PATH_MAX], package[BED_PATH_MAX], there[BED_PATH_MAX + 128];
    struct plan plan;
    struct plan_node node;
    uint64_t seq; /* of the log that the owner pretends to keep */
    uint64_t epoch;
    unsigned stories;
} site;

static void package_make(char sha256[SHA256_TEXT])
{
    static char data[PACKAGE_BYTES];
    FILE *f = fopen(bed_path(&site.w->bed, PACKAGE, site.package), "w");

    assert_non_null(f);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 31 % 251);
    assert_int_equal(fwrite(data, 1, sizeof data, f), sizeof data);
    (void)fclose(f);
    (void)sha256_text(data, sizeof data, sha256);
}

static void plan_make(void)
{
    char text[1024], sha256[SHA256_TEXT];
    const struct ssh_target t = ssh_world_target(site.w, &site.sshd);

    package_make(sha256);
    (void)snprintf(
        text, sizeof text,
        "{\"version\":1,\"name\":\"f\",\"clusters\":[{\"id\":\"c1\",\"storage\":\"shared\","
        "\"witness\":\"disk\"}],\"nodes\":[{\"id\":\"HV07\",\"cluster\":\"c1\",\"memory_mib\":65536,"
        "\"host_reserve_mib\":0,\"build\":\"26100.4061\",\"ssh\":{\"address\":\"%s\",\"port\":%u,"
        "\"user\":\"%s\",\"identity\":\"%s\"}}],\"vms\":[]}",
        t.address, t.port, t.user, t.key_file);
    site.plan.inv = inventory_of(text);
    (void)snprintf(text, sizeof text,
                   "{\"version\":1,\"name\":\"f\",\"patch\":{\"kb\":\"KB5061977\",\"file\":\"" PACKAGE
                   "\",\"sha256\":\"%s\",\"size_bytes\":%d,\"target\":\"26100.4066\"},\"gates\":[],"
                   "\"waves\":[\"100%%\"]}",
                   sha256, PACKAGE_BYTES);
    site.plan.rollout = rollout_of(text);
    site.plan.nodes = &site.node;
    site.plan.n_nodes = 1;
    (void)snprintf(site.there, sizeof site.there, "%s/packages/%s/" PACKAGE, site.agent.state_dir, sha256);
}

static int site_open(void **state)
{
    assert_int_equal(ssh_world_open(state), 0);
    site.w = *state;
    ap_open(&site.agent);
    ap_serve(&site.agent);
    (void)snprintf(site.command, sizeof site.command, "%s ssh --config %s",
                   ap_program("agent/patchwave-agent"), site.agent.config);
    sshd_start(&site.w->bed, &site.sshd, &(struct sshd_setup){ .command = site.command });
    plan_make();
    fault_socket_init();
    (void)unsetenv("SSH_AUTH_SOCK");
    return 0;
}

static int site_close(void **state)
{
    struct inventory *inv;
    struct rollout *r;

    memcpy(&inv, &site.plan.inv, sizeof inv);
    memcpy(&r, &site.plan.rollout, sizeof r);
    inventory_free(inv);
    rollout_free(r);
    sshd_stop(&site.sshd);
    ap_close(&site.agent);
    return ssh_world_close(state);
}

/* ---- the owner ---- */

enum stage { CLAIM, LOOK, STAGE, START, PROBE, ACK, OVER };

static struct owner {
    struct backend_live *live;
    enum stage at;
    bool takes_over, surveyed, claimed, closed;
    uint64_t epoch_max;
    unsigned losses, failures, attempt, looks;
    int64_t heard_ms;
    char run[32], op[64], controller[33];
} owner;

static struct log_position position(void *arg)
{
    (void)arg;
    return (struct log_position){ .seq = ++site.seq, .hash = "h" };
}

static const struct fleet_clock real_time = { .factor = 1 };

static void submit_about(enum command_type type, const char *op)
{
    struct command c = { .type = type,
                         .node = 0,
                         .cluster = IX_NONE,
                         .receiver = IX_NONE,
                         .ask = 7,
                         .what = OBSERVE_EMPTY,
                         .op = op,
                         .action = "pause",
                         .args = "{}",
                         .limit_ms = 20000,
                         .decided = fleet_now(&real_time),
                         .journal = type == CMD_CLAIM && owner.takes_over };

    owner.heard_ms = loop_now_ms(site.w->loop);
    backend_live_backend(owner.live)->submit(backend_live_backend(owner.live), &c);
}

static void submit(enum command_type type)
{
    submit_about(type, owner.op);
}

static void name_attempt(void)
{
    (void)snprintf(owner.op, sizeof owner.op, "%s/HV07/1/pause/%u", owner.run, ++owner.attempt);
}

/* Ask for what is not known yet. */
static void go(void)
{
    static const enum command_type wants[] = {
        [CLAIM] = CMD_CLAIM,    [LOOK] = CMD_OBSERVE,   [STAGE] = CMD_STAGE,
        [START] = CMD_OP_START, [PROBE] = CMD_OP_PROBE, [ACK] = CMD_OP_ACK
    };

    submit(wants[owner.at]);
    if (owner.at == ACK) /* of which nothing is told; what is asked behind it is answered behind it */
        submit(CMD_OBSERVE);
}

static void go_to(enum stage next)
{
    owner.at = next;
    owner.looks = 0;
    go();
}

/* As the log would keep it: written, and read back. */
static void check_event(const struct event *ev)
{
    struct buf text = BUF_INIT;
    struct arena a = ARENA_INIT;
    struct event back;
    struct err err;

    event_write(&text, ev, site.plan.inv, NULL);
    assert_false(text.failed);
    check_ok(event_read(buf_text(&text), text.len, site.plan.inv, NULL, &a, &back, &err), &err);
    arena_clear(&a);
    buf_clear(&text);
}

static void check_said(const char *text)
{
    assert_non_null(text);
    assert_string_not_equal(text, "");
    if (++owner.failures > FAILURES_MAX)
        fail_msg("it goes on failing (fault %d at %u): %s", (int)nth.fault, nth.at, text);
}

static void take_record(const struct op_record *r)
{
    if (strcmp(r->op, owner.op) != 0 || owner.at < START || owner.at >= ACK)
        return;
    if (r->state == OP_DONE && r->outcome == OUTCOME_OK) {
        go_to(ACK);
    } else if (r->state == OP_DONE) { /* refused: nothing has happened, so it is begun under another id */
        check_said(r->error_text);
        assert_int_equal(r->outcome, OUTCOME_REFUSED);
        name_attempt();
        go_to(START);
    } else if (r->state == OP_NONE || r->witness == WITNESS_SAYS_NOT_DONE) {
        go_to(START);
    }
}

static void check_handed_over(const struct op_record *ops, uint32_t n_ops)
{
    uint32_t told = 0;

    for (uint32_t i = 0; i < n_ops; i++)
        told += strcmp(ops[i].op, owner.op) == 0 && ops[i].state == OP_DONE && ops[i].outcome == OUTCOME_OK;
    assert_int_equal(told, 1);
    owner.at = OVER;
}

/* Where it stands after a claim: what may have been begun is asked about first. */
static void on_claimed(const struct event *ev)
{
    const enum stage was = owner.at;

    owner.claimed = true;
    assert_string_equal(ev->u.claimed.machine_id, "M1");
    assert_string_equal(ev->u.claimed.boot_id, "B1");
    for (uint32_t i = 0; i < ev->u.claimed.n_ops; i++)
        if (strcmp(ev->u.claimed.ops[i].op, owner.op) == 0)
            take_record(&ev->u.claimed.ops[i]);
        else /* an acknowledgement of a story before that got lost */
            submit_about(CMD_OP_ACK, ev->u.claimed.ops[i].op);
    if (owner.takes_over) /* what the log lacks is in the node's journal, acknowledged or not, and is told */
        check_handed_over(ev->u.claimed.ops, ev->u.claimed.n_ops);
    else if (owner.at == was && was != OVER)
        go_to(was == CLAIM ? LOOK : was == START ? PROBE : was);
}

static void on_lost(const struct event *ev)
{
    owner.losses++;
    owner.claimed = false;
    assert_int_not_equal(ev->u.refused.code, ERR_OK);
    check_said(ev->u.refused.text);
    submit(CMD_CLAIM);
}

static void on_observed(const struct event *ev)
{
    if (!ev->u.observed.ok)
        check_said(ev->u.observed.text);
    else
        assert_true(ev->u.observed.empty.empty);
    if (owner.at == ACK && ev->u.observed.ok)
        owner.at = OVER;
    else if (owner.at == LOOK && owner.claimed) /* else again when it is */
        go_to(ev->u.observed.ok ? STAGE : LOOK);
}

static void on_staged(const struct event *ev)
{
    if (!ev->u.staged.ok)
        check_said(ev->u.staged.text);
    if (owner.at == STAGE && owner.claimed)
        go_to(ev->u.staged.ok ? START : STAGE);
}

static void on_op_result(const struct event *ev)
{
    take_record(&ev->u.op_result.record);
}

static void on_event(void *arg, const struct event *ev)
{
    static void (*const takes[EVENT_TYPES])(const struct event *ev) = {
        [EV_NODE_CLAIMED] = on_claimed, [EV_NODE_LOST] = on_lost,      [EV_OBSERVED] = on_observed,
        [EV_STAGED] = on_staged,        [EV_OP_RESULT] = on_op_result,
    };
    const bool watching = nth.watching;

    (void)arg;
    nth.watching = false; /* the owner's own memory does not fail */
    check_event(ev);
    owner.heard_ms = loop_now_ms(site.w->loop);
    nth.watching = watching;
    if (takes[ev->type] == NULL) /* refused for good: a person would have to act */
        fail_msg("%s: %s", event_type_name(ev->type), ev->u.refused.text);
    takes[ev->type](ev);
}

static void on_surveyed(void *arg, const struct live_survey *s)
{
    (void)arg;
    owner.surveyed = true;
    owner.epoch_max = s->epoch_max;
}

static void on_closed(void *arg)
{
    (void)arg;
    owner.closed = true;
}

/* ---- one story ---- */

static bool turn_until(const bool *done)
{
    const int64_t limit = loop_now_ms(site.w->loop) + STORY_MS;

    while (!*done && loop_now_ms(site.w->loop) < limit)
        loop_turn(site.w->loop, 20);
    return *done;
}

/* No word for long: a command that came to nothing. The engine asks again, about an op by a probe. */
static void look_again(void)
{
    if (!owner.claimed || loop_now_ms(site.w->loop) - owner.heard_ms < LOOK_AGAIN_MS)
        return; /* a claim is bound to be answered or to be told as lost */
    if (++owner.looks > LOOKS_MAX)
        fail_msg("no answer in stage %d, however often it is asked", owner.at);
    if (owner.at == START)
        owner.at = PROBE;
    go();
}

static void open_backend(const struct live_setup *setup)
{
    struct err err = { 0 };

    while (backend_live_new(site.w->loop, setup, &owner.live, &err) != 0) {
        assert_int_equal(err.code, ERR_NOMEM);
        assert_true(nth.hit);
        check_said(err.text);
        ssh_world_turn(site.w, 30);
    }
}

static void lead(void)
{
    const int64_t limit = loop_now_ms(site.w->loop) + STORY_MS;

    (void)snprintf(owner.controller, sizeof owner.controller, "%032x", (unsigned)++site.epoch);
    backend_live_identity(owner.live, owner.run, owner.controller, 0, owner.takes_over);
    backend_live_survey(owner.live, 20000, on_surveyed);
    assert_true(turn_until(&owner.surveyed));
    assert_true(owner.epoch_max < site.epoch);
    backend_live_identity(owner.live, owner.run, owner.controller, site.epoch, owner.takes_over);
    go();
    while (owner.at != OVER) {
        loop_turn(site.w->loop, 20);
        look_again();
        if (loop_now_ms(site.w->loop) > limit)
            fail_msg("no end: stage %d after %u losses", owner.at, owner.losses);
    }
    backend_live_close(owner.live, on_closed, NULL);
    assert_true(turn_until(&owner.closed));
}

static unsigned open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    (void)closedir(d);
    return n;
}

static void judge(void)
{
    uint32_t happened = 0;
    struct stat st;
    char op[64];

    for (unsigned i = 1; i <= owner.attempt; i++) {
        (void)snprintf(op, sizeof op, "%s/HV07/1/pause/%u", owner.run, i);
        happened += ap_effects(&site.agent, op);
    }
    assert_int_equal(happened, 1);
    assert_int_equal(stat(site.there, &st), 0);
    assert_int_equal(st.st_size, PACKAGE_BYTES);
    if (nth.hit && (nth.fault == SEND_RESET || nth.fault == SEND_HALF || nth.fault == RECV_RESET ||
                    nth.fault == RECV_END))
        assert_true(owner.losses <= 1);
    if (nth.fault == SEND_LATER || nth.fault == SEND_BITS || nth.fault == RECV_BITS || !nth.hit)
        assert_int_equal(owner.losses, 0); /* no loss, only slower */
}

static void begin(enum fault fault, unsigned n)
{
    const struct ssh_hostkey pin = site.sshd.hostkey;
    const struct live_setup setup = { .plan = &site.plan,
                                      .clock = real_time,
                                      .pins = &pin,
                                      .package_path = site.package,
                                      .position = position,
                                      .on_event = on_event };

    memset(&nth, 0, sizeof nth);
    nth.fault = fault;
    nth.at = n;
    nth.watching = true;
    open_backend(&setup);
    lead();
    nth.watching = false;
}

/* The whole story with this fault at the n-th place; false: there is no n-th. */
static bool story(enum fault fault, unsigned n)
{
    const unsigned files = open_files();

    (void)unlink(site.there);
    memset(&owner, 0, sizeof owner);
    (void)snprintf(owner.run, sizeof owner.run, "r%u", ++site.stories);
    name_attempt();
    begin(fault, n);
    judge();
    assert_int_equal(open_files(), files);
    return nth.hit;
}

/* A whole story without a fault, and then another controller takes over with one. */
static bool takeover(enum fault fault, unsigned n)
{
    struct owner first;

    (void)story(NOTHING, 0);
    first = owner;
    memset(&owner, 0, sizeof owner);
    memcpy(owner.run, first.run, sizeof owner.run);
    memcpy(owner.op, first.op, sizeof owner.op);
    owner.attempt = first.attempt;
    owner.takes_over = true;
    begin(fault, n);
    judge();
    return nth.hit;
}

static unsigned stride(unsigned usual)
{
    const char *wanted = getenv("PW_TORTURE_STRIDE");

    return wanted != NULL && atoi(wanted) > 0 ? (unsigned)atoi(wanted) : usual;
}

/* N = 1, 1 + step, ... until it passes. */
static void each(const char *what, bool (*tell)(enum fault fault, unsigned n), enum fault fault,
                 unsigned step)
{
    unsigned n = 1, tried = 0;

    while (tell(fault, n)) {
        n += step;
        tried++;
    }
    assert_true(tried > 0);
    print_message("# %s: %u of %u places, one in %u\n", what, tried, n - step, step);
}

/* ---- the tests ---- */

static void test_without_a_fault(void **state)
{
    (void)state;
    assert_false(story(NOTHING, 0));
    assert_true(nth.sends > 10 && nth.recvs > 10 && nth.allocs > 100);
    print_message("# %u sends, %u receives, %u allocations\n", nth.sends, nth.recvs, nth.allocs);
}

static void test_send_fails(void **state)
{
    (void)state;
    each("send: reset", story, SEND_RESET, stride(3));
    each("send: half of it, then reset", story, SEND_HALF, stride(3));
}

static void test_send_is_slow(void **state)
{
    (void)state;
    each("send: no room just now", story, SEND_LATER, stride(7));
    assert_true(story(SEND_BITS, 1));
}

static void test_receive_fails(void **state)
{
    (void)state;
    each("receive: reset", story, RECV_RESET, stride(13));
    each("receive: end", story, RECV_END, stride(13));
    assert_true(story(RECV_BITS, 1));
}

static void test_memory_fails(void **state)
{
    (void)state;
    each("memory", story, NO_MEMORY, stride(4));
}

/* A test that failed half-way leaves its loop as it is: let its message be seen. */
static int story_end(void **state)
{
    nth.watching = false;
    if (owner.closed)
        return ssh_world_end(state);
    site.w->loop = NULL;
    return 0;
}

static void test_takeover(void **state)
{
    (void)state;
    each("takeover, send: reset", takeover, SEND_RESET, stride(4));
    each("takeover, memory", takeover, NO_MEMORY, stride(7));
}

/* ---- a move that waits for its receiver ----
 * Here the node is its own receiver: `move.accept` runs the driver twice before it is answered, all else is answered
 * at once. */

#define VM "3c6ef362-0000-4000-8000-000000000002"

static struct mover {
    unsigned never_seen, ends;
    enum op_outcome outcome;
    char op[96];
} mover;

static void on_mover_event(void *arg, const struct event *ev)
{
    const struct op_record *r = &ev->u.op_result.record;

    (void)arg;
    assert_int_not_equal(ev->type, EV_NODE_LOST);
    owner.claimed = owner.claimed || ev->type == EV_NODE_CLAIMED;
    if (ev->type != EV_OP_RESULT || strcmp(r->op, mover.op) != 0)
        return;
    mover.never_seen += r->state == OP_NONE;
    mover.ends += r->state == OP_DONE;
    mover.outcome = r->outcome;
}

static void mover_submit(enum command_type type)
{
    struct command c = { .type = type,
                         .node = 0,
                         .cluster = IX_NONE,
                         .receiver = 0,
                         .op = mover.op,
                         .action = "move_vm",
                         .args = "{\"vm\":\"" VM "\",\"to\":\"HV08\",\"method\":\"live\"}",
                         .memory_mib = 1024,
                         .limit_ms = 20000,
                         .decided = fleet_now(&real_time) };

    backend_live_backend(owner.live)->submit(backend_live_backend(owner.live), &c);
}

static void mover_next(void)
{
    unsigned attempt = ++owner.attempt;

    memset(&mover, 0, sizeof mover);
    (void)snprintf(mover.op, sizeof mover.op, "%s/HV07/1/move_vm:" VM "/%u", owner.run, attempt);
}

static void mover_until_end(void)
{
    const int64_t limit = loop_now_ms(site.w->loop) + STORY_MS;

    while (mover.ends == 0 && loop_now_ms(site.w->loop) < limit)
        loop_turn(site.w->loop, 20);
    assert_int_equal(mover.ends, 1);
    assert_int_equal(mover.never_seen, 0);
}

static void mover_open(void)
{
    const struct ssh_hostkey pin = site.sshd.hostkey;
    const struct live_setup setup = {
        .plan = &site.plan, .clock = real_time, .pins = &pin, .position = position, .on_event = on_mover_event
    };
    struct err err = { 0 };

    memset(&nth, 0, sizeof nth);
    memset(&owner, 0, sizeof owner);
    (void)snprintf(owner.run, sizeof owner.run, "r%u", ++site.stories);
    (void)snprintf(owner.controller, sizeof owner.controller, "%032x", (unsigned)++site.epoch);
    check_ok(backend_live_new(site.w->loop, &setup, &owner.live, &err), &err);
    backend_live_identity(owner.live, owner.run, owner.controller, 0, false);
    backend_live_survey(owner.live, 20000, on_surveyed);
    assert_true(turn_until(&owner.surveyed));
    backend_live_identity(owner.live, owner.run, owner.controller, site.epoch, false);
    mover_next();
    mover_submit(CMD_CLAIM);
    assert_true(turn_until(&owner.claimed));
}

/* A probe that overtakes the start would bring "never seen" of an op that is then begun: it has no answer before the
 * start was sent. And a start that is on its way is not sent twice. */
static void test_a_probe_overtakes_no_start(void **state)
{
    (void)state;
    mover_open();
    mover_submit(CMD_OP_START);
    mover_submit(CMD_OP_PROBE);
    mover_submit(CMD_OP_START);
    mover_submit(CMD_OP_PROBE);
    mover_until_end();
    assert_int_equal(mover.outcome, OUTCOME_OK);
    assert_int_equal(ap_effects(&site.agent, mover.op), 1);
    backend_live_close(owner.live, on_closed, NULL);
    assert_true(turn_until(&owner.closed));
}

/* Cancelled before it was sent it is never sent, whatever the receiver answers. */
static void test_a_start_that_waits_is_cancelled(void **state)
{
    char first[sizeof mover.op];

    (void)state;
    mover_open();
    mover_submit(CMD_OP_START);
    mover_submit(CMD_OP_CANCEL);
    mover_until_end();
    assert_int_equal(mover.outcome, OUTCOME_CANCELLED);
    memcpy(first, mover.op, sizeof first);
    mover_next();
    mover_submit(CMD_OP_START); /* its receiver answers after the first one's */
    mover_until_end();
    assert_int_equal(mover.outcome, OUTCOME_OK);
    assert_int_equal(ap_effects(&site.agent, first), 0);
    backend_live_close(owner.live, on_closed, NULL);
    assert_true(turn_until(&owner.closed));
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, ssh_world_begin, story_end)

/* libssh2 1.10 forgets the peer's key when a connection ends in the midst of the key exchange: 150 bytes of libcrypto's. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:CRYPTO_zalloc\n";
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        STORY(test_without_a_fault),
        STORY(test_send_fails),
        STORY(test_send_is_slow),
        STORY(test_receive_fails),
        STORY(test_memory_fails),
        STORY(test_takeover),
        STORY(test_a_probe_overtakes_no_start),
        STORY(test_a_start_that_waits_is_cancelled),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, site_open, site_close);
}
