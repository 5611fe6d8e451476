#include "orchestrator/io/rollout_load.h"

#include "orchestrator/core/rollout_names.h"
#include "orchestrator/io/json_splice.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/io/zone_time.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEEKLY_DAYS 35
#define INCLUDES_MAX 16
#define INCLUDE_BYTES_MAX (1u << 20)

struct load {
    struct store *s;
    const char *path;
    const struct json_doc *doc;
    const json *root;
    time_ms now;
    struct err *err;
    struct buf text; /* the file as it is by now */
    bool forbids;    /* the spans being read are freezes */
};

typedef void splice_fn(struct buf *out, const char *text, size_t len, const char *key, const char *value);

static int splice(struct load *l, splice_fn *fn, const char *key, const struct buf *value)
{
    struct buf out = BUF_INIT;

    fn(&out, buf_text(&l->text), l->text.len, key, buf_text(value));
    if (out.failed || value->failed) {
        buf_clear(&out);
        return err_set(l->err, ERR_NOMEM, "read rollout");
    }
    buf_clear(&l->text);
    l->text = out;
    return 0;
}

/* --- patch --- */

/* Where the files lie here is no part of a plan. */
static int forget_paths(struct patch *p, struct arena *a, struct err *err)
{
    struct checkpoint *bare = ARENA_ARRAY(a, struct checkpoint, p->n_checkpoints + 1u);

    if (bare == NULL)
        return err_set(err, ERR_NOMEM, "patch %s", p->kb);
    for (uint32_t i = 0; i < p->n_checkpoints; i++) {
        bare[i] = p->checkpoints[i];
        bare[i].path = NULL;
    }
    p->checkpoints = bare;
    return 0;
}

static int resolve_patch(struct load *l)
{
    const json *v = json_get(l->root, "patch");
    struct arena a = ARENA_INIT;
    struct buf value = BUF_INIT;
    struct json_writer w;
    const char *path = NULL;
    struct patch p;
    char build[32];
    int rc;

    if (json_is_object(v) && json_count(v) == 1)
        v = json_get(v, "kb");
    if (!json_is_string(v))
        return 0;
    rc = store_find_patch(l->s, json_str(v, ""), &a, &p, &path, l->err);
    if (rc == ERR_NOT_FOUND && l->err != NULL) {
        struct err why = *l->err;

        json_fault(l->doc, v, l->err, "%s", why.text);
        l->err->code = ERR_NOT_FOUND;
    }
    if (rc == 0)
        rc = forget_paths(&p, &a, l->err);
    if (rc == 0) {
        jw_init(&w, &value);
        jw_object(&w, NULL);
        jw_str(&w, "kb", p.kb);
        jw_str(&w, "file", p.file);
        jw_str(&w, "sha256", p.sha256);
        jw_int(&w, "size_bytes", (int64_t)p.size_bytes);
        jw_str(&w, "target", build_text(p.target, build));
        jw_str(&w, "reboot", reboot_policy_names[p.reboot]);
        jw_str(&w, "tool", p.tool);
        rollout_write_checkpoints(&w, &p);
        jw_object_end(&w);
        rc = splice(l, json_splice_last, "patch", &value); /* no fault is in it, but may be beside it */
    }
    buf_clear(&value);
    arena_clear(&a);
    return rc;
}

/* --- policy includes --- */

static int read_text(const char *path, struct buf *out, struct err *err)
{
    FILE *f = fopen(path, "rb");
    char block[8192];
    size_t n;

    if (f == NULL)
        return err_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    while ((n = fread(block, 1, sizeof block, f)) > 0 && out->len <= INCLUDE_BYTES_MAX)
        buf_add(out, block, n);
    fclose(f);
    if (out->len > INCLUDE_BYTES_MAX)
        return err_set(err, ERR_INVALID, "%s is too large for a policy", path);
    return out->failed ? err_set(err, ERR_NOMEM, "%s", path) : 0;
}

