/* What another engine revision left, one thing changed at a time: what cannot be is refused whole, and what can be is taken as the
 * rules say: where each node goes, what stays owed, how the run goes on. */
#include "tests/scenarios/handover_bed.h"

#include <string.h>

#define WAVES "[1,\"100%\"]"
#define GATES(on_fail)                                                                                  \
    ",\"gates\":[{\"name\":\"other\",\"type\":\"backup_agent\",\"scope\":\"node\",\"when\":\"after\"}," \
    "{\"name\":\"after\",\"type\":\"backup_agent\",\"scope\":\"node\",\"when\":\"after\",\"on_fail\":"  \
    "\"" on_fail "\"}]"
#define REHEARSE ",\"policy\":{\"rehearse\":true}"
#define VM0 "00000000-0000-4000-8000-000000000000"
#define VM1 "9e3779b1-0000-4000-8000-000000000001"
#define STRANGE "ffffffff-0000-4000-8000-000000000001"

/* --- what cannot be --- */

static struct handover_op ops[2];
static struct handover_park park;
static struct handover_gate gate;
static struct handover_vm vm;

static struct handover_op op_of(enum action a, const char *id, const char *of)
{
    return (struct handover_op){ .id = id,
                                 .args = "{}",
                                 .precondition = "",
                                 .action = a,
                                 .vm = of,
                                 .receiver = a == ACT_MOVE_VM ? 1 : IX_NONE };
}

static void with_ops(struct handover *h, uint32_t n)
{
    h->ops = ops;
    h->n_ops = n;
}

static void one_op(struct handover *h, enum action a, const char *of)
{
    ops[0] = op_of(a, "r1/n00-00/1/pause/1", of);
    with_ops(h, 1);
}

static void two_ops(struct handover *h, enum action a, const char *a_vm, enum action b, const char *b_vm)
{
    ops[0] = op_of(a, "r1/n00-00/1/pause/1", a_vm);
    ops[1] = op_of(b, "r1/n00-00/1/pause/2", b_vm);
    with_ops(h, 2);
}

static void in_a_later_wave(struct handover *h)
{
    h->wave = 99;
}
static void with_a_wave_less(struct handover *h)
{
    h->n_waves--;
}
static void only_approved(struct handover *h)
{
    h->state = RUN_APPROVED;
}
static void ended_without_an_end(struct handover *h)
{
    h->nodes[0].phase = NODE_ENDED;
}
static void with_an_end_too_early(struct handover *h)
{
    h->nodes[0].end = NODE_DONE;
}
static void of_an_unknown_gate(struct handover *h)
{
    gate = (struct handover_gate){ .name = "nobody's", .text = "" };
    h->gates = &gate;
    h->n_gates = 1;
}
static void of_a_gate_of_no_wave(struct handover *h)
{
    of_an_unknown_gate(h);
    gate.name = "after";
    gate.wave = 99;
}
static void parked_nowhere(struct handover *h)
{
    park = (struct handover_park){ .node = IX_NONE, .vm = VM0 };
    h->parks = &park;
    h->n_parks = 1;
}
static void parked_where_we_are_not(struct handover *h)
{
    parked_nowhere(h);
    park.node = 4;
}
static void parked_a_stranger(struct handover *h)
{
    parked_nowhere(h);
    park.node = 0;
    park.vm = STRANGE;
}
static void op_of_no_node(struct handover *h)
{
    one_op(h, ACT_PAUSE, "");
    ops[0].node = IX_NONE;
}
static void op_where_we_are_not(struct handover *h)
{
    one_op(h, ACT_PAUSE, "");
    ops[0].node = 4;
}
static void op_without_an_id(struct handover *h)
{
    one_op(h, ACT_PAUSE, "");
    ops[0].id = "pause";
}
static void park_of_no_vm(struct handover *h)
{
    one_op(h, ACT_PARK_VM, "");
}
static void pause_of_a_vm(struct handover *h)
{
    one_op(h, ACT_PAUSE, VM0);
}
static void merge_of_a_stranger(struct handover *h)
{
    one_op(h, ACT_MERGE, STRANGE);
}
static void op_without_a_limit(struct handover *h)
{
    one_op(h, ACT_PAUSE, "");
    ops[0].limit_ms = TIME_NEVER;
}
static void op_never_sent(struct handover *h)
{
    one_op(h, ACT_PAUSE, "");
    ops[0].sent = TIME_NEVER;
}
static void move_to_nowhere(struct handover *h)
{
    one_op(h, ACT_MOVE_VM, VM0);
    ops[0].receiver = IX_NONE;
}
static void move_where_we_are_not(struct handover *h)
{
    one_op(h, ACT_MOVE_VM, VM0);
    ops[0].receiver = 4;
}
static void two_at_once_on_a_node(struct handover *h)
{
    two_ops(h, ACT_PAUSE, "", ACT_UNPARK_VM, VM0);
}
static void two_moves_of_a_vm(struct handover *h)
{
    two_ops(h, ACT_MOVE_VM, VM0, ACT_MOVE_VM, VM0);
}
/* and these can be */
static void nothing(struct handover *h)
{
    (void)h;
}
static void two_moves_of_two_vms(struct handover *h)
{
    two_ops(h, ACT_MOVE_VM, VM0, ACT_MOVE_VM, VM1);
}
static void a_move_beside_a_pause(struct handover *h)
{
    two_ops(h, ACT_MOVE_VM, VM0, ACT_PAUSE, "");
}
static void two_on_two_nodes(struct handover *h)
{
    two_ops(h, ACT_PAUSE, "", ACT_RESUME, "");
    ops[1].node = 1;
}
static void a_stranger_that_is_told_of(struct handover *h)
{
    one_op(h, ACT_MOVE_VM, STRANGE);
    vm = (struct handover_vm){ .id = STRANGE, .at = 0, .cluster = 0 };
    h->vms = &vm;
    h->n_vms = 1;
}

