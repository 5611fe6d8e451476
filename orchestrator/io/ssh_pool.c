#include "orchestrator/io/ssh_pool.h"

#include "orchestrator/io/backoff.h"
#include "orchestrator/io/loop.h"
#include "orchestrator/io/ssh_session.h"
#include "schema/prng.h"
#include "schema/sm.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HANDSHAKES_MAX 64
#define CONNECTS_MAX 256
#define BACKOFF_MIN_MS ((dur_ms)250)
#define BACKOFF_MAX_MS ((dur_ms)15000)
#define STABLE_MS ((dur_ms)10000) /* up that long: the next loss starts with a short wait again */
#define EXPECT_CONNECT_MS ((dur_ms)1000)

#define TO(state) (1u << LINK_##state)
static const struct sm_state states[LINK_STATES] = {
    [LINK_IDLE] = { "idle", TO(QUEUED) | TO(CLOSED), SM_INITIAL },
    [LINK_QUEUED] = { "queued", TO(CONNECTING) | TO(WAITING) | TO(CLOSED), 0 },
    [LINK_CONNECTING] = { "connecting", TO(GATE) | TO(WAITING) | TO(REFUSED) | TO(CLOSED), 0 },
    [LINK_GATE] = { "waiting for its turn", TO(HANDSHAKE) | TO(WAITING) | TO(CLOSED), 0 },
    [LINK_HANDSHAKE] = { "handshake", TO(UP) | TO(WAITING) | TO(REFUSED) | TO(CLOSED), 0 },
    [LINK_UP] = { "up", TO(WAITING) | TO(REFUSED) | TO(CLOSED), 0 },
    [LINK_WAITING] = { "waiting to try again", TO(QUEUED) | TO(CLOSED), 0 },
    [LINK_REFUSED] = { "refused", TO(QUEUED) | TO(CLOSED), 0 },
    [LINK_CLOSED] = { "closed", 0, SM_FINAL },
};

/* Links in order of arrival. */
struct link_line {
    struct ssh_link *first, **last;
};

struct ssh_link {
    struct ssh_pool *pool;
    struct ssh_link_config config;
    struct ssh_target target; /* a copy, for the connect limit while expected back */
    enum ssh_link_state state;
    struct ssh_session *session;
    struct backoff backoff;
    dur_ms expect_cap_ms; /* 0: not expected */
    int64_t up_since_ms;
    bool was_up;           /* ever */
    struct ssh_link *next; /* in a line */
    struct loop_timer timer;
    struct loop_closer closer;
};

struct ssh_pool {
    struct ssh_pool_config config;
    struct prng random;
    struct link_line queue, gate;
    uint32_t counts[LINK_STATES]; /* links per state */
    struct loop_timer kick;       /* lets the lines move, from the loop */
    struct loop_closer closer;
};

/* ---- lines and counting ---- */

static void line_add(struct link_line *line, struct ssh_link *link)
{
    link->next = NULL;
    *line->last = link;
    line->last = &link->next;
}

static void line_remove(struct link_line *line, struct ssh_link *link)
{
    struct ssh_link **at = &line->first;

    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    if (line->last == &link->next)
        line->last = at;
}

/* The one door: state, counts and lines go together. */
static void link_to(struct ssh_link *link, enum ssh_link_state next)
{
    struct ssh_pool *pool = link->pool;

    assert(sm_may(states, link->state, next));
    if (link->state == LINK_QUEUED)
        line_remove(&pool->queue, link);
    if (link->state == LINK_GATE)
        line_remove(&pool->gate, link);
    pool->counts[link->state]--;
    link->state = next;
    pool->counts[next]++;
    if (next == LINK_QUEUED)
        line_add(&pool->queue, link);
    if (next == LINK_GATE)
        line_add(&pool->gate, link);
    loop_timer_start(&pool->kick, 0); /* a place may have become free */
}

/* ---- one attempt ---- */

/* Asking again would get the same answer; only a person changes it. A node that
 * let us in before and now does not may be one that is still booting. */
static bool is_refusal(const struct ssh_link *link, enum err_code code)
{
    return code == ERR_HOSTKEY || code == ERR_NOT_FOUND || code == ERR_INVALID ||
           (code == ERR_AUTH && !link->was_up);
}

static void link_down(struct ssh_link *link, const struct err *why)
{
    dur_ms wait = LINK_NO_RETRY;

    link->session = NULL;
    if (link->state == LINK_UP && loop_now_ms(link->pool->config.loop) - link->up_since_ms >= STABLE_MS)
        backoff_reset(&link->backoff);
    if (is_refusal(link, why->code)) {
        link_to(link, LINK_REFUSED);
    } else {
        wait = backoff_next(&link->backoff, &link->pool->random);
        if (link->expect_cap_ms > 0 && wait > link->expect_cap_ms)
            wait = link->expect_cap_ms;
        link_to(link, LINK_WAITING);
        loop_timer_start(&link->timer, wait);
    }
    link->config.on_down(link->config.arg, why, wait);
}

static void on_session_gate(void *arg)
{
    link_to(arg, LINK_GATE);
}

static void on_session_ready(void *arg)
{
    struct ssh_link *link = arg;

    link_to(link, LINK_UP);
    link->was_up = true;
    link->up_since_ms = loop_now_ms(link->pool->config.loop);
    link->config.on_up(link->config.arg, link->session);
}

static void on_session_end(void *arg, const struct err *why)
{
    link_down(arg, why);
}

