/* ping, hello, claim. */
#include "agent/core/agent_state.h"

#include <string.h>

static bool is_hex_id(const char *s)
{
    return strlen(s) == AGENT_HEX_ID - 1 && strspn(s, "0123456789abcdef") == AGENT_HEX_ID - 1;
}

AGENT_HANDLER(agent_do_ping)
{
    struct buf result = BUF_INIT;

    (void)err;
    buf_str(&result, "{}");
    agent_reply(a, rq->conn->id, rq->id, &result);
    return 0;
}

static int negotiate(struct agent *a, const struct agent_request *rq, struct err *err)
{
    static const char *const known[] = { "min", "max", NULL };
    const json *range = NULL;
    int64_t min = 0, max = 0;
    int rc = json_want_object(rq->doc, rq->params, "protocol", JSON_REQUIRED, &range, err);

    if (rc == 0)
        rc = json_want_known(rq->doc, range, known, err);
    if (rc == 0)
        rc = json_want_int(rq->doc, range, "min", JSON_REQUIRED, 0, INT32_MAX, &min, err);
    if (rc == 0)
        rc = json_want_int(rq->doc, range, "max", JSON_REQUIRED, min, INT32_MAX, &max, err);
    if (rc != 0 || (min <= WIRE_PROTOCOL_MAX && max >= WIRE_PROTOCOL_MIN))
        return rc;
    buf_printf(&a->error_data, "{\"min\":%d,\"max\":%d}", WIRE_PROTOCOL_MIN, WIRE_PROTOCOL_MAX);
    return err_set(err, ERR_VERSION, "this agent (%s) speaks protocol %d to %d", a->cfg.version,
                   WIRE_PROTOCOL_MIN, WIRE_PROTOCOL_MAX);
}

AGENT_HANDLER(agent_do_hello)
{
    const char *controller = NULL, *program = NULL;
    int rc = negotiate(a, rq, err);

    if (rc == 0)
        rc = json_want_str(rq->doc, rq->params, "controller", JSON_REQUIRED, &controller, err);
    if (rc == 0)
        rc = json_want_str(rq->doc, rq->params, "program", JSON_REQUIRED, &program, err);
    if (rc == 0 && !is_hex_id(controller))
        rc = err_set(err, ERR_INVALID, "`controller` must be 32 hex digits");
    if (rc == 0 && rq->conn->hello_waits)
        rc = err_set(err, ERR_STATE, "hello is being answered");
    if (rc == 0 && rq->conn->epoch != 0 && strcmp(controller, rq->conn->controller) != 0)
        rc = err_set(err, ERR_STATE, "this connection has claimed for another controller");
    if (rc != 0)
        return rc;
    memcpy(rq->conn->controller, controller, AGENT_HEX_ID);
    rq->conn->hello_waits = true;
    rq->conn->hello_request = rq->id;
    if (a->identified)
        agent_hellos_settle(a, NULL);
    return 0;
}

int agent_want_log(const struct agent_request *rq, struct agent_log_position *log, struct err *err)
{
    static const char *const known[] = { "seq", "hash", NULL };
    const json *object = NULL;
    const char *hash = NULL;
    int rc = json_want_object(rq->doc, rq->params, "log", JSON_REQUIRED, &object, err);

    if (rc == 0)
        rc = json_want_known(rq->doc, object, known, err);
    if (rc == 0)
        rc = json_want_int(rq->doc, object, "seq", JSON_REQUIRED, 0, INT64_MAX, &log->seq, err);
    if (rc == 0)
        rc = json_want_str(rq->doc, object, "hash", JSON_REQUIRED, &hash, err);
    if (rc == 0 && strlen(hash) >= sizeof log->hash)
        rc = json_fault(rq->doc, object, err, "`hash` is too long");
    if (rc == 0)
        memcpy(log->hash, hash, strlen(hash) + 1);
    return rc;
}

