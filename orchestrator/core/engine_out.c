#include "orchestrator/core/engine_state.h"

#include "schema/utf8.h"

#include <string.h>

struct command *engine_command(struct engine *e, enum command_type type)
{
    static struct command spare; /* the step fails; nobody reads it */
    struct command *c = list_push(e->out);

    if (c == NULL) {
        e->nomem = true;
        memset(&spare, 0, sizeof spare);
        c = &spare;
    }
    c->type = type;
    c->decided = e->now;
    c->node = c->cluster = c->receiver = IX_NONE;
    return c;
}

const char *engine_keep(struct engine *e, const char *text)
{
    const char *copy = arena_str(&e->out->arena, text);

    if (copy == NULL)
        e->nomem = true;
    return copy == NULL ? "" : copy;
}

void engine_note(struct engine *e, enum note_kind kind, const char *rule, uint32_t node, const char *text)
{
    struct command *c = engine_command(e, CMD_NOTE);

    c->note = kind;
    c->rule = rule;
    c->node = node;
    c->text = engine_keep(e, text);
}

void engine_fill(char *out, size_t size, const char *text)
{
    size_t n = utf8_cut(text, size - 1);

    memmove(out, text, n);
    out[n] = '\0';
}

struct buf *engine_scratch(struct engine *e)
{
    e->scratch_at = (e->scratch_at + 1) % 4;
    buf_reset(&e->scratch[e->scratch_at]);
    return &e->scratch[e->scratch_at];
}

const char *engine_said(struct engine *e)
{
    struct buf *b = &e->scratch[e->scratch_at];

    e->nomem |= b->failed;
    return b->failed ? "" : buf_text(b);
}

void engine_timer(struct engine *e, struct timer *t, time_ms at)
{
    if (!timer_set(&e->timers, t, at))
        e->nomem = true;
}
