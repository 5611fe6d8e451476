#include "orchestrator/io/payload.h"

#include "orchestrator/io/loop.h"
#include "orchestrator/io/ssh_exec.h"
#include "orchestrator/io/ssh_pool.h"
#include "orchestrator/io/wire_error.h"
#include "schema/codec.h"
#include "schema/json.h"
#include "schema/sm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)128 << 10)
#define SEND_MAX_BYTES ((size_t)512 << 10)
#define TURN_MAX_BYTES ((size_t)64 << 10)
#define ANSWER_MAX_BYTES 16384
#define STALL_MS ((dur_ms)30000)
#define PROVE_MS ((dur_ms)300000) /* hashing and fsync of a large file */
#define PACE_MAX_MS ((dur_ms)250)
#define GIVE_UP_MS ((dur_ms)600000)

enum payload_state {
    PAYLOAD_WAITING,
    PAYLOAD_ASKING,
    PAYLOAD_SENDING,
    PAYLOAD_PROVING,
    PAYLOAD_ENDED,
    PAYLOAD_STATES
};
#define TO(state) (1u << PAYLOAD_##state)
static const struct sm_state states[PAYLOAD_STATES] = {
    [PAYLOAD_WAITING] = { "waiting", TO(ASKING) | TO(WAITING) | TO(ENDED), SM_INITIAL },
    [PAYLOAD_ASKING] = { "asking", TO(SENDING) | TO(PROVING) | TO(WAITING) | TO(ENDED), 0 },
    [PAYLOAD_SENDING] = { "sending", TO(PROVING) | TO(WAITING) | TO(ENDED), 0 },
    [PAYLOAD_PROVING] = { "proving", TO(WAITING) | TO(ENDED), 0 },
    [PAYLOAD_ENDED] = { "ended", 0, SM_FINAL },
};

struct payload {
    struct payload_config config;
    struct loop *loop;
    enum payload_state state;
    struct ssh_link *link;
    struct ssh_exec *receive;
    struct line_cutter answers;
    int fd;
    uint64_t size_bytes;
    uint64_t queued_bytes; /* of the file, given to the channel */
    struct rate rate;
    char *chunk; /* read ahead: chunk_at .. chunk_len are still to be queued */
    size_t chunk_at, chunk_len;
    bool reading;        /* uv_fs_read is under way */
    bool stale;          /* what it brings belongs to an attempt that is over */
    bool closed;         /* handles are gone; freed once nothing is being read */
    bool corrupt_once;   /* the receiver found a wrong digest and threw its part away */
    uint64_t best_bytes; /* the furthest ever */
    int64_t progress_ms; /* when that was */
    uv_fs_t read;
    struct loop_timer stall, pace;
    struct loop_closer closer;
};

static void payload_feed(struct payload *p);

static void payload_to(struct payload *p, enum payload_state next)
{
    assert(sm_may(states, p->state, next));
    p->state = next;
}

static dur_ms stall_ms(const struct payload *p)
{
    if (p->state == PAYLOAD_PROVING)
        return PROVE_MS;
    return p->config.stall_ms > 0 ? p->config.stall_ms : STALL_MS;
}

/* ---- ends ---- */

static void payload_free_when_idle(struct payload *p)
{
    if (!p->closed || p->reading)
        return;
    (void)close(p->fd);
    free(p->chunk);
    line_cutter_clear(&p->answers);
    free(p);
}

static void on_payload_closed(void *arg)
{
    struct payload *p = arg;

    p->closed = true;
    payload_free_when_idle(p);
}

static void payload_close(struct payload *p)
{
    payload_to(p, PAYLOAD_ENDED);
    if (p->receive != NULL)
        ssh_exec_close(p->receive);
    p->receive = NULL;
    if (p->link != NULL)
        ssh_link_close(p->link);
    p->link = NULL;
    p->closer.done = on_payload_closed;
    p->closer.arg = p;
    loop_close_timer(&p->closer, &p->stall);
    loop_close_timer(&p->closer, &p->pace);
}

static void payload_end(struct payload *p, bool had, const struct err *why)
{
    struct err copy;

    if (p->state == PAYLOAD_ENDED)
        return;
    if (why != NULL) {
        copy = *why;
        (void)err_wrap(&copy, "send %s to %s", p->config.name, p->config.target->node);
    }
    payload_close(p);
    p->config.on_end(p->config.arg, had, why != NULL ? &copy : NULL);
}