static int read_include(struct load *l, const json *name, struct json_doc **ret_doc)
{
    const char *slash = strrchr(l->path, '/'), *file = json_str(name, NULL);
    struct buf path = BUF_INIT, text = BUF_INIT;
    int rc = 0;

    if (file == NULL)
        return json_fault(l->doc, name, l->err, "an include must be a file's name");
    if (file[0] != '/' && slash != NULL)
        buf_add(&path, l->path, (size_t)(slash - l->path) + 1);
    buf_str(&path, file);
    if (read_text(buf_text(&path), &text, l->err) != 0) {
        struct err why = *l->err;

        rc = json_fault(l->doc, name, l->err, "%s", why.text);
    }
    if (rc == 0)
        rc = json_parse(buf_text(&path), buf_text(&text), text.len, ret_doc, l->err);
    if (rc == 0 && !json_is_object(json_root(*ret_doc)))
        rc = json_fault(*ret_doc, json_root(*ret_doc), l->err, "a policy file must be an object");
    buf_clear(&path);
    buf_clear(&text);
    return rc;
}

/* Members of `from` that no stronger source has. */
static void add_members(struct json_writer *w, const json *from, const json *const *stronger, uint32_t n)
{
    for (const json *m = json_first(from); m != NULL; m = json_next(m)) {
        bool hidden = strcmp(json_key(m), "include") == 0;

        for (uint32_t i = 0; i < n && !hidden; i++)
            hidden = json_get(stronger[i], json_key(m)) != NULL;
        if (!hidden)
            jw_value(w, json_key(m), m);
    }
}

static int merge_policy(struct load *l, const json *policy, struct json_doc *const *docs, uint32_t n)
{
    const json *sources[INCLUDES_MAX + 1];
    struct buf value = BUF_INIT;
    struct json_writer w;
    int rc;

    sources[0] = policy; /* the strongest first: the file's own, then the last include */
    for (uint32_t i = 0; i < n; i++)
        sources[i + 1] = json_root(docs[n - 1 - i]);
    jw_init(&w, &value);
    jw_object(&w, NULL);
    for (uint32_t i = 0; i <= n; i++)
        add_members(&w, sources[i], sources, i);
    jw_object_end(&w);
    rc = splice(l, json_splice, "policy", &value);
    buf_clear(&value);
    return rc;
}

static int resolve_policy(struct load *l)
{
    const json *policy = json_get(l->root, "policy"), *include = json_get(policy, "include");
    struct json_doc *docs[INCLUDES_MAX] = { NULL };
    uint32_t n = 0;
    int rc = 0;

    if (!json_is_object(policy) || include == NULL)
        return 0;
    if (!json_is_array(include) || json_count(include) > INCLUDES_MAX)
        return json_fault(l->doc, include, l->err, "must be a list of at most %d files", INCLUDES_MAX);
    for (const json *v = json_first(include); rc == 0 && v != NULL; v = json_next(v))
        rc = read_include(l, v, &docs[n++]);
    if (rc == 0)
        rc = merge_policy(l, policy, docs, n);
    for (uint32_t i = 0; i < n; i++)
        json_free(docs[i]);
    return rc;
}

/* --- windows and freezes --- */

static const char *const day_names[7] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" };

static void put_span(struct json_writer *w, time_ms from, time_ms to)
{
    char text[TIME_TEXT_MAX];

    jw_object(w, NULL);
    jw_str(w, "from", time_text(from, text));
    jw_str(w, "to", time_text(to, text));
    jw_object_end(w);
}

/* `text` has the form of `form`, in which 0 stands for any digit. */
static bool has_form(const char *text, const char *form)
{
    for (; *form != '\0'; form++, text++)
        if (*form == '0' ? *text < '0' || *text > '9' : *text != *form)
            return false;
    return *text == '\0';
}

static int number_at(const char *text, int n)
{
    int v = 0;

    for (int i = 0; i < n; i++)
        v = v * 10 + (text[i] - '0');
    return v;
}

/* A day may end at 24:00, none begins there. */
static bool read_clock(const char *text, bool is_end, int *hour, int *minute)
{
    if (text == NULL || !has_form(text, "00:00"))
        return false;
    *hour = number_at(text, 2);
    *minute = number_at(text + 3, 2);
    return *minute < 60 && (*hour < 24 || (is_end && *hour == 24 && *minute == 0));
}

