#include "orchestrator/admin_login.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SSH_FAILED 255
#define WORDS 8

struct child {
    pid_t pid;
    int out; /* what it writes to standard output; -1: that goes to standard error */
};

static void become(const char *const w[WORDS], FILE *in, int out)
{
    if (dup2(fileno(in), STDIN_FILENO) < 0 || dup2(out >= 0 ? out : STDERR_FILENO, STDOUT_FILENO) < 0)
        _exit(127);
    execlp(w[0], w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], (char *)NULL); /* up to the first NULL */
    fprintf(stderr, "%s: %s\n", w[0], strerror(errno));
    _exit(127);
}

/* Start a program whose standard input is `input` (may be empty). */
static int start(struct child *c, const char *const argv[WORDS], const char *input, bool heard,
                 struct err *err)
{
    FILE *in = tmpfile();
    int ends[2] = { -1, -1 };

    if (in == NULL || fputs(input, in) < 0 || fflush(in) != 0 || fseek(in, 0, SEEK_SET) != 0 ||
        (heard && pipe(ends) != 0)) {
        if (in != NULL)
            fclose(in);
        return err_set(err, ERR_IO, "start %s: %s", argv[0], strerror(errno));
    }
    c->pid = fork();
    if (c->pid == 0)
        become(argv, in, ends[1]);
    fclose(in);
    if (heard)
        close(ends[1]);
    c->out = ends[0];
    return c->pid > 0 ? 0 : err_set(err, ERR_INTERNAL, "fork: %s", strerror(errno));
}

static void hear(int fd, struct buf *output)
{
    char block[4096];
    ssize_t n;

    while ((n = read(fd, block, sizeof block)) > 0 || (n < 0 && errno == EINTR)) {
        if (n <= 0)
            continue;
        buf_add(output, block, (size_t)n);
        fwrite(block, 1, (size_t)n, stderr);
    }
    close(fd);
}

static int end(const struct child *c)
{
    int status = 0;

    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : SSH_FAILED;
}

/* sftp's batch takes blanks in quotes; a quote, a backslash or a glob it would take apart. */
static bool plain(const char *path)
{
    return strpbrk(path, "\"\\*?[]\n\r") == NULL;
}

static int batch_folder(struct buf *batch, const char *folder, struct err *err)
{
    DIR *d = opendir(folder);
    const struct dirent *e;
    uint32_t n = 0;
    int rc = 0;

    if (d == NULL)
        return err_set(err, ERR_INVALID, "--files: %s: %s", folder, strerror(errno));
    while (rc == 0 && (e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        if (!plain(folder) || !plain(e->d_name))
            rc = err_set(err, ERR_INVALID, "--files: the name %s/%s cannot be sent by sftp", folder,
                         e->d_name);
        buf_printf(batch, "put -pr \"%s/%s\" \"" ADMIN_FOLDER "/\"\n", folder, e->d_name);
        n++;
    }
    closedir(d);
    return rc != 0 || n > 0 ? rc : err_set(err, ERR_INVALID, "--files: %s is empty", folder);
}

static int write_temporary(char *path, const struct buf *text, struct err *err)
{
    int fd = mkstemp(path);
    bool written = fd >= 0 && write(fd, buf_text(text), text->len) == (ssize_t)text->len;

    if (fd >= 0)
        written &= close(fd) == 0;
    return written ? 0 : err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
}

static int sftp(const struct admin_login *l, const struct buf *batch, struct err *err)
{
    const char *argv[WORDS] = { "sftp", "-q", "-b", "-" };
    struct child c = { .out = -1 };
    int n = 4, rc, code;

    if (l->config != NULL) {
        argv[n++] = "-F";
        argv[n++] = l->config;
    }
    argv[n++] = "--";
    argv[n] = l->where;
    rc = start(&c, argv, buf_text(batch), false, err);
    if (rc != 0)
        return rc;
    code = end(&c);
    return code == 0
               ? 0
               : err_set(err, ERR_CONNECT, "sftp to %s ended with %d: nothing was set up", l->where, code);
}

int admin_put(const struct admin_login *l, const char *folder, const char *name, const struct buf *text,
              struct err *err)
{
    char temporary[] = "/tmp/patchwave-setup-XXXXXX";
    struct buf batch = BUF_INIT;
    int rc;

    buf_str(&batch, "-mkdir " ADMIN_FOLDER "\n");
    rc = batch_folder(&batch, folder, err);
    if (rc == 0)
        rc = write_temporary(temporary, text, err);
    if (rc == 0) {
        buf_printf(&batch, "put %s " ADMIN_FOLDER "/%s\n", temporary, name);
        rc = batch.failed ? err_set(err, ERR_NOMEM, "sftp") : sftp(l, &batch, err);
        unlink(temporary);
    }
    buf_clear(&batch);
    return rc;
}

int admin_run(const struct admin_login *l, const char *command, struct buf *output, int *ret_exit,
              struct err *err)
{
    const char *argv[WORDS] = { "ssh", "-T" };
    struct child c = { .out = -1 };
    int n = 2, rc;

    if (l->config != NULL) {
        argv[n++] = "-F";
        argv[n++] = l->config;
    }
    argv[n++] = "--";
    argv[n++] = l->where;
    argv[n] = command;
    rc = start(&c, argv, "", true, err);
    if (rc != 0)
        return rc;
    hear(c.out, output);
    *ret_exit = end(&c);
    return *ret_exit != SSH_FAILED ? 0 : err_set(err, ERR_CONNECT, "ssh to %s failed", l->where);
}
