/* A real agent with real driver processes: ends that come too early, too late,
 * or not at all; what it must refuse at its start. */
#include "tests/lib/agent_process.h"
#include "tests/lib/check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSE "r1/HV07/1/pause/1"
#define INSTALL "r1/HV07/1/install/1"
#define PARK "r1/HV07/1/park_vm:00000000-0000-4000-8000-000000000001/1"

static int setup(void **state)
{
    static struct agent_process p;

    ap_open(&p);
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    ap_close(*state);
    return 0;
}

static void put_state_file(struct agent_process *p, const char *name, const char *bytes, size_t len)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", p->state_dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fwrite(bytes, 1, len, f);
    fclose(f);
}

static int exit_code_of(struct agent_process *p)
{
    int status = ap_wait(p);

    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void expect_done(struct agent_process *p, const char *op, const char *outcome)
{
    struct json_doc *d = ap_note(p, "op.done", op);

    assert_non_null(d);
    assert_string_equal(ap_str(d, NULL, "outcome"), outcome);
    json_free(d);
}

/* The forced command allows exactly two words. */
static void test_forced_command(void **state)
{
    static const char *const refused[] = { "",         "sh",    "relay ", " relay",
                                           "relay;sh", "RELAY", "serve",  "receive x" };
    struct agent_process *p = *state;
    const char *argv[] = { NULL, "ssh", "--config", p->config, NULL };
    char program[1024];
    struct buf out = BUF_INIT;
    static const char ping[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{}}\n";

    snprintf(program, sizeof program, "%s", ap_program("agent/patchwave-agent"));
    argv[0] = program;
    ap_serve(p);
    for (size_t i = 0; i < TABLE_LEN(refused); i++)
        assert_int_equal(ap_run(argv, refused[i], "", 0, NULL), 126);
    ap_run(argv, "relay", ping, sizeof ping - 1, &out);
    (void)out; /* the input ended at once, so relay may end before the answer */
    buf_clear(&out);
    ap_kill(p, SIGTERM);
    assert_int_equal(ap_run(argv, "relay", ping, sizeof ping - 1, NULL), 1); /* nobody listens */
}

/* An op with output and progress, from ACCEPT to the fetched output. */
static void test_progress_and_output(void **state)
{
    struct agent_process *p = *state;
    struct json_doc *d;

    ap_world(p, "behave.json", "{\"pause\":{\"progress\":true,\"say\":\"hello \\u4eee\",\"delay_ms\":500}}");
    ap_serve(p);
    ap_connect(p);
    json_free(ap_start(p, PAUSE, "pause", "{}", 30000));
    d = ap_note(p, "op.progress", PAUSE);
    assert_int_equal(json_get_int(json_get(json_root(d), "params"), "percent", -1), 10);
    json_free(d);
    d = ap_note(p, "op.done", PAUSE);
    assert_string_equal(ap_str(d, NULL, "outcome"), "ok");
    assert_string_equal(ap_str(d, NULL, "output_tail"), "hello \xe4\xbb\xae\n");
    json_free(d);
    d = ap_call(p, "op.output", "{\"op\":\"" PAUSE "\",\"offset\":0,\"max_bytes\":20}");
    assert_int_equal(strlen(ap_str(d, NULL, "text")), 20);
    assert_true(json_get_bool(json_get(json_root(d), "result"), "more", false));
    json_free(d);
    assert_int_equal(ap_effects(p, PAUSE), 1);
}

/* Answers that are none: the op is unknown, its witness decides. */
static void test_no_evidence(void **state)
{
    static const char *const rows[] = {
        "{\"pause\":{\"exit\":1}}",
        "{\"pause\":{\"answer\":\"all fine\"}}",
        "{\"pause\":{\"answer\":\"\"}}",
        "{\"pause\":{\"answer\":\"{\\\"result\\\":{}}{}\"}}",
        "{\"pause\":{\"out_bytes\":3000000}}",
    };
    struct agent_process *p = *state;
    struct json_doc *d;
    char op[64], params[128];

    ap_serve(p);
    ap_connect(p);
    for (size_t i = 0; i < TABLE_LEN(rows); i++) {
        snprintf(op, sizeof op, "r1/HV07/1/pause/%zu", i + 1);
        ap_world(p, "behave.json", rows[i]);
        json_free(ap_start(p, op, "pause", "{}", 30000));
        d = ap_note(p, "op.done", op);
        assert_string_equal(ap_str(d, NULL, "state"), "unknown");
        json_free(d);
        ap_world_remove(p, "behave.json");
        snprintf(params, sizeof params, "{\"op\":\"%s\",\"session\":\"$S\"}", op);
        d = ap_call(p, "op.witness", params);
        assert_string_equal(ap_str(d, NULL, "witness"), ap_effects(p, op) == 1 ? "done" : "not_done");
        json_free(d);
    }
}

/* Output floods are bounded on disk, their size is told. */
static void test_output_flood(void **state)
{
    struct agent_process *p = *state;
    struct json_doc *d;
    struct stat s;
    char command[256];

    ap_world(p, "behave.json", "{\"pause\":{\"err_bytes\":20000000,\"delay_ms\":600}}");
    ap_serve(p);
    ap_connect(p);
    json_free(ap_start(p, PAUSE, "pause", "{}", 30000));
    d = ap_note(p, "op.done", PAUSE);
    assert_string_equal(ap_str(d, NULL, "outcome"), "ok");
    assert_true(json_get_int(json_get(json_root(d), "params"), "output_bytes", 0) >= 20000000);
    json_free(d);
    snprintf(command, sizeof command, "test \"$(du -sk %s/ops | cut -f1)\" -lt 5000", p->state_dir);
    assert_int_equal(system(command), 0);
    assert_int_equal(stat(p->state_dir, &s), 0);
}

/* Over its limit a `kill` action's whole group is ended, then its witness is asked. */
static void test_killed_at_deadline(void **state)
{
    struct agent_process *p = *state;
    struct json_doc *d;

    ap_world(p, "behave.json", "{\"pause\":{\"hang\":true}}");
    ap_serve(p);
    ap_connect(p);
    json_free(ap_start(p, PAUSE, "pause", "{}", 700));
    d = ap_note(p, "op.done", PAUSE);
    assert_string_equal(ap_str(d, NULL, "outcome"),
                        "ok"); /* the effect was there before it hung: the witness saw it */
    json_free(d);
    ap_world(p, "behave.json", "{\"pause\":{\"delay_ms\":60000}}");
    json_free(ap_start(p, "r1/HV07/1/pause/2", "pause", "{}", 700));
    d = ap_note(p, "op.done", "r1/HV07/1/pause/2");
    assert_string_equal(ap_str(d, NULL, "outcome"), "failed");
    assert_string_equal(ap_str(d, "error", "code"), "timeout");
    json_free(d);
    assert_int_equal(ap_effects(p, "r1/HV07/1/pause/2"), 0);
}

/* An op outlives the connection that ordered it; another one hears its end. */
static void test_op_outlives_connection(void **state)
{
    struct agent_process *p = *state;

    ap_world(p, "behave.json", "{\"pause\":{\"delay_ms\":800}}");
    ap_serve(p);
    ap_connect(p);
    json_free(ap_start(p, PAUSE, "pause", "{}", 30000));
    ap_disconnect(p);
    ap_connect(p);
    expect_done(p, PAUSE, "ok");
    assert_int_equal(ap_effects(p, PAUSE), 1);
}

/* A `leave` driver outlives the agent: `running` after the restart, `unknown`
 * when it is gone, and its witness decides (O10). */
static void test_driver_outlives_agent(void **state)
{
    struct agent_process *p = *state;
    struct json_doc *d;

    ap_world(p, "behave.json", "{\"park_vm\":{\"delay_ms\":2500}}");
    ap_serve(p);
    ap_connect(p);
    json_free(ap_start(p, PARK, "park_vm", "{}", 30000));
    ap_until(p, PARK, "running");
    ap_kill(p, SIGKILL);
    assert_int_equal(ap_effects(p, PARK), 0);
    ap_serve(p);
    ap_connect(p);
    ap_until(p, PARK, "running");
    ap_until(p, PARK, "unknown");
    assert_int_equal(ap_effects(p, PARK), 1);
    d = ap_call(p, "op.witness", "{\"op\":\"" PARK "\",\"session\":\"$S\"}");
    assert_string_equal(ap_str(d, NULL, "witness"), "done");
    assert_string_equal(ap_str(d, "record", "outcome"), "ok");
    json_free(d);
}

/* A `kill` driver does not outlive its agent's successor: nothing acts unwatched. */
static void test_orphan_is_ended(void **state)
{
    struct agent_process *p = *state;
    struct json_doc *d;

    ap_world(p, "behave.json", "{\"pause\":{\"delay_ms\":3000}}");
    ap_serve(p);
    ap_connect(p);
    json_free(ap_start(p, PAUSE, "pause", "{}", 30000));
    ap_until(p, PAUSE, "running");
    ap_kill(p, SIGKILL);
    ap_serve(p);
    ap_connect(p);
    ap_until(p, PAUSE, "unknown");
    d = ap_call(p, "op.witness", "{\"op\":\"" PAUSE "\",\"session\":\"$S\"}");
    assert_string_equal(ap_str(d, NULL, "witness"), "not_done");
    json_free(d);
    sleep(4); /* longer than the orphan would have needed */
    assert_int_equal(ap_effects(p, PAUSE), 0);
}

/* What a controller does after a crash: ask, witness, order once more. */
static void finish_op(struct agent_process *p, const char *op)
{
    char params[128], state[32];
    struct json_doc *d;

    snprintf(params, sizeof params, "{\"op\":\"%s\"}", op);
    d = ap_call(p, "op.status", params);
    snprintf(state, sizeof state, "%s", ap_str(d, NULL, "state"));
    json_free(d);
    if (strcmp(state, "unknown") == 0) {
        snprintf(params, sizeof params, "{\"op\":\"%s\",\"session\":\"$S\"}", op);
        d = ap_call(p, "op.witness", params);
        snprintf(state, sizeof state, "%s", ap_str(d, NULL, "witness"));
        json_free(d);
    }
    if (strcmp(state, "done") != 0) {
        json_free(ap_start(p, op, "pause", "{}", 30000));
        expect_done(p, op, "ok");
    }
}

/* kill -9 at each step of the journal, and around driver start and reply: after
 * the restart the answer is right, and the effect has happened exactly once. */
static void test_killed_at_each_step(void **state)
{
    static const char *const points[] = {
        "accept_before", "accept_after", "start_before",  "start_after",   "effect_before",  "effect_after",
        "done_before",   "done_after",   "send_before:3", "send_before:4", "claim_before:1", "claim_after:1"
    };
    struct agent_process *p = *state;

    for (size_t i = 0; i < TABLE_LEN(points); i++) {
        char op[64];
        struct json_doc *d;
        int status;

        snprintf(op, sizeof op, "r1/HV07/1/pause/%zu", i + 1);
        snprintf(p->crash_at, sizeof p->crash_at, "%s", points[i]);
        ap_serve(p);
        ap_connect(p);
        d = ap_start(p, op, "pause", "{}", 30000);
        if (d != NULL)
            json_free(ap_note(p, "op.done", op));
        json_free(d);
        status = ap_wait(p);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            fail_msg("%s was not passed", points[i]);
        p->crash_at[0] = '\0';
        ap_serve(p);
        ap_connect(p);
        finish_op(p, op);
        if (ap_effects(p, op) != 1)
            fail_msg("%s: the effect happened %u times", points[i], ap_effects(p, op));
        ap_disconnect(p);
        ap_kill(p, SIGTERM);
    }
}

/* A reboot kills the agent; the next boot's agent decides it by itself. */
static void test_reboot_decided_at_start(void **state)
{
    struct agent_process *p = *state;
    struct json_doc *d;

    ap_serve(p);
    ap_connect(p);
    json_free(ap_start(p, "r1/HV07/1/reboot/1", "reboot", "{\"boot_id\":\"B1\",\"parked\":[]}", 60000));
    ap_until(p, "r1/HV07/1/reboot/1", "running");
    ap_kill(p, SIGKILL);
    ap_world(p, "boot_id", "B2");
    ap_serve(p);
    ap_hello(p);
    d = ap_call(p, "op.status", "{\"op\":\"r1/HV07/1/reboot/1\"}");
    assert_string_equal(ap_str(d, NULL, "outcome"), "ok");
    json_free(d);
}

/* A second agent on the same state folder is refused, naming the first. */
static void test_second_agent(void **state)
{
    struct agent_process *p = *state, second;
    char pid[32];
    struct buf out = BUF_INIT;
    const char *argv[] = { "/bin/sh", "-c", NULL, NULL };
    char command[1400];

    ap_serve(p);
    ap_hello(p);
    second = *p;
    snprintf(command, sizeof command, "%s serve --config %s 2>&1", ap_program("agent/patchwave-agent"),
             p->config);
    argv[2] = command;
    assert_int_equal(ap_run(argv, NULL, "", 0, &out), 3);
    snprintf(pid, sizeof pid, "process %ld", (long)second.pid);
    if (strstr(buf_text(&out), pid) == NULL)
        fail_msg("does not name the holder %s: %s", pid, buf_text(&out));
    buf_clear(&out);
    json_free(ap_call(p, "ping", "{}")); /* the first one is not disturbed */
}

static void test_damaged_journal(void **state)
{
    struct agent_process *p = *state;
    char garbage[8192], path[256];
    int fd;

    ap_serve(p);
    ap_hello(p);
    ap_kill(p, SIGTERM);
    snprintf(path, sizeof path, "%s/journal.db", p->state_dir);
    memset(garbage, 0x5a, sizeof garbage);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, garbage, sizeof garbage, 4096), sizeof garbage); /* pages of the tables */
    close(fd);
    ap_serve(p);
    assert_int_equal(exit_code_of(p), 4);
    put_state_file(p, "journal.db", garbage, sizeof garbage); /* no database at all */
    ap_serve(p);
    assert_int_equal(exit_code_of(p), 4);
    put_state_file(p, "journal.db", "", 0); /* emptied */
    ap_serve(p);
    assert_int_equal(exit_code_of(p), 4);
    unlink(path); /* gone, although there was one (F23) */
    ap_serve(p);
    assert_int_equal(exit_code_of(p), 4);
}

