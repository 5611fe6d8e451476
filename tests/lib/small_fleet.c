#include "tests/lib/small_fleet.h"

#include "schema/prng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *small_vm_id(uint32_t i, char out[40])
{
    snprintf(out, 40, "%08x-0000-4000-8000-%012x", i * 2654435761u, i);
    return out;
}

struct maker {
    const struct fleet_words *w;
    struct prng prng;
    struct buf *out;
    uint32_t n_vms;
};

static void make_vm(struct maker *m, uint32_t cluster, uint32_t node, uint64_t mib)
{
    char id[40];
    uint32_t i = m->n_vms++;

    buf_printf(m->out, "%s{\"id\":\"%s\",\"name\":\"vm%u\",\"node\":\"n%02u-%02u\",\"dirty_mib_s\":20,",
               i == 0 ? "" : ",", small_vm_id(i, id), i, cluster, node);
    if (m->w->anti_percent > 0 && prng_below(&m->prng, 100) < m->w->anti_percent)
        buf_printf(m->out, "\"anti_affinity\":[\"t%u\"],", i / 3);
    buf_printf(m->out, "\"memory\":{\"assigned_mib\":%llu}}", (unsigned long long)mib);
}

static void make_vms(struct maker *m, uint32_t cluster, uint32_t node, uint64_t node_mib)
{
    uint64_t room = node_mib * (m->w->percent_full == 0 ? 100 : m->w->percent_full) / 100, used = 0;

    for (uint32_t i = 0; m->w->percent_full > 0 || i < m->w->vms; i++) {
        uint64_t mib = (uint64_t)prng_between(&m->prng, (int64_t)m->w->vm_mib_min, (int64_t)m->w->vm_mib_max);

        if (used + mib > room)
            return;
        used += mib;
        make_vm(m, cluster, node, mib);
    }
}

static uint64_t node_mib_of(const struct fleet_words *w, uint32_t node)
{
    return w->uneven && node % 2 == 1 ? w->node_mib * 3 / 2 : w->node_mib;
}

static void make_cluster(const struct fleet_words *w, uint32_t c, struct buf *out)
{
    buf_printf(
        out,
        "%s{\"id\":\"c%02u\",\"storage\":\"%s\",\"witness\":\"%s\",\"optimisation_off\":true,\"max_out\":%u,"
        "\"migrations_parallel\":2,\"reserve\":\"%s\",\"enforced_anti_affinity\":true}",
        c == 0 ? "" : ",", c, w->s2d ? "s2d" : "shared", w->witness == NULL ? "disk" : w->witness,
        w->max_out == 0 ? 1 : w->max_out, w->reserve == NULL ? "full" : w->reserve);
}

void small_fleet_json(const struct fleet_words *w, struct buf *out)
{
    struct maker m = { .w = w, .out = out };

    prng_init(&m.prng, w->seed);
    buf_str(out, "{\"version\":1,\"name\":\"small\",\"clusters\":[");
    for (uint32_t c = 0; c < w->clusters; c++)
        make_cluster(w, c, out);
    buf_str(out, "],\"nodes\":[");
    for (uint32_t i = 0; i < w->clusters * w->nodes; i++)
        buf_printf(
            out,
            "%s{\"id\":\"n%02u-%02u\",\"cluster\":\"c%02u\",\"model\":\"model-%u\",\"firmware\":\"1.%u\","
            "\"memory_mib\":%llu,\"host_reserve_mib\":0,\"build\":\"26100.4061\"}",
            i == 0 ? "" : ",", i / w->nodes, i % w->nodes, i / w->nodes, i % 3, i % 2,
            (unsigned long long)node_mib_of(w, i % w->nodes));
    buf_str(out, "],\"vms\":[");
    for (uint32_t c = 0; c < w->clusters; c++)
        for (uint32_t n = 0; n < w->nodes; n++)
            make_vms(&m, c, n, node_mib_of(w, n));
    buf_str(out, "]}");
}

static struct json_doc *doc_of(const char *name, const char *text)
{
    struct json_doc *doc;
    struct err err;

    if (json_parse(name, text, strlen(text), &doc, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return doc;
}

struct inventory *inventory_of(const char *text)
{
    struct json_doc *doc = doc_of("inventory", text);
    struct inventory *inv;
    struct err err;

    if (inventory_read(doc, &inv, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    json_free(doc);
    return inv;
}

struct rollout *rollout_of(const char *text)
{
    struct json_doc *doc = doc_of("rollout", text);
    struct rollout *r;
    struct err err;

    if (rollout_read(doc, &r, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    json_free(doc);
    return r;
}

struct inventory *small_fleet(const struct fleet_words *w)
{
    struct buf text = BUF_INIT;
    struct inventory *inv;

    small_fleet_json(w, &text);
    inv = inventory_of(buf_text(&text));
    buf_clear(&text);
    return inv;
}

struct rollout *small_rollout(const char *waves, const char *more)
{
    struct buf text = BUF_INIT;
    struct rollout *r;

    buf_printf(&text,
               "{\"version\":1,\"name\":\"small\",\"patch\":{\"kb\":\"KB5061977\",\"file\":\"kb5061977.msu\","
               "\"sha256\":"
               "\"%064d\",\"size_bytes\":1000,\"target\":\"26100.4066\"},\"gates\":[],\"waves\":%s%s}",
               0, waves, more);
    r = rollout_of(buf_text(&text));
    buf_clear(&text);
    return r;
}
