#include "tests/torture/fault_vfs.h"

#include "schema/prng.h"
#include "tests/torture/fault_disk.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

fault_hook fault_ask;

struct disk_handle {
    sqlite3_file base; /* first */
    struct disk_file *f;
    int level;                          /* SQLITE_LOCK_* */
    bool new_log;                       /* its first sync is its folder's, too */
    uint16_t shm_shared, shm_exclusive; /* bits */
    bool mapped;
};

static int last_errno;

enum fault_mode fault_here(enum fault_op op)
{
    return fault_ask == NULL ? FAULT_NONE : fault_ask(op);
}

/* SQLite's code for a fault, `io` being its name for an I/O error here. */
static int code_of(enum fault_mode m, int io)
{
    bool full = m == FAULT_DISK_FULL || m == FAULT_FULL_SHORT;

    last_errno = full ? ENOSPC : EIO;
    if (full)
        return io == SQLITE_IOERR_SHMMAP ? SQLITE_IOERR_SHMSIZE : SQLITE_FULL;
    return m == FAULT_NONE ? SQLITE_OK : m == FAULT_BUSY ? SQLITE_BUSY : m == FAULT_NOMEM ? SQLITE_NOMEM : io;
}

static struct disk_handle *of(sqlite3_file *file)
{
    return (struct disk_handle *)file;
}

/* --- files --- */

static int x_unlock(sqlite3_file *file, int level);
static int x_shm_unmap(sqlite3_file *file, int delete_it);

static int x_close(sqlite3_file *file)
{
    struct disk_handle *h = of(file);

    x_shm_unmap(file, 0);
    x_unlock(file, SQLITE_LOCK_NONE);
    h->f->n_open--;
    h->base.pMethods = NULL;
    return SQLITE_OK;
}

static int x_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
    const struct disk_file *f = of(file)->f;
    int rc = code_of(fault_here(FAULT_READ), SQLITE_IOERR_READ);
    int64_t there = f->size - at;

    if (rc != SQLITE_OK)
        return rc;
    there = there < 0 ? 0 : there > len ? len : there;
    if (there > 0)
        memcpy(to, f->live + at, (size_t)there);
    if (there == len)
        return SQLITE_OK;
    memset((char *)to + there, 0, (size_t)(len - there));
    return SQLITE_IOERR_SHORT_READ;
}

static int x_write(sqlite3_file *file, const void *from, int len, sqlite3_int64 at)
{
    enum fault_mode m = fault_here(FAULT_WRITE);

    if (m == FAULT_NONE)
        disk_write(of(file)->f, from, (uint32_t)len, at);
    else if (m == FAULT_SHORT || m == FAULT_FULL_SHORT)
        disk_write(of(file)->f, from, (uint32_t)len / 2, at);
    return code_of(m, SQLITE_IOERR_WRITE);
}

static int x_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int rc = code_of(fault_here(FAULT_TRUNCATE), SQLITE_IOERR_TRUNCATE);

    if (rc == SQLITE_OK)
        disk_truncate(of(file)->f, size);
    return rc;
}

static int x_sync(sqlite3_file *file, int flags)
{
    enum fault_mode m = fault_here(FAULT_SYNC);

    (void)flags;
    if (m == FAULT_DROPPED)
        disk_drop_dirty(of(file)->f);
    if (m == FAULT_NONE)
        disk_sync(of(file)->f);
    if (m == FAULT_NONE && of(file)->new_log)
        disk_sync_folder();
    of(file)->new_log = of(file)->new_log && m != FAULT_NONE;
    return code_of(m, SQLITE_IOERR_FSYNC);
}

static int x_file_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    *ret_size = of(file)->f->size;
    return code_of(fault_here(FAULT_SIZE), SQLITE_IOERR_FSTAT);
}

/* --- locks: one process, several connections --- */

static bool alone(const struct disk_handle *h)
{
    return h->f->n_shared == (h->level >= SQLITE_LOCK_SHARED ? 1u : 0u);
}

static bool others(const struct disk_handle *owner, const struct disk_handle *h)
{
    return owner != NULL && owner != h;
}