/* Another version does not start while an op is open; afterwards it does. */
static void test_upgrade_waits(void **state)
{
    struct agent_process *p = *state;

    ap_world(p, "behave.json", "{\"pause\":{\"exit\":1}}");
    ap_serve(p);
    ap_connect(p);
    json_free(ap_start(p, PAUSE, "pause", "{}", 30000));
    ap_until(p, PAUSE, "unknown");
    ap_kill(p, SIGTERM);
    snprintf(p->version, sizeof p->version, "9.9.9");
    ap_serve(p);
    assert_int_equal(exit_code_of(p), 4);
    p->version[0] = '\0';
    ap_world_remove(p, "behave.json");
    ap_serve(p);
    ap_connect(p);
    finish_op(p, PAUSE);
    ap_kill(p, SIGTERM);
    snprintf(p->version, sizeof p->version, "9.9.9");
    ap_serve(p);
    ap_hello(p);
}

static void test_time_factor_outside_lab(void **state)
{
    struct agent_process *p = *state;

    snprintf(p->more_config, sizeof p->more_config, ",\"clock\":{\"factor\":60,\"anchor_ms\":0}");
    ap_serve(p); /* a lab: allowed */
    ap_hello(p);
    ap_kill(p, SIGTERM);
    {
        const char *argv[] = { "/bin/sh", "-c", NULL, NULL };
        char command[1400];

        snprintf(command, sizeof command,
                 "sed -i 's/\"lab\":true/\"lab\":false/' %s; %s serve --config %s 2>/dev/null", p->config,
                 ap_program("agent/patchwave-agent"), p->config);
        argv[2] = command;
        assert_int_equal(ap_run(argv, NULL, "", 0, NULL), 2);
    }
}

