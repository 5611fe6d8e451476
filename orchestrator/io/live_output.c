/* What an op's driver printed, fetched for people. */
#include "orchestrator/io/live_own.h"

#include <stdlib.h>
#include <string.h>

#define OUTPUT_BYTES_MAX (256u << 10)

struct live_output {
    void (*on_done)(void *arg, const char *text, uint64_t total_bytes, const struct err *why);
    void *arg;
};

static void on_output(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct live_output *o = arg;

    if (why == NULL)
        o->on_done(o->arg, json_get_str(reply->result, "text", ""),
                   (uint64_t)json_get_int(reply->result, "total_bytes", 0), NULL);
    else
        o->on_done(o->arg, NULL, 0, why);
    free(o);
}

void backend_live_output(struct backend_live *b, uint32_t node, const char *op, uint64_t offset,
                         void (*on_done)(void *arg, const char *text, uint64_t total_bytes,
                                         const struct err *why),
                         void *arg)
{
    struct live_output *o;
    struct buf text = BUF_INIT;
    struct json_writer w;
    struct err err = { 0 };

    if (b->nodes[node].client == NULL) {
        (void)err_set(&err, ERR_NOT_FOUND, "the plan has no connection to that node");
        on_done(arg, NULL, 0, &err);
        return;
    }
    o = calloc(1, sizeof *o);
    if (o == NULL) {
        (void)err_set(&err, ERR_NOMEM, "op.output");
        on_done(arg, NULL, 0, &err);
        return;
    }
    o->on_done = on_done;
    o->arg = arg;
    jw_init(&w, &text);
    jw_object(&w, NULL);
    jw_str(&w, "op", op);
    jw_int(&w, "offset", (int64_t)offset);
    jw_int(&w, "max_bytes", OUTPUT_BYTES_MAX);
    jw_object_end(&w);
    if (live_call(&b->nodes[node], "op.output", &text, LIVE_CALL_MS, on_output, o, &err) != 0) {
        on_done(arg, NULL, 0, &err);
        free(o);
    }
}
