/* observe time_sync against a real chronyd that serves its own clock, and
 * against a server of this test that answers badly. */
#include "tests/lib/agent_process.h"
#include "tests/lib/check.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static int setup(void **state)
{
    static struct agent_process p;

    ap_open(&p);
    ap_serve(&p);
    ap_hello(&p);
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    ap_close(*state);
    return 0;
}

static struct json_doc *observe(struct agent_process *p, const char *servers)
{
    char params[512];

    snprintf(params, sizeof params,
             "{\"what\":\"time_sync\",\"args\":{\"servers\":[%s],\"samples\":2,\"timeout_ms\":400}}",
             servers);
    return ap_call(p, "observe", params);
}

static const json *server(const struct json_doc *d)
{
    return json_first(json_get(json_get(json_get(json_root(d), "result"), "data"), "servers"));
}

/* A bound UDP socket on a free port of the loopback. */
static int bind_udp(int *ret_port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    getsockname(fd, (struct sockaddr *)&a, &len);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

enum bad { HONEST, AHEAD, STRATUM_16, KISS, WRONG_ORIGIN, SILENT, SHORT, ECHO };

static void put_now(uint8_t *at, int64_t plus_us)
{
    struct timeval t;
    int64_t us;
    uint32_t s, f;

    gettimeofday(&t, NULL);
    us = (int64_t)t.tv_sec * 1000000 + t.tv_usec + plus_us;
    s = htonl((uint32_t)(us / 1000000 + 2208988800));
    f = htonl((uint32_t)(((uint64_t)(us % 1000000) << 32) / 1000000));
    memcpy(at, &s, 4);
    memcpy(at + 4, &f, 4);
}

static void answer(int fd, enum bad how)
{
    uint8_t in[512], out[48] = { 4 << 3 | 4, 2 };
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    ssize_t n = recvfrom(fd, in, sizeof in, 0, (struct sockaddr *)&from, &len);

    if (n < 48 || how == SILENT)
        return;
    memcpy(out + 24, in + 40, 8);
    put_now(out + 32, how == AHEAD ? 2500000 : 0);
    put_now(out + 40, how == AHEAD ? 2500000 : 0);
    if (how == STRATUM_16)
        out[1] = 16;
    if (how == KISS) {
        out[1] = 0;
        memcpy(out + 12, "RATE", 4);
    }
    if (how == WRONG_ORIGIN)
        out[24] ^= 0x40;
    if (how == ECHO)
        memcpy(out, in, 48);
    sendto(fd, out, how == SHORT ? 20 : 48, 0, (struct sockaddr *)&from, len);
}

/* A server process that answers so; ended by the caller. */
static pid_t serve(enum bad how, int *ret_port)
{
    int fd = bind_udp(ret_port);
    pid_t pid = fork();

    if (pid == 0)
        for (int i = 0; i < 1000; i++)
            answer(fd, how);
    if (pid == 0)
        _exit(0);
    close(fd);
    return pid;
}

static void test_answers(void **state)
{
    static const struct {
        enum bad how;
        const char *why; /* NULL: believed */
        int64_t offset_us;
    } rows[] = {
        { HONEST, NULL, 0 },
        { AHEAD, NULL, 2500000 },
        { STRATUM_16, "unsynchronised", 0 },
        { KISS, "kiss:RATE", 0 },
        { WRONG_ORIGIN, "wrong_origin", 0 },
        { SILENT, "timeout", 0 },
        { SHORT, "bad_reply", 0 },
        { ECHO, "bad_reply", 0 },
    };
    struct agent_process *p = *state;

    for (size_t i = 0; i < TABLE_LEN(rows); i++) {
        int port;
        pid_t pid = serve(rows[i].how, &port);
        char name[64];
        struct json_doc *d;

        snprintf(name, sizeof name, "\"127.0.0.1:%d\"", port);
        d = observe(p, name);
        assert_string_equal(ap_error(d), "none");
        if (rows[i].why != NULL) {
            assert_string_equal(json_get_str(server(d), "why", ""), rows[i].why);
            assert_true(json_is_null(json_get(server(d), "offset_us")));
        } else {
            assert_true(json_get_bool(server(d), "ok", false));
            assert_int_equal(json_get_int(server(d), "samples", 0), 2);
            assert_in_range(json_get_int(server(d), "offset_us", 1) - rows[i].offset_us + 500000, 0, 1000000);
        }
        json_free(d);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

static void test_bad_addresses(void **state)
{
    struct agent_process *p = *state;
    struct json_doc *d = observe(p, "\"127.0.0.1:0\",\"\",\":123\"");

    for (const json *s = server(d); s != NULL; s = json_next(s))
        assert_string_equal(json_get_str(s, "why", ""), "bad_address");
    json_free(d);
}

/* The time source of a domain member is the name of its domain controller. */
static void test_names(void **state)
{
    struct agent_process *p = *state;
    int port;
    pid_t pid = serve(HONEST, &port);
    char names[128];
    struct json_doc *d;

    snprintf(names, sizeof names, "\"localhost:%d\",\"no-such-dc.invalid:123\"", port);
    d = observe(p, names);
    assert_true(json_get_bool(server(d), "ok", false));
    assert_int_equal(json_get_int(server(d), "samples", 0), 2);
    assert_string_equal(json_get_str(json_next(server(d)), "why", ""), "no_address");
    json_free(d);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* A node clock that is ahead sees an honest server behind (lab only). */
static void test_clock_error(void **state)
{
    struct agent_process *p = *state;
    char name[64];
    int port;
    pid_t pid = serve(HONEST, &port);
    struct json_doc *d;

    ap_world(p, "clock_error_ms", "3000");
    snprintf(name, sizeof name, "\"127.0.0.1:%d\"", port);
    d = observe(p, name);
    assert_in_range(json_get_int(server(d), "offset_us", 0) + 3000000 + 500000, 0, 1000000);
    json_free(d);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* The good path: chronyd without touching the machine's clock (-x). */
static void test_chronyd(void **state)
{
    struct agent_process *p = *state;
    char conf[128], text[512], name[64];
    int port, fd = bind_udp(&port);
    struct json_doc *d = NULL;
    bool ok = false;
    pid_t pid;
    FILE *f;

    close(fd);
    if (access("/usr/sbin/chronyd", X_OK) != 0 || geteuid() != 0) {
        print_message("SKIPPED: no chronyd, or not root\n");
        skip();
    }
    snprintf(conf, sizeof conf, "%s/chrony.conf", p->dir);
    f = fopen(conf, "w");
    assert_non_null(f);
    snprintf(text, sizeof text,
             "local stratum 3\nallow 127.0.0.0/8\nbindaddress 127.0.0.1\nport %d\ncmdport 0\nbindcmdaddress "
             "/\npidfile %s/chronyd.pid\n",
             port, p->dir);
    fputs(text, f);
    fclose(f);
    pid = fork();
    if (pid == 0) {
        execl("/usr/sbin/chronyd", "chronyd", "-x", "-d", "-L", "2", "-f", conf, "-u", "root", (char *)NULL);
        _exit(127);
    }
    snprintf(name, sizeof name, "\"127.0.0.1:%d\"", port);
    for (int i = 0; i < 30 && !ok; i++) {
        json_free(d);
        d = observe(p, name);
        ok = json_get_bool(server(d), "ok", false);
    }
    assert_true(ok);
    assert_int_equal(json_get_int(server(d), "stratum", 0), 3);
    assert_in_range(json_get_int(server(d), "offset_us", 1 << 30) + 100000, 0, 200000);
    json_free(d);
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = { T(test_answers), T(test_bad_addresses), T(test_names),
                                        T(test_clock_error), T(test_chronyd) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