/* A full disk: new work is refused with a clear error, what is there stays,
 * and it goes on by itself when there is room. */
static void test_disk_full(void **state)
{
    struct agent_process *p = *state;
    char mount_point[96], filler[128];
    struct json_doc *d;
    FILE *f;
    char block[4096] = { 1 };

    snprintf(mount_point, sizeof mount_point, "%s/small", p->dir);
    assert_int_equal(mkdir(mount_point, 0700), 0);
    if (geteuid() != 0 || mount("tmpfs", mount_point, "tmpfs", 0, "size=2m") != 0) {
        print_message("SKIPPED: a full disk needs root and tmpfs\n");
        skip();
    }
    snprintf(p->state_dir, sizeof p->state_dir, "%s/state", mount_point);
    ap_serve(p);
    ap_connect(p);
    snprintf(filler, sizeof filler, "%s/filler", mount_point);
    f = fopen(filler, "w");
    assert_non_null(f);
    while (fwrite(block, 1, sizeof block, f) == sizeof block && fflush(f) == 0)
        ;
    fclose(f);
    for (int i = 1; i < 200; i++) { /* the journal's last pages may still have room */
        char op[64];

        snprintf(op, sizeof op, "r1/HV07/1/pause/%d", i);
        d = ap_start(p, op, "pause", "{}", 30000);
        assert_non_null(d);
        if (strcmp(ap_error(d), "full") == 0)
            break;
        json_free(d);
        d = NULL;
        ap_until(p, op, "done");
    }
    assert_non_null(d);
    json_free(d);
    unlink(filler);
    json_free(ap_start(p, "r1/HV07/1/resume/1", "resume", "{}", 30000));
    expect_done(p, "r1/HV07/1/resume/1", "ok");
    ap_disconnect(p);
    ap_kill(p, SIGTERM);
    assert_int_equal(umount(mount_point), 0);
}

