#include "tests/torture/store_story.h"

#include "orchestrator/io/store_impl.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/io/store_migrate.h"
#include "orchestrator/io/store_rebuild.h"
#include "orchestrator/io/store_record.h"
#include "tests/lib/small_fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct story_record story_seen[STORY_ENTRIES];
uint64_t story_acked;

static const char rollout_text[] =
    "{\"version\":1,\"name\":\"small\",\"patch\":{\"kb\":\"KB5061977\",\"file\":\"kb5061977.msu\","
    "\"sha256\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"size_bytes\":1000,"
    "\"target\":\"26100.4066\"},\"waves\":[1,1],\"gates\":[{\"type\":\"cluster_health\",\"when\":\"both\","
    "\"interval\":\"30s\",\"samples\":2}],"
    "\"waivers\":[{\"what\":\"reserve_none\",\"cluster\":\"c00\",\"person\":\"boss\",\"ticket\":\"CHG-1\"}],"
    "\"policy\":{\"reserve_min\":\"none\"}}";

static const struct record_by somebody = { "tester", STORY_AT };

static struct inventory *fleet(void)
{
    struct fleet_words w = { .seed = 1,
                             .clusters = 1,
                             .nodes = 2,
                             .vms = 2,
                             .node_mib = 65536,
                             .vm_mib_min = 1024,
                             .vm_mib_max = 4096,
                             .reserve = "none" };

    struct inventory *inv;

    disk_quiet++;
    inv = small_fleet(&w);
    disk_quiet--;
    return inv;
}

/* --- steps --- */

static int step_create(struct story *s, struct err *err)
{
    (void)s;
    return store_create(STORY_DB, err);
}

static int step_open(struct story *s, struct err *err)
{
    return store_open(STORY_DB, STORE_WRITE, &s->store, err);
}

static int step_import(struct story *s, struct err *err)
{
    return store_put_inventory(s->store, s->inv, "fleet.json", "00", somebody, err);
}

static int step_patch(struct story *s, struct err *err)
{
    struct patch p = { .kb = "KB5061977",
                       .file = "kb5061977.msu",
                       .sha256 = "9f3c5d0f7b0e4a55c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8",
                       .size_bytes = 1024,
                       .target = { 26100, 4066 },
                       .reboot = REBOOT_ALWAYS,
                       .tool = "dism" };

    return store_put_patch(s->store, &p, "/nowhere/x.msu", somebody, err);
}

static int step_hostkey(struct story *s, struct err *err)
{
    return store_put_hostkey(s->store, "n00-00", "SHA256:abc", "n00-00 ssh-ed25519 AAAA", NULL, somebody,
                             err);
}

static int step_consent(struct story *s, struct err *err)
{
    char vm[40];
    struct consent c = {
        .vm = small_vm_id(0, vm), .person = "owner", .ticket = "CHG-2", .expires = STORY_AT + DAY_MS
    };

    return store_put_consent(s->store, &c, STORY_AT, err);
}

static int step_plan(struct story *s, struct err *err)
{
    struct json_doc *doc = NULL;
    struct rollout *r = NULL;
    struct plan *p = NULL;
    int rc = json_parse("rollout", rollout_text, sizeof rollout_text - 1, &doc, err);

    if (rc == 0)
        rc = rollout_read(doc, &r, err);
    json_free(doc);
    if (rc == 0)
        rc = plan_build(fleet(), r, STORY_AT, "planner", &p, err); /* takes both over */
    if (rc == 0)
        rc = store_put_plan(s->store, p, err);
    plan_free(p);
    return rc;
}

static int step_load_plan(struct story *s, struct err *err)
{
    return store_load_plan(s->store, NULL, &s->plan, err);
}

static int step_approve(struct story *s, struct err *err)
{
    struct approval a = { .plan = s->plan->hash,
                          .person = "approver",
                          .ticket = "CHG-1",
                          .at = STORY_AT,
                          .expires = STORY_AT + 7 * DAY_MS };

    return store_put_approval(s->store, &a, err);
}

