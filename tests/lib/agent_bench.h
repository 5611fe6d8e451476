/* A host for agent/core without a machine: the journal is a list in memory,
 * drivers are answered by the test, sent lines are kept. One clock, moved by
 * the test. */
#ifndef PATCHWAVE_TESTS_AGENT_BENCH_H
#define PATCHWAVE_TESTS_AGENT_BENCH_H

#include "agent/core/agent.h"

#define BENCH_CONTROLLER "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BENCH_OTHER "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define BENCH_VM "00000000-0000-4000-8000-000000000001"

struct bench_record {
    enum agent_record_kind kind;
    time_ms at;
    char *op, *boot_id, *body;
};
struct bench_run { /* what was asked of the host and is not answered yet */
    uint32_t run;
    enum agent_effect_type type;
    bool effect, leave, killed;
    char action[32], op[128], mode[16], name[64], with[80];
    char *text;
    int64_t offset_ms, size_bytes;
};

struct bench {
    struct driver_manifest manifest;
    struct agent_config config;
    struct agent *agent;
    time_ms at;
    dur_ms mono;
    struct bench_record records[16384]; /* the journal: what is durable */
    uint32_t n_records;
    struct bench_run runs[64];
    uint32_t n_runs;
    struct json_doc *sent[16384]; /* parsed lines, in order */
    uint32_t sent_to[16384];
    uint32_t n_sent, n_read;
    char forgotten[64][128];
    uint32_t n_forgotten;
    uint32_t fail_append_at; /* this one fails (from 1); 0: none */
    int fail_appends;        /* the next so many appends fail as if the disk were full */
    int stop_after;          /* carry out so many effects, then lose all others (crash); -1: never */
    int effects_done;
    bool crashed;
    int64_t next_id;
    const char *machine, *boot;
};

void bench_open(struct bench *b);
void bench_close(struct bench *b);
/* Fold the journal and start an agent on it; `alive` may be NULL. */
void bench_boot(struct bench *b, const char *alive);
/* The process ends (crash or not); the journal stays. */
void bench_halt(struct bench *b);
/* For cmocka: opened, booted, identified, with connection 1 and the claim of BENCH_CONTROLLER's epoch 1; closed. */
int bench_set_up(void **state);
int bench_tear_down(void **state);
/* Answer the identity question with machine and boot. */
void bench_identify(struct bench *b);

/* Session of connection `conn`, as bench_connect gave it. */
const char *bench_session(uint32_t conn);
void bench_connect(struct bench *b, uint32_t conn);
void bench_disconnect(struct bench *b, uint32_t conn);
/* Send a request; params is JSON text in which $S stands for the session. The
 * answer's id is the return value. */
int64_t bench_ask(struct bench *b, uint32_t conn, const char *method, const char *params);
/* hello and claim for `controller`; checks both answers. */
void bench_claim(struct bench *b, uint32_t conn, const char *controller, int64_t epoch);
/* The same, but it may be refused. */
void bench_try_claim(struct bench *b, uint32_t conn, const char *controller, int64_t epoch);
/* op.start with the right digest. `extra` are further members, e.g. "\"precondition\":{...}" or "". */
int64_t bench_start_op(struct bench *b, uint32_t conn, const char *controller, int64_t epoch, const char *op,
                       const char *action, const char *args, const char *extra);

/* The result, or error, of answer `id`; NULL when there is none yet. */
const json *bench_result(struct bench *b, int64_t id);
const char *bench_error(struct bench *b, int64_t id); /* its name */
/* The last op.done for `op`; NULL. */
const json *bench_done(struct bench *b, const char *op);
/* What is asked of the host for this action; fails the test when there is none. */
struct bench_run *bench_run(struct bench *b, const char *action, const char *mode);
bool bench_has_run(struct bench *b, const char *action, const char *mode);
void bench_answer(struct bench *b, struct bench_run *run, const char *text);
void bench_end(struct bench *b, struct bench_run *run, enum agent_driver_end end, const char *text);
void bench_progress(struct bench *b, const struct bench_run *run, int32_t percent);
/* A package or SNTP run fails. */
void bench_refuse(struct bench *b, struct bench_run *run, enum err_code code, const char *text);
void bench_wait(struct bench *b, dur_ms ms); /* time passes; deadlines are told */
uint32_t bench_count(const struct bench *b, enum agent_record_kind kind, const char *op);
const char *bench_state(struct bench *b, const char *op);

#endif
