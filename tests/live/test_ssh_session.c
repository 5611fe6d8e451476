/* Sessions against a real sshd: getting in, and every way of not getting in. */
#include "tests/live/ssh_world.h"

#include "orchestrator/io/ssh_hostkeys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void check_ready(const struct seen_session *s)
{
    if (!s->ready)
        fail_msg("not ready: %s: %s", err_name(s->why.code), s->why.text);
}

static void check_refused(const struct seen_session *s, enum err_code code)
{
    assert_false(s->ready);
    assert_true(s->ended);
    if (s->why.code != code)
        fail_msg("%s expected, got %s: %s", err_name(code), err_name(s->why.code), s->why.text);
}

/* ---- getting in ---- */

static void test_ed25519_and_ecdsa_keys_get_in(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    const char *const names[] = { "user_ed25519", "user_ecdsa" };

    for (size_t i = 0; i < TABLE_LEN(names); i++) {
        struct seen_session s;
        char path[BED_PATH_MAX];

        t.key_file = bed_path(&w->bed, names[i], path);
        seen_run(w, &s, &t, false);
        check_ready(&s);
        seen_close(&s);
    }
}

/* The pinned key's type is asked for, whichever types the server has besides. */
static void test_pin_chooses_among_the_servers_host_keys(void **state)
{
    struct ssh_world *w = *state;
    struct sshd_bed d;
    char path[BED_PATH_MAX], more[BED_PATH_MAX + 32];
    const char *const argv[] = { "ssh-keygen", "-q", "-t", "ecdsa",
                                 "-N",         "",   "-f", bed_path(&w->bed, "second", path),
                                 NULL };

    bed_run(argv);
    (void)snprintf(more, sizeof more, "HostKey %s", path);
    sshd_start(&w->bed, &d, &(struct sshd_setup){ .command = w->command, .more = more });
    {
        struct ssh_target t = ssh_world_target(w, &d);
        struct seen_session s;

        seen_run(w, &s, &t, false); /* libssh2 alone would take the ecdsa one, and call it changed */
        check_ready(&s);
        assert_string_equal(ssh_session_hostkey(s.session)->type, "ssh-ed25519");
        seen_close(&s);
    }
    sshd_stop(&d);
}

struct passphrase {
    const char *text;
    unsigned asked;
};

static bool give_passphrase(void *arg, const char *file, char *out, size_t out_max)
{
    struct passphrase *p = arg;

    (void)file;
    p->asked++;
    (void)snprintf(out, out_max, "%s", p->text);
    return true;
}

/* An encrypted key is decrypted once, not once per node (215 ms each). */
static void test_encrypted_key_is_asked_for_and_decrypted_once(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct passphrase p = { "open sesame", 0 };
    struct seen_session s[5];
    char path[BED_PATH_MAX];

    ssh_world_keys(w, "", give_passphrase, &p);
    t.key_file = bed_path(&w->bed, "locked", path);
    for (size_t i = 0; i < TABLE_LEN(s); i++)
        seen_open(w, &s[i], &t, false);
    for (size_t i = 0; i < TABLE_LEN(s); i++) {
        ssh_world_until(w, seen_settled, &s[i]);
        check_ready(&s[i]);
        seen_close(&s[i]);
    }
    assert_int_equal(p.asked, 1);
}

static void test_wrong_passphrase_says_so(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct passphrase p = { "sesame open", 0 };
    struct seen_session s;
    char path[BED_PATH_MAX];

    ssh_world_keys(w, "", give_passphrase, &p);
    t.key_file = bed_path(&w->bed, "locked", path);
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_AUTH);
    check_contains(s.why.text, "wrong passphrase");
}

static void test_encrypted_key_without_passphrase_names_the_remedy(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_session s;
    char path[BED_PATH_MAX];

    t.key_file = bed_path(&w->bed, "locked", path);
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_AUTH);
    check_contains(s.why.text, "ssh-add");
}

/* ---- ssh-agent ---- */

struct test_agent {
    pid_t pid;
    char socket[BED_PATH_MAX + 32];
};

