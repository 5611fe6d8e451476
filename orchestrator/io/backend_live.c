#include "orchestrator/io/live_own.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct event live_event(enum event_type type, uint32_t node)
{
    return (struct event){ .type = type, .node = node, .cluster = IX_NONE };
}

void live_emit(struct backend_live *b, struct event *ev)
{
    if (!b->closing)
        b->setup.on_event(b->setup.arg, ev);
}

struct live_late *live_late_new(struct backend_live *b, enum event_type type, uint32_t node)
{
    struct live_late *late = calloc(1, sizeof *late);

    if (late == NULL)
        return NULL;
    late->ev = live_event(type, node);
    *b->late_last = late;
    b->late_last = &late->next;
    loop_timer_start(&b->late, 0);
    return late;
}

const char *live_late_str(struct live_late *late, const char *text)
{
    const char *copy = arena_str(&late->arena, text);

    late->lacking |= copy == NULL;
    return copy;
}

int live_call(struct live_node *n, const char *method, struct buf *params, dur_ms limit_ms,
              agent_reply_fn *fn, void *arg, struct err *err)
{
    int rc = params->failed ? err_set(err, ERR_NOMEM, "%s: %s", n->target.node, method)
                            : agent_client_call(n->client, method, buf_text(params), limit_ms, fn, arg, err);

    buf_clear(params);
    return rc;
}

static void late_drop(struct live_late *late)
{
    arena_clear(&late->arena);
    free(late);
}

static void on_late(void *arg)
{
    struct backend_live *b = arg;

    while (b->late_first != NULL && !b->closing) {
        struct live_late *late = b->late_first;

        b->late_first = late->next;
        if (b->late_first == NULL)
            b->late_last = &b->late_first;
        if (!late->lacking)
            live_emit(b, &late->ev);
        late_drop(late);
    }
}

static void submit_claim(struct backend_live *b, const struct command *c)
{
    live_claim(&b->nodes[c->node], c->limit_ms, c->journal);
}

static void submit_nothing(struct backend_live *b, const struct command *c)
{
    (void)b; /* the log has it; nobody else needs it */
    (void)c;
}

static void (*const doers[COMMAND_TYPES])(struct backend_live *b, const struct command *c) = {
    [CMD_CLAIM] = submit_claim,     [CMD_OBSERVE] = live_observe,   [CMD_STAGE] = live_stage_submit,
    [CMD_OP_START] = live_op_start, [CMD_OP_PROBE] = live_op_probe, [CMD_OP_CANCEL] = live_op_cancel,
    [CMD_OP_ACK] = live_op_ack,     [CMD_NOTE] = submit_nothing,    [CMD_END] = submit_nothing,
};

static void submit(struct backend *face, const struct command *c)
{
    struct backend_live *b = (struct backend_live *)face;

    if (!b->closing)
        doers[c->type](b, c);
}

/* --- survey --- */

static void survey_done(struct backend_live *b)
{
    void (*tell)(void *arg, const struct live_survey *s) = b->on_surveyed;

    b->on_surveyed = NULL;
    loop_timer_stop(&b->survey_limit);
    if (tell != NULL && !b->closing)
        tell(b->setup.arg, &b->survey);
}

static void on_survey_limit(void *arg)
{
    survey_done(arg);
}

void backend_live_survey(struct backend_live *b, dur_ms limit_ms,
                         void (*on_done)(void *arg, const struct live_survey *s))
{
    b->on_surveyed = on_done;
    b->survey = (struct live_survey){ .stale_node = IX_NONE };
    for (uint32_t i = 0; i < b->n_nodes; i++)
        if (b->nodes[i].client != NULL) {
            b->survey.asked++;
            agent_client_open(b->nodes[i].client);
        }
    loop_timer_start(&b->survey_limit, b->survey.asked == 0 ? 0 : limit_ms);
}

/* One node's first answer (or first failure) is in. */
void live_surveyed(struct live_node *n, const struct live_hello *h)
{
    struct backend_live *b = n->b;
    bool stale = h != NULL && h->seq > 0 && b->setup.log_holds != NULL &&
                 !b->setup.log_holds(b->setup.arg, h->seq, h->hash);

    if (n->surveyed || b->on_surveyed == NULL)
        return;
    n->surveyed = true;
    b->surveyed++;
    if (h != NULL) {
        b->survey.answered++;
        if (h->epoch > b->survey.epoch_max)
            b->survey.epoch_max = h->epoch;
        if (stale && b->survey.stale_node == IX_NONE) {
            b->survey.stale_node = n->ix;
            b->survey.stale_seq = h->seq;
        }
    }
    if (b->surveyed == b->survey.asked)
        loop_timer_start(&b->survey_limit, 0);
}

