/* A file to a node: whole, resumed after cuts, refused, paced; and what it
 * leaves of the loop for others. */
#include "tests/live/ssh_world.h"

#include "orchestrator/io/agent_client.h"
#include "orchestrator/io/payload.h"
#include "schema/prng.h"
#include "schema/sha256.h"
#include "tests/lib/fault_proxy.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

struct package {
    char path[BED_PATH_MAX];
    char name[64];
    char sha256[SHA256_TEXT];
    size_t bytes;
};

/* A file of that size whose bytes repeat nowhere, and its digest. */
static void package_make(const struct ssh_world *w, struct package *k, const char *name, size_t bytes)
{
    static unsigned char chunk[1 << 16];
    uint8_t digest[SHA256_BYTES];
    char local[80];
    struct sha256 s;
    struct prng r;
    FILE *f;

    (void)snprintf(k->name, sizeof k->name, "%s", name);
    (void)snprintf(local, sizeof local, "local-%s", name);
    (void)bed_path(&w->bed, local, k->path);
    k->bytes = bytes;
    f = fopen(k->path, "w");
    assert_non_null(f);
    prng_init(&r, bytes);
    sha256_init(&s);
    for (size_t left = bytes; left > 0;) {
        size_t n = left < sizeof chunk ? left : sizeof chunk;

        for (size_t i = 0; i < sizeof chunk; i += 8) {
            uint64_t v = prng_next(&r);
            memcpy(chunk + i, &v, 8);
        }
        assert_int_equal(fwrite(chunk, 1, n, f), n);
        sha256_add(&s, chunk, n);
        left -= n;
    }
    (void)fclose(f);
    sha256_end(&s, digest);
    (void)sha256_hex(digest, k->sha256);
}

static void check_arrived(const struct ssh_world *w, const struct package *k)
{
    char path[BED_PATH_MAX];
    const char *const argv[] = { "cmp", k->path, bed_path(&w->bed, k->name, path), NULL };

    bed_run(argv);
}

struct seen_payload {
    struct payload *payload;
    unsigned ends, retries;
    bool had;
    struct err why; /* code OK: arrived */
    uint64_t sent, size;
};

static void on_progress(void *arg, uint64_t sent_bytes, uint64_t size_bytes)
{
    struct seen_payload *p = arg;

    p->sent = sent_bytes;
    p->size = size_bytes;
    assert_true(sent_bytes <= size_bytes);
}

static void on_retry(void *arg, const struct err *why, dur_ms retry_ms)
{
    struct seen_payload *p = arg;

    p->retries++;
    p->why = *why;
    assert_true(retry_ms >= 0);
}

static void on_payload_end(void *arg, bool had, const struct err *why)
{
    struct seen_payload *p = arg;

    p->ends++;
    p->had = had;
    p->payload = NULL;
    p->why = (struct err){ .code = ERR_OK };
    if (why != NULL)
        p->why = *why;
}

static bool is_over(void *arg)
{
    return ((struct seen_payload *)arg)->ends > 0;
}

static dur_ms stall_ms = 30000, give_up_ms = 120000; /* shorter where that is the story */

static void payload_begin(struct ssh_world *w, struct seen_payload *p, const struct ssh_target *t,
                          const struct package *k, uint64_t link_bytes_s, struct rate *fleet)
{
    const struct payload_config config = { .pool = w->pool,
                                           .target = t,
                                           .path = k->path,
                                           .name = k->name,
                                           .sha256 = k->sha256,
                                           .link_bytes_s = link_bytes_s,
                                           .fleet_rate = fleet,
                                           .stall_ms = stall_ms,
                                           .give_up_ms = give_up_ms,
                                           .on_progress = on_progress,
                                           .on_retry = on_retry,
                                           .on_end = on_payload_end,
                                           .arg = p };
    struct err err;

    memset(p, 0, sizeof *p);
    check_ok(payload_start(&config, &p->payload, &err), &err);
}

static void check_over(const struct seen_payload *p, enum err_code code)
{
    assert_int_equal(p->ends, 1);
    if (p->why.code != code)
        fail_msg("%s expected, got %s: %s", err_name(code), err_name(p->why.code), p->why.text);
}

/* ---- stories ---- */

static void test_arrives_whole_and_is_there_the_second_time(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct package k;
    struct seen_payload p;

    package_make(w, &k, "whole.msu", 5 * MIB + 17);
    payload_begin(w, &p, &t, &k, 0, NULL);
    ssh_world_until(w, is_over, &p);
    check_over(&p, ERR_OK);
    assert_false(p.had);
    assert_int_equal(p.sent, k.bytes);
    check_arrived(w, &k);
    payload_begin(w, &p, &t, &k, 0, NULL);
    ssh_world_until(w, is_over, &p);
    check_over(&p, ERR_OK);
    assert_true(p.had);
}

