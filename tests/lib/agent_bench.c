#include "tests/lib/agent_bench.h"

#include "schema/sha256.h"
#include "tests/lib/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACTION(name, limit, deadline) \
    "\"" name "\":{\"argv\":[\"./toy\"],\"limit_ms\":" limit ",\"on_deadline\":\"" deadline "\"}"

static const char manifest_text[] =
    "{\"name\":\"bench\",\"version\":\"1\",\"contract\":1,\"actions\":{" ACTION("facts", "30000", "kill") "," ACTION("vms", "30000", "kill") "," ACTION("check_empty", "30000", "kill") "," ACTION(
        "gate_facts", "30000",
        "kill") "," ACTION("verify", "30000",
                           "kill") "," ACTION("pause", "60000",
                                              "kill") "," ACTION("move_vm", "600000",
                                                                 "kill") "," ACTION("stop_vmms", "60000",
                                                                                    "kill") "," ACTION("insta"
                                                                                                       "ll",
                                                                                                       "36000"
                                                                                                       "00",
                                                                                                       "leav"
                                                                                                       "e") "," ACTION("uninstall",
                                                                                                                       "3600000",
                                                                                                                       "leave") "," ACTION("reboot",
                                                                                                                                           "3600000",
                                                                                                                                           "leave") "," ACTION("resume",
                                                                                                                                                               "60000",
                                                                                                                                                               "kill") "," ACTION("fetch_package",
                                                                                                                                                                                  "600000",
                                                                                                                                                                                  "kill") "}}";

static char *dup(const char *text)
{
    char *copy = malloc(strlen(text) + 1);

    assert_non_null(copy);
    return memcpy(copy, text, strlen(text) + 1);
}

void bench_open(struct bench *b)
{
    struct err err;

    *b = (struct bench){ .at = 1764000000000, .mono = 1000, .machine = "M1", .boot = "B1", .stop_after = -1 };
    check_ok(driver_manifest_read("driver.json", manifest_text, strlen(manifest_text), &b->manifest, &err),
             &err);
    b->config = (struct agent_config){
        .node = "HV07",
        .version = "0.1.0",
        .os = "linux",
        .journal_id = "11111111111111111111111111111111",
        .driver = &b->manifest,
        .fetch_dir = "/store",
        .move_slots = 2,
        .clock_factor = 1,
        .lab = true,
    };
}

static void clear_runs(struct bench *b)
{
    for (uint32_t i = 0; i < b->n_runs; i++)
        free(b->runs[i].text);
    b->n_runs = 0;
}

void bench_halt(struct bench *b)
{
    agent_free(b->agent);
    b->agent = NULL;
    clear_runs(b);
}

void bench_close(struct bench *b)
{
    bench_halt(b);
    for (uint32_t i = 0; i < b->n_records; i++) {
        free(b->records[i].op);
        free(b->records[i].boot_id);
        free(b->records[i].body);
    }
    for (uint32_t i = 0; i < b->n_sent; i++)
        json_free(b->sent[i]);
    driver_manifest_clear(&b->manifest);
}

static void keep_record(struct bench *b, const struct agent_record *r)
{
    assert_true(b->n_records < TABLE_LEN(b->records));
    b->records[b->n_records++] =
        (struct bench_record){ r->kind, r->at, dup(r->op), dup(r->boot_id), dup(r->body) };
}

static void keep_sent(struct bench *b, const struct agent_effect *e)
{
    struct err err;

    assert_true(b->n_sent < TABLE_LEN(b->sent));
    assert_int_equal(e->text[e->len - 1], '\n');
    b->sent_to[b->n_sent] = e->conn;
    check_ok(json_parse("sent", e->text, e->len, &b->sent[b->n_sent++], &err), &err);
}

