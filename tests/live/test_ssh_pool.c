/* Many links at once: the bound on handshakes, dead nodes among live ones,
 * waiting longer, giving up where a person has to act. */
#include "tests/live/ssh_world.h"

#include "tests/lib/fault_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TARGETS 80

struct fleet {
    struct seen_link links[TARGETS];
};

static bool all_up(void *arg)
{
    const struct fleet *f = arg;

    for (int i = 0; i < TARGETS; i++) {
        if (f->links[i].ups == 0)
            return false;
    }
    return true;
}

/* 80 targets, of which the servers' proxy sees at most 64 clients speak at once until one is through. A
 * slow proxy keeps all of them in the handshake; that all 64 places are used is checked, too. */
static void test_at_most_64_handshakes_for_80_targets(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct fleet *f = calloc(1, sizeof *f);
    struct fault_proxy *proxy;
    char address[32];
    uint32_t handshaking_max = 0;

    bed_address(&w->bed, address);
    assert_int_equal(fault_proxy_new(w->loop, address, 40022, t.address, t.port, &proxy), 0);
    t.address = address;
    t.limits.handshake_ms = 240000; /* 64 servers share what cores there are */
    fault_proxy_set(proxy, &(struct fault_proxy_faults){ .delay_ms = 1000 });
    for (int i = 0; i < TARGETS; i++)
        seen_link_open(w->pool, &f->links[i], &t);
    for (int i = 0; i < 1000 && ssh_pool_counts(w->pool).up == 0; i++) {
        struct ssh_pool_counts n = ssh_pool_counts(w->pool);

        handshaking_max = n.handshaking > handshaking_max ? n.handshaking : handshaking_max;
        assert_true(n.handshaking <= 64);
        assert_true(fault_proxy_counts(proxy).spoken <= 64);
        if (fault_proxy_counts(proxy).spoken == 64)
            fault_proxy_set(proxy, &(struct fault_proxy_faults){ .delay_ms = 0 });
        loop_turn(w->loop, 20);
    }
    assert_int_equal(handshaking_max, 64);
    assert_int_equal(fault_proxy_counts(proxy).spoken_max >= 64, true);
    fault_proxy_set(proxy, &(struct fault_proxy_faults){ .delay_ms = 0 });
    for (int i = 0; i < 12000 && !all_up(f); i++) {
        assert_true(ssh_pool_counts(w->pool).handshaking <= 64);
        loop_turn(w->loop, 20);
    }
    assert_true(all_up(f));
    for (int i = 0; i < TARGETS; i++) {
        assert_int_equal(f->links[i].downs, 0);
        ssh_link_close(f->links[i].link);
    }
    fault_proxy_close(proxy);
    free(f);
}

/* A hundred addresses that drop everything hold up no live node: they wait for their connection, not in a handshake's place. */
static void test_dead_nodes_hold_up_no_live_one(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target live = ssh_world_target(w, &w->sshd), dead = live;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(40022) };
    int listener = socket(AF_INET, SOCK_STREAM, 0), fill[8];
    struct seen_link *links = calloc(101, sizeof *links);
    char address[32];

    bed_address(&w->bed, address);
    (void)inet_pton(AF_INET, address, &at.sin_addr);
    assert_int_equal(bind(listener, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 0), 0); /* a full queue drops, as a firewall does */
    for (int i = 0; i < 8; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fill[i], (const struct sockaddr *)&at, sizeof at);
    }
    dead.address = address;
    for (int i = 0; i < 100; i++)
        seen_link_open(w->pool, &links[i], &dead);
    seen_link_open(w->pool, &links[100], &live);
    ssh_world_until(w, seen_link_up, &links[100]);
    for (int i = 0; i < 100; i++)
        assert_int_equal(links[i].downs, 0); /* still waiting: they were in front of it */
    for (int i = 0; i < 101; i++)
        ssh_link_close(links[i].link);
    for (int i = 0; i < 8; i++)
        (void)close(fill[i]);
    (void)close(listener);
    free(links);
}

