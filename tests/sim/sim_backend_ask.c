/* OBSERVE: one question, several answers from several nodes, one event. */
#include "tests/sim/sim.h"

#include <assert.h>
#include <string.h>

enum { PART_VIEW, PART_STORAGE, PART_VMS };

static struct sim_ask *ask_find(struct sim_backend *b, uint32_t no)
{
    struct sim_ask *a = &b->asks[no % SIM_ASKS];

    return a->used && a->no == no ? a : NULL;
}

static void clear(struct sim_ask *a)
{
    for (uint32_t i = 0; i < SIM_PARTS; i++)
        if (a->have[i]) {
            rpc_clear(&a->got[i]);
            a->have[i] = false;
        }
    a->used = false;
}

static void send_part(struct sim_backend *b, struct sim_ask *a, uint32_t part, uint32_t node,
                      const char *what, const char *args)
{
    struct buf q = BUF_INIT;
    struct sim_pending *p;

    a->part_node[part] = node;
    if (strcmp(what, "facts") == 0) {
        p = sim_request(b, node, REQ_PART, "facts", "{}");
    } else {
        buf_printf(&q, "{\"what\":\"%s\",\"args\":%s,\"cursor\":null}", what, args == NULL ? "{}" : args);
        p = sim_request(b, node, REQ_PART, "observe", buf_text(&q));
        buf_clear(&q);
    }
    if (p == NULL)
        return;
    p->ask = a->no;
    p->part = part;
    a->left++;
}

static const char *const what_words[OBSERVE_WHATS] = {
    [OBSERVE_FACTS] = "facts",
    [OBSERVE_VERIFY] = "verify",
    [OBSERVE_EMPTY] = "check_empty",
    [OBSERVE_STORAGE] = "storage_health",
    [OBSERVE_REMOVABILITY] = "removability",
    [OBSERVE_TIME] = "time_sync",
    [OBSERVE_BACKUP] = "backup_agent",
    [OBSERVE_HEARTBEAT] = "vm_heartbeat",
};

static void ask_cluster(struct sim_backend *b, struct sim_ask *a, const struct command *cmd)
{
    const struct cluster *k = &b->c->s->plan->inv->clusters[cmd->cluster];

    a->parts = PART_VMS;
    send_part(b, a, PART_VIEW, cmd->node, "cluster_health", NULL);
    send_part(b, a, PART_STORAGE, cmd->node, "storage_health", NULL);
    for (uint32_t i = 0; i < k->n_nodes; i++)
        if (b->links[k->nodes[i]].state == LINK_READY)
            send_part(b, a, a->parts++, k->nodes[i], "vms", NULL);
}

void sim_ask_begin(struct sim_backend *b, const struct command *cmd)
{
    struct sim_ask *a = NULL;
    uint32_t no = 0;

    for (uint32_t i = 0; i < SIM_ASKS && a == NULL; i++)
        if (!b->asks[++b->next_ask % SIM_ASKS].used) {
            no = b->next_ask;
            a = &b->asks[no % SIM_ASKS];
        }
    assert(a != NULL);
    memset(a, 0, sizeof *a);
    a->used = true;
    a->no = no;
    a->ask = cmd->ask;
    a->what = cmd->what;
    a->node = cmd->node;
    a->cluster = cmd->cluster;
    sim_put(b->c->s, b->c->s->now + cmd->limit_ms, SIM_Q_ASK_LIMIT, b->c->index, no, 0, NULL, 0);
    if (b->links[cmd->node].state != LINK_READY)
        return; /* the limit answers */
    if (cmd->what == OBSERVE_CLUSTER) {
        ask_cluster(b, a, cmd);
    } else {
        a->parts = 1;
        send_part(b, a, 0, cmd->node, what_words[cmd->what], cmd->args);
    }
}

static struct event answer_event(const struct sim_ask *a)
{
    struct event ev = { .type = EV_OBSERVED, .node = a->node, .cluster = a->cluster };

    ev.u.observed.ask = a->ask;
    ev.u.observed.what = a->what;
    return ev;
}

static int read_one(struct sim_ask *a, struct event *ev, struct arena *mem, struct err *err)
{
    const struct json_doc *d = a->got[0].doc;
    const json *v = a->what == OBSERVE_FACTS ? a->got[0].result : json_get(a->got[0].result, "data");

    switch (a->what) {
    case OBSERVE_FACTS:
        return facts_read_node(d, v, mem, &ev->u.observed.facts, err);
    case OBSERVE_VERIFY:
        return facts_read_verify(d, v, mem, &ev->u.observed.verify, err);
    case OBSERVE_EMPTY:
        return facts_read_empty(d, v, mem, &ev->u.observed.empty, err);
    case OBSERVE_STORAGE:
        return facts_read_storage(d, v, mem, &ev->u.observed.storage, err);
    case OBSERVE_REMOVABILITY:
        return facts_read_removability(d, v, mem, &ev->u.observed.removability, err);
    case OBSERVE_TIME:
        return facts_read_time(d, v, mem, &ev->u.observed.time, err);
    case OBSERVE_BACKUP:
        return facts_read_backup(d, v, mem, &ev->u.observed.backup, err);
    case OBSERVE_HEARTBEAT:
        return facts_read_heartbeat(d, v, mem, &ev->u.observed.heartbeat, err);
    case OBSERVE_CLUSTER:
    case OBSERVE_WHATS:
        break;
    }
    return err_set(err, ERR_INTERNAL, "no such question");
}

