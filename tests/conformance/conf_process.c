#include "tests/conformance/conf.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 2

static int64_t mono_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void child(const char *folder, const char *const *argv, int in, int out)
{
    union {
        const char *const *in;
        char *const *out;
    } u = { argv };

    setpgid(0, 0);
    dup2(in, 0);
    dup2(out, 1);
    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2); /* progress: not what is held against it here */
    if (folder != NULL && chdir(folder) != 0)
        _exit(127);
    execvp(argv[0], u.out);
    _exit(127);
}

static void feed(int fd, const char *input)
{
    size_t at = 0, len = strlen(input);
    ssize_t n;

    while (at < len && (n = write(fd, input + at, len - at)) > 0)
        at += (size_t)n;
    close(fd);
}

/* True when the output ended; false when time or `stop` ended the waiting. */
static bool collect(int fd, int limit_ms, bool (*stop)(void *), void *arg, struct buf *out)
{
    int64_t until = mono_ms() + limit_ms;
    char part[8192];

    while (mono_ms() < until) {
        struct pollfd p = { fd, POLLIN, 0 };
        int ready = poll(&p, 1, stop == NULL ? 100 : TICK_MS);
        ssize_t n = ready > 0 ? read(fd, part, sizeof part) : 1;
        if (ready > 0 && n <= 0)
            return true;
        if (ready > 0)
            buf_add(out, part, (size_t)n);
        else if (stop != NULL && stop(arg))
            return false;
    }
    return false;
}

int conf_run(const char *folder, const char *const *argv, const char *input, int limit_ms,
             bool (*stop)(void *), void *arg, struct buf *out)
{
    int in[2], back[2], status = 0;
    bool ended;
    pid_t pid;

    signal(SIGPIPE, SIG_IGN);
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(back, O_CLOEXEC) != 0)
        return -1;
    pid = fork();
    if (pid == 0)
        child(folder, argv, in[0], back[1]);
    setpgid(pid, pid);
    close(in[0]);
    close(back[1]);
    feed(in[1], input);
    ended = collect(back[0], limit_ms, stop, arg, out);
    close(back[0]);
    if (!ended)
        kill(-pid, SIGKILL);
    waitpid(pid, &status, 0);
    return ended && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
