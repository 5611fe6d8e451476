#include "agent/io/probe.h"

#include "agent/io/driver.h"
#include "agent/io/journal.h"
#include "agent/io/os.h"
#include "agent/io/sntp.h"

#include <stdlib.h>
#include <string.h>

#define FREE_WANTED_BYTES ((int64_t)6 << 30) /* three times a large cumulative update (O32) */
#define MANIFEST_BYTES (256u << 10)

struct probe {
    const struct agent_settings *set;
    struct driver_manifest manifest;
    struct json_writer w;
    uint32_t bad;
    /* the driver run that is waited for */
    struct driver_end end;
    struct buf answer;
    bool ended;
};

enum seen { SEEN_GOOD, SEEN_BAD, SEEN_JUDGE };

static void row(struct probe *p, const char *id, const char *expected, const char *observed,
                const char *used_by, enum seen seen)
{
    jw_object(&p->w, NULL);
    jw_str(&p->w, "id", id);
    jw_str(&p->w, "expected", expected);
    jw_str(&p->w, "observed", observed);
    jw_str(&p->w, "used_by", used_by);
    if (seen == SEEN_JUDGE)
        jw_null(&p->w, "ok");
    else
        jw_bool(&p->w, "ok", seen == SEEN_GOOD);
    jw_object_end(&p->w);
    p->bad += seen == SEEN_BAD;
}

/* Rights, profile and language mode are the account's: what another one is shown says little about the service. */
static void look_account(struct probe *p)
{
    struct buf text = BUF_INIT;
    bool service = os_account(&text);

    if (!service)
        buf_str(&text, ": not the service's; what the rows below show is this account's view, run probe as "
                       "the service's");
    row(p, "account", "the service's own: S-1-5-18 (LocalSystem) on Windows, uid 0 on Linux", buf_text(&text),
        "every row below; state-folder, journal, pipe-access, facts, check_empty and the driver's need it",
        service ? SEEN_GOOD : SEEN_JUDGE);
    buf_clear(&text);
}

static void look_state_folder(struct probe *p)
{
    row(p, "state-folder", "there, and closed to all but the service",
        os_is_private(p->set->state_dir) ? "so it is" : "absent, or open to others", "journal, packages",
        os_is_private(p->set->state_dir) ? SEEN_GOOD : SEEN_BAD);
}

static void look_free_space(struct probe *p)
{
    struct buf text = BUF_INIT;
    struct err why = { 0 };
    int64_t bytes = 0;

    if (os_free_bytes(p->set->state_dir, &bytes, &why) != 0)
        buf_str(&text, why.text);
    else
        buf_printf(&text, "%lld MiB", (long long)(bytes >> 20));
    row(p, "free-space", "three times the largest package", buf_text(&text), "receive, install, journal",
        bytes >= FREE_WANTED_BYTES ? SEEN_GOOD : SEEN_JUDGE);
    buf_clear(&text);
}

static void look_clocks(struct probe *p)
{
    dur_ms before = os_mono_ms();

    row(p, "monotonic-clock", "never runs backwards",
        os_mono_ms() >= before ? "so it is" : "it ran backwards", "time limits of ops",
        os_mono_ms() >= before ? SEEN_GOOD : SEEN_BAD);
}

static void look_processes(struct probe *p)
{
    int64_t start = os_process_start(uv_os_getpid());

    row(p, "process-start", "the start time of a process can be read", start != 0 ? "so it can" : "it cannot",
        "finding drivers that outlived the agent", start != 0 ? SEEN_GOOD : SEEN_BAD);
}

