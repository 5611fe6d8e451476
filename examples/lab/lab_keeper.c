#include "examples/lab/lab_keeper.h"

#include "examples/lab/lab_dir.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FAMILY_MAX 4096
#define RESTART_MS 100   /* services come back by themselves (O28) ... */
#define RESTART_MAX 2000 /* ... more slowly when they cannot */

/* --- ending everything below us --- */

static pid_t parent_of(const char *pid)
{
    char path[64], text[512], *end;
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return -1;
    text[n] = 0;
    end = strrchr(text, ')'); /* the name may hold anything */
    return end == NULL ? -1 : (pid_t)strtol(end + 4, NULL, 10);
}

struct kin {
    pid_t pid, parent;
    bool ours;
};

static size_t census(struct kin *all)
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    size_t n = 0;

    while (d != NULL && n < FAMILY_MAX && (e = readdir(d)) != NULL)
        if (isdigit((unsigned char)e->d_name[0]))
            all[n++] = (struct kin){ (pid_t)strtol(e->d_name, NULL, 10), parent_of(e->d_name), false };
    if (d != NULL)
        closedir(d);
    return n;
}

static bool ours(const struct kin *all, size_t n, pid_t pid)
{
    for (size_t i = 0; i < n; i++)
        if (all[i].pid == pid)
            return all[i].ours;
    return false;
}

/* One pass: every descendant gets SIGKILL; how many there were. */
static size_t kill_descendants(void)
{
    static struct kin all[FAMILY_MAX];
    size_t n = census(all), killed = 0;
    bool more = true;

    while (more) {
        more = false;
        for (size_t i = 0; i < n; i++)
            if (!all[i].ours && (all[i].parent == getpid() || ours(all, n, all[i].parent)))
                more = all[i].ours = true;
    }
    for (size_t i = 0; i < n; i++)
        if (all[i].ours && kill(all[i].pid, SIGKILL) == 0)
            killed++;
    return killed;
}

/* Orphans come to us (subreaper), so that a few passes find them all. */
static void end_all(void)
{
    for (int i = 0; i < 50 && kill_descendants() > 0; i++) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
    }
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

/* --- the two programs --- */

static void become(const char *log, char *const argv[])
{
    sigset_t none;
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644), null = open("/dev/null", O_RDONLY);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(null, 0);
    dup2(fd, 1);
    dup2(fd, 2);
    execv(argv[0], argv);
    _exit(127);
}

static const char *sshd_path(void)
{
    static const char *const places[] = { "/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd" };

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return places[0];
}

static pid_t start_sshd(const char *dir, const char *node)
{
    char config[LAB_PATH], log[LAB_PATH], path[64];
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    snprintf(path, sizeof path, "%s", sshd_path());
    lab_node_path(dir, node, "sshd_config", config);
    become(lab_node_path(dir, node, "sshd.log", log),
           (char *const[]){ path, (char[]){ "-D" }, (char[]){ "-e" }, (char[]){ "-f" }, config, NULL });
    return -1;
}

static pid_t start_agent(const char *dir, const char *node, const char *agent)
{
    char config[LAB_PATH], log[LAB_PATH], path[LAB_PATH];
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    if (access(lab_node_path(dir, node, "agent", path), X_OK) != 0)
        snprintf(path, sizeof path, "%s", agent);
    lab_node_path(dir, node, "agent.json", config);
    become(lab_node_path(dir, node, "agent.log", log),
           (char *const[]){ path, (char[]){ "serve" }, (char[]){ "--config" }, config, NULL });
    return -1;
}

/* The two services; `wait_ms` grows while they end as soon as they begin. */
struct services {
    pid_t sshd, agent;
    long wait_ms;
    time_t started;
};

static void keep_up(struct services *s, const char *dir, const char *node, const char *agent)
{
    if (s->sshd > 0 && s->agent > 0)
        return;
    s->started = time(NULL);
    if (s->sshd <= 0)
        s->sshd = start_sshd(dir, node);
    if (s->agent <= 0)
        s->agent = start_agent(dir, node, agent);
}

static void reap(struct services *s)
{
    pid_t gone;

    while ((gone = waitpid(-1, NULL, WNOHANG)) > 0) {
        if (gone != s->sshd && gone != s->agent)
            continue;
        s->wait_ms = time(NULL) - s->started > 1 ? RESTART_MS : s->wait_ms * 2;
        if (s->wait_ms > RESTART_MAX)
            s->wait_ms = RESTART_MAX;
        s->sshd = gone == s->sshd ? -1 : s->sshd;
        s->agent = gone == s->agent ? -1 : s->agent;
    }
}

/* False when the node loses its power. */
static bool wait_for_something(const sigset_t *set, const struct services *s)
{
    struct timespec pause = { s->wait_ms / 1000, s->wait_ms % 1000 * 1000000 };
    bool missing = s->sshd <= 0 || s->agent <= 0;
    int sig = missing ? sigtimedwait(set, NULL, &pause) : sigwaitinfo(set, NULL);

    return sig < 0 || sig == SIGCHLD;
}

int lab_keeper_main(const char *dir, const char *node, const char *agent)
{
    struct services s = { -1, -1, RESTART_MS, 0 };
    sigset_t set;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (geteuid() == 0)
        (void)mkdir("/run/sshd", 0755); /* sshd's own wish */
    keep_up(&s, dir, node, agent);
    while (wait_for_something(&set, &s)) {
        bool was_missing = s.sshd <= 0 || s.agent <= 0;
        reap(&s);
        if (was_missing)
            keep_up(&s, dir, node, agent);
    }
    end_all();
    return 0;
}

int lab_keeper_start(const char *dir, const char *node, const char *agent, pid_t *ret_pid, struct err *err)
{
    pid_t parent = getpid(), pid = fork();

    if (pid < 0)
        return err_set(err, ERR_IO, "fork: %s", strerror(errno));
    if (pid == 0) {
        sigset_t none;
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        (void)signal(SIGPIPE, SIG_DFL); /* the daemon's own affair as well */
        setpgid(0, 0);                  /* a Ctrl-C at the daemon is its own affair */
        if (getppid() == parent)
            execl("/proc/self/exe", "hvlab", "keep", "--dir", dir, "--node", node, "--agent", agent,
                  (char *)NULL);
        _exit(127);
    }
    *ret_pid = pid;
    return 0;
}
