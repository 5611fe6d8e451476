/* Lines from a controller into the agent's core, and what the host brings in
 * between: whatever comes, no crash, no driver is started without its START in the
 * journal, and the journal it leaves folds again and is what the agent remembers.
 *
 * A digit in front says how much of the greeting was said: 0 nothing, 1 hello; else
 * all of it. A line is the controller's, or by its first byte:
 *   <  the answer to the next run      !  the next run fails: a driver as the digit says, with this text
 *   %  progress of the next run        @  time passes up to the agent's deadline
 *   -  the connection is replaced      ~  the next record cannot be written */
#include "tests/fuzz/fuzz.h"

#include "agent/core/agent.h"
#include "schema/sha256.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SESSION "00000000000000000000000000000001"
#define CONTROLLER "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST "\"digest\":\"00" /* no search finds one: this stands for that of `args` */

enum greeted { NOTHING, HELLO, CLAIM };

#define ACTION(name, deadline) \
    "\"" name "\":{\"argv\":[\"d\"],\"limit_ms\":5,\"on_deadline\":\"" deadline "\"}"

static const char manifest_text[] =
    "{\"name\":\"f\",\"version\":\"1\",\"contract\":1,\"actions\":{" ACTION("facts", "kill") "," ACTION("vms", "kill") "," ACTION(
        "gate_facts",
        "kill") "," ACTION("check_empty",
                           "kill") "," ACTION("pause",
                                              "kill") "," ACTION("move_vm",
                                                                 "kill") "," ACTION("fetch_package",
                                                                                    "kill") "," ACTION("reboo"
                                                                                                       "t",
                                                                                                       "leav"
                                                                                                       "e") "," ACTION("install",
                                                                                                                       "leave") "}}";

struct host {
    struct agent *agent;
    struct journal_fold mirror; /* the journal, folded as it grows */
    dur_ms mono;
    uint32_t conn, next_run, last_run; /* the run that is answered next; the newest that was asked for */
    bool fail_append;
    enum agent_effect_type asked[256]; /* by run */
};

static void carry_out(struct host *h, const struct agent_effects *list);

/* It could not be written: this and what follows did not happen. */
static void abandon(struct host *h, const struct agent_effects *done, uint32_t at)
{
    struct agent_effects list = AGENT_EFFECTS_INIT;
    struct err full = { ERR_CAPACITY, "the disk is full" };

    h->fail_append = false;
    assert(agent_abandon(h->agent, done, at, &full, h->mono, h->mono, &list, NULL) == 0);
    carry_out(h, &list);
    agent_effects_clear(&list);
}

static void check_effect(struct host *h, const struct agent_effect *d)
{
    const struct agent_op *op = journal_fold_find(&h->mirror, d->op == NULL ? "" : d->op);

    if (d->type == AGENT_DO_DRIVER_START && d->effect)
        assert(op != NULL && op->state == AGENT_OP_RUNNING);
    if (d->type == AGENT_DO_SEND)
        assert(d->len > 0 && memchr(d->text, '\n', d->len) == d->text + d->len - 1);
    if (d->type == AGENT_DO_FORGET)
        journal_fold_forget(&h->mirror, d->op);
}

static void carry_out(struct host *h, const struct agent_effects *list)
{
    struct err e = { ERR_OK, "" };

    for (uint32_t i = 0; i < list->n; i++) {
        const struct agent_effect *d = &list->items[i];

        if (d->type == AGENT_DO_APPEND && h->fail_append) {
            abandon(h, list, i);
            return;
        }
        if (d->type == AGENT_DO_APPEND)
            assert(journal_fold_apply(&h->mirror, &d->record, &e) == 0);
        if (d->run > h->last_run)
            h->last_run = d->run;
        if (d->type != AGENT_DO_DRIVER_KILL)
            h->asked[d->run % 256] = d->type;
        check_effect(h, d);
    }
}

static void feed(struct host *h, struct agent_event ev)
{
    struct agent_effects list = AGENT_EFFECTS_INIT;
    struct err e = { ERR_OK, "" };

    ev.at = h->mono;
    ev.mono = h->mono++;
    if (agent_step(h->agent, &ev, &list, &e) == 0)
        carry_out(h, &list);
    agent_effects_clear(&list);
}

