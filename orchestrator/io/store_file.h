/* Database files as a whole: a new one is made beside its place and takes its
 * name only when it is complete and on the disk. */
#ifndef PATCHWAVE_STORE_FILE_H
#define PATCHWAVE_STORE_FILE_H

#include "schema/buf.h"
#include "schema/err.h"

/* "PATH.new" into `out`, with what an earlier attempt left there removed. */
int store_file_beside(const char *path, struct buf *out, struct err *err);
/* `from` becomes `to`, replacing what is there, for its owner alone, and stays so after a power cut. ERR_FULL,
 * ERR_READONLY, ERR_IO; then `from` may still be there. */
int store_file_place(const char *from, const char *to, struct err *err);
/* Remove a database with what SQLite keeps beside it. */
void store_file_remove(const char *path);
/* ERR_EXISTS when there is a file, or a write-ahead log that outlived its file; ERR_IO when nobody can tell. */
int store_file_absent(const char *path, struct err *err);

#endif