static const struct {
    const char *says; /* NULL: it is taken */
    void (*change)(struct handover *h);
} misfits[] = {
    { "its waves", in_a_later_wave },
    { "its waves", with_a_wave_less },
    { "a run that has not started", only_approved },
    { "a node that ended without an end", ended_without_an_end },
    { "a node that ended without an end", with_an_end_too_early },
    { "a gate that it does not have", of_an_unknown_gate },
    { "a gate that it does not have", of_a_gate_of_no_wave },
    { "a parked VM of no node", parked_nowhere },
    { "a parked VM of no node", parked_where_we_are_not },
    { "a parked VM of no node", parked_a_stranger },
    { "an operation of no node", op_of_no_node },
    { "an operation of no node", op_where_we_are_not },
    { "an operation of no node", op_without_an_id },
    { "an operation of no VM", park_of_no_vm },
    { "an operation of no VM", pause_of_a_vm },
    { "an operation of no VM", merge_of_a_stranger },
    { "an operation without a time", op_without_a_limit },
    { "an operation without a time", op_never_sent },
    { "a move to nowhere", move_to_nowhere },
    { "a move to nowhere", move_where_we_are_not },
    { "two operations at once", two_at_once_on_a_node },
    { "two operations at once", two_moves_of_a_vm },
    { NULL, nothing },
    { NULL, two_moves_of_two_vms },
    { NULL, a_move_beside_a_pause },
    { NULL, two_on_two_nodes },
    { NULL, a_stranger_that_is_told_of },
};

static void test_what_cannot_be(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(misfits); i++) {
        struct handover_bed b;
        char before[SHA256_TEXT], after[SHA256_TEXT];
        struct engine *untouched;
        int rc;

        handover_bed_begin(&b, WAVES, GATES("halt"));
        misfits[i].change(b.h);
        rc = handover_bed_take(&b);
        if (rc != (misfits[i].says == NULL ? 0 : ERR_INVALID) ||
            (rc != 0 && strstr(b.s->err.text, misfits[i].says) == NULL))
            fail_msg("row %u: %s", i, rc == 0 ? "taken" : b.s->err.text);
        check_ok(engine_new(b.s->plan, &untouched, &b.s->err), &b.s->err);
        engine_hash(b.e, after);
        engine_hash(untouched, before);
        assert_int_equal(strcmp(before, after) == 0, rc != 0);
        engine_free(untouched);
        handover_bed_end(&b);
    }
}

/* --- where a node goes --- */

#define BEFORE      \
    {               \
        26100, 4061 \
    }
#define BETWEEN     \
    {               \
        26100, 4063 \
    }
#define TARGET      \
    {               \
        26100, 4066 \
    }

/* I17: success rests on what the node itself said. A reason that stands says that it failed. */
static const struct {
    bool back, effect, patched, proved;
    const char *reason;
    struct build now;
    enum node_end want;
} homes[] = {
    { false, false, false, false, "", BEFORE, NODE_RETURNED },
    { false, true, true, true, "", TARGET, NODE_DONE },
    { false, true, true, false, "", TARGET, NODE_SET_ASIDE }, /* the number alone, before a new boot */
    { false, true, true, true, "", BETWEEN, NODE_SET_ASIDE },
    { false, true, true, true, "verify failed", TARGET, NODE_SET_ASIDE },
    { false, false, true, true, "", TARGET, NODE_DONE },
    { false, false, true, true, "", BETWEEN, NODE_SET_ASIDE },
    { false, false, true, false, "", TARGET,
      NODE_SET_ASIDE }, /* given up, and in since: nobody has verified it */
    { true, false, true, true, "", TARGET, NODE_DONE },
    { true, true, true, true, "", BEFORE, NODE_ROLLED_BACK },
    { true, true, true, true, "", BETWEEN, NODE_SET_ASIDE },
    { true, true, true, true, "removal failed", BEFORE, NODE_SET_ASIDE },
};

static struct handover_node *out_in(struct handover_bed *b, enum node_phase phase)
{
    struct handover_node *n = &b->h->nodes[b->s->plan->nodes[b->s->plan->waves[0].nodes[0]].node];

    n->phase = phase;
    n->life = n->ops_life = n->attempt = 1;
    n->out = true;
    n->out_since = START_MS;
    b->h->waves[0].state = WAVE_RUNNING;
    b->h->state = RUN_RUNNING;
    return n;
}