static int x_lock(sqlite3_file *file, int level)
{
    struct disk_handle *h = of(file);
    struct disk_file *f = h->f;
    int rc = code_of(fault_here(FAULT_LOCK), SQLITE_IOERR_LOCK);

    if (rc != SQLITE_OK || h->level >= level)
        return rc;
    if (h->level < SQLITE_LOCK_SHARED) {
        if (others(f->pending, h) || others(f->exclusive, h))
            return SQLITE_BUSY;
        f->n_shared++;
        h->level = SQLITE_LOCK_SHARED;
    }
    if (level >= SQLITE_LOCK_RESERVED) {
        if (others(f->reserved, h))
            return SQLITE_BUSY;
        f->reserved = h;
        h->level = SQLITE_LOCK_RESERVED;
    }
    if (level == SQLITE_LOCK_EXCLUSIVE) {
        f->pending = h;
        h->level = SQLITE_LOCK_PENDING;
        if (!alone(h))
            return SQLITE_BUSY;
        f->exclusive = h;
        h->level = SQLITE_LOCK_EXCLUSIVE;
    }
    return SQLITE_OK;
}

static int x_unlock(sqlite3_file *file, int level)
{
    struct disk_handle *h = of(file);
    struct disk_file *f = h->f;

    if (h->level <= level)
        return SQLITE_OK;
    f->reserved = f->reserved == h ? NULL : f->reserved;
    f->pending = f->pending == h ? NULL : f->pending;
    f->exclusive = f->exclusive == h ? NULL : f->exclusive;
    if (level == SQLITE_LOCK_NONE)
        f->n_shared--;
    h->level = level;
    return SQLITE_OK;
}

static int x_check_reserved(sqlite3_file *file, int *ret)
{
    *ret = of(file)->f->reserved != NULL;
    return SQLITE_OK;
}

/* --- shared memory of a write-ahead log --- */

static int x_shm_map(sqlite3_file *file, int region, int bytes, int extend, void volatile **ret)
{
    struct disk_handle *h = of(file);
    int rc = code_of(fault_here(FAULT_SHM_MAP), SQLITE_IOERR_SHMMAP);

    *ret = NULL;
    if (rc != SQLITE_OK)
        return rc;
    h->mapped = true;
    disk_quiet++;
    while (extend && h->f->shm.n <= (uint32_t)region) {
        uint8_t **slot = list_push(&h->f->shm);

        if (slot == NULL || (*slot = calloc(1, (size_t)bytes)) == NULL)
            abort();
    }
    disk_quiet--;
    if (h->f->shm.n > (uint32_t)region)
        *ret = h->f->shm.items[region];
    return SQLITE_OK;
}

static void shm_release(struct disk_handle *h, int slot)
{
    if ((h->shm_exclusive & (1u << slot)) != 0)
        h->f->shm_exclusive[slot] = NULL;
    if ((h->shm_shared & (1u << slot)) != 0)
        h->f->shm_shared[slot]--;
    h->shm_exclusive &= (uint16_t) ~(1u << slot);
    h->shm_shared &= (uint16_t) ~(1u << slot);
}

static bool shm_free(const struct disk_handle *h, int slot, bool exclusive)
{
    uint32_t mine = (h->shm_shared >> slot) & 1u;

    return !others(h->f->shm_exclusive[slot], h) && (!exclusive || h->f->shm_shared[slot] == mine);
}

static int x_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    struct disk_handle *h = of(file);
    bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;

    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
        for (int i = offset; i < offset + n; i++)
            shm_release(h, i);
        return SQLITE_OK;
    }
    if (fault_here(FAULT_SHM_LOCK) != FAULT_NONE)
        return SQLITE_BUSY;
    for (int i = offset; i < offset + n; i++)
        if (!shm_free(h, i, exclusive))
            return SQLITE_BUSY;
    for (int i = offset; i < offset + n; i++) {
        if (exclusive) {
            h->f->shm_exclusive[i] = h;
            h->shm_exclusive |= (uint16_t)(1u << i);
        } else if ((h->shm_shared & (1u << i)) == 0) {
            h->f->shm_shared[i]++;
            h->shm_shared |= (uint16_t)(1u << i);
        }
    }
    return SQLITE_OK;
}

