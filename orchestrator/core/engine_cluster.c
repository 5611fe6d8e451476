/* The picture of a cluster: asked for when something depends on it, taken whole or not at all. */
#include "orchestrator/core/engine_state.h"

#include <string.h>

#define CLUSTER_AGAIN_MS (30 * SECOND_MS)
#define FAILBACK_MS (15 * MINUTE_MS) /* after the node is back */
#define CLUSTER_HELD_MS (60 * SECOND_MS)
#define CLEAN_APART_MS (30 * SECOND_MS) /* O21 */
#define UNSEEN_LIMIT_MS (4 * HOUR_MS)

void cluster_dirty(struct engine *e, struct engine_cluster *c)
{
    uint32_t *ix;

    c->changes++;
    if (c->dirty)
        return;
    ix = list_push(&e->dirty);
    if (ix == NULL) {
        e->nomem = true;
        return;
    }
    *ix = c->ix;
    c->dirty = true;
}

static void cluster_again(struct engine *e, struct engine_cluster *c, dur_ms after)
{
    engine_timer(e, &c->timer, e->now + after);
}

/* A node that can speak for its cluster: claimed, in service; the lowest id. */
static uint32_t cluster_voice(const struct engine *e, const struct engine_cluster *c)
{
    const struct cluster *ic = &e->inv->clusters[c->ix];

    for (uint32_t i = 0; i < ic->n_nodes; i++) {
        const struct engine_node *n = &e->nodes[ic->nodes[i]];

        if (n->claimed && (node_phases[n->phase].flags & NODE_COUNTS_AS_OUT) == 0 && n->end != NODE_STUCK)
            return n->ix;
    }
    for (uint32_t i = 0; i < ic->n_nodes; i++)
        if (e->nodes[ic->nodes[i]].claimed)
            return ic->nodes[i];
    return IX_NONE;
}

void cluster_want(struct engine *e, struct engine_cluster *c)
{
    uint32_t voice;

    c->wanted = true;
    if (c->ask != NULL || (c->fails > 0 && c->timer.pos != 0))
        return;
    voice = cluster_voice(e, c);
    if (voice != IX_NONE)
        c->ask = ask_new(e, OBSERVE_CLUSTER, voice, c->ix, "{}");
    else if (c->waiters.n > 0 && c->timer.pos == 0)
        cluster_again(e, c, CLUSTER_AGAIN_MS);
}

void cluster_want_later(struct engine *e, struct engine_cluster *c)
{
    c->wanted = true;
    if (c->ask == NULL && c->timer.pos == 0)
        cluster_again(e, c, CLUSTER_AGAIN_MS);
}

/* Gates that wait for the picture hear that there is none: unknown, and the run holds by it (I13, I28). */
static void no_picture(struct engine *e, struct engine_cluster *c, const char *why, time_ms asked)
{
    struct event ev = { .at = e->now, .type = EV_OBSERVED, .node = IX_NONE, .cluster = c->ix };

    ev.u.observed.what = OBSERVE_CLUSTER;
    ev.u.observed.text = why;
    ev.u.observed.taken = e->now;
    gate_on_cluster(e, c, &ev, asked);
}

void cluster_timeout(struct engine *e, struct engine_cluster *c)
{
    if (c->wanted)
        cluster_want(e, c);
    if (c->ask == NULL && c->waiters.n > 0 && cluster_voice(e, c) == IX_NONE)
        no_picture(e, c, "no node of the cluster can be asked", e->now);
    cluster_dirty(e, c);
}

/* O24: a group with automatic failback follows its node home; that is no stranger's hand. When it moved nobody saw: since the
 * picture before. */
static bool failed_back(const struct engine *e, uint32_t vm, uint32_t node)
{
    const struct engine_node *n = &e->nodes[node];

    if (!e->fleet.vms.items[vm].vm.auto_failback)
        return false;
    return n->phase == NODE_RESUMING || n->phase == NODE_SETTLING ||
           (n->out_until != 0 && e->clusters[n->cluster].seen_at - n->out_until <= FAILBACK_MS);
}

