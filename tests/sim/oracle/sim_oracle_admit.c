/* Judged when an agent makes ACCEPT and START durable. */
#include "tests/sim/oracle/sim_oracle.h"

#include <string.h>

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

bool oracle_goes_home(const char *action)
{
    static const char *const ways[] = { "resume", "storage_in",      "start_vmms",   "unpark_vm",
                                        "merge",  "cluster_setting", "fetch_package" };

    for (unsigned i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if (is(action, ways[i]))
            return true;
    return false;
}

static bool disrupts(const char *action)
{
    static const char *const such[] = { "pause", "move_vm", "park_vm", "install", "uninstall", "reboot" };

    for (unsigned i = 0; i < sizeof such / sizeof such[0]; i++)
        if (is(action, such[i]))
            return true;
    return false;
}

/* I20: at ACCEPT and once more at START, between which another may have claimed the node. */
static void check_claim(struct sim_oracle *o, uint32_t node, const char *op, const char *did, int64_t epoch,
                        const char *controller)
{
    const struct oracle_claim *c = &o->nodes[node].claim;

    o->checks[20]++;
    if (epoch != c->epoch || !is(controller, c->controller))
        oracle_break(o, 20, "%s %s %s of epoch %lld, claimed by epoch %lld", o->w->nodes[node].id, did, op,
                     (long long)epoch, (long long)c->epoch);
}

/* C.5: what lay in a queue is void. An order counts for a minute from when it was decided, last. */
static void check_in_time(struct sim_oracle *o, const struct oracle_intent *x)
{
    o->checks[20]++;
    if (o->w->now - x->sent_at > MINUTE_MS)
        oracle_break(o, 20, "%s is admitted %lld s after it was sent", x->op,
                     (long long)((o->w->now - x->sent_at) / SECOND_MS));
}

/* I18: what an agent admits was an intent in the store of who sent it. I20. */
void oracle_accepted(struct sim_oracle *o, uint32_t node, uint32_t store, const char *op, const char *action,
                     int64_t epoch, const char *controller)
{
    struct oracle_intent *x = oracle_find(o, store, op);

    o->checks[18]++;
    o->checks[24]++;
    if (x == NULL) {
        oracle_break(o, 18, "%s admitted %s, which no store holds as an intent", o->w->nodes[node].id, op);
        return;
    }
    x->accepted = true;
    if (x->node != node)
        oracle_break(o, 16, "%s admitted %s, meant for another node", o->w->nodes[node].id, op);
    if (!o->stores[x->store].approved)
        oracle_break(o, 24, "%s admitted %s without an approval", o->w->nodes[node].id, op);
    if (!is(x->action, action))
        oracle_break(o, 24, "%s admitted %s as %s", o->w->nodes[node].id, op, action);
    check_claim(o, node, op, "admitted", epoch, controller);
    check_in_time(o, x);
}

static uint32_t nodes_out(const struct sim_world *w, uint32_t cluster, uint32_t besides)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < w->n_nodes; i++)
        n += i != besides && w->nodes[i].out_since != 0 &&
             (cluster == WORLD_NONE || w->nodes[i].cluster == cluster);
    return n;
}

/* I4: votes. A node that is up votes, paused or not (O20). */
static void check_quorum(struct sim_oracle *o, uint32_t node)
{
    const struct sim_world *w = o->w;
    const struct world_cluster *c = &w->clusters[w->nodes[node].cluster];
    uint32_t all = c->witness, up = c->witness && c->witness_online, ours = 0;

    for (uint32_t i = 0; i < w->n_nodes; i++) {
        if (w->nodes[i].cluster != w->nodes[node].cluster)
            continue;
        all++;
        up += i != node && world_node_up(w, i);
        ours += i == node || (w->nodes[i].out_since != 0 && !world_node_up(w, i));
    }
    o->checks[4]++;
    if (oracle_recent(o, w->nodes[node].cluster))
        return;
    if (up * 2 <= all)
        oracle_break(o, 4, "with %s down %s has %u of %u votes", w->nodes[node].id, c->id, up, all);
    else if ((all - 2) * 2 > all && ours + up == all && (up - 1) * 2 <= all)
        oracle_break(o, 4, "with %s down %s cannot bear one more loss (%u of %u votes)", w->nodes[node].id,
                     c->id, up, all);
}

