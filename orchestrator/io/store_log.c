#include "orchestrator/io/store_log.h"

#include "orchestrator/io/store_impl.h"
#include "orchestrator/io/store_project.h"

#include <stdlib.h>
#include <string.h>

struct store_log {
    struct event_log face; /* first: the face is the log */
    struct store *s;
    char *run;
    const struct plan *plan;
    struct projector *projector;
    struct event_pictures pictures; /* as the log has them */
    struct buf event, commands;
};

static int append_in_transaction(struct store_log *l, const struct event *ev,
                                 const struct command_list *commands, const struct engine *engine,
                                 struct log_position *ret_pos, struct err *err)
{
    int rc = store_begin(l->s, err);

    if (rc == 0)
        rc = store_append(l->s, l->run, ev->at, event_type_name(ev->type), buf_text(&l->event),
                          buf_text(&l->commands), ret_pos, err);
    if (rc == 0)
        rc = projector_write(l->projector, ret_pos->seq, ev, commands, engine, err);
    if (rc == 0)
        rc = store_commit(l->s, err);
    if (rc != 0)
        store_rollback(l->s);
    return rc;
}

static int log_append(struct event_log *face, const struct event *ev, const struct command_list *commands,
                      const struct engine *engine, struct err *err)
{
    struct store_log *l = (struct store_log *)face;
    struct log_position pos;
    int rc;

    buf_reset(&l->event);
    buf_reset(&l->commands);
    event_write(&l->event, ev, l->plan->inv, &l->pictures);
    commands_write(&l->commands, commands, l->plan->inv);
    if (l->event.failed || l->commands.failed)
        return err_set(err, ERR_NOMEM, "event log");
    rc = append_in_transaction(l, ev, commands, engine, &pos, err);
    if (rc == 0)
        l->s->head = pos;
    else
        event_pictures_clear(&l->pictures); /* they are ahead of the log */
    return rc;
}

static struct log_position log_position(const struct event_log *face)
{
    return ((const struct store_log *)face)->s->head;
}

int store_log_new(struct store *s, const char *run, const struct plan *plan, struct store_log **ret_log,
                  struct err *err)
{
    struct store_log *l = calloc(1, sizeof *l);
    int rc;

    if (l == NULL || (l->run = strdup(run)) == NULL) {
        free(l);
        return err_set(err, ERR_NOMEM, "event log of run %s", run);
    }
    l->face = (struct event_log){ .append = log_append, .position = log_position };
    l->s = s;
    l->plan = plan;
    rc = projector_new(s, run, plan, &l->projector, err);
    if (rc != 0) {
        store_log_free(l);
        return rc;
    }
    *ret_log = l;
    return 0;
}

void store_log_free(struct store_log *l)
{
    if (l == NULL)
        return;
    projector_free(l->projector);
    event_pictures_clear(&l->pictures);
    buf_clear(&l->event);
    buf_clear(&l->commands);
    free(l->run);
    free(l);
}

struct event_log *store_log_face(struct store_log *l)
{
    return &l->face;
}

static int read_entry(const char *text, const struct plan *plan, struct event_pictures *pictures,
                      struct arena *a, struct event *ret_ev, struct err *err)
{
    int rc = event_read(text, strlen(text), plan->inv, pictures, a, ret_ev, err);

    if (rc == ERR_INVALID && err != NULL)
        rc = (int)(err->code = ERR_CORRUPT);
    return rc;
}

static int replay_entry(struct store_log *l, struct runner *r, sqlite3_stmt *row, struct arena *a,
                        struct err *err)
{
    const char *event = (const char *)sqlite3_column_text(row, 1);
    const char *commands = (const char *)sqlite3_column_text(row, 2);
    struct event ev;
    int rc = read_entry(event, l->plan, &l->pictures, a, &ev, err);

    if (rc == 0)
        rc = runner_replay(r, &ev, commands, err);
    if (rc != 0)
        return err_wrap(err, "log entry %lld", (long long)sqlite3_column_int64(row, 0));
    return 0;
}

