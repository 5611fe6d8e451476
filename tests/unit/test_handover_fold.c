/* What a log tells without the engine that decided it: operations begun and ended, written as a few words, and what a takeover
 * is then told of their node. */
#include "orchestrator/core/handover.h"
#include "orchestrator/core/rollout_names.h"
#include "tests/lib/check.h"
#include "tests/lib/small_fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST 1000 /* when the log begins; each entry a second later */

struct log {
    struct plan *plan;
    struct handover_fold *fold;
    struct err err;
    time_ms at;
    uint32_t attempt, life;
    char on[16];  /* the node */
    char op[128]; /* the last one begun */
};

static void log_begin(struct log *l, bool s2d)
{
    const struct fleet_words words = { .seed = 5,
                                       .clusters = 2,
                                       .nodes = 4,
                                       .vms = 2,
                                       .node_mib = 65536,
                                       .vm_mib_min = 2048,
                                       .vm_mib_max = 4096,
                                       .s2d = s2d };

    *l = (struct log){ .at = FIRST, .life = 1, .on = "n00-00" };
    check_ok(
        plan_build(small_fleet(&words), small_rollout("[\"100%\"]", ""), FIRST, "tester", &l->plan, &l->err),
        &l->err);
    check_ok(handover_fold_new(l->plan, &l->fold, &l->err), &l->err);
}

static void log_end(struct log *l)
{
    handover_fold_free(l->fold);
    plan_free(l->plan);
}

static struct handover_node *node_now(struct log *l)
{
    return &handover_fold_now(l->fold)->nodes[inventory_node(l->plan->inv, l->on)];
}

static int entry(struct log *l, struct event *ev, const char *commands)
{
    ev->at = l->at += 1000;
    return handover_fold_event(l->fold, ev, commands, &l->err);
}

static void enter(struct log *l, struct event *ev)
{
    check_ok(entry(l, ev, "[]"), &l->err);
}

static struct event plain(enum event_type type)
{
    return (struct event){ .type = type, .node = IX_NONE, .cluster = IX_NONE };
}

static int command(struct log *l, const char *text)
{
    struct event ev = plain(EV_TIMEOUT);

    return entry(l, &ev, text);
}

/* --- operations in words --- */

static const char *vm_of(const char *word)
{
    static char id[40];
    const char *no = strchr(word, '#');

    return no == NULL ? NULL : small_vm_id((uint32_t)atoi(no + 1), id);
}

static const char *args_of(const char *action)
{
    if (strcmp(action, "park_vm") == 0)
        return "{\"method\":\"save\",\"checkpoint\":true}";
    if (strcmp(action, "reboot") == 0)
        return "{\"boot_id\":\"B1\"}";
    return "{}";
}

static void begin(struct log *l, const char *action, const char *vm)
{
    struct buf text = BUF_INIT;

    snprintf(l->op, sizeof l->op, "r1/%s/%u/%s%s%s/%u", l->on, (unsigned)l->life, action,
             vm == NULL ? "" : ":", vm == NULL ? "" : vm, (unsigned)++l->attempt);
    buf_printf(&text,
               "[{\"type\":\"op_start\",\"node\":\"%s\",\"op\":\"%s\",\"action\":\"%s\",\"args\":%s%s%s}]",
               l->on, l->op, action, args_of(action),
               strcmp(action, "install") == 0 ? ",\"precondition\":{\"boot_id\":\"B0\"}" : "",
               strcmp(action, "move_vm") == 0 ? ",\"receiver\":\"n00-01\"" : "");
    check_ok(command(l, buf_text(&text)), &l->err);
    buf_clear(&text);
}

static struct op_record record_of(const struct log *l, const char *how)
{
    static const struct down_row row = { .id = "", .start = 77, .how = "" };
    struct op_record r = { .op = l->op, .state = OP_DONE, .outcome = OUTCOME_FAILED, .ended = 555 };

    if (strcmp(how, "ok") == 0 || strcmp(how, "row") == 0 || strcmp(how, "undated") == 0)
        r.outcome = OUTCOME_OK;
    if (strcmp(how, "row") == 0)
        r.rows = &row, r.n_rows = 1;
    if (strcmp(how, "undated") == 0)
        r.ended = 0;
    if (strcmp(how, "refused") == 0)
        r.outcome = OUTCOME_REFUSED;
    if (strcmp(how, "cancelled") == 0)
        r.outcome = OUTCOME_CANCELLED;
    if (strcmp(how, "busy") == 0 || strcmp(how, "not_removable") == 0)
        r.error_code = how;
    if (strcmp(how, "running") == 0)
        r.state = OP_RUNNING;
    if (strcmp(how, "unseen") == 0)
        r.state = OP_NONE;
    if (strncmp(how, "says_", 5) == 0)
        r.state = OP_UNKNOWN;
    if (strcmp(how, "says_done") == 0)
        r.witness = WITNESS_SAYS_DONE;
    if (strcmp(how, "says_not_done") == 0)
        r.witness = WITNESS_SAYS_NOT_DONE;
    return r;
}

static void told(struct log *l, const char *how)
{
    struct event ev = plain(EV_OP_RESULT);

    ev.u.op_result.record = record_of(l, how);
    enter(l, &ev);
}

static void returned(struct log *l)
{
    struct event ev = plain(EV_VERB);

    ev.node = inventory_node(l->plan->inv, l->on);
    ev.u.verb.verb = VERB_RETURN;
    enter(l, &ev);
}

/* What the node says when it is asked whether the patch is in. */
static void sees(struct log *l, const char *what)
{
    struct event ev = plain(EV_OBSERVED);
    struct verify_facts *v = &ev.u.observed.verify;
    bool there = strncmp(what, "there", 5) == 0, superseded = strcmp(what, "superseded") == 0;
    bool early = strcmp(what, "pending") == 0 || strcmp(what, "there_at_once") == 0;

    ev.node = node_now(l)->node;
    ev.u.observed.what = OBSERVE_VERIFY;
    ev.u.observed.ok = strcmp(what, "nothing") != 0;
    v->build = (struct build){ 26100, there || superseded || strcmp(what, "built") == 0 ? 4066 : 4061 };
    v->package = there || strcmp(what, "listed") == 0 ? PACKAGE_INSTALLED
                 : superseded                         ? PACKAGE_SUPERSEDED
                 : strcmp(what, "coming") == 0        ? PACKAGE_INSTALL_PENDING
                 : strcmp(what, "going") == 0         ? PACKAGE_UNINSTALL_PENDING
                                                      : PACKAGE_ABSENT;
    v->servicing_idle = strcmp(what, "servicing") != 0;
    v->pending = strncmp(what, "pending", 7) == 0;
    v->boot_id = early ? "B0" : "B2"; /* else it has booted since */
    enter(l, &ev);
}