void payload_cancel(struct payload *p)
{
    payload_close(p);
}

/* ---- progress ---- */

static void note_progress(struct payload *p)
{
    uint64_t out = p->queued_bytes - (p->receive != NULL ? ssh_exec_unsent(p->receive) : 0);

    loop_timer_start(&p->stall, stall_ms(p));
    if (out > p->best_bytes) {
        p->best_bytes = out;
        p->progress_ms = loop_now_ms(p->loop);
    }
    if (p->config.on_progress != NULL && p->state != PAYLOAD_ENDED)
        p->config.on_progress(p->config.arg, out, p->size_bytes);
}

/* The connection is of no use any more; a new one asks the receiver where it stands. */
static void start_over(struct payload *p, const struct err *why)
{
    ssh_link_drop(p->link, why);
}

static void on_stall(void *arg)
{
    struct payload *p = arg;
    char limit[TIME_TEXT_MAX];
    struct err why;

    (void)err_set(&why, ERR_TIMEOUT, "no progress while %s for %s", states[p->state].name,
                  dur_text(stall_ms(p), limit));
    start_over(p, &why);
}

/* ---- from the file to the channel ---- */

static void on_chunk(uv_fs_t *req)
{
    struct payload *p = req->data;
    ssize_t n = req->result;
    struct err why;

    uv_fs_req_cleanup(req);
    p->reading = false;
    if (p->state == PAYLOAD_ENDED) {
        payload_free_when_idle(p);
        return;
    }
    if (p->stale) {
        p->stale = false;
    } else if (n <= 0) {
        (void)err_set(&why, n < 0 ? ERR_IO : ERR_INVALID, "read %s: %s", p->config.path,
                      n < 0 ? uv_strerror((int)n) : "it has become shorter");
        payload_end(p, false, &why);
        return;
    } else {
        p->chunk_at = 0;
        p->chunk_len = (size_t)n;
    }
    payload_feed(p);
}

static void chunk_read(struct payload *p)
{
    uint64_t left = p->size_bytes - p->queued_bytes;
    uv_buf_t into = uv_buf_init(p->chunk, (unsigned)(left < CHUNK_BYTES ? left : CHUNK_BYTES));
    int rc;

    if (p->reading)
        return;
    p->read.data = p;
    p->reading = true;
    rc = uv_fs_read(loop_uv(p->loop), &p->read, p->fd, &into, 1, (int64_t)p->queued_bytes, on_chunk);
    if (rc != 0) {
        struct err why;

        p->reading = false;
        (void)err_set(&why, ERR_IO, "read %s: %s", p->config.path, uv_strerror(rc));
        payload_end(p, false, &why);
    }
}

/* How much of the chunk may go now; 0: wait for the pace timer or for room. */
static size_t may_send(struct payload *p)
{
    int64_t now = loop_now_ms(p->loop);
    size_t n = p->chunk_len - p->chunk_at;
    size_t room = ssh_exec_room(p->receive);
    size_t own = rate_room(&p->rate, now);
    size_t fleet = p->config.fleet_rate != NULL ? rate_room(p->config.fleet_rate, now) : SIZE_MAX;
    size_t paced = own < fleet ? own : fleet;

    if (paced == 0) {
        dur_ms wait = rate_wait_ms(&p->rate, n, now);
        dur_ms fleet_wait = p->config.fleet_rate != NULL ? rate_wait_ms(p->config.fleet_rate, n, now) : 0;

        wait = wait > fleet_wait ? wait : fleet_wait;
        loop_timer_start(&p->pace, wait < PACE_MAX_MS ? wait : PACE_MAX_MS);
    }
    n = n < room ? n : room;
    return n < paced ? n : paced;
}

static void chunk_send(struct payload *p)
{
    struct err why;

    while (p->chunk_at < p->chunk_len) {
        size_t n = may_send(p);

        if (n == 0)
            return;
        if (ssh_exec_send(p->receive, p->chunk + p->chunk_at, n, &why) != 0) {
            start_over(p, &why);
            return;
        }
        rate_spend(&p->rate, n);
        if (p->config.fleet_rate != NULL)
            rate_spend(p->config.fleet_rate, n);
        p->chunk_at += n;
        p->queued_bytes += n;
    }
}

