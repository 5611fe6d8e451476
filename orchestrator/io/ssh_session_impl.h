/* The inside of a session, shared by ssh_session.c (its life), ssh_socket.c
 * (the bytes), ssh_errors.c (the sentences) and ssh_workers.c (whose turn). */
#ifndef PATCHWAVE_SSH_SESSION_IMPL_H
#define PATCHWAVE_SSH_SESSION_IMPL_H

#include "orchestrator/io/loop.h"
#include "orchestrator/io/ssh_auth.h"
#include "orchestrator/io/ssh_dial.h"
#include "orchestrator/io/ssh_session.h"

struct ssh_session {
    struct ssh_session_config config;
    enum ssh_state state;
    struct ssh_dial *dial;
    int fd;
    LIBSSH2_SESSION *lib;
    struct ssh_auth auth;
    struct ssh_hostkey hostkey;
    bool hostkey_seen;
    bool half_shaken; /* libssh2 is in the middle of the handshake */

    struct ssh_worker *workers;
    struct ssh_worker *cursor; /* the next to get a turn; detach moves it on */
    struct ssh_worker *sender; /* has a packet half out */
    struct ssh_worker *opener; /* is opening a channel */

    /* this turn of the loop */
    bool running, woken, again;
    bool dry; /* the socket gave all it had, or all it may */
    size_t turn_bytes;
    uint64_t read_bytes; /* ever */
    bool peer_gone;
    int peer_errno; /* 0: it closed in good order */

    uv_poll_t poll;
    bool poll_open;
    int events;
    uv_idle_t idle; /* runs while another turn is due */
    struct loop_timer limit;
    struct loop_closer closer;
};

/* What a step of the machine, or a round of the workers, comes to. */
enum ssh_step { SSH_STEP_NEXT, SSH_STEP_WAIT, SSH_STEP_FAILED };

/* Have libssh2 read and write through the session, so that it can count and bound. */
void ssh_socket_install(struct ssh_session *s);
/* The connection is gone (peer_gone): CONNECT before the session was ready, LOST after. */
int ssh_session_gone(struct ssh_session *s, const char *doing, struct err *err);
/* One turn for each worker; only for the sender while a packet is half out. */
enum ssh_step ssh_workers_round(struct ssh_session *s, struct err *err);
/* Bring what is watched (socket, idle) up to date with what is waited for. */
void ssh_session_watch(struct ssh_session *s);

#endif
