#include "orchestrator/detach.h"

#include "schema/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct detach {
    int tell; /* the pipe to the parent; -1 once it was told */
    pid_t pid;
};

static void tell(struct detach *d, char what, int code, const char *text)
{
    if (d->tell < 0)
        return;
    dprintf(d->tell, "%c%d %s", what, code, text);
    close(d->tell);
    d->tell = -1;
}

void detach_started(struct detach *d, const char *run)
{
    tell(d, 'S', 0, run);
}

void detach_ended(struct detach *d, int rc, const struct err *err)
{
    tell(d, 'E', rc == 0 ? (int)ERR_INTERNAL : rc, rc == 0 ? "the run ended before it began" : err->text);
    free(d);
}

/* What the child said: "S0 RUN" or "ECODE TEXT"; nothing: it died. */
static int hear(int fd, pid_t child, const char *db, struct err *err)
{
    char text[2048];
    size_t n = 0;
    ssize_t got;
    char *end;
    long code;

    while (n < sizeof text - 1 &&
           ((got = read(fd, text + n, sizeof text - 1 - n)) > 0 || (got < 0 && errno == EINTR)))
        n += got > 0 ? (size_t)got : 0;
    text[n] = '\0';
    if (n == 0) {
        waitpid(child, NULL, 0);
        return err_set(err, ERR_INTERNAL, "the background process died at once; see %s.log", db);
    }
    code = strtol(text + 1, &end, 10);
    if (text[0] != 'S') {
        waitpid(child, NULL, 0);
        return err_set(err, code > 0 && code < ERR_CODES ? (enum err_code)code : ERR_INTERNAL, "%s",
                       *end == ' ' ? end + 1 : end);
    }
    printf("run %s goes on in the background (pid %d); `patchwave status --watch` shows it, %s.log is what "
           "it says\n",
           *end == ' ' ? end + 1 : end, (int)child, db);
    fflush(stdout);
    return 0;
}

static int redirect(const char *db, struct err *err)
{
    struct buf path = BUF_INIT;
    int log, null = open("/dev/null", O_RDWR | O_CLOEXEC), rc = 0;

    buf_printf(&path, "%s.log", db);
    log = open(buf_text(&path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
        rc = err_set(err, ERR_IO, "%s: %s", buf_text(&path), strerror(errno));
    if (log > 2)
        close(log);
    if (null > 2)
        close(null);
    buf_clear(&path);
    return rc;
}

int detach_fork(const char *db, struct detach **ret_detach, int *ret_exit, struct err *err)
{
    struct detach *d = calloc(1, sizeof *d);
    int fds[2], rc;

    if (d == NULL || pipe2(fds, O_CLOEXEC) != 0) {
        free(d);
        return err_set(err, ERR_IO, "go to the background: %s", strerror(errno));
    }
    fflush(NULL);
    d->pid = fork();
    if (d->pid != 0) {
        close(fds[1]);
        rc = d->pid < 0 ? err_set(err, ERR_IO, "fork: %s", strerror(errno)) : hear(fds[0], d->pid, db, err);
        close(fds[0]);
        free(d);
        *ret_exit = 0;
        return rc;
    }
    close(fds[0]);
    d->tell = fds[1];
    setsid();
    rc = redirect(db, err);
    if (rc != 0) {
        detach_ended(d, rc, err);
        _exit(1);
    }
    *ret_detach = d;
    return 0;
}