static void decided(struct log *l, const char *op)
{
    struct event ev = plain(EV_VERB);

    ev.node = node_now(l)->node;
    ev.u.verb.verb = VERB_DECIDE;
    ev.u.verb.op = op;
    ev.u.verb.decision = WITNESS_SAYS_DONE;
    enter(l, &ev);
}

/* "pause:ok reboot" : two operations, one with a record; "return" the verb; "next" a new life; "n00-01/" the node from here on; "twice:ok" another
 * record of the same; "sees:listed" the node's word on the patch; "decide" a person's on what it was at: done. */
static void play(struct log *l, const char *words)
{
    char text[256], *rest = text;

    snprintf(text, sizeof text, "%s", words);
    for (char *word; (word = strtok_r(rest, " ", &rest)) != NULL;) {
        char *how = strchr(word, ':');

        if (how != NULL)
            *how++ = '\0';
        if (strcmp(word, "next") == 0) {
            l->life++;
        } else if (strcmp(word, "return") == 0) {
            returned(l);
        } else if (strcmp(word, "sees") == 0) {
            sees(l, how);
        } else if (strcmp(word, "decide") == 0) {
            decided(l, NULL);
        } else if (strchr(word, '/') != NULL) {
            snprintf(l->on, sizeof l->on, "%.*s", (int)strcspn(word, "/"), word);
        } else {
            const char *vm = vm_of(word);

            word[strcspn(word, "#")] = '\0';
            if (strcmp(word, "twice") != 0)
                begin(l, word, vm);
            if (how != NULL)
                told(l, how);
        }
    }
}

static void add(char *out, size_t size, bool is, const char *word)
{
    size_t n = strlen(out);

    if (is)
        snprintf(out + n, size - n, "%s%s", n == 0 ? "" : " ", word);
}

/* What the handover says of the node, as words. */
static const char *says(struct log *l, const struct handover *h)
{
    static char out[512];
    const struct handover_node *n = node_now(l);

    out[0] = '\0';
    add(out, sizeof out, n->paused, "paused");
    add(out, sizeof out, n->vmms, "vmms");
    add(out, sizeof out, n->storage, "storage");
    add(out, sizeof out, n->effect, n->removed ? "removed" : "installed");
    add(out, sizeof out, n->rebooted, "rebooted");
    add(out, sizeof out, n->suspended, "suspended");
    add(out, sizeof out, n->patched, n->supposed ? "supposed" : "patched");
    add(out, sizeof out, n->proved, "proved");
    for (uint32_t i = 0; i < h->n_parks; i++)
        if (h->parks[i].node == n->node) {
            add(out, sizeof out, true, h->parks[i].down ? "down" : "up");
            add(out, sizeof out, h->parks[i].merged, "merged");
        }
    for (uint32_t i = 0; i < h->n_ops; i++)
        if (h->ops[i].node == n->node) {
            add(out, sizeof out, true, "?");
            add(out, sizeof out, true, action_name(h->ops[i].action));
        }
    return out;
}

static const struct handover *end_of(struct log *l, enum node_phase phase)
{
    const struct handover *h = NULL;

    node_now(l)->phase = phase;
    node_now(l)->end = phase == NODE_ENDED ? NODE_DONE : NODE_END_NONE;
    node_now(l)->life = l->life;
    check_ok(handover_fold_end(l->fold, &h, &l->err), &l->err);
    return h;
}

#define OUT "pause:ok "

