/* The address of the control socket: "DB.sock", also where the path is longer
 * than a socket's name may be. */
#ifndef PATCHWAVE_CONTROL_ADDRESS_H
#define PATCHWAVE_CONTROL_ADDRESS_H

#include "schema/err.h"

#include <sys/un.h>

struct control_address {
    struct sockaddr_un name;
    int dir_fd; /* to be closed after bind or connect */
};
int control_address_of(const char *db_path, struct control_address *ret, struct err *err);
void control_address_done(struct control_address *a);
/* "DB.sock" itself; the caller frees. NULL when out of memory. */
char *control_path(const char *db_path);

#endif
