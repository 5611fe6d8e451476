#include "orchestrator/run_session.h"

#include <string.h>

/* Bring the run up from its log with this program's engine and compare every command. */
static int run_replay(struct cli *c, int *ret_exit, struct err *err)
{
    struct run_session s;
    struct buf out = BUF_INIT;
    struct json_writer w;
    char hash[SHA256_TEXT];
    uint64_t from = 0, before = 0;
    int rc = session_open(&s, c->db, cli_operand(c, 0), STORE_READ,
                          (uint64_t)options_number(&c->args, "to", 0), err);

    (void)ret_exit;
    if (rc == 0)
        rc = store_log_begins(s.store, s.run, &from, &before, err);
    if (rc != 0)
        return rc;
    engine_hash(s.engine, hash);
    if (c->json) {
        jw_init(&w, &out);
        jw_object(&w, NULL);
        jw_str(&w, "run", s.run);
        jw_bool(&w, "same", true);
        jw_str(&w, "state", run_states[engine_run(s.engine).state].name);
        jw_str(&w, "engine_hash", hash);
        jw_int(&w, "revision", engine_revision);
        jw_int(&w, "from_seq", (int64_t)from);
        jw_object_end(&w);
        buf_char(&out, '\n');
    } else {
        if (from != 0)
            buf_printf(
                &out,
                "run %s: %llu entries before entry %llu were decided by another engine revision and are not "
                "decided anew\n",
                s.run, (unsigned long long)before, (unsigned long long)from);
        buf_printf(&out, "run %s: every command is the same again; the run is %s (state %.12s)\n", s.run,
                   run_states[engine_run(s.engine).state].name, hash);
    }
    cli_print(&out);
    session_close(&s);
    return 0;
}

static const struct option replay_options[] = {
    { "to", 0, OPTION_NUMBER, "SEQ", "only up to this entry of the log" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

const struct command_spec cmd_replay = {
    NULL, "replay",       "[RUN]",    0, 1, "decide a recorded run anew and compare every command",
    NULL, replay_options, run_replay,
};