/* Peers that break the protocol are told and closed; others go on. */
static void test_bad_peers(void **state)
{
    static const char *const lines[] = { "\n", "{}\n", "[]\n",
                                         "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"x\":1}\n",
                                         "\xff\xfe\n" };
    struct agent_process *p = *state, bad;
    char *big = malloc(WIRE_LINE_MAX + 10);
    char answer[512];

    ap_serve(p);
    ap_hello(p);
    memset(big, ' ', WIRE_LINE_MAX + 10);
    for (size_t i = 0; i <= TABLE_LEN(lines); i++) {
        const char *text = i < TABLE_LEN(lines) ? lines[i] : big;
        size_t len = i < TABLE_LEN(lines) ? strlen(text) : WIRE_LINE_MAX + 10;
        ssize_t n;

        bad = *p;
        bad.fd = -1;
        bad.in = (struct line_cutter){ 0 };
        ap_hello(&bad);
        while (len > 0 && (n = send(bad.fd, text, len, MSG_NOSIGNAL)) > 0) {
            text += n;
            len -= (size_t)n;
        }
        n = recv(bad.fd, answer, sizeof answer - 1, 0);
        if (n > 0) {
            answer[n] = '\0';
            assert_non_null(strstr(answer, "\"protocol\""));
            assert_int_equal(recv(bad.fd, answer, sizeof answer, 0), 0);
        }
        ap_disconnect(&bad);
    }
    free(big);
    json_free(ap_call(p, "ping", "{}"));
}

