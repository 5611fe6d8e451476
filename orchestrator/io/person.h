/* Who sits at the keyboard: the OS user. */
#ifndef PATCHWAVE_PERSON_H
#define PATCHWAVE_PERSON_H

#include <stddef.h>
#include <sys/types.h>

/* The name of a user id, or "uid N". */
const char *person_name(uid_t uid, char *out, size_t size);
/* The user of this process. Under sudo it is the one who called it, as sudo
 * told root's own environment; nobody else can claim another name. */
const char *person_self(char *out, size_t size);

#endif
