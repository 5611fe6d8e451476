#include "orchestrator/io/control_socket.h"

#include "orchestrator/io/person.h"
#include "tests/lib/check.h"
#include "tests/lib/temp_dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS ((dur_ms)10000)

static struct temp_dir dir;
static char db[1024];
static struct loop *loop;
static struct control *control;
static unsigned asked;
static char asked_by[128];

static int answer(void *arg, const char *method, const json *params, const char *person, struct buf *result,
                  struct err *err)
{
    (void)arg;
    asked++;
    snprintf(asked_by, sizeof asked_by, "%s", person);
    if (strcmp(method, "refuse") == 0)
        return err_set(err, ERR_STATE, "the run has ended");
    buf_printf(result, "{\"echo\":%lld,\"person\":\"%s\"}", (long long)json_get_int(params, "n", -1), person);
    return 0;
}

static void open_in(const char *folder)
{
    struct err err = { 0 };

    snprintf(db, sizeof db, "%s/patchwave.db", folder);
    asked = 0;
    check_ok(loop_new(&loop, &err), &err);
    check_ok(control_listen(loop, db, answer, NULL, &control, &err), &err);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static int set_up(void **state)
{
    (void)state;
    temp_dir_make(&dir);
    open_in(dir.path);
    return 0;
}

static int tear_down(void **state)
{
    bool closed = false;

    (void)state;
    control_close(control, on_closed, &closed);
    for (int i = 0; i < 100 && !closed; i++)
        loop_turn(loop, 100);
    assert_true(closed);
    loop_free(loop);
    temp_dir_remove(&dir);
    return 0;
}

/* Run `ask` in a process of its own while this one serves; its exit code. */
static int served(int (*ask)(void))
{
    int status = 0;
    pid_t child = fork();

    if (child == 0)
        _exit(ask());
    for (int i = 0; i < 1000; i++) {
        loop_turn(loop, 10);
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    return -1;
}

static int ask_echo(void)
{
    struct buf result = BUF_INIT;
    struct err err = { 0 };

    if (control_ask(db, "echo", "{\"n\":7}", LIMIT_MS, &result, &err) != 0)
        return 1;
    return strncmp(buf_text(&result), "{\"echo\":7,", 10) == 0 ? 0 : 2;
}

static int ask_refused(void)
{
    struct buf result = BUF_INIT;
    struct err err = { 0 };
    int rc = control_ask(db, "refuse", "{}", LIMIT_MS, &result, &err);

    return rc == ERR_STATE && strcmp(err.text, "the run has ended") == 0 ? 0 : 1;
}

static void test_a_question_is_answered(void **state)
{
    char me[128];

    (void)state;
    assert_int_equal(served(ask_echo), 0);
    assert_int_equal(served(ask_echo), 0);
    assert_int_equal(asked, 2);
    assert_string_equal(asked_by, person_name(getuid(), me, sizeof me));
}

static void test_the_handlers_error_is_the_askers(void **state)
{
    (void)state;
    assert_int_equal(served(ask_refused), 0);
}

static void test_the_socket_is_its_owners_alone(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(stat(temp_dir_file(&dir, "patchwave.db.sock"), &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* Root may say who is behind sudo; the socket says the rest. */
static int ask_as_somebody(void)
{
    struct buf result = BUF_INIT;

    if (control_ask(db, "echo", "{\"person\":\"somebody\"}", LIMIT_MS, &result, NULL) != 0)
        return 1;
    return strstr(buf_text(&result), "somebody") != NULL ? 0 : 3;
}

static void test_only_root_speaks_for_others(void **state)
{
    (void)state;
    assert_int_equal(served(ask_as_somebody), getuid() == 0 ? 0 : 3);
}

static int ask_from_nobody(void)
{
    struct buf result = BUF_INIT;
    struct err err = { 0 };

    if (chmod(dir.path, 0755) != 0 || chmod(temp_dir_file(&dir, "patchwave.db.sock"), 0666) != 0 ||
        setgid(65534) != 0 || setuid(65534) != 0)
        return 9;
    return control_ask(db, "echo", "{}", LIMIT_MS, &result, &err) == ERR_LOST ? 0 : 1;
}

/* Even where the mode was loosened, another user gets no answer. */
static void test_another_user_is_hung_up_on(void **state)
{
    (void)state;
    if (getuid() != 0) {
        print_message("# SKIP needs root to be somebody else\n");
        skip();
    }
    assert_int_equal(served(ask_from_nobody), 0);
    assert_int_equal(asked, 0);
}

static int send_garbage(void)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char answer_text[512] = "";
    size_t n = 0;
    ssize_t got;

    snprintf(name.sun_path, sizeof name.sun_path, "%.80s/patchwave.db.sock", dir.path);
    if (connect(fd, (const struct sockaddr *)&name, sizeof name) != 0 ||
        write(fd, "{\"what\":1}\n", 11) != 11)
        return 1;
    shutdown(fd, SHUT_WR);
    while ((got = read(fd, answer_text + n, sizeof answer_text - 1 - n)) > 0)
        n += (size_t)got;
    close(fd);
    return 0;
}

static void test_garbage_harms_nobody(void **state)
{
    (void)state;
    assert_int_equal(served(send_garbage), 0);
    assert_int_equal(asked, 0);
    assert_int_equal(served(ask_echo), 0);
}

static void test_nobody_listens(void **state)
{
    struct buf result = BUF_INIT;
    struct err err = { 0 };
    bool closed = false;

    (void)state;
    control_close(control, on_closed, &closed);
    for (int i = 0; i < 100 && !closed; i++)
        loop_turn(loop, 100);
    assert_int_equal(control_ask(db, "echo", "{}", LIMIT_MS, &result, &err), ERR_NOT_FOUND);
    check_ok(control_listen(loop, db, answer, NULL, &control, &err), &err); /* for the tear down */
}

/* A socket's name holds 108 bytes; folders do not care. */
static void test_a_long_path(void **state)
{
    char folder[600];
    bool closed = false;

    (void)state;
    control_close(control, on_closed, &closed);
    for (int i = 0; i < 100 && !closed; i++)
        loop_turn(loop, 100);
    loop_free(loop);
    snprintf(folder, sizeof folder, "%s/%0200d", dir.path, 0);
    assert_int_equal(mkdir(folder, 0700), 0);
    open_in(folder);
    assert_int_equal(served(ask_echo), 0);
}

int main(void)
{
#define WITH_SOCKET(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_SOCKET(test_a_question_is_answered),
        WITH_SOCKET(test_the_handlers_error_is_the_askers),
        WITH_SOCKET(test_the_socket_is_its_owners_alone),
        WITH_SOCKET(test_only_root_speaks_for_others),
        WITH_SOCKET(test_another_user_is_hung_up_on),
        WITH_SOCKET(test_garbage_harms_nobody),
        WITH_SOCKET(test_nobody_listens),
        WITH_SOCKET(test_a_long_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