static void counting_submit(struct backend *b, const struct command *c)
{
    struct story *s = (struct story *)(void *)((char *)b - offsetof(struct story, counting));
    struct backend *world = backend_plan_backend(s->world);

    s->submitted++;
    world->submit(world, c);
}

static int step_bring_up(struct story *s, struct err *err)
{
    int rc = engine_new(s->plan, &s->engine, err);

    if (rc == 0)
        rc = store_log_new(s->store, STORY_RUN, s->plan, &s->log, err);
    if (rc == 0)
        rc = backend_plan_new(s->plan, STORY_AT, &s->world, err);
    if (rc != 0)
        return rc;
    s->counting.submit = counting_submit;
    runner_init(&s->runner, s->engine, store_log_face(s->log), &s->counting);
    s->next = (struct event){ .at = STORY_AT, .type = EV_RUN_START, .node = IX_NONE, .cluster = IX_NONE };
    s->next.u.run_start.run = STORY_RUN;
    s->next.u.run_start.plan_hash = s->plan->hash;
    s->next.u.run_start.person = "operator";
    s->next.u.run_start.revision = ENGINE_REVISION;
    s->next.u.run_start.epoch = 1;
    s->next.u.run_start.controller = "0123456789abcdef0123456789abcdef";
    s->next.u.run_start.approval_expires = STORY_AT + 7 * DAY_MS;
    return 0;
}

static int step_event(struct story *s, struct err *err)
{
    return runner_feed(&s->runner, &s->next, err);
}

static int step_mirror(struct story *s, struct err *err)
{
    struct mirror m = { .dir = STORY_MIRROR };

    return mirror_look(&m, s->store, s->plan, s->engine, err);
}

/* Beside the writer, as `patchwave backup` does it. */
static int step_backup(struct story *s, struct err *err)
{
    struct store *reader = NULL;
    int rc = store_open(STORY_DB, STORE_READ, &reader, err);

    (void)s;
    if (rc == 0)
        rc = store_backup(reader, STORY_COPY, err);
    store_close(reader);
    return rc;
}

static int step_rebuild(struct story *s, struct err *err)
{
    return store_rebuild(s->store, err);
}

/* The file of an older program, brought up to date. */
static int step_migrate(struct story *s, struct err *err)
{
    static const struct embedded_text older[] = { { "0001_a.sql", "CREATE TABLE a (x INTEGER) STRICT;" },
                                                  { NULL, NULL } };
    static const struct embedded_text newer[] = {
        { "0001_a.sql", "CREATE TABLE a (x INTEGER) STRICT;" },
        { "0002_b.sql", "CREATE TABLE b (y INTEGER) STRICT; INSERT INTO b VALUES (42);" },
        { NULL, NULL },
    };
    sqlite3 *db = NULL;
    int rc = store_connect(DISK_ROOT "old.db", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &db, err);

    (void)s;
    if (rc == 0)
        rc = store_migrate(db, DISK_ROOT "old.db", older, err);
    if (rc == 0)
        rc = store_migrate(db, DISK_ROOT "old.db", newer, err);
    sqlite3_close(db);
    return rc;
}

static int step_reopen(struct story *s, struct err *err)
{
    store_close(s->store);
    s->store = NULL;
    return store_open(STORY_DB, STORE_WRITE, &s->store, err);
}

static int step_check(struct story *s, struct err *err)
{
    struct buf text = BUF_INIT;
    uint32_t faults = 0;
    int rc = store_check(s->store, &text, &faults, err);

    if (rc == 0 && faults > 0)
        rc = err_set(err, ERR_CORRUPT, STORY_DB ": %s", buf_text(&text));
    buf_clear(&text);
    return rc;
}

