#include "orchestrator/io/loop.h"

#include <assert.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#define LOOP_SIGNALS_MAX 8
#define LOOP_END_MS 5000

struct loop {
    uv_loop_t uv;
    uv_timer_t turn_limit;
    uv_signal_t signals[LOOP_SIGNALS_MAX];
    unsigned signals_open;
    void (*on_signal)(void *arg, int signum);
    void *on_signal_arg;
};

int loop_new(struct loop **ret_loop, struct err *err)
{
    struct loop *l = calloc(1, sizeof *l);
    int rc;

    if (l == NULL)
        return err_set(err, ERR_NOMEM, "open event loop");
    rc = uv_loop_init(&l->uv);
    if (rc != 0) {
        free(l);
        return err_set(err, ERR_IO, "open event loop: %s", uv_strerror(rc));
    }
    (void)uv_timer_init(&l->uv, &l->turn_limit);
    (void)signal(SIGPIPE, SIG_IGN);
    *ret_loop = l;
    return 0;
}

static void on_end_limit(uv_timer_t *t)
{
    uv_stop(t->loop);
}

static void check_closing(uv_handle_t *h, void *arg)
{
    (void)arg;
    (void)h;
    assert(uv_is_closing(h)); /* an owner forgot it; the loop would wait for ever */
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    for (unsigned i = 0; i < l->signals_open; i++)
        uv_close((uv_handle_t *)&l->signals[i], NULL);
    /* What ends by itself does so here: close callbacks, a proxy command's exit, a worker thread's request. */
    uv_unref((uv_handle_t *)&l->turn_limit);
    (void)uv_timer_start(&l->turn_limit, on_end_limit, LOOP_END_MS, 0);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&l->turn_limit, NULL);
    uv_walk(&l->uv, check_closing, NULL);
    while (uv_loop_close(&l->uv) == UV_EBUSY)
        (void)uv_run(&l->uv, UV_RUN_ONCE);
    free(l);
}

uv_loop_t *loop_uv(struct loop *l)
{
    return &l->uv;
}

void loop_run(struct loop *l)
{
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
}

static void on_turn_limit(uv_timer_t *t)
{
    (void)t; /* its arrival ends the wait */
}

void loop_turn(struct loop *l, dur_ms wait_ms)
{
    if (wait_ms <= 0) {
        (void)uv_run(&l->uv, UV_RUN_NOWAIT);
        return;
    }
    (void)uv_timer_start(&l->turn_limit, on_turn_limit, (uint64_t)wait_ms, 0);
    (void)uv_run(&l->uv, UV_RUN_ONCE);
    (void)uv_timer_stop(&l->turn_limit);
}

void loop_stop(struct loop *l)
{
    uv_stop(&l->uv);
}

int64_t loop_now_ms(struct loop *l)
{
    return (int64_t)uv_now(&l->uv);
}

static void on_signal(uv_signal_t *h, int signum)
{
    struct loop *l = h->data;
    l->on_signal(l->on_signal_arg, signum);
}

int loop_on_signals(struct loop *l, const int *signums, void (*fn)(void *arg, int signum), void *arg,
                    struct err *err)
{
    assert(l->signals_open == 0);
    l->on_signal = fn;
    l->on_signal_arg = arg;
    for (; *signums != 0; signums++) {
        uv_signal_t *h = &l->signals[l->signals_open];
        int rc;

        assert(l->signals_open < LOOP_SIGNALS_MAX);
        (void)uv_signal_init(&l->uv, h);
        h->data = l;
        l->signals_open++;
        rc = uv_signal_start(h, on_signal, *signums);
        if (rc != 0)
            return err_set(err, ERR_IO, "watch signal %d: %s", *signums, uv_strerror(rc));
        uv_unref((uv_handle_t *)h);
    }
    return 0;
}

static void on_timer(uv_timer_t *h)
{
    struct loop_timer *t = h->data;
    t->fn(t->arg);
}

void loop_timer_init(struct loop *l, struct loop_timer *t, void (*fn)(void *arg), void *arg)
{
    (void)uv_timer_init(&l->uv, &t->uv);
    t->uv.data = t;
    t->fn = fn;
    t->arg = arg;
}

void loop_timer_start(struct loop_timer *t, dur_ms after_ms)
{
    (void)uv_timer_start(&t->uv, on_timer, after_ms > 0 ? (uint64_t)after_ms : 0, 0);
}

void loop_timer_stop(struct loop_timer *t)
{
    (void)uv_timer_stop(&t->uv);
}

static void on_closed(uv_handle_t *h)
{
    struct loop_closer *c = h->data;

    assert(c->open_handles > 0);
    if (--c->open_handles == 0)
        c->done(c->arg);
}

void loop_close(struct loop_closer *c, uv_handle_t *handle)
{
    handle->data = c;
    c->open_handles++;
    uv_close(handle, on_closed);
}

void loop_close_timer(struct loop_closer *c, struct loop_timer *t)
{
    loop_close(c, (uv_handle_t *)&t->uv);
}
