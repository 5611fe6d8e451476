#include "orchestrator/io/ssh_session_impl.h"

enum ssh_step ssh_workers_round(struct ssh_session *s, struct err *err)
{
    if (s->sender != NULL) {
        if (s->sender->turn(s->sender, err) != 0)
            return SSH_STEP_FAILED;
        if (s->state != SSH_READY || s->sender != NULL)
            return SSH_STEP_WAIT;
    }
    s->cursor = s->workers;
    while (s->cursor != NULL) {
        struct ssh_worker *w = s->cursor;

        s->cursor = w->next;
        if (w->turn(w, err) != 0)
            return SSH_STEP_FAILED;
        if (s->state != SSH_READY || s->sender != NULL)
            return SSH_STEP_WAIT;
    }
    return SSH_STEP_NEXT;
}

void ssh_session_attach(struct ssh_session *s, struct ssh_worker *w)
{
    struct ssh_worker **at = &s->workers;

    while (*at != NULL)
        at = &(*at)->next;
    w->next = NULL;
    *at = w;
    ssh_session_wake(s);
}

void ssh_session_detach(struct ssh_session *s, struct ssh_worker *w)
{
    struct ssh_worker **at = &s->workers;

    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    if (s->cursor == w)
        s->cursor = w->next;
    if (s->sender == w)
        s->sender = NULL;
    if (s->opener == w)
        s->opener = NULL;
}

LIBSSH2_SESSION *ssh_session_lib(struct ssh_session *s)
{
    return s->lib;
}

bool ssh_session_waits(struct ssh_session *s, struct ssh_worker *w, ssize_t rc)
{
    if (rc != LIBSSH2_ERROR_EAGAIN) {
        if (s->sender == w)
            s->sender = NULL;
        return false;
    }
    if ((libssh2_session_block_directions(s->lib) & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0)
        s->sender = w;
    else if (s->sender == w)
        s->sender = NULL;
    return true;
}

bool ssh_session_sends(const struct ssh_session *s, const struct ssh_worker *w)
{
    return s->sender == w;
}

bool ssh_session_may_open(struct ssh_session *s, struct ssh_worker *w)
{
    if (s->opener == NULL)
        s->opener = w;
    return s->opener == w;
}

void ssh_session_opened(struct ssh_session *s)
{
    s->opener = NULL;
    s->woken = true; /* who waited for this may go on in the same round */
}

void ssh_session_wake(struct ssh_session *s)
{
    if (s->running)
        s->woken = true;
    else
        ssh_session_again(s);
}

void ssh_session_again(struct ssh_session *s)
{
    s->again = true;
    if (!s->running && s->state == SSH_READY)
        ssh_session_watch(s);
}
