/* Staging: the package onto nodes, some at a time (O32). */
#include "orchestrator/io/live_own.h"

#include <stdlib.h>
#include <string.h>

#define STAGE_PARALLEL 8
#define HELD_LIMIT_MS (10 * MINUTE_MS) /* real; to hash what is there */
#define FETCH_LIMIT_MS (6 * HOUR_MS)   /* real; the driver's own limit is what ends a fetch */

static void stage_next(struct backend_live *b);

static void emit_staged(struct live_node *n, time_ms begun, const char *failure)
{
    struct event ev = live_event(EV_STAGED, n->ix);

    ev.u.staged.ok = failure == NULL;
    ev.u.staged.text = failure != NULL ? failure : "";
    ev.u.staged.took = fleet_now(&n->b->setup.clock) - begun;
    live_emit(n->b, &ev);
}

static int stage_file(struct live_node *n, struct err *err);

/* The files of a node go one after the other: it is staged when it has them all. */
static void on_stage_end(void *arg, bool had, const struct err *why)
{
    struct live_node *n = arg;
    struct err err = { 0 };

    (void)had;
    n->payload = NULL;
    if (why == NULL && n->stage_file++ < n->b->setup.plan->rollout->patch.n_checkpoints && !n->b->closing) {
        if (stage_file(n, &err) == 0)
            return;
        why = &err;
    }
    n->b->staging--;
    emit_staged(n, n->stage_begun, why != NULL ? why->text : NULL);
    if (!n->b->closing)
        stage_next(n->b);
}

static void on_stage_progress(void *arg, uint64_t sent, uint64_t size)
{
    struct live_node *n = arg;
    uint32_t percent = size > 0 ? (uint32_t)(sent * 100 / size) : 100;

    if (n->b->setup.on_progress != NULL && percent != n->stage_percent)
        n->b->setup.on_progress(n->b->setup.arg, n->ix, "stage", percent, "");
    n->stage_percent = percent;
}

static void late_staged(struct live_node *n, const char *failure)
{
    struct live_late *late = live_late_new(n->b, EV_STAGED, n->ix);

    if (late != NULL)
        late->ev.u.staged.text = live_late_str(late, failure);
}

static void on_fetched(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct live_node *n = arg;
    struct err copy;

    (void)reply;
    n->fetching = false;
    if (n->b->closing)
        return;
    if (why != NULL) {
        copy = *why;
        (void)err_wrap(&copy, "fetch on %s", n->target.node);
    }
    on_stage_end(n, false, why != NULL ? &copy : NULL);
}

/* `source` is a folder: of a share (UNC), or of a web server. */
static void write_fetch(struct buf *out, const char *source, const char *name, const char *sha256,
                        uint64_t size)
{
    struct buf from = BUF_INIT;
    struct json_writer w;
    size_t len = strlen(source);
    bool ends = len > 0 && (source[len - 1] == '/' || source[len - 1] == '\\');

    buf_printf(&from, "%s%s%s", source, ends ? "" : strchr(source, '\\') != NULL ? "\\" : "/", name);
    jw_init(&w, out);
    jw_object(&w, NULL);
    jw_str(&w, "source", buf_text(&from));
    jw_str(&w, "name", name);
    jw_str(&w, "sha256", sha256);
    jw_int(&w, "size_bytes", (int64_t)size);
    jw_object_end(&w);
    out->failed |= from.failed;
    buf_clear(&from);
}

static int fetch_file(struct live_node *n, const struct patch *p, const struct checkpoint *c, struct err *err)
{
    struct buf params = BUF_INIT;
    int rc;

    if (n->talk < TALK_GREETED && n->last_down.code != ERR_OK)
        return err_set(err, n->last_down.code, "%s", n->last_down.text);
    if (n->talk < TALK_GREETED)
        return err_set(err, ERR_CONNECT, "%s does not answer", n->target.node);
    write_fetch(&params, n->b->setup.stage_source, c == NULL ? p->file : c->file,
                c == NULL ? p->sha256 : c->sha256, c == NULL ? p->size_bytes : c->size_bytes);
    rc = live_call(n, "package.fetch", &params, FETCH_LIMIT_MS, on_fetched, n, err);
    n->fetching = rc == 0;
    return rc;
}

