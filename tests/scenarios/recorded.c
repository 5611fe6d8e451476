#include "tests/scenarios/recorded.h"

#include <string.h>

static void stand_alone(struct recorded *r, const struct event *ev, struct event *ret)
{
    struct buf text = BUF_INIT;

    event_write(&text, ev, r->s->plan->inv, NULL);
    check_ok(event_read(text.data, text.len, r->s->plan->inv, NULL, &r->texts, ret, &r->s->err), &r->s->err);
    buf_clear(&text);
}

void recorded_same(const struct recorded *r, const struct event *is, const struct event *want)
{
    struct buf a = BUF_INIT, b = BUF_INIT;

    event_write(&a, is, r->s->plan->inv, NULL);
    event_write(&b, want, r->s->plan->inv, NULL);
    assert_string_equal(buf_text(&a), buf_text(&b));
    buf_clear(&a);
    buf_clear(&b);
}

void recorded_make(struct scenario *s, struct recorded *r)
{
    struct event_pictures pictures = { 0 };

    memset(r, 0, sizeof *r);
    r->s = s;
    r->events = ARENA_ARRAY(&r->texts, struct event, s->kept.n);
    assert_non_null(r->events);
    for (uint32_t i = 0; i < s->kept.n; i++) {
        struct arena a = ARENA_INIT;
        struct event ev;

        check_ok(event_read(s->kept.items[i].event, strlen(s->kept.items[i].event), s->plan->inv, &pictures,
                            &a, &ev, &s->err),
                 &s->err);
        stand_alone(r, &ev, &r->events[i]);
        arena_clear(&a);
    }
    event_pictures_clear(&pictures);
    engine_hash(s->engine, r->hash);
}

static int decide(struct recorded *r, struct runner *runner)
{
    char hash[SHA256_TEXT];
    struct err err;

    for (uint32_t i = r->s->from; i < r->s->kept.n; i++) {
        int rc = runner_replay(runner, &r->events[i], r->s->kept.items[i].commands, &err);

        if (rc != 0 && rc != ERR_NOMEM)
            fail_msg("event %u: %s", i, err.text);
        if (rc != 0)
            return rc;
    }
    engine_hash(runner->engine, hash);
    assert_string_equal(hash, r->hash);
    return 0;
}

int recorded_decide(struct recorded *r)
{
    struct runner runner;
    struct engine *e;
    struct err err;
    int rc = engine_new(r->s->plan, &e, &err);

    if (rc != 0)
        return rc;
    engine_be(e, r->s->revision);
    runner_init(&runner, e, NULL, NULL);
    rc = decide(r, &runner);
    runner_clear(&runner);
    engine_free(e);
    return rc;
}

void recorded_clear(struct recorded *r)
{
    arena_clear(&r->texts);
}