static void test_what_a_node_comes_to(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(homes); i++) {
        struct handover_bed b;
        struct handover_node *n;
        enum node_end is;

        handover_bed_begin(&b, WAVES, "");
        n = out_in(&b, NODE_RESUMING);
        n->back = homes[i].back;
        n->effect = homes[i].effect;
        n->patched = homes[i].patched;
        n->proved = homes[i].proved;
        n->reason = homes[i].reason;
        n->build_now = homes[i].now;
        check_ok(handover_bed_take(&b), &b.s->err);
        is = b.e->nodes[n->node].home_end;
        if (is != homes[i].want)
            fail_msg("row %u: %s, not %s", i, node_end_names[is], node_end_names[homes[i].want]);
        assert_int_equal(b.e->nodes[n->node].verified, is == NODE_DONE || is == NODE_ROLLED_BACK);
        handover_bed_end(&b);
    }
}

/* I17: a hotpatch's number above the target's was there before; only another one tells that something is in. */
static enum node_end hotpatched_comes_to(struct build before, struct build now)
{
    struct handover_bed b;
    struct handover_node *n;
    enum node_end is;

    handover_bed_begin(&b, WAVES, "");
    n = out_in(&b, NODE_RESUMING);
    n->effect = n->proved = true;
    n->build_before = before;
    n->level_before = (struct build)BEFORE;
    n->build_now = now;
    check_ok(handover_bed_take(&b), &b.s->err);
    is = b.e->nodes[n->node].home_end;
    assert_int_equal(build_compare(b.e->nodes[n->node].level_first, (struct build)BEFORE), 0);
    handover_bed_end(&b);
    return is;
}

static void test_what_a_hotpatched_node_comes_to(void **state)
{
    const struct build hotpatch = { 26100, 4361 };

    (void)state;
    assert_int_equal(hotpatched_comes_to(hotpatch, (struct build)TARGET), NODE_DONE);
    assert_int_equal(hotpatched_comes_to(hotpatch, hotpatch), NODE_SET_ASIDE);
}

/* What it is on the way to, and at which step it stands. */
static const struct {
    enum node_phase phase;
    bool back, effect, rebooted, paused, if_required;
    enum node_goal goal;
    uint32_t step;
    bool reboot_due, reboot_sent;
} ways[] = {
    { NODE_DRAINING, false, false, false, true, false, GOAL_INSTALL, DRAIN_MOVES, true, false },
    { NODE_DRAINING, true, false, false, true, false, GOAL_REMOVE, DRAIN_MOVES, true, false },
    { NODE_DRAINING, false, false, false, true, true, GOAL_INSTALL, DRAIN_MOVES, false, false },
    { NODE_REBOOTING, false, false, false, true, true, GOAL_REBOOT_FIRST, 0, true, false },
    { NODE_REBOOTING, false, true, false, true, true, GOAL_INSTALL, 0, true, false },
    { NODE_REBOOTING, false, true, true, true, true, GOAL_INSTALL, 0, true, true },
    { NODE_VERIFYING, false, true, true, true, true, GOAL_INSTALL, 0, true, false },
    { NODE_VERIFYING, false, true, false, true, true, GOAL_INSTALL, 0, false, false },
    { NODE_RESUMING, false, true, true, true, false, GOAL_INSTALL, RESUME_COMPARE, true, false },
    { NODE_RESUMING, false, true, true, false, false, GOAL_INSTALL, RESUME_VMS, true, false },
};

static void test_where_a_node_stands(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(ways); i++) {
        struct handover_bed b;
        struct handover_node *from;
        const struct engine_node *n;

        handover_bed_begin(&b, WAVES,
                           ways[i].if_required ? SCENARIO_PATCH(",\"reboot\":\"if_required\"") : "");
        from = out_in(&b, ways[i].phase);
        from->back = ways[i].back;
        from->patched = from->back;
        from->effect = ways[i].effect;
        from->rebooted = ways[i].rebooted;
        from->paused = ways[i].paused;
        check_ok(handover_bed_take(&b), &b.s->err);
        n = &b.e->nodes[from->node];
        if (n->goal != ways[i].goal || n->step != ways[i].step || n->reboot_due != ways[i].reboot_due ||
            n->reboot_sent != ways[i].reboot_sent)
            fail_msg("row %u: goal %u, step %u, reboot due %d, sent %d", i, n->goal, n->step, n->reboot_due,
                     n->reboot_sent);
        assert_true(n->counted_out);
        handover_bed_end(&b);
    }
}

/* A verified node whose way back had removed nothing is proved still; one that had is not, nor one that never was. */
static void test_proof_of_a_node_that_goes_back(void **state)
{
    static const struct {
        bool effect, proved, want;
    } rows[] = { { false, true, true }, { true, true, false }, { false, false, false } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct handover_bed b;
        struct handover_node *n;

        handover_bed_begin(&b, WAVES, "");
        n = out_in(&b, NODE_REMOVING);
        n->back = true;
        n->effect = rows[i].effect;
        n->patched = true;
        n->proved = rows[i].proved;
        check_ok(handover_bed_take(&b), &b.s->err);
        assert_int_equal(b.e->nodes[n->node].proved, rows[i].want);
        handover_bed_end(&b);
    }
}

/* Not begun is not begun: such a life and attempt are counted once more; a way back that had not begun ends, and nobody
 * vouches for its node, verified or not (I17). */