static const struct {
    const char *log;
    enum node_phase phase;
    const char *want;
} rows[] = {
    /* a pause: half done where it failed, nothing where it was refused; open only while its phase waits for it */
    { "pause:ok", NODE_DRAINING, "paused" },
    { "pause:failed", NODE_DRAINING, "paused" },
    { "pause:refused", NODE_DRAINING, "" },
    { "pause:cancelled", NODE_DRAINING, "" },
    { "pause:says_done", NODE_DRAINING, "paused" },
    { "pause", NODE_DRAINING, "? pause" },
    { "pause:running", NODE_DRAINING, "? pause" },
    { "pause:unseen", NODE_DRAINING, "? pause" },
    { "pause:says_not_done", NODE_DRAINING, "? pause" },
    { "pause:says_nothing", NODE_DRAINING, "? pause" },
    { "pause", NODE_STAGING, "" },
    { "pause:ok twice:refused", NODE_DRAINING, "paused" }, /* the first record is the end */
    /* what is touched counts from its beginning, and is untouched when its undoing is done */
    { OUT "storage_out:failed", NODE_STORAGE_OUT, "paused storage" },
    { OUT "storage_out", NODE_STORAGE_OUT, "paused storage ? storage_out" },
    { OUT "stop_vmms", NODE_STOPPING_VMMS, "paused vmms ? stop_vmms" },
    { OUT "stop_vmms:ok start_vmms:ok", NODE_STARTING_VMMS, "paused" },
    { OUT "stop_vmms:ok start_vmms:failed", NODE_STARTING_VMMS, "paused vmms" },
    { OUT "storage_out:ok storage_in:ok", NODE_RESUMING, "paused" },
    { OUT "storage_out:ok storage_in", NODE_STORAGE_IN, "paused storage ? storage_in" },
    { OUT "resume:ok", NODE_SETTLING, "" },
    { OUT "resume:failed", NODE_RESUMING, "paused" },
    { OUT "resume", NODE_RESUMING, "paused ? resume" },
    { OUT "move_groups", NODE_DRAINING, "paused ? move_groups" },
    { OUT "move_groups:ok", NODE_DRAINING, "paused" },
    /* effects */
    { OUT "install:ok", NODE_INSTALLING, "paused installed patched" },
    { OUT "install:failed", NODE_INSTALLING, "paused supposed" }, /* it may be in: that is no promise */
    { OUT "install:failed sees:gone", NODE_STARTING_VMMS, "paused" },
    { OUT "install:failed sees:coming", NODE_VERIFYING, "paused patched" },
    { OUT "install:refused", NODE_INSTALLING, "paused" },
    { OUT "install sees:gone", NODE_STARTING_VMMS, "paused" }, /* never seen, and looked for */
    { OUT "install sees:coming", NODE_VERIFYING, "paused patched" },
    { OUT "install", NODE_INSTALLING, "paused ? install" },
    { OUT "uninstall", NODE_REMOVING, "paused ? uninstall" },
    { OUT "uninstall:ok", NODE_REMOVING, "paused removed" },
    { OUT "install:ok reboot:ok", NODE_VERIFYING, "paused vmms installed rebooted patched" },
    { OUT "install:ok reboot", NODE_REBOOTING, "paused installed patched ? reboot" },
    /* a reboot that others followed was decided by the new boot; one that was sent anew was not */
    { OUT "install:ok reboot start_vmms", NODE_STARTING_VMMS,
      "paused vmms installed rebooted patched ? start_vmms" },
    { OUT "install:ok reboot reboot", NODE_REBOOTING, "paused installed patched ? reboot" },
    { OUT "install:ok reboot", NODE_VERIFYING, "paused vmms installed rebooted patched" },
    /* the protector is on again after one reboot */
    { OUT "bitlocker_suspend:ok", NODE_INSTALLING, "paused suspended" },
    { OUT "bitlocker_suspend", NODE_INSTALLING, "paused ? bitlocker_suspend" },
    { OUT "bitlocker_suspend", NODE_REMOVING, "paused ? bitlocker_suspend" },
    { OUT "bitlocker_suspend", NODE_REBOOTING, "paused ? bitlocker_suspend" },
    { OUT "bitlocker_suspend", NODE_VERIFYING, "paused" },
    { OUT "bitlocker_suspend:ok install:ok reboot:ok", NODE_VERIFYING,
      "paused vmms installed rebooted patched" },
    /* parked VMs: given up it may be down, and undoing nothing succeeds (I9) */
    { OUT "park_vm#0:ok", NODE_DRAINING, "paused down" },
    { OUT "park_vm#0:refused", NODE_DRAINING, "paused up" },
    { OUT "park_vm#0:failed", NODE_DRAINING, "paused down" },
    { OUT "park_vm#0:cancelled", NODE_DRAINING, "paused up" },
    { OUT "park_vm#0", NODE_DRAINING, "paused up ? park_vm" },
    { OUT "park_vm#0", NODE_STARTING_VMMS, "paused down" },
    { OUT "park_vm#0 resume:ok", NODE_SETTLING, "down" },
    { OUT "park_vm#0:ok park_vm#1:refused", NODE_DRAINING, "paused down up" },
    { OUT "park_vm#0:ok park_vm#1:ok unpark_vm#1:ok", NODE_RESUMING, "paused down up" },
    { OUT "park_vm#0:ok unpark_vm#0", NODE_RESUMING, "paused down ? unpark_vm" },
    { OUT "park_vm#0:ok unpark_vm#0:ok merge#0", NODE_SETTLING, "paused up ? merge" },
    { OUT "park_vm#0:ok unpark_vm#0:ok merge#0:ok", NODE_SETTLING, "paused up merged" },
    { OUT "unpark_vm#0:ok merge#0:ok", NODE_SETTLING, "paused" }, /* undoing nothing succeeds */
    /* moves run side by side, and none of them ends another; the last one of a VM counts */
    { OUT "move_vm#0 move_vm#1", NODE_DRAINING, "paused ? move_vm ? move_vm" },
    { OUT "move_vm#0 move_vm#1 move_vm#0", NODE_DRAINING, "paused ? move_vm ? move_vm" },
    { OUT "move_vm#0 move_groups:ok", NODE_STORAGE_OUT, "paused" },
    { "move_vm#0", NODE_SETTLING, "? move_vm" }, /* not paused: of the evidence load */
    { "move_vm#0", NODE_ENDED, "? move_vm" },
    { OUT "move_vm#0 pause", NODE_DRAINING, "paused ? move_vm ? pause" },
    /* lives: what is down stays owed, all else begins anew; put back, it is led home with everything touched; led home under a
     * number of its own after another log, it is what it was in the life before */
    { OUT "park_vm#0:ok park_vm#1:refused next pause:ok", NODE_DRAINING, "paused down" },
    { OUT "install:ok reboot:ok next pause:ok", NODE_DRAINING, "paused patched" },
    { OUT "install:ok reboot:ok resume:ok return next start_vmms:ok", NODE_STORAGE_IN,
      "paused storage patched" },
    { OUT "return next storage_in", NODE_STORAGE_IN, "paused vmms storage ? storage_in" },
    { OUT "return next resume:ok", NODE_SETTLING, "vmms storage" },
    { OUT "install:ok reboot:ok next start_vmms:ok", NODE_STORAGE_IN,
      "paused storage installed rebooted patched" },
    { OUT "uninstall:ok next start_vmms:ok", NODE_STORAGE_IN, "paused storage removed" },
    { OUT "return next start_vmms:ok next pause:ok install:ok next start_vmms", NODE_STARTING_VMMS,
      "paused vmms storage installed patched ? start_vmms" },
    { OUT "install:ok next", NODE_DRAINING, "patched" },
    { OUT "install:ok return next", NODE_RESUMING, "paused vmms storage patched" },
    { OUT "install:ok next", NODE_ENDED, "patched" },
    { "next", NODE_RESUMING, "" }, /* it never had an operation */
    { OUT "install:ok next pause:ok uninstall:ok", NODE_REMOVING, "paused removed patched" },
    { OUT "install:ok next pause:ok uninstall:ok next pause:ok", NODE_DRAINING, "paused patched" },
    { OUT "install:ok next pause:ok uninstall:ok sees:gone next pause:ok", NODE_DRAINING, "paused" },
    /* what is in is what the node says; while servicing is at it nothing is said (I17) */
    { OUT "install:ok sees:gone", NODE_STARTING_VMMS, "paused installed" }, /* a boot took it back */
    { OUT "install:ok sees:gone", NODE_ENDED, "paused installed" },
    { OUT "install:ok sees:nothing", NODE_VERIFYING, "paused installed patched" },
    { OUT "install:ok sees:there", NODE_VERIFYING, "paused installed patched proved" },
    { OUT "install:ok sees:there_at_once", NODE_VERIFYING, "paused installed patched" }, /* it owes a boot */
    { OUT "install:ok sees:listed", NODE_VERIFYING, "paused installed patched" }, /* half of it: no proof */
    { OUT "install:ok sees:superseded", NODE_VERIFYING, "paused installed patched proved" },
    { OUT "install:ok sees:built", NODE_VERIFYING, "paused installed" }, /* by another package */
    { OUT "install:ok sees:servicing", NODE_VERIFYING, "paused installed patched" },
    { OUT "install:ok sees:pending", NODE_VERIFYING, "paused installed patched" },
    { OUT "install:ok sees:pending_anew", NODE_VERIFYING, "paused installed" },
    { OUT "install:ok sees:coming", NODE_VERIFYING, "paused installed patched" },
    { OUT "install:ok sees:there next pause:ok", NODE_DRAINING, "paused patched proved" },
    { OUT "install:ok sees:listed next pause:ok uninstall:ok", NODE_REMOVING, "paused removed patched" },
    { OUT "install:ok sees:gone next pause:ok install:ok", NODE_INSTALLING, "paused installed patched" },
    { OUT "install:ok next pause:ok uninstall:ok sees:gone", NODE_ENDED, "paused removed" },
    { OUT "install:ok next pause:ok uninstall:ok sees:built", NODE_VERIFYING, "paused removed" },
    { OUT "install:ok next pause:ok uninstall:ok sees:there", NODE_ENDED, "paused removed patched" },
    { OUT "install:ok next pause:ok uninstall:ok sees:going", NODE_VERIFYING, "paused removed" },
    /* what nobody has told of is supposed: till the node says what is in; what was in for sure is so still (I12) */
    { OUT "install:busy sees:servicing", NODE_VERIFYING, "paused supposed" },
    { OUT "install:busy sees:listed", NODE_VERIFYING, "paused patched" },
    { OUT "install:busy sees:pending", NODE_VERIFYING, "paused patched" },
    { OUT "install:busy install:ok", NODE_INSTALLING, "paused installed patched" },
    { OUT "install:ok next pause:ok install:busy", NODE_INSTALLING, "paused patched" },
    { OUT "install next pause:ok install:busy", NODE_INSTALLING, "paused supposed" },
    { OUT "install", NODE_ENDED, "paused supposed" },
    /* given up, and its end is heard later; not when another effect came after it */
    { OUT "install return next start_vmms:ok", NODE_STORAGE_IN, "paused storage supposed" },
    { OUT "install next pause:ok decide", NODE_DRAINING, "paused patched" },
    { OUT "install decide", NODE_INSTALLING, "paused installed patched" },
    { OUT "pause:ok decide", NODE_DRAINING, "paused" },
    { OUT "move_vm#0 decide", NODE_DRAINING, "paused ? move_vm" }, /* a move is named */
};