static void keep_run(struct bench *b, const struct agent_effect *e)
{
    static const char *const names[] = {
        [AGENT_DO_PACKAGE_OPEN] = "package_open",
        [AGENT_DO_PACKAGE_ADOPT] = "package_adopt",
        [AGENT_DO_PACKAGE_CHECK] = "package_check",
        [AGENT_DO_PACKAGE_PLACE] = "package_place",
        [AGENT_DO_SNTP] = "sntp",
    };
    struct bench_run *r = &b->runs[b->n_runs++];
    bool driver = e->type == AGENT_DO_DRIVER_START;

    assert_true(b->n_runs <= TABLE_LEN(b->runs));
    *r = (struct bench_run){ .run = e->run,
                             .type = e->type,
                             .effect = e->effect,
                             .leave = e->leave,
                             .offset_ms = e->offset_ms,
                             .size_bytes = e->size_bytes };
    snprintf(r->action, sizeof r->action, "%s", driver ? e->action : names[e->type]);
    snprintf(r->op, sizeof r->op, "%s", e->op == NULL ? "" : e->op);
    snprintf(r->mode, sizeof r->mode, "%s",
             !driver                                           ? ""
             : strstr(e->text, "\"mode\":\"witness\"") != NULL ? "witness"
                                                               : "run");
    snprintf(r->name, sizeof r->name, "%s", e->name == NULL ? "" : e->name);
    snprintf(r->with, sizeof r->with, "%s", e->with == NULL ? "" : e->with);
    r->text = dup(driver || e->type == AGENT_DO_SNTP ? e->text : e->sha256);
}

static void mark_killed(struct bench *b, uint32_t run)
{
    for (uint32_t i = 0; i < b->n_runs; i++)
        if (b->runs[i].run == run)
            b->runs[i].killed = true;
}

/* 0, or ERR_FULL for an append that was told to fail. */
static int carry_out_one(struct bench *b, const struct agent_effect *e, struct err *why)
{
    if (e->type == AGENT_DO_APPEND) {
        if (b->fail_appends > 0 || (b->fail_append_at > 0 && --b->fail_append_at == 0)) {
            b->fail_appends -= b->fail_appends > 0;
            return err_set(why, ERR_FULL, "journal: disk full");
        }
        keep_record(b, &e->record);
    } else if (e->type == AGENT_DO_SEND) {
        keep_sent(b, e);
    } else if (e->type == AGENT_DO_DRIVER_KILL) {
        mark_killed(b, e->run);
    } else if (e->type == AGENT_DO_FORGET) {
        assert_true(b->n_forgotten < TABLE_LEN(b->forgotten));
        snprintf(b->forgotten[b->n_forgotten++], sizeof b->forgotten[0], "%s", e->op);
    } else if (e->run != 0) {
        keep_run(b, e);
    }
    return 0;
}

static void carry_out(struct bench *b, struct agent_effects *list)
{
    struct agent_effects more = AGENT_EFFECTS_INIT;
    struct err why, err;

    for (uint32_t i = 0; i < list->n && !b->crashed; i++) {
        if (b->stop_after >= 0 && b->effects_done++ >= b->stop_after) {
            b->crashed = true;
            return;
        }
        if (carry_out_one(b, &list->items[i], &why) == 0)
            continue;
        check_ok(agent_abandon(b->agent, list, i, &why, b->at, b->mono, &more, &err), &err);
        carry_out(b, &more);
        break;
    }
    agent_effects_clear(&more);
}

static void feed(struct bench *b, struct agent_event *ev)
{
    struct agent_effects list = AGENT_EFFECTS_INIT;
    struct err err;

    ev->at = b->at;
    ev->mono = b->mono;
    if (b->crashed)
        return;
    check_ok(agent_step(b->agent, ev, &list, &err), &err);
    carry_out(b, &list);
    agent_effects_clear(&list);
}

void bench_boot(struct bench *b, const char *alive)
{
    struct journal_fold fold = JOURNAL_FOLD_INIT;
    struct agent_effects list = AGENT_EFFECTS_INIT;
    struct err err;
    uint32_t run = 0;

    for (uint32_t i = 0; i < b->n_records; i++) {
        const struct bench_record *r = &b->records[i];
        struct agent_record rec = { r->kind, r->at, r->op, r->boot_id, r->body };

        check_ok(journal_fold_apply(&fold, &rec, &err), &err);
    }
    b->crashed = false;
    check_ok(agent_new(&b->config, &fold, &b->agent, &err), &err);
    check_ok(agent_start(b->agent, b->at, b->mono, &alive, alive != NULL, &run, &list, &err), &err);
    if (run != 0) {
        struct bench_run *r = &b->runs[b->n_runs++];

        *r = (struct bench_run){ .run = run, .type = AGENT_DO_DRIVER_START, .effect = true, .leave = true };
        snprintf(r->action, sizeof r->action, "adopted");
        snprintf(r->op, sizeof r->op, "%s", alive);
        r->text = dup("");
    }
    carry_out(b, &list);
    agent_effects_clear(&list);
}

