#include "agent/io/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int fail(struct err *err, const char *what, const char *path)
{
    enum err_code code = ERR_IO;

    if (errno == ENOSPC || errno == EDQUOT)
        code = ERR_FULL;
    else if (errno == ENOENT)
        code = ERR_NOT_FOUND;
    else if (errno == EROFS)
        code = ERR_READONLY;
    return err_set(err, code, "%s %s: %s", what, path, strerror(errno));
}

const char *os_name(void)
{
    return "linux";
}

const char *os_default_config(void)
{
    return "/etc/patchwave/agent.json";
}

int os_random(void *to, size_t len, struct err *err)
{
    if (getrandom(to, len, 0) != (ssize_t)len)
        return err_set(err, ERR_IO, "random numbers: %s", strerror(errno));
    return 0;
}

static int64_t read_clock(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

time_ms os_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t os_wall_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

dur_ms os_mono_ms(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

void os_private_files(void)
{
    (void)umask(0077);
}

static int make_dir(const char *path, mode_t mode, struct err *err)
{
    if (mkdir(path, mode) != 0 && errno != EEXIST)
        return fail(err, "make folder", path);
    return chmod(path, mode) == 0 ? 0 : fail(err, "protect folder", path);
}

int os_private_dir(const char *path, struct err *err)
{
    return make_dir(path, 0700, err);
}

int os_group_dir(const char *path, const char *group, bool write, struct err *err)
{
    const struct group *g = group == NULL ? NULL : getgrnam(group);
    int rc = os_private_dir(path, err);

    if (rc != 0 || group == NULL)
        return rc;
    if (g == NULL)
        return err_set(err, ERR_INVALID, "there is no group %s", group);
    if (chown(path, (uid_t)-1, g->gr_gid) != 0)
        return fail(err, "give to the group", path);
    /* set-group-id: what is made inside belongs to the group as well */
    return chmod(path, write ? 02770 : 0710) == 0 ? 0 : fail(err, "protect folder", path);
}

int os_sub_dir(const char *path, struct err *err)
{
    return mkdir(path, 0770) == 0 || errno == EEXIST ? 0 : fail(err, "make folder", path);
}

bool os_account(struct buf *out)
{
    buf_printf(out, "uid %u", (unsigned)geteuid());
    return geteuid() == 0;
}

bool os_others_may_write(const char *path)
{
    struct stat s;

    return stat(path, &s) != 0 || (s.st_uid != 0 && s.st_uid != geteuid()) || (s.st_mode & 0022) != 0;
}

void os_socket_access(const char *path, struct buf *out)
{
    (void)path;
    (void)out;
}

void os_service_describe(struct buf *out)
{
    (void)out;
}

bool os_is_private(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISDIR(s.st_mode) && (s.st_mode & 0067) == 0;
}

int os_sync_dir(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

    if (fd < 0)
        return fail(err, "open folder", path);
    if (fsync(fd) != 0)
        rc = fail(err, "sync folder", path);
    close(fd);
    return rc;
}

int os_sync_stream(FILE *f, struct err *err)
{
    return fsync(fileno(f)) == 0 ? 0 : fail(err, "sync", "a file");
}

int os_rename(const char *from, const char *to, struct err *err)
{
    return rename(from, to) == 0 ? 0 : fail(err, "rename", from);
}

int os_free_bytes(const char *path, int64_t *ret_bytes, struct err *err)
{
    struct statvfs v;

    if (statvfs(path, &v) != 0)
        return fail(err, "free space of", path);
    *ret_bytes = (int64_t)(v.f_bavail * v.f_frsize);
    return 0;
}

static int read_all(int fd, const char *path, size_t max, struct buf *out, struct err *err)
{
    char block[16384];
    ssize_t n;

    while ((n = read(fd, block, sizeof block)) > 0) {
        if (out->len + (size_t)n > max)
            return err_set(err, ERR_CAPACITY, "%s is larger than %llu bytes", path, (unsigned long long)max);
        buf_add(out, block, (size_t)n);
    }
    if (n < 0)
        return fail(err, "read", path);
    return out->failed ? err_set(err, ERR_NOMEM, "read %s", path) : 0;
}

int os_read_file(const char *path, size_t max, struct buf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

    if (fd < 0)
        return fail(err, "open", path);
    rc = read_all(fd, path, max, out, err);
    close(fd);
    return rc;
}

static int write_all(int fd, const char *path, const void *data, size_t len, struct err *err)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, "write", path);
        at += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0 ? 0 : fail(err, "sync", path);
}

int os_write_file(const char *path, const void *data, size_t len, struct err *err)
{
    char part[4096];
    int fd, rc;

    if (snprintf(part, sizeof part, "%s.new", path) >= (int)sizeof part)
        return err_set(err, ERR_INVALID, "path too long: %s", path);
    fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(err, "create", part);
    rc = write_all(fd, part, data, len, err);
    close(fd);
    if (rc == 0 && rename(part, path) != 0)
        rc = fail(err, "rename", part);
    if (rc != 0)
        unlink(part);
    return rc;
}

