#include "agent/agent_command.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(const struct agent_options *);
    const char *help;
} commands[] = {
    { "serve", agent_cmd_serve, "the service: holds the journal, runs drivers, listens on the local socket" },
    { "ssh", agent_cmd_ssh, "forced command of the SSH account: allows `relay` and `receive`, nothing else" },
    { "relay", agent_cmd_relay, "copy standard input and output to the service" },
    { "receive", agent_cmd_receive, "take one package from standard input" },
    { "journal", agent_cmd_journal,
      "print the journal (--json: lines of JSON; --open: open ops only, exit 1 if any)" },
    { "install", agent_cmd_install, "make the Windows service that runs `serve`" },
    { "uninstall", agent_cmd_uninstall, "remove it" },
    { "probe", agent_cmd_probe,
      "look, without changing anything, at each fact this node's driver relies on (--json)" },
};

static int usage(FILE *to)
{
    fputs("usage: patchwave-agent COMMAND [--config FILE] [--json] [--open]\n       patchwave-agent "
          "--version | --help\n\n",
          to);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].help);
    return to == stdout ? AGENT_EXIT_OK : AGENT_EXIT_USAGE;
}

int agent_complain(const struct err *e)
{
    fprintf(stderr, "patchwave-agent: %s\n", e->text);
    if (e->code == ERR_LOCKED)
        return AGENT_EXIT_LOCKED;
    if (e->code == ERR_CORRUPT || e->code == ERR_VERSION || e->code == ERR_STATE)
        return AGENT_EXIT_JOURNAL;
    return e->code == ERR_INVALID ? AGENT_EXIT_USAGE : AGENT_EXIT_FAILED;
}

static int read_options(int argc, char **argv, struct agent_options *o)
{
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            o->config = argv[++i];
        else if (strcmp(argv[i], "--json") == 0)
            o->json = true;
        else if (strcmp(argv[i], "--open") == 0)
            o->open = true;
        else
            return usage(stderr);
    return AGENT_EXIT_OK;
}

int main(int argc, char **argv)
{
    struct agent_options o = { 0 };

    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--version") == 0)
        return printf("patchwave-agent %s\n", PATCHWAVE_VERSION) < 0;
    if (strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return read_options(argc, argv, &o) != AGENT_EXIT_OK ? AGENT_EXIT_USAGE : commands[i].run(&o);
    return usage(stderr);
}