static void look_journal(struct probe *p)
{
    struct journal_fold f = JOURNAL_FOLD_INIT;
    struct journal *j = NULL;
    struct buf text = BUF_INIT;
    struct err why = { 0 };
    char path[2048];
    int rc = agent_settings_path(p->set, "journal.db", path, sizeof path, &why);

    if (rc == 0)
        rc = journal_open_read(path, &j, &why);
    if (rc == 0)
        rc = journal_load(j, &f, &why);
    if (rc != 0)
        buf_str(&text, why.text);
    else
        buf_printf(&text, "%u ops, %u not acknowledged", f.n_ops, journal_fold_unacked(&f));
    row(p, "journal", "can be read back", buf_text(&text), "everything after a crash",
        rc == 0 ? SEEN_GOOD : SEEN_BAD);
    buf_clear(&text);
    journal_fold_clear(&f);
    journal_close(j);
}

static void look_service(struct probe *p)
{
    struct err why = { 0 };
    bool there = os_socket_answers(p->set->socket, &why) == 0;

    row(p, "service", "listens on its local socket", there ? "so it does" : why.text, "relay",
        there ? SEEN_GOOD : SEEN_BAD);
}

/* The scripts run as the service, whatever they hold. */
static void look_driver_folder(struct probe *p)
{
    struct buf file = BUF_INIT;
    bool open;

    buf_printf(&file, "%s/driver.json", p->set->driver);
    open = os_others_may_write(p->set->driver) || os_others_may_write(buf_text(&file));
    row(p, "driver-folder", "only administrators, and the service's account, may write there",
        open ? "others may, or it cannot be told" : "so it is", "every action", open ? SEEN_BAD : SEEN_GOOD);
    buf_clear(&file);
}

/* What only a real service manager and real accounts can show. */
static void look_system(struct probe *p)
{
    struct buf text = BUF_INIT;

    os_service_describe(&text);
    if (text.len > 0)
        row(p, "service-config",
            "start 2; account LocalSystem; depends on nothing; recovery restart after 2000, 2000, 10000 ms, "
            "for bad "
            "exits too; preshutdown 180000 ms; not delayed; event source there",
            buf_text(&text), "coming back after a crash and after a restart", SEEN_JUDGE);
    buf_reset(&text);
    os_socket_access(p->set->socket, &text);
    if (text.len > 0)
        row(p, "pipe-access", "SY, BA and the SID of socket_group with 0x12019b; nobody else",
            buf_text(&text), "relay", SEEN_JUDGE);
    buf_clear(&text);
}

static void look_actions(struct probe *p)
{
    static const char *const wanted[] = { "facts",   "vms",       "check_empty", "verify",    "gate_facts",
                                          "pause",   "move_vm",   "move_groups", "stop_vmms", "start_vmms",
                                          "install", "uninstall", "reboot",      "resume" };
    struct buf text = BUF_INIT;

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (driver_manifest_find(&p->manifest, wanted[i]) == NULL)
            buf_printf(&text, "%s%s", text.len > 0 ? ", " : "lacks ", wanted[i]);
    row(p, "driver-actions", "all that a rollout needs", text.len > 0 ? buf_text(&text) : "all there",
        "rollouts", text.len > 0 ? SEEN_BAD : SEEN_GOOD);
    buf_clear(&text);
}

static void on_end(void *owner, const struct driver_end *e)
{
    struct probe *p = owner;

    p->end = *e;
    p->ended = true;
    buf_add(&p->answer, e->text, e->len);
}

static void on_progress(void *owner, uint32_t run, int32_t percent, const char *text)
{
    (void)owner;
    (void)run;
    (void)percent;
    (void)text;
}

static void on_limit(uv_timer_t *t)
{
    driver_kill(t->data, 1);
}

