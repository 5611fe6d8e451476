/* Observations: one question to one node, or a whole cluster's picture put
 * together from several. The answer is always an OBSERVED. */
#include "orchestrator/io/live_own.h"

#include <stdlib.h>
#include <string.h>

#define PAGES_MAX 64

/* What is asked on the wire; a cluster's picture is three questions. */
enum live_question {
    ASK_FACTS,
    ASK_VIEW,
    ASK_STORAGE,
    ASK_VMS,
    ASK_VERIFY,
    ASK_EMPTY,
    ASK_REMOVABILITY,
    ASK_TIME,
    ASK_BACKUP,
    ASK_HEARTBEAT
};
static const char *const question_names[] = {
    [ASK_FACTS] = "facts",
    [ASK_VIEW] = "cluster_health",
    [ASK_STORAGE] = "storage_health",
    [ASK_VMS] = "vms",
    [ASK_VERIFY] = "verify",
    [ASK_EMPTY] = "check_empty",
    [ASK_REMOVABILITY] = "removability",
    [ASK_TIME] = "time_sync",
    [ASK_BACKUP] = "backup_agent",
    [ASK_HEARTBEAT] = "vm_heartbeat",
};
static const enum live_question single_question[OBSERVE_WHATS] = {
    [OBSERVE_FACTS] = ASK_FACTS,     [OBSERVE_VERIFY] = ASK_VERIFY,
    [OBSERVE_EMPTY] = ASK_EMPTY,     [OBSERVE_REMOVABILITY] = ASK_REMOVABILITY,
    [OBSERVE_STORAGE] = ASK_STORAGE, [OBSERVE_TIME] = ASK_TIME,
    [OBSERVE_BACKUP] = ASK_BACKUP,   [OBSERVE_HEARTBEAT] = ASK_HEARTBEAT,
};

/* An observation under way: all its parts share one event. */
struct live_look {
    struct backend_live *b;
    struct arena arena;
    struct event ev;
    struct vms_seen *vms;
    uint32_t *vms_nodes;
    uint32_t waiting; /* parts without an answer yet */
    bool failed;
    dur_ms limit_ms; /* real */
    char *args;
};

struct live_part {
    struct live_look *look;
    struct live_node *n;
    enum live_question q;
    struct json_doc *pages[PAGES_MAX];
    uint32_t n_pages;
};

static const char out_of_memory[] = "out of memory in the controller";

static void look_fail(struct live_look *k, const struct err *why)
{
    const char *text = k->failed ? NULL : arena_str(&k->arena, why->text);

    if (!k->failed)
        k->ev.u.observed.text = text != NULL ? text : out_of_memory;
    k->failed = true;
}

static void look_free(struct live_look *k)
{
    arena_clear(&k->arena);
    free(k->args);
    free(k);
}

static void look_end(struct live_look *k)
{
    k->ev.u.observed.ok = !k->failed;
    if (k->ev.u.observed.taken == 0)
        k->ev.u.observed.taken = fleet_now(&k->b->setup.clock);
    live_emit(k->b, &k->ev);
    look_free(k);
}

static void part_end(struct live_part *p)
{
    struct live_look *k = p->look;

    for (uint32_t i = 0; i < p->n_pages; i++)
        json_free(p->pages[i]);
    free(p);
    if (--k->waiting == 0)
        look_end(k);
}

/* A node that does not tell its VMs is left out; every other part is needed. */
static void part_failed(struct live_part *p, const struct err *why)
{
    if (p->q != ASK_VMS)
        look_fail(p->look, why);
    part_end(p);
}

static int take_vms(struct live_part *p, const struct json_doc *d, const json *v, struct err *err)
{
    struct live_look *k = p->look;
    uint32_t i = k->ev.u.observed.n_vms_nodes;
    int rc = facts_read_vms(d, v, &k->arena, &k->vms[i], err);

    if (rc != 0)
        return rc;
    k->vms_nodes[i] = p->n->ix;
    k->ev.u.observed.n_vms_nodes++;
    return 0;
}

