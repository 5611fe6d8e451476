#include "orchestrator/cli.h"
#include "orchestrator/io/person.h"
#include "orchestrator/io/render_escape.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define OPEN_FILES_MAX 65536

static const struct option global_options[] = {
    { "db", 0, OPTION_TEXT, "FILE", "the database (else $PATCHWAVE_DB, else ./patchwave.db)" },
    { "json", 0, OPTION_FLAG, NULL, "answer in JSON" },
    { "help", 'h', OPTION_FLAG, NULL, "tell about a command" },
    { "version", 0, OPTION_FLAG, NULL, "print the version" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static const struct command_spec *const all_commands[] = {
#define X(name) &cmd_##name,
    CLI_COMMANDS(X)
#undef X
};
#define COMMANDS (sizeof all_commands / sizeof all_commands[0])

static void say_error(const struct cli *c, const struct err *e)
{
    struct buf out = BUF_INIT;
    struct json_writer w;

    if (c->json) {
        jw_init(&w, &out);
        jw_object(&w, NULL);
        jw_object(&w, "error");
        jw_str(&w, "name", err_name(e->code));
        jw_str(&w, "message", e->text);
        jw_object_end(&w);
        jw_object_end(&w);
        buf_char(&out, '\n');
        cli_print(&out);
    }
    buf_str(&out, "patchwave: ");
    escape_terminal(&out, e->text);
    buf_char(&out, '\n');
    fputs(buf_text(&out), stderr);
    buf_clear(&out);
}

static void table_of_commands(struct command_spec table[COMMANDS + 1])
{
    for (size_t i = 0; i < COMMANDS; i++)
        table[i] = *all_commands[i];
    table[COMMANDS] = (struct command_spec){ 0 };
}

/* --help, --version, or nothing at all. */
static bool answered(const struct cli *c, const struct command_spec *table, int *ret_exit)
{
    struct buf out = BUF_INIT;

    *ret_exit = EXIT_DONE;
    if (options_flag(&c->args, "version")) {
        buf_str(&out, "patchwave " PATCHWAVE_VERSION "\n");
    } else if (c->args.command != NULL && options_flag(&c->args, "help")) {
        options_help_command(&out, c->args.command, global_options);
    } else if (c->args.command == NULL) {
        if (c->args.help_group != NULL)
            options_help_group(&out, table, c->args.help_group);
        else
            options_help(&out, table, global_options);
        if (!options_flag(&c->args, "help"))
            *ret_exit = EXIT_USAGE;
    } else {
        return false;
    }
    cli_print(&out);
    return true;
}

/* Also where the rest of the line could not be read. */
static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

/* Each node is an open file; what a process may have at first is usually a thousand. */
static void allow_open_files(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= OPEN_FILES_MAX)
        return;
    r.rlim_cur = r.rlim_max < OPEN_FILES_MAX ? r.rlim_max : OPEN_FILES_MAX;
    (void)setrlimit(RLIMIT_NOFILE, &r); /* as it was is enough for many fleets */
}

int main(int argc, char **argv)
{
    static struct command_spec table[COMMANDS + 1];
    struct cli c = { 0 };
    struct err err = { 0 };
    int exit_code = 0;

    setlocale(LC_CTYPE, "C.UTF-8");
    allow_open_files();
    table_of_commands(table);
    if (options_parse(argc, argv, table, global_options, &c.args, &err) != 0) {
        c.json = wants_json(argc, argv);
        say_error(&c, &err);
        fputs("`patchwave --help` lists commands, `patchwave COMMAND --help` their options\n", stderr);
        return EXIT_USAGE;
    }
    if (answered(&c, table, &exit_code))
        return exit_code;
    c.json = options_flag(&c.args, "json");
    c.db = options_text(&c.args, "db", getenv("PATCHWAVE_DB"));
    if (c.db == NULL || c.db[0] == '\0')
        c.db = "patchwave.db";
    c.person = person_self(c.person_text, sizeof c.person_text);
    if (c.args.command->run(&c, &exit_code, &err) != 0) {
        say_error(&c, &err);
        return (int)exit_of_error(err.code);
    }
    return exit_code;
}
