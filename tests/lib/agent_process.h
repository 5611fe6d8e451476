/* A real `patchwave-agent serve` with the toy driver in a folder of its own,
 * and a client on its socket. Every wait has a bound; what was started is
 * ended by its process id. */
#ifndef PATCHWAVE_TESTS_AGENT_PROCESS_H
#define PATCHWAVE_TESTS_AGENT_PROCESS_H

#include "schema/codec.h"
#include "schema/sha256.h"

#include <stdio.h>
#include <sys/types.h>

#define AP_CONTROLLER "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define AP_NOTES 64

struct agent_process {
    char dir[64], config[96], socket[96], world[96], state[96];
    pid_t pid;
    int fd; /* the client; -1: not connected */
    struct line_cutter in;
    int64_t next_id, epoch;
    char session[33];
    struct json_doc *notes[AP_NOTES]; /* notifications, oldest first */
    uint32_t n_notes;
    char state_dir[128];   /* where the agent keeps its state; may be changed before ap_serve */
    char more_config[128]; /* further members, e.g. ",\"slots\":2" */
    char crash_at[64], version[32], node[32]; /* "HV07", unless changed before ap_serve */
};

/* Path of a program of this build, e.g. "agent/patchwave-agent". */
const char *ap_program(const char *name);
void ap_open(struct agent_process *p);
/* Its driver's actions may be kept (docs/driver.md), and have so long. */
void ap_open_with(struct agent_process *p, bool resident, int limit_ms);
void ap_close(struct agent_process *p); /* ends the agent, removes the folder */
/* Start serve; waits until its socket is there or it has ended. */
void ap_serve(struct agent_process *p);
/* Wait for its end; the wait status as from waitpid. */
int ap_wait(struct agent_process *p);
void ap_kill(struct agent_process *p, int signal_number); /* and wait */

/* Connect to the socket, hello, claim with a new epoch. */
void ap_connect(struct agent_process *p);
void ap_hello(struct agent_process *p); /* without a claim */
void ap_disconnect(struct agent_process *p);
/* One request; the whole answer, to be freed; NULL when the agent hung up. */
struct json_doc *ap_call(struct agent_process *p, const char *method, const char *params);
/* op.start with the right digest. */
struct json_doc *ap_start(struct agent_process *p, const char *op, const char *action, const char *args,
                          int64_t limit_ms);
/* Wait for the notification `method` about `op`; to be freed; NULL when the agent hung up. */
struct json_doc *ap_note(struct agent_process *p, const char *method, const char *op);
/* op.status until its state is `state`; the bound is 20 s. */
void ap_until(struct agent_process *p, const char *op, const char *state);
/* A string inside an answer's result: ap_str(doc, "record", "outcome"). `in` may be NULL. */
const char *ap_str(const struct json_doc *answer, const char *in, const char *key);
const char *ap_error(const struct json_doc *answer);

/* The toy driver's world. */
void ap_world(struct agent_process *p, const char *file, const char *text);
void ap_world_remove(struct agent_process *p, const char *file);
uint32_t ap_effects(struct agent_process *p, const char *op); /* how often it happened: the truth */
/* Run a program to its end; its standard output in `out` (may be NULL); the exit code. */
int ap_run(const char *const *argv, const char *env, const void *in, size_t in_len, struct buf *out);

#endif