/* I5, I6 */
static void check_storage(struct sim_oracle *o, uint32_t node)
{
    const struct sim_world *w = o->w;
    uint32_t k = w->nodes[node].cluster, others = nodes_out(w, k, node);
    const struct world_cluster *c = &w->clusters[k];

    if (!c->s2d)
        return;
    o->checks[5]++;
    if (others > 0 && !c->waive_rack)
        oracle_break(o, 5, "%s is drained while another node of %s is out", w->nodes[node].id, c->id);
    if (others > 1)
        oracle_break(o, 5, "three nodes of %s would be out", c->id);
    for (uint32_t i = 0; i < w->n_nodes; i++)
        if (i != node && w->nodes[i].cluster == k && w->nodes[i].out_since != 0 &&
            !is(w->nodes[i].rack, w->nodes[node].rack))
            oracle_break(o, 5, "%s and %s are out, of two fault domains", w->nodes[i].id, w->nodes[node].id);
    o->checks[6]++;
    if (!world_storage_whole(w, k) &&
        (c->dirty_since == 0 || w->now - c->dirty_since > o->policy.fresh_ms + o->policy.slack_ms))
        oracle_break(o, 6, "%s is drained while %s repairs", w->nodes[node].id, c->id);
}

static uint32_t stuck_of(const struct oracle_store *s)
{
    uint32_t nodes = 0;

    for (uint32_t i = 0; i < WORLD_NODES; i++)
        if (s->ends[i] == ORACLE_END_STUCK)
            nodes |= 1u << i;
    return nodes;
}

/* I2, I3: the world agrees that it fits. */
static void check_fit(struct sim_oracle *o, const struct oracle_intent *x)
{
    uint32_t node = x->node;
    uint64_t unseen = x->unseen;
    const struct world_cluster *c = &o->w->clusters[o->w->nodes[node].cluster];

    o->checks[2]++;
    if (oracle_recent(o, o->w->nodes[node].cluster))
        return;
    if (!oracle_fits(o->w, node, unseen))
        oracle_break(o, 2, "the VMs of %s fit nowhere", o->w->nodes[node].id);
    else if (!oracle_fits_together(o->w, node, unseen))
        oracle_break(o, 2, "the VMs of %s and of the other nodes that are out fit nowhere together",
                     o->w->nodes[node].id);
    o->checks[3]++;
    if (!is(c->reserve, "none") && !c->waive_none &&
        !oracle_room_for_one_more(o->w, node, is(c->reserve, "protected"), unseen,
                                  stuck_of(&o->stores[x->store])))
        oracle_break(o, 3, "with %s out %s has no room for one more loss", o->w->nodes[node].id, c->id);
}

static void check_caps(struct sim_oracle *o, uint32_t node)
{
    const struct sim_world *w = o->w;
    const struct world_cluster *c = &w->clusters[w->nodes[node].cluster];
    uint32_t here = 1 + nodes_out(w, w->nodes[node].cluster, node), all = 1 + nodes_out(w, WORLD_NONE, node);

    o->checks[10]++;
    if (here > c->max_out)
        oracle_break(o, 10, "%u nodes of %s out, allowed are %u", here, c->id, c->max_out);
    if (all > o->policy.max_out_fleet)
        oracle_break(o, 10, "%u nodes out, allowed are %u", all, o->policy.max_out_fleet);
}

