/* Thin helpers over one uv_loop_t: timers, signals, and closing in one place.
 * Everything in io runs on the thread that runs the loop. */
#ifndef PATCHWAVE_LOOP_H
#define PATCHWAVE_LOOP_H

#include "schema/err.h"
#include "schema/times.h"

#include <uv.h>

struct loop;

/* A loop of its own; SIGPIPE is ignored for the process from here on (a peer
 * that went away is an error code, not a death). ERR_NOMEM, ERR_IO. The
 * caller ends it with loop_free(). */
int loop_new(struct loop **ret_loop, struct err *err);
/* Ends it: closes the signal handles, lets pending close callbacks run and
 * frees. Everything else on the loop must have been closed (or be closing).
 * Accepts NULL. */
void loop_free(struct loop *l);

uv_loop_t *loop_uv(struct loop *l);
/* Run until loop_stop(), or until nothing is active. */
void loop_run(struct loop *l);
/* One turn; waits for at most `wait_ms` when nothing is due (0: never waits). */
void loop_turn(struct loop *l, dur_ms wait_ms);
void loop_stop(struct loop *l);
/* Monotonic milliseconds of this turn; its zero means nothing. */
int64_t loop_now_ms(struct loop *l);

/* `fn` gets every arrival of the signals in the 0-terminated list, on the
 * loop. At most once per loop. Does not keep the loop alive. ERR_IO. */
int loop_on_signals(struct loop *l, const int *signums, void (*fn)(void *arg, int signum), void *arg,
                    struct err *err);

/* A one-shot timer, embedded in its owner. Between init and the end of its
 * close the memory stays. Real milliseconds; starting again replaces. */
struct loop_timer {
    uv_timer_t uv;
    void (*fn)(void *arg);
    void *arg;
};
void loop_timer_init(struct loop *l, struct loop_timer *t, void (*fn)(void *arg), void *arg);
void loop_timer_start(struct loop_timer *t, dur_ms after_ms);
void loop_timer_stop(struct loop_timer *t);

/* Closes an owner's handles and tells once when the last is closed: zero it,
 * set `done`, close each handle through it in one go. `done` comes from the
 * loop, never from inside loop_close(); it may free the closer's memory. */
struct loop_closer {
    unsigned open_handles;
    void (*done)(void *arg);
    void *arg;
};
void loop_close(struct loop_closer *c, uv_handle_t *handle);
void loop_close_timer(struct loop_closer *c, struct loop_timer *t);

#endif