static void test_what_is_told_of_a_node(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct log l;
        const char *is;

        log_begin(&l, false);
        play(&l, rows[i].log);
        is = says(&l, end_of(&l, rows[i].phase));
        if (strcmp(is, rows[i].want) != 0)
            fail_msg("\"%s\" while %s: \"%s\", not \"%s\"", rows[i].log, node_phases[rows[i].phase].name, is,
                     rows[i].want);
        log_end(&l);
    }
}

/* O3: a boot brings an S2D node back with its disks in maintenance, whether or not the log saw them go. */
static void test_a_boot_of_an_s2d_node(void **state)
{
    struct log l;

    (void)state;
    log_begin(&l, true);
    play(&l, OUT "reboot:ok");
    assert_string_equal(says(&l, end_of(&l, NODE_VERIFYING)), "paused vmms storage rebooted");
    log_end(&l);
    log_begin(&l, true);
    play(&l, OUT "storage_out:ok reboot:ok");
    assert_string_equal(says(&l, end_of(&l, NODE_VERIFYING)), "paused vmms storage rebooted");
    log_end(&l);
}

/* C.3: the same operation told once more is no second one; it counts as sent then. */
static void test_sent_once_more(void **state)
{
    struct log l;
    const struct handover *h;

    (void)state;
    log_begin(&l, false);
    play(&l, OUT "install");
    l.attempt--;
    play(&l, "install");
    h = end_of(&l, NODE_INSTALLING);
    assert_int_equal(h->n_ops, 1);
    assert_int_equal(h->ops[0].sent, FIRST + 4000);
    assert_int_equal(h->ops[0].sends, 2);
    assert_int_equal(node_now(&l)->attempts[ACT_INSTALL], 1);
    log_end(&l);
}

/* Of a life and of numbers that it only came past the log has asked for nothing: what was done under them is another's (I12, I21). */
static void test_whose_numbers(void **state)
{
    struct log l;
    const struct handover *h;

    (void)state;
    log_begin(&l, false);
    play(&l, OUT "move_vm#0:ok cluster_setting:ok next next start_vmms");
    l.attempt++;
    play(&l, "move_vm#0 next move_vm#0:ok");
    h = end_of(&l, NODE_STARTING_VMMS);
    assert_int_equal(node_now(&l)->own_lives,
                     node_bit(1) | node_bit(3)); /* in the last one a VM was moved, and that was all */
    assert_int_equal(node_now(&l)->own_settings, node_bit(3));
    assert_int_equal(h->vms[0].own_ops, node_bit(2) | node_bit(6) | node_bit(7));
    log_end(&l);
}