/* fleet_observe tells what others did. */
static void on_changed(void *arg, enum fleet_change what, uint32_t vm, uint32_t node)
{
    struct engine *e = arg;
    uint32_t cluster = e->inv->nodes[node].cluster;
    struct engine_cluster *c = &e->clusters[cluster];

    if (what == CHANGE_FOREIGN_MOVE && failed_back(e, vm, node)) {
        engine_note(e, NOTE_DECISION, "O24", node,
                    SAY(e, "VM %s came back by its automatic failback", e->fleet.vms.items[vm].vm.id));
    } else if (what == CHANGE_FOREIGN_MOVE && c->out > 0) {
        c->held_until = e->now + CLUSTER_HELD_MS; /* O26 */
        engine_note(e, NOTE_WARNING, "O26", node,
                    "a VM was moved by somebody else while a node is out: the cluster is held");
    }
}

static void grow_vms(struct engine *e)
{
    struct engine_vm *vms;

    if (e->fleet.vms.n <= e->n_vms)
        return;
    vms = realloc(e->vms, e->fleet.vms.n * sizeof *vms);
    if (vms == NULL) {
        e->nomem = true;
        return;
    }
    memset(&vms[e->n_vms], 0, (e->fleet.vms.n - e->n_vms) * sizeof *vms);
    for (uint32_t i = e->n_vms; i < e->fleet.vms.n; i++)
        vms[i].down_before = e->fleet.vms.items[i].vm.state != VM_RUNNING;
    e->vms = vms;
    e->n_vms = e->fleet.vms.n;
}

/* Since when VMs are down that their cluster wants online, for its gates. */
static void watch_groups(struct engine *e, const struct cluster_view *v, time_ms asked)
{
    for (uint32_t i = 0; i < v->n_groups; i++) {
        const struct view_group *g = &v->groups[i];
        uint32_t vm = g->type != GROUP_VM || g->vm == NULL ? IX_NONE : fleet_vm_by_id(&e->fleet, g->vm);

        if (vm == IX_NONE)
            continue;
        if (!gate_group_down(g))
            e->vms[vm].down_since = 0;
        else if (e->vms[vm].down_since == 0)
            e->vms[vm].down_since = asked;
        if (g->state == GROUP_ONLINE)
            e->vms[vm].down_before = false;
    }
}

static bool answered(const struct event *ev, uint32_t node)
{
    for (uint32_t i = 0; i < ev->u.observed.n_vms_nodes; i++)
        if (ev->u.observed.vms_nodes[i] == node)
            return true;
    return false;
}

/* Between stop_vmms and start_vmms a node cannot list its VMs; it is empty. */
static bool owes_vms(const struct engine_node *n)
{
    return n->claimed && !(n->vmms_touched && (node_phases[n->phase].flags & NODE_COUNTS_AS_OUT) != 0) &&
           n->end != NODE_STUCK;
}

/* Incomplete evidence is none: an Up node that did not tell its VMs. */
static const char *incomplete(struct engine *e, const struct event *ev)
{
    const struct cluster_view *v = &ev->u.observed.view;

    for (uint32_t i = 0; i < v->n_nodes; i++) {
        uint32_t node = inventory_node(e->inv, v->nodes[i].id);

        if (node != IX_NONE && v->nodes[i].state == SEEN_UP && owes_vms(&e->nodes[node]) &&
            !answered(ev, node))
            return SAY(e, "%s did not list its VMs", v->nodes[i].id);
    }
    return NULL;
}

static bool storage_clean(const struct cluster_view *v, const struct storage_view *s)
{
    return !v->s2d || storage_view_clean(s);
}

