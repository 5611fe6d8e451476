#include "orchestrator/io/kill_point.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool starts(const struct command_list *commands, const char *action)
{
    for (uint32_t i = 0; i < commands->n; i++)
        if (commands->items[i].type == CMD_OP_START && strcmp(commands->items[i].action, action) == 0)
            return true;
    return false;
}

static bool leaves(const struct kill_point *k, const struct engine *engine, const char *phase)
{
    for (uint32_t i = 0; i < k->n_nodes; i++)
        if (strcmp(node_phases[engine_node(engine, i).phase].name, phase) == 0)
            return true;
    return false;
}

static bool is_meant(const struct kill_point *k, const struct event *ev, const struct command_list *commands,
                     const struct engine *engine)
{
    if (k->left == 0)
        return false;
    if (strncmp(k->what, "start/", 6) == 0)
        return starts(commands, k->what + 6);
    if (strncmp(k->what, "phase/", 6) == 0)
        return leaves(k, engine, k->what + 6);
    if (strncmp(k->what, "result/", 7) == 0)
        return ev->type == EV_OP_RESULT && ev->u.op_result.record.action != NULL &&
               strcmp(ev->u.op_result.record.action, k->what + 7) == 0;
    return strcmp(k->what, event_type_name(ev->type)) == 0;
}

static void pass(struct kill_point *k, const char *position)
{
    if (k->fits && strcmp(k->position, position) == 0)
        kill(getpid(), SIGKILL);
}

static int append(struct event_log *face, const struct event *ev, const struct command_list *commands,
                  const struct engine *engine, struct err *err)
{
    struct kill_point *k = (struct kill_point *)face;
    int rc;

    k->fits = is_meant(k, ev, commands, engine) && --k->left == 0;
    pass(k, "append_before");
    rc = k->inner->append(k->inner, ev, commands, engine, err);
    pass(k, "append_after");
    return rc;
}

static struct log_position position(const struct event_log *face)
{
    const struct kill_point *k = (const struct kill_point *)face;

    return k->inner->position(k->inner);
}

void kill_point_submitted(struct kill_point *k)
{
    pass(k, "submit_after");
    k->fits = false;
}

/* The part up to the next colon, or what is left. */
static const char *cut(const char *text, char *out, size_t out_max)
{
    size_t n = strcspn(text, ":");

    snprintf(out, out_max, "%.*s", (int)n, text);
    return text[n] == ':' ? text + n + 1 : "";
}

struct event_log *kill_point_wrap(struct kill_point *k, struct event_log *inner, const struct inventory *inv)
{
    const char *text = inv->lab ? getenv("PATCHWAVE_KILL_AT") : NULL;

    *k = (struct kill_point){ .face = { .append = append, .position = position },
                              .inner = inner,
                              .n_nodes = inv->n_nodes };
    if (text == NULL)
        return inner;
    text = cut(cut(text, k->position, sizeof k->position), k->what, sizeof k->what);
    k->left = text[0] == '\0' ? 1 : (unsigned)strtoul(text, NULL, 10);
    return &k->face;
}
