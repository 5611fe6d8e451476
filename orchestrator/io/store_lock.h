/* One writer per database: an open-file-description lock on PATH.lock, gone
 * with its holder however it dies. The file's text names the holder. */
#ifndef PATCHWAVE_STORE_LOCK_H
#define PATCHWAVE_STORE_LOCK_H

#include "schema/err.h"

/* ERR_LOCKED names the holder ("pid 1234, since ..."); ERR_READONLY, ERR_IO,
 * ERR_FULL. store_lock_drop() ends it. */
int store_lock_take(const char *db_path, int *ret_fd, struct err *err);
void store_lock_drop(int fd); /* accepts -1 */
/* The pid of the present holder, 0 when nobody holds it, -1 when it has not said its name yet. */
int store_lock_holder(const char *db_path);

#endif