void bench_identify(struct bench *b)
{
    char facts[512];

    snprintf(facts, sizeof facts,
             "{\"result\":{\"machine_id\":\"%s\",\"boot_id\":\"%s\",\"os\":{\"build\":26100,\"ubr\":4061},"
             "\"memory_mib\":65536,\"host_reserve_mib\":4096}}",
             b->machine, b->boot);
    if (!b->crashed)
        bench_answer(b, bench_run(b, "facts", "run"), facts);
}

const char *bench_session(uint32_t conn)
{
    static char text[33];

    snprintf(text, sizeof text, "%032x", conn);
    return text;
}

void bench_connect(struct bench *b, uint32_t conn)
{
    feed(b, &(struct agent_event){ .type = AGENT_EV_OPEN, .conn = conn, .text = bench_session(conn) });
}

void bench_disconnect(struct bench *b, uint32_t conn)
{
    feed(b, &(struct agent_event){ .type = AGENT_EV_CLOSE, .conn = conn });
}

int64_t bench_ask(struct bench *b, uint32_t conn, const char *method, const char *params)
{
    struct buf line = BUF_INIT, filled = BUF_INIT;
    struct rpc_message msg;
    struct err err;
    int64_t id = ++b->next_id;
    const char *at = params;

    for (const char *s; (s = strstr(at, "$S")) != NULL; at = s + 2) {
        buf_add(&filled, at, (size_t)(s - at));
        buf_str(&filled, bench_session(conn));
    }
    buf_str(&filled, at);
    rpc_write_request(&line, id, method, buf_text(&filled));
    check_ok(rpc_parse(buf_text(&line), line.len - 1, &msg, &err), &err);
    feed(b, &(struct agent_event){ .type = AGENT_EV_REQUEST, .conn = conn, .msg = &msg });
    rpc_clear(&msg);
    buf_clear(&line);
    buf_clear(&filled);
    return id;
}

static int64_t say_claim(struct bench *b, uint32_t conn, const char *controller, int64_t epoch)
{
    char params[512];

    snprintf(params, sizeof params,
             "{\"protocol\":{\"min\":1,\"max\":1},\"controller\":\"%s\",\"program\":\"t\"}", controller);
    bench_ask(b, conn, "hello", params);
    snprintf(params, sizeof params,
             "{\"run\":\"r1\",\"controller\":\"%s\",\"epoch\":%lld,\"log\":{\"seq\":%lld,\"hash\":\"h%lld\"},"
             "\"takeover\":false,\"session\":\"$S\"}",
             controller, (long long)epoch, (long long)epoch * 100, (long long)epoch);
    return bench_ask(b, conn, "claim", params);
}

void bench_try_claim(struct bench *b, uint32_t conn, const char *controller, int64_t epoch)
{
    (void)say_claim(b, conn, controller, epoch);
}

void bench_claim(struct bench *b, uint32_t conn, const char *controller, int64_t epoch)
{
    int64_t id = say_claim(b, conn, controller, epoch);

    if (!b->crashed)
        assert_non_null(bench_result(b, id));
}

int64_t bench_start_op(struct bench *b, uint32_t conn, const char *controller, int64_t epoch, const char *op,
                       const char *action, const char *args, const char *extra)
{
    char params[4096], digest[SHA256_TEXT];

    snprintf(
        params, sizeof params,
        "{\"op\":\"%s\",\"action\":\"%s\",\"args\":%s,\"digest\":\"%s\",\"limit_ms\":50000,\"epoch\":%lld,"
        "\"controller\":\"%s\",\"log\":{\"seq\":%lld,\"hash\":\"h\"},\"session\":\"$S\"%s%s}",
        op, action, args, sha256_text(args, strlen(args), digest), (long long)epoch, controller,
        (long long)epoch * 100 + 1, extra[0] == '\0' ? "" : ",", extra);
    return bench_ask(b, conn, "op.start", params);
}

static const json *find_answer(struct bench *b, int64_t id)
{
    for (uint32_t i = 0; i < b->n_sent; i++)
        if (json_get_int(json_root(b->sent[i]), "id", -1) == id)
            return json_root(b->sent[i]);
    return NULL;
}

