#include "orchestrator/io/store_load.h"

#include "orchestrator/core/rollout_names.h"
#include "orchestrator/io/fleet_clock.h"
#include "orchestrator/io/store_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The member `key` of a log entry, as a document of its own. */
static int load_member(struct store *s, int64_t seq, const char *key, struct json_doc **ret_doc,
                       struct err *err)
{
    struct rows r = { 0 };
    struct json_doc *record = NULL;
    struct buf text = BUF_INIT;
    int rc = store_ask(s, &r, err, "SELECT event FROM log WHERE seq = ?", "i", seq);

    if (rc == 0 && r.n != 1)
        rc = err_set(err, ERR_CORRUPT, "log entry %lld is missing", (long long)seq);
    if (rc == 0)
        rc = json_parse("log", rows_text(&r, 0, 0), strlen(rows_text(&r, 0, 0)), &record, err);
    if (rc == 0) {
        json_write(&text, json_get(json_root(record), key), false);
        rc = text.failed ? err_set(err, ERR_NOMEM, "%s", key)
                         : json_parse(key, buf_text(&text), text.len, ret_doc, err);
    }
    buf_clear(&text);
    json_free(record);
    rows_clear(&r);
    return rc;
}

int store_load_inventory(struct store *s, struct inventory **ret_inv, struct err *err)
{
    struct json_doc *doc = NULL;
    int64_t seq = 0;
    int rc = store_int(s, 0, &seq, err, "SELECT max(seq) FROM inventories", "");

    if (rc != 0)
        return rc;
    if (seq == 0)
        return err_set(err, ERR_NOT_FOUND,
                       "no inventory yet: `patchwave inventory import FILE` takes one in");
    rc = load_member(s, seq, "inventory", &doc, err);
    if (rc == 0)
        rc = inventory_read(doc, ret_inv, err);
    json_free(doc);
    return rc == 0 ? 0 : err_wrap(err, "inventory in the store");
}

time_ms store_fleet_now(struct store *s)
{
    struct fleet_clock clock = { .factor = 1 };
    struct inventory *inv = NULL;

    if (store_load_inventory(s, &inv, NULL) == 0)
        clock = fleet_clock_of(inv);
    inventory_free(inv);
    return fleet_now(&clock);
}

static int find_plan(struct store *s, const char *which, struct rows *r, struct err *err)
{
    if (which == NULL)
        return store_ask(s, r, err, "SELECT seq, hash FROM plans ORDER BY seq DESC LIMIT 1", "");
    if (strlen(which) >= 4 && strspn(which, "0123456789abcdef") == strlen(which))
        return store_ask(s, r, err, "SELECT seq, hash FROM plans WHERE substr(hash, 1, length(?1)) = ?1", "s",
                         which);
    return store_ask(s, r, err, "SELECT seq, hash FROM plans WHERE name = ? ORDER BY seq DESC LIMIT 1", "s",
                     which);
}

static int read_plan(struct json_doc *doc, const char *hash, struct plan **ret_plan, struct err *err)
{
    struct plan *p = NULL;
    int rc = plan_read(doc, &p, err);

    if (rc == ERR_INVALID && err != NULL) /* what this program wrote it can read */
        rc = (int)(err->code = ERR_CORRUPT);
    if (rc == 0 && strcmp(p->hash, hash) != 0) {
        plan_free(p);
        rc = err_set(err, ERR_CORRUPT, "it is not the plan that was stored");
    }
    if (rc == 0)
        *ret_plan = p;
    return rc == 0 ? 0 : err_wrap(err, "plan %.12s", hash);
}

int store_load_plan(struct store *s, const char *which, struct plan **ret_plan, struct err *err)
{
    struct rows r = { 0 };
    struct json_doc *doc = NULL;
    int rc = find_plan(s, which, &r, err);

    if (rc == 0 && r.n == 0)
        rc = which == NULL
                 ? err_set(err, ERR_NOT_FOUND, "no plan yet: `patchwave plan ROLLOUT` makes one")
                 : err_set(err, ERR_NOT_FOUND, "no plan \"%s\": `patchwave plan list` shows them", which);
    if (rc == 0 && r.n > 1)
        rc = err_set(err, ERR_INVALID, "%u plans begin with \"%s\": give more digits", (unsigned)r.n, which);
    if (rc == 0)
        rc = load_member(s, rows_int(&r, 0, 0), "plan", &doc, err);
    if (rc == 0)
        rc = read_plan(doc, rows_text(&r, 0, 1), ret_plan, err);
    json_free(doc);
    rows_clear(&r);
    return rc;
}