static int take(struct live_part *p, const struct json_doc *d, const json *v, struct err *err)
{
    struct arena *a = &p->look->arena;
    struct event *ev = &p->look->ev;

    switch (p->q) {
    case ASK_FACTS:
        return facts_read_node(d, v, a, &ev->u.observed.facts, err);
    case ASK_VIEW:
        return facts_read_cluster(d, v, a, &ev->u.observed.view, err);
    case ASK_STORAGE:
        return facts_read_storage(d, v, a, &ev->u.observed.storage, err);
    case ASK_VMS:
        return take_vms(p, d, v, err);
    case ASK_VERIFY:
        return facts_read_verify(d, v, a, &ev->u.observed.verify, err);
    case ASK_EMPTY:
        return facts_read_empty(d, v, a, &ev->u.observed.empty, err);
    case ASK_REMOVABILITY:
        return facts_read_removability(d, v, a, &ev->u.observed.removability, err);
    case ASK_TIME:
        return facts_read_time(d, v, a, &ev->u.observed.time, err);
    case ASK_BACKUP:
        return facts_read_backup(d, v, a, &ev->u.observed.backup, err);
    case ASK_HEARTBEAT:
        return facts_read_heartbeat(d, v, a, &ev->u.observed.heartbeat, err);
    }
    return err_set(err, ERR_INTERNAL, "unknown question");
}

/* The oldest of its parts is a picture's age. */
static void take_age(struct live_look *k, time_ms at)
{
    time_ms *taken = &k->ev.u.observed.taken;

    if (at > 0 && (*taken == 0 || at < *taken))
        *taken = at;
}

static int page_keep(struct live_part *p, const json *result, struct err *err)
{
    struct buf text = BUF_INIT;
    int rc;

    if (p->n_pages == PAGES_MAX)
        return err_set(err, ERR_PROTOCOL, "%s: the answer has no end", p->n->target.node);
    json_write(&text, result, false);
    rc = text.failed ? err_set(err, ERR_NOMEM, "observe")
                     : json_parse("page", buf_text(&text), text.len, &p->pages[p->n_pages], err);
    buf_clear(&text);
    if (rc == 0)
        p->n_pages++;
    return rc;
}

static int take_pages(struct live_part *p, struct err *err)
{
    struct json_doc *joined = NULL;
    int rc = live_pages_join((const struct json_doc *const *)p->pages, p->n_pages, &joined, err);

    if (rc == 0)
        rc = take(p, joined, json_root(joined), err);
    json_free(joined);
    return rc;
}

static void part_send(struct live_part *p, const char *cursor);

/* One answer: a whole one is read as it came, pages are kept until the last. */
static int take_answer(struct live_part *p, const struct rpc_message *reply, const char **ret_next,
                       struct err *err)
{
    const json *r = reply->result;
    int rc;

    *ret_next = NULL;
    if (p->q == ASK_FACTS)
        return take(p, reply->doc, r, err);
    take_age(p->look, json_get_int(r, "at_ms", 0));
    *ret_next = json_get_str(r, "next", NULL);
    if (*ret_next == NULL && p->n_pages == 0)
        return take(p, reply->doc, json_get(r, "data"), err);
    rc = page_keep(p, r, err);
    return rc != 0 || *ret_next != NULL ? rc : take_pages(p, err);
}

static void on_answer(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct live_part *p = arg;
    struct err err = { 0 };
    const char *next = NULL;

    if (why == NULL && take_answer(p, reply, &next, &err) != 0)
        why = &err;
    if (why != NULL)
        part_failed(p, why);
    else if (next != NULL)
        part_send(p, next);
    else
        part_end(p);
}

static void part_send(struct live_part *p, const char *cursor)
{
    struct live_look *k = p->look;
    struct buf text = BUF_INIT;
    struct json_writer w;
    struct err err = { 0 };
    int rc;

    jw_init(&w, &text);
    jw_object(&w, NULL);
    if (p->q != ASK_FACTS) {
        jw_str(&w, "what", question_names[p->q]);
        jw_raw(&w, "args", p->q == ASK_VIEW || p->q == ASK_VMS || k->args == NULL ? "{}" : k->args);
        jw_str(&w, "cursor", cursor);
    }
    jw_object_end(&w);
    rc = live_call(p->n, p->q == ASK_FACTS ? "facts" : "observe", &text, k->limit_ms, on_answer, p, &err);
    if (rc != 0)
        part_failed(p, &err);
}

