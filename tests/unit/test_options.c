#include "orchestrator/options.h"
#include "tests/lib/check.h"

static const struct option global_options[] = {
    { "db", 0, OPTION_TEXT, "FILE", "the database" },
    { "help", 'h', OPTION_FLAG, NULL, "help" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};
static const struct option plan_options[] = {
    { "markdown", 'm', OPTION_FLAG, NULL, "for the board" },
    { "out", 'o', OPTION_TEXT, "FILE", "there too" },
    { "count", 0, OPTION_NUMBER, "N", "how many" },
    { "expires", 0, OPTION_DURATION, "TIME", "how long" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};
static const struct command_spec commands[] = {
    { NULL, "init", "", 0, 0, "make a database", NULL, NULL, NULL },
    { NULL, "plan", "ROLLOUT", 1, 1, "plan a rollout", NULL, plan_options, NULL },
    { "plan", "show", "[PLAN]", 0, 1, "print a plan", NULL, NULL, NULL },
    { "patch", "add", "FILE", 1, 1, "record a package", NULL, NULL, NULL },
    { 0 },
};

static struct parsed parsed;
static struct err error;

static int parse(int argc, const char *const *argv)
{
    error = (struct err){ 0 };
    return options_parse(argc, (char *const *)(uintptr_t)argv, commands, global_options, &parsed, &error);
}
#define PARSE(...)                                                                      \
    parse((int)(sizeof((const char *[]){ "patchwave", __VA_ARGS__ }) / sizeof(char *)), \
          (const char *[]){ "patchwave", __VA_ARGS__ })

static void test_words_options_and_operands_may_be_mixed(void **state)
{
    (void)state;
    assert_int_equal(
        PARSE("--db", "x.db", "plan", "-o", "p.json", "r.json", "--markdown", "--count=3", "--expires", "2h"),
        0);
    assert_string_equal(parsed.command->name, "plan");
    assert_null(parsed.command->group);
    assert_string_equal(options_text(&parsed, "db", NULL), "x.db");
    assert_string_equal(options_text(&parsed, "out", NULL), "p.json");
    assert_true(options_flag(&parsed, "markdown"));
    assert_int_equal(options_number(&parsed, "count", 0), 3);
    assert_int_equal(options_number(&parsed, "expires", 0), 2 * HOUR_MS);
    assert_int_equal(parsed.n_operands, 1);
    assert_string_equal(parsed.operands[0], "r.json");
}

/* `plan` is a command and the first word of others. */
static void test_a_group_may_be_a_command_too(void **state)
{
    (void)state;
    assert_int_equal(PARSE("plan", "show", "9f3c"), 0);
    assert_string_equal(parsed.command->name, "show");
    assert_string_equal(parsed.operands[0], "9f3c");
    assert_int_equal(PARSE("plan", "my-rollout.json"), 0);
    assert_string_equal(parsed.command->name, "plan");
    assert_string_equal(parsed.operands[0], "my-rollout.json");
    assert_int_equal(PARSE("plan", "--markdown", "show"), 0); /* after an option the word is an operand */
    assert_string_equal(parsed.command->name, "plan");
    assert_string_equal(parsed.operands[0], "show");
    assert_int_equal(PARSE("patch"), 0);
    assert_null(parsed.command);
    assert_string_equal(parsed.help_group, "patch");
}

static void test_after_two_dashes_all_are_operands(void **state)
{
    (void)state;
    assert_int_equal(PARSE("patch", "add", "--", "--odd-name.msu"), 0);
    assert_string_equal(parsed.operands[0], "--odd-name.msu");
}

static void test_the_last_value_holds(void **state)
{
    (void)state;
    assert_int_equal(PARSE("plan", "--count", "1", "--count", "2", "f"), 0);
    assert_int_equal(options_number(&parsed, "count", 0), 2);
    assert_int_equal(options_number(&parsed, "expires", 7), 7);
}

static void test_wrong_usage_is_named_with_a_hint(void **state)
{
    (void)state;
    assert_int_equal(PARSE("plan", "--markdwon", "f"), ERR_INVALID);
    assert_string_equal(error.text, "unknown option --markdwon (did you mean --markdown?)");
    assert_int_equal(PARSE("inti"), ERR_INVALID);
    assert_string_equal(error.text, "unknown command \"inti\" (did you mean \"init\"?)");
    assert_int_equal(PARSE("patch", "ad"), ERR_INVALID);
    assert_string_equal(error.text, "unknown command \"patch ad\" (did you mean \"patch add\"?)");
    assert_int_equal(PARSE("zzzzzzzz"), ERR_INVALID);
    assert_string_equal(error.text, "unknown command \"zzzzzzzz\"");
    assert_int_equal(PARSE("plan"), ERR_INVALID);
    assert_string_equal(error.text, "plan needs: ROLLOUT");
    assert_int_equal(PARSE("plan", "a", "b"), ERR_INVALID);
    assert_string_equal(error.text, "one operand too many: \"b\"");
    assert_int_equal(PARSE("plan", "a", "--out"), ERR_INVALID);
    assert_string_equal(error.text, "--out needs a value: FILE");
    assert_int_equal(PARSE("plan", "a", "--markdown=yes"), ERR_INVALID);
    assert_string_equal(error.text, "--markdown takes no value");
    assert_int_equal(PARSE("plan", "a", "--count", "-1"), ERR_INVALID);
    assert_int_equal(PARSE("plan", "a", "--count", "99999999999999999999"), ERR_INVALID);
    assert_int_equal(PARSE("plan", "a", "--expires", "soon"), ERR_INVALID);
    assert_string_equal(error.text, "--expires: \"soon\" is not a duration such as 90s, 15m, 2h or 7d");
    assert_int_equal(PARSE("plan", "a", "-x"), ERR_INVALID);
    assert_string_equal(error.text, "unknown option -x");
}

static void test_help_is_made_from_the_same_rows(void **state)
{
    struct buf out = BUF_INIT;

    (void)state;
    options_help_command(&out, &commands[1], global_options);
    assert_string_equal(buf_text(&out), "usage: patchwave plan [OPTION...] ROLLOUT\n\n"
                                        "plan a rollout\n\n"
                                        "Options:\n"
                                        "  -m, --markdown                for the board\n"
                                        "  -o, --out FILE                there too\n"
                                        "  --count N                     how many\n"
                                        "  --expires TIME                how long\n\n"
                                        "Options of every command:\n"
                                        "  --db FILE                     the database\n"
                                        "  -h, --help                    help\n");
    buf_reset(&out);
    options_help_group(&out, commands, "patch");
    assert_string_equal(buf_text(&out), "usage: patchwave patch COMMAND\n\nCommands:\n"
                                        "  patch add FILE                record a package\n");
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_options_and_operands_may_be_mixed),
        cmocka_unit_test(test_a_group_may_be_a_command_too),
        cmocka_unit_test(test_after_two_dashes_all_are_operands),
        cmocka_unit_test(test_the_last_value_holds),
        cmocka_unit_test(test_wrong_usage_is_named_with_a_hint),
        cmocka_unit_test(test_help_is_made_from_the_same_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