static void payload_feed(struct payload *p)
{
    if (p->state != PAYLOAD_SENDING)
        return;
    chunk_send(p);
    if (p->state != PAYLOAD_SENDING || p->chunk_at < p->chunk_len)
        return;
    if (p->queued_bytes < p->size_bytes)
        chunk_read(p);
    else
        payload_to(p, PAYLOAD_PROVING);
    if (p->state != PAYLOAD_ENDED)
        note_progress(p);
}

static void on_pace(void *arg)
{
    struct payload *p = arg;

    if (p->state == PAYLOAD_SENDING)
        loop_timer_start(&p->stall, stall_ms(p)); /* waiting for the cap is no stall */
    payload_feed(p);
}

static void on_receive_room(void *arg)
{
    payload_feed(arg);
}

/* ---- what the receiver says ---- */

static void take_error(struct payload *p, const json *error)
{
    enum err_code code = wire_error_code(json_get_str(error, "name", ""), ERR_REFUSED);
    struct err why;

    (void)err_set(&why, code, "the node says: %s", json_get_str(error, "message", "(no reason given)"));
    if (code == ERR_LOCKED) { /* a session that was cut still has the part in its hands */
        start_over(p, &why);
        return;
    }
    if (code == ERR_CORRUPT && !p->corrupt_once) {
        p->corrupt_once = true; /* its part is deleted: once more from the start */
        p->best_bytes = 0;
        start_over(p, &why);
        return;
    }
    payload_end(p, false, &why);
}

static int take_offset(struct payload *p, int64_t offset, struct err *err)
{
    if (offset < 0 || (uint64_t)offset > p->size_bytes)
        return err_set(err, ERR_PROTOCOL, "the receiver stands at byte %lld of %llu", (long long)offset,
                       (unsigned long long)p->size_bytes);
    p->queued_bytes = (uint64_t)offset;
    p->chunk_at = p->chunk_len = 0;
    payload_to(p, p->queued_bytes < p->size_bytes ? PAYLOAD_SENDING : PAYLOAD_PROVING);
    note_progress(p);
    payload_feed(p);
    return 0;
}

static int take_answer(struct payload *p, const json *answer, struct err *err)
{
    const json *error = json_get(answer, "error");

    if (error != NULL) {
        take_error(p, error);
        return 0;
    }
    if (p->state == PAYLOAD_ASKING && json_get_bool(answer, "have", false)) {
        payload_end(p, true, NULL);
        return 0;
    }
    if (p->state == PAYLOAD_ASKING && json_is_int(json_get(answer, "offset")))
        return take_offset(p, json_get_int(answer, "offset", -1), err);
    if (p->state != PAYLOAD_PROVING || !json_get_bool(answer, "done", false))
        return err_set(err, ERR_PROTOCOL, "unexpected answer while %s", states[p->state].name);
    if (strcmp(json_get_str(answer, "sha256", ""), p->config.sha256) != 0)
        return err_set(err, ERR_CORRUPT, "the node holds a file with digest %s",
                       json_get_str(answer, "sha256", "(none)"));
    note_progress(p);
    payload_end(p, false, NULL);
    return 0;
}

static void on_receive_data(void *arg, const void *data, size_t len)
{
    struct payload *p = arg;
    struct err err;
    const char *line;
    size_t line_len;
    int rc = line_cutter_feed(&p->answers, data, len, &err);

    while (rc == 0 && p->receive != NULL && (line = line_cutter_take(&p->answers, &line_len)) != NULL) {
        struct json_doc *doc = NULL;

        rc = json_parse("answer of receive", line, line_len, &doc, &err);
        if (rc == 0)
            rc = take_answer(p, json_root(doc), &err);
        json_free(doc);
    }
    if (rc != 0)
        payload_end(p, false, &err);
}

static void on_receive_end(void *arg, const struct ssh_exec_end *end)
{
    struct payload *p = arg;
    int said = (int)strcspn(end->errors, "\r\n");
    struct err why = end->why;

    p->receive = NULL;
    if (why.code == ERR_LOST || why.code == ERR_TIMEOUT || why.code == ERR_CANCELLED)
        return; /* the session went: on_link_down is next */
    if (why.code == ERR_OK)
        (void)err_set(&why, end->exit_status >= 126 ? ERR_REFUSED : ERR_LOST,
                      "the receiver ended (exit status %d)%s%.*s", end->exit_status, said > 0 ? ": " : "",
                      said, end->errors);
    if (why.code == ERR_REFUSED)
        payload_end(p, false, &why);
    else
        start_over(p, &why);
}

