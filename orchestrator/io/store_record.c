#include "orchestrator/io/store_record.h"

#include "orchestrator/core/inventory_names.h"
#include "orchestrator/core/rollout_names.h"
#include "orchestrator/io/store_impl.h"

#include <string.h>

/* --- writing: the text, the log row, the projections, one transaction --- */

static int put(struct store *s, const char *kind, time_ms at, struct buf *text, struct err *err)
{
    struct log_position pos;
    int rc;

    if (text->failed)
        return err_set(err, ERR_NOMEM, "record %s", kind);
    rc = store_begin(s, err);
    if (rc == 0)
        rc = store_append(s, NULL, at, kind, buf_text(text), "[]", &pos, err);
    if (rc == 0)
        rc = store_project_record(s, pos.seq, kind, buf_text(text), err);
    if (rc == 0)
        rc = store_commit(s, err);
    if (rc != 0) {
        store_rollback(s);
        return err_wrap(err, "record %s", kind);
    }
    s->head = pos;
    return 0;
}

static void begin_record(struct json_writer *w, struct buf *text, const char *kind, const char *person,
                         time_ms at)
{
    jw_init(w, text);
    jw_object(w, NULL);
    jw_str(w, "record", kind);
    jw_str(w, "person", person);
    jw_int(w, "at_ms", at);
}

static int end_record(struct store *s, struct json_writer *w, const char *kind, time_ms at, struct err *err)
{
    int rc;

    jw_object_end(w);
    rc = put(s, kind, at, w->out, err);
    buf_clear(w->out);
    return rc;
}

int store_put_inventory(struct store *s, const struct inventory *inv, const char *file, const char *sha256,
                        struct record_by by, struct err *err)
{
    struct buf text = BUF_INIT;
    struct json_writer w;

    begin_record(&w, &text, "inventory", by.person, by.at);
    jw_str(&w, "file", file);
    jw_str(&w, "sha256", sha256);
    inventory_write(&w, "inventory", inv);
    return end_record(s, &w, "inventory", by.at, err);
}

int store_put_patch(struct store *s, const struct patch *p, const char *path, struct record_by by,
                    struct err *err)
{
    struct buf text = BUF_INIT;
    struct json_writer w;
    char build[32];

    begin_record(&w, &text, "patch", by.person, by.at);
    jw_str(&w, "kb", p->kb);
    jw_str(&w, "file", p->file);
    jw_str(&w, "path", path);
    jw_str(&w, "sha256", p->sha256);
    jw_int(&w, "size_bytes", (int64_t)p->size_bytes);
    jw_str(&w, "target", build_text(p->target, build));
    jw_str(&w, "reboot", reboot_policy_names[p->reboot]);
    jw_str(&w, "tool", p->tool);
    rollout_write_checkpoints(&w, p);
    return end_record(s, &w, "patch", by.at, err);
}

int store_put_consent(struct store *s, const struct consent *c, time_ms at, struct err *err)
{
    struct buf text = BUF_INIT;
    struct json_writer w;

    begin_record(&w, &text, "consent", c->person, at);
    jw_str(&w, "vm", c->vm);
    jw_str(&w, "ticket", c->ticket);
    jw_str(&w, "method", park_method_names[c->method]);
    jw_bool(&w, "checkpoint", c->checkpoint);
    jw_int(&w, "expires_ms", c->expires);
    return end_record(s, &w, "consent", at, err);
}

int store_put_plan(struct store *s, const struct plan *p, struct err *err)
{
    struct buf text = BUF_INIT, plan = BUF_INIT;
    struct json_writer w;
    int rc;

    plan_write(&plan, p, false);
    begin_record(&w, &text, "plan", p->planner, p->made_at);
    jw_str(&w, "hash", p->hash);
    if (!plan.failed)
        jw_raw(&w, "plan", buf_text(&plan));
    text.failed |= plan.failed;
    rc = end_record(s, &w, "plan", p->made_at, err);
    buf_clear(&plan);
    return rc;
}

int store_put_approval(struct store *s, const struct approval *a, struct err *err)
{
    struct buf text = BUF_INIT;
    struct json_writer w;

    begin_record(&w, &text, "approval", a->person, a->at);
    jw_str(&w, "plan", a->plan);
    jw_str(&w, "ticket", a->ticket);
    jw_int(&w, "expires_ms", a->expires);
    return end_record(s, &w, "approval", a->at, err);
}

