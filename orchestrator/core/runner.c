#include "orchestrator/core/runner.h"

#include <string.h>

void runner_init(struct runner *r, struct engine *e, struct event_log *log, struct backend *b)
{
    memset(r, 0, sizeof *r);
    r->engine = e;
    r->log = log;
    r->backend = b;
}

void runner_clear(struct runner *r)
{
    command_list_clear(&r->commands);
}

/* A refused event left the engine as it was; any other failure did not. */
static int stepped(struct runner *r, int rc)
{
    r->stopped = rc != 0 && rc != ERR_INVALID && rc != ERR_STATE;
    return rc;
}

/* A verb or another controller sets a run in motion again that had come to rest. */
static void note_end(struct runner *r)
{
    r->ended = engine_at_rest(r->engine);
}

int runner_feed(struct runner *r, const struct event *ev, struct err *err)
{
    int rc;

    if (r->stopped)
        return err_set(err, ERR_STATE, "the runner has stopped; rebuild from the event log");
    command_list_reset(&r->commands);
    rc = stepped(r, engine_step(r->engine, ev, &r->commands, err));
    if (rc != 0)
        return rc;

    /* A crash after the append replays to the same commands; a crash before it has told nobody anything. If the
     * append fails the engine is ahead of the log: stop, and rebuild from the log (I18, I25). */
    rc = r->log->append(r->log, ev, &r->commands, r->engine, err);
    if (rc != 0) {
        r->stopped = true;
        return err_wrap(err, "append to the event log");
    }
    note_end(r);
    for (uint32_t i = 0; i < r->commands.n; i++)
        r->backend->submit(r->backend, &r->commands.items[i]);
    return 0;
}

int runner_replay(struct runner *r, const struct event *ev, const char *recorded_commands, struct err *err)
{
    struct buf now = BUF_INIT;
    int rc;

    command_list_reset(&r->commands);
    rc = engine_step(r->engine, ev, &r->commands, err);
    if (rc != 0) {
        r->stopped = true;
        return err_wrap(err, "replay of %s", event_type_name(ev->type));
    }
    commands_write(&now, &r->commands, engine_fleet(r->engine)->inv);
    if (now.failed)
        rc = err_set(err, ERR_NOMEM, "replay");
    else if (strcmp(buf_text(&now), recorded_commands) != 0)
        rc = err_set(err, ERR_DIVERGED, "%s at %lld: recorded %.300s, now %.500s", event_type_name(ev->type),
                     (long long)ev->at, recorded_commands, buf_text(&now));
    buf_clear(&now);
    note_end(r);
    r->stopped = rc != 0;
    return rc;
}
