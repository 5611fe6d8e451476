/* What may be asked is this table; its flags are checked before any handler. */
#include "agent/core/agent_state.h"

#include <string.h>

enum {
    METHOD_GREETED = 1u << 0, /* after `hello` on this connection */
    METHOD_CLAIM = 1u << 1,   /* needs this connection's accepted claim */
    METHOD_SESSION = 1u << 2, /* names the session of this connection (C.5) */
    METHOD_DRIVER = 1u << 3   /* asks a driver, or hashes: refused when too many are at it */
};
#define READ METHOD_GREETED
#define ORDER (METHOD_GREETED | METHOD_CLAIM | METHOD_SESSION)

static const struct {
    const char *name;
    uint32_t flags;
    AGENT_HANDLER((*handle));
    const char *const known[12];
} methods[] = {
    { "ping", 0, agent_do_ping, { NULL } },
    { "hello", 0, agent_do_hello, { "protocol", "controller", "program", NULL } },
    { "claim",
      METHOD_GREETED | METHOD_SESSION,
      agent_do_claim,
      { "run", "controller", "epoch", "log", "takeover", "session", NULL } },
    { "facts", READ | METHOD_DRIVER, agent_do_facts, { NULL } },
    { "observe", READ | METHOD_DRIVER, agent_do_observe, { "what", "args", "cursor", NULL } },
    { "move.accept",
      ORDER | METHOD_DRIVER,
      agent_do_move_accept,
      { "op", "vm", "memory_mib", "from", "session", NULL } },
    { "op.start",
      ORDER,
      agent_do_op_start,
      { "op", "action", "args", "digest", "limit_ms", "precondition", "epoch", "controller", "log", "session",
        "until_mono_ms", NULL } },
    { "op.status", READ, agent_do_op_status, { "op", NULL } },
    { "op.witness", ORDER | METHOD_DRIVER, agent_do_op_witness, { "op", "session", NULL } },
    { "op.cancel", ORDER, agent_do_op_cancel, { "op", "session", NULL } },
    { "op.ack", ORDER, agent_do_op_ack, { "ops", "session", NULL } },
    { "op.output", READ, agent_do_op_output, { "op", "offset", "max_bytes", NULL } },
    { "package.held", READ | METHOD_DRIVER, agent_do_package_held, { "name", "sha256", NULL } },
    { "package.fetch",
      READ,
      agent_do_package_fetch,
      { "source", "name", "sha256", "size_bytes", "bytes_per_second", NULL } },
    { "journal.read", READ, agent_do_journal_read, { "from", "max", NULL } },
};

static int check_claim(struct agent *a, const struct agent_conn *c, struct err *err)
{
    if (agent_conn_holds(a, c))
        return 0;
    if (c->epoch == 0)
        return err_set(err, ERR_STATE, "claim this node first");
    buf_printf(&a->error_data, "{\"epoch\":%lld,\"controller\":\"%s\"}", (long long)a->fold.claim.epoch,
               a->fold.claim.controller);
    return err_set(err, ERR_FENCED, "the claim of epoch %lld was replaced by epoch %lld", (long long)c->epoch,
                   (long long)a->fold.claim.epoch);
}

static int check_session(const struct agent_request *rq, struct err *err)
{
    const char *session = NULL;
    int rc = json_want_str(rq->doc, rq->params, "session", JSON_REQUIRED, &session, err);

    if (rc == 0 && strcmp(session, rq->conn->session) != 0)
        rc = err_set(err, ERR_STATE, "the request is of another session and void");
    return rc;
}

static int check(struct agent *a, const struct agent_request *rq, uint32_t flags, const char *const *known,
                 struct err *err)
{
    int rc = 0;

    if (rq->params != NULL)
        rc = json_want_known(rq->doc, rq->params, known, err);
    else if (known[0] != NULL)
        rc = err_set(err, ERR_INVALID, "params are missing");
    if (rc == 0 && (flags & METHOD_GREETED) && (!rq->conn->greeted || !a->identified))
        rc = err_set(err, ERR_STATE, "say hello first");
    if (rc == 0 && (flags & METHOD_GREETED) && a->foreign)
        rc = err_set(err, ERR_REFUSED, "this journal belongs to another machine");
    if (rc == 0 && (flags & METHOD_SESSION))
        rc = check_session(rq, err);
    if (rc == 0 && (flags & METHOD_CLAIM))
        rc = check_claim(a, rq->conn, err);
    if (rc == 0 && (flags & METHOD_SESSION) && agent_conn_is_old(a, rq->conn))
        rc = err_set(err, ERR_STATE, "its controller has claimed on a later connection: the request is void");
    if (rc == 0 && (flags & METHOD_DRIVER) && !agent_run_room(a))
        rc = err_set(err, ERR_CAPACITY, "too many requests are waiting for the driver");
    return rc;
}

static int dispatch(struct agent *a, const struct agent_request *rq, const char *method, struct err *err)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(methods[i].name, method) == 0) {
            int rc = check(a, rq, methods[i].flags, methods[i].known, err);

            return rc != 0 ? rc : methods[i].handle(a, rq, err);
        }
    return err_set(err, ERR_NOT_FOUND, "there is no method `%.64s`", method);
}

void agent_on_request(struct agent *a, const struct agent_event *ev)
{
    struct agent_conn *c = agent_conn_find(a, ev->conn);
    struct agent_request rq = {
        .conn = c, .id = ev->msg->id, .doc = ev->msg->doc, .params = ev->msg->params
    };
    struct err err = { 0 };

    if (c == NULL || ev->msg->kind != RPC_REQUEST)
        return; /* a controller sends requests only; what else comes has no effect (I21) */
    buf_reset(&a->error_data);
    if (dispatch(a, &rq, ev->msg->method, &err) != 0)
        agent_reply_error(a, c->id, rq.id, &err, a->error_data.len > 0 ? buf_text(&a->error_data) : NULL);
}
