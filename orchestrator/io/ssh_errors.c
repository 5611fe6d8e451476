/* libssh2's errors become ours here and nowhere else. */
#include "orchestrator/io/ssh_session_impl.h"

#include <string.h>

static const struct {
    int rc;
    enum err_code code;
    const char *text;
} lib_errors[] = {
    { LIBSSH2_ERROR_KEX_FAILURE, ERR_PROTOCOL,
      "no key exchange, cipher or host key algorithm in common; if the node has only an RSA host key, make "
      "others there with: ssh-keygen -A" },
    { LIBSSH2_ERROR_METHOD_NONE, ERR_PROTOCOL,
      "no key exchange, cipher or host key algorithm in common; if the node has only an RSA host key, make "
      "others there with: ssh-keygen -A" },
    { LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE, ERR_PROTOCOL, "key exchange failed" },
    { LIBSSH2_ERROR_HOSTKEY_INIT, ERR_PROTOCOL, "the host key is malformed" },
    { LIBSSH2_ERROR_HOSTKEY_SIGN, ERR_HOSTKEY, "the host could not prove that it owns its key" },
    { LIBSSH2_ERROR_BANNER_RECV, ERR_PROTOCOL, "no SSH server answers there" },
    { LIBSSH2_ERROR_ALLOC, ERR_NOMEM, "out of memory" },
    { LIBSSH2_ERROR_AUTHENTICATION_FAILED, ERR_AUTH, "authentication failed" },
    { LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED, ERR_AUTH, "authentication failed" },
    { LIBSSH2_ERROR_CHANNEL_FAILURE, ERR_REFUSED, "the server refuses to open a channel (MaxSessions?)" },
    { LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED, ERR_REFUSED, "the server refuses to run the command" },
    { LIBSSH2_ERROR_SOCKET_DISCONNECT, ERR_LOST, "the node hung up" },
    { LIBSSH2_ERROR_SOCKET_SEND, ERR_LOST, "the connection broke while sending" },
    { LIBSSH2_ERROR_SOCKET_RECV, ERR_LOST, "the connection broke while receiving" },
    { LIBSSH2_ERROR_BAD_USE, ERR_INTERNAL, "two sends at once (this is a bug)" },
};

int ssh_session_gone(struct ssh_session *s, const char *doing, struct err *err)
{
    const char *said = ssh_dial_proxy_said(s->dial);
    char where[SSH_WHERE_MAX];

    (void)ssh_target_where(s->config.target, where);
    if (*said != '\0')
        return err_set(err, s->state < SSH_READY ? ERR_CONNECT : ERR_LOST,
                       "%s: %s: the proxy command ended: %s", where, doing, said);
    if (s->state < SSH_READY)
        return err_set(
            err, ERR_CONNECT, "%s: %s: %s; is sshd overloaded (MaxStartups), or this address not allowed?",
            where, doing, s->peer_errno != 0 ? strerror(s->peer_errno) : "the node closed the connection");
    return err_set(err, ERR_LOST, "%s: %s: %s", where, doing,
                   s->peer_errno != 0 ? strerror(s->peer_errno) : "the node closed the connection");
}

int ssh_session_error(struct ssh_session *s, const char *doing, int rc, struct err *err)
{
    char where[SSH_WHERE_MAX];
    char *detail = NULL;

    if (s->peer_gone && rc != LIBSSH2_ERROR_KEX_FAILURE && rc != LIBSSH2_ERROR_METHOD_NONE)
        return ssh_session_gone(s, doing, err);
    (void)ssh_target_where(s->config.target, where);
    for (size_t i = 0; i < sizeof lib_errors / sizeof lib_errors[0]; i++) {
        if (lib_errors[i].rc == rc)
            return err_set(err,
                           lib_errors[i].code == ERR_LOST && s->state < SSH_READY ? ERR_CONNECT
                                                                                  : lib_errors[i].code,
                           "%s: %s: %s", where, doing, lib_errors[i].text);
    }
    (void)libssh2_session_last_error(s->lib, &detail, NULL, 0);
    return err_set(err, ERR_PROTOCOL, "%s: %s: %s (libssh2 %d)", where, doing,
                   detail != NULL ? detail : "failed", rc);
}
