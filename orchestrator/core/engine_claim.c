/* Claims, fencing and lost connections (O17; docs/rules.md). */
#include "orchestrator/core/engine_state.h"

#include <string.h>

#define CLAIM_LIMIT_MS (10 * MINUTE_MS)
#define CLAIM_AGAIN_MS (1 * SECOND_MS)
#define CLAIM_DISK_MS (30 * SECOND_MS)

void claim_node(struct engine *e, struct engine_node *n)
{
    struct command *c = engine_command(e, CMD_CLAIM);

    c->node = n->ix;
    c->limit_ms = CLAIM_LIMIT_MS;
    c->journal = n->unread;
}

/* A person has looked at what was told until now, and not at what an overtaken log may have done since. A node that a person has put
 * back after the end comes home whatever that was. */
static void settled_till_now(const struct engine *e, struct engine_node *n)
{
    if (run_has_ended(e) && node_in_flight(n))
        return;
    if (n->foreign_settled && !n->unread)
        n->life_settled = n->life_heard;
    n->foreign_settled = n->foreign_settled && n->unread;
}

/* Another log may have gone on from where this one was: what a node's journal has of it, acknowledged there or not, is owed
 * until the node has told, whichever start hears it. */
void claim_overtaken(struct engine *e)
{
    e->overtook = true;
    for (uint32_t i = 0; i < e->inv->n_nodes; i++) {
        settled_till_now(e, &e->nodes[i]);
        e->nodes[i].unread = true;
        e->nodes[i].up_since = false;
    }
}

void claim_anew(struct engine *e, struct engine_node *n)
{
    n->claimed = n->claim_due = false;
    n->lost_at = e->now;
    claim_node(e, n);
    engine_timer(e, &n->link, e->now + e->rollout->policy.unreachable_ms);
}

/* Nodes out of scope too: one that has not accepted this controller counts as out. */
void claim_all(struct engine *e)
{
    for (uint32_t i = 0; i < e->inv->n_nodes; i++) {
        struct engine_node *n = &e->nodes[i];

        if (!e->clusters[n->cluster].in_scope)
            continue;
        n->refused = false;
        e->fleet.nodes[i].out |= OUT_UNCLAIMED;
        claim_anew(e, n);
    }
}

void claim_lost_again(struct engine *e)
{
    for (uint32_t i = 0; i < e->inv->n_nodes; i++) {
        struct engine_node *n = &e->nodes[i];

        if (!e->clusters[n->cluster].in_scope || n->claimed || n->refused)
            continue;
        n->claim_due = true;
        engine_timer(e, &n->link, e->now + CLAIM_AGAIN_MS);
    }
}

static bool right_machine(const struct engine *e, const struct engine_node *n, const struct event *ev)
{
    const char *pinned = e->inv->nodes[n->ix].machine_id;

    return pinned == NULL || ev->u.claimed.machine_id == NULL ||
           strcmp(pinned, ev->u.claimed.machine_id) == 0;
}

/* Out, and nobody can look: unknown, it keeps its slot and counts (O17). */
static void claim_unknown(struct engine *e, struct engine_node *n, const char *why)
{
    bool was = node_is_unknown(n);

    if (!node_in_flight(n) || n->lost_unknown)
        return;
    n->lost_unknown = true;
    FILL(n->doubt, why);
    node_unknown(e, n, was);
}

/* It was to be put back after the end, and cannot be: it is stuck as before, a person may try again (I27). */
static bool not_put_back(struct engine *e, struct engine_node *n, const char *why)
{
    char said[sizeof n->reason];

    if ((run_states[e->state].flags & SM_FINAL) == 0 || !node_in_flight(n))
        return false;
    FILL(said, why); /* it may be one of the sentences that the next steps say over */
    op_forget(e, n);
    node_end(e, n, NODE_STUCK, SAY(e, "not put back: %s", said));
    return true;
}

/* I16: another machine under this name; a person decides. */
static void claim_distrust(struct engine *e, struct engine_node *n, const char *why)
{
    n->refused = true;
    FILL(n->lost_why, why);
    n->claimed = n->staging = false;
    ask_drop_node(e, n->ix);
    e->fleet.nodes[n->ix].out |= OUT_UNCLAIMED;
    if (node_in_flight(n)) {
        FILL(n->doubt, why);
        claim_unknown(e, n, why);
    } else {
        FILL(n->reason, why);
    }
    engine_note(e, NOTE_WARNING, "I16", n->ix, why);
    (void)not_put_back(e, n, why);
    cluster_dirty(e, &e->clusters[n->cluster]);
    node_drive(e, n);
}

/* From here on its VMs are asked for: a picture that was asked for in this very millisecond, before that, lacks them. */
static void came_into_reach(const struct engine *e, struct engine_cluster *c)
{
    c->reached_at = e->now + (c->ask != NULL && c->ask->sent == e->now);
}

