#include "agent/io/host.h"

#include "agent/core/agent.h"
#include "agent/io/crash_point.h"
#include "agent/io/driver.h"
#include "agent/io/journal.h"
#include "agent/io/os.h"
#include "agent/io/package.h"
#include "agent/io/server.h"
#include "agent/io/sntp.h"
#include "schema/list.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define MANIFEST_BYTES (256u << 10)

struct host {
    const struct agent_settings *set;
    uv_loop_t loop;
    uv_timer_t timer;
    uv_signal_t on_term, on_int;
    uv_async_t on_stop;
    char fetch_dir[2048];
    struct os_lock lock;
    bool locked, ending;
    struct driver_manifest manifest;
    struct journal *journal;
    struct agent *agent;
    struct server *server;
    struct driver_pool *drivers;
    struct sntp *sntp;
    struct crash_point crash;
    struct agent_event *later; /* what came up while effects were carried out: told after the list */
    uint32_t n_later, cap_later;
    bool busy; /* a list of effects is being carried out */
    struct err fatal;
};

/* A process serves at most once; a service manager's thread finds it here. */
static uv_async_t *stop_here;

static time_ms now_at(const struct host *h)
{
    return fleet_time_at(&h->set->clock, os_wall_ms());
}

static dur_ms now_mono(const struct host *h)
{
    return fleet_time_mono(&h->set->clock, os_mono_ms());
}

static void host_stop(struct host *h);

static void die(struct host *h, const struct err *why)
{
    if (h->fatal.code == ERR_OK)
        h->fatal = *why;
    host_stop(h);
}

static void send_result(struct host *h, const struct agent_effect *e, int rc, struct buf *result,
                        const struct err *why)
{
    struct buf line = BUF_INIT;

    if (rc == 0)
        rpc_write_result(&line, e->request, buf_text(result));
    else
        rpc_write_error(&line, e->request, why, NULL);
    if (!line.failed)
        server_send(h->server, e->conn, line.data, line.len);
    buf_clear(&line);
    buf_clear(result);
}

static void do_output(struct host *h, const struct agent_effect *e)
{
    struct buf result = BUF_INIT;
    struct err why = { 0 };

    send_result(h, e, driver_output_page(h->drivers, e->op, e->offset, e->max, &result, &why), &result, &why);
}

static void do_journal(struct host *h, const struct agent_effect *e)
{
    struct buf result = BUF_INIT;
    struct err why = { 0 };

    send_result(h, e, journal_page(h->journal, e->offset, e->max, AGENT_PAGE_BYTES, &result, &why), &result,
                &why);
}

static void tell_later(struct host *h, const struct agent_event *ev)
{
    struct err why = { 0 };

    if (list_grow(&h->later, h->n_later, &h->cap_later, sizeof *h->later)) {
        h->later[h->n_later++] = *ev;
        return;
    }
    err_set(&why, ERR_NOMEM, "agent");
    die(h, &why);
}

static void do_driver_start(struct host *h, const struct agent_effect *e)
{
    struct err why = { 0 };

    crash_point_pass(&h->crash, e->effect ? "effect_before" : "read_before");
    if (driver_start(h->drivers, e, &why) != 0)
        tell_later(
            h, &(struct agent_event){
                   .type = AGENT_EV_DRIVER_DONE, .run = e->run, .end = AGENT_DRIVER_NOT_BEGUN, .text = "" });
    crash_point_pass(&h->crash, e->effect ? "effect_after" : "read_after");
}

static void do_send(struct host *h, const struct agent_effect *e)
{
    crash_point_pass(&h->crash, "send_before");
    server_send(h->server, e->conn, e->text, e->len);
}

static void do_kill(struct host *h, const struct agent_effect *e)
{
    driver_kill(h->drivers, e->run);
}

static void do_forget(struct host *h, const struct agent_effect *e)
{
    driver_forget(h->drivers, e->op);
    (void)journal_forget(h->journal, e->op, NULL); /* once more at a later one; the records only take room */
}

static void feed(struct host *h, struct agent_event *ev);

static void answer(struct host *h, uint32_t run, const char *text, const struct err *why)
{
    feed(h, &(struct agent_event){
                .type = AGENT_EV_ANSWER, .run = run, .text = text, .len = strlen(text), .err = why });
}

/* Packages are hashed off the loop. */
struct package_job {
    uv_work_t work;
    struct host *host;
    uint32_t run;
    enum agent_effect_type type;
    int64_t size_bytes;
    char sha256[SHA256_TEXT], with[SHA256_TEXT], name[PACKAGE_NAME_MAX], path[PACKAGE_PATH_MAX];
    int rc;
    struct err why;
};