static const struct {
    enum node_phase phase;
    bool back, proved;
    uint32_t life, ops_life, attempt; /* as left */
    enum node_end end;
    uint32_t life_now, attempt_now;
} waits[] = {
    { NODE_PENDING, false, false, 0, 0, 0, NODE_END_NONE, 0, 0 },
    { NODE_CHECKING, false, false, 1, 0, 1, NODE_END_NONE, 0, 0 },
    { NODE_STAGING, false, false, 2, 1, 2, NODE_END_NONE, 1, 1 },
    { NODE_STAGING, false, false, 1, 1, 1, NODE_END_NONE, 1,
      0 }, /* it had an operation: a setting of its cluster */
    { NODE_STAGING, false, false, 0, 1, 0, NODE_END_NONE, 0, 0 },
    { NODE_CHECKING, true, true, 2, 1, 1, NODE_SET_ASIDE, 2, 1 },
    { NODE_CHECKING, true, false, 2, 1, 1, NODE_SET_ASIDE, 2, 1 },
};

static void test_what_had_not_begun(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(waits); i++) {
        struct handover_bed b;
        struct handover_node *from;
        const struct engine_node *n;

        handover_bed_begin(&b, WAVES, "");
        from = out_in(&b, waits[i].phase);
        from->out = false;
        b.h->waves[0].state = WAVE_WAITING;
        from->back = waits[i].back;
        from->patched = waits[i].back;
        from->proved = waits[i].proved;
        from->life = waits[i].life;
        from->ops_life = waits[i].ops_life;
        from->attempt = waits[i].attempt;
        check_ok(handover_bed_take(&b), &b.s->err);
        n = &b.e->nodes[from->node];
        if (n->end != waits[i].end || n->life != waits[i].life_now || n->attempt != waits[i].attempt_now)
            fail_msg("row %u: %s, life %u, attempt %u", i, node_end_names[n->end], n->life, n->attempt);
        handover_bed_end(&b);
    }
}

/* What ended stays as it was judged: who is patched, who still counts as out. */
static void test_what_had_ended(void **state)
{
    static const struct {
        enum node_end end;
        bool out, verified, patched, counts;
    } rows[] = {
        { NODE_DONE, false, true, true, false },          { NODE_ROLLED_BACK, false, true, false, false },
        { NODE_COMPLIANT, false, false, true, false },    { NODE_SET_ASIDE, false, false, false, false },
        { NODE_STUCK, true, false, false, true },         { NODE_STUCK, false, false, false, true },
        { NODE_NOT_STARTED, false, false, false, false }, { NODE_NOT_STARTED, true, false, false, true },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct handover_bed b;
        struct handover_node *from;

        handover_bed_begin(&b, WAVES, "");
        from = out_in(&b, NODE_ENDED);
        from->end = rows[i].end;
        from->out = rows[i].out;
        check_ok(handover_bed_take(&b), &b.s->err);
        assert_int_equal(b.e->nodes[from->node].end, rows[i].end);
        assert_int_equal(b.e->nodes[from->node].verified, rows[i].verified);
        assert_int_equal(b.e->fleet.nodes[from->node].patched, rows[i].patched);
        assert_int_equal((b.e->fleet.nodes[from->node].out & OUT_STUCK) != 0, rows[i].counts);
        assert_int_equal(b.e->out_all, rows[i].out);
        handover_bed_end(&b);
    }
}

/* I12: what was only supposed to be in is so still, and what was given up here is no more than that; what was told is told. */
static void test_supposed_to_be_in(void **state)
{
    static const struct {
        bool patched, supposed, given_up, now;
    } rows[] = {
        { true, false, false, false }, { true, true, false, true },  { false, true, false, false },
        { false, false, true, true },  { true, false, true, false },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct handover_bed b;
        struct handover_node *from;
        const struct engine_node *n;

        handover_bed_begin(&b, WAVES, "");
        from = out_in(&b, NODE_ENDED);
        from->end = NODE_SET_ASIDE;
        from->out = false;
        from->patched = rows[i].patched;
        from->supposed = rows[i].supposed;
        if (rows[i].given_up) {
            one_op(b.h, ACT_INSTALL, "");
            ops[0].node = from->node;
        }
        check_ok(handover_bed_take(&b), &b.s->err);
        n = &b.e->nodes[from->node];
        if (n->patched_by_us != (rows[i].patched || rows[i].given_up) || (n->supposed_at != 0) != rows[i].now)
            fail_msg("row %u: %s, %s", i, n->patched_by_us ? "in" : "out",
                     n->supposed_at != 0 ? "supposed" : "told");
        handover_bed_end(&b);
    }
}

/* O15: what it carried is what the plan found running on it. */
static void test_its_former_load(void **state)
{
    struct handover_bed b;
    struct handover_node *from;
    struct inventory *inv = handover_bed_fleet();
    uint64_t mib = 0;

    (void)state;
    for (uint32_t i = 0; i < inv->n_vms; i += 2)
        inv->vms[i].state = VM_OFF;
    handover_bed_of(&b, inv, WAVES, "");
    from = out_in(&b, NODE_INSTALLING);
    for (uint32_t i = 0; i < inv->n_vms; i++)
        if (inv->vms[i].home == from->node && inv->vms[i].state == VM_RUNNING)
            mib += inv->vms[i].assigned_mib;
    check_ok(handover_bed_take(&b), &b.s->err);
    assert_int_equal(b.e->nodes[from->node].former_mib, mib);
    handover_bed_end(&b);
}

