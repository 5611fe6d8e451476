/* `receive` as a controller uses it: whole, cut and resumed, altered, held
 * already, refused; the file has its name only with the right digest. */
#include "tests/lib/agent_process.h"
#include "tests/lib/check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE 3000000

struct world {
    struct agent_process agent;
    char *bytes;
    char digest[SHA256_TEXT];
    char path[512], part[520];
};

static int setup(void **state)
{
    static struct world w;

    ap_open(&w.agent);
    ap_serve(&w.agent); /* makes the state folder; `receive` itself needs no service */
    ap_kill(&w.agent, 15);
    w.bytes = malloc(SIZE);
    assert_non_null(w.bytes);
    for (int i = 0; i < SIZE; i++)
        w.bytes[i] = (char)((uint32_t)i * 2654435761u >> 13);
    sha256_text(w.bytes, SIZE, w.digest);
    snprintf(w.path, sizeof w.path, "%s/packages/%s/kb.msu", w.agent.state_dir, w.digest);
    snprintf(w.part, sizeof w.part, "%s.part", w.path);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    free(w->bytes);
    ap_close(&w->agent);
    return 0;
}

/* Send the request line and `len` bytes from `from` on; all answers in `out`. */
static int receive(struct world *w, const char *line, size_t from, size_t len, struct buf *out)
{
    const char *argv[] = { NULL, "ssh", "--config", w->agent.config, NULL };
    struct buf in = BUF_INIT;
    char program[1024];
    int rc;

    snprintf(program, sizeof program, "%s", ap_program("agent/patchwave-agent"));
    argv[0] = program;
    buf_str(&in, line);
    buf_char(&in, '\n');
    buf_add(&in, w->bytes + from, len);
    buf_reset(out);
    rc = ap_run(argv, "receive", in.data, in.len, out);
    buf_clear(&in);
    return rc;
}

static const char *request(const struct world *w, size_t size)
{
    static char line[256];

    snprintf(line, sizeof line, "{\"name\":\"kb.msu\",\"size_bytes\":%zu,\"sha256\":\"%s\"}", size,
             w->digest);
    return line;
}

static long size_of(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 ? (long)s.st_size : -1;
}

static void test_whole(void **state)
{
    struct world *w = *state;
    struct buf out = BUF_INIT;
    char want[256];

    assert_int_equal(receive(w, request(w, SIZE), 0, SIZE, &out), 0);
    snprintf(want, sizeof want, "{\"offset\":0}\n{\"done\":true,\"sha256\":\"%s\"}\n", w->digest);
    assert_string_equal(buf_text(&out), want);
    assert_int_equal(size_of(w->path), SIZE);
    assert_int_equal(receive(w, request(w, SIZE), 0, 0, &out), 0);
    assert_string_equal(buf_text(&out), "{\"have\":true}\n");
    buf_clear(&out);
}

/* Cut anywhere, go on from what is held; nothing is sent twice. */
static void test_resumed(void **state)
{
    static const size_t cuts[] = { 0, 1, 65535, 65536, 2000000, SIZE - 1 };
    struct world *w = *state;
    struct buf out = BUF_INIT;
    char want[256];
    size_t held = 0;

    for (size_t i = 0; i < TABLE_LEN(cuts); i++) {
        assert_int_equal(receive(w, request(w, SIZE), held, cuts[i] - held, &out), 1);
        snprintf(want, sizeof want, "{\"offset\":%zu}\n{\"error\":{\"name\":\"lost\"", held);
        assert_int_equal(strncmp(buf_text(&out), want, strlen(want)), 0);
        assert_int_equal(size_of(w->part), cuts[i]);
        assert_int_equal(size_of(w->path), -1);
        held = cuts[i];
    }
    assert_int_equal(receive(w, request(w, SIZE), held, SIZE - held, &out), 0);
    assert_int_equal(size_of(w->path), SIZE);
    assert_int_equal(size_of(w->part), -1);
    buf_clear(&out);
}

/* One flipped bit on the way, or in the part that was held: no file gets its name. */
static void test_altered(void **state)
{
    struct world *w = *state;
    struct buf out = BUF_INIT;
    FILE *f;

    w->bytes[SIZE / 2] ^= 1;
    assert_int_equal(receive(w, request(w, SIZE), 0, SIZE, &out), 1);
    assert_non_null(strstr(buf_text(&out), "\"corrupt\""));
    assert_int_equal(size_of(w->path), -1);
    assert_int_equal(size_of(w->part), -1);
    w->bytes[SIZE / 2] ^= 1;
    assert_int_equal(receive(w, request(w, SIZE), 0, 1000, &out), 1);
    f = fopen(w->part, "r+");
    assert_non_null(f);
    fputc('!', f);
    fclose(f);
    assert_int_equal(receive(w, request(w, SIZE), 1000, SIZE - 1000, &out), 1);
    assert_non_null(strstr(buf_text(&out), "\"corrupt\""));
    assert_int_equal(receive(w, request(w, SIZE), 0, SIZE, &out), 0); /* and then it works */
    buf_clear(&out);
}

/* What lies under the right name with other bytes is not "have". */
static void test_altered_in_store(void **state)
{
    struct world *w = *state;
    struct buf out = BUF_INIT;
    FILE *f;

    assert_int_equal(receive(w, request(w, SIZE), 0, SIZE, &out), 0);
    f = fopen(w->path, "r+");
    assert_non_null(f);
    fputc(w->bytes[0] ^ 1, f);
    fclose(f);
    assert_int_equal(receive(w, request(w, SIZE), 0, SIZE, &out), 0);
    assert_non_null(strstr(buf_text(&out), "\"done\":true"));
    buf_clear(&out);
}