int store_put_export(struct store *s, const struct export_made *e, struct record_by by, struct err *err)
{
    struct buf text = BUF_INIT;
    struct json_writer w;

    begin_record(&w, &text, "export", by.person, by.at);
    jw_str(&w, "node", e->node);
    jw_str(&w, "plan", e->plan);
    jw_str(&w, "ticket", e->ticket);
    jw_str(&w, "file", e->file);
    jw_str(&w, "slice_sha256", e->slice_sha256);
    jw_str(&w, "script_sha256", e->script_sha256);
    return end_record(s, &w, "export", by.at, err);
}

int store_put_hostkey(struct store *s, const char *node, const char *fingerprint, const char *key,
                      const char *replaced, struct record_by by, struct err *err)
{
    struct buf text = BUF_INIT;
    struct json_writer w;

    begin_record(&w, &text, "hostkey", by.person, by.at);
    jw_str(&w, "node", node);
    jw_str(&w, "fingerprint", fingerprint);
    jw_str(&w, "key", key);
    jw_str(&w, "replaced", replaced);
    return end_record(s, &w, "hostkey", by.at, err);
}

/* --- projections: from the text alone --- */

struct record {
    uint64_t seq;
    const json *root;
    const struct json_doc *doc;
    const char *person;
    time_ms at;
};

static const char *text_of(const struct record *r, const char *key)
{
    return json_get_str(r->root, key, "");
}

static int project_cluster(struct store *s, const struct cluster *c, struct err *err)
{
    return store_do(s, err,
                    "INSERT INTO clusters (id, name, storage, witness, reserve, max_out, "
                    "migrations_parallel, bandwidth_mib_s) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    "sssssiii", c->id, c->name, storage_kind_names[c->storage],
                    quorum_witness_names[c->witness], reserve_rung_names[c->reserve], (int64_t)c->max_out,
                    (int64_t)c->migrations_parallel, (int64_t)c->bandwidth_mib_s);
}

static int project_node(struct store *s, const struct inventory *inv, const struct node *n, struct err *err)
{
    char build[32];

    return store_do(s, err,
                    "INSERT INTO nodes (id, cluster, address, port, model, firmware, memory_mib, "
                    "host_reserve_mib, cpus, vote, "
                    "fault_domain, build, bmc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    "sssissiiiisss", n->id, inv->clusters[n->cluster].id, n->ssh.address,
                    (int64_t)n->ssh.port, n->model, n->firmware, (int64_t)n->memory_mib,
                    (int64_t)n->host_reserve_mib, (int64_t)n->cpus, (int64_t)n->vote, n->fault_domain,
                    build_text(n->build, build), n->bmc);
}

static int project_vm(struct store *s, const struct inventory *inv, const struct vm *v, struct err *err)
{
    return store_do(
        s, err,
        "INSERT INTO vms (id, name, cluster, node, assigned_mib, startup_mib, priority, clustered, sla) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "ssssiiiis", v->id, v->name, inv->clusters[v->cluster].id,
        v->home == IX_NONE ? NULL : inv->nodes[v->home].id, (int64_t)v->assigned_mib, (int64_t)v->startup_mib,
        (int64_t)v->priority, (int64_t)v->clustered, v->sla);
}

static int project_fleet(struct store *s, const struct inventory *inv, struct err *err)
{
    int rc = store_do(s, err, "DELETE FROM vms", "");

    if (rc == 0)
        rc = store_do(s, err, "DELETE FROM nodes", "");
    if (rc == 0)
        rc = store_do(s, err, "DELETE FROM clusters", "");
    for (uint32_t i = 0; rc == 0 && i < inv->n_clusters; i++)
        rc = project_cluster(s, &inv->clusters[i], err);
    for (uint32_t i = 0; rc == 0 && i < inv->n_nodes; i++)
        rc = project_node(s, inv, &inv->nodes[i], err);
    for (uint32_t i = 0; rc == 0 && i < inv->n_vms; i++)
        rc = project_vm(s, inv, &inv->vms[i], err);
    return rc;
}

static int project_inventory(struct store *s, const struct record *r, struct err *err)
{
    struct inventory *inv = NULL;
    int rc = inventory_read_value(r->doc, json_get(r->root, "inventory"), &inv, err);

    if (rc != 0)
        return rc;
    rc = store_do(s, err,
                  "INSERT INTO inventories (seq, name, file, sha256, person, at, lab, clock_factor, "
                  "clusters, nodes, vms) "
                  "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                  "issssiiiiii", (int64_t)r->seq, inv->name, text_of(r, "file"), text_of(r, "sha256"),
                  r->person, r->at, (int64_t)inv->lab, (int64_t)inv->clock_factor, (int64_t)inv->n_clusters,
                  (int64_t)inv->n_nodes, (int64_t)inv->n_vms);
    if (rc == 0)
        rc = project_fleet(s, inv, err);
    inventory_free(inv);
    return rc;
}