const struct story_step story_steps[] = {
    { "create", step_create, false },       { "migrate", step_migrate, false },
    { "open", step_open, false },           { "import", step_import, false },
    { "patch", step_patch, false },         { "host key", step_hostkey, false },
    { "consent", step_consent, false },     { "plan", step_plan, false },
    { "load plan", step_load_plan, false }, { "approve", step_approve, false },
    { "bring up", step_bring_up, false },   { "event", step_event, true },
    { "mirror", step_mirror, false },       { "backup", step_backup, false },
    { "rebuild", step_rebuild, false },     { "check", step_check, false },
    { "reopen", step_reopen, false },
};
const uint32_t story_n_steps = sizeof story_steps / sizeof story_steps[0];

/* --- around them --- */

void story_begin(struct story *s)
{
    memset(s, 0, sizeof *s);
    s->inv = fleet();
    story_acked = 0;
}

static void tables_of(struct store *store, char out[SHA256_TEXT])
{
    struct err err = { 0 };

    if (store_projections_hash(store, out, &err) != 0)
        story_fail("the tables cannot be read: %s", err.text);
}

void story_note(struct story *s)
{
    struct story_record *r;

    if (s->store == NULL)
        return;
    story_acked = store_position(s->store).seq;
    if (story_acked >= STORY_ENTRIES)
        story_fail("more entries than the test remembers");
    r = &story_seen[story_acked];
    snprintf(r->hash, sizeof r->hash, "%s", store_position(s->store).hash);
    tables_of(s->store, r->tables);
    if (s->engine != NULL)
        engine_hash(s->engine, r->engine);
    if (s->engine != NULL && story_seen[story_acked - 1].hash[0] != '\0' && !s->run_over && s->submitted > 0)
        s->run_over = s->runner.ended || !backend_plan_next(s->world, engine_deadline(s->engine), &s->next);
}

void story_drop(struct story *s)
{
    if (s->log != NULL && s->engine != NULL)
        runner_clear(&s->runner);
    store_log_free(s->log);
    engine_free(s->engine);
    store_close(s->store);
    s->log = NULL;
    s->engine = NULL;
    s->store = NULL;
}

void story_end(struct story *s)
{
    story_drop(s);
    if (s->world != NULL)
        backend_plan_free(s->world);
    plan_free(s->plan);
    inventory_free(s->inv);
    memset(s, 0, sizeof *s);
}

/* --- looking --- */

static void check_whole(struct store *store)
{
    struct buf text = BUF_INIT;
    struct err err = { 0 };
    uint32_t faults = 0;

    if (store_check(store, &text, &faults, &err) != 0)
        story_fail("the check does not work: %s", err.text);
    if (faults != 0)
        story_fail("the database is damaged: %s", buf_text(&text));
    buf_clear(&text);
}

/* An entry that nobody was told of: whole, with all its rows, or not there. */
static void check_doubtful(struct store *store, uint64_t least)
{
    char before[SHA256_TEXT], after[SHA256_TEXT];
    struct err err = { 0 };

    if (!store_holds(store, least, story_seen[least].hash))
        story_fail("entry %llu is not the acknowledged one", (unsigned long long)least);
    tables_of(store, before);
    if (store_rebuild(store, &err) != 0)
        story_fail("rebuild: %s", err.text);
    tables_of(store, after);
    if (strcmp(before, after) != 0)
        story_fail("the entry after the acknowledged %llu is half there", (unsigned long long)least);
}

struct store *story_check(const char *path, uint64_t least, bool doubtful)
{
    struct store *store = NULL;
    struct err err = { 0 };
    char tables[SHA256_TEXT];
    uint64_t at;

    if (store_open(path, STORE_WRITE, &store, &err) != 0)
        story_fail("cannot be opened afterwards: %s", err.text);
    check_whole(store);
    at = store_position(store).seq;
    if (at < least)
        story_fail("entry %llu was acknowledged, the log ends at %llu", (unsigned long long)least,
                   (unsigned long long)at);
    if (at > least + (doubtful ? 1 : 0))
        story_fail("the log has entry %llu, which nobody wrote", (unsigned long long)at);
    if (at > least) {
        check_doubtful(store, least);
        return store;
    }
    if (at > 0 && strcmp(store_position(store).hash, story_seen[at].hash) != 0)
        story_fail("entry %llu is another", (unsigned long long)at);
    tables_of(store, tables);
    if (at > 0 && strcmp(tables, story_seen[at].tables) != 0)
        story_fail("the tables are not those of entry %llu", (unsigned long long)at);
    return store;
}