/* The calendar is the one of times.h: it knows the days of each month. */
static bool read_civil(const char *text, bool is_end, struct civil *c)
{
    char midnight[32];
    time_ms ignored;

    if (text == NULL || !has_form(text, "0000-00-00T00:00") ||
        !read_clock(text + 11, is_end, &c->hour, &c->minute))
        return false;
    snprintf(midnight, sizeof midnight, "%.10sT00:00Z", text);
    c->year = number_at(text, 4);
    c->month = number_at(text + 5, 2);
    c->day = number_at(text + 8, 2);
    return time_parse(midnight, &ignored, NULL) == 0;
}

/* Where the clocks show a time twice, a window is the shorter span and a freeze the longer one:
 * work is allowed only where no reading forbids it. */
static int zoned_span(struct load *l, const char *zone, struct civil from, struct civil to, time_ms *ret_from,
                      time_ms *ret_to)
{
    struct zone_moments begin, end;

    if (zone_to_utc(zone, from, &begin, l->err) != 0 || zone_to_utc(zone, to, &end, l->err) != 0)
        return ERR_INVALID;
    *ret_from = l->forbids ? begin.first : begin.last;
    *ret_to = l->forbids ? end.last : end.first;
    return 0;
}

static int local_span(struct load *l, const json *v, const char *zone, struct json_writer *w)
{
    struct civil from, to;
    time_ms from_at, to_at;

    if (!read_civil(json_get_str(v, "from", NULL), false, &from) ||
        !read_civil(json_get_str(v, "to", NULL), true, &to))
        return json_fault(l->doc, v, l->err, "with a zone, from and to must look like \"2026-11-23T22:00\"");
    if (zoned_span(l, zone, from, to, &from_at, &to_at) != 0)
        return ERR_INVALID;
    if (to_at <= from_at)
        return json_fault(l->doc, v, l->err, "must end after it begins");
    put_span(w, from_at, to_at);
    return 0;
}

static int read_days(struct load *l, const json *days, bool on[7])
{
    for (const json *d = json_first(days); d != NULL; d = json_next(d)) {
        int found = -1;

        for (int i = 0; i < 7; i++)
            if (strcmp(day_names[i], json_str(d, "")) == 0)
                found = i;
        if (found < 0)
            return json_fault(l->doc, d, l->err, "a day is one of mon tue wed thu fri sat sun");
        on[found] = true;
    }
    return 0;
}

static int weekly_spans(struct load *l, const json *v, const char *zone, struct json_writer *w)
{
    bool on[7] = { false };
    struct civil from, to, today;
    int rc = read_days(l, json_get(v, "days"), on);

    if (rc == 0)
        rc = zone_from_utc(zone, l->now, &today, l->err);
    if (rc != 0)
        return rc;
    /* From yesterday on: its window may still be open. */
    for (int i = -1; i < WEEKLY_DAYS; i++) {
        time_ms from_at, to_at;

        from = to = today;
        if (!read_clock(json_get_str(v, "from", NULL), false, &from.hour, &from.minute) ||
            !read_clock(json_get_str(v, "to", NULL), true, &to.hour, &to.minute))
            return json_fault(l->doc, v, l->err, "with days, from and to must look like \"22:00\"");
        if (!on[(today.weekday + i + 7) % 7])
            continue;
        from.day += i;
        to.day += i + (to.hour * 60 + to.minute <= from.hour * 60 + from.minute ? 1 : 0);
        if (zoned_span(l, zone, from, to, &from_at, &to_at) != 0)
            return ERR_INVALID;
        if (to_at > from_at)
            put_span(w, from_at, to_at);
    }
    return 0;
}

static int resolve_span(struct load *l, const json *v, struct json_writer *w)
{
    static const char *const known[] = { "zone", "days", "from", "to", NULL };
    const json *zone = json_get(v, "zone");
    int rc = json_want_known(l->doc, v, known, l->err);

    if (rc != 0)
        return rc;
    if (zone == NULL && json_get(v, "days") == NULL) {
        jw_value(w, NULL, v);
        return 0;
    }
    if (!json_is_string(zone))
        return json_fault(l->doc, v, l->err, "must name its zone, such as \"Europe/Berlin\"");
    rc = json_get(v, "days") != NULL ? weekly_spans(l, v, json_str(zone, ""), w)
                                     : local_span(l, v, json_str(zone, ""), w);
    if (rc != 0 && l->err != NULL && strncmp(l->err->text, "time zone", 9) == 0) {
        struct err why = *l->err;

        rc = json_fault(l->doc, zone, l->err, "%s", why.text);
    }
    return rc;
}

