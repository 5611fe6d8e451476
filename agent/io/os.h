/* What the agent needs of the machine, with the same meaning everywhere; the
 * only place (with os_*.c) where systems differ. Paths are UTF-8. */
#ifndef PATCHWAVE_OS_H
#define PATCHWAVE_OS_H

#include "schema/buf.h"
#include "schema/err.h"
#include "schema/times.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

const char *os_name(void);           /* "linux", "windows" */
const char *os_default_config(void); /* path of the agent's configuration */
int os_random(void *to, size_t len, struct err *err);
time_ms os_wall_ms(void);
int64_t os_wall_us(void); /* microseconds since 1970, for SNTP */
dur_ms os_mono_ms(void);  /* since boot, sleep included */

void os_private_files(void); /* what this process makes from now on is the account's alone */
/* Make a folder that only the service's account may enter; one that is there is made private. */
int os_private_dir(const char *path, struct err *err);
/* The same, but members of `group` may pass through it (`write` false) or put
 * files into it; NULL: nobody. Windows: the SID of an account. */
int os_group_dir(const char *path, const char *group, bool write, struct err *err);
/* A folder inside such a one: as its parent is. Already there is well. */
int os_sub_dir(const char *path, struct err *err);
/* Says as whom this process runs; whether that is the account of the service (LocalSystem, root). */
bool os_account(struct buf *out);
bool os_is_private(const char *path); /* others may pass through it at most */
/* Whether anybody but the system's administrators, and this account, may change what lies there; true when that cannot be told. */
bool os_others_may_write(const char *path);
/* Make names in the folder durable. */
int os_sync_dir(const char *path, struct err *err);
int os_sync_stream(FILE *f, struct err *err); /* flushed before */
/* Replaces what has the new name. */
int os_rename(const char *from, const char *to, struct err *err);
int os_free_bytes(const char *path, int64_t *ret_bytes, struct err *err);

/* Read a whole file of at most `max` bytes. ERR_NOT_FOUND, ERR_IO, ERR_CAPACITY. */
int os_read_file(const char *path, size_t max, struct buf *out, struct err *err);
/* Write a file so that it is whole or absent after a crash. */
int os_write_file(const char *path, const void *data, size_t len, struct err *err);
bool os_exists(const char *path);
void os_remove(const char *path); /* a file or an empty folder; absent is well */
/* Whether a library's system error says that there is no room. */
bool os_disk_is_full(int system_error);
int64_t os_file_bytes(const char *path); /* -1: cannot tell */
void os_empty_file(const char *path);
bool os_is_absolute(const char *path);

/* One holder per file, for as long as the process lives. ERR_LOCKED names the
 * holder's process id. */
struct os_lock {
    intptr_t handle;
};
int os_lock_take(const char *path, struct os_lock *ret_lock, struct err *err);
void os_lock_drop(struct os_lock *lock);

/* Does somebody listen there? ERR_CONNECT. */
int os_socket_answers(const char *path, struct err *err);
/* Who may use it, in the system's own words; nothing where a folder's rights decide. */
void os_socket_access(const char *path, struct buf *out);

/* When a process started, in the system's own unit; 0 when there is none. The
 * pair of id and start names one process for ever (within a boot). */
int64_t os_process_start(int64_t pid);
/* End a process and all that it started (its group; by parentage on Windows). */
void os_process_end(int64_t pid);
/* Hold a process and all that it starts from now on, so that os_job_end ends it
 * whole, and on Windows (a job object) so does the end of this process,
 * whatever ends it. Elsewhere its group is what holds it: nothing to do here.
 * A process that has ended is no error. */
struct os_job {
    intptr_t handle; /* 0: none */
};
int os_job_hold(int64_t pid, struct os_job *ret_job, struct err *err);
void os_job_end(struct os_job *job);
/* What must be outlived by the agent's own end: signals of the terminal. */
void os_ignore_pipe_signal(void);
void os_binary_streams(void); /* standard input and output carry raw bytes */
/* Make, or change, the service of this machine that runs `serve --config`;
 * remove it. ERR_REFUSED where services are the package's affair (systemd). */
int os_service_install(const char *config, struct err *err);
int os_service_uninstall(struct err *err);
/* When the service manager started this process: run `run` as the service and
 * return true with its exit code. Else false: nothing was done. */
struct os_service {
    int (*run)(void *arg);
    void *arg;
    void (*stop)(void); /* asks `run` to end; from any thread */
};
bool os_service_run(const struct os_service *what, int *ret_exit);
/* How the service stands in the books of the service manager; nothing where that is the package's affair. */
void os_service_describe(struct buf *out);
void os_tell_people(const char *text); /* where an administrator looks: system log, event log */
/* End this process at once, as if the power were cut (tests). */
void os_crash(void);
/* Copy standard input to `fd_to` and the other way round until input ends or
 * the peer does: the relay. 0, or the error that ended it. */
int os_relay(const char *socket_path, struct err *err);

#endif