static int project_patch(struct store *s, const struct record *r, struct err *err)
{
    return store_do(s, err,
                    "INSERT OR REPLACE INTO patches (kb, file, path, sha256, size_bytes, target, reboot, "
                    "tool, person, at) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    "ssssissssi", text_of(r, "kb"), text_of(r, "file"), text_of(r, "path"),
                    text_of(r, "sha256"), json_get_int(r->root, "size_bytes", 0), text_of(r, "target"),
                    text_of(r, "reboot"), text_of(r, "tool"), r->person, r->at);
}

static int project_consent(struct store *s, const struct record *r, struct err *err)
{
    return store_do(s, err,
                    "INSERT OR REPLACE INTO consents (vm, person, ticket, method, checkpoint, expires, at) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    "ssssiii", text_of(r, "vm"), r->person, text_of(r, "ticket"), text_of(r, "method"),
                    (int64_t)json_get_bool(r->root, "checkpoint", false),
                    json_get_int(r->root, "expires_ms", 0), r->at);
}

static int read_plan(const struct json_doc *doc, const json *value, struct plan **ret_plan, struct err *err)
{
    struct buf text = BUF_INIT;
    struct json_doc *plan_doc = NULL;
    int rc;

    (void)doc;
    json_write(&text, value, false);
    rc = text.failed ? err_set(err, ERR_NOMEM, "read plan")
                     : json_parse("plan", buf_text(&text), text.len, &plan_doc, err);
    if (rc == 0)
        rc = plan_read(plan_doc, ret_plan, err);
    json_free(plan_doc);
    buf_clear(&text);
    return rc;
}

static int project_plan(struct store *s, const struct record *r, struct err *err)
{
    struct plan *p = NULL;
    int rc = read_plan(r->doc, json_get(r->root, "plan"), &p, err);

    if (rc != 0)
        return rc;
    rc = store_do(s, err,
                  "INSERT OR IGNORE INTO plans (hash, seq, name, kb, planner, made_at, waves, nodes, "
                  "refused, took_p50, took_p95) "
                  "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                  "sisssiiiiii", p->hash, (int64_t)r->seq, p->rollout->name, p->rollout->patch.kb, p->planner,
                  p->made_at, (int64_t)p->n_waves, (int64_t)p->n_nodes, (int64_t)p->n_refusals, p->took.p50,
                  p->took.p95);
    plan_free(p);
    return rc;
}

static int project_approval(struct store *s, const struct record *r, struct err *err)
{
    return store_do(
        s, err, "INSERT INTO approvals (seq, plan, person, ticket, at, expires) VALUES (?, ?, ?, ?, ?, ?)",
        "isssii", (int64_t)r->seq, text_of(r, "plan"), r->person, text_of(r, "ticket"), r->at,
        json_get_int(r->root, "expires_ms", 0));
}

static int project_hostkey(struct store *s, const struct record *r, struct err *err)
{
    return store_do(s, err,
                    "INSERT OR REPLACE INTO hostkeys (node, fingerprint, key, replaced, person, at) VALUES "
                    "(?, ?, ?, ?, ?, ?)",
                    "sssssi", text_of(r, "node"), text_of(r, "fingerprint"), text_of(r, "key"),
                    json_get_str(r->root, "replaced", NULL), r->person, r->at);
}

/* Nothing asks for exports but the log itself. */
static int project_export(struct store *s, const struct record *r, struct err *err)
{
    (void)s, (void)r, (void)err;
    return 0;
}

static const struct {
    const char *kind;
    int (*project)(struct store *s, const struct record *r, struct err *err);
} projections[] = {
    { "inventory", project_inventory }, { "patch", project_patch },       { "consent", project_consent },
    { "plan", project_plan },           { "approval", project_approval }, { "hostkey", project_hostkey },
    { "export", project_export },
};

int store_project_record(struct store *s, uint64_t seq, const char *kind, const char *text, struct err *err)
{
    struct json_doc *doc = NULL;
    struct record r = { .seq = seq };
    int rc = json_parse("record", text, strlen(text), &doc, err);

    if (rc != 0)
        return rc;
    r.doc = doc;
    r.root = json_root(doc);
    r.person = json_get_str(r.root, "person", "");
    r.at = json_get_int(r.root, "at_ms", 0);
    rc =
        err_set(err, ERR_CORRUPT, "log entry %llu has an unknown kind \"%s\"", (unsigned long long)seq, kind);
    for (size_t i = 0; i < sizeof projections / sizeof projections[0]; i++)
        if (strcmp(projections[i].kind, kind) == 0)
            rc = projections[i].project(s, &r, err);
    json_free(doc);
    return rc;
}