/* A copy may lack what another log has done to a node whose journal is lost: out here, it comes home whole (O12); else it may be out by
 * that log (I29). */
static void met_blank(struct engine_node *n)
{
    if (!node_in_flight(n))
        n->blank = true;
    else if (n->paused)
        n->vmms_touched = n->storage_touched = true;
}

void claim_on_claimed(struct engine *e, const struct event *ev)
{
    struct engine_node *n = &e->nodes[ev->node];
    struct engine_cluster *c = &e->clusters[n->cluster];

    if (!right_machine(e, n, ev)) {
        claim_distrust(e, n, SAY(e, "another machine answers as %s", node_id(e, n)));
        return;
    }
    if (!n->claimed)
        came_into_reach(e, c);
    n->claimed = n->seen = true;
    if (ev->u.claimed.blank && e->resumed)
        met_blank(n);
    n->unread = false;
    n->refused = false;
    if (n->lost_unknown) {
        n->lost_unknown = false;
        n->doubt[0] = '\0';
        node_unknown(e, n, true);
    }
    timer_stop(&e->timers, &n->link);
    e->fleet.nodes[n->ix].out &= ~(uint32_t)OUT_UNCLAIMED;
    if (ev->u.claimed.boot_id != NULL)
        FILL(n->boot_id, ev->u.claimed.boot_id);
    op_reclaimed(e, n, ev->u.claimed.ops, ev->u.claimed.n_ops);
    node_drive(e, n);
    ledger_look(e, n);
    cluster_dirty(e, c);
    if (c->wanted && c->ask == NULL)
        cluster_want(e, c);
}

/* Connection gone: what was asked is lost, what was begun is in doubt, and a claim is always under way. */
void claim_on_lost(struct engine *e, const struct event *ev)
{
    struct engine_node *n = &e->nodes[ev->node];

    if (n->claimed)
        n->lost_at = e->now;
    if (!n->refused) /* else it is not to be trusted, and that is why it has no turn (I16) */
        FILL(n->lost_why, ev->u.refused.text == NULL ? err_sentence(ev->u.refused.code) : ev->u.refused.text);
    n->claimed = false;
    n->staging = false;
    e->fleet.nodes[n->ix].out |= OUT_UNCLAIMED;
    ask_drop_node(e, n->ix);
    for (uint32_t i = 0; i < e->ops.n; i++)
        if (e->ops.items[i]->node == n->ix)
            e->ops.items[i]->probing = false;
    cluster_dirty(e, &e->clusters[n->cluster]);
    n->claim_due = true;
    engine_timer(e, &n->link, e->now + CLAIM_AGAIN_MS);
}

/* It could not write the claim down. Nobody is to be distrusted for that: as if the node had not been reached. */
static bool of_its_disk(enum err_code code)
{
    return code == ERR_FULL || code == ERR_IO || code == ERR_LOCKED;
}

void claim_on_refused(struct engine *e, const struct event *ev)
{
    struct engine_node *n = &e->nodes[ev->node];
    const char *text = ev->u.refused.text == NULL ? err_sentence(ev->u.refused.code) : ev->u.refused.text;

    if (ev->u.refused.code == ERR_FENCED || ev->u.refused.code == ERR_STALE) {
        /* The first refusal ends this controller, not the run: another one may be at work. */
        e->fenced = e->stopped = e->overtaken = true;
        FILL(e->fence_text, SAY(e, "%s: %s", node_id(e, n), text));
        run_rest(e, e->fence_text);
        return;
    }
    if (of_its_disk(ev->u.refused.code)) {
        claim_on_lost(e, ev);
        engine_timer(e, &n->link, e->now + CLAIM_DISK_MS);
        return;
    }
    claim_distrust(e, n, SAY(e, "%s: %s", err_name(ev->u.refused.code), text));
}

time_ms claim_gone_since(const struct engine *e, const struct engine_node *n)
{
    time_ms since = n->turn_since > n->lost_at ? n->turn_since : n->lost_at;

    return since > e->woke_at ? since : e->woke_at; /* its answer may have waited meanwhile */
}

/* The timer of a node without a connection: claim anew, then judge how long it is gone (O17). */
void claim_link_timeout(struct engine *e, struct engine_node *n)
{
    time_ms limit = claim_gone_since(e, n) + e->rollout->policy.unreachable_ms;

    if (n->claimed || n->refused)
        return;
    if (n->claim_due)
        claim_node(e, n);
    n->claim_due = false;
    if (e->now < limit) {
        engine_timer(e, &n->link, limit);
        return;
    }
    if (not_put_back(e, n, "unreachable"))
        return;
    if (n->phase != NODE_REBOOTING || n->op == NULL) /* a boot has its own deadline */
        claim_unknown(e, n, "unreachable while it is out (O17)");
    node_drive(e, n);
}
