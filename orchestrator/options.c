#include "orchestrator/options.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- finding --- */

static const struct option *find_long(const struct option *table, const char *name, size_t len)
{
    for (; table != NULL && table->name != NULL; table++)
        if (strlen(table->name) == len && strncmp(table->name, name, len) == 0)
            return table;
    return NULL;
}

static const struct option *find_letter(const struct option *table, char letter)
{
    for (; table != NULL && table->name != NULL; table++)
        if (table->letter == letter && letter != '\0')
            return table;
    return NULL;
}

/* Edit distance, for hints only; long words are cut. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[33], n = (unsigned)strnlen(b, 32);

    for (unsigned j = 0; j <= n; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1] != '\0' && i <= 32; i++) {
        unsigned corner = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= n; j++) {
            unsigned swap = corner + (a[i - 1] != b[j - 1]);
            unsigned step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

            corner = row[j];
            row[j] = swap < step ? swap : step;
        }
    }
    return row[n];
}

struct hint {
    const char *word;
    unsigned distance;
};

static void hint_try(struct hint *h, const char *given, const char *known)
{
    unsigned d = distance(given, known);

    if (d < h->distance) {
        h->distance = d;
        h->word = known;
    }
}

static int unknown_option(const struct command_spec *c, const struct option *globals, const char *given,
                          struct err *err)
{
    struct hint h = { NULL, 4 };

    for (const struct option *o = c == NULL ? NULL : c->options; o != NULL && o->name != NULL; o++)
        hint_try(&h, given, o->name);
    for (const struct option *o = globals; o->name != NULL; o++)
        hint_try(&h, given, o->name);
    if (h.word == NULL)
        return err_set(err, ERR_INVALID, "unknown option --%s", given);
    return err_set(err, ERR_INVALID, "unknown option --%s (did you mean --%s?)", given, h.word);
}

static int unknown_command(const struct command_spec *commands, const char *group, const char *given,
                           struct err *err)
{
    struct hint h = { NULL, 4 };

    for (const struct command_spec *c = commands; c->name != NULL; c++) {
        if (group == NULL)
            hint_try(&h, given, c->group != NULL ? c->group : c->name);
        else if (c->group != NULL && strcmp(c->group, group) == 0)
            hint_try(&h, given, c->name);
    }
    if (h.word == NULL)
        return err_set(err, ERR_INVALID, "unknown command \"%s%s%s\"", group ? group : "", group ? " " : "",
                       given);
    return err_set(err, ERR_INVALID, "unknown command \"%s%s%s\" (did you mean \"%s%s%s\"?)",
                   group ? group : "", group ? " " : "", given, group ? group : "", group ? " " : "", h.word);
}

/* --- parsing --- */

struct parse {
    const struct command_spec *commands;
    const struct option *globals;
    struct parsed *out;
    const char *group;
    bool only_operands; /* after -- */
};

static int parse_number(const struct option *o, const char *text, int64_t *ret, struct err *err)
{
    char *end = NULL;

    errno = 0;
    *ret = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *ret < 0)
        return err_set(err, ERR_INVALID, "--%s: \"%s\" is not a whole number from 0", o->name, text);
    return 0;
}

static int keep(struct parse *p, const struct option *o, const char *text, struct err *err)
{
    uint32_t at = p->out->n_values;
    int rc = 0;

    if (at == OPTIONS_MAX)
        return err_set(err, ERR_INVALID, "too many options");
    p->out->values[at].option = o;
    p->out->values[at].text = text;
    if (o->kind == OPTION_NUMBER)
        rc = parse_number(o, text, &p->out->values[at].number, err);
    if (o->kind == OPTION_DURATION && dur_parse(text, &p->out->values[at].number, err) != 0)
        rc = err_set(err, ERR_INVALID, "--%s: \"%s\" is not a duration such as 90s, 15m, 2h or 7d", o->name,
                     text);
    if (rc == 0)
        p->out->n_values++;
    return rc;
}

