#include "tests/lib/agent_process.h"

#include "schema/sha256.h"
#include "tests/lib/check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 20000

static const char *const kills[] = { "facts",      "vms",    "check_empty",  "gate_facts",
                                     "verify",     "pause",  "move_vm",      "stop_vmms",
                                     "start_vmms", "resume", "fetch_package" };
static const char *const leaves[] = { "install", "uninstall", "reboot", "park_vm" };

const char *ap_program(const char *name)
{
    static char path[1024];
    const char *build = getenv("PW_BUILD_DIR");

    snprintf(path, sizeof path, "%s/%s", build == NULL ? "build/debug" : build, name);
    if (path[0] != '/') {
        char *full = realpath(path, NULL);

        assert_non_null(full);
        snprintf(path, sizeof path, "%s", full);
        free(full);
    }
    return path;
}

static void nap(void)
{
    struct timespec t = { 0, 10000000 };

    nanosleep(&t, NULL);
}

static void put_file(const char *dir, const char *name, const char *text)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void put_driver(const struct agent_process *p, bool resident, int limit_ms)
{
    struct buf text = BUF_INIT;
    char dir[96];

    buf_str(&text, "{\"name\":\"toy\",\"version\":\"1\",\"contract\":1,\"actions\":{");
    for (size_t i = 0; i < TABLE_LEN(kills) + TABLE_LEN(leaves); i++) {
        bool leave = i >= TABLE_LEN(kills);

        buf_printf(&text,
                   "%s\"%s\":{\"argv\":[\"%s\",\"%s\"],\"limit_ms\":%d,\"on_deadline\":\"%s\","
                   "\"resident\":%s}",
                   i == 0 ? "" : ",", leave ? leaves[i - TABLE_LEN(kills)] : kills[i],
                   ap_program("tests/lib/toy-driver"), p->world, limit_ms, leave ? "leave" : "kill",
                   resident ? "true" : "false");
    }
    buf_str(&text, "}}");
    snprintf(dir, sizeof dir, "%s/driver", p->dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    put_file(dir, "driver.json", buf_text(&text));
    buf_clear(&text);
}

void ap_open(struct agent_process *p)
{
    ap_open_with(p, false, 60000);
}

void ap_open_with(struct agent_process *p, bool resident, int limit_ms)
{
    *p = (struct agent_process){ .fd = -1, .dir = "/tmp/pw-agent-XXXXXX", .node = "HV07" };
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->config, sizeof p->config, "%s/agent.json", p->dir);
    snprintf(p->socket, sizeof p->socket, "%s/sock", p->dir);
    snprintf(p->world, sizeof p->world, "%s/world", p->dir);
    snprintf(p->state_dir, sizeof p->state_dir, "%s/state", p->dir);
    assert_int_equal(mkdir(p->world, 0700), 0);
    ap_world(p, "machine_id", "M1");
    ap_world(p, "boot_id", "B1");
    put_driver(p, resident, limit_ms);
}

void ap_close(struct agent_process *p)
{
    char command[128];

    ap_disconnect(p);
    if (p->pid > 0)
        ap_kill(p, SIGTERM);
    for (uint32_t i = 0; i < p->n_notes; i++)
        json_free(p->notes[i]);
    snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
    assert_int_equal(system(command), 0);
}

static void put_config(struct agent_process *p)
{
    char text[1024];

    snprintf(
        text, sizeof text,
        "{\"node\":\"%s\",\"state_dir\":\"%s\",\"socket\":\"%s\",\"driver\":\"%s/driver\",\"lab\":true%s}",
        p->node, p->state_dir, p->socket, p->dir, p->more_config);
    put_file(p->dir, "agent.json", text);
}

/* AddressSanitizer holds freed memory back, so that resident memory would tell
 * of its quarantine and not of the agent. Other builds do not read this. */
static void small_quarantine(void)
{
    const char *given = getenv("ASAN_OPTIONS");
    char options[512];

    snprintf(options, sizeof options, "%s%squarantine_size_mb=1:thread_local_quarantine_size_kb=64",
             given == NULL ? "" : given, given == NULL ? "" : ":");
    setenv("ASAN_OPTIONS", options, 1);
}