static int read_claim(const struct agent_request *rq, struct agent_claim *asked, bool *takeover,
                      struct err *err)
{
    const char *run = NULL, *controller = NULL;
    int rc = json_want_str(rq->doc, rq->params, "run", JSON_REQUIRED, &run, err);

    if (rc == 0)
        rc = json_want_str(rq->doc, rq->params, "controller", JSON_REQUIRED, &controller, err);
    if (rc == 0)
        rc = json_want_int(rq->doc, rq->params, "epoch", JSON_REQUIRED, 1, INT64_MAX, &asked->epoch, err);
    if (rc == 0)
        rc = json_want_bool(rq->doc, rq->params, "takeover", JSON_OPTIONAL, takeover, err);
    if (rc == 0)
        rc = agent_want_log(rq, &asked->log, err);
    if (rc == 0 && !id_is_name(run))
        rc = err_set(err, ERR_INVALID, "`run` is no name");
    if (rc == 0 && strcmp(controller, rq->conn->controller) != 0)
        rc = err_set(err, ERR_INVALID, "`controller` is not the one that said hello");
    if (rc != 0)
        return rc;
    memcpy(asked->run, run, strlen(run) + 1);
    memcpy(asked->controller, controller, AGENT_HEX_ID);
    return 0;
}

static void append_claim(struct agent *a, const struct agent_claim *asked, bool takeover)
{
    struct buf body = BUF_INIT;
    struct json_writer w;

    jw_init(&w, &body);
    jw_object(&w, NULL);
    jw_str(&w, "run", asked->run);
    jw_str(&w, "controller", asked->controller);
    jw_int(&w, "epoch", asked->epoch);
    jw_object(&w, "log");
    jw_int(&w, "seq", asked->log.seq);
    jw_str(&w, "hash", asked->log.hash);
    jw_object_end(&w);
    jw_bool(&w, "takeover", takeover);
    jw_object_end(&w);
    agent_append(a, AGENT_REC_CLAIM, "", &body);
}

static void reply_claim(struct agent *a, const struct agent_request *rq)
{
    struct buf result = BUF_INIT;
    struct json_writer w;

    jw_init(&w, &result);
    jw_object(&w, NULL);
    jw_int(&w, "epoch", a->fold.claim.epoch);
    jw_str(&w, "controller", a->fold.claim.controller);
    jw_array(&w, "ops");
    for (uint32_t i = 0; i < a->fold.n_ops && result.len < WIRE_LINE_MAX / 2; i++)
        if (!a->fold.ops[i]->acked)
            agent_record_write(&w, NULL, a->fold.ops[i]->id, a->fold.ops[i]);
    jw_array_end(&w);
    jw_object_end(&w);
    agent_reply(a, rq->conn->id, rq->id, &result);
}

/* I20: what the old epoch had accepted and not begun waits for an order of the
 * new one; its checks come to nothing. */
static void park_accepted(struct agent *a)
{
    for (uint32_t i = a->n_lives; i > 0; i--) {
        struct agent_live *l = a->lives[i - 1];

        if (l->op->state == AGENT_OP_ACCEPTED &&
            !agent_claim_is(&a->fold.claim, l->op->epoch, l->op->controller))
            agent_live_drop(a, l);
    }
}

AGENT_HANDLER(agent_do_claim)
{
    struct agent_claim asked = { 0 };
    bool takeover = false;
    int rc = read_claim(rq, &asked, &takeover, err);

    if (rc != 0)
        return rc;
    rc = agent_claim_judge(&a->fold.claim, &asked, takeover, err);
    if (rc != 0) {
        buf_printf(&a->error_data, "{\"epoch\":%lld,\"controller\":\"%s\"}", (long long)a->fold.claim.epoch,
                   a->fold.claim.controller);
        return rc;
    }
    append_claim(a, &asked, takeover);
    rq->conn->epoch = asked.epoch;
    rq->conn->claim_order = ++a->next_claim;
    a->last_opened = rq->conn->opened;
    memcpy(a->last_controller, asked.controller, sizeof a->last_controller);
    park_accepted(a);
    reply_claim(a, rq);
    return 0;
}