static void check_drain(struct sim_oracle *o, const struct oracle_intent *x)
{
    uint32_t node = x->node;

    if (o->w->nodes[node].out_since != 0 || oracle_pauses_again(o, x))
        return; /* the same drain, told again */
    /* Proved on a picture that may be from before what others did last: what came of that is not the drain's. */
    o->nodes[node].exo_at_pause =
        oracle_recent(o, o->w->nodes[node].cluster) ? -1 : o->w->clusters[o->w->nodes[node].cluster].exo_at;
    o->nodes[node].unseen_at_pause = x->unseen;
    check_fit(o, x);
    check_quorum(o, node);
    check_storage(o, node);
    check_caps(o, node);
}

/* C.6: the receiver accepts each move too: an older controller cannot fill it. It accepts before the node has it in its journal, and
 * that may be full for a while. */
static void check_receiver(struct sim_oracle *o, const struct oracle_intent *x, int64_t epoch)
{
    const struct oracle_claim *c = x->to == WORLD_NONE ? NULL : &o->nodes[x->to].claim;

    o->checks[20]++;
    if (c != NULL && c->epoch > epoch && c->at + o->policy.slack_ms < x->at)
        oracle_break(o, 20, "%s moves to %s by epoch %lld, claimed by epoch %lld", x->op,
                     o->w->nodes[x->to].id, (long long)epoch, (long long)c->epoch);
}

/* I7 */
static void check_move(struct sim_oracle *o, const struct oracle_intent *x, int64_t epoch)
{
    const struct sim_world *w = o->w;
    const struct world_vm *v = x->vm == WORLD_NONE ? NULL : &w->vms[x->vm];
    uint32_t k = w->nodes[x->node].cluster;

    check_receiver(o, x, epoch);
    o->checks[7]++;
    if (v == NULL || v->gone || x->to == WORLD_NONE || oracle_recent(o, k))
        return;
    if (!world_may_own(w, v, x->to))
        oracle_break(o, 7, "%s is no possible owner of %s", w->nodes[x->to].id, v->id);
    if (!world_node_up(w, x->to))
        oracle_break(o, 7, "%s is to be moved to %s, which is down or no member", v->id, w->nodes[x->to].id);
    if (w->nodes[x->to].out_since != 0 || (w->nodes[x->to].paused && v->node != x->to))
        oracle_break(o, 7, "%s is to be moved to %s, which is out", v->id, w->nodes[x->to].id);
    if (!is(w->nodes[x->to].machine, w->nodes[x->to].machine_plan))
        oracle_break(o, 7, "%s is to be moved to %s, which is another machine", v->id, w->nodes[x->to].id);
    for (uint32_t i = 0; i < w->n_vms && v->hard; i++)
        if (i != x->vm && !w->vms[i].gone && w->vms[i].anti == v->anti && w->vms[i].hard &&
            world_vm_live(&w->vms[i]) && w->vms[i].node == x->to && w->vms[i].state != GUEST_MIGRATING)
            oracle_break(o, 7, "%s and %s must not meet on %s", v->id, w->vms[i].id, w->nodes[x->to].id);
    o->checks[9]++;
    if (v->dda || !v->clustered)
        oracle_break(o, 9, "%s cannot move and is sent to %s", v->id, w->nodes[x->to].id);
}

/* Of what took hold there the last was an installation. */
static bool put_in_by_a_run(const struct sim_oracle *o, uint32_t node)
{
    const struct oracle_intent *last = NULL;

    for (uint32_t i = 0; i < o->intents.n; i++) {
        const struct oracle_intent *x = &o->intents.items[i];

        if (x->node == node && x->applied > 0 && (is(x->action, "install") || is(x->action, "uninstall")) &&
            (last == NULL || x->at >= last->at)) /* a copy's stand behind what came after them */
            last = x;
    }
    return last != NULL && is(last->action, "install");
}

