/* Connections: a session each (C.5), an accepted claim perhaps. */
#include "agent/core/agent_state.h"

#include <stdlib.h>
#include <string.h>

struct agent_conn *agent_conn_find(const struct agent *a, uint32_t id)
{
    for (uint32_t i = 0; i < a->n_conns; i++)
        if (a->conns[i]->id == id)
            return a->conns[i];
    return NULL;
}

bool agent_conn_holds(const struct agent *a, const struct agent_conn *c)
{
    return agent_claim_is(&a->fold.claim, c->epoch, c->controller);
}

bool agent_conn_is_old(const struct agent *a, const struct agent_conn *c)
{
    return c->opened < a->last_opened && strcmp(c->controller, a->last_controller) == 0;
}

uint32_t agent_conn_holder(const struct agent *a)
{
    const struct agent_conn *last = NULL;

    for (uint32_t i = 0; i < a->n_conns; i++)
        if (agent_conn_holds(a, a->conns[i]) &&
            (last == NULL || a->conns[i]->claim_order > last->claim_order))
            last = a->conns[i];
    return last == NULL ? 0 : last->id;
}

void agent_conn_open(struct agent *a, const struct agent_event *ev)
{
    struct agent_conn *c = calloc(1, sizeof *c);

    if (c == NULL || !list_grow(&a->conns, a->n_conns, &a->cap_conns, sizeof(struct agent_conn *))) {
        free(c);
        a->no_memory = true;
        return;
    }
    c->id = ev->conn;
    c->opened = ++a->next_open;
    memcpy(c->session, ev->text, AGENT_HEX_ID - 1);
    a->conns[a->n_conns++] = c;
}

void agent_conn_close(struct agent *a, uint32_t id)
{
    for (uint32_t i = 0; i < a->n_conns; i++)
        if (a->conns[i]->id == id) {
            json_free(a->conns[i]->page);
            free(a->conns[i]);
            memmove(&a->conns[i], &a->conns[i + 1], (a->n_conns - i - 1) * sizeof(struct agent_conn *));
            a->n_conns--;
            break;
        }
    for (uint32_t i = 0; i < a->n_runs; i++) /* operations and reads go on; nobody hears the answer */
        if (a->runs[i]->conn == id)
            a->runs[i]->conn = 0;
}

static void write_log(struct json_writer *w, const struct agent_log_position *log)
{
    jw_object(w, "log");
    jw_int(w, "seq", log->seq);
    jw_str(w, "hash", log->hash);
    jw_object_end(w);
}

static void write_open_ops(struct json_writer *w, const struct journal_fold *f)
{
    jw_array(w, "open_ops");
    for (uint32_t i = 0; i < f->n_ops; i++)
        if (agent_op_state_has(f->ops[i]->state, AGENT_OP_IS_OPEN) && !f->ops[i]->acked)
            jw_str(w, NULL, f->ops[i]->id);
    jw_array_end(w);
}

static void write_clock(struct json_writer *w, const struct agent *a)
{
    jw_object(w, "clock");
    jw_int(w, "factor", a->cfg.clock_factor);
    jw_int(w, "anchor_ms", a->cfg.clock_anchor_ms);
    jw_int(w, "now_ms", a->at);
    jw_int(w, "mono_ms", a->mono);
    jw_object_end(w);
}

void agent_hello_reply(struct agent *a, struct agent_conn *c, int64_t request)
{
    struct buf result = BUF_INIT;
    struct json_writer w;

    jw_init(&w, &result);
    jw_object(&w, NULL);
    jw_int(&w, "protocol", WIRE_PROTOCOL_MAX);
    jw_str(&w, "agent", a->cfg.version);
    jw_str(&w, "node", a->cfg.node);
    jw_str(&w, "machine_id", a->machine_id);
    jw_str(&w, "boot_id", a->boot_id);
    jw_str(&w, "session", c->session);
    write_clock(&w, a);
    jw_int(&w, "epoch", a->fold.claim.epoch);
    jw_str(&w, "controller", a->fold.claim.epoch == 0 ? NULL : a->fold.claim.controller);
    write_log(&w, &a->fold.claim.log);
    jw_str(&w, "journal", a->cfg.journal_id);
    write_open_ops(&w, &a->fold);
    jw_object(&w, "driver");
    jw_str(&w, "name", a->cfg.driver->name);
    jw_str(&w, "version", a->cfg.driver->version);
    jw_object_end(&w);
    jw_str(&w, "os", a->cfg.os);
    jw_object_end(&w);
    c->greeted = true;
    agent_reply(a, c->id, request, &result);
}

void agent_hellos_settle(struct agent *a, const struct err *why)
{
    struct err foreign = { 0 };

    if (why == NULL && a->foreign) {
        err_set(&foreign, ERR_REFUSED,
                "this journal belongs to machine %s, this is %s: move the state folder away",
                a->fold.machine_id, a->machine_id);
        why = &foreign;
    }
    for (uint32_t i = 0; i < a->n_conns; i++) {
        struct agent_conn *c = a->conns[i];

        if (!c->hello_waits)
            continue;
        c->hello_waits = false;
        if (why == NULL)
            agent_hello_reply(a, c, c->hello_request);
        else
            agent_reply_error(a, c->id, c->hello_request, why, NULL);
    }
}