static long resident_kib(pid_t pid)
{
    char path[64], line[256];
    long kib = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    fclose(f);
    return kib;
}

/* Ask until nothing more is taken; how many requests went. A request that was
 * taken in part is finished by the next call: `rest` bytes of it are due. */
static unsigned ask_without_reading(struct agent_process *mute, unsigned up_to, size_t *rest)
{
    struct buf line = BUF_INIT;
    unsigned n = 0;
    ssize_t sent = 0;

    rpc_write_request(&line, 7, "observe", "{\"what\":\"vms\"}");
    while (n < up_to && sent >= 0) {
        size_t due = *rest > 0 ? *rest : line.len;

        sent = send(mute->fd, line.data + line.len - due, due, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0)
            *rest = due - (size_t)sent;
        n += sent == (ssize_t)due ? 1 : 0;
    }
    buf_clear(&line);
    return n;
}

/* Others are served meanwhile. */
static void ask_beside(struct agent_process *p)
{
    for (int i = 0; i < 50; i++)
        json_free(ap_call(p, "ping", "{}"));
    json_free(ap_call(p, "facts", "{}"));
}

/* A peer that asks and asks and never reads costs bounded memory, and others
 * are served meanwhile. Growth is what is judged: a sanitizer's own share is
 * there before the first request, and ap_serve keeps its quarantine small. */