/* Returns how many further arguments were taken in *taken. */
static int parse_long(struct parse *p, const char *arg, const char *next, int *taken, struct err *err)
{
    const char *eq = strchr(arg, '=');
    size_t len = eq == NULL ? strlen(arg) : (size_t)(eq - arg);
    const struct command_spec *c = p->out->command;
    const struct option *o = c == NULL ? NULL : find_long(c->options, arg, len);

    if (o == NULL)
        o = find_long(p->globals, arg, len);
    if (o == NULL)
        return unknown_option(c, p->globals, arg, err);
    if (o->kind == OPTION_FLAG)
        return eq != NULL ? err_set(err, ERR_INVALID, "--%s takes no value", o->name) : keep(p, o, NULL, err);
    if (eq != NULL)
        return keep(p, o, eq + 1, err);
    if (next == NULL)
        return err_set(err, ERR_INVALID, "--%s needs a value: %s", o->name, o->value);
    *taken = 1;
    return keep(p, o, next, err);
}

static int parse_short(struct parse *p, const char *arg, const char *next, int *taken, struct err *err)
{
    const struct command_spec *c = p->out->command;
    const struct option *o = c == NULL ? NULL : find_letter(c->options, arg[0]);

    if (o == NULL)
        o = find_letter(p->globals, arg[0]);
    if (o == NULL || arg[1] != '\0')
        return err_set(err, ERR_INVALID, "unknown option -%s", arg);
    if (o->kind == OPTION_FLAG)
        return keep(p, o, NULL, err);
    if (next == NULL)
        return err_set(err, ERR_INVALID, "-%c needs a value: %s", o->letter, o->value);
    *taken = 1;
    return keep(p, o, next, err);
}

static bool is_group(const struct command_spec *commands, const char *word)
{
    for (const struct command_spec *c = commands; c->name != NULL; c++)
        if (c->group != NULL && strcmp(c->group, word) == 0)
            return true;
    return false;
}

static const struct command_spec *find_command(const struct command_spec *commands, const char *group,
                                               const char *word)
{
    for (const struct command_spec *c = commands; c->name != NULL; c++)
        if (strcmp(c->name, word) == 0 &&
            (group == NULL ? c->group == NULL : c->group != NULL && strcmp(c->group, group) == 0))
            return c;
    return NULL;
}

/* A group may also be a command of its own: "plan ROLLOUT" beside "plan show". */
static int parse_command_word(struct parse *p, const char *word, bool *used, struct err *err)
{
    const struct command_spec *c = find_command(p->commands, p->group, word);

    *used = true;
    if (p->group == NULL && is_group(p->commands, word)) {
        p->group = word;
        return 0;
    }
    if (c == NULL && p->group != NULL && find_command(p->commands, NULL, p->group) != NULL) {
        c = find_command(p->commands, NULL, p->group);
        *used = false;
    }
    if (c == NULL)
        return unknown_command(p->commands, p->group, word, err);
    p->out->command = c;
    return 0;
}

static int parse_word(struct parse *p, const char *word, struct err *err)
{
    bool used = false;

    if (p->out->command == NULL) {
        int rc = parse_command_word(p, word, &used, err);

        if (rc != 0 || used)
            return rc;
    }
    if (p->out->n_operands >= p->out->command->operands_max || p->out->n_operands == OPERANDS_MAX)
        return err_set(err, ERR_INVALID, "one operand too many: \"%s\"", word);
    p->out->operands[p->out->n_operands++] = word;
    return 0;
}

static int parse_argument(struct parse *p, const char *arg, const char *next, int *taken, struct err *err)
{
    if (p->only_operands || arg[0] != '-' || arg[1] == '\0')
        return parse_word(p, arg, err);
    /* An option right after a group's word belongs to the command of that name. */
    if (p->out->command == NULL && p->group != NULL)
        p->out->command = find_command(p->commands, NULL, p->group);
    if (arg[1] != '-')
        return parse_short(p, arg + 1, next, taken, err);
    if (arg[2] == '\0') {
        p->only_operands = true;
        return 0;
    }
    return parse_long(p, arg + 2, next, taken, err);
}

int options_parse(int argc, char *const argv[], const struct command_spec *commands,
                  const struct option *globals, struct parsed *ret, struct err *err)
{
    struct parse p = { .commands = commands, .globals = globals, .out = ret };
    int rc = 0;

    *ret = (struct parsed){ 0 };
    for (int i = 1; rc == 0 && i < argc; i++) {
        int taken = 0;

        rc = parse_argument(&p, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &taken, err);
        i += taken;
    }
    if (rc != 0)
        return rc;
    if (ret->command == NULL && p.group != NULL)
        ret->command = find_command(commands, NULL, p.group);
    if (ret->command == NULL)
        ret->help_group = p.group;
    if (ret->command != NULL && !options_flag(ret, "help") && ret->n_operands < ret->command->operands_min)
        return err_set(err, ERR_INVALID, "%s%s%s needs: %s", ret->command->group ? ret->command->group : "",
                       ret->command->group ? " " : "", ret->command->name, ret->command->operands);
    return 0;
}

