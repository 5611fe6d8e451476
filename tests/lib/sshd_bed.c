#include "tests/lib/sshd_bed.h"

#include "tests/lib/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SSHD_PORT 40022
#define READY_TRIES 500

static void nap_ms(long ms)
{
    struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

    (void)nanosleep(&t, NULL);
}

const char *bed_path(const struct bed *b, const char *name, char out[BED_PATH_MAX])
{
    int n = snprintf(out, BED_PATH_MAX, "%s/%s", b->dir, name);

    assert_true(n > 0 && n < BED_PATH_MAX);
    return out;
}

void bed_run(const char *const *argv)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        char *args[16];
        unsigned n = 0;
        int null = open("/dev/null", O_RDWR);

        for (; n < 15 && argv[n] != NULL; n++)
            args[n] = strdup(argv[n]);
        args[n] = NULL;
        (void)dup2(null, 0);
        (void)dup2(null, 1);
        (void)execvp(args[0], args);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("%s ended with status %d", argv[0], status);
}

static void make_key(const struct bed *b, const char *name, const char *type, const char *passphrase)
{
    char path[BED_PATH_MAX];
    const char *const argv[] = { "ssh-keygen", "-q",       "-t", type, "-f", bed_path(b, name, path),
                                 "-N",         passphrase, "-C", name, NULL };

    bed_run(argv);
}

static void append_file(const char *to, const char *from)
{
    char text[4096];
    FILE *in = fopen(from, "r"), *out = fopen(to, "a");
    size_t n;

    assert_non_null(in);
    assert_non_null(out);
    n = fread(text, 1, sizeof text, in);
    assert_int_equal(fwrite(text, 1, n, out), n);
    (void)fclose(in);
    (void)fclose(out);
}

void bed_open(struct bed *b)
{
    static const struct {
        const char *name, *type, *passphrase;
    } keys[] = {
        { "user_ed25519", "ed25519", "" },      { "user_ecdsa", "ecdsa", "" }, { "user_rsa", "rsa", "" },
        { "locked", "ed25519", "open sesame" }, { "stranger", "ed25519", "" },
    };
    char path[BED_PATH_MAX], pub[BED_PATH_MAX], name[64];
    const struct passwd *pw = getpwuid(geteuid());

    memset(b, 0, sizeof *b);
    (void)snprintf(b->dir, sizeof b->dir, "/tmp/pw-bed-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    assert_non_null(pw);
    (void)snprintf(b->user, sizeof b->user, "%s", pw->pw_name);
    if (geteuid() == 0)
        (void)mkdir("/run/sshd", 0755); /* where sshd's unprivileged half lives */
    for (size_t i = 0; i < TABLE_LEN(keys); i++) {
        make_key(b, keys[i].name, keys[i].type, keys[i].passphrase);
        (void)snprintf(name, sizeof name, "%s.pub", keys[i].name);
        if (strcmp(keys[i].name, "stranger") != 0)
            append_file(bed_path(b, "authorized_keys", path), bed_path(b, name, pub));
    }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void bed_close(struct bed *b)
{
    (void)nftw(b->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void bed_address(struct bed *b, char out[32])
{
    unsigned pid = (unsigned)getpid();
    unsigned host = ++b->next_host;

    (void)snprintf(out, 32, "127.%u.%u.%u", 64 + ((pid >> 8) + host / 250) % 190, pid % 256, host % 250 + 1);
}

static bool listens(const struct sshd_bed *d)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(d->port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool up;

    (void)inet_pton(AF_INET, d->address, &at.sin_addr);
    up = connect(fd, (const struct sockaddr *)&at, sizeof at) == 0;
    (void)close(fd);
    return up;
}

void sshd_restart(struct bed *b, struct sshd_bed *d)
{
    char log[BED_PATH_MAX];

    (void)bed_path(b, d->name, log);
    (void)strncat(log, ".log", sizeof log - strlen(log) - 1);
    d->pid = fork();
    assert_true(d->pid >= 0);
    if (d->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* a test that crashes leaves no server behind */
        (void)execl("/usr/sbin/sshd", "/usr/sbin/sshd", "-D", "-f", d->config, "-E", log, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < READY_TRIES; i++) {
        if (listens(d))
            return;
        assert_int_equal(waitpid(d->pid, NULL, WNOHANG), 0); /* it must not have ended */
        nap_ms(10);
    }
    fail_msg("sshd on %s does not listen; see %s", d->address, log);
}

void sshd_new_hostkey(struct bed *b, struct sshd_bed *d, const char *type)
{
    char name[64], path[BED_PATH_MAX], line[1024];
    struct err err;
    FILE *f;

    (void)snprintf(name, sizeof name, "%s_hostkey", d->name);
    (void)unlink(bed_path(b, name, path));
    make_key(b, name, type, "");
    (void)snprintf(name, sizeof name, "%s_hostkey.pub", d->name);
    f = fopen(bed_path(b, name, path), "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    (void)fclose(f);
    check_ok(ssh_hostkey_parse(line, &d->hostkey, &err), &err);
}

/* Hundreds of servers need not make hundreds of keys. */
static void share_hostkey(const struct bed *b, struct sshd_bed *d, const struct sshd_bed *other)
{
    char name[64], from[BED_PATH_MAX], to[BED_PATH_MAX];

    (void)snprintf(name, sizeof name, "%s_hostkey", other->name);
    (void)bed_path(b, name, from);
    (void)snprintf(name, sizeof name, "%s_hostkey", d->name);
    assert_int_equal(link(from, bed_path(b, name, to)), 0);
    d->hostkey = other->hostkey;
}

void sshd_start(struct bed *b, struct sshd_bed *d, const struct sshd_setup *setup)
{
    FILE *f;

    memset(d, 0, sizeof *d);
    bed_address(b, d->address);
    d->port = SSHD_PORT;
    (void)snprintf(d->name, sizeof d->name, "sshd%u", b->next_host);
    if (setup->hostkey_of != NULL)
        share_hostkey(b, d, setup->hostkey_of);
    else
        sshd_new_hostkey(b, d, setup->hostkey_type != NULL ? setup->hostkey_type : "ed25519");
    (void)bed_path(b, d->name, d->config);
    (void)strncat(d->config, ".conf", sizeof d->config - strlen(d->config) - 1);
    f = fopen(d->config, "w");
    assert_non_null(f);
    (void)fprintf(f,
                  "ListenAddress %s\nPort %u\nHostKey %s/%s_hostkey\nAuthorizedKeysFile %s/authorized_keys\n",
                  d->address, d->port, b->dir, d->name, b->dir);
    (void)fprintf(f, "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
                     "PidFile none\nUseDNS no\nPermitRootLogin prohibit-password\nMaxStartups 200\n"
                     "PrintMotd no\nPrintLastLog no\nLogLevel VERBOSE\n");
    /* Else bash, started by sshd, reads the user's ~/.bashrc for each session. */
    (void)fprintf(f, "SetEnv SHLVL=9\n");
    if (setup->command != NULL)
        (void)fprintf(f, "ForceCommand %s\n", setup->command);
    if (setup->more != NULL)
        (void)fprintf(f, "%s\n", setup->more);
    (void)fclose(f);
    sshd_restart(b, d);
}

void sshd_stop(struct sshd_bed *d)
{
    if (d->pid <= 0)
        return;
    (void)kill(d->pid, SIGTERM);
    (void)waitpid(d->pid, NULL, 0);
    d->pid = 0;
}