static void submit_nothing(struct backend *b, const struct command *c)
{
    (void)b;
    (void)c;
}

struct resumed {
    struct engine *engine;
    struct store_log *log;
    struct runner runner;
};

static void bring_back(struct resumed *r, struct story *s, struct store *store, struct backend *b)
{
    char hash[SHA256_TEXT];
    uint64_t at = store_position(store).seq;
    struct err err = { 0 };

    memset(r, 0, sizeof *r);
    if (engine_new(s->plan, &r->engine, &err) != 0 ||
        store_log_new(store, STORY_RUN, s->plan, &r->log, &err) != 0)
        story_fail("resume: %s", err.text);
    runner_init(&r->runner, r->engine, store_log_face(r->log), b);
    if (store_log_replay(r->log, &r->runner, 0, &err) != 0)
        story_fail("replay: %s", err.text);
    engine_hash(r->engine, hash);
    if (at <= story_acked && story_seen[at].engine[0] != '\0' && strcmp(hash, story_seen[at].engine) != 0)
        story_fail("the engine comes back as another at entry %llu", (unsigned long long)at);
}

static void start_again(struct resumed *r, const struct story *s)
{
    struct event ev = { .at = s->next.at, .type = EV_CONTROLLER_START, .node = IX_NONE, .cluster = IX_NONE };
    struct err err = { 0 };

    ev.u.controller_start.controller = "00000000000000000000000000000002";
    ev.u.controller_start.person = "second";
    ev.u.controller_start.revision = ENGINE_REVISION;
    ev.u.controller_start.epoch = 2;
    if (runner_feed(&r->runner, &ev, &err) != 0)
        story_fail("the run cannot be gone on with: %s", err.text);
}

static void let_go(struct resumed *r)
{
    runner_clear(&r->runner);
    store_log_free(r->log);
    engine_free(r->engine);
}

static bool run_begun(struct story *s, struct store *store)
{
    int64_t n = 0;

    return s->plan != NULL &&
           store_int(store, 0, &n, NULL, "SELECT count(*) FROM runs WHERE id = ?", "s", STORY_RUN) == 0 &&
           n == 1;
}

void story_check_resume(struct story *s, struct store *store)
{
    struct backend nobody = { .submit = submit_nothing };
    struct resumed r;

    if (!run_begun(s, store))
        return;
    bring_back(&r, s, store, &nobody);
    start_again(&r, s);
    let_go(&r);
}

void story_check_finish(struct story *s, struct store *store)
{
    struct resumed r;
    struct event ev;
    struct err err = { 0 };

    if (s->world == NULL || !run_begun(s, store))
        return;
    backend_plan_forget(s->world);
    bring_back(&r, s, store, backend_plan_backend(s->world));
    start_again(&r, s);
    for (uint32_t n = 0; !r.runner.ended && n < STORY_ENTRIES; n++)
        if (!backend_plan_next(s->world, engine_deadline(r.engine), &ev) ||
            runner_feed(&r.runner, &ev, &err) != 0)
            story_fail("the resumed run stands still: %s", err.text);
    if (engine_run(r.engine).state != RUN_FINISHED)
        story_fail("the resumed run ended as %s", run_states[engine_run(r.engine).state].name);
    for (uint32_t i = 0; i < s->plan->n_nodes; i++)
        if (backend_plan_effects(s->world, s->plan->nodes[i].node, "install") != 1)
            story_fail("node %u was installed %u times", (unsigned)i,
                       (unsigned)backend_plan_effects(s->world, s->plan->nodes[i].node, "install"));
    let_go(&r);
}