/* Two reboots are remembered, each as its record dates it, or as it was sent. */
static void test_when_it_rebooted(void **state)
{
    struct log l;

    (void)state;
    log_begin(&l, false);
    play(&l, OUT "install:ok reboot:undated reboot:ok");
    (void)end_of(&l, NODE_VERIFYING);
    assert_int_equal(node_now(&l)->reboots, 2);
    assert_int_equal(node_now(&l)->reboot_before, FIRST + 5000);
    assert_int_equal(node_now(&l)->reboot_last, 555);
    assert_string_equal(node_now(&l)->boot_effect, "B1");
    assert_string_equal(node_now(&l)->boot_effect_first, "B0");
    log_end(&l);
}

/* Since when a VM is down: as the downtime row says, or from the end of the operation; the first that says it counts. */
static void test_since_when_a_vm_is_down(void **state)
{
    static const struct {
        const char *log;
        time_ms since;
    } downs[] = {
        { OUT "park_vm#0:row", 77 },
        { OUT "park_vm#0:ok", 555 },
        { OUT "park_vm#0:row park_vm#0:ok", 77 },
        { OUT "park_vm#0 resume:ok", 0 },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(downs); i++) {
        struct log l;
        const struct handover *h;

        log_begin(&l, false);
        play(&l, downs[i].log);
        h = end_of(&l, NODE_RESUMING);
        assert_int_equal(h->n_parks, 1);
        assert_int_equal(h->parks[0].down_since, downs[i].since);
        assert_int_equal(h->parks[0].method, PARK_SAVE);
        assert_true(h->parks[0].checkpoint);
        log_end(&l);
    }
}

/* Parked on two nodes: each keeps its own, also when one of them begins a new life. */
static void test_parked_on_two_nodes(void **state)
{
    struct log l;
    const struct handover *h;

    (void)state;
    log_begin(&l, false);
    play(&l, OUT "park_vm#0:refused n00-01/ " OUT "park_vm#0:ok next pause:ok");
    h = end_of(&l, NODE_DRAINING);
    assert_int_equal(h->n_parks, 2);
    assert_string_equal(says(&l, h), "paused down");
    snprintf(l.on, sizeof l.on, "n00-00");
    assert_string_equal(says(&l, h), "paused up");
    log_end(&l);
}

/* O14: a removal that was verified proves it possible, one that was refused as such disproves it; any other failure tells nothing. */
static void test_is_it_removable(void **state)
{
    static const struct {
        const char *log;
        bool known, possible;
    } removals[] = {
        { OUT "uninstall:ok sees:gone next pause:ok", true, true },
        { OUT "uninstall:ok", false, false },
        { OUT "install:ok next pause:ok uninstall:ok next pause:ok", false, false }, /* never looked at */
        { OUT "install:ok next pause:ok uninstall:ok sees:listed next pause:ok", false, false },
        { OUT "uninstall:ok sees:gone return next start_vmms:ok", false, false }, /* no next life: led home */
        { OUT "uninstall:not_removable", true, false },
        { OUT "uninstall:busy", false, false },
        { OUT "uninstall:failed", false, false },
        { OUT "install:not_removable", false, false },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(removals); i++) {
        struct log l;
        const struct handover *h;

        log_begin(&l, false);
        play(&l, removals[i].log);
        h = end_of(&l, NODE_DRAINING);
        assert_int_equal(h->log.removal_known, removals[i].known);
        assert_int_equal(h->log.removal_possible, removals[i].possible);
        log_end(&l);
    }
}

/* What each VM has spent: moves that came to their end, those of a way back apart, and not those of the evidence load. */
static void test_moves_are_counted(void **state)
{
    struct log l;
    const struct handover *h;

    (void)state;
    log_begin(&l, false);
    play(&l,
         OUT "move_vm#0:ok move_vm#1:failed next pause:ok move_vm#0:ok uninstall:ok resume:ok move_vm#0:ok");
    h = end_of(&l, NODE_SETTLING);
    assert_int_equal(h->n_vms, 2);
    assert_int_equal(h->vms[0].moves, 1);
    assert_int_equal(h->vms[0].moves_back, 1);
    assert_int_equal(h->vms[1].moves, 0);
    assert_true(h->vms[0].ops > h->vms[1].ops);
    log_end(&l);
}

/* A life that removes is told by its projection too, before its removal begins. */
static void test_moves_of_a_way_back_that_has_not_removed_yet(void **state)
{
    struct log l;
    const struct handover *h;

    (void)state;
    log_begin(&l, false);
    play(&l, OUT "move_vm#0:ok next pause:ok move_vm#1:ok");
    node_now(&l)->back = true;
    h = end_of(&l, NODE_DRAINING);
    assert_int_equal(h->vms[0].moves, 1);
    assert_int_equal(h->vms[1].moves_back, 1);
    log_end(&l);
}

/* A VM that only the log knows keeps its place beside those of the inventory. */
static void test_a_vm_that_the_inventory_lacks(void **state)
{
    const char *strange = "ffffffff-0000-4000-8000-00000000000", *id;
    char one[40], two[40];
    struct log l;
    const struct handover *h;

    (void)state;
    snprintf(one, sizeof one, "%s1", strange);
    snprintf(two, sizeof two, "%s2", strange);
    log_begin(&l, false);
    play(&l, OUT);
    begin(&l, "move_vm", one);
    begin(&l, "move_vm", two);
    told(&l, "ok");
    begin(&l, "move_vm", one);
    told(&l, "ok");
    h = end_of(&l, NODE_DRAINING);
    assert_int_equal(h->n_vms, 2);
    id = h->vms[0].id;
    assert_string_equal(id, one);
    assert_int_equal(h->vms[0].moves, 1);
    assert_int_equal(h->vms[0].ops, 4);
    assert_int_equal(h->vms[1].moves, 1);
    assert_int_equal(h->vms[0].at, IX_NONE);
    log_end(&l);
}