/* --- operations that were open --- */

static void park_on(struct handover *h, uint32_t node, bool down)
{
    park = (struct handover_park){ .node = node, .vm = VM0, .down = down };
    h->parks = &park;
    h->n_parks = 1;
}

/* Each is in doubt at the step that waits for it; a VM's needs the entry that it stands for. */
static void test_open_operations(void **state)
{
    static const struct {
        enum action action;
        enum node_phase phase;
        bool of_vm, parked; /* the VM has its entry */
        uint32_t step, open;
    } rows[] = {
        { ACT_PAUSE, NODE_DRAINING, false, false, DRAIN_PAUSE, 1 },
        { ACT_PARK_VM, NODE_DRAINING, true, true, DRAIN_PARKS, 1 },
        { ACT_PARK_VM, NODE_DRAINING, true, false, DRAIN_MOVES, 0 },
        { ACT_MOVE_GROUPS, NODE_DRAINING, false, true, DRAIN_GROUPS, 1 },
        { ACT_MOVE_VM, NODE_DRAINING, true, false, DRAIN_MOVES, 1 },
        { ACT_RESUME, NODE_RESUMING, false, true, RESUME_NODE, 1 },
        { ACT_UNPARK_VM, NODE_RESUMING, true, true, RESUME_VMS, 1 },
        { ACT_UNPARK_VM, NODE_RESUMING, true, false, RESUME_COMPARE, 0 },
        { ACT_MERGE, NODE_SETTLING, true, true, 0, 1 },
        { ACT_MERGE, NODE_SETTLING, true, false, 0, 0 },
        { ACT_STORAGE_OUT, NODE_STORAGE_OUT, false, false, 0, 1 },
        { ACT_PAUSE, NODE_STAGING, false, false, 0, 0 }, /* it is not out: nothing is waited for */
        { ACT_CLUSTER_SETTING, NODE_STAGING, false, false, 0, 1 },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct handover_bed b;
        struct handover_node *n;

        handover_bed_begin(&b, WAVES, "");
        n = out_in(&b, rows[i].phase);
        n->paused = true;
        if (rows[i].parked)
            park_on(b.h, n->node, true);
        one_op(b.h, rows[i].action, rows[i].of_vm ? VM0 : "");
        ops[0].node = n->node;
        ops[0].receiver = rows[i].action == ACT_MOVE_VM ? (n->node + 1) % 4 : IX_NONE;
        check_ok(handover_bed_take(&b), &b.s->err);
        if (engine_ops_open(b.e) != rows[i].open || b.e->nodes[n->node].step != rows[i].step)
            fail_msg("row %u: %u open, step %u", i, engine_ops_open(b.e), b.e->nodes[n->node].step);
        if (rows[i].parked)
            assert_true(b.e->nodes[n->node].parks.items[0].down);
        handover_bed_end(&b);
    }
}

/* An installation that was sent once is called off before it began, and nothing is in. Of one that was sent twice the first may have
 * been at work, its journal lost: the node is asked (I17, O10). */
static void test_sent_twice_and_called_off(void **state)
{
    (void)state;
    for (uint32_t sends = 1; sends <= 2; sends++) {
        struct handover_bed b;
        struct handover_node *n;
        struct event ev = { .type = EV_OP_RESULT, .at = START_MS + 1000, .cluster = IX_NONE };

        handover_bed_begin(&b, WAVES, "");
        n = out_in(&b, NODE_INSTALLING);
        n->paused = true;
        n->attempts[ACT_INSTALL] = 1;
        one_op(b.h, ACT_INSTALL, "");
        ops[0].node = ev.node = n->node;
        ops[0].sends = sends;
        check_ok(handover_bed_take(&b), &b.s->err);
        command_list_reset(&b.out);
        ev.u.op_result.record = (struct op_record){ .op = ops[0].id,
                                                    .action = "install",
                                                    .state = OP_DONE,
                                                    .outcome = OUTCOME_CANCELLED,
                                                    .boot_id = "b" };
        check_ok(engine_step(b.e, &ev, &b.out, &b.s->err), &b.s->err);
        assert_int_equal(engine_ops_open(b.e), 0);
        assert_string_equal(node_phases[b.e->nodes[n->node].phase].name,
                            node_phases[sends == 1 ? NODE_STARTING_VMMS : NODE_VERIFYING].name);
        handover_bed_end(&b);
    }
}

/* Of two parked VMs the one of the operation is looked at. */
static void test_the_right_one_of_two_parked(void **state)
{
    struct handover_park two[2];
    struct handover_bed b;
    struct handover_node *n;

    (void)state;
    handover_bed_begin(&b, WAVES, "");
    n = out_in(&b, NODE_RESUMING);
    two[0] = (struct handover_park){ .node = n->node, .vm = VM0, .down = true };
    two[1] = (struct handover_park){ .node = n->node, .vm = VM1, .down = true };
    b.h->parks = two;
    b.h->n_parks = 2;
    one_op(b.h, ACT_UNPARK_VM, VM1);
    ops[0].node = n->node;
    check_ok(handover_bed_take(&b), &b.s->err);
    assert_int_equal(b.e->nodes[n->node].park_at, 1);
    handover_bed_end(&b);
}