static int no_patch(struct store *s, const char *kb, struct err *err)
{
    struct rows r = { 0 };
    struct buf known = BUF_INIT;

    if (store_ask(s, &r, err, "SELECT kb FROM patches ORDER BY kb LIMIT 10", "") == 0) {
        for (uint32_t i = 0; i < r.n; i++)
            buf_printf(&known, "%s%s", i == 0 ? "" : ", ", rows_text(&r, i, 0));
    }
    err_set(err, ERR_NOT_FOUND,
            "unknown patch \"%s\" (known: %s): `patchwave patch add FILE --kb KB --target BUILD` adds one",
            kb, known.len == 0 ? "none" : buf_text(&known));
    rows_clear(&r);
    buf_clear(&known);
    return ERR_NOT_FOUND;
}

static int read_checkpoints(const json *record, struct arena *a, struct patch *p, struct err *err)
{
    const json *list = json_get(record, "checkpoints");
    uint32_t n = list == NULL ? 0 : json_count(list), i = 0;
    struct checkpoint *items = ARENA_ARRAY(a, struct checkpoint, n + 1u);

    if (items == NULL)
        return err_set(err, ERR_NOMEM, "patch %s", p->kb);
    for (const json *v = json_first(list); v != NULL && i < n; v = json_next(v), i++) {
        items[i] = (struct checkpoint){ .file = arena_str(a, json_get_str(v, "file", "")),
                                        .sha256 = arena_str(a, json_get_str(v, "sha256", "")),
                                        .path = arena_str(a, json_get_str(v, "path", "")),
                                        .size_bytes = (uint64_t)json_get_int(v, "size_bytes", 0) };
        if (!items[i].file || !items[i].sha256 || !items[i].path)
            return err_set(err, ERR_NOMEM, "patch %s", p->kb);
    }
    p->checkpoints = items;
    p->n_checkpoints = n;
    return 0;
}

/* The table has the target alone; its checkpoint packages stand in the newest record of this KB. */
static int find_checkpoints(struct store *s, const char *kb, struct arena *a, struct patch *p,
                            struct err *err)
{
    struct rows r = { 0 };
    bool found = false;
    int rc = store_ask(s, &r, err, "SELECT event FROM log WHERE kind = 'patch' ORDER BY seq DESC", "");

    for (uint32_t i = 0; rc == 0 && !found && i < r.n; i++) {
        struct json_doc *doc = NULL;
        const char *text = rows_text(&r, i, 0);

        rc = json_parse("record", text, strlen(text), &doc, err);
        found = rc == 0 && strcmp(json_get_str(json_root(doc), "kb", ""), kb) == 0;
        if (found)
            rc = read_checkpoints(json_root(doc), a, p, err);
        json_free(doc);
    }
    rows_clear(&r);
    return rc;
}

int store_find_patch(struct store *s, const char *kb, struct arena *a, struct patch *ret_patch,
                     const char **ret_path, struct err *err)
{
    struct rows r = { 0 };
    struct patch p = { 0 };
    int rc = store_ask(
        s, &r, err,
        "SELECT kb, file, sha256, size_bytes, target, reboot, tool, path FROM patches WHERE kb = ?", "s", kb);

    if (rc != 0)
        return rc;
    if (r.n == 0) {
        rows_clear(&r);
        return no_patch(s, kb, err);
    }
    p.kb = arena_str(a, rows_text(&r, 0, 0));
    p.file = arena_str(a, rows_text(&r, 0, 1));
    p.sha256 = arena_str(a, rows_text(&r, 0, 2));
    p.size_bytes = (uint64_t)rows_int(&r, 0, 3);
    rc = build_parse(rows_text(&r, 0, 4), &p.target, err);
    p.reboot = strcmp(rows_text(&r, 0, 5), reboot_policy_names[REBOOT_ALWAYS]) == 0 ? REBOOT_ALWAYS
                                                                                    : REBOOT_IF_REQUIRED;
    p.tool = arena_str(a, rows_text(&r, 0, 6));
    *ret_path = arena_str(a, rows_text(&r, 0, 7));
    if (rc == 0 && (!p.kb || !p.file || !p.sha256 || !p.tool || !*ret_path))
        rc = err_set(err, ERR_NOMEM, "patch %s", kb);
    rows_clear(&r);
    if (rc == 0)
        rc = find_checkpoints(s, kb, a, &p, err);
    if (rc == 0)
        *ret_patch = p;
    return rc;
}

