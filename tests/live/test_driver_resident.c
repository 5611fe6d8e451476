/* Drivers that are kept between reads: how many processes a real agent starts,
 * and that nothing a kept one does wrong becomes somebody's answer. */
#include "agent/io/driver_resident.h"
#include "tests/lib/agent_process.h"
#include "tests/lib/check.h"
#include "tests/lib/temp_dir.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAUSE "r1/HV07/1/pause/1"
#define PARK "r1/HV07/1/park_vm:00000000-0000-4000-8000-000000000001/1"

static struct agent_process ap;

static int setup(void **state)
{
    ap_open_with(&ap, true, 60000);
    *state = &ap;
    return 0;
}

static int setup_short(void **state)
{
    ap_open_with(&ap, true, 3000);
    *state = &ap;
    return 0;
}

static int teardown(void **state)
{
    ap_close(*state);
    return 0;
}

/* How many processes were started to answer, by their own count. */
static long starts(const struct agent_process *p)
{
    char path[256];
    FILE *f;
    long n;

    snprintf(path, sizeof path, "%s/starts", p->world);
    f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    n = ftell(f);
    fclose(f);
    return n;
}

static const char *message_of(const struct json_doc *answer)
{
    return json_get_str(json_get(json_root(answer), "error"), "message", "");
}

static void reads_well(struct agent_process *p, const char *what)
{
    char params[64];
    struct json_doc *d;

    snprintf(params, sizeof params, "{\"what\":\"%s\"}", what);
    d = ap_call(p, "observe", params);
    assert_non_null(d);
    if (json_get(json_root(d), "result") == NULL)
        fail_msg("%s: %s", what, message_of(d));
    json_free(d);
}

static void reads_nothing(struct agent_process *p, const char *what, const char *why)
{
    char params[64];
    struct json_doc *d;

    snprintf(params, sizeof params, "{\"what\":\"%s\"}", what);
    d = ap_call(p, "observe", params);
    assert_non_null(d);
    assert_string_equal(ap_error(d), "unknown");
    if (strstr(message_of(d), why) == NULL)
        fail_msg("`%s` is not in: %s", why, message_of(d));
    json_free(d);
}

static void carry_out(struct agent_process *p, const char *op, const char *action)
{
    struct json_doc *d;

    json_free(ap_start(p, op, action, "{}", 30000));
    d = ap_note(p, "op.done", op);
    assert_non_null(d);
    assert_string_equal(ap_str(d, NULL, "outcome"), "ok");
    json_free(d);
}

/* No process of this driver is left: each has its world as its argument. */
static bool nobody_is_left(const struct agent_process *p)
{
    const char *argv[] = { "/usr/bin/pgrep", "-f", p->world, NULL };

    for (int i = 0; i < 200; i++) {
        if (ap_run(argv, NULL, "", 0, NULL) == 1)
            return true;
        nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
    }
    return false;
}

static void test_one_process_for_many_reads(void **state)
{
    struct agent_process *p = *state;

    ap_serve(p);
    ap_connect(p);
    for (int i = 0; i < 5; i++) {
        reads_well(p, "check_empty");
        reads_well(p, "vms");
    }
    assert_int_equal(starts(p), 1);
}

/* An effect has a process of its own; one that is left to itself finds no kept one beside it. */
static void test_effects_stand_alone(void **state)
{
    struct agent_process *p = *state;
    long n;

    ap_serve(p);
    ap_connect(p);
    reads_well(p, "check_empty");
    n = starts(p);
    carry_out(p, PAUSE, "pause");
    reads_well(p, "check_empty");
    assert_int_equal(starts(p), n + 1);
    assert_int_equal(ap_effects(p, PAUSE), 1);
    carry_out(p, PARK, "park_vm");
    reads_well(p, "check_empty");
    assert_int_equal(starts(p), n + 3);
    assert_int_equal(ap_effects(p, PARK), 1);
}

static void test_killed_at_its_deadline(void **state)
{
    struct agent_process *p = *state;

    ap_serve(p);
    ap_connect(p);
    reads_well(p, "check_empty");
    ap_world(p, "behave.json", "{\"vms\":{\"hang\":true}}");
    reads_nothing(p, "vms", "ended at its time limit");
    ap_world_remove(p, "behave.json");
    reads_well(p, "vms");
    assert_int_equal(starts(p), 2);
}

/* Whatever it says but one line is no evidence, and the next question goes to a new one. */
static void test_no_evidence(void **state)
{
    static const char *const rows[] = {
        "{\"vms\":{\"answer\":\"{\\\"result\\\":{}}\\n{\\\"result\\\":{}}\\n\"}}",
        "{\"vms\":{\"answer\":\"all fine\\n\"}}",
        "{\"vms\":{\"answer\":\"\"}}",
        "{\"vms\":{\"answer\":\"\",\"exit\":1}}",
        "{\"vms\":{\"out_bytes\":3000000}}",
    };
    struct agent_process *p = *state;

    ap_serve(p);
    ap_connect(p);
    for (size_t i = 0; i < TABLE_LEN(rows); i++) {
        ap_world(p, "behave.json", rows[i]);
        reads_nothing(p, "vms", "gave no answer");
        ap_world_remove(p, "behave.json");
        reads_well(p, "vms");
        reads_well(p, "check_empty");
    }
}