static void package_work(uv_work_t *w)
{
    struct package_job *j = w->data;

    const char *state_dir = j->host->set->state_dir;

    if (j->type == AGENT_DO_PACKAGE_ADOPT)
        j->rc = package_adopt(state_dir, j->sha256, j->name, j->path, &j->why);
    else if (j->type == AGENT_DO_PACKAGE_CHECK)
        j->rc = package_held(state_dir, j->sha256, j->name, j->path, &j->why);
    else if (j->type == AGENT_DO_PACKAGE_PLACE)
        j->rc = package_place(state_dir, j->sha256, j->name, j->size_bytes, j->path, &j->why);
    else
        j->rc = package_open(state_dir, j->with, j->sha256, j->name, j->path, &j->why);
}

static void package_done(uv_work_t *w, int status)
{
    struct package_job *j = w->data;

    (void)status;
    if (!j->host->ending)
        answer(j->host, j->run, j->path, j->rc == 0 ? NULL : &j->why);
    free(j);
}

static void do_package(struct host *h, const struct agent_effect *e)
{
    struct package_job *j = calloc(1, sizeof *j);
    struct err why = { 0 };

    if (j == NULL) {
        err_set(&why, ERR_NOMEM, "package");
        die(h, &why);
        return;
    }
    j->work.data = j;
    j->host = h;
    j->run = e->run;
    j->type = e->type;
    j->size_bytes = e->size_bytes;
    if (strlen(e->sha256) < sizeof j->sha256)
        memcpy(j->sha256, e->sha256, strlen(e->sha256));
    if (e->with != NULL && strlen(e->with) < sizeof j->with)
        memcpy(j->with, e->with, strlen(e->with));
    if (strlen(e->name) < sizeof j->name)
        memcpy(j->name, e->name, strlen(e->name));
    uv_queue_work(&h->loop, &j->work, package_work, package_done);
}

static void on_sntp(void *owner, uint32_t run, const char *text, const struct err *why)
{
    answer(owner, run, text, why);
}

static void do_sntp(struct host *h, const struct agent_effect *e)
{
    sntp_query(h->sntp, e->text, e->offset_ms, e->run);
}

static void (*const doers[])(struct host *, const struct agent_effect *) = {
    [AGENT_DO_FORGET] = do_forget,
    [AGENT_DO_SEND] = do_send,
    [AGENT_DO_DRIVER_START] = do_driver_start,
    [AGENT_DO_DRIVER_KILL] = do_kill,
    [AGENT_DO_PACKAGE_OPEN] = do_package,
    [AGENT_DO_PACKAGE_ADOPT] = do_package,
    [AGENT_DO_PACKAGE_CHECK] = do_package,
    [AGENT_DO_PACKAGE_PLACE] = do_package,
    [AGENT_DO_SNTP] = do_sntp,
    [AGENT_DO_OUTPUT] = do_output,
    [AGENT_DO_JOURNAL] = do_journal,
};

static int append(struct host *h, const struct agent_record *rec, struct err *why)
{
    int rc;

    crash_point_record(&h->crash, rec->kind, true);
    rc = journal_append(h->journal, rec, why);
    if (rc == 0)
        crash_point_record(&h->crash, rec->kind, false);
    return rc;
}

/* The contract of agent.h: in order, and nothing after an append that failed. */
static void carry_out(struct host *h, struct agent_effects *list)
{
    struct agent_effects more = AGENT_EFFECTS_INIT;
    struct err why = { 0 };
    uint32_t i;
    int rc = 0;

    for (i = 0; i < list->n && rc == 0; i++)
        if (list->items[i].type == AGENT_DO_APPEND)
            rc = append(h, &list->items[i].record, &why);
        else
            doers[list->items[i].type](h, &list->items[i]);
    if (rc == 0)
        return;
    rc = agent_abandon(h->agent, list, i - 1, &why, now_at(h), now_mono(h), &more, &why);
    if (rc == 0)
        carry_out(h, &more); /* error answers and, at most, the same doubt once more */
    else
        die(h, &why);
    agent_effects_clear(&more);
}

static void on_timer(uv_timer_t *t);

static void set_timer(struct host *h)
{
    dur_ms due = agent_deadline(h->agent);

    if (due == TIME_NEVER)
        uv_timer_stop(&h->timer);
    else
        uv_timer_start(&h->timer, on_timer, (uint64_t)fleet_time_wait(&h->set->clock, os_mono_ms(), due), 0);
}

static void step(struct host *h, struct agent_event *ev)
{
    struct agent_effects list = AGENT_EFFECTS_INIT;
    struct err why = { 0 };

    ev->at = now_at(h);
    ev->mono = now_mono(h);
    h->busy = true;
    if (agent_step(h->agent, ev, &list, &why) == 0)
        carry_out(h, &list);
    else
        die(h, &why);
    h->busy = false;
    agent_effects_clear(&list);
}