static int resolve_spans(struct load *l, const char *key)
{
    const json *list = json_get(l->root, key);
    struct buf value = BUF_INIT;
    struct json_writer w;
    bool zoned = false;
    int rc = 0;

    for (const json *v = json_first(list); v != NULL; v = json_next(v))
        zoned = zoned || json_get(v, "zone") != NULL || json_get(v, "days") != NULL;
    if (!json_is_array(list) || !zoned)
        return 0;
    l->forbids = strcmp(key, "freezes") == 0;
    jw_init(&w, &value);
    jw_array(&w, NULL);
    for (const json *v = json_first(list); rc == 0 && v != NULL; v = json_next(v))
        rc = json_is_object(v) ? resolve_span(l, v, &w) : json_fault(l->doc, v, l->err, "must be an object");
    if (rc == 0) {
        jw_array_end(&w);
        rc = splice(l, json_splice, key, &value);
    }
    buf_clear(&value);
    return rc;
}

/* --- consents of the store --- */

static bool has_consent(const json *list, const char *vm)
{
    for (const json *v = json_first(list); v != NULL; v = json_next(v))
        if (strcmp(json_get_str(v, "vm", ""), vm) == 0)
            return true;
    return false;
}

static void put_consent(struct json_writer *w, const struct rows *r, uint32_t i)
{
    char text[TIME_TEXT_MAX];

    jw_object(w, NULL);
    jw_str(w, "vm", rows_text(r, i, 0));
    jw_str(w, "person", rows_text(r, i, 1));
    jw_str(w, "ticket", rows_text(r, i, 2));
    jw_str(w, "method", rows_text(r, i, 3));
    jw_bool(w, "checkpoint", rows_int(r, i, 4) != 0);
    jw_str(w, "expires", time_text(rows_int(r, i, 5), text));
    jw_object_end(w);
}

static int resolve_consents(struct load *l)
{
    const json *list = json_get(l->root, "consents");
    struct buf value = BUF_INIT;
    struct rows r = { 0 };
    struct json_writer w;
    int rc;

    if (list != NULL && !json_is_array(list))
        return 0; /* the reader names the fault */
    rc = store_ask(
        l->s, &r, l->err,
        "SELECT vm, person, ticket, method, checkpoint, expires FROM consents WHERE expires > ? ORDER BY vm",
        "i", l->now);
    if (rc == 0 && r.n > 0) {
        jw_init(&w, &value);
        jw_array(&w, NULL);
        for (const json *v = json_first(list); v != NULL; v = json_next(v))
            jw_value(&w, NULL, v);
        for (uint32_t i = 0; i < r.n; i++)
            if (!has_consent(list, rows_text(&r, i, 0)))
                put_consent(&w, &r, i);
        jw_array_end(&w);
        rc = splice(l, json_splice, "consents", &value);
    }
    rows_clear(&r);
    buf_clear(&value);
    return rc;
}

static int resolve(struct load *l)
{
    int rc = resolve_patch(l);

    if (rc == 0)
        rc = resolve_policy(l);
    if (rc == 0)
        rc = resolve_spans(l, "windows");
    if (rc == 0)
        rc = resolve_spans(l, "freezes");
    if (rc == 0)
        rc = resolve_consents(l);
    return rc;
}

int rollout_load(struct store *s, const char *path, const char *text, size_t len, time_ms now,
                 struct rollout **ret_rollout, struct err *err)
{
    struct load l = { .s = s, .path = path, .now = now, .err = err };
    struct json_doc *doc = NULL, *resolved = NULL;
    struct err own;
    int rc;

    if (l.err == NULL)
        l.err = err = &own;
    rc = json_parse(path, text, len, &doc, err);
    if (rc != 0)
        return rc;
    l.doc = doc;
    l.root = json_root(doc);
    buf_add(&l.text, text, len);
    if (!json_is_object(l.root))
        rc = json_fault(doc, l.root, err, "a rollout must be an object");
    if (rc == 0)
        rc = resolve(&l);
    if (rc == 0)
        rc = json_parse(path, buf_text(&l.text), l.text.len, &resolved, err);
    if (rc == 0)
        rc = rollout_read(resolved, ret_rollout, err);
    json_free(resolved);
    json_free(doc);
    buf_clear(&l.text);
    return rc;
}
