/* move.accept: may this VM come here? The claim was checked; the memory is
 * counted on fresh facts, with what was promised to others still on their way
 * (O22, I2). */
#include "agent/core/agent_state.h"

#include <string.h>

AGENT_HANDLER(agent_do_move_accept)
{
    const char *op = NULL, *vm = NULL, *from = NULL;
    int64_t memory_mib = 0;
    struct op_id_parts parts;
    struct agent_run *run;
    int rc = json_want_str(rq->doc, rq->params, "op", JSON_REQUIRED, &op, err);

    if (rc == 0)
        rc = op_id_parse(op, &parts, err);
    if (rc == 0)
        rc = json_want_str(rq->doc, rq->params, "vm", JSON_REQUIRED, &vm, err);
    if (rc == 0)
        rc = json_want_str(rq->doc, rq->params, "from", JSON_REQUIRED, &from, err);
    if (rc == 0)
        rc = json_want_int(rq->doc, rq->params, "memory_mib", JSON_REQUIRED, 1, INT32_MAX, &memory_mib, err);
    if (rc == 0 && !id_is_guid(vm))
        rc = err_set(err, ERR_INVALID, "`vm` is no GUID");
    if (rc != 0)
        return rc;
    run = agent_read_start(a, AGENT_RUN_ROOM_FACTS, "facts", "{}", rq->conn->id, rq->id);
    if (run == NULL)
        return 0;
    memcpy(run->vm, vm, strlen(vm) + 1);
    memcpy(run->op, op, strlen(op) + 1);
    run->need_mib = memory_mib;
    return 0;
}

static void refuse(struct agent *a, const struct agent_run *run, const struct driver_answer *answer)
{
    struct err e = { 0 };

    err_set(&e, ERR_REFUSED, "this node cannot tell its free memory: %s",
            answer->kind == DRIVER_ERROR ? json_get_str(answer->error, "message", "") : answer->why);
    agent_reply_error(a, run->conn, run->request, &e, NULL);
}

static void ask_vms(struct agent *a, const struct agent_run *from, int64_t free_mib, const json *cursor)
{
    struct buf text = BUF_INIT;
    struct agent_run *run = NULL;
    struct err e = { 0 };

    buf_str(&text, "{");
    if (cursor != NULL) {
        buf_str(&text, "\"cursor\":");
        json_write(&text, cursor, true);
    }
    buf_char(&text, '}');
    a->no_memory |= text.failed;
    if (!text.failed)
        run = agent_read_start(a, AGENT_RUN_ROOM_VMS, "vms", buf_text(&text), from->conn, from->request);
    buf_clear(&text);
    if (run != NULL) {
        memcpy(run->vm, from->vm, sizeof run->vm);
        memcpy(run->op, from->op, sizeof run->op);
        run->need_mib = from->need_mib;
        run->free_mib = free_mib;
    } else if (!a->no_memory) {
        err_set(&e, ERR_NOT_FOUND, "the driver has no action `vms`");
        agent_reply_error(a, from->conn, from->request, &e, NULL);
    }
}

AGENT_ON_RUN(agent_on_room_facts)
{
    (void)ev;
    if (run->conn == 0)
        return;
    if (answer->kind != DRIVER_RESULT || !json_is_int(json_get(answer->result, "memory_mib"))) {
        refuse(a, run, answer);
        return;
    }
    ask_vms(a, run,
            json_get_int(answer->result, "memory_mib", 0) -
                json_get_int(answer->result, "host_reserve_mib", 0),
            NULL);
}

void agent_promise_kept(struct agent *a, const char *vm)
{
    for (uint32_t i = 0; i < a->n_reserves; i++)
        if (strcmp(a->reserves[i].vm, vm) == 0 || a->reserves[i].until <= a->mono)
            a->reserves[i--] = a->reserves[--a->n_reserves];
}

static int64_t used_mib(struct agent *a, const json *vms)
{
    int64_t used = 0;

    for (const json *vm = json_first(vms); vm != NULL; vm = json_next(vm)) {
        const char *state = json_get_str(vm, "state", "");

        agent_promise_kept(a, json_get_str(vm, "id", ""));
        if (strcmp(state, "off") != 0 && strcmp(state, "saved") != 0)
            used += json_get_int(json_get(vm, "memory"), "assigned_mib", 0);
    }
    return used;
}

static int64_t promised_mib(const struct agent *a, const char *except)
{
    int64_t mib = 0;

    for (uint32_t i = 0; i < a->n_reserves; i++)
        if (a->reserves[i].until > a->mono && strcmp(a->reserves[i].vm, except) != 0)
            mib += a->reserves[i].mib;
    return mib;
}

static void promise(struct agent *a, const struct agent_run *run)
{
    struct agent_reserve *r;

    agent_promise_kept(a, run->vm); /* asked again: one promise per VM */
    if (!list_grow(&a->reserves, a->n_reserves, &a->cap_reserves, sizeof *a->reserves)) {
        a->no_memory = true;
        return;
    }
    r = &a->reserves[a->n_reserves++];
    *r = (struct agent_reserve){ .mib = run->need_mib, .until = a->mono + AGENT_RESERVE_MS };
    memcpy(r->vm, run->vm, sizeof r->vm);
}

static void answer_room(struct agent *a, const struct agent_run *run, int64_t free_mib)
{
    const struct agent_conn *c = agent_conn_find(a, run->conn);
    struct buf result = BUF_INIT;
    struct err e = { 0 };

    if (c == NULL || !agent_conn_holds(a, c)) {
        err_set(&e, ERR_FENCED, "the claim was replaced meanwhile");
        agent_reply_error(a, run->conn, run->request, &e, NULL);
    } else if (run->need_mib > free_mib) {
        err_set(&e, ERR_CAPACITY, "the VM needs %lld MiB, free are %lld MiB", (long long)run->need_mib,
                (long long)free_mib);
        agent_reply_error(a, run->conn, run->request, &e, NULL);
    } else {
        promise(a, run);
        buf_printf(&result, "{\"accepted\":true,\"free_mib\":%lld}", (long long)(free_mib - run->need_mib));
        agent_reply(a, run->conn, run->request, &result);
    }
}

AGENT_ON_RUN(agent_on_room_vms)
{
    const json *next;
    int64_t free_mib;

    (void)ev;
    if (run->conn == 0)
        return;
    if (answer->kind != DRIVER_RESULT || !json_is_array(json_get(answer->result, "vms"))) {
        refuse(a, run, answer);
        return;
    }
    free_mib = run->free_mib - used_mib(a, json_get(answer->result, "vms"));
    next = json_get(answer->result, "next");
    if (next != NULL && !json_is_null(next))
        ask_vms(a, run, free_mib, next);
    else
        answer_room(a, run, free_mib - promised_mib(a, run->vm));
}
