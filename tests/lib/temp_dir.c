#include "tests/lib/temp_dir.h"

#include "tests/lib/check.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void temp_dir_make(struct temp_dir *d)
{
    const char *base = getenv("TMPDIR");

    snprintf(d->path, sizeof d->path, "%s/patchwave-test-XXXXXX", base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(d->path));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

void temp_dir_remove(struct temp_dir *d)
{
    nftw(d->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *temp_dir_file(struct temp_dir *d, const char *name)
{
    snprintf(d->text, sizeof d->text, "%s/%s", d->path, name);
    return d->text;
}