void ap_serve(struct agent_process *p)
{
    put_config(p);
    unlink(p->socket);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        if (p->crash_at[0] != '\0')
            setenv("PATCHWAVE_CRASH_AT", p->crash_at, 1);
        if (p->version[0] != '\0')
            setenv("PATCHWAVE_LAB_VERSION", p->version, 1);
        small_quarantine();
        execl(ap_program("agent/patchwave-agent"), "patchwave-agent", "serve", "--config", p->config,
              (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < WAIT_MS / 10 && access(p->socket, F_OK) != 0; i++) {
        int status;

        if (waitpid(p->pid, &status, WNOHANG | WNOWAIT) > 0)
            return;
        nap();
    }
}

int ap_wait(struct agent_process *p)
{
    int status = -1;

    for (int i = 0; i < WAIT_MS / 10; i++) {
        if (waitpid(p->pid, &status, WNOHANG) == p->pid) {
            p->pid = 0;
            return status;
        }
        nap();
    }
    kill(p->pid, SIGKILL);
    waitpid(p->pid, &status, 0);
    p->pid = 0;
    fail_msg("the agent did not end");
    return status;
}

void ap_kill(struct agent_process *p, int signal_number)
{
    kill(p->pid, signal_number);
    ap_wait(p);
}

void ap_disconnect(struct agent_process *p)
{
    if (p->fd < 0)
        return;
    close(p->fd);
    p->fd = -1;
    line_cutter_clear(&p->in);
}

static void dial(struct agent_process *p)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };

    ap_disconnect(p);
    memcpy(to.sun_path, p->socket, strlen(p->socket) + 1);
    p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    line_cutter_init(&p->in, WIRE_LINE_MAX);
    for (int i = 0; i < WAIT_MS / 10; i++) {
        if (connect(p->fd, (struct sockaddr *)&to, sizeof to) == 0)
            return;
        nap();
    }
    fail_msg("connect %s: %s", p->socket, strerror(errno));
}

/* The next line; NULL when the agent hung up. */
static struct json_doc *next_line(struct agent_process *p)
{
    char block[65536];
    struct err err;

    for (;;) {
        struct pollfd w = { .fd = p->fd, .events = POLLIN };
        size_t len;
        const char *line = line_cutter_take(&p->in, &len);
        struct json_doc *d = NULL;
        ssize_t n;

        if (line != NULL) {
            check_ok(json_parse("line", line, len, &d, &err), &err);
            return d;
        }
        if (poll(&w, 1, WAIT_MS) != 1)
            fail_msg("the agent did not answer");
        n = read(p->fd, block, sizeof block);
        if (n <= 0)
            return NULL;
        check_ok(line_cutter_feed(&p->in, block, (size_t)n, &err), &err);
    }
}

struct json_doc *ap_call(struct agent_process *p, const char *method, const char *params)
{
    struct buf line = BUF_INIT, filled = BUF_INIT;
    const char *at = params, *s;
    struct json_doc *d;

    for (; (s = strstr(at, "$S")) != NULL; at = s + 2) {
        buf_add(&filled, at, (size_t)(s - at));
        buf_str(&filled, p->session);
    }
    buf_str(&filled, at);
    rpc_write_request(&line, ++p->next_id, method, buf_text(&filled));
    buf_clear(&filled);
    if (send(p->fd, line.data, line.len, MSG_NOSIGNAL) != (ssize_t)line.len) {
        buf_clear(&line);
        return NULL;
    }
    buf_clear(&line);
    while ((d = next_line(p)) != NULL && json_get(json_root(d), "id") == NULL) {
        assert_true(p->n_notes < AP_NOTES);
        p->notes[p->n_notes++] = d;
    }
    if (d != NULL)
        assert_int_equal(json_get_int(json_root(d), "id", -1), p->next_id);
    return d;
}

void ap_hello(struct agent_process *p)
{
    struct json_doc *d;

    dial(p);
    d = ap_call(p, "hello",
                "{\"protocol\":{\"min\":1,\"max\":1},\"controller\":\"" AP_CONTROLLER
                "\",\"program\":\"test\"}");
    assert_non_null(d);
    assert_string_equal(ap_error(d), "none");
    snprintf(p->session, sizeof p->session, "%s", ap_str(d, NULL, "session"));
    p->epoch = json_get_int(json_get(json_root(d), "result"), "epoch", 0);
    json_free(d);
}

void ap_connect(struct agent_process *p)
{
    struct json_doc *d;
    char params[512];

    ap_hello(p);
    p->epoch++;
    snprintf(params, sizeof params,
             "{\"run\":\"r1\",\"controller\":\"" AP_CONTROLLER
             "\",\"epoch\":%lld,\"log\":{\"seq\":%lld,\"hash\":\"h\"},\"session\":\"$S\"}",
             (long long)p->epoch, (long long)p->epoch * 100);
    d = ap_call(p, "claim", params);
    if (d != NULL) /* NULL: it crashed in the middle of it, as it was told */
        assert_string_equal(ap_error(d), "none");
    json_free(d);
}

