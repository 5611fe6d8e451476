/* The command line as tables: a command lists its options, --help is printed
 * from the same rows that parse. Values are checked when they are parsed. */
#ifndef PATCHWAVE_OPTIONS_H
#define PATCHWAVE_OPTIONS_H

#include "schema/buf.h"
#include "schema/err.h"
#include "schema/times.h"

#include <stdbool.h>
#include <stdint.h>

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_NUMBER, OPTION_DURATION };

/* `name` NULL ends a table. `value` names the value in help ("FILE"). */
struct option {
    const char *name;
    char letter; /* 0: none */
    enum option_kind kind;
    const char *value, *help;
};

struct cli;
/* One subcommand. `group` is the first word of two-word commands, NULL else. */
struct command_spec {
    const char *group, *name;
    const char *operands; /* "FILE", "[PLAN]", "NODE..."; "" none */
    uint32_t operands_min, operands_max;
    const char *help;   /* one line */
    const char *detail; /* paragraphs under --help, or NULL */
    const struct option *options;
    /* 0 or an err_code with `err`; *ret_exit (0 before) is the exit code when 0 is returned. */
    int (*run)(struct cli *c, int *ret_exit, struct err *err);
};

#define OPTIONS_MAX 24
#define OPERANDS_MAX 64
struct parsed {
    const struct command_spec *command; /* NULL: none was named (help, version) */
    const char *help_group;             /* a group's name alone */
    struct {
        const struct option *option;
        const char *text;
        int64_t number; /* of numbers; ms of durations */
    } values[OPTIONS_MAX];
    uint32_t n_values;
    const char *operands[OPERANDS_MAX];
    uint32_t n_operands;
};

/* Parse argv against the NULL-name-terminated table. ERR_INVALID is wrong
 * usage, with the nearest known word as a hint. Strings are argv's. */
int options_parse(int argc, char *const argv[], const struct command_spec *commands,
                  const struct option *globals, struct parsed *ret, struct err *err);
bool options_flag(const struct parsed *p, const char *name);
const char *options_text(const struct parsed *p, const char *name, const char *otherwise);
int64_t options_number(const struct parsed *p, const char *name, int64_t otherwise);

/* Help for everything, one group, or one command. */
void options_help(struct buf *out, const struct command_spec *commands, const struct option *globals);
void options_help_group(struct buf *out, const struct command_spec *commands, const char *group);
void options_help_command(struct buf *out, const struct command_spec *c, const struct option *globals);

#endif
