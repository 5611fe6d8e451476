/* Two ways in. As a plan file: refused with a reason, never a crash. As an
 * inventory: whatever the planner makes of it, the checker agrees and the file
 * reads back with the same hash. */
#include "orchestrator/core/plan.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1795471200000

static const char rollout_text[] =
    "{\"version\":1,\"name\":\"fuzz\",\"patch\":{\"kb\":\"KB1\",\"file\":\"a.msu\",\"sha256\":"
    "\"0000000000000000000000000000000000000000000000000000000000000000\",\"size_bytes\":1,\"target\":"
    "\"26100.4066\"},"
    "\"waves\":[1,\"100%\"],\"gates\":[]}";

static struct json_doc *parse(const char *text, size_t len)
{
    struct json_doc *doc = NULL;

    return json_parse("fuzz", text, len, &doc, NULL) == 0 ? doc : NULL;
}

static void as_plan(const struct json_doc *doc)
{
    struct err e = { ERR_OK, "" };
    struct buf faults = BUF_INIT;
    struct plan *p = NULL;

    if (plan_read(doc, &p, &e) != 0) {
        assert(p == NULL && e.text[0] != '\0');
        return;
    }
    plan_verify(p, &faults); /* any verdict; the hash only says who made it */
    buf_clear(&faults);
    plan_free(p);
}

static struct rollout *make_rollout(void)
{
    struct json_doc *doc = parse(rollout_text, sizeof rollout_text - 1);
    struct rollout *r = NULL;

    assert(rollout_read(doc, &r, NULL) == 0);
    json_free(doc);
    return r;
}

static void as_inventory(const struct json_doc *doc)
{
    struct buf text = BUF_INIT, faults = BUF_INIT;
    struct inventory *inv = NULL;
    struct plan *p = NULL, *again = NULL;
    struct json_doc *file;

    if (inventory_read(doc, &inv, NULL) != 0)
        return;
    if (inv->n_nodes > 64 || inv->n_vms > 256) { /* searching those is the benchmark's affair */
        inventory_free(inv);
        return;
    }
    assert(plan_build(inv, make_rollout(), NOW, "fuzz", &p, NULL) == 0);
    if (plan_verify(p, &faults) != 0) {
        (void)fputs(buf_text(&faults), stderr); /* what they do not agree about */
        abort();
    }
    plan_write(&text, p, false);
    file = parse(text.data, text.len);
    assert(file != NULL && plan_read(file, &again, NULL) == 0);
    assert(strcmp(p->hash, again->hash) == 0);
    json_free(file);
    plan_free(p);
    plan_free(again);
    buf_clear(&text);
    buf_clear(&faults);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_doc *doc = parse((const char *)data, size);

    if (doc == NULL)
        return 0;
    as_plan(doc);
    as_inventory(doc);
    json_free(doc);
    return 0;
}