static void agent_begin(const struct ssh_world *w, struct test_agent *a, const char *key)
{
    char path[BED_PATH_MAX], env[BED_PATH_MAX + 48];
    const char *const add[] = { "env", env, "ssh-add", "-q", bed_path(&w->bed, key, path), NULL };

    (void)snprintf(a->socket, sizeof a->socket, "%s/agent-%d.sock", w->bed.dir, rand());
    a->pid = fork();
    assert_true(a->pid >= 0);
    if (a->pid == 0) {
        int null = open("/dev/null", O_RDWR);

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(null, 1);
        (void)execlp("ssh-agent", "ssh-agent", "-D", "-a", a->socket, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500 && access(a->socket, F_OK) != 0; i++)
        (void)usleep(10000);
    (void)snprintf(env, sizeof env, "SSH_AUTH_SOCK=%s", a->socket);
    bed_run(add);
}

static void agent_finish(struct test_agent *a)
{
    (void)kill(a->pid, SIGCONT);
    (void)kill(a->pid, SIGTERM);
    (void)waitpid(a->pid, NULL, 0);
}

static void test_ssh_agent_signs_for_many_at_once(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    const char *const keys[] = { "user_ed25519", "user_ecdsa" };

    for (size_t k = 0; k < TABLE_LEN(keys); k++) {
        struct test_agent a;
        struct seen_session s[10];

        agent_begin(w, &a, keys[k]);
        ssh_world_keys(w, a.socket, NULL, NULL);
        t.key_file = NULL;
        for (size_t i = 0; i < TABLE_LEN(s); i++)
            seen_open(w, &s[i], &t, false);
        for (size_t i = 0; i < TABLE_LEN(s); i++) {
            ssh_world_until(w, seen_settled, &s[i]);
            check_ready(&s[i]);
            seen_close(&s[i]);
        }
        agent_finish(&a);
    }
}

/* A public key file picks one of the agent's keys. */
static void test_public_key_file_names_the_agents_key(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct test_agent a;
    struct seen_session s;
    char path[BED_PATH_MAX];

    agent_begin(w, &a, "user_ecdsa");
    ssh_world_keys(w, a.socket, NULL, NULL);
    t.key_file = bed_path(&w->bed, "user_ecdsa.pub", path);
    seen_run(w, &s, &t, false);
    check_ready(&s);
    seen_close(&s);
    t.key_file = bed_path(&w->bed, "user_ed25519.pub", path); /* authorized, but not in the agent */
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_AUTH);
    check_contains(s.why.text, "ssh-agent");
    agent_finish(&a);
}

static bool seen_asking_agent(void *arg)
{
    return ssh_session_state(((struct seen_session *)arg)->session) == SSH_IDENTITIES;
}

/* A stopped agent costs its own session a time limit, and nobody else anything. */
static void test_stopped_ssh_agent_blocks_nobody(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target by_agent = ssh_world_target(w, &w->sshd), by_file = by_agent;
    struct test_agent a;
    struct seen_session stuck, other;
    double cpu;

    agent_begin(w, &a, "user_ed25519");
    ssh_world_keys(w, a.socket, NULL, NULL);
    assert_int_equal(kill(a.pid, SIGSTOP), 0);
    by_agent.key_file = NULL;
    by_agent.limits.handshake_ms = 8000;
    seen_open(w, &stuck, &by_agent, false);
    ssh_world_until(w, seen_asking_agent, &stuck);
    seen_run(w, &other, &by_file, false);
    check_ready(&other);
    assert_false(seen_settled(&stuck)); /* the other one did not have to wait for it */
    seen_close(&other);
    cpu = cpu_seconds();
    ssh_world_until(w, seen_settled, &stuck);
    check_refused(&stuck, ERR_TIMEOUT);
    check_contains(stuck.why.text, "ssh-agent did not answer");
    assert_true(cpu_seconds() - cpu < 0.5); /* waited, did not spin */
    agent_finish(&a);
}

static void test_ssh_agent_that_is_gone_is_named(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct test_agent a;
    struct seen_session s;

    agent_begin(w, &a, "user_ed25519");
    ssh_world_keys(w, a.socket, NULL, NULL);
    agent_finish(&a);
    t.key_file = NULL;
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_AUTH);
    check_contains(s.why.text, a.socket);
}

/* ---- host keys ---- */

static void test_changed_host_key_is_refused_naming_both(void **state)
{
    struct ssh_world *w = *state;
    struct sshd_bed d;
    struct ssh_hostkey before;
    struct ssh_target t;
    struct seen_session s;

    sshd_start(&w->bed, &d, &(struct sshd_setup){ .command = w->command });
    before = d.hostkey;
    sshd_stop(&d);
    sshd_new_hostkey(&w->bed, &d, "ed25519");
    sshd_restart(&w->bed, &d);
    t = ssh_world_target(w, &d);
    t.pin = &before;
    seen_run(w, &s, &t, true); /* learning is for unknown keys: it does not soften a changed one */
    check_refused(&s, ERR_HOSTKEY);
    check_contains(s.why.text, before.fingerprint);
    check_contains(s.why.text, d.hostkey.fingerprint);
    check_contains(s.why.text, "HV07");
    check_contains(s.why.text, "--replace-key");
    sshd_stop(&d);
}