/* A counter of attempts stands where it is full. */
static void test_attempts_are_counted(void **state)
{
    struct log l;

    (void)state;
    log_begin(&l, false);
    play(&l, OUT);
    for (int i = 0; i < 300; i++)
        begin(&l, "storage_in", NULL);
    (void)end_of(&l, NODE_STORAGE_IN);
    assert_int_equal(node_now(&l)->attempts[ACT_PAUSE], 1);
    assert_int_equal(node_now(&l)->attempts[ACT_STORAGE_IN], UINT8_MAX);
    log_end(&l);
}

/* --- settings of a cluster (O18) --- */

static void setting(struct log *l, const char *node, const char *name, uint32_t expected, uint32_t value)
{
    struct buf text = BUF_INIT;

    snprintf(l->op, sizeof l->op, "r1/%s/1/cluster_setting/%u", node, (unsigned)++l->attempt);
    buf_printf(
        &text,
        "[{\"type\":\"op_start\",\"node\":\"%s\",\"op\":\"%s\",\"action\":\"cluster_setting\",\"args\":{"
        "\"name\":\"%s\",\"expected\":%u,\"value\":%u}}]",
        node, l->op, name, expected, value);
    check_ok(command(l, buf_text(&text)), &l->err);
    buf_clear(&text);
}

static const struct handover_setting *balancer(const struct handover *h)
{
    return &h->settings[SETTING_BALANCER];
}

static void test_settings(void **state)
{
    static const struct {
        const char *set, *back; /* how it ended; NULL: nobody told, "": never begun */
        enum setting_state want;
        uint32_t open;
    } ways[] = {
        { NULL, "", SETTING_SETTING, 1 },       { "ok", "", SETTING_SET, 0 },
        { "failed", "", SETTING_UNTOUCHED, 0 }, { "ok", NULL, SETTING_RESTORING, 1 },
        { "ok", "ok", SETTING_RESTORED, 0 },    { "ok", "failed", SETTING_SET, 0 },
        { NULL, "ok", SETTING_RESTORED, 0 },    { NULL, NULL, SETTING_RESTORING, 1 },
        { "running", "", SETTING_SETTING, 1 },  { "ok", "running", SETTING_RESTORING, 1 },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(ways); i++) {
        struct log l;
        const struct handover *h;
        uint32_t off;

        log_begin(&l, false);
        off = (uint32_t)l.plan->rollout->policy.settings[SETTING_BALANCER].value;
        setting(&l, "n00-00", "auto_balancer_mode", 2, off);
        if (ways[i].set != NULL)
            told(&l, ways[i].set);
        if (ways[i].back == NULL || ways[i].back[0] != '\0')
            setting(&l, "n00-01", "auto_balancer_mode", off, 2);
        if (ways[i].back != NULL && ways[i].back[0] != '\0')
            told(&l, ways[i].back);
        h = end_of(&l, NODE_PENDING);
        assert_int_equal(balancer(h)->state, ways[i].want);
        assert_int_equal(balancer(h)->old, 2);
        assert_int_equal(h->n_ops, ways[i].open);
        log_end(&l);
    }
}

/* Each setting of each cluster for itself: none ends another's, and none counts as a beginning of the node's life. */
static void test_settings_beside_each_other(void **state)
{
    struct log l;
    const struct handover *h;

    (void)state;
    log_begin(&l, false);
    setting(&l, "n00-00", "move_type_threshold", 1, 9);
    setting(&l, "n00-01", "max_parallel_migrations", 1, 9);
    setting(&l, "n01-00", "move_type_threshold", 1, 9);
    play(&l, "n00-02/ " OUT);
    h = end_of(&l, NODE_DRAINING);
    assert_int_equal(h->n_ops, 3);
    assert_int_equal(h->settings[SETTING_MOVE_TYPE].state, SETTING_RESTORING);
    assert_int_equal(h->settings[SETTING_MIGRATIONS].state, SETTING_RESTORING);
    assert_int_equal(h->settings[CLUSTER_SETTINGS + SETTING_MOVE_TYPE].state, SETTING_RESTORING);
    assert_int_equal(balancer(h)->state, SETTING_UNTOUCHED);
    assert_int_equal(h->nodes[0].setting_ops, 1);
    assert_int_equal(h->nodes[0].ops_life, 0);
    log_end(&l);
}

/* --- other entries --- */

static void test_what_people_said(void **state)
{
    static const struct {
        enum verb first, then;
        bool abort, rollback;
    } said[] = {
        { VERB_ABORT, VERB_PAUSE, true, false },    { VERB_ROLLBACK, VERB_RETRY, false, true },
        { VERB_ABORT, VERB_ROLLBACK, false, true }, { VERB_ROLLBACK, VERB_ABORT, true, false },
        { VERB_PAUSE, VERB_RESUME, false, false },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(said); i++) {
        struct event ev = plain(EV_VERB);
        struct log l;
        const struct handover *h;

        log_begin(&l, false);
        ev.u.verb.verb = said[i].first;
        enter(&l, &ev);
        ev.u.verb.verb = said[i].then;
        enter(&l, &ev);
        h = end_of(&l, NODE_PENDING);
        assert_int_equal(h->log.abort_said, said[i].abort);
        assert_int_equal(h->log.rollback_said, said[i].rollback);
        log_end(&l);
    }
}

/* The end of what was given up, told when other operations have come: it is in after all, or no longer (I17). */
static void test_the_end_of_what_was_given_up(void **state)
{
    static const struct {
        const char *before, *how, *after;
        bool patched;
    } heard[] = {
        { OUT "install", "ok", "", true },
        { OUT "install", "says_done", "", true },
        { OUT "install", "failed", "", true }, /* that promises nothing */
        { OUT "install", "refused", "", false },
        { OUT "install", "running", "", true },
        { OUT "install:ok next pause:ok uninstall", "ok", "", false },
        { OUT "install:ok next pause:ok uninstall", "failed", "", true },
        { OUT "stop_vmms", "ok", "", false },
        { OUT "install", "ok", "next pause:ok install:ok sees:gone", false }, /* of long ago */
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(heard); i++) {
        struct log l;
        char op[128];

        log_begin(&l, false);
        play(&l, heard[i].before);
        snprintf(op, sizeof op, "%s", l.op);
        play(&l, "return next start_vmms:ok");
        play(&l, heard[i].after);
        snprintf(l.op, sizeof l.op, "%s", op);
        told(&l, heard[i].how);
        told(&l, heard[i].how); /* once more: nothing new */
        if (node_now(&l)->patched != heard[i].patched)
            fail_msg("%s, given up, then %s", heard[i].before, heard[i].how);
        log_end(&l);
    }
}