static void x_shm_barrier(sqlite3_file *file)
{
    (void)file;
}

static int x_shm_unmap(sqlite3_file *file, int delete_it)
{
    struct disk_handle *h = of(file);

    for (int i = 0; i < DISK_SHM_LOCKS; i++)
        shm_release(h, i);
    h->mapped = false;
    for (uint32_t i = 0; delete_it && i < h->f->shm.n; i++) /* the last one goes */
        free(h->f->shm.items[i]);
    if (delete_it)
        list_clear(&h->f->shm);
    return SQLITE_OK;
}

/* --- the rest --- */

static int x_control(sqlite3_file *file, int op, void *arg)
{
    (void)file;
    (void)op;
    (void)arg;
    return SQLITE_NOTFOUND;
}

static int x_sector_size(sqlite3_file *file)
{
    (void)file;
    return 4096;
}

/* As SQLite's own for unix: a write leaves the bytes around it alone. */
static int x_characteristics(sqlite3_file *file)
{
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = x_close,
    .xRead = x_read,
    .xWrite = x_write,
    .xTruncate = x_truncate,
    .xSync = x_sync,
    .xFileSize = x_file_size,
    .xLock = x_lock,
    .xUnlock = x_unlock,
    .xCheckReservedLock = x_check_reserved,
    .xFileControl = x_control,
    .xSectorSize = x_sector_size,
    .xDeviceCharacteristics = x_characteristics,
    .xShmMap = x_shm_map,
    .xShmLock = x_shm_lock,
    .xShmBarrier = x_shm_barrier,
    .xShmUnmap = x_shm_unmap,
};

static int x_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct disk_handle *h = of(file);
    struct disk_file *f = name == NULL ? NULL : disk_find(name);
    enum fault_mode m = fault_here(FAULT_OPEN);
    bool full = m == FAULT_DISK_FULL || m == FAULT_FULL_SHORT;

    (void)vfs;
    memset(h, 0, sizeof *h);
    if (full && f != NULL)
        m = FAULT_NONE; /* what is there can be opened on a full disk */
    if (m != FAULT_NONE || (f == NULL && (flags & SQLITE_OPEN_CREATE) == 0)) {
        last_errno = full ? ENOSPC : m == FAULT_NONE ? ENOENT : EIO;
        return SQLITE_CANTOPEN;
    }
    h->f = f == NULL ? disk_make(name) : f;
    h->f->n_open++;
    h->new_log = f == NULL && (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL)) != 0;
    h->base.pMethods = &methods;
    if (ret_flags != NULL)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int x_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    int rc = code_of(fault_here(FAULT_DELETE), SQLITE_IOERR_DELETE);

    (void)vfs;
    if (rc != SQLITE_OK)
        return rc;
    if (!disk_unlink(name))
        return SQLITE_IOERR_DELETE_NOENT;
    if (sync_folder)
        disk_sync_folder();
    return SQLITE_OK;
}

static int x_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    const struct disk_file *f = disk_find(name);

    (void)vfs;
    /* an empty file counts as none, as SQLite's own VFS has it */
    *ret = f != NULL && (flags != SQLITE_ACCESS_EXISTS || f->size > 0);
    return code_of(fault_here(FAULT_ACCESS), SQLITE_IOERR_ACCESS);
}

static int x_full_path(sqlite3_vfs *vfs, const char *name, int n, char *out)
{
    (void)vfs;
    if ((int)strlen(name) >= n)
        return SQLITE_CANTOPEN;
    strcpy(out, name);
    return SQLITE_OK;
}

static int x_random(sqlite3_vfs *vfs, int n, char *out)
{
    static struct prng prng;
    static bool begun;

    (void)vfs;
    if (!begun)
        prng_init(&prng, 1);
    begun = true;
    for (int i = 0; i < n; i++)
        out[i] = (char)prng_next(&prng);
    return n;
}