static bool tried_eight_times(void *arg)
{
    return ((struct seen_link *)arg)->downs >= 8;
}

static void test_waits_grow_and_expecting_keeps_them_short(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_link l;

    t.port = 1;
    seen_link_open(w->pool, &l, &t);
    ssh_world_until(w, tried_eight_times, &l);
    assert_int_equal(l.why.code, ERR_CONNECT);
    assert_in_range(l.longest_ms, 100, 200); /* the world's pool: 20 ms up to 200 ms */
    l.longest_ms = 0;
    l.downs = 0;
    ssh_link_expect(l.link, 30);
    ssh_world_until(w, tried_eight_times, &l);
    assert_in_range(l.longest_ms, 0, 30);
    ssh_link_close(l.link);
}

/* A wrong host key or a refused login is not asked for again and again. */
static void test_refusals_wait_for_a_person(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct ssh_hostkey other = t.pin[0];
    struct seen_link l;
    char path[BED_PATH_MAX];

    other.blob[other.blob_len - 1] ^= 1;
    t.pin = &other;
    seen_link_open(w->pool, &l, &t);
    ssh_world_until(w, seen_link_down, &l);
    assert_int_equal(l.why.code, ERR_HOSTKEY);
    assert_int_equal(l.retry_ms, LINK_NO_RETRY);
    ssh_world_turn(w, 300);
    assert_int_equal(l.downs, 1);
    assert_int_equal(ssh_link_state(l.link), LINK_REFUSED);
    t.pin = &w->sshd.hostkey; /* enrolled anew */
    t.key_file = bed_path(&w->bed, "stranger", path);
    l.downs = 0;
    ssh_link_open(l.link);
    ssh_world_until(w, seen_link_down, &l);
    assert_int_equal(l.why.code, ERR_AUTH);
    t.key_file = w->key;
    ssh_link_open(l.link);
    ssh_world_until(w, seen_link_up, &l);
    ssh_link_close(l.link);
}

/* With nothing running on it, too, a link sees its session end. */
static void test_an_idle_link_notices_its_loss(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct fault_proxy *proxy;
    struct seen_link l;
    char address[32];

    bed_address(&w->bed, address);
    assert_int_equal(fault_proxy_new(w->loop, address, 40022, t.address, t.port, &proxy), 0);
    t.address = address;
    seen_link_open(w->pool, &l, &t);
    ssh_world_until(w, seen_link_up, &l);
    fault_proxy_cut(proxy);
    ssh_world_until(w, seen_link_down, &l);
    assert_int_equal(l.why.code, ERR_LOST);
    l.ups = 0;
    ssh_world_until(w, seen_link_up, &l);
    ssh_link_close(l.link);
    fault_proxy_close(proxy);
}

/* ---- several channels on one session ---- */

/* Eight commands at once on one session: echoes of different sizes, both directions full, none mixed up with another. */
static void test_channels_share_a_session(void **state)
{
    struct ssh_world *w = *state;
    struct sshd_bed d;
    struct ssh_target t;
    struct seen_link l;
    struct seen_exec x[8], status, killed, errors;
    static char data[800000];
    struct err err;

    sshd_start(&w->bed, &d, &(struct sshd_setup){ .command = NULL });
    t = ssh_world_target(w, &d);
    seen_link_open(w->pool, &l, &t);
    ssh_world_until(w, seen_link_up, &l);
    for (size_t i = 0; i < TABLE_LEN(x); i++)
        seen_exec_start(&l, &x[i], "cat");
    for (size_t i = 0; i < TABLE_LEN(x); i++) {
        check_ok(ssh_exec_send(x[i].exec, data, 100000 * i + 7, &err), &err);
        ssh_exec_eof(x[i].exec);
    }
    seen_exec_start(&l, &status, "exit 42");
    for (size_t i = 0; i < TABLE_LEN(x); i++) {
        ssh_world_until(w, seen_exec_ended, &x[i]);
        assert_int_equal(x[i].why.code, ERR_OK);
        assert_int_equal(x[i].exit_status, 0);
        assert_int_equal(x[i].got, 100000 * i + 7);
    }
    ssh_world_until(w, seen_exec_ended, &status);
    assert_int_equal(status.exit_status, 42);
    seen_exec_start(&l, &killed, "kill -9 $$");
    ssh_world_until(w, seen_exec_ended, &killed);
    assert_int_equal(killed.exit_status, -1);
    seen_exec_start(&l, &errors, "head -c 100000 /dev/zero | tr '\\0' e >&2; printf 'the end' >&2; exit 1");
    ssh_world_until(w, seen_exec_ended, &errors);
    assert_int_equal(errors.exit_status, 1);
    assert_int_equal(strlen(errors.errors), SSH_EXEC_TAIL_MAX - 1);
    check_contains(errors.errors, "ethe end");
    ssh_link_close(l.link);
    sshd_stop(&d);
}