/* Another type than the pinned one is a changed key, too, not a failed handshake. */
static void test_host_key_of_another_type_is_a_changed_key(void **state)
{
    struct ssh_world *w = *state;
    struct sshd_bed d;
    struct ssh_target t;
    struct seen_session s;

    sshd_start(&w->bed, &d, &(struct sshd_setup){ .command = w->command, .hostkey_type = "ecdsa" });
    t = ssh_world_target(w, &d);
    t.pin = &w->sshd.hostkey;
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_HOSTKEY);
    check_contains(s.why.text, d.hostkey.fingerprint);
    check_contains(s.why.text, w->sshd.hostkey.fingerprint);
    sshd_stop(&d);
}

static void test_unknown_host_key_is_refused_unless_learning(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_session s;

    t.pin = NULL;
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_HOSTKEY);
    check_contains(s.why.text, w->sshd.hostkey.fingerprint);
    check_contains(s.why.text, "enroll");
    seen_run(w, &s, &t, true);
    check_ready(&s);
    assert_true(ssh_hostkey_same(ssh_session_hostkey(s.session), &w->sshd.hostkey));
    seen_close(&s);
}

/* A pin may be a fingerprint alone. */
static void test_fingerprint_is_enough_of_a_pin(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct ssh_hostkey pin;
    struct seen_session s;
    struct err err;
    char text[128];

    (void)snprintf(text, sizeof text, "%s %s", w->sshd.hostkey.type, w->sshd.hostkey.fingerprint);
    check_ok(ssh_hostkey_parse(text, &pin, &err), &err);
    t.pin = &pin;
    seen_run(w, &s, &t, false);
    check_ready(&s);
    seen_close(&s);
}

static void test_server_with_rsa_host_key_alone_names_the_remedy(void **state)
{
    struct ssh_world *w = *state;
    struct sshd_bed d;
    struct ssh_target t;
    struct seen_session s;

    sshd_start(&w->bed, &d, &(struct sshd_setup){ .command = w->command, .hostkey_type = "rsa" });
    t = ssh_world_target(w, &d);
    t.pin = NULL;
    seen_run(w, &s, &t, true);
    check_refused(&s, ERR_PROTOCOL);
    check_contains(s.why.text, "ssh-keygen -A");
    sshd_stop(&d);
}

struct scanned {
    bool done;
    bool found;
    struct ssh_hostkey key;
    struct err why;
};

static void on_scanned(void *arg, const struct ssh_hostkey *key, const struct err *why)
{
    struct scanned *r = arg;

    assert_false(r->done);
    r->done = true;
    r->found = key != NULL;
    if (key != NULL)
        r->key = *key;
    else
        r->why = *why;
}

static bool is_scanned(void *arg)
{
    return ((const struct scanned *)arg)->done;
}

/* What `enroll` shows: the same line that ssh-keygen prints; nobody logs in for it. */
static void test_scan_reads_the_key_without_login(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct scanned r = { 0 };
    struct ssh_scan *scan;
    struct err err;

    t.pin = NULL;
    t.user = "nobody-knows";
    t.key_file = "/nonexistent";
    check_ok(ssh_scan_start(w->loop, &t, on_scanned, &r, &scan, &err), &err);
    ssh_world_until(w, is_scanned, &r);
    assert_true(r.found);
    assert_string_equal(r.key.fingerprint, w->sshd.hostkey.fingerprint);
    assert_string_equal(r.key.type, "ssh-ed25519");
    r = (struct scanned){ 0 };
    t.port = 1;
    check_ok(ssh_scan_start(w->loop, &t, on_scanned, &r, &scan, &err), &err);
    ssh_world_until(w, is_scanned, &r);
    assert_false(r.found);
    assert_int_equal(r.why.code, ERR_CONNECT);
}

/* ---- not getting in ---- */

static void test_key_that_is_not_authorized(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_session s;
    char path[BED_PATH_MAX];

    t.key_file = bed_path(&w->bed, "stranger", path);
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_AUTH);
    check_contains(s.why.text, "authorized_keys");
    check_contains(s.why.text, w->bed.user);
    check_contains(s.why.text, w->sshd.address);
}

static void test_rsa_key_is_refused_with_the_remedy(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_session s;
    char path[BED_PATH_MAX];

    t.key_file = bed_path(&w->bed, "user_rsa", path);
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_AUTH);
    check_contains(s.why.text, "RSA");
    check_contains(s.why.text, "ssh-keygen -t ed25519");
}

static void test_key_file_that_others_can_read(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_session s;
    char path[BED_PATH_MAX], copy[BED_PATH_MAX];
    const char *const argv[] = { "cp", bed_path(&w->bed, "user_ed25519", path),
                                 bed_path(&w->bed, "open_key", copy), NULL };

    bed_run(argv);
    (void)chmod(copy, 0644);
    t.key_file = copy;
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_AUTH);
    check_contains(s.why.text, "chmod 600");
    t.key_file = "/nonexistent/key";
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_NOT_FOUND);
}