/* 64 MiB with a cut every few MiB at random places: resumed each time, whole at the end. */
static void test_resumes_after_cuts_at_random_places(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct package k;
    struct seen_payload p;
    struct fault_proxy *proxy;
    struct prng random;
    char address[32];
    unsigned seen_retries = 0;

    package_make(w, &k, "cut.msu", 64 * MIB);
    bed_address(&w->bed, address);
    assert_int_equal(fault_proxy_new(w->loop, address, 40022, t.address, t.port, &proxy), 0);
    t.address = address;
    t.port = 40022;
    prng_init(&random, 20261123);
    fault_proxy_set(proxy, &(struct fault_proxy_faults){ .cut_after = 3 * MIB });
    payload_begin(w, &p, &t, &k, 0, NULL);
    for (int i = 0; i < 200000 && p.ends == 0; i++) {
        loop_turn(w->loop, 50);
        if (p.retries != seen_retries) { /* the next cut somewhere else; some of them in the handshake */
            seen_retries = p.retries;
            fault_proxy_set(
                proxy, &(struct fault_proxy_faults){ .cut_after = prng_below(&random, 10 * MIB) + 1000 });
        }
    }
    check_over(&p, ERR_OK);
    assert_true(p.retries >= 5);
    check_arrived(w, &k);
    /* What was sent twice is only what was on its way when the cable was cut. */
    assert_true(fault_proxy_counts(proxy).bytes < k.bytes + (p.retries + 1) * 8 * MIB);
    fault_proxy_close(proxy);
}

/* Frozen in the middle: the stall limit cuts, and it goes on elsewhere. */
static void test_a_frozen_transfer_is_begun_again(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct package k;
    struct seen_payload p;
    struct fault_proxy *proxy;
    char address[32];

    package_make(w, &k, "frozen.msu", 24 * MIB);
    bed_address(&w->bed, address);
    assert_int_equal(fault_proxy_new(w->loop, address, 40022, t.address, t.port, &proxy), 0);
    t.address = address;
    t.port = 40022;
    stall_ms = 3000;
    payload_begin(w, &p, &t, &k, 0, NULL);
    stall_ms = 30000;
    for (int i = 0; i < 10000 && p.sent < 2 * MIB; i++)
        loop_turn(w->loop, 50);
    assert_int_equal(p.ends, 0);
    fault_proxy_set(proxy, &(struct fault_proxy_faults){ .frozen = true });
    for (int i = 0; i < 1000 && p.retries == 0; i++)
        loop_turn(w->loop, 50);
    assert_true(p.retries >= 1);
    check_contains(p.why.text, "no progress");
    fault_proxy_set(proxy, &(struct fault_proxy_faults){ .frozen = false });
    ssh_world_until(w, is_over, &p);
    check_over(&p, ERR_OK);
    check_arrived(w, &k);
    fault_proxy_close(proxy);
}

static void test_the_receivers_refusals_keep_their_names(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct package k;
    struct seen_payload p;
    char path[BED_PATH_MAX];

    package_make(w, &k, "full.msu", MIB);
    payload_begin(w, &p, &t, &k, 0, NULL);
    ssh_world_until(w, is_over, &p);
    check_over(&p, ERR_FULL);
    check_contains(p.why.text, "send full.msu to HV07");
    check_contains(p.why.text, "2 GiB are free");

    package_make(w, &k, "wrong.msu", MIB);
    k.sha256[0] = k.sha256[0] == '0' ? '1' : '0';
    payload_begin(w, &p, &t, &k, 0, NULL);
    ssh_world_until(w, is_over, &p);
    check_over(&p, ERR_CORRUPT);
    assert_int_equal(p.retries, 1); /* once more from the start, then it is believed */
    assert_int_not_equal(access(bed_path(&w->bed, "wrong.msu", path), F_OK), 0);
}

/* A part that was damaged on the node: thrown away and sent anew. */
static void test_a_damaged_part_is_sent_anew(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct package k;
    struct seen_payload p;
    char path[BED_PATH_MAX];
    FILE *f;

    package_make(w, &k, "part.msu", 2 * MIB);
    f = fopen(bed_path(&w->bed, "part.msu.part", path), "w");
    assert_non_null(f);
    (void)fputs("these are not the first bytes", f);
    (void)fclose(f);
    payload_begin(w, &p, &t, &k, 0, NULL);
    ssh_world_until(w, is_over, &p);
    check_over(&p, ERR_OK);
    assert_int_equal(p.retries, 1);
    check_arrived(w, &k);
}

static void test_what_cannot_be_sent(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct package k;
    struct seen_payload p;
    struct payload *none;
    struct payload_config config = { .pool = w->pool,
                                     .target = &t,
                                     .path = "/nonexistent",
                                     .name = "x",
                                     .sha256 = "",
                                     .on_end = on_payload_end };
    struct err err;
    char path[BED_PATH_MAX];

    assert_int_equal(payload_start(&config, &none, &err), ERR_NOT_FOUND);
    package_make(w, &k, "shrinks.msu", 8 * MIB);
    payload_begin(w, &p, &t, &k, 0, NULL);
    assert_int_equal(truncate(k.path, MIB), 0); /* changed under our hands */
    ssh_world_until(w, is_over, &p);
    check_over(&p, ERR_INVALID);
    check_contains(p.why.text, "shorter");
    package_make(w, &k, "stranger.msu", MIB);
    t.key_file = bed_path(&w->bed, "stranger", path);
    payload_begin(w, &p, &t, &k, 0, NULL);
    ssh_world_until(w, is_over, &p);
    check_over(&p, ERR_AUTH);
}

