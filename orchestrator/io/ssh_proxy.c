#include "orchestrator/io/ssh_proxy.h"

#include "orchestrator/io/loop.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROXY_KILL_MS 2000
#define PROXY_SAID_MAX 256

struct ssh_proxy {
    uv_process_t process;
    uv_pipe_t errors;
    struct loop_timer killer;
    struct loop_closer closer;
    bool exited, ended;
    char line[PROXY_SAID_MAX], said[PROXY_SAID_MAX];
    size_t line_len;
    char chunk[1024];
};

/* Names and addresses go into a shell's command line. */
static bool shell_safe(const char *s)
{
    if (*s == '-' || *s == '\0')
        return false;
    for (; *s != '\0'; s++) {
        if (!isalnum((unsigned char)*s) && strchr("._:@%+-", *s) == NULL)
            return false;
    }
    return true;
}

int ssh_proxy_expand(const struct ssh_target *target, struct buf *out, struct err *err)
{
    char port[8];

    (void)snprintf(port, sizeof port, "%u", target->port != 0 ? target->port : 22u);
    for (const char *c = target->proxy_command; *c != '\0'; c++) {
        const char *value;

        if (*c != '%') {
            buf_char(out, *c);
            continue;
        }
        c++;
        value = *c == 'h'   ? target->address
                : *c == 'p' ? port
                : *c == 'r' ? target->user
                : *c == 'n' ? target->node
                            : NULL;
        if (*c == '%') {
            buf_char(out, '%');
            continue;
        }
        if (value == NULL)
            return err_set(err, ERR_INVALID, "proxy_command of %s: %%%c is not one of %%h %%p %%r %%n %%%%",
                           target->node, *c != '\0' ? *c : ' ');
        if (!shell_safe(value))
            return err_set(err, ERR_INVALID, "proxy_command of %s: \"%s\" must not go into a shell command",
                           target->node, value);
        buf_str(out, value);
    }
    return out->failed ? err_set(err, ERR_NOMEM, "proxy_command") : 0;
}

static void proxy_hear(struct ssh_proxy *p, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] != '\n' && data[i] != '\r') {
            if (p->line_len < PROXY_SAID_MAX - 1)
                p->line[p->line_len++] = isprint((unsigned char)data[i]) ? data[i] : '?';
            continue;
        }
        if (p->line_len > 0) {
            memcpy(p->said, p->line, p->line_len);
            p->said[p->line_len] = '\0';
        }
        p->line_len = 0;
    }
}

static void on_proxy_alloc(uv_handle_t *h, size_t hint, uv_buf_t *ret_buf)
{
    struct ssh_proxy *p = h->data;

    (void)hint;
    *ret_buf = uv_buf_init(p->chunk, sizeof p->chunk);
}

static void on_proxy_errors(uv_stream_t *s, ssize_t n, const uv_buf_t *data)
{
    struct ssh_proxy *p = s->data;

    if (n > 0)
        proxy_hear(p, data->base, (size_t)n);
    else if (n < 0)
        (void)uv_read_stop(s);
}

static void on_proxy_closed(void *arg)
{
    free(arg);
}

static void proxy_close(struct ssh_proxy *p)
{
    loop_close(&p->closer, (uv_handle_t *)&p->process);
    loop_close(&p->closer, (uv_handle_t *)&p->errors);
    loop_close_timer(&p->closer, &p->killer);
}

static void on_proxy_exit(uv_process_t *process, int64_t status, int term_signal)
{
    struct ssh_proxy *p = process->data;

    (void)status;
    (void)term_signal; /* the session sees the end of the stream, and asks what was said */
    p->exited = true;
    if (p->ended)
        proxy_close(p);
}

static void on_proxy_kill(void *arg)
{
    struct ssh_proxy *p = arg;

    (void)kill(-p->process.pid, SIGKILL);
}

void ssh_proxy_end(struct ssh_proxy *p)
{
    if (p == NULL)
        return;
    p->ended = true;
    if (p->exited) {
        proxy_close(p);
        return;
    }
    (void)kill(-p->process.pid, SIGTERM); /* detached: the leader of its own group */
    loop_timer_start(&p->killer, PROXY_KILL_MS);
}

const char *ssh_proxy_said(const struct ssh_proxy *p)
{
    return p->said;
}

static int proxy_spawn(struct loop *l, struct ssh_proxy *p, char *command, int far_fd)
{
    char shell[] = "/bin/sh", option[] = "-c";
    char *args[] = { shell, option, command, NULL };
    uv_stdio_container_t stdio[3] = {
        { .flags = UV_INHERIT_FD, .data.fd = far_fd },
        { .flags = UV_INHERIT_FD, .data.fd = far_fd },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->errors },
    };
    uv_process_options_t options = { .file = shell,
                                     .args = args,
                                     .flags = UV_PROCESS_DETACHED,
                                     .stdio = stdio,
                                     .stdio_count = 3,
                                     .exit_cb = on_proxy_exit };
    int rc = uv_spawn(loop_uv(l), &p->process, &options);

    p->process.data = p;
    if (rc == 0)
        rc = uv_read_start((uv_stream_t *)&p->errors, on_proxy_alloc, on_proxy_errors);
    return rc;
}

static void proxy_init(struct loop *l, struct ssh_proxy *p)
{
    p->closer.done = on_proxy_closed;
    p->closer.arg = p;
    (void)uv_pipe_init(loop_uv(l), &p->errors, 0);
    p->errors.data = p;
    loop_timer_init(l, &p->killer, on_proxy_kill, p);
}

int ssh_proxy_start(struct loop *l, const struct ssh_target *target, struct ssh_proxy **ret_proxy,
                    int *ret_fd, struct err *err)
{
    struct buf command = BUF_INIT;
    struct ssh_proxy *p = NULL;
    int fds[2] = { -1, -1 };
    int rc;

    buf_str(&command, "exec "); /* so that the process is the command, not its shell */
    rc = ssh_proxy_expand(target, &command, err);
    if (rc != 0)
        goto out;
    p = calloc(1, sizeof *p);
    if (p == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        rc = err_set(err, p == NULL ? ERR_NOMEM : ERR_CONNECT, "proxy command of %s: %s", target->node,
                     strerror(errno));
        free(p);
        goto out;
    }
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK); /* our end only: few commands expect it on theirs */
    proxy_init(l, p);
    rc = proxy_spawn(l, p, command.data, fds[1]);
    (void)close(fds[1]);
    if (rc != 0) {
        rc = err_set(err, ERR_CONNECT, "proxy command of %s: %s", target->node, uv_strerror(rc));
        (void)close(fds[0]);
        p->exited = p->process.pid == 0;
        ssh_proxy_end(p);
        goto out;
    }
    *ret_proxy = p;
    *ret_fd = fds[0];
out:
    buf_clear(&command);
    return rc;
}
