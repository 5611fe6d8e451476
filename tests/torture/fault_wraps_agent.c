/* The agent's own file calls on the disk of fault_disk.h (--wrap). */
#include "schema/err.h"
#include "tests/torture/fault_disk.h"
#include "tests/torture/fault_vfs.h"

#include <stdio.h>
#include <string.h>

bool __real_os_exists(const char *path);
int __real_os_write_file(const char *path, const void *data, size_t len, struct err *err);
bool __wrap_os_exists(const char *path);
int __wrap_os_write_file(const char *path, const void *data, size_t len, struct err *err);

static bool ours(const char *path)
{
    return strncmp(path, DISK_ROOT, strlen(DISK_ROOT)) == 0;
}

bool __wrap_os_exists(const char *path)
{
    return ours(path) ? disk_find(path) != NULL : __real_os_exists(path);
}

/* Written beside and renamed, never synced: what os_write_file promises. */
int __wrap_os_write_file(const char *path, const void *data, size_t len, struct err *err)
{
    enum fault_mode m;
    char part[200];

    if (!ours(path))
        return __real_os_write_file(path, data, len, err);
    m = fault_here(FAULT_CREATE);
    if (m != FAULT_NONE)
        return err_set(err, m == FAULT_DISK_FULL ? ERR_FULL : ERR_IO, "create %s", path);
    snprintf(part, sizeof part, "%s.new", path);
    disk_write(disk_make(part), data, (uint32_t)len, 0);
    disk_rename(part, path);
    return 0;
}
