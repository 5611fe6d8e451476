/* The record of docs/wire.md. */
#include "agent/core/agent_state.h"

#include <string.h>

/* A JSON text, or what stands for one that is too large for the wire. */
static void write_bounded(struct json_writer *w, const char *key, const char *text, const char *otherwise)
{
    size_t len = text == NULL ? 0 : strlen(text);

    if (len <= AGENT_RESULT_BYTES) {
        jw_raw(w, key, text == NULL ? otherwise : text);
        return;
    }
    jw_object(w, key);
    jw_int(w, "omitted_bytes", (int64_t)len);
    jw_object_end(w);
}

static void write_rows(struct json_writer *w, const struct agent_op *op)
{
    jw_raw(w, "downtime", op->downtime == NULL ? "[]" : op->downtime);
}

void agent_record_write(struct json_writer *w, const char *key, const char *id, const struct agent_op *op)
{
    static const struct agent_op never;

    if (op == NULL)
        op = &never;
    jw_object(w, key);
    jw_str(w, "op", id);
    jw_str(w, "action", op == &never ? NULL : op->action);
    jw_str(w, "state", agent_op_state_name(op->state));
    jw_str(w, "outcome", agent_outcome_name(op->outcome));
    jw_raw(w, "error", op->error == NULL ? "null" : op->error);
    write_bounded(w, "result", op->result, "null");
    write_rows(w, op);
    jw_int(w, "accepted_ms", op->accepted_at);
    jw_int(w, "started_ms", op->started_at);
    jw_int(w, "ended_ms", op->ended_at);
    jw_str(w, "boot_id", op->starts == 0 ? NULL : op->start_boot);
    jw_int(w, "output_bytes", op->output_bytes);
    jw_str(w, "output_tail", op->output_tail == NULL ? "" : op->output_tail);
    jw_bool(w, "acked", op->acked);
    jw_object_end(w);
}

void agent_reply_record(struct agent *a, uint32_t conn, int64_t request, const char *id)
{
    struct buf result = BUF_INIT;
    struct json_writer w;

    jw_init(&w, &result);
    agent_record_write(&w, NULL, id, journal_fold_find(&a->fold, id));
    agent_reply(a, conn, request, &result);
}