/* A person's word on an operation is an end when it says done; one about no node says nothing of operations. */
static void test_what_people_decided(void **state)
{
    struct event ev = plain(EV_VERB);
    struct log l;

    (void)state;
    log_begin(&l, false);
    play(&l, OUT "install");
    ev.u.verb.verb = VERB_DECIDE;
    enter(&l, &ev);
    ev.u.verb.op = l.op;
    ev.u.verb.decision = WITNESS_SAYS_NOT_DONE;
    enter(&l, &ev);
    assert_false(node_now(&l)->effect);
    ev.u.verb.decision = WITNESS_SAYS_DONE;
    enter(&l, &ev);
    assert_true(node_now(&l)->effect);
    log_end(&l);
}

/* A claim's answer carries the boot, where the node told one, and records of open operations; others' are nobody's. */
static void test_a_claim(void **state)
{
    struct event ev = plain(EV_NODE_CLAIMED);
    struct op_record ops[4];
    struct log l;

    (void)state;
    log_begin(&l, false);
    play(&l, OUT "install");
    ops[0] = (struct op_record){ .op = "no id", .state = OP_DONE, .outcome = OUTCOME_OK };
    ops[1] = (struct op_record){ .op = "r1/elsewhere/1/pause/1", .state = OP_DONE, .outcome = OUTCOME_OK };
    ops[2] = (struct op_record){ .op = "r0/n00-00/1/uninstall/1", .state = OP_DONE, .outcome = OUTCOME_OK };
    ops[3] = record_of(&l, "ok");
    ev.node = node_now(&l)->node;
    ev.u.claimed.ops = ops;
    ev.u.claimed.n_ops = 3;
    enter(&l, &ev);
    assert_string_equal(node_now(&l)->boot, "");
    assert_false(node_now(&l)->effect);
    ev.u.claimed.boot_id = "B7";
    ev.u.claimed.n_ops = 4;
    enter(&l, &ev);
    assert_string_equal(node_now(&l)->boot, "B7");
    assert_string_equal(says(&l, end_of(&l, NODE_INSTALLING)), "paused installed patched");
    log_end(&l);
}

/* The facts before the drain are the last that came (O12); what does not tell them changes nothing. */
static void test_facts_before_the_drain(void **state)
{
    struct event ev = plain(EV_OBSERVED);
    struct log l;

    (void)state;
    log_begin(&l, false);
    ev.node = node_now(&l)->node;
    ev.u.observed.what = OBSERVE_FACTS;
    ev.u.observed.ok = true;
    ev.u.observed.facts.boot_id = "B1";
    ev.u.observed.facts.cpus = 16;
    enter(&l, &ev);
    ev.u.observed.facts.cpus = 32;
    ev.u.observed.ok = false;
    enter(&l, &ev);
    ev.u.observed.ok = true;
    ev.u.observed.what = OBSERVE_VERIFY;
    enter(&l, &ev);
    ev.u.observed.what = OBSERVE_FACTS;
    ev.node = IX_NONE;
    enter(&l, &ev);
    play(&l, "pause");
    assert_true(node_now(&l)->before.known);
    assert_int_equal(node_now(&l)->before.cpus, 16);
    log_end(&l);
}

/* A drain's record is that of its first pause: a repeated one would take what the node is like while it is out. */
static void test_facts_of_a_second_pause(void **state)
{
    struct event ev = plain(EV_OBSERVED);
    struct log l;

    (void)state;
    log_begin(&l, false);
    ev.node = node_now(&l)->node;
    ev.u.observed.what = OBSERVE_FACTS;
    ev.u.observed.ok = true;
    ev.u.observed.facts.boot_id = "B1";
    ev.u.observed.facts.cpus = 16;
    enter(&l, &ev);
    play(&l, OUT);
    ev.u.observed.facts.cpus = 8;
    enter(&l, &ev);
    play(&l, "pause:ok");
    assert_int_equal(node_now(&l)->before.cpus, 16);
    log_end(&l);
}

/* Questions are numbered on from the highest. */
static void test_questions_go_on(void **state)
{
    struct log l;

    (void)state;
    log_begin(&l, false);
    check_ok(command(&l,
                     "[{\"type\":\"observe\",\"node\":\"n00-00\",\"ask\":9,\"what\":\"facts\",\"args\":{}},"
                     "{\"type\":\"observe\",\"node\":\"n00-01\",\"ask\":4,\"what\":\"facts\",\"args\":{}}]"),
             &l.err);
    assert_int_equal(end_of(&l, NODE_PENDING)->log.asks, 9);
    log_end(&l);
}

#define START(more) "[{\"type\":\"op_start\",\"node\":\"n00-00\"," more "}]"

/* What no log of ours has is refused, each with its reason. */
static void test_what_no_log_has(void **state)
{
    static const struct {
        const char *commands, *says;
    } bad[] = {
        { "{}", "commands are a list" },
        { "[", "commands" },
        { "[{\"type\":\"op_start\",\"node\":\"n99\"}]", "unknown node" },
        { "[{\"type\":\"observe\",\"what\":\"facts\",\"cluster\":\"c99\"}]", "unknown cluster" },
        { "[{\"type\":\"dance\"}]", "type" },
        { "[{\"type\":\"observe\",\"what\":\"stars\"}]", "what" },
        { "[{\"type\":\"note\",\"note\":\"song\"}]", "note" },
        { "[{\"type\":\"op_start\",\"op\":\"r1/n00-00/1/pause/1\",\"action\":\"pause\",\"args\":{}}]",
          "without its node" },
        { START("\"action\":\"pause\",\"args\":{}"), "without its node" },
        { START("\"op\":\"r1/n00-00/1/pause/1\",\"args\":{}"), "without its node" },
        { START("\"op\":\"r1/n00-00/1/pause/1\",\"action\":\"pause\""), "without its node" },
        { START("\"op\":\"r1/n00-00/1/pause/1\",\"action\":\"pause\",\"args\":7"), "an object is wanted" },
        { START("\"op\":\"r1/n00-00/1/dance/1\",\"action\":\"dance\",\"args\":{}"), "this program knows" },
        { START("\"op\":\"n00-00\",\"action\":\"pause\",\"args\":{}"), "this program knows" },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(bad); i++) {
        struct log l;

        log_begin(&l, false);
        if (command(&l, bad[i].commands) != ERR_INVALID || strstr(l.err.text, bad[i].says) == NULL)
            fail_msg("%s: %s", bad[i].commands, l.err.text);
        log_end(&l);
    }
}

