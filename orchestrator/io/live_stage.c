/* Staging: the package onto nodes, some at a time (O32). */
#include "orchestrator/io/live_own.h"

#include <stdlib.h>
#include <string.h>

#define STAGE_PARALLEL 8
#define HELD_LIMIT_MS (10 * MINUTE_MS)    /* real; to hash what is there */
#define FETCH_LIMIT_MS (6 * HOUR_MS)      /* real; the driver's own limit is what ends a fetch */
#define CUT_OFF_LIMIT_MS (10 * MINUTE_MS) /* real */

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

static void stage_end(struct live_node *n, const struct err *why)
{
    n->stage_part = PART_IDLE;
    n->b->staging--;
    emit_staged(n, n->stage_begun, why != NULL ? why->text : NULL);
    if (!n->b->closing)
        stage_next(n->b);
}

/* The files of a node go one after the other: it is staged when it has them all. */
static void file_end(struct live_node *n, const struct err *why)
{
    struct err err = { 0 };

    if (why == NULL && n->stage_file++ < n->b->setup.plan->rollout->patch.n_checkpoints && !n->b->closing) {
        if (stage_file(n, &err) == 0)
            return;
        why = &err;
    }
    stage_end(n, why);
}

static void on_sent(void *arg, bool had, const struct err *why)
{
    struct live_node *n = arg;

    (void)had;
    n->payload = NULL;
    file_end(n, why);
}

static void tell_progress(struct live_node *n, uint32_t percent)
{
    if (n->b->setup.on_progress != NULL && percent != n->stage_percent)
        n->b->setup.on_progress(n->b->setup.arg, n->ix, "stage", percent, "");
    n->stage_percent = percent;
}

static void on_sent_part(void *arg, uint64_t sent, uint64_t size)
{
    tell_progress(arg, size > 0 ? (uint32_t)(sent * 100 / size) : 100);
}

static void late_staged(struct live_node *n, const char *failure)
{
    struct live_late *late = live_late_new(n->b, EV_STAGED, n->ix);

    if (late != NULL)
        late->ev.u.staged.text = live_late_str(late, failure);
}

/* --- pulled by the node --- */

/* It pulls on by itself, or will once it is there: it is asked again when it is back, within the time that a node may
 * take nothing. */
static void cut_off(struct live_node *n)
{
    dur_ms limit = n->b->setup.stage_give_up_ms;

    n->stage_part = PART_CUT_OFF;
    loop_timer_start(&n->stage_limit, limit > 0 ? limit : CUT_OFF_LIMIT_MS);
}

static void on_fetched(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct live_node *n = arg;
    struct err copy;

    if (n->b->closing)
        return;
    if (reply == NULL && why->code == ERR_LOST) {
        cut_off(n);
        return;
    }
    if (why != NULL) {
        copy = *why;
        (void)err_wrap(&copy, "fetch on %s", n->target.node);
    }
    file_end(n, why != NULL ? &copy : NULL);
}

static uint32_t at_once(const struct backend_live *b)
{
    uint32_t most = b->setup.stage_parallel > 0 ? b->setup.stage_parallel : STAGE_PARALLEL;

    return most < b->setup.plan->n_nodes ? most : b->setup.plan->n_nodes;
}

/* What one node may take: its link's, and its share of what all may that pull at once. 0: no cap. */
static uint64_t pull_bytes_s(const struct backend_live *b)
{
    uint64_t link = b->setup.stage_link_bytes_s, share = b->setup.stage_bytes_s / at_once(b);

    if (b->setup.stage_bytes_s > 0 && share == 0)
        share = 1;
    return link == 0 || (share > 0 && share < link) ? share : link;
}

/* `source` is a folder: of a share (UNC), or of a web server. */
static void write_fetch(struct buf *out, const char *source, const char *name, const char *sha256,
                        uint64_t size, uint64_t bytes_s)
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
    if (bytes_s > 0)
        jw_int(&w, "bytes_per_second", (int64_t)bytes_s);
    jw_object_end(&w);
    out->failed |= from.failed;
    buf_clear(&from);
}