const json *bench_result(struct bench *b, int64_t id)
{
    const json *answer = find_answer(b, id);
    struct buf text = BUF_INIT;

    if (answer != NULL && json_get(answer, "error") != NULL) {
        json_write(&text, answer, true);
        print_message("answer %lld: %s\n", (long long)id, buf_text(&text));
        buf_clear(&text);
    }
    return json_get(answer, "result");
}

const char *bench_error(struct bench *b, int64_t id)
{
    return json_get_str(json_get(json_get(find_answer(b, id), "error"), "data"), "name", "none");
}

const json *bench_done(struct bench *b, const char *op)
{
    for (uint32_t i = b->n_sent; i > 0; i--) {
        const json *root = json_root(b->sent[i - 1]), *params = json_get(root, "params");

        if (strcmp(json_get_str(root, "method", ""), "op.done") == 0 &&
            strcmp(json_get_str(params, "op", ""), op) == 0)
            return params;
    }
    return NULL;
}

bool bench_has_run(struct bench *b, const char *action, const char *mode)
{
    for (uint32_t i = 0; i < b->n_runs; i++)
        if (strcmp(b->runs[i].action, action) == 0 && strcmp(b->runs[i].mode, mode) == 0)
            return true;
    return false;
}

struct bench_run *bench_run(struct bench *b, const char *action, const char *mode)
{
    for (uint32_t i = 0; i < b->n_runs; i++)
        if (strcmp(b->runs[i].action, action) == 0 && strcmp(b->runs[i].mode, mode) == 0)
            return &b->runs[i];
    fail_msg("the host was not asked for %s (%s)", action, mode);
    return NULL;
}

static void take_run(struct bench *b, struct bench_run *run, struct bench_run *ret)
{
    *ret = *run;
    memmove(run, run + 1, (size_t)(&b->runs[b->n_runs] - (run + 1)) * sizeof *run);
    b->n_runs--;
}

void bench_end(struct bench *b, struct bench_run *run, enum agent_driver_end end, const char *text)
{
    struct bench_run r;

    take_run(b, run, &r);
    feed(b, &(struct agent_event){ .type = AGENT_EV_DRIVER_DONE,
                                   .run = r.run,
                                   .end = end,
                                   .text = text,
                                   .len = strlen(text),
                                   .output_bytes = 5,
                                   .output_tail = "said\n" });
    free(r.text);
}

void bench_answer(struct bench *b, struct bench_run *run, const char *text)
{
    struct bench_run r;

    if (run->type == AGENT_DO_DRIVER_START) {
        bench_end(b, run, AGENT_DRIVER_EXITED, text);
        return;
    }
    take_run(b, run, &r);
    feed(b,
         &(struct agent_event){ .type = AGENT_EV_ANSWER, .run = r.run, .text = text, .len = strlen(text) });
    free(r.text);
}

void bench_progress(struct bench *b, const struct bench_run *run, int32_t percent)
{
    feed(b, &(struct agent_event){
                .type = AGENT_EV_PROGRESS, .run = run->run, .percent = percent, .text = "step" });
}

void bench_refuse(struct bench *b, struct bench_run *run, enum err_code code, const char *text)
{
    struct bench_run r;
    struct err why;

    take_run(b, run, &r);
    err_set(&why, code, "%s", text);
    feed(b, &(struct agent_event){ .type = AGENT_EV_ANSWER, .run = r.run, .text = "", .err = &why });
    free(r.text);
}

void bench_wait(struct bench *b, dur_ms ms)
{
    b->at += ms;
    b->mono += ms;
    feed(b, &(struct agent_event){ .type = AGENT_EV_TIME });
}

uint32_t bench_count(const struct bench *b, enum agent_record_kind kind, const char *op)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < b->n_records; i++)
        n += b->records[i].kind == kind && strcmp(b->records[i].op, op) == 0;
    return n;
}

const char *bench_state(struct bench *b, const char *op)
{
    const struct agent_op *o = journal_fold_find(agent_fold(b->agent), op);

    return agent_op_state_name(o == NULL ? AGENT_OP_NONE : o->state);
}

int bench_set_up(void **state)
{
    static struct bench b;

    bench_open(&b);
    bench_boot(&b, NULL);
    bench_identify(&b);
    bench_connect(&b, 1);
    bench_claim(&b, 1, BENCH_CONTROLLER, 1);
    *state = &b;
    return 0;
}

int bench_tear_down(void **state)
{
    bench_close(*state);
    return 0;
}