static void on_receive_open(void *arg)
{
    struct payload *p = arg;
    struct buf line = BUF_INIT;
    struct json_writer w;
    struct err why;

    jw_init(&w, &line);
    jw_object(&w, NULL);
    jw_str(&w, "name", p->config.name);
    jw_int(&w, "size_bytes", (int64_t)p->size_bytes);
    jw_str(&w, "sha256", p->config.sha256);
    jw_object_end(&w);
    buf_char(&line, '\n');
    if (ssh_exec_send(p->receive, line.data, line.len, &why) != 0)
        start_over(p, &why);
    buf_clear(&line);
}

/* ---- the link ---- */

static void on_link_up(void *arg, struct ssh_session *session)
{
    struct payload *p = arg;
    const struct ssh_exec_config config = {
        .command = "receive",
        .send_max_bytes = SEND_MAX_BYTES,
        .turn_max_bytes = TURN_MAX_BYTES,
        .on_open = on_receive_open,
        .on_data = on_receive_data,
        .on_room = on_receive_room,
        .on_end = on_receive_end,
        .arg = p,
    };
    struct err why;

    payload_to(p, PAYLOAD_ASKING);
    line_cutter_clear(&p->answers);
    line_cutter_init(&p->answers, ANSWER_MAX_BYTES);
    loop_timer_start(&p->stall, stall_ms(p));
    if (ssh_exec_start(session, &config, &p->receive, &why) != 0)
        start_over(p, &why);
}

static void on_link_down(void *arg, const struct err *why, dur_ms retry_ms)
{
    struct payload *p = arg;
    dur_ms give_up = p->config.give_up_ms > 0 ? p->config.give_up_ms : GIVE_UP_MS;

    if (p->state == PAYLOAD_ENDED)
        return;
    loop_timer_stop(&p->stall);
    loop_timer_stop(&p->pace);
    p->chunk_at = p->chunk_len = 0;
    p->stale = p->reading;
    if (retry_ms == LINK_NO_RETRY) {
        payload_end(p, false, why);
    } else if (loop_now_ms(p->loop) - p->progress_ms >= give_up) {
        struct err copy = *why;

        copy.code = ERR_TIMEOUT;
        (void)err_wrap(&copy, "given up without progress");
        payload_end(p, false, &copy);
    } else {
        payload_to(p, PAYLOAD_WAITING);
        if (p->config.on_retry != NULL)
            p->config.on_retry(p->config.arg, why, retry_ms);
    }
}

/* ---- beginning ---- */

static int payload_open(struct payload *p, struct err *err)
{
    struct stat st;

    p->fd = open(p->config.path, O_RDONLY | O_CLOEXEC);
    if (p->fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open %s: %s", p->config.path,
                       strerror(errno));
    if (fstat(p->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0) {
        (void)close(p->fd);
        return err_set(err, ERR_INVALID, "%s: not a file with content", p->config.path);
    }
    p->size_bytes = (uint64_t)st.st_size;
    p->chunk = malloc(CHUNK_BYTES);
    if (p->chunk == NULL) {
        (void)close(p->fd);
        return err_set(err, ERR_NOMEM, "send %s", p->config.path);
    }
    return 0;
}

int payload_start(const struct payload_config *config, struct payload **ret_payload, struct err *err)
{
    struct payload *p = calloc(1, sizeof *p);
    const struct ssh_link_config link = {
        .target = config->target, .on_up = on_link_up, .on_down = on_link_down, .arg = p
    };

    if (p == NULL)
        return err_set(err, ERR_NOMEM, "send %s", config->path);
    p->config = *config;
    p->loop = ssh_pool_loop(config->pool);
    if (payload_open(p, err) != 0) {
        free(p);
        return (int)err->code;
    }
    if (ssh_link_new(config->pool, &link, &p->link, err) != 0) {
        (void)close(p->fd);
        free(p->chunk);
        free(p);
        return (int)err->code;
    }
    p->progress_ms = loop_now_ms(p->loop);
    rate_init(&p->rate, config->link_bytes_s, p->progress_ms);
    line_cutter_init(&p->answers, ANSWER_MAX_BYTES);
    loop_timer_init(p->loop, &p->stall, on_stall, p);
    loop_timer_init(p->loop, &p->pace, on_pace, p);
    ssh_link_open(p->link);
    *ret_payload = p;
    return 0;
}
