#include "orchestrator/io/person.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *person_name(uid_t uid, char *out, size_t size)
{
    char text[4096];
    struct passwd pw, *found = NULL;

    if (getpwuid_r(uid, &pw, text, sizeof text, &found) == 0 && found != NULL)
        snprintf(out, size, "%s", pw.pw_name);
    else
        snprintf(out, size, "uid %u", (unsigned)uid);
    return out;
}

const char *person_self(char *out, size_t size)
{
    const char *sudo = getenv("SUDO_USER");
    char text[4096];
    struct passwd pw, *found = NULL;

    if (getuid() == 0 && sudo != NULL && getpwnam_r(sudo, &pw, text, sizeof text, &found) == 0 &&
        found != NULL) {
        snprintf(out, size, "%s", pw.pw_name);
        return out;
    }
    return person_name(getuid(), out, size);
}
