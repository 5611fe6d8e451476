#include "agent/io/crash_point.h"

#include "agent/io/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void crash_point_read(struct crash_point *c, bool lab)
{
    const char *text = lab ? getenv("PATCHWAVE_CRASH_AT") : NULL;
    const char *colon = text == NULL ? NULL : strchr(text, ':');
    size_t n = colon != NULL ? (size_t)(colon - text) : text == NULL ? 0 : strlen(text);

    *c = (struct crash_point){ .left = 1 };
    if (n == 0 || n >= sizeof c->name)
        return;
    memcpy(c->name, text, n);
    if (colon != NULL)
        c->left = (unsigned)strtoul(colon + 1, NULL, 10);
}

void crash_point_pass(struct crash_point *c, const char *here)
{
    if (c->name[0] != '\0' && strcmp(c->name, here) == 0 && c->left > 0 && --c->left == 0)
        os_crash();
}

void crash_point_record(struct crash_point *c, enum agent_record_kind kind, bool before)
{
    char here[48];

    if (c->name[0] == '\0')
        return;
    snprintf(here, sizeof here, "%s_%s", agent_record_kind_name(kind), before ? "before" : "after");
    crash_point_pass(c, here);
}
