/* Commands as the log has them. Read by whoever cannot ask the engine that decided them. */
#include "orchestrator/core/command.h"
#include "orchestrator/core/event_names.h"
#include "orchestrator/core/fields.h"

#include <string.h>

static const char *const type_names[COMMAND_TYPES] = {
#define X(name, text) [CMD_##name] = text,
    COMMAND_MAP(X)
#undef X
};
static const char *const note_names[] = { "decision", "deviation", "warning", "gate" };

struct reader {
    struct fields f;
    const struct inventory *inv;
    const char *text;
};

static uint32_t read_node(struct reader *r, const json *v, const char *key)
{
    const char *id = fields_str(&r->f, v, key, JSON_OPTIONAL);
    uint32_t ix = id == NULL ? IX_NONE : inventory_node(r->inv, id);

    if (id != NULL && ix == IX_NONE)
        fields_fault(&r->f, json_get(v, key), "unknown node");
    return ix;
}

static uint32_t read_cluster(struct reader *r, const json *v)
{
    const char *id = fields_str(&r->f, v, "cluster", JSON_OPTIONAL);
    uint32_t ix = id == NULL ? IX_NONE : inventory_cluster(r->inv, id);

    if (id != NULL && ix == IX_NONE)
        fields_fault(&r->f, json_get(v, "cluster"), "unknown cluster");
    return ix;
}

/* An object's own text, canonical as it was written. */
static const char *read_raw(struct reader *r, const json *v, const char *key)
{
    const json *o = json_get(v, key);
    const char *at, *copy;
    size_t len;

    if (o == NULL || r->f.rc != 0)
        return NULL;
    if (!json_is_object(o)) {
        fields_fault(&r->f, o, "an object is wanted");
        return NULL;
    }
    at = json_raw(o, r->text, &len);
    copy = arena_strn(r->f.arena, at, len);
    if (copy == NULL)
        r->f.rc = err_set(r->f.err, ERR_NOMEM, "read commands");
    return copy;
}

static void read_command(struct reader *r, const json *v, struct command *c)
{
    struct fields *f = &r->f;

    c->type = (enum command_type)fields_enum(f, v, "type", JSON_REQUIRED, type_names, COMMAND_TYPES, 0);
    c->node = read_node(r, v, "node");
    c->cluster = read_cluster(r, v);
    c->receiver = read_node(r, v, "receiver");
    c->op = fields_str(f, v, "op", JSON_OPTIONAL);
    c->action = fields_str(f, v, "action", JSON_OPTIONAL);
    c->args = read_raw(r, v, "args");
    c->precondition = read_raw(r, v, "precondition");
    c->memory_mib = (uint64_t)fields_int(f, v, "memory_mib", JSON_OPTIONAL, 0, INT64_MAX, 0);
    c->limit_ms = fields_int(f, v, "limit_ms", JSON_OPTIONAL, 0, INT64_MAX, 0);
    c->journal = fields_bool(f, v, "journal", JSON_OPTIONAL, false);
    c->ask = (uint64_t)fields_int(f, v, "ask", JSON_OPTIONAL, 0, INT64_MAX, 0);
    if (c->type == CMD_OBSERVE)
        c->what =
            (enum observe_what)fields_enum(f, v, "what", JSON_REQUIRED, observe_names, OBSERVE_WHATS, 0);
    if (c->type == CMD_NOTE)
        c->note = (enum note_kind)fields_enum(f, v, "note", JSON_REQUIRED, FIELDS_NAMES(note_names), 0);
    c->rule = fields_str(f, v, "rule", JSON_OPTIONAL);
    c->text = fields_str(f, v, "text", JSON_OPTIONAL);
    if (f->rc == 0 && c->type == CMD_OP_START &&
        (c->node == IX_NONE || c->op == NULL || c->action == NULL || c->args == NULL))
        fields_fault(f, v, "an operation without its node, id, action or arguments");
}

int commands_read(const char *text, const struct inventory *inv, struct command_list *l, struct err *err)
{
    struct reader r = { .f = { .arena = &l->arena, .err = err }, .inv = inv, .text = text };
    struct json_doc *doc = NULL;
    int rc = json_parse("commands", text, strlen(text), &doc, err);

    if (rc != 0)
        return rc;
    r.f.doc = doc;
    if (!json_is_array(json_root(doc)))
        fields_fault(&r.f, json_root(doc), "commands are a list");
    for (const json *v = json_first(json_root(doc)); v != NULL && r.f.rc == 0; v = json_next(v)) {
        struct command *c = list_push(l);

        if (c == NULL)
            r.f.rc = err_set(err, ERR_NOMEM, "read commands");
        else
            read_command(&r, v, c);
    }
    json_free(doc);
    return r.f.rc;
}