/* I15: what is at the target or newer is not installed onto, by whomever it came there. */
static void check_applies(struct sim_oracle *o, uint32_t node)
{
    const struct world_node *n = &o->w->nodes[node];

    if (put_in_by_a_run(o, node))
        return; /* ours, perhaps */
    o->checks[15]++;
    if (n->ubr >= WORLD_UBR_NEW && o->w->now - n->exo_at > 5 * SECOND_MS)
        oracle_break(o, 15, "%s is at %u and is installed onto", n->id, n->ubr);
}

/* I9 */
static void check_park(struct sim_oracle *o, const struct oracle_intent *x)
{
    const struct world_vm *v = x->vm == WORLD_NONE ? NULL : &o->w->vms[x->vm];

    o->checks[9]++;
    if (v == NULL || v->gone)
        return;
    if (!v->consent)
        oracle_break(o, 9, "%s is parked without consent", v->id);
    if (o->policy.consent_expires != 0 && x->at > o->policy.consent_expires)
        oracle_break(o, 9, "%s is parked after its consent's end", v->id);
}

bool oracle_drained_by(const struct sim_oracle *o, uint32_t store, uint32_t node,
                       const struct oracle_intent *besides)
{
    for (uint32_t i = o->intents.n; i-- > 0;) {
        const struct oracle_intent *x = &o->intents.items[i];

        if (x != besides && x->store == store && x->node == node &&
            (is(x->action, "pause") || is(x->action, "resume")))
            return is(x->action, "pause");
    }
    return false;
}

/* A reboot was sent there, and nothing has told its end: whatever it is that keeps the node away, it is waited for as for a boot. */
static bool boot_awaited(const struct sim_oracle *o, uint32_t store, uint32_t node)
{
    for (uint32_t i = o->intents.n; i-- > 0;) {
        const struct oracle_intent *x = &o->intents.items[i];

        if (x->store == store && x->node == node && is(x->action, "reboot"))
            return !x->outcome;
    }
    return false;
}

bool oracle_out_of_reach(const struct sim_oracle *o, uint32_t store, uint32_t node)
{
    const struct world_node *n = &o->w->nodes[node];
    time_ms at = n->power == POWER_ON ? n->cut_at : n->down_at, awake = o->stores[store].awake_since;
    dur_ms limit = o->policy.unreachable_ms;

    if (n->out_since == 0 || at == 0 || !oracle_drained_by(o, store, node, NULL))
        return false;
    if ((n->power != POWER_ON && n->down_by == DOWN_BY_OUR_REBOOT) || boot_awaited(o, store, node))
        limit += o->policy.reboot_limit_ms; /* it is waited for */
    at = at > awake ? at : awake;
    return o->w->now - at > limit + o->policy.fresh_ms + o->policy.slack_ms;
}

/* I11. A move off a node that is in service is an evidence load: it belongs to the node that gets it. */
static void check_order(struct sim_oracle *o, const struct oracle_intent *x)
{
    const struct oracle_store *s = &o->stores[x->store];
    bool load = is(x->action, "move_vm") && x->to != WORLD_NONE && o->w->nodes[x->node].out_since == 0 &&
                !oracle_drained_by(o, x->store, x->node, NULL);
    uint32_t node = load ? x->to : x->node, wave = o->policy.wave_of[node];
    /* once its way back has begun the package may be off */
    bool goes_back = x->back && (o->w->nodes[x->node].has_package ||
                                 (!is(x->action, "pause") && oracle_drained_by(o, x->store, x->node, NULL)));

    if (wave == WORLD_NONE) {
        oracle_break(o, 11, "%s is not in the plan and gets %s", o->w->nodes[node].id, x->op);
        return;
    }
    o->checks[11]++;
    for (uint32_t i = 0; i < wave && i < ORACLE_WAVES; i++)
        if (!s->passed[i] && !goes_back)
            oracle_break(o, 11, "%s of wave %u gets %s before wave %u has passed", o->w->nodes[node].id,
                         wave + 1, x->action, i + 1);
    if (wave < ORACLE_WAVES && !goes_back && !oracle_before_passed(o, x, wave))
        oracle_break(o, 11, "%s of wave %u gets %s before the gates before it have passed",
                     o->w->nodes[node].id, wave + 1, x->action);
}