static void test_peer_that_never_reads(void **state)
{
    struct agent_process *p = *state, mute;
    size_t rest = 0;
    long before, first;

    ap_world(p, "vms", "2000"); /* an answer's page has more than 200 KiB */
    ap_serve(p);
    ap_hello(p);
    ask_beside(p);
    before = resident_kib(p->pid);
    mute = *p;
    mute.fd = -1;
    mute.in = (struct line_cutter){ 0 };
    ap_hello(&mute);
    assert_true(ask_without_reading(&mute, 1000, &rest) >= 100);
    ask_beside(p);
    first = resident_kib(p->pid);
    for (int round = 0; round < 8; round++) {
        ask_without_reading(&mute, 4000, &rest);
        ask_beside(p);
    }
    print_message("resident: %ld KiB, after the first requests %ld, at the end %ld\n", before, first,
                  resident_kib(p->pid));
    assert_true(first - before < 64L * 1024);
    assert_true(resident_kib(p->pid) - first < 16L * 1024);
    ap_disconnect(&mute);
    json_free(ap_call(p, "ping", "{}"));
}

/* install gets a private copy whose digest is right, and nothing else ever. */
static void test_altered_package(void **state)
{
    struct agent_process *p = *state;
    static const char bytes[] = "the patch";
    char digest[SHA256_TEXT], dir[512], args[512];
    struct json_doc *d;
    FILE *f;

    sha256_text(bytes, sizeof bytes - 1, digest);
    snprintf(args, sizeof args,
             "{\"package\":{\"name\":\"kb.msu\",\"sha256\":\"%s\",\"kb\":\"KB1\"},\"parked\":[]}", digest);
    ap_serve(p);
    ap_connect(p);
    json_free(ap_start(p, INSTALL, "install", args, 30000));
    d = ap_note(p, "op.done", INSTALL);
    assert_string_equal(ap_str(d, NULL, "outcome"), "refused");
    assert_string_equal(ap_str(d, "error", "code"), "not_found");
    json_free(d);
    snprintf(dir, sizeof dir, "%s/packages/%s/kb.msu", p->state_dir, digest);
    f = fopen(dir, "w");
    assert_non_null(f);
    fputs("the patcH", f);
    fclose(f);
    json_free(ap_start(p, "r1/HV07/1/install/2", "install", args, 30000));
    d = ap_note(p, "op.done", "r1/HV07/1/install/2");
    assert_string_equal(ap_str(d, "error", "code"), "corrupt");
    json_free(d);
    f = fopen(dir, "w");
    fputs(bytes, f);
    fclose(f);
    json_free(ap_start(p, "r1/HV07/1/install/3", "install", args, 30000));
    d = ap_note(p, "op.done", "r1/HV07/1/install/3");
    assert_string_equal(ap_str(d, NULL, "outcome"), "ok");
    assert_non_null(strstr(ap_str(d, "result", "path"), "/private/"));
    json_free(d);
    assert_int_equal(ap_effects(p, INSTALL), 0);
    assert_int_equal(ap_effects(p, "r1/HV07/1/install/2"), 0);
    assert_int_equal(ap_effects(p, "r1/HV07/1/install/3"), 1);
}