/* A bound is a bound, and room is told of. */
static void test_a_full_send_buffer_refuses(void **state)
{
    struct ssh_world *w = *state;
    struct sshd_bed d;
    struct ssh_target t;
    struct seen_link l;
    struct seen_exec x;
    struct err err;
    static char data[5 << 20];

    sshd_start(&w->bed, &d, &(struct sshd_setup){ .command = NULL });
    t = ssh_world_target(w, &d);
    seen_link_open(w->pool, &l, &t);
    ssh_world_until(w, seen_link_up, &l);
    seen_exec_start(&l, &x, "sleep 1; cat > /dev/null; echo done");
    assert_int_equal(ssh_exec_send(x.exec, data, sizeof data, &err), ERR_CAPACITY);
    assert_int_equal(ssh_exec_unsent(x.exec), 0); /* whole or not at all */
    check_ok(ssh_exec_send(x.exec, data, (size_t)4 << 20, &err), &err);
    assert_int_equal(ssh_exec_send(x.exec, data, 1, &err), ERR_CAPACITY);
    ssh_exec_eof(x.exec);
    assert_int_equal(ssh_exec_send(x.exec, data, 1, &err), ERR_STATE);
    ssh_world_until(w, seen_exec_ended, &x);
    assert_int_equal(x.got, 5);
    ssh_link_close(l.link);
    sshd_stop(&d);
}

/* Channels closed in every state of theirs; the session stays good for the next. */
static void test_closing_channels_at_any_moment(void **state)
{
    struct ssh_world *w = *state;
    struct sshd_bed d;
    struct ssh_target t;
    struct seen_link l;
    struct seen_exec x, last;
    struct err err;
    static char data[(size_t)3 << 20];

    sshd_start(&w->bed, &d, &(struct sshd_setup){ .command = NULL, .more = "MaxSessions 100" });
    t = ssh_world_target(w, &d);
    seen_link_open(w->pool, &l, &t);
    ssh_world_until(w, seen_link_up, &l);
    for (unsigned turns = 0; turns < 30; turns++) {
        seen_exec_start(&l, &x, "cat");
        check_ok(ssh_exec_send(x.exec, data, sizeof data, &err), &err);
        for (unsigned i = 0; i < turns; i++)
            loop_turn(w->loop, 5);
        assert_false(x.ended);
        ssh_exec_close(x.exec);
    }
    seen_exec_start(&l, &last, "echo still here");
    ssh_world_until(w, seen_exec_ended, &last);
    assert_int_equal(last.why.code, ERR_OK);
    assert_int_equal(last.got, strlen("still here\n"));
    assert_false(x.ended);
    ssh_link_close(l.link);
    sshd_stop(&d);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, ssh_world_begin, ssh_world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_at_most_64_handshakes_for_80_targets),
        STORY(test_dead_nodes_hold_up_no_live_one),
        STORY(test_waits_grow_and_expecting_keeps_them_short),
        STORY(test_refusals_wait_for_a_person),
        STORY(test_an_idle_link_notices_its_loss),
        STORY(test_channels_share_a_session),
        STORY(test_a_full_send_buffer_refuses),
        STORY(test_closing_channels_at_any_moment),
    };

    return cmocka_run_group_tests(tests, ssh_world_open, ssh_world_close);
}