bool options_flag(const struct parsed *p, const char *name)
{
    for (uint32_t i = 0; i < p->n_values; i++)
        if (strcmp(p->values[i].option->name, name) == 0)
            return true;
    return false;
}

/* The last one said holds. */
const char *options_text(const struct parsed *p, const char *name, const char *otherwise)
{
    for (uint32_t i = p->n_values; i-- > 0;)
        if (strcmp(p->values[i].option->name, name) == 0)
            return p->values[i].text;
    return otherwise;
}

int64_t options_number(const struct parsed *p, const char *name, int64_t otherwise)
{
    for (uint32_t i = p->n_values; i-- > 0;)
        if (strcmp(p->values[i].option->name, name) == 0)
            return p->values[i].number;
    return otherwise;
}

/* --- help --- */

static void put_usage(struct buf *out, const struct command_spec *c)
{
    buf_printf(out, "patchwave %s%s%s", c->group ? c->group : "", c->group ? " " : "", c->name);
    if (c->options != NULL && c->options->name != NULL)
        buf_str(out, " [OPTION...]");
    if (c->operands[0] != '\0')
        buf_printf(out, " %s", c->operands);
}

static void put_row(struct buf *out, const char *left, const char *right)
{
    if (strlen(left) > 28)
        buf_printf(out, "  %s\n  %-28s  %s\n", left, "", right);
    else
        buf_printf(out, "  %-28s  %s\n", left, right);
}

static void put_options(struct buf *out, const struct option *o)
{
    struct buf left = BUF_INIT;

    for (; o != NULL && o->name != NULL; o++) {
        buf_reset(&left);
        if (o->letter != '\0')
            buf_printf(&left, "-%c, ", o->letter);
        buf_printf(&left, "--%s", o->name);
        if (o->kind != OPTION_FLAG)
            buf_printf(&left, " %s", o->value);
        put_row(out, buf_text(&left), o->help);
    }
    buf_clear(&left);
}

static void put_commands(struct buf *out, const struct command_spec *c, const char *group)
{
    struct buf left = BUF_INIT;

    for (; c->name != NULL; c++) {
        if (group != NULL && (c->group == NULL || strcmp(c->group, group) != 0))
            continue;
        buf_reset(&left);
        buf_printf(&left, "%s%s%s%s%s", c->group ? c->group : "", c->group ? " " : "", c->name,
                   c->operands[0] ? " " : "", c->operands);
        put_row(out, buf_text(&left), c->help);
    }
    buf_clear(&left);
}

void options_help(struct buf *out, const struct command_spec *commands, const struct option *globals)
{
    buf_str(out,
            "usage: patchwave COMMAND [OPTION...] [OPERAND...]\n\n"
            "Rolls a hypervisor patch out over Hyper-V clusters, in waves with health gates.\n\nCommands:\n");
    put_commands(out, commands, NULL);
    buf_str(out, "\nOptions of every command:\n");
    put_options(out, globals);
    buf_str(out, "\n`patchwave COMMAND --help` tells more. Exit codes: docs/cli.md.\n");
}

void options_help_group(struct buf *out, const struct command_spec *commands, const char *group)
{
    buf_printf(out, "usage: patchwave %s COMMAND\n\nCommands:\n", group);
    put_commands(out, commands, group);
}

void options_help_command(struct buf *out, const struct command_spec *c, const struct option *globals)
{
    buf_str(out, "usage: ");
    put_usage(out, c);
    buf_printf(out, "\n\n%s\n", c->help);
    if (c->detail != NULL)
        buf_printf(out, "\n%s\n", c->detail);
    if (c->options != NULL && c->options->name != NULL) {
        buf_str(out, "\nOptions:\n");
        put_options(out, c->options);
    }
    buf_str(out, "\nOptions of every command:\n");
    put_options(out, globals);
}
