/* What may be asked of the daemon. On the driver socket: `driver` and the raw
 * world; on the admin socket, after `token`: truth and faults. */
#include "examples/lab/lab_daemon_impl.h"
#include "examples/lab/world_api.h"

#include <stdio.h>
#include <string.h>

static void answer(struct conn *c, int64_t id, const char *result)
{
    struct buf b = BUF_INIT;

    rpc_write_result(&b, id, result);
    conn_send(c, &b);
}

static void answer_error(struct conn *c, int64_t id, const struct err *err)
{
    struct buf b = BUF_INIT;

    rpc_write_error(&b, id, err, NULL);
    conn_send(c, &b);
}

/* --- the driver --- */

void rpc_finish_ask(struct conn *c)
{
    struct ask *a = c->ask;
    bool json_text = a->out.len > 0 && a->out.data[0] == '{';

    c->ask = NULL;
    answer(c, c->ask_id, json_text ? buf_text(&a->out) : "{\"garbage\":true}");
    ask_free(a);
}

static int driver(struct conn *c, struct rpc_message *msg, struct buf *out, struct err *err)
{
    struct json_doc *doc = msg->doc;
    const json *params = msg->params;

    (void)out;
    if (params == NULL)
        return err_set(err, ERR_INVALID, "a request is needed");
    msg->doc = NULL; /* the ask keeps it */
    c->ask_id = msg->id;
    c->ask = ask_begin(&c->d->world, doc, params);
    return c->ask == NULL ? err_set(err, ERR_NOMEM, "driver request") : 0;
}

/* --- the raw world (WORLD.md) --- */

static int world_rpc(struct conn *c, struct rpc_message *msg, struct buf *out, struct err *err)
{
    return world_api(&c->d->world, msg->method, msg->params, out, err);
}

/* --- the admin's side --- */

static int token(struct conn *c, struct rpc_message *msg, struct buf *out, struct err *err)
{
    const char *shown = msg->params == NULL ? "" : json_get_str(msg->params, "token", "");

    if (strcmp(shown, c->d->token) != 0)
        return err_set(err, ERR_AUTH, "the token is not the lab's");
    c->known = true;
    buf_str(out, "{}");
    return 0;
}

static int fault_add(struct conn *c, struct rpc_message *msg, struct buf *out, struct err *err)
{
    int rc =
        world_fault_add(&c->d->world, json_get_str(msg->params, "name", ""),
                        json_get_str(msg->params, "subject", ""), json_get_str(msg->params, "arg", ""), err);

    if (rc == 0)
        world_fault_apply(&c->d->world);
    buf_str(out, "{}");
    return rc;
}

static int fault_remove(struct conn *c, struct rpc_message *msg, struct buf *out, struct err *err)
{
    buf_str(out, "{}");
    return world_fault_remove(&c->d->world, json_get_str(msg->params, "name", ""),
                              json_get_str(msg->params, "subject", ""), err);
}

static int fault_list(struct conn *c, struct rpc_message *msg, struct buf *out, struct err *err)
{
    (void)msg;
    (void)err;
    world_write_faults(&c->d->world, out);
    return 0;
}

static int truth(struct conn *c, struct rpc_message *msg, struct buf *out, struct err *err)
{
    (void)msg;
    (void)err;
    world_write_truth(&c->d->world, out);
    return 0;
}

enum { FOR_DRIVER = 1u << 0, FOR_ADMIN = 1u << 1, NEEDS_TOKEN = 1u << 2 };

static const struct method {
    const char *name;
    uint32_t flags;
    int (*handle)(struct conn *c, struct rpc_message *msg, struct buf *out, struct err *err);
} methods[] = {
    { "driver", FOR_DRIVER, driver },
    { "world.get", FOR_DRIVER, world_rpc },
    { "world.call", FOR_DRIVER, world_rpc },
    { "token", FOR_ADMIN, token },
    { "truth", FOR_ADMIN | NEEDS_TOKEN, truth },
    { "fault.add", FOR_ADMIN | NEEDS_TOKEN, fault_add },
    { "fault.remove", FOR_ADMIN | NEEDS_TOKEN, fault_remove },
    { "fault.list", FOR_ADMIN | NEEDS_TOKEN, fault_list },
};

static const struct method *method_find(const struct conn *c, const char *name)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(methods[i].name, name) == 0 &&
            (methods[i].flags & (c->admin ? FOR_ADMIN : FOR_DRIVER)) != 0)
            return &methods[i];
    return NULL;
}

void rpc_handle(struct conn *c, struct rpc_message *msg)
{
    const struct method *m = msg->kind == RPC_REQUEST ? method_find(c, msg->method) : NULL;
    struct buf out = BUF_INIT;
    struct err err;
    int64_t id = msg->id;
    int rc;

    if (m == NULL)
        rc = err_set(&err, ERR_NOT_FOUND, "there is no such method here");
    else if ((m->flags & NEEDS_TOKEN) != 0 && !c->known)
        rc = err_set(&err, ERR_AUTH, "show the token first");
    else
        rc = m->handle(c, msg, &out, &err);
    if (rc != 0)
        answer_error(c, id, &err);
    else if (c->ask == NULL)
        answer(c, id, buf_text(&out));
    buf_clear(&out);
}
