/* package.held: is a package here, by its digest? package.fetch: the driver brings it from a share or a web server, as `receive` lets it come
 * over SSH (O32). Neither needs a claim: nothing changes but the store, which believes a digest only. */
#include "agent/core/agent_state.h"

#include <string.h>

static bool is_fetch(const struct agent_run *run)
{
    return run->kind >= AGENT_RUN_FETCH_HELD && run->kind <= AGENT_RUN_FETCH_ADOPT;
}

static struct agent_run *fetch_going_on(const struct agent *a)
{
    for (uint32_t i = 0; i < a->n_runs; i++)
        if (is_fetch(a->runs[i]))
            return a->runs[i];
    return NULL;
}

/* The driver's arguments, with the folder of the store that it is to fill. */
static int write_args(struct agent *a, const struct agent_request *rq, struct buf *out, struct err *err)
{
    const char *source = NULL, *name = NULL, *sha256 = NULL;
    int64_t size_bytes = 0, bytes_s = 0;
    struct buf to = BUF_INIT;
    struct json_writer w;
    int rc = json_want_str(rq->doc, rq->params, "source", JSON_REQUIRED, &source, err);

    if (rc == 0)
        rc = json_want_str(rq->doc, rq->params, "name", JSON_REQUIRED, &name, err);
    if (rc == 0)
        rc = json_want_str(rq->doc, rq->params, "sha256", JSON_REQUIRED, &sha256, err);
    if (rc == 0)
        rc = json_want_int(rq->doc, rq->params, "size_bytes", JSON_REQUIRED, 1, (int64_t)1 << 40, &size_bytes,
                           err);
    if (rc == 0)
        rc = json_want_int(rq->doc, rq->params, "bytes_per_second", JSON_OPTIONAL, 1, (int64_t)1 << 40,
                           &bytes_s, err);
    if (rc == 0 && (source[0] == '\0' || name[0] == '\0' || !agent_is_digest(sha256)))
        rc = err_set(err, ERR_INVALID, "a fetch has a source, a file name and a SHA-256");
    if (rc != 0)
        return rc;
    buf_printf(&to, "%s/%s", a->cfg.fetch_dir, sha256);
    jw_init(&w, out);
    w.ascii = true; /* O29 */
    jw_object(&w, NULL);
    jw_str(&w, "source", source);
    jw_str(&w, "name", name);
    jw_str(&w, "sha256", sha256);
    jw_int(&w, "size_bytes", size_bytes);
    jw_str(&w, "to", buf_text(&to));
    if (bytes_s > 0)
        jw_int(&w, "bytes_per_second", bytes_s);
    jw_object_end(&w);
    a->no_memory |= to.failed || out->failed;
    buf_clear(&to);
    return 0;
}

/* PLACE or ADOPT of what the run's arguments name. */
static void ask_store(struct agent *a, const struct agent_run *run, enum agent_effect_type type)
{
    struct json_doc *args = NULL;
    struct agent_effect *e;

    if (run->args == NULL || json_parse("own", run->args, strlen(run->args), &args, NULL) != 0) {
        a->no_memory = true;
        return;
    }
    e = agent_emit(a, type);
    e->run = run->no;
    e->sha256 = agent_emit_copy(a, json_get_str(json_root(args), "sha256", ""));
    e->name = agent_emit_copy(a, json_get_str(json_root(args), "name", ""));
    e->size_bytes = json_get_int(json_root(args), "size_bytes", 0);
    json_free(args);
}

/* Who asked, and for what, goes over to the next part. */
static struct agent_run *next_part(struct agent *a, struct agent_run *run, enum agent_run_kind kind,
                                   const char *action)
{
    struct agent_run *next = agent_run_new(a, kind, action);

    if (next == NULL)
        return NULL;
    next->conn = run->conn;
    next->request = run->request;
    next->args = run->args;
    run->args = NULL;
    return next;
}

static void ask_for(struct agent_run *run, const struct agent_request *rq)
{
    run->conn = rq->conn->id;
    run->request = rq->id;
}

/* The same package is on its way: who asked for it has lost the connection, or asks again before that has been noticed.
 * Its answer and its progress are for the one who asked last. */
static int join_fetch(struct agent *a, struct agent_run *run, const struct agent_request *rq, struct err *err)
{
    struct json_doc *args = NULL;
    bool same =
        run->args != NULL && json_parse("own", run->args, strlen(run->args), &args, NULL) == 0 &&
        strcmp(json_get_str(json_root(args), "sha256", ""), json_get_str(rq->params, "sha256", "")) == 0 &&
        strcmp(json_get_str(json_root(args), "name", ""), json_get_str(rq->params, "name", "")) == 0;

    json_free(args);
    if (!same)
        return err_set(err, ERR_LOCKED, "another package is being fetched");
    if (run->conn != 0) {
        (void)err_set(err, ERR_LOCKED, "the same package was asked for again: that request is answered");
        agent_reply_error(a, run->conn, run->request, err, NULL);
    }
    ask_for(run, rq);
    return 0;
}

AGENT_HANDLER(agent_do_package_fetch)
{
    struct buf args = BUF_INIT;
    struct agent_run *run = fetch_going_on(a);
    int rc;

    if (driver_manifest_find(a->cfg.driver, "fetch_package") == NULL)
        return err_set(err, ERR_NOT_FOUND, "driver %s has no action `fetch_package`", a->cfg.driver->name);
    rc = write_args(a, rq, &args, err);
    if (rc != 0 || run != NULL) {
        buf_clear(&args);
        return rc != 0 ? rc : join_fetch(a, run, rq, err);
    }
    run = agent_run_new(a, AGENT_RUN_FETCH_HELD, "");
    if (run != NULL) {
        ask_for(run, rq);
        run->args = agent_text_copy(a, buf_text(&args));
        ask_store(a, run, AGENT_DO_PACKAGE_ADOPT);
    }
    buf_clear(&args);
    return rc;
}