int store_log_begins(struct store *s, const char *run, uint64_t *ret_seq, uint64_t *ret_before,
                     struct err *err)
{
    struct rows r = { 0 };
    int rc = store_ask(s, &r, err,
                       "SELECT coalesce(max(seq), 0) FROM log WHERE run = ? AND kind = 'handover'", "s", run);

    if (rc == 0)
        *ret_seq = (uint64_t)rows_int(&r, 0, 0);
    rows_clear(&r);
    if (rc == 0)
        rc = store_ask(s, &r, err, "SELECT count(*) FROM log WHERE run = ? AND seq < ?", "si", run,
                       (int64_t)*ret_seq);
    if (rc == 0)
        *ret_before = (uint64_t)rows_int(&r, 0, 0);
    rows_clear(&r);
    return rc;
}

static int refuse_before(uint64_t up_to, uint64_t from, struct err *err)
{
    if (up_to == 0 || up_to >= from)
        return 0;
    return err_set(
        err, ERR_STATE,
        "entry %llu was decided by another engine revision, whose part ends before entry %llu: this "
        "program does not decide it anew",
        (unsigned long long)up_to, (unsigned long long)from);
}

int store_log_replay(struct store_log *l, struct runner *r, uint64_t up_to, struct err *err)
{
    struct arena a = ARENA_INIT;
    sqlite3_stmt *row = NULL;
    uint64_t from = 0, before = 0;
    int step = SQLITE_DONE;
    int rc = store_log_begins(l->s, l->run, &from, &before, err);

    if (rc == 0)
        rc = refuse_before(up_to, from, err);
    if (rc == 0)
        rc = store_prepare(
            l->s, &row, err,
            "SELECT seq, event, commands FROM log WHERE run = ? AND seq >= ? AND seq <= ? ORDER BY seq",
            "sii", l->run, (int64_t)from, up_to == 0 ? INT64_MAX : (int64_t)up_to);

    while (rc == 0 && (step = sqlite3_step(row)) == SQLITE_ROW) {
        rc = replay_entry(l, r, row, &a, err);
        arena_clear(&a);
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = store_fault(l->s->db, step, "replay", err);
    if (rc == 0)
        projector_remember(l->projector, r->engine);
    if (row != NULL)
        sqlite3_reset(row);
    arena_clear(&a);
    return rc;
}

/* The last event of `row`, with the pictures before it read in passing. */
static int read_through(struct store *s, sqlite3_stmt *row, const struct plan *plan, uint64_t seq,
                        struct buf *out, struct err *err)
{
    struct event_pictures pictures = { 0 };
    struct arena a = ARENA_INIT;
    uint64_t at = 0;
    int rc = 0, step = SQLITE_DONE;

    while (rc == 0 && at != seq && (step = sqlite3_step(row)) == SQLITE_ROW) {
        struct event ev;

        at = (uint64_t)sqlite3_column_int64(row, 0);
        if (strcmp((const char *)sqlite3_column_text(row, 2), event_type_name(EV_HANDOVER)) == 0)
            event_pictures_clear(&pictures);
        rc = read_entry((const char *)sqlite3_column_text(row, 1), plan, &pictures, &a, &ev, err);
        if (rc == 0 && at == seq)
            event_write(out, &ev, plan->inv, NULL);
        arena_clear(&a);
    }
    if (rc == 0 && at != seq)
        rc = step == SQLITE_DONE
                 ? err_set(err, ERR_NOT_FOUND, "the run has no entry %llu", (unsigned long long)seq)
                 : store_fault(s->db, step, "read the log", err);
    event_pictures_clear(&pictures);
    return rc == 0 ? 0 : err_wrap(err, "log entry %llu", (unsigned long long)at);
}

int store_log_whole(struct store *s, const char *run, const struct plan *plan, uint64_t seq, struct buf *out,
                    struct err *err)
{
    sqlite3_stmt *row = NULL;
    int rc = store_prepare(
        s, &row, err,
        "SELECT seq, event, kind FROM log WHERE run = ?1 AND seq <= ?2 AND (kind IN ('observed', "
        "'handover') OR seq = ?2) ORDER BY seq",
        "si", run, (int64_t)seq);

    if (rc == 0)
        rc = read_through(s, row, plan, seq, out, err);
    if (row != NULL)
        sqlite3_reset(row);
    return rc;
}