static void write_text_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* O9: a checkpoint package comes from the store into the private folder of its target, by its own digest. */
static void test_checkpoint_beside(void **state)
{
    struct agent_process *p = *state;
    static const char *const bytes[] = { "the patch", "a checkpoint" }, *const names[] = { "kb.msu",
                                                                                           "check.msu" };
    char digests[2][SHA256_TEXT], path[1024], args[512];
    struct json_doc *d;

    ap_serve(p);
    ap_connect(p);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/packages/%s", p->state_dir,
                 sha256_text(bytes[i], strlen(bytes[i]), digests[i]));
        assert_int_equal(mkdir(path, 0700), 0);
        snprintf(path + strlen(path), sizeof path - strlen(path), "/%s", names[i]);
        write_text_file(path, bytes[i]);
    }
    snprintf(args, sizeof args,
             "{\"package\":{\"name\":\"kb.msu\",\"sha256\":\"%s\",\"checkpoints\":[{\"name\":\"check.msu\","
             "\"sha256\":\"%s\"}]},"
             "\"parked\":[]}",
             digests[0], digests[1]);
    json_free(ap_start(p, INSTALL, "install", args, 30000));
    d = ap_note(p, "op.done", INSTALL);
    assert_string_equal(ap_str(d, NULL, "outcome"), "ok");
    json_free(d);
    for (int i = 0; i < 2; i++) {
        char have[64] = "";
        FILE *f;

        snprintf(path, sizeof path, "%s/private/%s/%s", p->state_dir, digests[0], names[i]);
        f = fopen(path, "r");
        assert_non_null(f);
        assert_int_equal(fread(have, 1, sizeof have - 1, f), strlen(bytes[i]));
        fclose(f);
        assert_string_equal(have, bytes[i]);
    }
    write_text_file(path, "altered"); /* the private copy, and then the store's */
    snprintf(path, sizeof path, "%s/packages/%s/%s", p->state_dir, digests[1], names[1]);
    write_text_file(path, "altered too");
    json_free(ap_start(p, "r1/HV07/1/install/2", "install", args, 30000));
    d = ap_note(p, "op.done", "r1/HV07/1/install/2");
    assert_string_equal(ap_str(d, "error", "code"), "corrupt");
    assert_int_equal(ap_effects(p, "r1/HV07/1/install/2"), 0);
    json_free(d);
}