/* A line that comes when the next question has been asked is not its answer: another process is asked. */
static void test_late_words_are_nobodys_answer(void **state)
{
    struct agent_process *p = *state;
    struct json_doc *d;

    ap_serve(p);
    ap_connect(p);
    ap_world(p, "behave.json",
             "{\"vms\":{\"late\":\"{\\\"result\\\":{\\\"empty\\\":false,\\\"left\\\":[]}}\"}}");
    reads_well(p, "vms");
    d = ap_call(p, "observe", "{\"what\":\"check_empty\"}");
    assert_non_null(d);
    assert_true(json_get_bool(json_get(json_get(json_root(d), "result"), "data"), "empty", false));
    assert_int_equal(starts(p), 2);
    json_free(d);
}

/* Reads that meet: each gets its own answer, and one process is kept afterwards. */
static void test_two_at_once(void **state)
{
    struct agent_process *p = *state;
    struct agent_process other = *p;
    struct buf line = BUF_INIT;
    long n;

    ap_serve(p);
    ap_connect(p);
    other = *p;
    other.fd = -1;
    other.n_notes = 0;
    line_cutter_init(&other.in, WIRE_LINE_MAX);
    ap_hello(&other);
    ap_world(p, "behave.json", "{\"vms\":{\"delay_ms\":700}}");
    rpc_write_request(&line, 7, "observe", "{\"what\":\"vms\"}");
    assert_int_equal(write(other.fd, line.data, line.len), line.len);
    nanosleep(&(struct timespec){ 0, 200000000 }, NULL);
    reads_well(p, "check_empty");
    reads_well(p, "vms");
    n = starts(p);
    assert_int_equal(n, 2);
    reads_well(p, "check_empty");
    assert_int_equal(starts(p), n);
    buf_clear(&line);
    ap_disconnect(&other);
}

/* The agent's end, asked for or not, is theirs: their input ends. */
static void test_gone_with_the_agent(void **state)
{
    struct agent_process *p = *state;

    ap_serve(p);
    ap_connect(p);
    reads_well(p, "check_empty");
    ap_disconnect(p);
    ap_kill(p, SIGTERM);
    assert_true(nobody_is_left(p));
    ap_serve(p);
    ap_connect(p);
    reads_well(p, "check_empty");
    ap_disconnect(p);
    ap_kill(p, SIGKILL);
    assert_true(nobody_is_left(p));
}

/* What came of the reads of a set of its own. */
struct heard {
    unsigned ends;
    uint32_t run;
    enum agent_driver_end end;
};

static void on_end(void *owner, const struct driver_end *e)
{
    struct heard *h = owner;

    h->ends++;
    h->run = e->run;
    h->end = e->end;
}

static void until_end(uv_loop_t *loop, const struct heard *h, unsigned ends)
{
    while (h->ends < ends)
        uv_run(loop, UV_RUN_ONCE);
    assert_int_equal(h->run, ends);
}

/* Answers the first question, and the next one with the words of another; then it stays. */
static void put_babbler(struct temp_dir *d)
{
    const char *path = temp_dir_file(d, "babbler.sh");
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    (void)fputs("#!/bin/sh\nprintf . >>starts\nread -r line\necho \"${line%% *} {}\"\nread -r line\n"
                "echo '0 {}'\n: >said\nexec sleep 60\n",
                f);
    (void)fclose(f);
    assert_int_equal(chmod(path, 0700), 0);
}

/* Its wrong words have come and it has not ended: a run that is ended just then is ended, and nobody is asked anew. */
static void test_ended_between_its_words_and_its_end(void **state)
{
    const char *argv[] = { "./babbler.sh", NULL };
    const struct driver_manifest_action action = {
        .name = "vms", .argv = argv, .n_argv = 1, .resident = true
    };
    struct heard heard = { 0 };
    struct residents *set = NULL;
    struct temp_dir d;
    struct stat st;
    struct err err;
    uv_loop_t loop;

    (void)state;
    temp_dir_make(&d);
    put_babbler(&d);
    assert_int_equal(uv_loop_init(&loop), 0);
    check_ok(
        residents_new(&loop, d.path, (struct driver_owner){ .owner = &heard, .on_end = on_end }, &set, &err),
        &err);
    check_ok(residents_ask(set, &action, 1, "{}\n", 3, &err), &err);
    until_end(&loop, &heard, 1);
    assert_int_equal(heard.end, AGENT_DRIVER_EXITED);
    check_ok(residents_ask(set, &action, 2, "{}\n", 3, &err), &err);
    while (access(temp_dir_file(&d, "said"), F_OK) != 0)
        nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
    uv_run(&loop, UV_RUN_NOWAIT); /* its words are read, its end is not seen yet */
    residents_kill(set, 2);
    until_end(&loop, &heard, 2);
    assert_int_equal(heard.end, AGENT_DRIVER_KILLED);
    assert_int_equal(stat(temp_dir_file(&d, "starts"), &st), 0);
    assert_int_equal(st.st_size, 1);
    residents_free(set);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    temp_dir_remove(&d);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_process_for_many_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_effects_stand_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_at_its_deadline, setup_short, teardown),
        cmocka_unit_test_setup_teardown(test_no_evidence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late_words_are_nobodys_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone_with_the_agent, setup, teardown),
        cmocka_unit_test(test_ended_between_its_words_and_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