/* --- how the run goes on --- */

static void gate_says(struct handover *h, uint32_t wave, bool after, bool done, enum gate_answer answer)
{
    gate = (struct handover_gate){
        .name = "after", .text = "", .wave = wave, .after = after, .done = done, .answer = answer
    };
    h->gates = &gate;
    h->n_gates = 1;
}

static void wave_failed(struct handover *h)
{
    h->waves[0].state = WAVE_FAILED;
    gate_says(h, 0, true, true, ANSWER_FAIL);
}
static void failed_before(struct handover *h)
{
    wave_failed(h);
    gate.after = false;
}
static void failed_in_another_wave(struct handover *h)
{
    wave_failed(h);
    gate.wave = 1;
}
static void failed_but_not_done(struct handover *h)
{
    wave_failed(h);
    gate.done = false;
}
static void passed_in_a_failed_wave(struct handover *h)
{
    wave_failed(h);
    gate.answer = ANSWER_PASS;
}
static void another_gate_failed(struct handover *h)
{
    wave_failed(h);
    gate.name = "other";
}
static void rolling_back(struct handover *h)
{
    h->state = RUN_ROLLING_BACK;
}
static void rollback_said(struct handover *h)
{
    h->log.rollback_said = true;
    h->end_text = "the board wants it so";
}
static void a_node_goes_back(struct handover *h)
{
    h->nodes[0].back = true;
}
static void abort_said(struct handover *h)
{
    h->log.abort_said = true;
}
static void aborted_while_going_back(struct handover *h)
{
    rolling_back(h);
    abort_said(h);
}
static void all_passed(struct handover *h)
{
    h->wave = h->n_waves - 1;
    h->waves[h->wave].state = WAVE_PASSED;
}
static void first_passed(struct handover *h)
{
    h->waves[0].state = WAVE_PASSED;
}
static void halted(struct handover *h)
{
    h->state = RUN_HALTED;
}

static void test_how_it_goes_on(void **state)
{
    static const struct {
        void (*change)(struct handover *h);
        const char *on_fail;
        enum run_state ending; /* RUN_RUNNING: it goes forward */
        enum run_state now;
    } rows[] = {
        { nothing, "halt", RUN_RUNNING, RUN_RUNNING },
        { first_passed, "halt", RUN_RUNNING, RUN_RUNNING },
        { all_passed, "halt", RUN_FINISHED, RUN_RUNNING },
        { wave_failed, "halt", RUN_HALTED, RUN_RUNNING },
        { wave_failed, "rollback", RUN_HALTED, RUN_ROLLING_BACK },
        { failed_before, "rollback", RUN_HALTED, RUN_RUNNING },
        { failed_in_another_wave, "rollback", RUN_HALTED, RUN_RUNNING },
        { failed_but_not_done, "rollback", RUN_HALTED, RUN_RUNNING },
        { passed_in_a_failed_wave, "rollback", RUN_HALTED, RUN_RUNNING },
        { another_gate_failed, "rollback", RUN_HALTED, RUN_RUNNING },
        { rolling_back, "halt", RUN_HALTED, RUN_ROLLING_BACK },
        { rollback_said, "halt", RUN_HALTED, RUN_ROLLING_BACK },
        { a_node_goes_back, "halt", RUN_HALTED, RUN_ROLLING_BACK },
        { abort_said, "halt", RUN_ABORTED, RUN_RUNNING },
        { aborted_while_going_back, "halt", RUN_ABORTED, RUN_ROLLING_BACK },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        const char *waived =
            ",\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"C1\"}]";
        struct buf more = BUF_INIT;
        struct handover_bed b;

        buf_printf(&more, "%s%s%s", strcmp(rows[i].on_fail, "halt") == 0 ? GATES("halt") : GATES("rollback"),
                   ",\"policy\":{\"rollback\":\"run\"}", waived);
        handover_bed_begin(&b, WAVES, buf_text(&more));
        buf_clear(&more);
        b.h->state = RUN_RUNNING;
        b.h->nodes[0].life = 1;
        rows[i].change(b.h);
        check_ok(handover_bed_take(&b), &b.s->err);
        if (b.e->ending != rows[i].ending || b.e->state != rows[i].now)
            fail_msg("row %u: comes to %s, is %s", i, run_states[b.e->ending].name,
                     run_states[b.e->state].name);
        assert_int_equal(strstr(b.e->end_text, "`rollback` begins it again") != NULL,
                         rows[i].ending == RUN_HALTED && rows[i].now == RUN_ROLLING_BACK);
        assert_int_equal(strstr(b.e->end_text, "the board wants it so; ") != NULL,
                         rows[i].change == rollback_said);
        handover_bed_end(&b);
    }
}