static void feed(struct host *h, struct agent_event *ev)
{
    assert(!h->busy); /* nothing that carries out an effect calls back at once */
    if (h->ending)
        return;
    step(h, ev);
    while (h->n_later > 0 && !h->ending) {
        struct agent_event next = h->later[--h->n_later];

        step(h, &next);
    }
    if (!h->ending)
        set_timer(h);
}

static void on_timer(uv_timer_t *t)
{
    feed(t->data, &(struct agent_event){ .type = AGENT_EV_TIME });
}

static void on_open(void *owner, uint32_t conn)
{
    struct host *h = owner;
    uint8_t bytes[ID_RANDOM_BYTES];
    char session[AGENT_HEX_ID];
    struct err why = { 0 };

    if (os_random(bytes, sizeof bytes, &why) != 0)
        die(h, &why);
    else
        feed(h, &(struct agent_event){
                    .type = AGENT_EV_OPEN, .conn = conn, .text = id_from_bytes(bytes, session) });
}

static void on_message(void *owner, uint32_t conn, const struct rpc_message *msg)
{
    feed(owner, &(struct agent_event){ .type = AGENT_EV_REQUEST, .conn = conn, .msg = msg });
}

static void on_close(void *owner, uint32_t conn)
{
    struct host *h = owner;
    struct agent_event ev = { .type = AGENT_EV_CLOSE, .conn = conn };

    if (h->busy)
        tell_later(h, &ev);
    else
        feed(h, &ev);
}

static void on_driver_end(void *owner, const struct driver_end *e)
{
    feed(owner, &(struct agent_event){ .type = AGENT_EV_DRIVER_DONE,
                                       .run = e->run,
                                       .end = e->end,
                                       .text = e->text,
                                       .len = e->len,
                                       .output_bytes = e->output_bytes,
                                       .output_tail = e->output_tail });
}

static void on_progress(void *owner, uint32_t run, int32_t percent, const char *text)
{
    feed(owner,
         &(struct agent_event){ .type = AGENT_EV_PROGRESS, .run = run, .percent = percent, .text = text });
}

static void host_stop(struct host *h)
{
    if (h->ending)
        return;
    h->ending = true;
    server_close(h->server);
    driver_pool_free(h->drivers);
    uv_close((uv_handle_t *)&h->timer, NULL);
    uv_close((uv_handle_t *)&h->on_term, NULL);
    uv_close((uv_handle_t *)&h->on_int, NULL);
    stop_here = NULL;
    uv_close((uv_handle_t *)&h->on_stop, NULL);
    sntp_free(h->sntp);
}

static void on_signal(uv_signal_t *s, int number)
{
    (void)number;
    host_stop(s->data);
}

static void on_stop(uv_async_t *a)
{
    host_stop(a->data);
}

void agent_host_stop(void)
{
    if (stop_here != NULL)
        uv_async_send(stop_here);
}

static int read_manifest(struct host *h, struct err *err)
{
    char path[2048];
    struct buf text = BUF_INIT;
    int rc;

    if (strlen(h->set->driver) + sizeof "/driver.json" > sizeof path)
        return err_set(err, ERR_INVALID, "path too long: %s", h->set->driver);
    memcpy(path, h->set->driver, strlen(h->set->driver) + 1);
    strcat(path, "/driver.json");
    rc = os_read_file(path, MANIFEST_BYTES, &text, err);
    if (rc == 0)
        rc = driver_manifest_read(path, buf_text(&text), text.len, &h->manifest, err);
    buf_clear(&text);
    return rc;
}

static int open_state(struct host *h, const char *version, struct journal_fold *fold, struct err *err)
{
    char lock[2048], db[2048], id[2048], ops[2048], store[2048];
    int rc = os_group_dir(h->set->state_dir, h->set->socket_group, false, err);

    if (rc == 0)
        rc = agent_settings_path(h->set, "agent.lock", lock, sizeof lock, err);
    if (rc == 0)
        rc = agent_settings_path(h->set, "journal.db", db, sizeof db, err);
    if (rc == 0)
        rc = agent_settings_path(h->set, "journal.id", id, sizeof id, err);
    if (rc == 0)
        rc = agent_settings_path(h->set, "ops", ops, sizeof ops, err);
    if (rc == 0)
        rc = os_lock_take(lock, &h->lock, err);
    h->locked = rc == 0;
    if (rc == 0)
        rc = os_private_dir(ops, err);
    if (rc == 0)
        rc = agent_settings_path(h->set, "packages", store, sizeof store, err);
    if (rc == 0)
        rc = os_group_dir(store, h->set->socket_group, true, err);
    if (rc == 0)
        rc = journal_open(db, id, version, &h->journal, fold, err);
    if (rc == 0)
        rc = os_sync_dir(h->set->state_dir, err);
    if (rc == 0)
        rc = driver_pool_new(&h->loop, h->set->driver, ops, &h->manifest,
                             (struct driver_owner){ h, on_driver_end, on_progress }, &h->drivers, err);
    if (rc == 0)
        rc = sntp_new(&h->loop, h, on_sntp, &h->sntp, err);
    return rc;
}