bool os_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

void os_remove(const char *path)
{
    (void)remove(path);
}

bool os_disk_is_full(int system_error)
{
    return system_error == ENOSPC || system_error == EDQUOT;
}

int64_t os_file_bytes(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 ? (int64_t)s.st_size : -1;
}

void os_empty_file(const char *path)
{
    (void)!truncate(path, 0);
}

bool os_is_absolute(const char *path)
{
    return path[0] == '/';
}

static int64_t lock_holder(int fd)
{
    char text[32] = { 0 };

    return pread(fd, text, sizeof text - 1, 0) > 0 ? strtoll(text, NULL, 10) : 0;
}

int os_lock_take(const char *path, struct os_lock *ret_lock, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char text[32];
    int n;

    if (fd < 0)
        return fail(err, "open", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int64_t pid = lock_holder(fd);

        close(fd);
        return err_set(err, ERR_LOCKED, "%s is held by process %" PRId64, path, pid);
    }
    n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
        int rc = fail(err, "write", path);

        close(fd);
        return rc;
    }
    ret_lock->handle = fd;
    return 0;
}

void os_lock_drop(struct os_lock *lock)
{
    close((int)lock->handle);
}

int64_t os_process_start(int64_t pid)
{
    char path[64], text[1024];
    struct buf stat = BUF_INIT;
    const char *at;
    int64_t start = 0;

    snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
    if (os_read_file(path, sizeof text, &stat, NULL) == 0 && (at = strrchr(buf_text(&stat), ')')) != NULL) {
        char state = at[1] == ' ' ? at[2] : 'Z';

        for (int field = 2; at != NULL && field < 22;
             field++) /* starttime is the 22nd; the name may hold spaces */
            at = strchr(at + 1, ' ');
        start = at == NULL || state == 'Z' || state == 'X' ? 0 : strtoll(at + 1, NULL, 10);
    }
    buf_clear(&stat);
    return start;
}

void os_process_end(int64_t pid)
{
    if (pid > 1)
        (void)kill(-(pid_t)pid, SIGKILL);
}

int os_job_hold(int64_t pid, struct os_job *ret_job, struct err *err)
{
    (void)pid, (void)err;
    ret_job->handle = 0;
    return 0;
}

void os_job_end(struct os_job *job)
{
    (void)job;
}

void os_ignore_pipe_signal(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
}

void os_crash(void)
{
    (void)kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static int connect_to(const char *path, struct err *err)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -fail(err, "socket", path);
    if (strlen(path) >= sizeof to.sun_path) {
        close(fd);
        return -err_set(err, ERR_INVALID, "socket path too long: %s", path);
    }
    memcpy(to.sun_path, path, strlen(path) + 1);
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -err_set(err, ERR_CONNECT, "the agent's service does not answer at %s: %s", path,
                        strerror(errno));
    }
    return fd;
}

int os_socket_answers(const char *path, struct err *err)
{
    int fd = connect_to(path, err);

    if (fd < 0)
        return -fd;
    close(fd);
    return 0;
}

/* One read and all of it written; 0 at the end of the stream. */
static ssize_t copy_some(int from, int to)
{
    char block[65536];
    ssize_t n = read(from, block, sizeof block), done = 0;

    while (n > 0 && done < n) {
        ssize_t w = write(to, block + done, (size_t)(n - done));

        if (w < 0 && errno != EINTR)
            return -1;
        done += w > 0 ? w : 0;
    }
    return n < 0 && errno == EINTR ? 1 : n;
}

int os_relay(const char *socket_path, struct err *err)
{
    int fd = connect_to(socket_path, err);
    struct pollfd p[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
    int rc = 0;

    if (fd < 0)
        return -fd;
    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR) {
            rc = fail(err, "poll", socket_path);
            break;
        }
        if (p[1].revents != 0 && copy_some(fd, STDOUT_FILENO) <= 0)
            break;
        if (p[0].revents != 0 && copy_some(STDIN_FILENO, fd) <= 0)
            break;
        p[0].revents = p[1].revents = 0;
    }
    close(fd);
    return rc;
}

void os_binary_streams(void)
{
    /* they always do here */
}

int os_service_install(const char *config, struct err *err)
{
    (void)config;
    return err_set(
        err, ERR_REFUSED,
        "here the service is a systemd unit: cmake --install puts patchwave-agent.service in its place");
}

int os_service_uninstall(struct err *err)
{
    return os_service_install(NULL, err);
}

bool os_service_run(const struct os_service *what, int *ret_exit)
{
    (void)what; /* systemd wants no more than a process */
    (void)ret_exit;
    return false;
}

void os_tell_people(const char *text)
{
    (void)text; /* standard error is in the system's journal already */
}
