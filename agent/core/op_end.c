/* How an op ends: DONE in the journal first, then the notification. */
#include "agent/core/agent_state.h"
#include "schema/utf8.h"

#include <assert.h>
#include <string.h>

#define ERROR_TEXT_BYTES 4096

static void write_tail(struct agent *a, struct json_writer *w, const char *tail)
{
    struct buf clean = BUF_INIT;
    size_t len = tail == NULL ? 0 : strlen(tail);
    size_t from = len > AGENT_TAIL_BYTES ? len - AGENT_TAIL_BYTES : 0;

    if (len > 0)
        driver_text_clean(&clean, tail + from, len - from);
    a->no_memory |= clean.failed;
    jw_str(w, "output_tail", buf_text(&clean));
    buf_clear(&clean);
}

/* One text of a driver's error; null stays null. */
static void write_short(struct agent *a, struct json_writer *w, const char *key, const json *value)
{
    const char *text = json_str(value, NULL);
    struct buf cut = BUF_INIT;

    if (text != NULL)
        buf_add(&cut, text, utf8_cut(text, ERROR_TEXT_BYTES));
    a->no_memory |= cut.failed;
    jw_str(w, key, text == NULL ? NULL : buf_text(&cut));
    buf_clear(&cut);
}

static void write_error(struct agent *a, struct json_writer *w, const struct agent_ending *end)
{
    static const char *const members[] = { "code", "message", "native", "hint" };

    if (end->error != NULL) {
        jw_object(w, "error");
        for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
            write_short(a, w, members[i], json_get(end->error, members[i]));
        jw_object_end(w);
        return;
    }
    if (end->code == NULL) {
        jw_null(w, "error");
        return;
    }
    jw_object(w, "error");
    jw_str(w, "code", end->code);
    jw_str(w, "message", end->message);
    jw_null(w, "native");
    jw_null(w, "hint");
    jw_object_end(w);
}

static void write_done(struct agent *a, struct buf *body, const struct agent_ending *end)
{
    struct json_writer w;

    jw_init(&w, body);
    jw_object(&w, NULL);
    jw_str(&w, "outcome", agent_outcome_name(end->outcome));
    write_error(a, &w, end);
    if (end->result != NULL)
        jw_value(&w, "result", end->result);
    else
        jw_null(&w, "result");
    if (end->downtime != NULL)
        jw_value(&w, "downtime", end->downtime);
    else
        jw_raw(&w, "downtime", "[]");
    jw_int(&w, "output_bytes", end->output_bytes);
    write_tail(a, &w, end->output_tail);
    jw_object_end(&w);
}

static void notify_done(struct agent *a, const struct agent_op *op)
{
    struct buf params = BUF_INIT;
    struct json_writer w;

    jw_init(&w, &params);
    agent_record_write(&w, NULL, op->id, op);
    agent_notify(a, "op.done", &params);
}

void agent_op_finish(struct agent *a, struct agent_op *op, struct buf *body)
{
    struct agent_live *l = agent_live_find(a, op);

    if (l != NULL)
        agent_live_drop(a, l);
    agent_append(a, AGENT_REC_DONE, op->id, body);
    if (!a->no_memory)
        notify_done(a, op);
}

void agent_op_end(struct agent *a, struct agent_op *op, const struct agent_ending *end)
{
    struct buf body = BUF_INIT;

    write_done(a, &body, end);
    agent_op_finish(a, op, &body);
}

void agent_op_refuse(struct agent *a, struct agent_op *op, const char *code, const char *message)
{
    assert(op->state == AGENT_OP_ACCEPTED);
    agent_op_end(
        a, op, &(struct agent_ending){ .outcome = AGENT_OUTCOME_REFUSED, .code = code, .message = message });
}

void agent_op_cancel(struct agent *a, struct agent_op *op, const char *code, const char *message)
{
    assert(op->state == AGENT_OP_ACCEPTED);
    agent_op_end(
        a, op,
        &(struct agent_ending){ .outcome = AGENT_OUTCOME_CANCELLED, .code = code, .message = message });
}

void agent_op_doubt(struct agent *a, struct agent_op *op)
{
    struct agent_live *l = agent_live_find(a, op);

    if (l != NULL)
        agent_live_drop(a, l);
    agent_op_state_move(&op->state, AGENT_OP_UNKNOWN);
    notify_done(a, op);
}