/* What is over stays over, and a setting that was ours is left with a word, not put back behind people's backs. */
static void test_a_run_that_is_over(void **state)
{
    static const struct {
        bool over;
        enum setting_state was, is;
    } rows[] = {
        { true, SETTING_SET, SETTING_LEFT },       { true, SETTING_SETTING, SETTING_LEFT },
        { true, SETTING_RESTORING, SETTING_LEFT }, { true, SETTING_RESTORED, SETTING_RESTORED },
        { false, SETTING_SET, SETTING_SET },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct handover_bed b;

        handover_bed_begin(&b, WAVES, "");
        b.h->state = RUN_RUNNING;
        if (rows[i].over)
            halted(b.h);
        b.h->settings[SETTING_BALANCER].state = rows[i].was;
        check_ok(handover_bed_take(&b), &b.s->err);
        assert_int_equal(b.e->clusters[0].settings[SETTING_BALANCER].state, rows[i].is);
        assert_int_equal(b.e->state, rows[i].over ? RUN_HALTED : RUN_RUNNING);
        handover_bed_end(&b);
    }
}

/* A hold that a person leads out of goes on; one that the engine judges is judged anew. */
static void test_holds(void **state)
{
    static const struct {
        const char *text;
        enum run_state want;
    } rows[] = {
        { "paused by an operator", RUN_HOLDING },
        { "a gate has no answer: silence", RUN_HOLDING },
        { "a manual gate waits: go?", RUN_HOLDING },
        { "no change window is open", RUN_RUNNING },
        { "the outcome on a node is not known", RUN_RUNNING },
        { "more deviations from the plan than it allows", RUN_HOLDING },
        { "the rehearsal found the package not removable", RUN_HOLDING },
        { "a word of another revision", RUN_HOLDING },
    };
    static const enum wave_state waves[] = { WAVE_RUNNING, WAVE_GATE_BEFORE, WAVE_GATE_AFTER, WAVE_EVIDENCE };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++)
        for (unsigned k = 0; k < TABLE_LEN(waves); k++) {
            struct handover_bed b;
            bool gates = waves[k] == WAVE_GATE_BEFORE || waves[k] == WAVE_GATE_AFTER;
            bool of_gate = strncmp(rows[i].text, "a ", 2) == 0 && strstr(rows[i].text, "gate") != NULL;

            handover_bed_begin(&b, WAVES, GATES("halt"));
            b.h->state = RUN_HOLDING;
            b.h->hold_text = rows[i].text;
            b.h->waves[0].state = waves[k];
            check_ok(handover_bed_take(&b), &b.s->err);
            if (b.e->state != rows[i].want)
                fail_msg("%s: %s", rows[i].text, run_states[b.e->state].name);
            if (gates && (b.e->gate_runs.n > b.h->n_gates) ==
                             of_gate) /* asked anew, but for the gate that people are asked about */
                fail_msg("%s while %s: %u gates asked", rows[i].text, wave_states[waves[k]].name,
                         b.e->gate_runs.n);
            handover_bed_end(&b);
        }
}

/* A person let it go on beyond the plan's own bound: it is not held again for the same deviations. */
static void test_deviations(void **state)
{
    struct handover_bed b;
    uint32_t allowed;

    (void)state;
    handover_bed_begin(&b, WAVES, "");
    allowed = b.s->plan->rollout->policy.deviations_max;
    b.h->deviations = allowed + 3;
    check_ok(handover_bed_take(&b), &b.s->err);
    assert_int_equal(b.e->deviations_allowed, allowed + 3);
    handover_bed_end(&b);
}

/* Who counts as failed is shared out from the wave's own sum: sure ends first, then who came back. */
static void test_failures_are_shared_out(void **state)
{
    static const struct {
        enum node_end ends[3];
        uint32_t failures;
        const char *failed; /* by node of the second wave */
    } rows[] = {
        { { NODE_SET_ASIDE, NODE_RETURNED, NODE_DONE }, 1, "100" },
        { { NODE_RETURNED, NODE_SET_ASIDE, NODE_DONE }, 1, "010" },
        { { NODE_RETURNED, NODE_STUCK, NODE_DONE }, 2, "110" },
        { { NODE_RETURNED, NODE_RETURNED, NODE_DONE }, 1, "100" },
        { { NODE_SET_ASIDE, NODE_SET_ASIDE, NODE_DONE }, 1, "100" },
        { { NODE_SET_ASIDE, NODE_RETURNED, NODE_DONE }, 0, "000" }, /* by hand: it spent nothing */
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct handover_bed b;
        char is[4] = "";
        uint32_t k = 0;

        handover_bed_begin(&b, WAVES, "");
        b.h->wave = 1;
        b.h->waves[0].state = WAVE_PASSED;
        b.h->waves[1].state = WAVE_RUNNING;
        b.h->waves[1].failures = rows[i].failures;
        for (uint32_t n = 0; n < 4; n++) {
            b.h->nodes[n].phase = NODE_ENDED;
            b.h->nodes[n].end = NODE_DONE;
            if (b.s->engine->nodes[n].wave == 1)
                b.h->nodes[n].end = rows[i].ends[k++];
        }
        check_ok(handover_bed_take(&b), &b.s->err);
        k = 0;
        for (uint32_t n = 0; n < 4; n++)
            if (b.e->nodes[n].wave == 1)
                is[k++] = b.e->nodes[n].failed ? '1' : '0';
        assert_string_equal(is, rows[i].failed);
        handover_bed_end(&b);
    }
}