void backend_live_identity(struct backend_live *b, const char *run, const char *controller, uint64_t epoch,
                           bool takeover)
{
    strncpy(b->run, run, sizeof b->run - 1);
    strncpy(b->controller, controller, sizeof b->controller - 1);
    b->epoch = epoch;
    b->takeover = takeover;
}

/* --- life --- */

/* Nodes of every cluster that the plan touches: all of them are claimed (O20). */
static bool touched(const struct plan *p, uint32_t node)
{
    for (uint32_t i = 0; i < p->n_nodes; i++)
        if (p->inv->nodes[p->nodes[i].node].cluster == p->inv->nodes[node].cluster)
            return true;
    return false;
}

static int open_nodes(struct backend_live *b, struct err *err)
{
    const struct inventory *inv = b->setup.plan->inv;
    int rc = 0;

    b->nodes = calloc(inv->n_nodes + 1u, sizeof *b->nodes);
    if (b->nodes == NULL)
        return err_set(err, ERR_NOMEM, "connections");
    b->n_nodes = inv->n_nodes;
    for (uint32_t i = 0; i < inv->n_nodes; i++) {
        b->nodes[i].b = b;
        b->nodes[i].ix = i;
    }
    for (uint32_t i = 0; i < inv->n_nodes && rc == 0; i++)
        if (touched(b->setup.plan, i))
            rc = live_node_open(b, i, err);
    return rc;
}

static int open_transport(struct backend_live *b, struct err *err)
{
    struct ssh_keyring_config keys = { .loop = b->loop };
    struct ssh_pool_config pool = { .loop = b->loop, .seed = (uint64_t)wall_now() };
    int rc = ssh_keyring_new(&keys, &b->keys, err);

    pool.keys = b->keys;
    return rc != 0 ? rc : ssh_pool_new(&pool, &b->pool, err);
}

static void on_grave(void *arg);

int backend_live_new(struct loop *l, const struct live_setup *setup, struct backend_live **ret_backend,
                     struct err *err)
{
    struct backend_live *b = calloc(1, sizeof *b);
    int rc;

    if (b == NULL)
        return err_set(err, ERR_NOMEM, "live backend");
    b->face.submit = submit;
    b->setup = *setup;
    b->loop = l;
    b->late_last = &b->late_first;
    b->stage_last = &b->stage_first;
    rate_init(&b->fleet_rate, setup->stage_bytes_s, loop_now_ms(l));
    loop_timer_init(l, &b->late, on_late, b);
    loop_timer_init(l, &b->survey_limit, on_survey_limit, b);
    loop_timer_init(l, &b->grave, on_grave, b);
    rc = open_transport(b, err);
    if (rc == 0)
        rc = open_nodes(b, err);
    if (rc != 0) {
        backend_live_close(b, NULL, NULL);
        return err_wrap(err, "connect");
    }
    *ret_backend = b;
    return 0;
}

struct backend *backend_live_backend(struct backend_live *b)
{
    return &b->face;
}

static void on_all_closed(void *arg)
{
    struct backend_live *b = arg;
    void (*tell)(void *arg) = b->on_closed;
    void *tell_arg = b->closed_arg;

    for (uint32_t i = 0; i < b->n_nodes; i++)
        arena_clear(&b->nodes[i].hello_arena);
    free(b->nodes);
    free(b);
    if (tell != NULL)
        tell(tell_arg);
}

/* Sessions close over some turns of the loop; when the last link has gone, so can pool and keys. */
static void on_grave(void *arg)
{
    struct backend_live *b = arg;

    if (b->pool != NULL && ssh_pool_counts(b->pool).links > 0) {
        loop_timer_start(&b->grave, 5);
        return;
    }
    ssh_pool_free(b->pool);
    ssh_keyring_free(b->keys);
    b->closer.done = on_all_closed;
    b->closer.arg = b;
    for (uint32_t i = 0; i < b->n_nodes; i++)
        if (b->nodes[i].client != NULL) {
            loop_close_timer(&b->closer, &b->nodes[i].claim_limit);
            loop_close_timer(&b->closer, &b->nodes[i].greet_again);
            loop_close_timer(&b->closer, &b->nodes[i].stage_limit);
        }
    loop_close_timer(&b->closer, &b->late);
    loop_close_timer(&b->closer, &b->survey_limit);
    loop_close_timer(&b->closer, &b->grave);
}

void backend_live_close(struct backend_live *b, void (*on_closed)(void *arg), void *arg)
{
    assert(!b->closing);
    b->closing = true;
    b->on_closed = on_closed;
    b->closed_arg = arg;
    live_stage_close(b);
    for (uint32_t i = 0; i < b->n_nodes; i++)
        live_node_close(&b->nodes[i]);
    while (b->late_first != NULL) {
        struct live_late *late = b->late_first;

        b->late_first = late->next;
        late_drop(late);
    }
    loop_timer_start(&b->grave, 0);
}
