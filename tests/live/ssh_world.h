/* What the transport's live tests share: a bed of keys and sshds for the whole
 * program, a loop with keyring and pool for each test. */
#ifndef PATCHWAVE_TESTS_SSH_WORLD_H
#define PATCHWAVE_TESTS_SSH_WORLD_H

#include "orchestrator/io/loop.h"
#include "orchestrator/io/ssh_exec.h"
#include "orchestrator/io/ssh_keys.h"
#include "orchestrator/io/ssh_pool.h"
#include "orchestrator/io/ssh_session.h"
#include "orchestrator/io/ssh_target.h"
#include "tests/lib/check.h"
#include "tests/lib/sshd_bed.h"

#include <stdbool.h>

struct ssh_world {
    struct bed bed;
    struct sshd_bed sshd;               /* ed25519 host key, echo_agent behind it */
    char command[2 * BED_PATH_MAX + 2]; /* echo_agent DIR */
    char key[BED_PATH_MAX];             /* the user's ed25519 key */
    struct loop *loop;                  /* from here on: per test */
    struct ssh_keyring *keys;
    struct ssh_pool *pool;
};

int ssh_world_open(void **state);  /* group setup */
int ssh_world_close(void **state); /* group teardown */
int ssh_world_begin(void **state); /* per test: loop, keyring (no ssh-agent), pool with short waits */
int ssh_world_end(void **state);   /* everything must have been closed by the test: loop_free() checks */

/* A target at that sshd with its key pinned and short time limits. */
struct ssh_target ssh_world_target(const struct ssh_world *w, const struct sshd_bed *d);
/* Turn the loop until `done(arg)`; fails the test after 90 s. */
void ssh_world_until(struct ssh_world *w, bool (*done)(void *arg), void *arg);
/* Turn the loop for so long, or until `done`; for things that must not happen. */
void ssh_world_turn(struct ssh_world *w, dur_ms for_ms);
/* A keyring with other settings in place of the world's. */
void ssh_world_keys(struct ssh_world *w, const char *agent_socket, ssh_passphrase_fn *ask, void *ask_arg);
/* CPU seconds of this process so far. */
double cpu_seconds(void);

/* A session and what became of it. */
struct seen_session {
    struct ssh_session *session;
    bool ready, ended;
    struct err why;
};
void seen_open(struct ssh_world *w, struct seen_session *s, const struct ssh_target *t, bool learn);
bool seen_settled(void *arg); /* ready or ended */
/* Open, wait until it is ready or ended, and give the outcome. */
void seen_run(struct ssh_world *w, struct seen_session *s, const struct ssh_target *t, bool learn);
void seen_close(struct seen_session *s);

/* A link and what became of it. */
struct seen_link {
    struct ssh_link *link;
    unsigned ups, downs;
    struct err why;
    dur_ms retry_ms, longest_ms;
};
void seen_link_open(struct ssh_pool *pool, struct seen_link *l, const struct ssh_target *t);
bool seen_link_up(void *arg);   /* was it ever */
bool seen_link_down(void *arg); /* was it ever */

/* A command and what became of it. */
struct seen_exec {
    struct ssh_exec *exec;
    size_t got;
    bool opened, ended;
    int exit_status;
    struct err why;
    char errors[SSH_EXEC_TAIL_MAX];
};
void seen_exec_start(struct seen_link *l, struct seen_exec *x, const char *command);
bool seen_exec_ended(void *arg);

/* Text contains; prints both. */
#define check_contains(text, part)                                      \
    do {                                                                \
        if (strstr((text), (part)) == NULL)                             \
            fail_msg("\"%s\" does not contain \"%s\"", (text), (part)); \
    } while (0)

#endif