static void reply_fetched(struct agent *a, const struct agent_run *run)
{
    struct buf result = BUF_INIT;

    buf_str(&result, "{\"fetched\":true}");
    agent_reply(a, run->conn, run->request, &result);
}

/* A pull under a slow cap takes its time: half as much again as the cap wants, or it would be ended, and begun from its first byte, for ever. */
static dur_ms pull_limit(const struct agent_run *run, dur_ms limit_ms)
{
    struct json_doc *args = NULL;
    int64_t size, cap, seconds = 0;

    if (run->args == NULL || json_parse("own", run->args, strlen(run->args), &args, NULL) != 0)
        return limit_ms;
    size = json_get_int(json_root(args), "size_bytes", 0);
    cap = json_get_int(json_root(args), "bytes_per_second", 0);
    if (cap > 0)
        seconds = size / cap + size / cap / 2 + 1;
    json_free(args);
    return seconds > limit_ms / 1000 ? seconds * 1000 : limit_ms;
}

/* What the store holds is not put at stake by whatever lies at the source. */
AGENT_ON_RUN(agent_on_fetch_held)
{
    struct agent_run *next;

    (void)answer;
    if (run->conn == 0)
        return; /* nobody waits, nothing has begun */
    if (ev->err == NULL) {
        reply_fetched(a, run);
        return;
    }
    next = next_part(a, run, AGENT_RUN_FETCH_PLACE, "");
    if (next != NULL)
        ask_store(a, next, AGENT_DO_PACKAGE_PLACE);
}

AGENT_ON_RUN(agent_on_fetch_place)
{
    const struct driver_manifest_action *m = driver_manifest_find(a->cfg.driver, "fetch_package");
    struct driver_request rq = {
        .action = "fetch_package", .node = a->cfg.node, .op = "", .mode = DRIVER_RUN, .text = run->args
    };
    struct agent_run *next;

    (void)answer;
    if (run->conn == 0)
        return;
    if (ev->err != NULL) {
        agent_reply_error(a, run->conn, run->request, ev->err, NULL);
        return;
    }
    rq.limit_ms = pull_limit(run, m->limit_ms);
    next = next_part(a, run, AGENT_RUN_FETCH, m->name);
    if (next != NULL)
        agent_run_start(a, next, &rq);
}

void agent_fetch_progress(struct agent *a, const struct agent_run *run, int32_t percent)
{
    struct json_doc *args = NULL;
    struct buf params = BUF_INIT;
    struct json_writer w;

    if (run->args == NULL || json_parse("own", run->args, strlen(run->args), &args, NULL) != 0)
        return;
    jw_init(&w, &params);
    jw_object(&w, NULL);
    jw_str(&w, "sha256", json_get_str(json_root(args), "sha256", ""));
    jw_int(&w, "percent", percent);
    jw_object_end(&w);
    json_free(args);
    agent_tell(a, run->conn, "package.progress", &params);
}

AGENT_ON_RUN(agent_on_fetch)
{
    struct agent_run *next;

    (void)ev;
    if (answer->kind != DRIVER_RESULT) {
        if (run->conn != 0)
            agent_reply_driver_error(a, run, answer);
        return;
    }
    next = next_part(a, run, AGENT_RUN_FETCH_ADOPT, "");
    if (next != NULL)
        ask_store(a, next, AGENT_DO_PACKAGE_ADOPT);
}

AGENT_ON_RUN(agent_on_fetch_adopt)
{
    (void)answer;
    if (run->conn == 0)
        return;
    if (ev->err == NULL)
        reply_fetched(a, run);
    else
        agent_reply_error(a, run->conn, run->request, ev->err, NULL);
}

AGENT_HANDLER(agent_do_package_held)
{
    const char *name = NULL, *sha256 = NULL;
    struct agent_run *run;
    struct buf args = BUF_INIT;
    struct json_writer w;
    int rc = json_want_str(rq->doc, rq->params, "name", JSON_REQUIRED, &name, err);

    if (rc == 0)
        rc = json_want_str(rq->doc, rq->params, "sha256", JSON_REQUIRED, &sha256, err);
    if (rc == 0 && (name[0] == '\0' || !agent_is_digest(sha256)))
        rc = err_set(err, ERR_INVALID, "a package has a file name and a SHA-256");
    run = rc == 0 ? agent_run_new(a, AGENT_RUN_HELD, "") : NULL;
    if (run == NULL)
        return rc;
    jw_init(&w, &args);
    jw_object(&w, NULL);
    jw_str(&w, "name", name);
    jw_str(&w, "sha256", sha256);
    jw_object_end(&w);
    ask_for(run, rq);
    run->args = agent_text_copy(a, buf_text(&args));
    a->no_memory |= args.failed;
    ask_store(a, run, AGENT_DO_PACKAGE_CHECK);
    buf_clear(&args);
    return 0;
}

/* Whatever keeps it from being read, it would have to be sent. */
AGENT_ON_RUN(agent_on_held)
{
    struct buf result = BUF_INIT;

    (void)answer;
    if (run->conn == 0)
        return;
    buf_str(&result, ev->err == NULL ? "{\"held\":true}" : "{\"held\":false}");
    agent_reply(a, run->conn, run->request, &result);
}