/* I1, the node's own view right before: nothing lives there. */
static void check_empty(struct sim_oracle *o, uint32_t node, const char *action)
{
    o->checks[1]++;
    for (uint32_t i = 0; i < o->w->n_vms; i++) {
        const struct world_vm *v = &o->w->vms[i];
        bool arriving = v->state == GUEST_MIGRATING && v->to == node;

        if (v->gone || !world_vm_live(v) || (v->node != node && !arriving))
            continue;
        if (arriving || o->w->now - v->here_since > 5 * SECOND_MS)
            oracle_break(o, 1, "%s of %s begins while %s is on it", action, o->w->nodes[node].id, v->id);
    }
}

/* I19: the same op once more only when its witness said that it did not happen. */
static void check_once(struct sim_oracle *o, uint32_t node, struct oracle_intent *x)
{
    bool again = x->starts++ > 0 && !x->unrecorded;

    o->checks[19]++;
    if (again && (x->ended || !x->refuted))
        oracle_break(o, 19, "%s starts %s once more, %s", o->w->nodes[node].id, x->op,
                     x->ended ? "and it has ended" : "and nothing says that it did not happen");
    x->refuted = false;
}

/* I29: it comes back whole: disks in, vmms running. */
static void check_whole(struct sim_oracle *o, uint32_t node)
{
    const struct world_node *n = &o->w->nodes[node];

    o->checks[29]++;
    if (n->storage_out || !n->vmms)
        oracle_break(o, 29, "%s is resumed with its %s", n->id,
                     n->storage_out ? "disks in maintenance" : "vmms stopped");
}

void oracle_started(struct sim_oracle *o, uint32_t node, uint32_t store, const char *op, const char *action,
                    int64_t epoch, const char *controller)
{
    struct oracle_intent *x = oracle_find(o, store, op);
    const struct sim_world *w = o->w;

    o->nodes[node].start_at = w->now;
    o->nodes[node].store = store;
    if (x == NULL) {
        oracle_break(o, 18, "%s started %s, which no store holds as an intent", w->nodes[node].id, op);
        return;
    }
    if (!x->accepted)
        oracle_break(o, 18, "%s started %s without ACCEPT", w->nodes[node].id, op);
    x->started = true;
    if (!is(action, "cluster_setting") && !is(action, "move_vm"))
        o->stores[store].done_before[node] = false;
    check_claim(o, node, op, "started", epoch, controller);
    check_once(o, node, x);
    oracle_check_halted(o, x);
    if (is(action, "resume"))
        check_whole(o, node);
    o->checks[16]++;
    if (!is(w->nodes[node].machine, w->nodes[node].machine_plan))
        oracle_break(o, 16, "%s started %s and is another machine than planned", w->nodes[node].id, op);
    if (oracle_goes_home(action) || is(action, "bitlocker_suspend") || is(action, "checkpoint"))
        return;
    if (disrupts(action) && w->nodes[node].evicted && !oracle_recent(o, w->nodes[node].cluster))
        oracle_break(o, 16, "%s started %s and is no member of %s any more", w->nodes[node].id, op,
                     w->clusters[w->nodes[node].cluster].id);
    check_order(o, x);
    if (is(action, "pause"))
        check_drain(o, x);
    else if (is(action, "move_vm"))
        check_move(o, x, epoch);
    else if (is(action, "park_vm"))
        check_park(o, x);
    else if (is(action, "reboot"))
        check_quorum(o, node);
    if (is(action, "install") || is(action, "uninstall") || is(action, "reboot"))
        check_empty(o, node, action);
    if (is(action, "install"))
        check_applies(o, node);
}