/* Writes the digest of `args` over the zeros of a line that was understood; true when it did. */
static bool mend_digest(char *line, const struct rpc_message *msg)
{
    const json *args = msg->params == NULL ? NULL : json_get(msg->params, "args");
    char *at = strstr(line, DIGEST), hex[SHA256_TEXT];
    struct buf text = BUF_INIT;

    if (at == NULL || args == NULL || strlen(at) < sizeof DIGEST + SHA256_TEXT)
        return false;
    json_write(&text, args, true);
    sha256_text(buf_text(&text), text.len, hex);
    buf_clear(&text);
    memcpy(at + sizeof DIGEST - 3, hex, SHA256_TEXT - 1);
    return true;
}

static char *copy_of(const char *text, size_t len)
{
    char *copy = malloc(len + 1);

    assert(copy != NULL);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

static void send_line(struct host *h, const char *line, size_t len)
{
    struct rpc_message msg = { 0 };
    char *copy = copy_of(line, len);
    int rc = rpc_parse(copy, len, &msg, NULL);

    if (rc == 0 && mend_digest(copy, &msg)) {
        rpc_clear(&msg);
        rc = rpc_parse(copy, len, &msg, NULL);
    }
    if (rc == 0) {
        feed(h, (struct agent_event){ .type = AGENT_EV_REQUEST, .conn = h->conn, .msg = &msg });
        rpc_clear(&msg);
    }
    free(copy);
}

/* One that was not asked for is nobody's, and the next one stays the next. */
static uint32_t take_run(struct host *h)
{
    return h->next_run <= h->last_run ? h->next_run++ : h->next_run;
}

static void answer(struct host *h, const char *text, size_t len)
{
    uint32_t run = take_run(h);
    enum agent_effect_type asked = h->asked[run % 256];
    char *copy = copy_of(text, len);
    struct agent_event ev = { .type = AGENT_EV_ANSWER, .run = run, .text = copy, .len = len };

    if (asked == AGENT_DO_DRIVER_START)
        ev.type = AGENT_EV_DRIVER_DONE;
    else if (asked == AGENT_DO_SNTP)
        ev.text = "{}"; /* the host's own words */
    feed(h, ev);
    free(copy);
}

static void fail_run(struct host *h, const char *text, size_t len)
{
    uint32_t run = take_run(h);
    char *copy = copy_of(text, len);
    struct err e = { ERR_NOT_FOUND, "not there" };
    struct agent_event ev = { .run = run, .text = copy, .len = len, .err = &e, .output_tail = copy };

    ev.type = h->asked[run % 256] == AGENT_DO_DRIVER_START ? AGENT_EV_DRIVER_DONE : AGENT_EV_ANSWER;
    ev.end = (enum agent_driver_end)((unsigned char)(copy[0] - '0') % (AGENT_DRIVER_LOST + 1));
    ev.output_bytes = (int64_t)len;
    feed(h, ev);
    free(copy);
}

static void tell_progress(struct host *h, const char *text, size_t len)
{
    char *copy = copy_of(text, len);

    feed(h, (struct agent_event){
                .type = AGENT_EV_PROGRESS, .run = h->next_run, .text = copy, .len = len, .percent = 50 });
    free(copy);
}

static void pass_time(struct host *h)
{
    dur_ms due = agent_deadline(h->agent);

    if (due != TIME_NEVER && due > h->mono)
        h->mono = due;
    feed(h, (struct agent_event){ .type = AGENT_EV_TIME });
}

static void open_connection(struct host *h)
{
    feed(h, (struct agent_event){ .type = AGENT_EV_OPEN, .conn = ++h->conn, .text = SESSION });
}

static void replace_connection(struct host *h)
{
    feed(h, (struct agent_event){ .type = AGENT_EV_CLOSE, .conn = h->conn });
    open_connection(h);
}

/* The greeting is the same each time: read once. */
static const struct rpc_message *greeting(enum greeted word)
{
    static const char *const texts[] = {
        [HELLO] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\",\"params\":{\"protocol\":{\"min\":1,"
                  "\"max\":1},"
                  "\"controller\":\"" CONTROLLER "\",\"program\":\"f\"}}",
        [CLAIM] =
            "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"claim\",\"params\":{\"run\":\"r1\",\"controller\":"
            "\"" CONTROLLER "\",\"epoch\":1,\"log\":{\"seq\":1,\"hash\":\"h\"},\"session\":\"" SESSION "\"}}"
    };
    static struct rpc_message said[sizeof texts / sizeof *texts];

    if (said[word].doc == NULL)
        assert(rpc_parse(texts[word], strlen(texts[word]), &said[word], NULL) == 0);
    return &said[word];
}

static void begin(struct host *h, const struct driver_manifest *m, enum greeted greeted)
{
    static const char facts[] = "{\"result\":{\"machine_id\":\"M\",\"boot_id\":\"B\",\"os\":{\"build\":1,"
                                "\"ubr\":1},\"memory_mib\":9}}";
    struct agent_config c = { .node = "HV07",
                              .version = "1",
                              .os = "linux",
                              .journal_id = SESSION,
                              .driver = m,
                              .fetch_dir = "/store",
                              .move_slots = 1,
                              .clock_factor = 1,
                              .lab = true };
    struct journal_fold none = JOURNAL_FOLD_INIT;
    struct agent_effects list = AGENT_EFFECTS_INIT;
    struct err e = { ERR_OK, "" };

    assert(agent_new(&c, &none, &h->agent, &e) == 0);
    assert(agent_start(h->agent, 0, 0, NULL, 0, NULL, &list, &e) == 0);
    carry_out(h, &list);
    agent_effects_clear(&list);
    answer(h, facts, sizeof facts - 1);
    open_connection(h);
    for (enum greeted word = HELLO; word <= greeted; word++)
        feed(h, (struct agent_event){ .type = AGENT_EV_REQUEST, .conn = h->conn, .msg = greeting(word) });
}

/* What the agent remembers is what a next start would read. */
static void check_journal(const struct host *h)
{
    const struct journal_fold *own = agent_fold(h->agent);

    assert(own->n_ops == h->mirror.n_ops && own->claim.epoch == h->mirror.claim.epoch);
    for (uint32_t i = 0; i < own->n_ops; i++) {
        const struct agent_op *a = own->ops[i], *b = h->mirror.ops[i];

        assert(strcmp(a->id, b->id) == 0 && strcmp(a->digest, b->digest) == 0);
        assert(a->starts == b->starts && a->accepts == b->accepts && a->acked == b->acked);
        assert((a->state == AGENT_OP_DONE) == (b->state == AGENT_OP_DONE));
    }
}

static void take_line(struct host *h, const char *line, size_t len)
{
    char first = '\0';

    if (len > 0)
        first = line[0];
    if (first == '<')
        answer(h, line + 1, len - 1);
    else if (first == '!')
        fail_run(h, line + 1, len - 1);
    else if (first == '%')
        tell_progress(h, line + 1, len - 1);
    else if (first == '@')
        pass_time(h);
    else if (first == '-')
        replace_connection(h);
    else if (first == '~')
        h->fail_append = true;
    else
        send_line(h, line, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct driver_manifest manifest;
    struct host h = { .mono = 1, .next_run = 1 };
    struct err e = { ERR_OK, "" };
    const char *at = (const char *)data, *end = at + size;

    if (manifest.name == NULL)
        assert(driver_manifest_read("f", manifest_text, sizeof manifest_text - 1, &manifest, &e) == 0);
    if (size > 0 && (*at == '0' || *at == '1'))
        begin(&h, &manifest, *at++ == '0' ? NOTHING : HELLO);
    else
        begin(&h, &manifest, CLAIM);
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = newline == NULL ? (size_t)(end - at) : (size_t)(newline - at);

        take_line(&h, at, len);
        at += len + 1;
    }
    check_journal(&h);
    agent_free(h.agent);
    journal_fold_clear(&h.mirror);
    return 0;
}