static void test_gives_up_after_its_time(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct package k;
    struct seen_payload p;

    package_make(w, &k, "nowhere.msu", MIB);
    t.port = 1;
    give_up_ms = 4000;
    payload_begin(w, &p, &t, &k, 0, NULL);
    give_up_ms = 120000;
    ssh_world_until(w, is_over, &p);
    check_over(&p, ERR_TIMEOUT);
    assert_true(p.retries > 3);
    check_contains(p.why.text, "refused");
}

/* Two transfers share the fleet's cap; each keeps its own. Checked on bytes and time, with slack above only. */
static void test_caps_are_kept(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct package k[2];
    struct seen_payload p[2];
    struct rate fleet;
    int64_t begin;

    package_make(w, &k[0], "cap0.msu", 3 * MIB);
    package_make(w, &k[1], "cap1.msu", 3 * MIB);
    rate_init(&fleet, 4 * MIB, loop_now_ms(w->loop));
    begin = loop_now_ms(w->loop);
    for (int i = 0; i < 2; i++)
        payload_begin(w, &p[i], &t, &k[i], 3 * MIB, &fleet);
    for (int i = 0; i < 2; i++) {
        ssh_world_until(w, is_over, &p[i]);
        check_over(&p[i], ERR_OK);
        check_arrived(w, &k[i]);
    }
    assert_true(loop_now_ms(w->loop) - begin >= 1300); /* 6 MiB at 4 MiB/s, less the bucket's first fill */
}

static void on_up(void *arg)
{
    *(bool *)arg = true;
}

static void on_down(void *arg, const struct err *why, dur_ms retry_ms)
{
    (void)arg;
    (void)retry_ms;
    fail_msg("relay lost: %s", why->text);
}

static void on_echo(void *arg, const struct rpc_message *reply, const struct err *why)
{
    if (why != NULL && why->code == ERR_CANCELLED)
        return; /* asked right before the end */
    assert_null(why);
    assert_non_null(reply);
    ++*(unsigned *)arg;
}

static bool is_set(void *arg)
{
    return *(bool *)arg;
}

/* While a file goes out at full speed, requests to other nodes are answered in between: several per MiB sent. */
static void test_leaves_turns_for_others(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct package k;
    struct seen_payload p;
    struct agent_client *client;
    unsigned answers = 0;
    bool up = false;
    struct err err;
    const struct agent_client_config config = {
        .pool = w->pool, .target = &t, .on_up = on_up, .on_down = on_down, .arg = &up
    };

    package_make(w, &k, "busy.msu", 48 * MIB);
    check_ok(agent_client_new(&config, &client, &err), &err);
    agent_client_open(client);
    ssh_world_until(w, is_set, &up);
    payload_begin(w, &p, &t, &k, 0, NULL);
    for (int i = 0; i < 1000000 && p.ends == 0; i++) {
        if (agent_client_pending(client) == 0)
            check_ok(agent_client_call(client, "echo", "{\"n\":1}", 5000, on_echo, &answers, &err), &err);
        loop_turn(w->loop, 50);
    }
    check_over(&p, ERR_OK);
    if (answers < 48)
        fail_msg("only %u answers while 48 MiB went out", answers);
    agent_client_close(client);
}

static void test_cancelling_at_any_moment(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct package k;

    package_make(w, &k, "cancelled.msu", 8 * MIB);
    for (unsigned turns = 0; turns < 60; turns += 3) {
        struct seen_payload p;

        payload_begin(w, &p, &t, &k, 0, NULL);
        for (unsigned i = 0; i < turns && p.ends == 0; i++)
            loop_turn(w->loop, 5);
        if (p.ends == 0)
            payload_cancel(p.payload);
        assert_true(p.ends == 0 || p.why.code == ERR_OK);
    }
    ssh_world_turn(w, 50);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, ssh_world_begin, ssh_world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_arrives_whole_and_is_there_the_second_time),
        STORY(test_resumes_after_cuts_at_random_places),
        STORY(test_a_frozen_transfer_is_begun_again),
        STORY(test_the_receivers_refusals_keep_their_names),
        STORY(test_a_damaged_part_is_sent_anew),
        STORY(test_what_cannot_be_sent),
        STORY(test_gives_up_after_its_time),
        STORY(test_caps_are_kept),
        STORY(test_leaves_turns_for_others),
        STORY(test_cancelling_at_any_moment),
    };

    return cmocka_run_group_tests(tests, ssh_world_open, ssh_world_close);
}