static void test_nothing_listens(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_session s;

    t.port = 1;
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_CONNECT);
    check_contains(s.why.text, "HV07");
    check_contains(s.why.text, "refused");
    t.address = "no-such-host.invalid";
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_CONNECT);
    check_contains(s.why.text, "no-such-host.invalid");
}

/* A listener whose queue is full drops what comes, like a firewall. */
static int full_listener(const char *address, uint16_t port, int fds[8])
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    (void)inet_pton(AF_INET, address, &at.sin_addr);
    assert_int_equal(bind(listener, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 0), 0);
    for (int i = 0; i < 8; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fds[i], (const struct sockaddr *)&at, sizeof at);
    }
    return listener;
}

static void test_connection_attempts_that_are_dropped(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_session s;
    char address[32];
    int fds[8], listener;

    bed_address(&w->bed, address);
    listener = full_listener(address, 40022, fds);
    t.address = address;
    t.limits.connect_ms = 300;
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_TIMEOUT);
    check_contains(s.why.text, "300 ms");
    for (int i = 0; i < 8; i++)
        (void)close(fds[i]);
    (void)close(listener);
}

/* Something that accepts and says nothing: the handshake's limit ends it. */
static void test_server_that_says_nothing(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(40023) };
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct seen_session s;

    (void)inet_pton(AF_INET, w->sshd.address, &at.sin_addr);
    assert_int_equal(bind(listener, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 8), 0);
    t.port = 40023;
    t.limits.handshake_ms = 300;
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_TIMEOUT);
    check_contains(s.why.text, "handshake");
    (void)close(listener);
}

/* Closing in every state: no callback, nothing left behind (the loop's end checks). */
static void test_closing_at_any_moment(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);

    for (unsigned turns = 0; turns < 40; turns++) {
        struct seen_session s;

        seen_open(w, &s, &t, false);
        for (unsigned i = 0; i < turns && !seen_settled(&s); i++)
            loop_turn(w->loop, 10);
        assert_false(s.ended);
        seen_close(&s);
        assert_false(s.ended);
    }
}

/* ---- proxy commands ---- */

static void test_proxy_command_with_a_jump_host(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct sshd_bed jump;
    struct seen_session s;
    char command[1024];

    sshd_start(&w->bed, &jump, &(struct sshd_setup){ .more = "AllowTcpForwarding yes" });
    (void)snprintf(command, sizeof command,
                   "ssh -F none -i %s -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no "
                   "-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -p %u -W %%h:%%p %s@%s",
                   w->key, jump.port, w->bed.user, jump.address);
    t.proxy_command = command;
    seen_run(w, &s, &t, false);
    check_ready(&s);
    seen_close(&s);
    sshd_stop(&jump);
}

static void test_proxy_command_that_fails_is_quoted(void **state)
{
    struct ssh_world *w = *state;
    struct ssh_target t = ssh_world_target(w, &w->sshd);
    struct seen_session s;

    t.proxy_command = "sh -c 'echo no route over %h >&2; sleep 0.2; exit 7'";
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_CONNECT);
    check_contains(s.why.text, "no route over");
    t.proxy_command = "nc %x %p";
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_INVALID);
    t.proxy_command = "nc %h %p";
    t.address = "10.0.0.1;reboot";
    seen_run(w, &s, &t, false);
    check_refused(&s, ERR_INVALID);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, ssh_world_begin, ssh_world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_ed25519_and_ecdsa_keys_get_in),
        STORY(test_pin_chooses_among_the_servers_host_keys),
        STORY(test_encrypted_key_is_asked_for_and_decrypted_once),
        STORY(test_wrong_passphrase_says_so),
        STORY(test_encrypted_key_without_passphrase_names_the_remedy),
        STORY(test_ssh_agent_signs_for_many_at_once),
        STORY(test_public_key_file_names_the_agents_key),
        STORY(test_stopped_ssh_agent_blocks_nobody),
        STORY(test_ssh_agent_that_is_gone_is_named),
        STORY(test_changed_host_key_is_refused_naming_both),
        STORY(test_host_key_of_another_type_is_a_changed_key),
        STORY(test_unknown_host_key_is_refused_unless_learning),
        STORY(test_fingerprint_is_enough_of_a_pin),
        STORY(test_server_with_rsa_host_key_alone_names_the_remedy),
        STORY(test_scan_reads_the_key_without_login),
        STORY(test_key_that_is_not_authorized),
        STORY(test_rsa_key_is_refused_with_the_remedy),
        STORY(test_key_file_that_others_can_read),
        STORY(test_nothing_listens),
        STORY(test_connection_attempts_that_are_dropped),
        STORY(test_server_that_says_nothing),
        STORY(test_closing_at_any_moment),
        STORY(test_proxy_command_with_a_jump_host),
        STORY(test_proxy_command_that_fails_is_quoted),
    };

    return cmocka_run_group_tests(tests, ssh_world_open, ssh_world_close);
}
