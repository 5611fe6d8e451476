#include "orchestrator/io/ssh_proxy.h"
#include "tests/lib/check.h"

static int expand(const char *command, const char *address, struct buf *out, struct err *err)
{
    const struct ssh_target t = {
        .node = "HV07", .address = address, .port = 2222, .user = "pw", .proxy_command = command
    };

    buf_reset(out);
    return ssh_proxy_expand(&t, out, err);
}

static void test_percent_signs_are_expanded(void **state)
{
    struct buf out = BUF_INIT;
    struct err err;

    (void)state;
    check_ok(expand("ssh -W %h:%p %r@jump # %n 100%%", "10.0.0.7", &out, &err), &err);
    assert_string_equal(out.data, "ssh -W 10.0.0.7:2222 pw@jump # HV07 100%");
    check_ok(expand("nc %h %p", "fe80::1%eth0", &out, &err), &err);
    assert_string_equal(out.data, "nc fe80::1%eth0 2222");
    buf_clear(&out);
}

/* What goes into a shell's command line comes from an inventory that others write. */
static void test_values_a_shell_would_read_are_refused(void **state)
{
    static const char *const addresses[] = { "a;b", "$(id)", "a b", "`id`", "a|b", "a'b", "-oProxyCommand=x",
                                             "" };
    struct buf out = BUF_INIT;

    (void)state;
    for (size_t i = 0; i < TABLE_LEN(addresses); i++) {
        struct err err = { .code = ERR_OK };

        if (expand("nc %h %p", addresses[i], &out, &err) != ERR_INVALID || err.code != ERR_INVALID)
            fail_msg("went into a command: %s", addresses[i]);
    }
    buf_clear(&out);
}

static void test_unknown_percent_signs_are_named(void **state)
{
    struct buf out = BUF_INIT;
    struct err err;

    (void)state;
    check_err(expand("nc %H", "h", &out, &err), &err, ERR_INVALID,
              "proxy_command of HV07: %H is not one of %h %p %r %n %%");
    assert_int_equal(expand("nc %", "h", &out, &err), ERR_INVALID);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percent_signs_are_expanded),
        cmocka_unit_test(test_values_a_shell_would_read_are_refused),
        cmocka_unit_test(test_unknown_percent_signs_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
