#include "orchestrator/core/command.h"

static const char *const command_type_names[COMMAND_TYPES] = {
#define X(name, text) [CMD_##name] = text,
    COMMAND_MAP(X)
#undef X
};
static const char *const note_names[] = { "decision", "deviation", "warning", "gate" };

const char *command_type_name(enum command_type t)
{
    return command_type_names[t];
}

void command_list_reset(struct command_list *l)
{
    arena_clear(&l->arena);
    l->n = 0;
}

void command_list_clear(struct command_list *l)
{
    arena_clear(&l->arena);
    list_clear(l);
}

static void write_subject(struct json_writer *w, const struct command *c, const struct inventory *inv)
{
    if (c->node != IX_NONE)
        jw_str(w, "node", inv->nodes[c->node].id);
    if (c->cluster != IX_NONE)
        jw_str(w, "cluster", inv->clusters[c->cluster].id);
}

static void write_op_start(struct json_writer *w, const struct command *c, const struct inventory *inv)
{
    jw_str(w, "action", c->action);
    jw_raw(w, "args", c->args);
    if (c->precondition != NULL)
        jw_raw(w, "precondition", c->precondition);
    if (c->receiver != IX_NONE) {
        jw_str(w, "receiver", inv->nodes[c->receiver].id);
        jw_int(w, "memory_mib", (int64_t)c->memory_mib);
    }
}

static void write_observe(struct json_writer *w, const struct command *c)
{
    jw_int(w, "ask", (int64_t)c->ask);
    jw_str(w, "what", observe_name(c->what));
    jw_raw(w, "args", c->args);
}

static void write_note(struct json_writer *w, const struct command *c)
{
    jw_str(w, "note", note_names[c->note]);
    jw_str(w, "rule", c->rule);
    jw_str(w, "text", c->text);
}

static void write_command(struct json_writer *w, const struct command *c, const struct inventory *inv)
{
    jw_object(w, NULL);
    jw_str(w, "type", command_type_names[c->type]);
    write_subject(w, c, inv);
    if (c->op != NULL)
        jw_str(w, "op", c->op);
    if (c->type == CMD_OP_START)
        write_op_start(w, c, inv);
    if (c->type == CMD_OBSERVE)
        write_observe(w, c);
    if (c->type == CMD_NOTE)
        write_note(w, c);
    if (c->type == CMD_END)
        jw_str(w, "text", c->text);
    if (c->limit_ms != 0)
        jw_int(w, "limit_ms", c->limit_ms);
    if (c->journal)
        jw_bool(w, "journal", true);
    jw_object_end(w);
}

void command_write(struct buf *out, const struct command *c, const struct inventory *inv)
{
    struct json_writer w;

    jw_init(&w, out);
    write_command(&w, c, inv);
}

void commands_write(struct buf *out, const struct command_list *l, const struct inventory *inv)
{
    struct json_writer w;

    jw_init(&w, out);
    jw_array(&w, NULL);
    for (uint32_t i = 0; i < l->n; i++)
        write_command(&w, &l->items[i], inv);
    jw_array_end(&w);
}
