/* The transport against the real thing: sshd, forced command, `patchwave-agent`
 * with its relay, its receiver and its service. */
#include "tests/live/ssh_world.h"

#include "orchestrator/io/agent_client.h"
#include "orchestrator/io/payload.h"
#include "schema/prng.h"
#include "schema/sha256.h"
#include "tests/lib/agent_process.h"
#include "tests/lib/fault_proxy.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO "{\"protocol\":{\"min\":1,\"max\":1},\"controller\":\"" AP_CONTROLLER "\",\"program\":\"test\"}"
#define PACKAGE_BYTES ((size_t)20 << 20)

struct site {
    struct agent_process agent;
    struct sshd_bed sshd;
    struct ssh_target target;
    char command[BED_PATH_MAX];
};

/* An agent, and an sshd through which nothing but that agent can be reached. */
static void site_open(struct ssh_world *w, struct site *s)
{
    ap_open(&s->agent);
    ap_serve(&s->agent);
    (void)snprintf(s->command, sizeof s->command, "%s ssh --config %s", ap_program("agent/patchwave-agent"),
                   s->agent.config);
    sshd_start(&w->bed, &s->sshd, &(struct sshd_setup){ .command = s->command });
    s->target = ssh_world_target(w, &s->sshd);
}

static void site_close(struct site *s)
{
    sshd_stop(&s->sshd);
    ap_close(&s->agent);
}

struct seen_agent {
    struct agent_client *client;
    unsigned downs, answers;
    struct err down, why; /* why: of the last answer; code OK: a result */
    char session[64];
};

static void on_up(void *arg)
{
    (void)arg;
}

static void on_down(void *arg, const struct err *why, dur_ms retry_ms)
{
    struct seen_agent *a = arg;

    (void)retry_ms;
    a->downs++;
    a->down = *why;
}

static void on_answer(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct seen_agent *a = arg;

    a->answers++;
    a->why = (struct err){ .code = ERR_OK };
    if (why != NULL)
        a->why = *why;
    else
        (void)snprintf(a->session, sizeof a->session, "%s", json_get_str(reply->result, "session", ""));
}

static bool is_up(void *arg)
{
    return agent_client_is_up(((struct seen_agent *)arg)->client);
}

static bool is_down(void *arg)
{
    return ((struct seen_agent *)arg)->downs > 0;
}

static bool is_answered(void *arg)
{
    return ((struct seen_agent *)arg)->answers > 0;
}

static void agent_connect(struct ssh_world *w, struct seen_agent *a, const struct ssh_target *t,
                          const char *command)
{
    const struct agent_client_config config = {
        .pool = w->pool, .target = t, .command = command, .on_up = on_up, .on_down = on_down, .arg = a
    };
    struct err err;

    memset(a, 0, sizeof *a);
    check_ok(agent_client_new(&config, &a->client, &err), &err);
    agent_client_open(a->client);
}

/* Ask until it is answered with a result: a relay is up before it is known whether an agent stands behind it. */
static void greet(struct ssh_world *w, struct seen_agent *a)
{
    struct err err;

    for (int i = 0; i < 200; i++) {
        ssh_world_until(w, is_up, a);
        a->answers = 0;
        if (agent_client_call(a->client, "hello", HELLO, 10000, on_answer, a, &err) != 0) {
            loop_turn(w->loop, 20);
            continue;
        }
        ssh_world_until(w, is_answered, a);
        if (a->why.code == ERR_OK)
            return;
        assert_int_equal(a->why.code, ERR_LOST);
    }
    fail_msg("never greeted: %s", a->why.text);
}

/* hello and ping through sshd; the agent dies and comes back: a new session id, on the same SSH session. */
static void test_hello_and_again_after_the_agents_death(void **state)
{
    struct ssh_world *w = *state;
    struct site s;
    struct seen_agent a;
    char first[64];
    struct err err;

    site_open(w, &s);
    s.target.limits = (struct ssh_limits){ .ping_ms = 100, .ping_limit_ms = 5000 };
    agent_connect(w, &a, &s.target, NULL);
    greet(w, &a);
    assert_int_equal(strlen(a.session), 32);
    (void)snprintf(first, sizeof first, "%s", a.session);
    ssh_world_turn(w, 600); /* our pings are answered by the real agent, too */
    assert_int_equal(a.downs, 0);
    a.answers = 0;
    check_ok(agent_client_call(a.client, "no.such.method", "{}", 5000, on_answer, &a, &err), &err);
    ssh_world_until(w, is_answered, &a);
    assert_int_not_equal(a.why.code, ERR_OK);
    assert_int_equal(a.downs, 0); /* an unknown method is an error, not a broken connection */

    ap_kill(&s.agent, SIGKILL);
    ssh_world_until(w, is_down, &a);
    assert_int_equal(a.down.code, ERR_LOST);
    ap_serve(&s.agent);
    greet(w, &a);
    assert_string_not_equal(a.session, first);
    agent_client_close(a.client);
    site_close(&s);
}

