/* Two ways in. As a plan file: refused with a reason, never a crash. As what is to be
 * planned, an inventory or a pair of inventory and rollout: whatever the planner makes
 * of it, the checker agrees and the file reads back with the same hash. */
#include "orchestrator/core/plan.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdbool.h>
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

/* The one that the input brings, if any. */
static struct rollout *make_rollout(const struct json_doc *doc)
{
    const json *own = json_get(json_root(doc), "rollout");
    struct json_doc *plain;
    struct rollout *r = NULL;

    if (own != NULL) {
        (void)rollout_read_value(doc, own, &r, NULL);
        return r;
    }
    plain = parse(rollout_text, sizeof rollout_text - 1);
    assert(rollout_read(plain, &r, NULL) == 0);
    json_free(plain);
    return r;
}

static struct inventory *make_inventory(const struct json_doc *doc)
{
    const json *own = json_get(json_root(doc), "inventory");
    struct inventory *inv = NULL;

    (void)inventory_read_value(doc, own == NULL ? json_root(doc) : own, &inv, NULL);
    if (inv != NULL &&
        (inv->n_nodes > 64 || inv->n_vms > 256)) { /* searching those is the benchmark's affair */
        inventory_free(inv);
        return NULL;
    }
    return inv;
}

static void check_plan(struct plan *p)
{
    struct buf text = BUF_INIT, faults = BUF_INIT;
    struct plan *again = NULL;
    struct json_doc *file;

    if (plan_verify(p, &faults) != 0) {
        (void)fputs(buf_text(&faults), stderr); /* what they do not agree about */
        abort();
    }
    plan_write(&text, p, false);
    file = parse(text.data, text.len);
    assert(file != NULL && plan_read(file, &again, NULL) == 0);
    assert(strcmp(p->hash, again->hash) == 0);
    json_free(file);
    plan_free(again);
    buf_clear(&text);
    buf_clear(&faults);
}

/* True when there was something to plan. */
static bool as_task(const struct json_doc *doc)
{
    struct err e = { ERR_OK, "" };
    struct inventory *inv = make_inventory(doc);
    struct rollout *r = inv == NULL ? NULL : make_rollout(doc);
    struct plan *p = NULL;

    if (r == NULL) {
        inventory_free(inv);
        return false;
    }
    if (plan_build(inv, r, NOW, "fuzz", &p, &e) != 0) { /* of a rollout that asks for what is not there */
        assert(p == NULL && e.text[0] != '\0' && json_get(json_root(doc), "rollout") != NULL);
        return true;
    }
    check_plan(p);
    plan_free(p);
    return true;
}

/* What does not look like a plan file and cannot be read as a task is the affair of the fuzzers of JSON, inventory and rollout. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_doc *doc = parse((const char *)data, size);
    bool ours = false;

    if (doc != NULL) {
        ours = json_get(json_root(doc), "nodes") != NULL && json_get(json_root(doc), "waves") != NULL;
        if (ours)
            as_plan(doc);
        ours |= as_task(doc);
        json_free(doc);
    }
    if (!ours)
        fuzz_pass_over();
    return 0;
}
