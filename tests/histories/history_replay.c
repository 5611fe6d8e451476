/* history_replay: decides a recorded history anew (standard input) and compares every command. Prints one line. Exit code
 * 0: the same; 1: not the same, with the first difference; 3: of another engine revision, which this engine refuses. */
#include "orchestrator/core/runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAME = 0, DIFFERENT = 1, OTHER_REVISION = 3 };

struct history {
    struct plan *plan;
    struct engine *engine;
    struct runner runner;
    struct event_pictures pictures;
    uint32_t entries;
};

/* The next line without its newline, or NULL. */
static const char *next_line(struct buf *b)
{
    int c;

    buf_reset(b);
    while ((c = getchar()) != EOF && c != '\n')
        buf_char(b, (char)c);
    if (b->failed)
        abort();
    return c == EOF && b->len == 0 ? NULL : buf_text(b);
}

static int begin(struct history *h, const char *text, struct err *err)
{
    struct json_doc *doc = NULL;
    int rc = json_parse("plan", text, strlen(text), &doc, err);

    if (rc == 0)
        rc = plan_read(doc, &h->plan, err);
    json_free(doc);
    if (rc == 0)
        rc = engine_new(h->plan, &h->engine, err);
    if (rc == 0)
        runner_init(&h->runner, h->engine, NULL, NULL);
    return rc;
}

/* The revision that an event starts a controller with; or 0. */
static uint32_t revision_of(const struct event *ev)
{
    if (ev->type == EV_RUN_START)
        return ev->u.run_start.revision;
    return ev->type == EV_CONTROLLER_START ? ev->u.controller_start.revision : 0;
}

static int replay_entry(struct history *h, const char *event, const char *commands, struct err *err)
{
    struct arena a = ARENA_INIT;
    struct event ev;
    uint32_t revision;
    int rc = event_read(event, strlen(event), h->plan->inv, &h->pictures, &a, &ev, err);

    if (rc != 0) {
        arena_clear(&a);
        return DIFFERENT;
    }
    revision = revision_of(&ev);
    rc = runner_replay(&h->runner, &ev, commands, err);
    arena_clear(&a);
    if (rc != 0)
        return revision != 0 && revision != ENGINE_REVISION && rc != ERR_DIVERGED ? OTHER_REVISION
                                                                                  : DIFFERENT;
    h->entries++;
    return SAME;
}

static int replay(struct history *h, struct err *err)
{
    struct buf event = BUF_INIT, commands = BUF_INIT;
    int verdict = SAME;

    while (verdict == SAME && next_line(&event) != NULL) {
        if (next_line(&commands) == NULL) {
            err_set(err, ERR_CORRUPT, "the last event has no commands");
            verdict = DIFFERENT;
        } else {
            verdict = replay_entry(h, buf_text(&event), buf_text(&commands), err);
        }
    }
    if (verdict == SAME && h->entries == 0) {
        err_set(err, ERR_CORRUPT, "an empty history");
        verdict = DIFFERENT;
    }
    buf_clear(&event);
    buf_clear(&commands);
    return verdict;
}

int main(void)
{
    struct history h = { 0 };
    struct buf plan = BUF_INIT;
    struct err err = { 0 };
    const char *text = next_line(&plan);
    int verdict = text == NULL || begin(&h, text, &err) != 0 ? DIFFERENT : replay(&h, &err);

    if (verdict == SAME)
        printf("%u entries, %s\n", (unsigned)h.entries, run_states[engine_run(h.engine).state].name);
    else
        printf("entry %u: %s\n", (unsigned)h.entries + 1, err.text);
    event_pictures_clear(&h.pictures);
    if (h.engine != NULL)
        runner_clear(&h.runner);
    engine_free(h.engine);
    plan_free(h.plan);
    buf_clear(&plan);
    return verdict;
}