int store_find_approval(struct store *s, const char *plan_hash, struct approval_found *ret_approval,
                        struct err *err)
{
    struct rows r = { 0 };
    int rc = store_ask(s, &r, err,
                       "SELECT person, ticket, at, expires FROM approvals WHERE plan = ? ORDER BY expires "
                       "DESC, seq DESC LIMIT 1",
                       "s", plan_hash);

    if (rc != 0)
        return rc;
    if (r.n == 0) {
        rc = err_set(err, ERR_NOT_FOUND,
                     "plan %.12s is not approved: `patchwave approve %.12s --ticket NUMBER`", plan_hash,
                     plan_hash);
    } else {
        snprintf(ret_approval->person, sizeof ret_approval->person, "%s", rows_text(&r, 0, 0));
        snprintf(ret_approval->ticket, sizeof ret_approval->ticket, "%s", rows_text(&r, 0, 1));
        ret_approval->at = rows_int(&r, 0, 2);
        ret_approval->expires = rows_int(&r, 0, 3);
    }
    rows_clear(&r);
    return rc;
}

int store_find_run(struct store *s, const char *which, struct run_found *ret_run, struct err *err)
{
    struct rows r = { 0 };
    int rc;

    if (which == NULL)
        rc = store_ask(s, &r, err,
                       "SELECT id, plan, state, stopped, revision FROM runs ORDER BY last_seq DESC LIMIT 1",
                       "");
    else
        rc = store_ask(
            s, &r, err,
            "SELECT id, plan, state, stopped, revision FROM runs WHERE substr(id, 1, length(?1)) = ?1", "s",
            which);
    if (rc != 0)
        return rc;
    if (r.n == 0)
        rc = which == NULL ? err_set(err, ERR_NOT_FOUND, "no run yet: `patchwave run PLAN` starts one")
                           : err_set(err, ERR_NOT_FOUND, "no run \"%s\"", which);
    else if (r.n > 1)
        rc = err_set(err, ERR_INVALID, "%u runs begin with \"%s\": give more of its name", (unsigned)r.n,
                     which);
    if (rc == 0) {
        snprintf(ret_run->id, sizeof ret_run->id, "%s", rows_text(&r, 0, 0));
        snprintf(ret_run->plan, sizeof ret_run->plan, "%s", rows_text(&r, 0, 1));
        snprintf(ret_run->state, sizeof ret_run->state, "%s", rows_text(&r, 0, 2));
        ret_run->stopped = !rows_null(&r, 0, 3);
        ret_run->revision = (uint32_t)rows_int(&r, 0, 4);
    }
    rows_clear(&r);
    return rc;
}

int store_find_hostkey(struct store *s, const char *node, struct arena *a, const char **ret_key,
                       struct err *err)
{
    struct rows r = { 0 };
    int rc = store_ask(s, &r, err, "SELECT key FROM hostkeys WHERE node = ?", "s", node);

    if (rc == 0 && r.n == 0)
        rc = err_set(err, ERR_NOT_FOUND, "node %s is not enrolled: `patchwave enroll %s`", node, node);
    if (rc == 0 && (*ret_key = arena_str(a, rows_text(&r, 0, 0))) == NULL)
        rc = err_set(err, ERR_NOMEM, "host key of %s", node);
    rows_clear(&r);
    return rc;
}