static int fetch_file(struct live_node *n, const struct patch *p, const struct checkpoint *c, struct err *err)
{
    dur_ms left = n->stage_until_ms - loop_now_ms(n->b->loop);
    struct buf params = BUF_INIT;
    int rc;

    if (left <= 0)
        return err_set(err, ERR_TIMEOUT, "%s: not fetched within %lld h", n->target.node,
                       (long long)(FETCH_LIMIT_MS / HOUR_MS));
    if (n->no_retry || (n->talk == TALK_UP && n->last_down.code != ERR_OK))
        return err_set(err, n->last_down.code, "%s", n->last_down.text);
    if (n->talk < TALK_GREETED) {
        cut_off(n);
        return 0;
    }
    write_fetch(&params, n->b->setup.stage_source, c == NULL ? p->file : c->file,
                c == NULL ? p->sha256 : c->sha256, c == NULL ? p->size_bytes : c->size_bytes,
                pull_bytes_s(n->b));
    rc = live_call(n, "package.fetch", &params, left, on_fetched, n, err);
    if (rc == 0)
        n->stage_part = PART_PULLING;
    return rc;
}

void live_stage_greeted(struct live_node *n)
{
    struct err err = { 0 };

    if (n->stage_part != PART_CUT_OFF)
        return;
    loop_timer_stop(&n->stage_limit);
    if (stage_file(n, &err) != 0)
        stage_end(n, &err);
}

void live_stage_lost(struct live_node *n, const struct err *why)
{
    if (n->stage_part != PART_CUT_OFF || (n->talk == TALK_DOWN && !n->no_retry))
        return;
    loop_timer_stop(&n->stage_limit);
    stage_end(n, why);
}

void live_stage_limit(void *node)
{
    struct live_node *n = node;
    struct err err = { 0 };

    if (n->last_down.code != ERR_OK)
        (void)err_set(&err, n->last_down.code, "%s", n->last_down.text);
    else
        (void)err_set(&err, ERR_CONNECT, "%s does not answer", n->target.node);
    stage_end(n, &err);
}

void live_stage_notified(struct live_node *n, const struct rpc_message *msg)
{
    if (n->stage_part == PART_PULLING)
        tell_progress(n, (uint32_t)json_get_int(msg->params, "percent", 0));
}

/* --- sent to the node --- */

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
                                     .on_progress = on_sent_part,
                                     .on_end = on_sent,
                                     .arg = n };

    int rc = payload_start(&config, &n->payload, err);

    if (rc == 0)
        n->stage_part = PART_SENT;
    return rc;
}

/* No answer, or an agent that has no such question: it is sent. */
static void on_held(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct live_node *n = arg;
    struct err err = { 0 };

    if (n->b->closing)
        return;
    if (why == NULL && json_get_bool(reply->result, "held", false))
        file_end(n, NULL);
    else if (send_file(n, &err) != 0)
        stage_end(n, &err);
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
    if (rc == 0)
        n->stage_part = PART_ASKED;
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
    n->stage_until_ms = loop_now_ms(n->b->loop) + FETCH_LIMIT_MS;
    n->stage_file = 0;
    if (stage_file(n, &err) == 0) {
        n->b->staging++;
        return;
    }
    n->stage_part = PART_IDLE;
    late_staged(n, err.text);
}

static void stage_next(struct backend_live *b)
{
    while (b->stage_first != NULL && b->staging < at_once(b)) {
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
    if (n->client == NULL || n->stage_part != PART_IDLE)
        return; /* under way, or in the queue, already: asked again after a loss it is told once */
    s = calloc(1, sizeof *s);
    if (s == NULL) {
        late_staged(n, "out of memory in the controller");
        return;
    }
    s->node = c->node;
    n->stage_part = PART_QUEUED;
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