static void link_connect(struct ssh_link *link)
{
    const struct ssh_session_config config = {
        .loop = link->pool->config.loop,
        .keys = link->pool->config.keys,
        .target = &link->target,
        .learn = link->config.learn,
        .on_gate = on_session_gate,
        .on_ready = on_session_ready,
        .on_end = on_session_end,
        .arg = link,
    };
    struct err err;

    link->target = *link->config.target;
    if (link->expect_cap_ms > 0)
        link->target.limits.connect_ms = EXPECT_CONNECT_MS;
    link_to(link, LINK_CONNECTING);
    if (ssh_session_open(&config, &link->session, &err) != 0)
        link_down(link, &err);
}

static void on_kick(void *arg)
{
    struct ssh_pool *pool = arg;

    while (pool->gate.first != NULL && pool->counts[LINK_HANDSHAKE] < pool->config.handshakes_max) {
        struct ssh_link *link = pool->gate.first;

        link_to(link, LINK_HANDSHAKE);
        ssh_session_proceed(link->session);
    }
    while (pool->queue.first != NULL &&
           pool->counts[LINK_CONNECTING] + pool->counts[LINK_GATE] < pool->config.connects_max)
        link_connect(pool->queue.first);
}

static void on_retry(void *arg)
{
    link_to(arg, LINK_QUEUED);
}

/* ---- links ---- */

static void on_link_closed(void *arg)
{
    free(arg);
}

int ssh_link_new(struct ssh_pool *pool, const struct ssh_link_config *config, struct ssh_link **ret_link,
                 struct err *err)
{
    struct ssh_link *link = calloc(1, sizeof *link);

    if (link == NULL)
        return err_set(err, ERR_NOMEM, "link to %s", config->target->node);
    link->pool = pool;
    link->config = *config;
    link->backoff.min_ms = pool->config.backoff_min_ms;
    link->backoff.max_ms = pool->config.backoff_max_ms;
    link->closer.done = on_link_closed;
    link->closer.arg = link;
    loop_timer_init(pool->config.loop, &link->timer, on_retry, link);
    pool->counts[LINK_IDLE]++;
    *ret_link = link;
    return 0;
}

void ssh_link_open(struct ssh_link *link)
{
    if (!sm_may(states, link->state, LINK_QUEUED))
        return;
    loop_timer_stop(&link->timer);
    link_to(link, LINK_QUEUED);
}

void ssh_link_expect(struct ssh_link *link, dur_ms cap_ms)
{
    link->expect_cap_ms = cap_ms;
    if (link->state == LINK_WAITING && cap_ms > 0)
        loop_timer_start(&link->timer, cap_ms);
}

void ssh_link_drop(struct ssh_link *link, const struct err *why)
{
    if (link->session != NULL)
        ssh_session_fail(link->session, why);
}

void ssh_link_close(struct ssh_link *link)
{
    link_to(link, LINK_CLOSED);
    link->pool->counts[LINK_CLOSED]--;
    if (link->session != NULL)
        ssh_session_close(link->session);
    loop_close_timer(&link->closer, &link->timer);
}

enum ssh_link_state ssh_link_state(const struct ssh_link *link)
{
    return link->state;
}

const char *ssh_link_state_name(enum ssh_link_state state)
{
    return states[state].name;
}

const struct ssh_target *ssh_link_target(const struct ssh_link *link)
{
    return link->config.target;
}

struct ssh_session *ssh_link_session(const struct ssh_link *link)
{
    return link->state == LINK_UP ? link->session : NULL;
}

/* ---- the pool ---- */

static void on_pool_closed(void *arg)
{
    free(arg);
}

int ssh_pool_new(const struct ssh_pool_config *config, struct ssh_pool **ret_pool, struct err *err)
{
    struct ssh_pool *pool = calloc(1, sizeof *pool);

    if (pool == NULL)
        return err_set(err, ERR_NOMEM, "make connection pool");
    pool->config = *config;
    if (pool->config.handshakes_max == 0)
        pool->config.handshakes_max = HANDSHAKES_MAX;
    if (pool->config.connects_max == 0)
        pool->config.connects_max = CONNECTS_MAX;
    if (pool->config.backoff_min_ms == 0)
        pool->config.backoff_min_ms = BACKOFF_MIN_MS;
    if (pool->config.backoff_max_ms == 0)
        pool->config.backoff_max_ms = BACKOFF_MAX_MS;
    prng_init(&pool->random, config->seed);
    pool->queue.last = &pool->queue.first;
    pool->gate.last = &pool->gate.first;
    pool->closer.done = on_pool_closed;
    pool->closer.arg = pool;
    loop_timer_init(config->loop, &pool->kick, on_kick, pool);
    *ret_pool = pool;
    return 0;
}

void ssh_pool_free(struct ssh_pool *pool)
{
    if (pool == NULL)
        return;
    for (unsigned i = 0; i < LINK_STATES; i++)
        assert(pool->counts[i] == 0);
    loop_close_timer(&pool->closer, &pool->kick);
}

struct ssh_pool_counts ssh_pool_counts(const struct ssh_pool *pool)
{
    const uint32_t *n = pool->counts;
    struct ssh_pool_counts c = { .queued = n[LINK_QUEUED],
                                 .connecting = n[LINK_CONNECTING],
                                 .gated = n[LINK_GATE],
                                 .handshaking = n[LINK_HANDSHAKE],
                                 .up = n[LINK_UP] };

    for (unsigned i = 0; i < LINK_STATES; i++)
        c.links += n[i];
    return c;
}

struct loop *ssh_pool_loop(const struct ssh_pool *pool)
{
    return pool->config.loop;
}

struct prng *ssh_pool_random(struct ssh_pool *pool)
{
    return &pool->random;
}