static int read_cluster(struct sim_ask *a, struct event *ev, struct arena *mem, struct err *err)
{
    struct vms_seen *vms = ARENA_ARRAY(mem, struct vms_seen, SIM_PARTS);
    uint32_t *nodes = ARENA_ARRAY(mem, uint32_t, SIM_PARTS), n = 0;
    int rc = facts_read_cluster(a->got[PART_VIEW].doc, json_get(a->got[PART_VIEW].result, "data"), mem,
                                &ev->u.observed.view, err);

    if (rc == 0)
        rc = facts_read_storage(a->got[PART_STORAGE].doc, json_get(a->got[PART_STORAGE].result, "data"), mem,
                                &ev->u.observed.storage, err);
    for (uint32_t i = PART_VMS; rc == 0 && i < a->parts; i++) {
        if (!a->have[i] ||
            facts_read_vms(a->got[i].doc, json_get(a->got[i].result, "data"), mem, &vms[n], NULL) != 0)
            continue;
        nodes[n++] = a->part_node[i];
    }
    ev->u.observed.vms = vms;
    ev->u.observed.vms_nodes = nodes;
    ev->u.observed.n_vms_nodes = n;
    return rc;
}

static void finish(struct sim_backend *b, struct sim_ask *a)
{
    static struct arena mem; /* what one answer took serves the next one */
    struct event ev = answer_event(a);
    struct err err = { 0 };
    bool have = a->have[0] && (a->what != OBSERVE_CLUSTER || a->have[PART_STORAGE]);
    int rc = ERR_LOST;
    char why[200];

    if (have)
        rc = a->what == OBSERVE_CLUSTER ? read_cluster(a, &ev, &mem, &err) : read_one(a, &ev, &mem, &err);
    ev.u.observed.ok = rc == 0;
    ev.u.observed.taken =
        have ? json_get_int(a->got[0].result, "at_ms", json_get_int(a->got[0].result, "now_ms", b->c->s->now))
             : b->c->s->now;
    memcpy(why, have ? err.text : a->why, sizeof why - 1);
    why[sizeof why - 1] = '\0';
    ev.u.observed.text = rc == 0 ? NULL : why;
    {
        struct sim_ask mine = *a; /* the slot may be taken again while the engine thinks */

        memset(a, 0, sizeof *a);
        sim_ctl_feed(b->c, &ev);
        clear(&mine);
    }
    arena_reset(&mem);
}

/* F47, F26: a source that repeats what it said first, with the stamp that it had. */
static void repeat(struct sim *s, const struct sim_ask *a, struct rpc_message *msg)
{
    char **kept = a->what == OBSERVE_BACKUP ? &s->agents[a->node].kept_backup
                  : a->what == OBSERVE_TIME ? &s->agents[a->node].kept_time
                                            : NULL;
    struct buf line = BUF_INIT;
    int rc;

    if (kept == NULL || !s->world.cruel)
        return;
    if (*kept == NULL) {
        json_write(&line, msg->result, false);
        *kept = line.data;
    } else if (s->agents[a->node].repeats && !s->calm) {
        rpc_write_result(&line, msg->id, *kept);
        rpc_clear(msg);
        rc = rpc_parse(buf_text(&line), line.len - 1, msg, NULL);
        assert(rc == 0); /* what was read once is read again */
        (void)rc;
        buf_clear(&line);
    }
}

void sim_ask_part(struct sim_backend *b, uint32_t no, uint32_t part, struct rpc_message *msg, const char *why)
{
    struct sim_ask *a = ask_find(b, no);

    if (a == NULL)
        return;
    if (msg != NULL && why == NULL) {
        repeat(b->c->s, a, msg);
        a->got[part] = *msg;
        a->have[part] = true;
        memset(msg, 0, sizeof *msg); /* taken over */
    } else if (part < PART_VMS) {
        size_t len = strlen(why);

        len = len < sizeof a->why - 1 ? len : sizeof a->why - 1;
        memcpy(a->why, why, len);
        a->why[len] = '\0';
    }
    if (--a->left == 0)
        finish(b, a);
}

void sim_ask_limit(struct sim_backend *b, uint32_t no)
{
    struct sim_ask *a = ask_find(b, no);

    if (a == NULL || b->c->state != CTL_LIVE)
        return;
    if (!a->have[0] && a->why[0] == '\0')
        memcpy(a->why, "no answer in time", 18);
    a->left = 0;
    finish(b, a);
}
