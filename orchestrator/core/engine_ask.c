/* Questions on their way. An answer is matched by its number; one that fits none changes nothing (I21). */
#include "orchestrator/core/engine_state.h"

#define ASK_LIMIT_MS (10 * MINUTE_MS) /* a driver that reads; long past anything seen */
#define ASK_GRACE_MS (30 * SECOND_MS)
#define ASK_SLOTS (1u << 20)

static struct ask *ask_slot(struct engine *e)
{
    struct ask *a;

    if (e->asks_free.n > 0)
        return e->asks.items[e->asks_free.items[--e->asks_free.n]];
    a = calloc(1, sizeof *a);
    if (a == NULL || !list_grow(&e->asks.items, e->asks.n, &e->asks.cap, sizeof *e->asks.items) ||
        !list_grow(&e->asks_free.items, e->asks.n, &e->asks_free.cap, sizeof *e->asks_free.items)) {
        free(a);
        e->nomem = true;
        return NULL;
    }
    a->slot = e->asks.n;
    a->timer.kind = TIMER_ASK;
    a->timer.of = a;
    e->asks.items[e->asks.n++] = a;
    return a;
}

struct ask *ask_new(struct engine *e, enum observe_what what, uint32_t node, uint32_t cluster,
                    const char *args)
{
    struct ask *a = ask_slot(e);
    struct command *c;

    if (a == NULL)
        return NULL;
    a->id = ++e->asks_made * ASK_SLOTS + a->slot;
    a->what = what;
    a->node = node;
    a->cluster = cluster;
    a->gate = IX_NONE;
    a->sent = e->now;
    engine_timer(e, &a->timer, e->now + ASK_LIMIT_MS + ASK_GRACE_MS);
    c = engine_command(e, CMD_OBSERVE);
    c->node = node;
    c->cluster = cluster;
    c->ask = a->id;
    c->what = what;
    c->args = args;
    c->limit_ms = ASK_LIMIT_MS;
    return a;
}

void ask_go_on(struct engine *e, uint64_t last)
{
    e->asks_made = last / ASK_SLOTS;
}

void ask_end(struct engine *e, struct ask *a)
{
    timer_stop(&e->timers, &a->timer);
    a->id = 0;
    if (a->cluster != IX_NONE && e->clusters[a->cluster].ask == a)
        e->clusters[a->cluster].ask = NULL;
    if (a->node != IX_NONE && e->nodes[a->node].ask == a)
        e->nodes[a->node].ask = NULL;
    /* room was made when the slot was */
    e->asks_free.items[e->asks_free.n++] = a->slot;
}

struct ask *ask_find(const struct engine *e, uint64_t id)
{
    uint32_t slot = (uint32_t)(id % ASK_SLOTS);

    return id != 0 && slot < e->asks.n && e->asks.items[slot]->id == id ? e->asks.items[slot] : NULL;
}

static void write_parked(struct json_writer *w, const struct engine *e, const struct engine_node *n)
{
    jw_array(w, "parked");
    for (uint32_t i = 0; i < n->parks.n; i++)
        if (n->parks.items[i].down)
            jw_str(w, NULL, e->fleet.vms.items[n->parks.items[i].vm].vm.id);
    jw_array_end(w);
}

static void write_target(struct json_writer *w, const struct engine *e)
{
    jw_int(w, "build", e->rollout->patch.target.number);
    jw_int(w, "ubr", e->rollout->patch.target.ubr);
    jw_str(w, "kb", e->rollout->patch.kb);
}

static const char *ask_args(struct engine *e, const struct engine_node *n, enum observe_what what)
{
    struct buf *b = engine_scratch(e);
    struct json_writer w;

    if (what != OBSERVE_VERIFY && what != OBSERVE_EMPTY)
        return "{}";
    jw_init(&w, b);
    jw_object(&w, NULL);
    if (what == OBSERVE_EMPTY) {
        jw_str(&w, "form", "vmms");
        write_parked(&w, e, n);
    } else {
        write_target(&w, e);
    }
    jw_object_end(&w);
    return engine_keep(e, engine_said(e));
}

void ask_node(struct engine *e, struct engine_node *n, enum observe_what what)
{
    n->ask = ask_new(e, what, n->ix, IX_NONE, ask_args(e, n, what));
    n->asked_at = e->now;
}

static void ask_answered(struct engine *e, struct ask *a, const struct event *ev)
{
    if (a->gate != IX_NONE)
        gate_on_observed(e, a, ev);
    else if (a->cluster != IX_NONE)
        cluster_on_observed(e, a, ev);
    else {
        struct engine_node *n = &e->nodes[a->node];

        ask_end(e, a);
        node_observed(e, n, ev);
    }
}

void ask_on_observed(struct engine *e, const struct event *ev)
{
    struct ask *a = ask_find(e, ev->u.observed.ask);

    if (a == NULL || a->what != ev->u.observed.what || a->node != ev->node)
        return;
    if (a->cluster != IX_NONE && a->cluster != ev->cluster)
        return;
    ask_answered(e, a, ev);
}

/* No answer is an answer that says nothing. */
static void ask_failed(struct engine *e, struct ask *a, const char *why)
{
    struct event ev = { .at = e->now, .type = EV_OBSERVED, .node = a->node, .cluster = a->cluster };

    ev.u.observed.ask = a->id;
    ev.u.observed.what = a->what;
    ev.u.observed.text = why;
    ev.u.observed.taken = e->now;
    ask_answered(e, a, &ev);
}

void ask_timeout(struct engine *e, struct ask *a)
{
    ask_failed(e, a, "no answer in time");
}

void ask_drop_node(struct engine *e, uint32_t node)
{
    for (uint32_t i = 0; i < e->asks.n; i++)
        if (e->asks.items[i]->id != 0 && e->asks.items[i]->node == node)
            ask_failed(e, e->asks.items[i], "the connection was lost");
}

/* A new controller starts: nobody answers the old one's questions. */
void ask_drop_all(struct engine *e)
{
    for (uint32_t i = 0; i < e->asks.n; i++)
        if (e->asks.items[i]->id != 0)
            ask_end(e, e->asks.items[i]);
}