/* Run one read-only action to its end; its standard output is in p->answer. */
static int run_driver(struct probe *p, const char *action, const char *args, struct err *err)
{
    const struct driver_manifest_action *m = driver_manifest_find(&p->manifest, action);
    struct driver_pool *pool = NULL;
    struct agent_effect e = { .type = AGENT_DO_DRIVER_START, .run = 1, .action = action, .op = "" };
    struct buf text = BUF_INIT;
    uv_timer_t limit;
    uv_loop_t loop;
    int rc;

    p->ended = false;
    buf_reset(&p->answer);
    if (m == NULL)
        return err_set(err, ERR_NOT_FOUND, "the driver has no action `%s`", action);
    buf_printf(&text,
               "{\"contract\":1,\"action\":\"%s\",\"mode\":\"run\",\"node\":\"%s\",\"op\":\"\",\"limit_ms\":%"
               "lld,\"args\":%s}\n",
               action, p->set->node, (long long)m->limit_ms, args);
    e.text = buf_text(&text);
    e.len = text.len;
    uv_loop_init(&loop);
    uv_timer_init(&loop, &limit);
    rc = driver_pool_new(&loop, p->set->driver, p->set->state_dir, &p->manifest,
                         (struct driver_owner){ p, on_end, on_progress }, &pool, err);
    if (rc == 0)
        rc = driver_start(pool, &e, err);
    limit.data = pool;
    uv_timer_start(&limit, on_limit, (uint64_t)(m->limit_ms / p->set->clock.factor + 1), 0);
    while (rc == 0 && !p->ended)
        uv_run(&loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&limit, NULL);
    driver_pool_free(pool);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    buf_clear(&text);
    if (rc == 0 && p->end.end != AGENT_DRIVER_EXITED)
        rc = err_set(err, ERR_UNKNOWN, "the driver's %s ended badly or was over its limit", action);
    return rc;
}

static void look_driver(struct probe *p, const char *action, const char *args, const char *member)
{
    struct driver_answer a = { 0 };
    struct err why = { 0 };
    struct buf text = BUF_INIT;
    bool good = false;

    if (run_driver(p, action, args, &why) != 0) {
        buf_str(&text, why.text);
    } else {
        driver_answer_read(DRIVER_RUN, buf_text(&p->answer), p->answer.len, &a);
        good = a.kind == DRIVER_RESULT && json_get(a.result, member) != NULL;
        if (good)
            json_write(&text, json_get(a.result, member), true);
        else
            buf_str(&text, a.kind == DRIVER_ERROR    ? json_get_str(a.error, "message", "")
                           : a.kind == DRIVER_RESULT ? "no such member"
                                                     : a.why);
    }
    row(p, action, member, buf_text(&text), "hello, guards, gates", good ? SEEN_GOOD : SEEN_BAD);
    driver_answer_clear(&a);
    buf_clear(&text);
}

static void on_time(void *owner, uint32_t query, const char *text, const struct err *why)
{
    struct probe *p = owner;

    (void)query;
    buf_reset(&p->answer);
    buf_str(&p->answer, why != NULL ? why->text : text);
    p->ended = true;
}

static int ask_time(struct probe *p, const char *server, struct err *err)
{
    struct buf args = BUF_INIT;
    struct json_writer w;
    struct sntp *s = NULL;
    uv_loop_t loop;
    int rc;

    jw_init(&w, &args);
    jw_object(&w, NULL);
    jw_array(&w, "servers");
    jw_str(&w, NULL, server);
    jw_array_end(&w);
    jw_object_end(&w);
    p->ended = false;
    uv_loop_init(&loop);
    rc = sntp_new(&loop, p, on_time, &s, err);
    if (rc == 0)
        sntp_query(s, buf_text(&args), 0, 1);
    while (rc == 0 && !p->ended)
        uv_run(&loop, UV_RUN_ONCE);
    sntp_free(s);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    buf_clear(&args);
    return rc;
}

/* The gate time_sync asks the source that the facts name: a domain controller, which need not answer everybody. */
static void look_time(struct probe *p)
{
    struct driver_answer a = { 0 };
    struct buf source = BUF_INIT, text = BUF_INIT;
    struct err why = { 0 };
    int rc = run_driver(p, "facts", "{}", &why);

    if (rc == 0) {
        driver_answer_read(DRIVER_RUN, buf_text(&p->answer), p->answer.len, &a);
        buf_str(&source, json_get_str(a.result, "time_source", ""));
        driver_answer_clear(&a);
    }
    if (rc == 0 && source.len > 0)
        rc = ask_time(p, buf_text(&source), &why);
    buf_str(&text, rc != 0           ? why.text
                   : source.len == 0 ? "the facts name no time source"
                                     : buf_text(&p->answer));
    row(p, "time-answer", "the time source that the facts name answers SNTP: ok true", buf_text(&text),
        "gate time_sync", SEEN_JUDGE);
    buf_clear(&source);
    buf_clear(&text);
}