/* No fetch begins without three times the package free (O32); a node that has it needs no room. */
static void test_fetch_needs_room(void **state)
{
    static const char digest[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    struct agent_process *p = *state;
    char args[512], path[512];
    struct statvfs disk;
    struct json_doc *d;

    ap_serve(p);
    ap_connect(p);
    assert_int_equal(statvfs(p->state_dir, &disk), 0);
    snprintf(args, sizeof args,
             "{\"source\":\"//share\",\"name\":\"kb.msu\",\"sha256\":\"%s\",\"size_bytes\":%llu}", digest,
             (unsigned long long)disk.f_bavail * disk.f_frsize / 2);
    json_free(ap_start(p, "r1/HV07/1/fetch_package/1", "fetch_package", args, 30000));
    d = ap_note(p, "op.done", "r1/HV07/1/fetch_package/1");
    assert_string_equal(ap_str(d, NULL, "outcome"), "refused");
    assert_string_equal(ap_str(d, "error", "code"), "full");
    assert_int_equal(ap_effects(p, "r1/HV07/1/fetch_package/1"), 0);
    json_free(d);
    snprintf(path, sizeof path, "%s/fetched/%s/kb.msu", p->state_dir, digest);
    write_text_file(path, "there already");
    json_free(ap_start(p, "r1/HV07/1/fetch_package/2", "fetch_package", args, 30000));
    d = ap_note(p, "op.done", "r1/HV07/1/fetch_package/2");
    assert_int_equal(ap_effects(p, "r1/HV07/1/fetch_package/2"), 1);
    json_free(d);
}

/* What the driver brings comes into a folder that is the service's alone, and into the store when its digest is right: a fetch that fails
 * leaves the store's folder to `receive`, which works there as the SSH account. */
static void test_fetch_comes_through_a_closed_folder(void **state)
{
    struct agent_process *p = *state;
    char args[512], brought[512], store[512], digest[SHA256_TEXT];
    struct json_doc *d;
    struct stat s;

    ap_serve(p);
    ap_connect(p);
    snprintf(args, sizeof args,
             "{\"source\":\"//share\",\"name\":\"kb.msu\",\"sha256\":\"%s\",\"size_bytes\":9}",
             sha256_text("the patch", 9, digest));
    json_free(ap_start(p, "r1/HV07/1/fetch_package/1", "fetch_package", args, 30000));
    d = ap_note(p, "op.done", "r1/HV07/1/fetch_package/1");
    assert_string_equal(ap_str(d, "error", "code"), "not_found"); /* the driver says that it is there */
    json_free(d);
    snprintf(brought, sizeof brought, "%s/fetched/%s", p->state_dir, digest);
    assert_int_equal(stat(brought, &s), 0);
    assert_int_equal(s.st_mode & 07777, 0700);
    snprintf(store, sizeof store, "%s/packages/%s", p->state_dir, digest);
    strcat(brought, "/kb.msu");
    strcat(store, "/kb.msu");
    for (int good = 0; good < 2; good++) {
        char op[] = "r1/HV07/1/fetch_package/2";

        op[sizeof op - 2] = (char)('2' + good);
        write_text_file(brought, good ? "the patch" : "another");
        json_free(ap_start(p, op, "fetch_package", args, 30000));
        d = ap_note(p, "op.done", op);
        assert_string_equal(ap_str(d, NULL, "outcome"), good ? "ok" : "failed");
        json_free(d);
        assert_int_equal(stat(store, &s), good ? 0 : -1);
        assert_int_equal(stat(brought, &s), -1);
    }
}

static const json *probe_row(const struct json_doc *report, const char *id)
{
    for (const json *r = json_first(json_get(json_root(report), "rows")); r != NULL; r = json_next(r))
        if (strcmp(json_get_str(r, "id", ""), id) == 0)
            return r;
    fail_msg("probe has no row %s", id);
    return NULL;
}

/* probe tells what is, and what is not as it should be. */
static void test_probe(void **state)
{
    struct agent_process *p = *state;
    char program[1024];
    const char *argv[] = { program, "probe", "--json", "--config", p->config, NULL };

    snprintf(program, sizeof program, "%s", ap_program("agent/patchwave-agent"));
    ap_serve(p);
    ap_hello(p);
    for (int up = 1; up >= 0; up--) {
        struct buf out = BUF_INIT;
        struct json_doc *d = NULL;
        struct err err;

        assert_int_equal(ap_run(argv, NULL, "", 0, &out), 1); /* the toy driver lacks actions */
        check_ok(json_parse("probe", buf_text(&out), out.len, &d, &err), &err);
        assert_false(json_get_bool(probe_row(d, "driver-actions"), "ok", true));
        assert_string_equal(json_get_str(probe_row(d, "facts"), "observed", ""), "\"M1\"");
        assert_int_equal(json_get_bool(probe_row(d, "service"), "ok", false), up);
        assert_true(json_get_bool(probe_row(d, "journal"), "ok", false));
        assert_string_equal(json_get_str(probe_row(d, "time-answer"), "observed", ""),
                            "the facts name no time source");
        /* in the second round others may write what the service would run */
        assert_int_equal(json_get_bool(probe_row(d, "driver-folder"), "ok", false), up);
        json_free(d);
        buf_clear(&out);
        if (up) {
            ap_kill(p, SIGTERM);
            snprintf(program, sizeof program, "%s/driver", p->dir);
            assert_int_equal(chmod(program, 0775), 0);
            snprintf(program, sizeof program, "%s", ap_program("agent/patchwave-agent"));
        }
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_forced_command),
        T(test_progress_and_output),
        T(test_no_evidence),
        T(test_output_flood),
        T(test_killed_at_deadline),
        T(test_op_outlives_connection),
        T(test_driver_outlives_agent),
        T(test_orphan_is_ended),
        T(test_killed_at_each_step),
        T(test_reboot_decided_at_start),
        T(test_second_agent),
        T(test_damaged_journal),
        T(test_upgrade_waits),
        T(test_time_factor_outside_lab),
        T(test_disk_full),
        T(test_bad_peers),
        T(test_peer_that_never_reads),
        T(test_altered_package),
        T(test_checkpoint_beside),
        T(test_fetch_needs_room),
        T(test_fetch_comes_through_a_closed_folder),
        T(test_probe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
