/* Shared by the daemon's files only. */
#ifndef PATCHWAVE_LAB_DAEMON_IMPL_H
#define PATCHWAVE_LAB_DAEMON_IMPL_H

#include "examples/lab/ask.h"
#include "examples/lab/lab_daemon.h"
#include "examples/lab/lab_sntp.h"
#include "examples/lab/world_store.h"

#include "schema/codec.h"

#include <sys/types.h>
#include <uv.h>

#define TOKEN_TEXT 33

struct daemon {
    const struct serve_wish *wish;
    uv_loop_t loop;
    uv_pipe_t driver, admin;
    uv_timer_t next, save;
    uv_signal_t term, interrupt, child;
    struct lab_sntp sntp;
    bool has_sntp, stopping;
    struct world world;
    struct world_store *store;
    struct conn *conns; /* all that are open */
    pid_t *keepers;     /* per node; 0: off */
    char token[TOKEN_TEXT];
};

struct conn {
    uv_pipe_t pipe;
    struct daemon *d;
    struct conn *next;
    bool admin, known; /* known: showed the token */
    bool closing;
    struct line_cutter cut;
    struct ask *ask; /* at most one at a time */
    int64_t ask_id;
    char in[16384];
};

/* The fleet's time now. */
time_ms daemon_now(const struct daemon *d);
/* Let the world catch up, answer who waits, set the timer. */
void daemon_tick(struct daemon *d);

/* lab_conn.c */
void conn_accept(struct daemon *d, uv_stream_t *server, bool admin);
void conn_close(struct conn *c);
void conn_send(struct conn *c, struct buf *line); /* takes the bytes */
void conn_poll(struct conn *c);

/* lab_rpc.c: one request; answers, or leaves c->ask. */
void rpc_handle(struct conn *c, struct rpc_message *msg);
void rpc_finish_ask(struct conn *c);

/* lab_nodes.c: the machine room. */
void nodes_start(struct daemon *d);
void nodes_stop(struct daemon *d);
void nodes_power(void *owner, uint32_t node, bool on);
void nodes_reap(struct daemon *d);

#endif