static struct live_part *part_new(struct live_look *k, struct live_node *n, enum live_question q)
{
    struct live_part *p = calloc(1, sizeof *p);

    if (p == NULL)
        return NULL;
    p->look = k;
    p->n = n;
    p->q = q;
    k->waiting++;
    return p;
}

static void part_add(struct live_look *k, struct live_node *n, enum live_question q)
{
    struct live_part *p = part_new(k, n, q);
    struct err err = { 0 };

    if (p != NULL) {
        part_send(p, NULL);
    } else {
        (void)err_set(&err, ERR_NOMEM, "observe");
        look_fail(k, &err);
    }
}

static void look_cluster(struct live_look *k, const struct command *c)
{
    struct backend_live *b = k->b;
    const struct cluster *cl = &b->setup.plan->inv->clusters[c->cluster];

    k->vms = ARENA_ARRAY(&k->arena, struct vms_seen, cl->n_nodes + 1);
    k->vms_nodes = ARENA_ARRAY(&k->arena, uint32_t, cl->n_nodes + 1);
    if (k->vms == NULL || k->vms_nodes == NULL) {
        struct err err = { 0 };

        (void)err_set(&err, ERR_NOMEM, "observe");
        look_fail(k, &err);
        return;
    }
    k->ev.u.observed.vms = k->vms;
    k->ev.u.observed.vms_nodes = k->vms_nodes;
    part_add(k, &b->nodes[c->node], ASK_VIEW);
    part_add(k, &b->nodes[c->node], ASK_STORAGE);
    for (uint32_t i = 0; i < cl->n_nodes; i++)
        if (b->nodes[cl->nodes[i]].talk ==
            (b->epoch == 0 ? TALK_GREETED : TALK_CLAIMED)) /* 0: only looked at */
            part_add(k, &b->nodes[cl->nodes[i]], ASK_VMS);
}

static void late_failure(struct backend_live *b, const struct command *c, const char *text)
{
    struct live_late *late = live_late_new(b, EV_OBSERVED, c->node);

    if (late == NULL)
        return;
    late->ev.cluster = c->cluster;
    late->ev.u.observed.ask = c->ask;
    late->ev.u.observed.what = c->what;
    late->ev.u.observed.text = live_late_str(late, text);
    late->ev.u.observed.taken = fleet_now(&b->setup.clock);
}

/* Why that node cannot be asked, hello refused included; NULL: it can. */
static const char *cannot_ask(const struct live_node *n)
{
    bool up = n->client != NULL && agent_client_is_up(n->client);

    if (up && (n->talk != TALK_UP || n->last_down.code == ERR_OK))
        return NULL;
    return n->last_down.code == ERR_OK ? "not connected" : n->last_down.text;
}

void live_observe(struct backend_live *b, const struct command *c)
{
    struct live_look *k;
    dur_ms real = fleet_to_real(&b->setup.clock, c->limit_ms);
    const char *why = cannot_ask(&b->nodes[c->node]);

    if (why != NULL) {
        late_failure(b, c, why);
        return;
    }
    k = calloc(1, sizeof *k);
    if (k != NULL && c->args != NULL && (k->args = strdup(c->args)) == NULL) {
        free(k);
        k = NULL;
    }
    if (k == NULL) {
        late_failure(b, c, out_of_memory);
        return;
    }
    k->b = b;
    k->limit_ms = real > LIVE_DRIVER_MIN_MS ? real : LIVE_DRIVER_MIN_MS;
    k->ev = live_event(EV_OBSERVED, c->node);
    k->ev.cluster = c->cluster;
    k->ev.u.observed.ask = c->ask;
    k->ev.u.observed.what = c->what;
    k->waiting = 1; /* ours, until all parts are sent */
    if (c->what == OBSERVE_CLUSTER)
        look_cluster(k, c);
    else
        part_add(k, &b->nodes[c->node], single_question[c->what]);
    if (--k->waiting > 0)
        return;
    late_failure(b, c, k->ev.u.observed.text); /* not one could be asked; no event comes from inside submit */
    look_free(k);
}
