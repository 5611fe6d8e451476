/* A disk in memory that can be cut off. What was written and not synced is
 * kept apart: a power cut lets any of it reach the platter or not, sector by
 * sector, torn in the middle, in any order across sectors; names made, removed
 * or changed since their folder was synced may be as before. */
#ifndef PATCHWAVE_TESTS_FAULT_DISK_H
#define PATCHWAVE_TESTS_FAULT_DISK_H

#include "schema/list.h"

#include <stdbool.h>
#include <stdint.h>

#define DISK_ROOT "/pwfault/" /* every name on it begins so */
#define DISK_SECTOR 512
#define DISK_SHM_LOCKS 8

/* A write (bytes) or a truncation (bytes NULL) that no sync has covered. */
struct disk_change {
    int64_t at;
    uint32_t len;
    uint8_t *bytes;
    int64_t size_after;
};

struct disk_handle; /* of fault_vfs.c: who holds locks */

struct disk_file {
    uint8_t *live, *kept; /* as programs see it; as of the last sync */
    int64_t size, kept_size, room, kept_room;
    struct disk_changes LIST_OF(struct disk_change) changes;
    uint32_t n_open;
    bool named; /* in the live or the kept folder */
    /* SQLite's locks and shared memory; gone with the power */
    uint32_t n_shared;
    struct disk_handle *reserved, *pending, *exclusive;
    struct disk_handle *shm_exclusive[DISK_SHM_LOCKS];
    uint32_t shm_shared[DISK_SHM_LOCKS];
    struct disk_regions LIST_OF(uint8_t *) shm;
};

struct disk_name {
    char name[120];
    struct disk_file *file;
};

struct disk {
    struct disk_names LIST_OF(struct disk_name) live, kept; /* the folder, and as of its last sync */
    struct disk_files LIST_OF(struct disk_file *) files;
};

/* The one that names are looked up on. */
extern struct disk *disk_now;
/* Above 0: what is allocated is the test's own, and does not fail. */
extern unsigned disk_quiet;

struct disk *disk_new(void);
void disk_free(struct disk *d); /* accepts NULL; nobody has a file of it open */
/* What a power cut now would leave, drawn from `seed`. */
struct disk *disk_cut(const struct disk *d, uint64_t seed);
/* What a kill -9 leaves: everything as written, no locks. */
struct disk *disk_kill(const struct disk *d);

struct disk_file *disk_find(const char *name); /* NULL: not there */
struct disk_file *disk_make(const char *name); /* NULL name: one that has none */
bool disk_unlink(const char *name);
bool disk_rename(const char *from, const char *to);
void disk_sync_folder(void);
uint32_t disk_count(void); /* names that are there */
/* Put bytes there as if they had always been (for damaging files). */
void disk_plant(const char *name, const void *bytes, int64_t len);

void disk_write(struct disk_file *f, const void *bytes, uint32_t len, int64_t at);
void disk_truncate(struct disk_file *f, int64_t size);
void disk_sync(struct disk_file *f);
/* A sync that failed and threw away what it should have written, while the cache still shows it as clean. */
void disk_drop_dirty(struct disk_file *f);

#endif