/* The driver's own facts (probe.json): people judge, the report goes home. */
static void copy_rows(struct probe *p, const json *rows)
{
    struct buf text = BUF_INIT;

    for (const json *r = json_first(rows); r != NULL; r = json_next(r)) {
        bool failed = json_is_string(json_get(r, "error"));

        buf_reset(&text);
        json_write(&text, json_get(r, failed ? "error" : "observed"), true);
        row(p, json_get_str(r, "id", "?"), json_get_str(r, "expected", ""), buf_text(&text),
            json_get_str(r, "used_by", ""), SEEN_JUDGE);
    }
    buf_clear(&text);
}

static void look_driver_probe(struct probe *p)
{
    struct json_doc *d = NULL;
    struct buf args = BUF_INIT, store = BUF_INIT;
    struct json_writer w;
    struct err why = { 0 };
    int rc;

    if (driver_manifest_find(&p->manifest, "probe") == NULL)
        return;
    buf_printf(&store, "%s/packages", p->set->state_dir);
    jw_init(&w, &args);
    w.ascii = true;
    jw_object(&w, NULL);
    jw_str(&w, "store", buf_text(&store));
    jw_object_end(&w);
    rc = run_driver(p, "probe", buf_text(&args), &why);
    buf_clear(&args);
    buf_clear(&store);
    if (rc == 0)
        rc = json_parse("probe", buf_text(&p->answer), p->answer.len, &d, &why);
    if (rc != 0)
        row(p, "driver-probe", "a report", why.text, "every action", SEEN_BAD);
    else
        copy_rows(p, json_get(json_root(d), "probe"));
    json_free(d);
}

static int read_manifest(struct probe *p, struct err *err)
{
    struct buf path = BUF_INIT, text = BUF_INIT;
    int rc;

    buf_printf(&path, "%s/driver.json", p->set->driver);
    rc = os_read_file(buf_text(&path), MANIFEST_BYTES, &text, err);
    if (rc == 0)
        rc = driver_manifest_read(buf_text(&path), buf_text(&text), text.len, &p->manifest, err);
    buf_clear(&path);
    buf_clear(&text);
    return rc;
}

int probe_run(const struct agent_settings *settings, const char *version, struct buf *out, uint32_t *ret_bad,
              struct err *err)
{
    static void (*const looks[])(struct probe *) = { look_account, look_state_folder, look_free_space,
                                                     look_clocks,  look_processes,    look_journal,
                                                     look_service, look_system,       look_driver_folder,
                                                     look_actions };
    struct probe p = { .set = settings };
    int rc = read_manifest(&p, err);

    if (rc != 0)
        return rc;
    jw_init(&p.w, out);
    jw_object(&p.w, NULL);
    jw_str(&p.w, "node", settings->node);
    jw_str(&p.w, "agent", version);
    jw_str(&p.w, "os", os_name());
    jw_array(&p.w, "rows");
    for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++)
        looks[i](&p);
    look_driver(&p, "facts", "{}", "machine_id");
    look_driver(&p, "check_empty", "{\"form\":\"vmms\",\"parked\":[]}", "empty");
    look_time(&p);
    look_driver_probe(&p);
    jw_array_end(&p.w);
    jw_object_end(&p.w);
    *ret_bad = p.bad;
    buf_clear(&p.answer);
    driver_manifest_clear(&p.manifest);
    return out->failed ? err_set(err, ERR_NOMEM, "probe") : 0;
}
