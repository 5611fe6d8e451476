/* driver.json: which actions a driver has, and how each is started. */
#include "agent/core/driver_proto.h"

#include <string.h>

static int read_argv(struct driver_manifest *m, const struct json_doc *d, const json *row,
                     struct driver_manifest_action *a, struct err *err)
{
    const json *argv = NULL;
    int rc = json_want_array(d, row, "argv", JSON_REQUIRED, &argv, err);

    if (rc != 0)
        return rc;
    if (json_count(argv) == 0)
        return json_fault(d, argv, err, "`argv` must name a program");
    a->argv = ARENA_ARRAY(&m->arena, const char *, json_count(argv) + 1);
    if (a->argv == NULL)
        return err_set(err, ERR_NOMEM, "driver.json");
    for (const json *v = json_first(argv); v != NULL; v = json_next(v)) {
        if (!json_is_string(v))
            return json_fault(d, v, err, "`argv` holds strings");
        a->argv[a->n_argv] = arena_str(&m->arena, json_str(v, ""));
        if (a->argv[a->n_argv++] == NULL)
            return err_set(err, ERR_NOMEM, "driver.json");
    }
    return 0;
}

static int read_action(struct driver_manifest *m, const struct json_doc *d, const json *row,
                       struct driver_manifest_action *a, struct err *err)
{
    static const char *const known[] = { "argv", "limit_ms", "on_deadline", "resident", NULL };
    const char *deadline = "kill";
    int rc;

    if (!json_is_object(row))
        return json_fault(d, row, err, "an action must be an object");
    a->name = arena_str(&m->arena, json_key(row));
    rc = json_want_known(d, row, known, err);
    if (rc == 0)
        rc = json_want_int(d, row, "limit_ms", JSON_REQUIRED, 1, 7 * DAY_MS, &a->limit_ms, err);
    if (rc == 0)
        rc = json_want_str(d, row, "on_deadline", JSON_OPTIONAL, &deadline, err);
    if (rc == 0)
        rc = json_want_bool(d, row, "resident", JSON_OPTIONAL, &a->resident, err);
    if (rc == 0)
        rc = read_argv(m, d, row, a, err);
    if (rc != 0)
        return rc;
    a->leave = strcmp(deadline, "leave") == 0;
    if (!a->leave && strcmp(deadline, "kill") != 0)
        return json_fault(d, row, err, "`on_deadline` is `kill` or `leave`");
    return a->name == NULL ? err_set(err, ERR_NOMEM, "driver.json") : 0;
}

static int read_actions(struct driver_manifest *m, const struct json_doc *d, const json *rows,
                        struct err *err)
{
    int rc = 0;

    m->actions = ARENA_ARRAY(&m->arena, struct driver_manifest_action, json_count(rows));
    if (m->actions == NULL)
        return err_set(err, ERR_NOMEM, "driver.json");
    for (const json *row = json_first(rows); rc == 0 && row != NULL; row = json_next(row))
        rc = read_action(m, d, row, &m->actions[m->n_actions++], err);
    if (rc == 0 && driver_manifest_find(m, "facts") == NULL)
        rc = json_fault(d, rows, err, "a driver must have `facts`: it tells machine and boot");
    return rc;
}

static int read_root(struct driver_manifest *m, const struct json_doc *d, struct err *err)
{
    static const char *const known[] = { "name", "version", "contract", "actions", NULL };
    const json *root = json_root(d), *rows = NULL;
    const char *name = NULL, *version = NULL;
    int64_t contract = 0;
    int rc;

    if (!json_is_object(root))
        return json_fault(d, root, err, "must be an object");
    rc = json_want_known(d, root, known, err);
    if (rc == 0)
        rc = json_want_int(d, root, "contract", JSON_REQUIRED, 0, INT64_MAX, &contract, err);
    if (rc == 0 && contract != DRIVER_CONTRACT)
        return err_set(err, ERR_VERSION, "the driver speaks contract %lld, this agent %d",
                       (long long)contract, DRIVER_CONTRACT);
    if (rc == 0)
        rc = json_want_str(d, root, "name", JSON_REQUIRED, &name, err);
    if (rc == 0)
        rc = json_want_str(d, root, "version", JSON_REQUIRED, &version, err);
    if (rc == 0)
        rc = json_want_object(d, root, "actions", JSON_REQUIRED, &rows, err);
    if (rc != 0)
        return rc;
    m->name = arena_str(&m->arena, name);
    m->version = arena_str(&m->arena, version);
    if (m->name == NULL || m->version == NULL)
        return err_set(err, ERR_NOMEM, "driver.json");
    return read_actions(m, d, rows, err);
}

int driver_manifest_read(const char *file, const char *text, size_t len, struct driver_manifest *ret,
                         struct err *err)
{
    struct json_doc *d = NULL;
    int rc = json_parse(file, text, len, &d, err);

    *ret = (struct driver_manifest){ 0 };
    if (rc != 0)
        return rc;
    rc = read_root(ret, d, err);
    json_free(d);
    if (rc != 0)
        driver_manifest_clear(ret);
    return rc;
}

void driver_manifest_clear(struct driver_manifest *m)
{
    arena_clear(&m->arena);
    *m = (struct driver_manifest){ 0 };
}

const struct driver_manifest_action *driver_manifest_find(const struct driver_manifest *m, const char *action)
{
    for (uint32_t i = 0; i < m->n_actions; i++)
        if (strcmp(m->actions[i].name, action) == 0)
            return &m->actions[i];
    return NULL;
}