static int send_file(struct live_node *n, struct err *err)
{
    struct backend_live *b = n->b;
    const struct patch *p = &b->setup.plan->rollout->patch;
    const struct checkpoint *c = n->stage_file == 0 ? NULL : &p->checkpoints[n->stage_file - 1];
    struct payload_config config = { .pool = b->pool,
                                     .target = &n->target,
                                     .path = c == NULL ? b->setup.package_path
                                                       : b->setup.checkpoint_paths[n->stage_file - 1],
                                     .name = c == NULL ? p->file : c->file,
                                     .sha256 = c == NULL ? p->sha256 : c->sha256,
                                     .give_up_ms = b->setup.stage_give_up_ms,
                                     .link_bytes_s = b->setup.stage_link_bytes_s,
                                     .fleet_rate = b->setup.stage_bytes_s > 0 ? &b->fleet_rate : NULL,
                                     .on_progress = on_stage_progress,
                                     .on_end = on_stage_end,
                                     .arg = n };

    return payload_start(&config, &n->payload, err);
}

/* No answer, or an agent that has no such question: it is sent. */
static void on_held(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct live_node *n = arg;
    struct err err = { 0 };

    n->fetching = false;
    if (n->b->closing)
        return;
    if (why == NULL && json_get_bool(reply->result, "held", false))
        on_stage_end(n, true, NULL);
    else if (send_file(n, &err) != 0)
        on_stage_end(n, false, &err);
}

/* What was staged days ahead costs a question on the channel that is open, not a session of its own. */
static int ask_held(struct live_node *n, const struct patch *p, const struct checkpoint *c, struct err *err)
{
    struct buf params = BUF_INIT;
    struct json_writer w;
    int rc;

    jw_init(&w, &params);
    jw_object(&w, NULL);
    jw_str(&w, "name", c == NULL ? p->file : c->file);
    jw_str(&w, "sha256", c == NULL ? p->sha256 : c->sha256);
    jw_object_end(&w);
    rc = live_call(n, "package.held", &params, HELD_LIMIT_MS, on_held, n, err);
    n->fetching = rc == 0;
    return rc;
}

static int stage_file(struct live_node *n, struct err *err)
{
    const struct patch *p = &n->b->setup.plan->rollout->patch;
    const struct checkpoint *c = n->stage_file == 0 ? NULL : &p->checkpoints[n->stage_file - 1];

    if (n->b->setup.stage_source != NULL)
        return fetch_file(n, p, c, err);
    if (n->talk >= TALK_GREETED && ask_held(n, p, c, err) == 0)
        return 0;
    return send_file(n, err);
}

static void stage_one(struct live_node *n)
{
    struct err err = { 0 };

    n->stage_begun = fleet_now(&n->b->setup.clock);
    n->stage_file = 0;
    if (stage_file(n, &err) != 0)
        late_staged(n, err.text);
    else
        n->b->staging++;
}

static void stage_next(struct backend_live *b)
{
    uint32_t most = b->setup.stage_parallel > 0 ? b->setup.stage_parallel : STAGE_PARALLEL;

    while (b->stage_first != NULL && b->staging < most) {
        struct live_stage *s = b->stage_first;

        b->stage_first = s->next;
        if (b->stage_first == NULL)
            b->stage_last = &b->stage_first;
        stage_one(&b->nodes[s->node]);
        free(s);
    }
}

void live_stage_submit(struct backend_live *b, const struct command *c)
{
    struct live_node *n = &b->nodes[c->node];
    struct live_stage *s;

    if (b->setup.package_path == NULL) {
        late_staged(n, "there is no package file to stage");
        return;
    }
    if (n->client == NULL || n->payload != NULL || n->fetching)
        return; /* under way already */
    s = calloc(1, sizeof *s);
    if (s == NULL) {
        late_staged(n, "out of memory in the controller");
        return;
    }
    s->node = c->node;
    *b->stage_last = s;
    b->stage_last = &s->next;
    stage_next(b);
}

void live_stage_close(struct backend_live *b)
{
    while (b->stage_first != NULL) {
        struct live_stage *s = b->stage_first;

        b->stage_first = s->next;
        free(s);
    }
    for (uint32_t i = 0; i < b->n_nodes; i++)
        if (b->nodes[i].payload != NULL)
            payload_cancel(b->nodes[i].payload);
}
