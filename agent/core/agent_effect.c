/* Effects: made here, carried out by the host. */
#include "agent/core/agent_state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void agent_effects_reset(struct agent_effects *e)
{
    arena_reset(&e->arena);
    e->n = 0;
}

void agent_effects_clear(struct agent_effects *e)
{
    arena_clear(&e->arena);
    list_clear(e);
}

struct agent_effect *agent_emit(struct agent *a, enum agent_effect_type type)
{
    static struct agent_effect nowhere; /* written to, never read: the call ends with ERR_NOMEM */
    struct agent_effect *e = list_push(a->out);

    if (e == NULL) {
        a->no_memory = true;
        e = &nowhere;
    }
    e->type = type;
    return e;
}

const char *agent_emit_copy(struct agent *a, const char *text)
{
    const char *copy = arena_str(&a->out->arena, text);

    if (copy == NULL)
        a->no_memory = true;
    return copy == NULL ? "" : copy;
}

char *agent_text_copy(struct agent *a, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);

    if (copy == NULL) {
        a->no_memory = true;
        return NULL;
    }
    memcpy(copy, text, size);
    return copy;
}

void agent_append(struct agent *a, enum agent_record_kind kind, const char *op, struct buf *body)
{
    struct agent_effect *e = agent_emit(a, AGENT_DO_APPEND);
    struct err err = { 0 };
    int rc;

    a->no_memory |= body->failed;
    e->record = (struct agent_record){
        .kind = kind,
        .at = a->at,
        .op = agent_emit_copy(a, op),
        .boot_id = agent_emit_copy(a, a->boot_id),
        .body = agent_emit_copy(a, buf_text(body)),
    };
    buf_clear(body);
    if (a->no_memory)
        return;
    rc = journal_fold_apply(&a->fold, &e->record, &err);
    assert(rc == 0 || rc == ERR_NOMEM); /* what we write must be readable */
    a->no_memory = rc != 0;
}

static void send_line(struct agent *a, uint32_t conn, struct buf *line, bool reply, int64_t request)
{
    struct agent_effect *e = agent_emit(a, AGENT_DO_SEND);

    a->no_memory |= line->failed;
    e->conn = conn;
    e->reply = reply;
    e->request = request;
    e->text = agent_emit_copy(a, buf_text(line));
    e->len = strlen(e->text);
    buf_clear(line);
}

void agent_reply(struct agent *a, uint32_t conn, int64_t request, struct buf *result)
{
    struct buf line = BUF_INIT;

    a->no_memory |= result->failed;
    rpc_write_result(&line, request, buf_text(result));
    buf_clear(result);
    if (line.len > WIRE_LINE_MAX) {
        struct err err = { 0 };

        buf_clear(&line);
        err_set(&err, ERR_CAPACITY, "the answer does not fit one line");
        rpc_write_error(&line, request, &err, NULL);
    }
    send_line(a, conn, &line, true, request);
}

void agent_reply_error(struct agent *a, uint32_t conn, int64_t request, const struct err *e, const char *data)
{
    struct buf line = BUF_INIT;

    rpc_write_error(&line, request, e, data);
    send_line(a, conn, &line, true, request);
}

void agent_tell(struct agent *a, uint32_t conn, const char *method, struct buf *params)
{
    struct buf line = BUF_INIT;

    a->no_memory |= params->failed;
    if (conn != 0) {
        rpc_write_notification(&line, method, buf_text(params));
        send_line(a, conn, &line, false, 0);
    }
    buf_clear(params);
}

void agent_notify(struct agent *a, const char *method, struct buf *params)
{
    agent_tell(a, agent_conn_holder(a), method, params);
}
