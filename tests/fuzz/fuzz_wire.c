/* Lines from a controller into the agent's core: whatever comes, no crash, no
 * driver is started without its START in the journal, and the journal it leaves
 * folds again. A digit in front says how much of the greeting was said: 0 nothing,
 * 1 hello; else all of it. */
#include "tests/fuzz/fuzz.h"

#include "agent/core/agent.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SESSION "00000000000000000000000000000001"
#define CONTROLLER "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

enum greeted { NOTHING, HELLO, CLAIM };

static const char manifest_text[] =
    "{\"name\":\"f\",\"version\":\"1\",\"contract\":1,\"actions\":{\"facts\":{\"argv\":[\"d\"],\"limit_ms\":"
    "5},"
    "\"vms\":{\"argv\":[\"d\"],\"limit_ms\":5},\"gate_facts\":{\"argv\":[\"d\"],\"limit_ms\":5},"
    "\"check_empty\":{\"argv\":[\"d\"],\"limit_ms\":5},\"pause\":{\"argv\":[\"d\"],\"limit_ms\":5},"
    "\"install\":{\"argv\":[\"d\"],\"limit_ms\":5,\"on_deadline\":\"leave\"}}}";

struct host {
    struct agent *agent;
    struct journal_fold mirror; /* the journal, folded as it grows */
    dur_ms mono;
    bool driver[256]; /* by run: asked by DRIVER_START, not by another effect */
};

static void carry_out(struct host *h, const struct agent_effects *list)
{
    struct err e = { ERR_OK, "" };

    for (uint32_t i = 0; i < list->n; i++) {
        const struct agent_effect *d = &list->items[i];

        if (d->type == AGENT_DO_APPEND)
            assert(journal_fold_apply(&h->mirror, &d->record, &e) == 0);
        h->driver[d->run % 256] = d->type == AGENT_DO_DRIVER_START;
        if (d->type == AGENT_DO_DRIVER_START && d->effect) {
            const struct agent_op *op = journal_fold_find(&h->mirror, d->op);

            assert(op != NULL && op->state == AGENT_OP_RUNNING);
        }
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

static void send_line(struct host *h, const char *line, size_t len)
{
    struct rpc_message msg = { 0 };
    struct err e = { ERR_OK, "" };

    if (rpc_parse(line, len, &msg, &e) == 0) {
        feed(h, (struct agent_event){ .type = AGENT_EV_REQUEST, .conn = 1, .msg = &msg });
        rpc_clear(&msg);
    }
}

static void answer(struct host *h, uint32_t run, const char *text, size_t len)
{
    char *copy = calloc(1, len + 1);

    assert(copy != NULL);
    memcpy(copy, text, len);
    feed(h, (struct agent_event){ .type = h->driver[run % 256] ? AGENT_EV_DRIVER_DONE : AGENT_EV_ANSWER,
                                  .run = run,
                                  .text = copy,
                                  .len = len });
    free(copy);
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
                              .move_slots = 1,
                              .clock_factor = 1 };
    struct journal_fold none = JOURNAL_FOLD_INIT;
    struct agent_effects list = AGENT_EFFECTS_INIT;
    struct err e = { ERR_OK, "" };

    assert(agent_new(&c, &none, &h->agent, &e) == 0);
    assert(agent_start(h->agent, 0, 0, NULL, 0, NULL, &list, &e) == 0);
    carry_out(h, &list);
    agent_effects_clear(&list);
    answer(h, 1, facts, sizeof facts - 1);
    feed(h, (struct agent_event){ .type = AGENT_EV_OPEN, .conn = 1, .text = SESSION });
    for (enum greeted word = HELLO; word <= greeted; word++)
        feed(h, (struct agent_event){ .type = AGENT_EV_REQUEST, .conn = 1, .msg = greeting(word) });
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct driver_manifest manifest;
    struct host h = { .mono = 1 };
    struct err e = { ERR_OK, "" };
    const char *at = (const char *)data, *end = at + size;
    uint32_t run = 2;

    if (manifest.name == NULL)
        assert(driver_manifest_read("f", manifest_text, sizeof manifest_text - 1, &manifest, &e) == 0);
    if (size > 0 && (*at == '0' || *at == '1'))
        begin(&h, &manifest, *at++ == '0' ? NOTHING : HELLO);
    else
        begin(&h, &manifest, CLAIM);
    while (at < end) { /* lines; one that begins with < is a driver's answer to the next run */
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = newline == NULL ? (size_t)(end - at) : (size_t)(newline - at);

        if (len > 0 && at[0] == '<')
            answer(&h, run++, at + 1, len - 1);
        else
            send_line(&h, at, len);
        at += len + 1;
    }
    agent_free(h.agent);
    journal_fold_clear(&h.mirror);
    return 0;
}