static void test_a_claim_without_its_node(void **state)
{
    struct event ev = plain(EV_NODE_CLAIMED);
    struct log l;

    (void)state;
    log_begin(&l, false);
    check_err(entry(&l, &ev, "[]"), &l.err, ERR_INVALID, "a claim without its node");
    log_end(&l);
}

/* --- a fold that begins anew --- */

/* An earlier takeover found parks, settings and operations open; the log goes on, and their ends are told after it. */
static void test_a_takeover_in_the_log(void **state)
{
    struct event ev = plain(EV_HANDOVER);
    struct log before, l;
    char install[128], setting_op[128];
    const struct handover *h;

    (void)state;
    log_begin(&before, false);
    setting(&before, "n00-01", "auto_balancer_mode", 2, 9);
    snprintf(setting_op, sizeof setting_op, "%s", before.op);
    play(&before, OUT "move_vm#3:ok park_vm#0:ok install");
    snprintf(install, sizeof install, "%s", before.op);
    ev.u.handover.state = end_of(&before, NODE_INSTALLING);
    ev.u.handover.revision = 7;
    ev.u.handover.epoch = 3;

    log_begin(&l, false);
    play(&l, "n00-03/ pause:ok n00-00/"); /* of this nothing is left: the takeover says what is */
    enter(&l, &ev);
    log_end(&before);
    h = handover_fold_now(l.fold);
    assert_int_equal(h->log.revision, 7);
    assert_int_equal(h->log.epoch, 3);
    snprintf(l.op, sizeof l.op, "%s", install);
    told(&l, "ok");
    snprintf(l.op, sizeof l.op, "%s", setting_op);
    told(&l, "ok");
    play(&l, "move_vm#3");
    h = end_of(&l, NODE_INSTALLING);
    assert_string_equal(says(&l, h), "paused installed patched down");
    assert_int_equal(balancer(h)->state, SETTING_RESTORED);
    assert_false(h->nodes[3].paused);
    assert_int_equal(h->n_vms, 2);
    assert_int_equal(h->vms[0].moves, 1); /* spent before and after */
    log_end(&l);
}

/* A setting that was open at the takeover and is begun anew after it ends once. */
static void test_a_setting_over_a_takeover(void **state)
{
    struct event ev = plain(EV_HANDOVER);
    struct log before, l;
    const struct handover *h;

    (void)state;
    log_begin(&before, false);
    setting(&before, "n00-01", "auto_balancer_mode", 2, 9);
    ev.u.handover.state = end_of(&before, NODE_PENDING);
    log_begin(&l, false);
    enter(&l, &ev);
    log_end(&before);
    setting(&l, "n00-02", "auto_balancer_mode", 2, 9);
    told(&l, "ok");
    h = end_of(&l, NODE_PENDING);
    assert_int_equal(h->n_ops, 0);
    log_end(&l);
}

static void test_a_takeover_that_does_not_fit(void **state)
{
    struct event ev = plain(EV_HANDOVER);
    struct handover_op ops[2],
        op = { .id = "no id", .args = "{}", .precondition = "", .vm = "", .receiver = IX_NONE };
    struct handover bad;
    struct log l;

    (void)state;
    log_begin(&l, false);
    bad = *end_of(&l, NODE_PENDING);
    bad.ops = ops;
    bad.n_ops = 2;
    ev.u.handover.state = &bad;
    ops[0] = ops[1] = op;
    ops[1].id = "r1/n00-00/1/pause/1";
    assert_int_equal(entry(&l, &ev, "[]"), ERR_INVALID);
    ops[0].id = "r1/n00-01/1/pause/1";
    ops[0].node = IX_NONE;
    assert_int_equal(entry(&l, &ev, "[]"), ERR_INVALID);
    ops[0].node = 1;
    enter(&l, &ev);
    bad.n_nodes--;
    assert_int_equal(entry(&l, &ev, "[]"), ERR_INVALID);
    assert_non_null(strstr(l.err.text, "its nodes are not the inventory's"));
    log_end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_told_of_a_node),
        cmocka_unit_test(test_a_boot_of_an_s2d_node),
        cmocka_unit_test(test_sent_once_more),
        cmocka_unit_test(test_whose_numbers),
        cmocka_unit_test(test_when_it_rebooted),
        cmocka_unit_test(test_since_when_a_vm_is_down),
        cmocka_unit_test(test_parked_on_two_nodes),
        cmocka_unit_test(test_is_it_removable),
        cmocka_unit_test(test_moves_are_counted),
        cmocka_unit_test(test_moves_of_a_way_back_that_has_not_removed_yet),
        cmocka_unit_test(test_a_vm_that_the_inventory_lacks),
        cmocka_unit_test(test_attempts_are_counted),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_settings_beside_each_other),
        cmocka_unit_test(test_what_people_said),
        cmocka_unit_test(test_the_end_of_what_was_given_up),
        cmocka_unit_test(test_what_people_decided),
        cmocka_unit_test(test_a_claim),
        cmocka_unit_test(test_facts_before_the_drain),
        cmocka_unit_test(test_facts_of_a_second_pause),
        cmocka_unit_test(test_questions_go_on),
        cmocka_unit_test(test_what_no_log_has),
        cmocka_unit_test(test_a_claim_without_its_node),
        cmocka_unit_test(test_a_takeover_in_the_log),
        cmocka_unit_test(test_a_setting_over_a_takeover),
        cmocka_unit_test(test_a_takeover_that_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