struct json_doc *ap_start(struct agent_process *p, const char *op, const char *action, const char *args,
                          int64_t limit_ms)
{
    char params[4096], digest[SHA256_TEXT];

    snprintf(
        params, sizeof params,
        "{\"op\":\"%s\",\"action\":\"%s\",\"args\":%s,\"digest\":\"%s\",\"limit_ms\":%lld,\"epoch\":%lld,"
        "\"controller\":\"" AP_CONTROLLER "\",\"log\":{\"seq\":%lld,\"hash\":\"h\"},\"session\":\"$S\"}",
        op, action, args, sha256_text(args, strlen(args), digest), (long long)limit_ms, (long long)p->epoch,
        (long long)p->epoch * 100 + 1);
    return ap_call(p, "op.start", params);
}

static bool is_note(const struct json_doc *d, const char *method, const char *op)
{
    const json *root = json_root(d);

    return strcmp(json_get_str(root, "method", ""), method) == 0 &&
           strcmp(json_get_str(json_get(root, "params"), "op", ""), op) == 0;
}

struct json_doc *ap_note(struct agent_process *p, const char *method, const char *op)
{
    struct json_doc *d;

    for (uint32_t i = 0; i < p->n_notes; i++)
        if (is_note(p->notes[i], method, op)) {
            d = p->notes[i];
            memmove(&p->notes[i], &p->notes[i + 1], (p->n_notes - i - 1) * sizeof(struct json_doc *));
            p->n_notes--;
            return d;
        }
    while ((d = next_line(p)) != NULL && !is_note(d, method, op)) {
        assert_true(p->n_notes < AP_NOTES);
        p->notes[p->n_notes++] = d;
    }
    return d;
}

void ap_until(struct agent_process *p, const char *op, const char *state)
{
    char params[256], last[32] = "";

    snprintf(params, sizeof params, "{\"op\":\"%s\"}", op);
    for (int i = 0; i < WAIT_MS / 10; i++) {
        struct json_doc *d = ap_call(p, "op.status", params);

        assert_non_null(d);
        snprintf(last, sizeof last, "%s", ap_str(d, NULL, "state"));
        json_free(d);
        if (strcmp(last, state) == 0)
            return;
        nap();
    }
    fail_msg("op %s stays %s, wanted %s", op, last, state);
}

const char *ap_str(const struct json_doc *answer, const char *in, const char *key)
{
    const json *root = json_root(answer);
    const json *at = json_get(root, "result") != NULL ? json_get(root, "result") : json_get(root, "params");

    return json_get_str(in == NULL ? at : json_get(at, in), key, "");
}

const char *ap_error(const struct json_doc *answer)
{
    return json_get_str(json_get(json_get(json_root(answer), "error"), "data"), "name", "none");
}

void ap_world(struct agent_process *p, const char *file, const char *text)
{
    put_file(p->world, file, text);
}

void ap_world_remove(struct agent_process *p, const char *file)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", p->world, file);
    unlink(path);
}

uint32_t ap_effects(struct agent_process *p, const char *op)
{
    char path[256], line[512];
    size_t n = strlen(op);
    uint32_t count = 0;
    FILE *f;

    snprintf(path, sizeof path, "%s/effects", p->world);
    f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        count += strncmp(line, op, n) == 0 && line[n] == ' ';
    if (f != NULL)
        fclose(f);
    return count;
}

static void write_some(int fd, const void *in, size_t len)
{
    const char *at = in;

    while (len > 0) {
        ssize_t n = write(fd, at, len);

        if (n <= 0)
            return; /* it had heard enough */
        at += n;
        len -= (size_t)n;
    }
}

int ap_run(const char *const *argv, const char *env, const void *in, size_t in_len, struct buf *out)
{
    int to[2], from[2], status = -1;
    char block[4096];
    ssize_t n;
    pid_t pid;

    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    pid = fork();
    if (pid == 0) {
        char *const *args;

        memcpy(&args, &argv, sizeof args);
        dup2(to[0], 0);
        dup2(from[1], 1);
        close(to[1]);
        close(from[0]);
        if (env != NULL)
            setenv("SSH_ORIGINAL_COMMAND", env, 1);
        execv(argv[0], args);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    write_some(to[1], in, in_len);
    close(to[1]);
    while ((n = read(from[0], block, sizeof block)) > 0)
        if (out != NULL)
            buf_add(out, block, (size_t)n);
    close(from[0]);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