static int new_agent(struct host *h, const char *version, struct journal_fold *fold, struct err *err)
{
    int rc = agent_settings_path(h->set, PACKAGE_FETCHED, h->fetch_dir, sizeof h->fetch_dir, err);
    struct agent_config c = {
        .node = h->set->node,
        .version = version,
        .os = os_name(),
        .journal_id = journal_id(h->journal),
        .driver = &h->manifest,
        .fetch_dir = h->fetch_dir,
        .move_slots = (uint32_t)h->set->slots,
        .clock_factor = h->set->clock.factor,
        .clock_anchor_ms = h->set->clock.anchor_ms,
        .run_floor_ms = h->set->clock.factor == 1 ? 0 : h->set->lab_floor_ms * h->set->clock.factor,
        .lab = h->set->lab,
    };

    return rc != 0 ? rc : agent_new(&c, fold, &h->agent, err);
}

/* Which ops' drivers outlived the last agent? */
static int start_agent(struct host *h, struct err *err)
{
    const struct journal_fold *f = agent_fold(h->agent);
    const char **alive = calloc(f->n_ops + 1, sizeof *alive);
    uint32_t *runs = calloc(f->n_ops + 1, sizeof *runs), n = 0;
    struct agent_effects list = AGENT_EFFECTS_INIT;
    int rc;

    if (alive == NULL || runs == NULL) {
        free(alive);
        free(runs);
        return err_set(err, ERR_NOMEM, "start");
    }
    for (uint32_t i = 0; i < f->n_ops; i++) {
        const struct driver_manifest_action *m = driver_manifest_find(&h->manifest, f->ops[i]->action);

        if (f->ops[i]->state == AGENT_OP_RUNNING &&
            driver_survived(h->drivers, f->ops[i]->id, m != NULL && m->leave))
            alive[n++] = f->ops[i]->id;
    }
    rc = agent_start(h->agent, now_at(h), now_mono(h), alive, n, runs, &list, err);
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        if (runs[i] != 0)
            rc = driver_adopt(h->drivers, alive[i], runs[i], err);
    if (rc == 0) {
        h->busy = true;
        carry_out(h, &list);
        h->busy = false;
        feed(h, &(struct agent_event){ .type = AGENT_EV_TIME });
    }
    agent_effects_clear(&list);
    free(alive);
    free(runs);
    return rc;
}

static void init_loop(struct host *h)
{
    uv_loop_init(&h->loop);
    uv_timer_init(&h->loop, &h->timer);
    uv_signal_init(&h->loop, &h->on_term);
    uv_signal_init(&h->loop, &h->on_int);
    uv_async_init(&h->loop, &h->on_stop, on_stop);
    h->timer.data = h->on_term.data = h->on_int.data = h->on_stop.data = h;
    stop_here = &h->on_stop;
    uv_signal_start(&h->on_term, on_signal, SIGTERM);
    uv_signal_start(&h->on_int, on_signal, SIGINT);
}

int agent_host_serve(const struct agent_settings *settings, const char *version, struct err *err)
{
    struct host *h = calloc(1, sizeof *h);
    struct journal_fold fold = JOURNAL_FOLD_INIT;
    int rc;

    if (h == NULL)
        return err_set(err, ERR_NOMEM, "serve");
    h->set = settings;
    crash_point_read(&h->crash, settings->lab);
    os_ignore_pipe_signal();
    os_private_files();
    init_loop(h);
    rc = read_manifest(h, err);
    if (rc == 0)
        rc = open_state(h, version, &fold, err);
    if (rc == 0)
        rc = new_agent(h, version, &fold, err);
    if (rc == 0)
        rc = server_open(&h->loop, settings->socket, settings->socket_group,
                         (struct server_owner){ h, on_open, on_message, on_close }, &h->server, err);
    if (rc == 0)
        rc = start_agent(h, err);
    if (rc != 0)
        host_stop(h);
    uv_run(&h->loop, UV_RUN_DEFAULT);
    if (rc == 0 && h->fatal.code != ERR_OK)
        rc = err_set(err, h->fatal.code, "%s", h->fatal.text);
    journal_fold_clear(&fold);
    agent_free(h->agent);
    journal_close(h->journal);
    driver_manifest_clear(&h->manifest);
    uv_loop_close(&h->loop);
    free(h->later);
    if (h->locked)
        os_lock_drop(&h->lock);
    free(h);
    return rc;
}