/* O7: in service though we have it paused: somebody else has ended that, and a pause found later is not ours. */
static void pause_ended_by_others(struct engine *e, struct engine_node *n, time_ms asked)
{
    bool resumes = n->phase == NODE_RESUMING && n->step >= RESUME_NODE;

    if (e->seen[n->ix] == SEEN_UP && n->op != NULL &&
        ((n->op->action == ACT_PAUSE && asked >= n->op->deadline) || /* nothing of it goes on by now */
         (n->op->action == ACT_RESUME && asked >= n->op->sent)))
        n->op->undone = true;
    if (!n->paused || n->pause_lost || !node_in_flight(n) || resumes || e->seen[n->ix] != SEEN_UP ||
        n->paused_at == 0 || asked < n->paused_at)
        return;
    n->pause_lost = true;
    engine_note(e, NOTE_WARNING, "O7", n->ix, "somebody else has put the node back in service");
}

/* What pauses it from here on is no log that was overtaken: its journal would have told of that. */
static void found_in_service(const struct engine *e, struct engine_node *n, time_ms asked)
{
    n->up_since |= e->seen[n->ix] == SEEN_UP && n->claimed && !n->unread && !n->blank &&
                   asked >= e->clusters[n->cluster].reached_at;
}

static void take_view(struct engine *e, struct engine_cluster *c, const struct event *ev, time_ms asked)
{
    const struct cluster_view *v = &ev->u.observed.view;
    const struct cluster *ic = &e->inv->clusters[c->ix];

    for (uint32_t i = 0; i < ic->n_nodes; i++)
        e->seen[ic->nodes[i]] = SEEN_DOWN; /* whom the cluster does not name it does not have */
    for (uint32_t i = 0; i < v->n_nodes; i++) {
        uint32_t node = inventory_node(e->inv, v->nodes[i].id);

        if (node != IX_NONE && e->inv->nodes[node].cluster == c->ix)
            e->seen[node] = (uint8_t)v->nodes[i].state;
    }
    for (uint32_t i = 0; i < ic->n_nodes; i++) {
        found_in_service(e, &e->nodes[ic->nodes[i]], asked);
        pause_ended_by_others(e, &e->nodes[ic->nodes[i]], asked);
    }
    c->csv_bad = 0;
    for (uint32_t i = 0; i < v->n_csvs; i++)
        c->csv_bad += !v->csvs[i].healthy;
    c->stretched = v->stretched;
    c->witness_bad = (v->witness != WITNESS_NONE || ic->witness != WITNESS_NONE) && !v->witness_online;
    FILL(c->busy, v->n_busy == 0 ? "" : SAY(e, "%s: %s", v->busy[0].kind, v->busy[0].text));
    c->slots = v->max_parallel_migrations;
    if (!storage_clean(v, &ev->u.observed.storage)) {
        c->clean_since = 0;
    } else {
        if (c->clean_since == 0 || asked - c->clean_last > e->rollout->policy.fresh_ms ||
            (c->clean_since < c->clean_after && asked >= c->clean_after)) {
            c->clean_since = asked; /* what was between them nobody saw */
            c->looked_before = c->seen_at;
        }
        c->clean_last = asked;
    }
    c->seen_at = asked;
}

static void count_strangers(const struct engine *e, struct engine_cluster *c)
{
    c->strangers = 0;
    for (uint32_t i = 0; i < e->fleet.vms.n; i++) {
        const struct fleet_vm *v = &e->fleet.vms.items[i];

        c->strangers +=
            v->vm.cluster == c->ix && !v->gone && v->vm.busy == VM_BUSY_MIGRATION && e->vms[i].op == NULL;
    }
}

static bool waits_for_picture(const struct engine_node *n)
{
    return (n->phase == NODE_DRAINING && (n->step == DRAIN_PROVE || n->step == DRAIN_MOVES ||
                                          n->step == DRAIN_PARKS || (n->step == DRAIN_PAUSE && n->paused))) ||
           (n->phase == NODE_RESUMING && n->step == RESUME_CSV) || n->phase == NODE_SETTLING ||
           (n->phase == NODE_REBOOTING && !n->reboot_sent);
}

