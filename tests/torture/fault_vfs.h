/* SQLite on the disk of fault_disk.h, with a fault at any of its operations. */
#ifndef PATCHWAVE_TESTS_FAULT_VFS_H
#define PATCHWAVE_TESTS_FAULT_VFS_H

#include <stdbool.h>

/* What can fail: SQLite's requests of the system, the system calls and SQLite calls of the project's own code, and
 * memory. */
#define FAULT_OP_MAP(X)                \
    X(OPEN, "open")                    \
    X(READ, "read")                    \
    X(WRITE, "write")                  \
    X(TRUNCATE, "truncate")            \
    X(SYNC, "sync")                    \
    X(SIZE, "size")                    \
    X(DELETE, "delete")                \
    X(ACCESS, "access")                \
    X(LOCK, "lock")                    \
    X(SHM_MAP, "shm_map")              \
    X(SHM_LOCK, "shm_lock")            \
    X(STAT, "stat()")                  \
    X(UNLINK, "unlink()")              \
    X(RENAME, "rename()")              \
    X(CHMOD, "chmod()")                \
    X(CREATE, "open()")                \
    X(PREPARE, "sqlite3_prepare")      \
    X(STEP, "sqlite3_step")            \
    X(EXEC, "sqlite3_exec")            \
    X(CONNECT, "sqlite3_open")         \
    X(BACKUP, "sqlite3_backup")        \
    X(SQLITE_ALLOC, "SQLite's malloc") \
    X(OWN_ALLOC, "malloc")

enum fault_op {
#define X(name, text) FAULT_##name,
    FAULT_OP_MAP(X)
#undef X
        FAULT_OPS
};

enum fault_mode {
    FAULT_NONE,
    FAULT_EIO,
    FAULT_DISK_FULL,
    FAULT_SHORT,      /* a write: half of it is done, then EIO */
    FAULT_FULL_SHORT, /* half of it fits */
    FAULT_DROPPED,    /* a sync: fails, and the system forgets what was dirty */
    FAULT_BUSY,
    FAULT_NOMEM,
    FAULT_MODES
};

/* Asked before each operation, may take the process apart (fork). NULL: nothing fails. */
typedef enum fault_mode (*fault_hook)(enum fault_op op);
extern fault_hook fault_ask;

const char *fault_op_name(enum fault_op op);
const char *fault_mode_name(enum fault_mode m);
/* Which modes an operation can fail with; ends with FAULT_NONE. */
const enum fault_mode *fault_modes_of(enum fault_op op);

/* Make this VFS and its memory the default; once, before any other SQLite call. */
void fault_vfs_install(void);
enum fault_mode fault_here(enum fault_op op);

#endif