/* O14: a rehearsal goes on where it stood; no other node of the wave begins before it is through. */
static void test_a_rehearsal(void **state)
{
    static const struct {
        enum node_phase phase;
        bool back, known, possible;
        uint32_t rehearsal; /* lives behind it */
        enum node_phase now;
        uint32_t others; /* of the wave that have begun */
    } rows[] = {
        { NODE_PENDING, false, false, false, 0, NODE_CHECKING, 0 },
        { NODE_PENDING, true, false, false, 1, NODE_CHECKING, 0 },
        { NODE_PENDING, false, true, true, 2, NODE_CHECKING, 0 },
        { NODE_PENDING, false, true, false, 0, NODE_CHECKING, 0 },
        { NODE_INSTALLING, false, false, false, 0, NODE_INSTALLING, 0 },
        { NODE_ENDED, false, true, true, 2, NODE_ENDED, 3 },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct handover_bed b;
        struct handover_node *n;
        uint32_t others = 0;

        handover_bed_begin(&b, "[\"100%\"]", REHEARSE);
        n = out_in(&b, rows[i].phase);
        n->back = rows[i].back;
        n->out = false;
        n->end = rows[i].phase == NODE_ENDED ? NODE_DONE : NODE_END_NONE;
        b.h->log.removal_known = rows[i].known;
        b.h->log.removal_possible = rows[i].possible;
        check_ok(handover_bed_take(&b), &b.s->err);
        for (uint32_t k = 0; k < 4; k++)
            others += k != n->node && b.e->nodes[k].phase != NODE_PENDING;
        if (b.e->nodes[n->node].rehearsal != rows[i].rehearsal || b.e->nodes[n->node].phase != rows[i].now ||
            others != rows[i].others)
            fail_msg("row %u: rehearsal %u, %s, %u others", i, b.e->nodes[n->node].rehearsal,
                     node_phases[b.e->nodes[n->node].phase].name, others);
        handover_bed_end(&b);
    }
}

/* A VM of the inventory that nobody knows the place of is gone; another's is where it was told, or nowhere. */
static void test_where_vms_are(void **state)
{
    struct handover_vm vms[] = { { .id = VM0, .at = IX_NONE, .cluster = 0, .moves = 3 },
                                 { .id = VM1, .at = 2, .cluster = 0 },
                                 { .id = STRANGE, .at = IX_NONE, .cluster = 0, .ops = 7 } };
    const struct fleet *fleet;
    struct handover_bed b;
    uint32_t ix;

    (void)state;
    handover_bed_begin(&b, WAVES, "");
    b.h->vms = vms;
    b.h->n_vms = TABLE_LEN(vms);
    check_ok(handover_bed_take(&b), &b.s->err);
    fleet = engine_fleet(b.e);
    assert_true(fleet->vms.items[inventory_vm(b.s->plan->inv, VM0)].gone);
    assert_int_equal(fleet->vms.items[inventory_vm(b.s->plan->inv, VM0)].moves, 3);
    assert_int_equal(fleet->vms.items[inventory_vm(b.s->plan->inv, VM1)].at, 2);
    ix = fleet_vm_by_id(fleet, STRANGE);
    assert_int_equal(fleet->vms.items[ix].at, IX_NONE);
    assert_int_equal(b.e->vms[ix].ops, 7);
    handover_bed_end(&b);
}

/* Every node has the patch already: a plan without a wave is over at once, also for the next revision. */
static void test_a_run_with_nothing_to_do(void **state)
{
    const struct fleet_words words = { .clusters = 1, .nodes = 2, .vms = 1 };
    struct inventory *inv = small_fleet(&words);
    struct scenario *s;

    (void)state;
    for (uint32_t i = 0; i < inv->n_nodes; i++)
        inv->nodes[i].build = (struct build)TARGET;
    s = scenario_of(inv, WAVES, "");
    assert_int_equal(s->plan->n_waves, 0);
    scenario_start(s);
    scenario_upgrade(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_COMPLIANT), 2);
    scenario_replays(s);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_cannot_be),
        cmocka_unit_test(test_what_a_node_comes_to),
        cmocka_unit_test(test_what_a_hotpatched_node_comes_to),
        cmocka_unit_test(test_where_a_node_stands),
        cmocka_unit_test(test_proof_of_a_node_that_goes_back),
        cmocka_unit_test(test_what_had_not_begun),
        cmocka_unit_test(test_what_had_ended),
        cmocka_unit_test(test_supposed_to_be_in),
        cmocka_unit_test(test_its_former_load),
        cmocka_unit_test(test_open_operations),
        cmocka_unit_test(test_sent_twice_and_called_off),
        cmocka_unit_test(test_the_right_one_of_two_parked),
        cmocka_unit_test(test_how_it_goes_on),
        cmocka_unit_test(test_a_run_that_is_over),
        cmocka_unit_test(test_holds),
        cmocka_unit_test(test_deviations),
        cmocka_unit_test(test_failures_are_shared_out),
        cmocka_unit_test(test_a_rehearsal),
        cmocka_unit_test(test_where_vms_are),
        cmocka_unit_test(test_a_run_with_nothing_to_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