static void test_bad_requests(void **state)
{
    static const char *const rows[] = {
        "",
        "{}",
        "[]",
        "kb.msu",
        "{\"name\":\"kb.msu\",\"size_bytes\":0,\"sha256\":\"%s\"}",
        "{\"name\":\"../kb.msu\",\"size_bytes\":9,\"sha256\":\"%s\"}",
        "{\"name\":\"a/b\",\"size_bytes\":9,\"sha256\":\"%s\"}",
        "{\"name\":\".part\",\"size_bytes\":9,\"sha256\":\"%s\"}",
        "{\"name\":\"\",\"size_bytes\":9,\"sha256\":\"%s\"}",
        "{\"name\":\"kb.msu\",\"size_bytes\":9,\"sha256\":\"../..\"}",
        "{\"name\":\"kb.msu\",\"size_bytes\":9,\"sha256\":\"%s\",\"x\":1}",
        "{\"name\":\"kb.msu\",\"size_bytes\":-9,\"sha256\":\"%s\"}",
    };
    struct world *w = *state;
    struct buf out = BUF_INIT;

    for (size_t i = 0; i < TABLE_LEN(rows); i++) {
        char line[512];
        const char *hole = strstr(rows[i], "%s");

        snprintf(line, sizeof line, "%.*s%s%s", hole == NULL ? (int)strlen(rows[i]) : (int)(hole - rows[i]),
                 rows[i], hole == NULL ? "" : w->digest, hole == NULL ? "" : hole + 2);
        assert_int_not_equal(receive(w, line, 0, 9, &out), 0);
        if (strncmp(buf_text(&out), "{\"error\":{\"name\":", 17) != 0)
            fail_msg("%s: %s", line, buf_text(&out));
    }
    buf_clear(&out);
}

/* Less than three times the package free: refused before a byte is sent (O32). */
static void test_no_space(void **state)
{
    struct world *w = *state;
    struct buf out = BUF_INIT;
    char dir[160];

    snprintf(dir, sizeof dir, "%s/packages", w->agent.state_dir);
    mkdir(dir, 0700);
    if (geteuid() != 0 || mount("tmpfs", dir, "tmpfs", 0, "size=8m") != 0) {
        print_message("SKIPPED: a full disk needs root and tmpfs\n");
        skip();
    }
    assert_int_equal(receive(w, request(w, SIZE), 0, SIZE, &out), 1);
    assert_int_equal(strncmp(buf_text(&out), "{\"error\":{\"name\":\"full\"", 23), 0);
    assert_non_null(
        strstr(buf_text(&out), ": 8.0 MiB are free, 8.6 MiB are wanted, three times the package"));
    assert_int_equal(umount(dir), 0);
    buf_clear(&out);
}

/* The SSH account is not the service's: its group lets it in, to the socket
 * and to the store and nowhere else (O27). */
static void test_other_account(void **state)
{
    struct world *w = *state;
    struct buf out = BUF_INIT;
    char command[2048], bytes[256];
    const char *argv[] = { "/bin/sh", "-c", command, NULL };
    static const char ping[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{}}\n";

    if (geteuid() != 0 || access("/usr/bin/setpriv", X_OK) != 0) {
        print_message("SKIPPED: another account needs root and setpriv\n");
        skip();
    }
    snprintf(w->agent.more_config, sizeof w->agent.more_config, ",\"socket_group\":\"nogroup\"");
    ap_serve(&w->agent);
    ap_hello(&w->agent);
    snprintf(command, sizeof command, "chmod 711 %s; chmod 644 %s; cp %s %s/program", w->agent.dir,
             w->agent.config, ap_program("agent/patchwave-agent"), w->agent.dir);
    assert_int_equal(ap_run(argv, NULL, "", 0, NULL), 0);
    snprintf(command, sizeof command,
             "exec setpriv --reuid 65534 --regid 65534 --clear-groups %s/program ssh --config %s",
             w->agent.dir, w->agent.config);
    snprintf(bytes, sizeof bytes, "{\"name\":\"n.msu\",\"size_bytes\":9,\"sha256\":\"%s\"}\nthe patch",
             sha256_text("the patch", 9, w->digest));
    assert_int_equal(ap_run(argv, "receive", bytes, strlen(bytes), &out), 0);
    assert_non_null(strstr(buf_text(&out), "\"done\":true"));
    assert_int_equal(ap_run(argv, "relay", ping, sizeof ping - 1, NULL), 0);
    snprintf(command, sizeof command,
             "exec setpriv --reuid 65534 --regid 65534 --clear-groups cat %s/journal.db", w->agent.state_dir);
    assert_int_not_equal(ap_run(argv, NULL, "", 0, NULL), 0);
    snprintf(command, sizeof command, "exec setpriv --reuid 65534 --regid 65534 --clear-groups ls %s",
             w->agent.state_dir);
    assert_int_not_equal(ap_run(argv, NULL, "", 0, NULL), 0);
    buf_clear(&out);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_whole),        T(test_resumed),       T(test_altered),  T(test_altered_in_store),
        T(test_bad_requests), T(test_other_account), T(test_no_space),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