static void tell_nodes(struct engine *e, struct engine_cluster *c)
{
    const struct cluster *ic = &e->inv->clusters[c->ix];

    for (uint32_t i = 0; i < ic->n_nodes; i++) {
        struct engine_node *n = &e->nodes[ic->nodes[i]];

        if (!waits_for_picture(n))
            continue;
        timer_stop(&e->timers, &n->wake);
        node_drive(e, n);
    }
}

/* None, or not whole: asked again in a while, and whoever waits for it hears so. */
static void picture_failed(struct engine *e, struct engine_cluster *c, const char *why, time_ms asked)
{
    c->fails++;
    FILL(c->why, why);
    cluster_again(e, c, CLUSTER_AGAIN_MS);
    no_picture(e, c, c->why, asked);
    cluster_dirty(e, c);
}

void cluster_on_observed(struct engine *e, struct ask *a, const struct event *ev)
{
    struct engine_cluster *c = &e->clusters[a->cluster];
    time_ms asked = a->sent;
    const char *why;
    struct err err;

    ask_end(e, a);
    if (!ev->u.observed.ok) {
        picture_failed(e, c, ev->u.observed.text == NULL ? "no view of the cluster" : ev->u.observed.text,
                       asked);
        return;
    }
    settings_seen(e, c, &ev->u.observed.view, asked);
    if (c->moved_at >= asked) {
        cluster_want(e, c); /* taken while our own move landed: it may show the past */
        return;
    }
    why = incomplete(e, ev);
    if (why != NULL && c->reached_at >= asked) {
        cluster_want(e, c); /* a node came into reach since: nobody asked it */
        return;
    }
    if (why != NULL) {
        picture_failed(e, c, why, asked);
        return;
    }
    if (fleet_observe(&e->fleet, c->ix, &ev->u.observed.view, &ev->u.observed.storage, ev->u.observed.vms,
                      ev->u.observed.vms_nodes, ev->u.observed.n_vms_nodes, asked, on_changed, e,
                      &err) != 0) {
        e->nomem = true;
        return;
    }
    grow_vms(e);
    if (e->nomem)
        return;
    ledger_seen(e, ev->u.observed.vms_nodes, ev->u.observed.n_vms_nodes, asked);
    take_view(e, c, ev, asked);
    watch_groups(e, &ev->u.observed.view, asked);
    count_strangers(e, c);
    c->fails = 0;
    c->wanted = false;
    c->why[0] = '\0';
    gate_on_cluster(e, c, ev, asked);
    tell_nodes(e, c);
    if (c->loads > 0)
        evidence_pump(e);
    cluster_dirty(e, c);
}

bool cluster_fresh(const struct engine *e, const struct engine_cluster *c)
{
    return c->seen_at >= 0 && e->now - c->seen_at <= e->rollout->policy.fresh_ms &&
           c->seen_at >= c->reached_at;
}

bool cluster_unseen(const struct engine *e, const struct engine_node *n)
{
    const struct engine_cluster *c = &e->clusters[n->cluster];
    time_ms since = c->seen_at > c->reached_at ? c->seen_at : c->reached_at;

    return e->now - since > UNSEEN_LIMIT_MS && node_waited(e, n, e->now) > UNSEEN_LIMIT_MS;
}

bool cluster_clean_once(const struct engine_cluster *c)
{
    return c->clean_since != 0 && c->clean_since >= c->clean_after;
}

bool cluster_clean(const struct engine *e, const struct engine_cluster *c)
{
    return e->inv->clusters[c->ix].storage != STORAGE_S2D ||
           (cluster_clean_once(c) && c->clean_last - c->clean_since >= CLEAN_APART_MS);
}

void cluster_look_anew(const struct engine *e, struct engine_cluster *c)
{
    c->clean_after = e->now;
}
