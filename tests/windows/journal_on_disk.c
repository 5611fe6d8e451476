/* The journal on Windows: when a record is said to be durable, FlushFileBuffers has been asked for it, and it is there for the next
 * opening, in a folder whose name is not ASCII. SQLite's own table of system calls is where the call is seen. Prints a line per finding. */
#include "agent/io/journal.h"
#include "agent/io/os.h"

#include <windows.h>

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define FOLDER "C:\\pw-\xe8\xa8\x98\xe9\x8c\xb2"

static int n_bad, n_flushed;
static BOOL(WINAPI *flush_of_windows)(HANDLE);

static void found(const char *title, bool ok)
{
    n_bad += !ok;
    printf("%s - %s\n", ok ? "ok" : "not ok", title);
}

static BOOL WINAPI flush(HANDLE h)
{
    n_flushed++;
    return flush_of_windows(h);
}

/* Whether SQLite's calls go through ours from now on. */
static bool watch(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    union {
        sqlite3_syscall_ptr any;
        BOOL(WINAPI *call)(HANDLE);
    } call;

    call.any = vfs->xGetSystemCall(vfs, "FlushFileBuffers");
    flush_of_windows = call.call;
    call.call = flush;
    return flush_of_windows != NULL && vfs->xSetSystemCall(vfs, "FlushFileBuffers", call.any) == SQLITE_OK;
}

static void test_append(void)
{
    struct journal_fold fold = JOURNAL_FOLD_INIT;
    struct journal *j = NULL;
    struct err err = { 0 };
    const struct agent_record boot = {
        .kind = AGENT_REC_BOOT, .at = 1, .op = "", .boot_id = "B1", .body = "{\"machine_id\":\"M1\"}"
    };
    int before, rc = journal_open(FOLDER "/journal.db", FOLDER "/journal.id", "1", &j, &fold, &err);

    found(rc == 0 ? "a journal is made in it" : err.text, rc == 0);
    if (rc != 0)
        return;
    before = n_flushed;
    rc = journal_append(j, &boot, &err);
    found("a record that is durable was flushed before that was said", rc == 0 && n_flushed > before);
    printf("# %d flushes for one record\n", n_flushed - before);
    journal_fold_clear(&fold);
    journal_close(j);
    fold = (struct journal_fold)JOURNAL_FOLD_INIT;
    rc = journal_open(FOLDER "/journal.db", FOLDER "/journal.id", "1", &j, &fold, &err);
    found(rc == 0 ? "and is there when it is opened again" : err.text,
          rc == 0 && strcmp(fold.boot_id, "B1") == 0);
    journal_fold_clear(&fold);
    if (rc == 0)
        journal_close(j);
}

int main(void)
{
    struct err err = { 0 };

    (void)setvbuf(stdout, NULL, _IONBF, 0);
    found("a folder with a name that is not ASCII",
          os_private_dir(FOLDER, &err) == 0 && os_is_private(FOLDER));
    found("SQLite's flushes can be seen", watch());
    test_append();
    found("all was looked at", true);
    return n_bad > 0;
}