static int x_sleep(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    return us; /* nobody else runs meanwhile */
}

static int x_time(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
    (void)vfs;
    *ret = 212661072000000;
    return SQLITE_OK;
}

static int x_last_error(sqlite3_vfs *vfs, int n, char *text)
{
    (void)vfs;
    (void)n;
    (void)text;
    return last_errno;
}

/* --- memory --- */

static sqlite3_mem_methods memory;

static void *x_malloc(int n)
{
    return fault_here(FAULT_SQLITE_ALLOC) == FAULT_NONE ? memory.xMalloc(n) : NULL;
}

static void *x_realloc(void *p, int n)
{
    return fault_here(FAULT_SQLITE_ALLOC) == FAULT_NONE ? memory.xRealloc(p, n) : NULL;
}

void fault_vfs_install(void)
{
    static sqlite3_vfs vfs = {
        .iVersion = 2,
        .szOsFile = sizeof(struct disk_handle),
        .mxPathname = 120,
        .zName = "pwfault",
        .xOpen = x_open,
        .xDelete = x_delete,
        .xAccess = x_access,
        .xFullPathname = x_full_path,
        .xRandomness = x_random,
        .xSleep = x_sleep,
        .xGetLastError = x_last_error,
        .xCurrentTimeInt64 = x_time,
    };
    sqlite3_mem_methods mine;

    /* SQLite's recursive mutexes do not know their owner again after a fork. */
    if (sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) != SQLITE_OK ||
        sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory) != SQLITE_OK)
        abort();
    mine = memory;
    mine.xMalloc = x_malloc;
    mine.xRealloc = x_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &mine) != SQLITE_OK ||
        sqlite3_vfs_register(&vfs, 1) != SQLITE_OK)
        abort();
    disk_now = disk_new();
}

/* --- names --- */

static const char *const op_names[] = {
#define X(name, text) text,
    FAULT_OP_MAP(X)
#undef X
};
static const char *const mode_names[] = {
    "nothing",        "EIO",  "no space",      "EIO after half of it", "no space after half of it",
    "EIO, data lost", "busy", "out of memory",
};

const char *fault_op_name(enum fault_op op)
{
    return op_names[op];
}

const char *fault_mode_name(enum fault_mode m)
{
    return mode_names[m];
}

static const enum fault_mode only_eio[] = { FAULT_EIO, FAULT_NONE };
static const enum fault_mode only_busy[] = { FAULT_BUSY, FAULT_NONE };
static const enum fault_mode only_nomem[] = { FAULT_NOMEM, FAULT_NONE };
static const enum fault_mode of_room[] = { FAULT_EIO, FAULT_DISK_FULL, FAULT_NONE };
static const enum fault_mode of_write[] = { FAULT_EIO, FAULT_SHORT, FAULT_DISK_FULL, FAULT_FULL_SHORT,
                                            FAULT_NONE };
static const enum fault_mode of_sync[] = { FAULT_EIO, FAULT_DROPPED, FAULT_NONE };
static const enum fault_mode of_call[] = { FAULT_EIO, FAULT_NOMEM, FAULT_BUSY, FAULT_NONE };
static const enum fault_mode *const modes_of[FAULT_OPS] = {
    [FAULT_WRITE] = of_write,       [FAULT_SYNC] = of_sync,
    [FAULT_LOCK] = only_busy,       [FAULT_SHM_LOCK] = only_busy,
    [FAULT_OPEN] = of_room,         [FAULT_SHM_MAP] = of_room,
    [FAULT_CREATE] = of_room,       [FAULT_PREPARE] = of_call,
    [FAULT_STEP] = of_call,         [FAULT_EXEC] = of_call,
    [FAULT_CONNECT] = only_nomem,   [FAULT_BACKUP] = of_call,
    [FAULT_OWN_ALLOC] = only_nomem, [FAULT_SQLITE_ALLOC] = only_nomem,
};

const enum fault_mode *fault_modes_of(enum fault_op op)
{
    return modes_of[op] == NULL ? only_eio : modes_of[op];
}