/* The account runs two words and nothing else. */
static void test_nothing_else_can_be_run(void **state)
{
    struct ssh_world *w = *state;
    struct site s;
    struct seen_agent a;

    site_open(w, &s);
    agent_connect(w, &a, &s.target, "relay; id");
    ssh_world_until(w, is_down, &a);
    check_contains(a.down.text, "exit status 126");
    check_contains(a.down.text, "nothing else");
    agent_client_close(a.client);
    site_close(&s);
}

/* ---- a package ---- */

static void package_make(const char *path, char sha256[SHA256_TEXT])
{
    uint64_t *data = malloc(PACKAGE_BYTES);
    struct prng r;
    FILE *f = fopen(path, "w");

    assert_non_null(data);
    assert_non_null(f);
    prng_init(&r, 5061977);
    for (size_t i = 0; i < PACKAGE_BYTES / sizeof *data; i++)
        data[i] = prng_next(&r);
    assert_int_equal(fwrite(data, 1, PACKAGE_BYTES, f), PACKAGE_BYTES);
    (void)fclose(f);
    (void)sha256_text(data, PACKAGE_BYTES, sha256);
    free(data);
}

struct seen_payload {
    unsigned ends, retries;
    bool had;
    struct err why;
};

static void on_retry(void *arg, const struct err *why, dur_ms retry_ms)
{
    (void)why;
    (void)retry_ms;
    ((struct seen_payload *)arg)->retries++;
}

static void on_end(void *arg, bool had, const struct err *why)
{
    struct seen_payload *p = arg;

    p->ends++;
    p->had = had;
    p->why = (struct err){ .code = ERR_OK };
    if (why != NULL)
        p->why = *why;
}

static bool is_over(void *arg)
{
    return ((struct seen_payload *)arg)->ends > 0;
}

static void check_sent(struct ssh_world *w, const struct payload_config *config, bool had)
{
    struct seen_payload *p = config->arg;
    struct payload *payload;
    struct err err;

    memset(p, 0, sizeof *p);
    check_ok(payload_start(config, &payload, &err), &err);
    ssh_world_until(w, is_over, p);
    if (p->why.code != ERR_OK)
        fail_msg("%s", p->why.text);
    assert_int_equal(p->had, had);
}

/* The real receiver, cut six times on the way, ends with the whole file under its digest; the next time it has it. */
static void test_a_package_arrives_through_cuts(void **state)
{
    struct ssh_world *w = *state;
    struct site s;
    struct fault_proxy *proxy;
    struct seen_payload p = { 0 };
    char address[32], path[BED_PATH_MAX], there[BED_PATH_MAX + 128], sha256[SHA256_TEXT];
    const char *const cmp[] = { "cmp", path, there, NULL };
    struct payload_config config = { .pool = w->pool,
                                     .path = path,
                                     .name = "kb5061977.msu",
                                     .sha256 = sha256,
                                     .on_retry = on_retry,
                                     .on_end = on_end,
                                     .arg = &p };

    site_open(w, &s);
    package_make(bed_path(&w->bed, "kb5061977.msu", path), sha256);
    bed_address(&w->bed, address);
    assert_int_equal(fault_proxy_new(w->loop, address, 40022, s.target.address, s.target.port, &proxy), 0);
    s.target.address = address;
    s.target.port = 40022;
    config.target = &s.target;
    fault_proxy_set(proxy, &(struct fault_proxy_faults){ .cut_after = PACKAGE_BYTES / 4 });
    check_sent(w, &config, false);
    assert_true(p.retries >= 3);
    (void)snprintf(there, sizeof there, "%s/packages/%s/kb5061977.msu", s.agent.state_dir, sha256);
    bed_run(cmp);
    check_sent(w, &config, true);
    fault_proxy_close(proxy);
    site_close(&s);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, ssh_world_begin, ssh_world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_hello_and_again_after_the_agents_death),
        STORY(test_nothing_else_can_be_run),
        STORY(test_a_package_arrives_through_cuts),
    };

    return cmocka_run_group_tests(tests, ssh_world_open, ssh_world_close);
}
