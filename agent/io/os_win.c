/* os.h on Windows: files, time, the relay; durability is FlushFileBuffers.
 * Rights are in os_win_access.c, processes in os_win_process.c. */
#include "agent/io/os_win.h"

#include <windows.h>

#include <bcrypt.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int os_win_fail(struct err *err, const char *what, const char *path)
{
    static const struct {
        DWORD windows;
        enum err_code code;
    } codes[] = {
        { ERROR_FILE_NOT_FOUND, ERR_NOT_FOUND }, { ERROR_PATH_NOT_FOUND, ERR_NOT_FOUND },
        { ERROR_DISK_FULL, ERR_FULL },           { ERROR_HANDLE_DISK_FULL, ERR_FULL },
        { ERROR_WRITE_PROTECT, ERR_READONLY },
    };
    DWORD last = GetLastError();

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].windows == last)
            return err_set(err, codes[i].code, "%s %s: error %lu", what, path, last);
    return err_set(err, ERR_IO, "%s %s: error %lu", what, path, last);
}

const wchar_t *os_win_path(const char *path, wchar_t out[OS_WIN_PATH])
{
    bool full = path[0] != '\0' && path[1] == ':' && (path[2] == '\\' || path[2] == '/');
    int at = 0;

    out[0] = L'\0';
    if (full) {
        memcpy(out, L"\\\\?\\", 4 * sizeof out[0]);
        at = 4;
    }
    if (MultiByteToWideChar(CP_UTF8, 0, path, -1, out + at, OS_WIN_PATH - at) == 0)
        out[0] = L'\0';
    for (wchar_t *c = out + at; full && *c != L'\0'; c++)
        if (*c == L'/')
            *c = L'\\';
    return out;
}

const char *os_name(void)
{
    return "windows";
}

const char *os_default_config(void)
{
    return "C:\\ProgramData\\patchwave\\agent.json";
}

int os_random(void *to, size_t len, struct err *err)
{
    if (BCryptGenRandom(NULL, to, (ULONG)len, BCRYPT_USE_SYSTEM_PREFERRED_RNG) != 0)
        return err_set(err, ERR_IO, "random numbers");
    return 0;
}

int64_t os_wall_us(void)
{
    FILETIME t;
    ULARGE_INTEGER v;

    GetSystemTimePreciseAsFileTime(&t);
    v.LowPart = t.dwLowDateTime;
    v.HighPart = t.dwHighDateTime;
    return (int64_t)(v.QuadPart / 10) - INT64_C(11644473600000000);
}

time_ms os_wall_ms(void)
{
    return os_wall_us() / 1000;
}

dur_ms os_mono_ms(void)
{
    return (dur_ms)GetTickCount64();
}

void os_private_files(void)
{
    /* the folders' descriptors are inherited */
}

int os_sync_dir(const char *path, struct err *err)
{
    (void)path; /* NTFS journals names itself; MOVEFILE_WRITE_THROUGH waits for it */
    (void)err;
    return 0;
}

int os_sync_stream(FILE *f, struct err *err)
{
    return _commit(_fileno(f)) == 0 ? 0 : os_win_fail(err, "sync", "a file");
}

int os_free_bytes(const char *path, int64_t *ret_bytes, struct err *err)
{
    wchar_t w[OS_WIN_PATH];
    ULARGE_INTEGER avail;

    if (!GetDiskFreeSpaceExW(os_win_path(path, w), &avail, NULL, NULL))
        return os_win_fail(err, "free space of", path);
    *ret_bytes = (int64_t)avail.QuadPart;
    return 0;
}

int os_read_file(const char *path, size_t max, struct buf *out, struct err *err)
{
    wchar_t w[OS_WIN_PATH];
    HANDLE h =
        CreateFileW(os_win_path(path, w), GENERIC_READ,
                    FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING, 0, NULL);
    char block[16384];
    DWORD n = 0;
    int rc = 0;

    if (h == INVALID_HANDLE_VALUE)
        return os_win_fail(err, "open", path);
    while (rc == 0 && ReadFile(h, block, sizeof block, &n, NULL) && n > 0) {
        if (out->len + n > max)
            rc = err_set(err, ERR_CAPACITY, "%s is larger than %llu bytes", path, (unsigned long long)max);
        else
            buf_add(out, block, n);
    }
    CloseHandle(h);
    return rc != 0 ? rc : out->failed ? err_set(err, ERR_NOMEM, "read %s", path) : 0;
}

int os_rename(const char *from, const char *to, struct err *err)
{
    wchar_t a[OS_WIN_PATH], b[OS_WIN_PATH];

    if (MoveFileExW(os_win_path(from, a), os_win_path(to, b),
                    MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
        return 0;
    return os_win_fail(err, "rename", from);
}

int os_write_file(const char *path, const void *data, size_t len, struct err *err)
{
    wchar_t w[OS_WIN_PATH];
    char part[OS_WIN_PATH];
    HANDLE h;
    DWORD n = 0;
    int rc = 0;

    if (snprintf(part, sizeof part, "%s.new", path) >= (int)sizeof part)
        return err_set(err, ERR_INVALID, "path too long: %s", path);
    h = CreateFileW(os_win_path(part, w), GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
    if (h == INVALID_HANDLE_VALUE)
        return os_win_fail(err, "create", part);
    if (!WriteFile(h, data, (DWORD)len, &n, NULL) || n != len || !FlushFileBuffers(h))
        rc = os_win_fail(err, "write", part);
    CloseHandle(h);
    if (rc == 0)
        rc = os_rename(part, path, err);
    if (rc != 0)
        os_remove(part);
    return rc;
}

bool os_exists(const char *path)
{
    wchar_t w[OS_WIN_PATH];

    return GetFileAttributesW(os_win_path(path, w)) != INVALID_FILE_ATTRIBUTES;
}

void os_remove(const char *path)
{
    wchar_t w[OS_WIN_PATH];

    if (!DeleteFileW(os_win_path(path, w)))
        (void)RemoveDirectoryW(w);
}

bool os_disk_is_full(int system_error)
{
    return system_error == ERROR_DISK_FULL || system_error == ERROR_HANDLE_DISK_FULL;
}

int64_t os_file_bytes(const char *path)
{
    wchar_t w[OS_WIN_PATH];
    WIN32_FILE_ATTRIBUTE_DATA a;

    if (!GetFileAttributesExW(os_win_path(path, w), GetFileExInfoStandard, &a))
        return -1;
    return (int64_t)((uint64_t)a.nFileSizeHigh << 32 | a.nFileSizeLow);
}

void os_empty_file(const char *path)
{
    wchar_t w[OS_WIN_PATH];
    HANDLE h =
        CreateFileW(os_win_path(path, w), GENERIC_WRITE,
                    FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, TRUNCATE_EXISTING, 0, NULL);

    if (h != INVALID_HANDLE_VALUE)
        CloseHandle(h);
}

bool os_is_absolute(const char *path)
{
    return path[0] == '\\' || path[0] == '/' || (path[0] != '\0' && path[1] == ':');
}

/* The lock is a byte far beyond the text, so that others can read who holds it. */
int os_lock_take(const char *path, struct os_lock *ret_lock, struct err *err)
{
    wchar_t w[OS_WIN_PATH];
    HANDLE h = CreateFileW(os_win_path(path, w), GENERIC_READ | GENERIC_WRITE,
                           FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_ALWAYS, 0, NULL);
    OVERLAPPED far_byte = { .Offset = 1u << 30 };
    char text[32] = { 0 };
    DWORD n = 0;

    if (h == INVALID_HANDLE_VALUE)
        return os_win_fail(err, "open", path);
    if (!LockFileEx(h, LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &far_byte)) {
        (void)ReadFile(h, text, sizeof text - 1, &n, NULL);
        CloseHandle(h);
        return err_set(err, ERR_LOCKED, "%s is held by process %lu", path, strtoul(text, NULL, 10));
    }
    snprintf(text, sizeof text, "%lu\n", GetCurrentProcessId());
    if (!SetEndOfFile(h) || !WriteFile(h, text, (DWORD)strlen(text), &n, NULL)) {
        int rc = os_win_fail(err, "write", path);

        CloseHandle(h);
        return rc;
    }
    ret_lock->handle = (intptr_t)h;
    return 0;
}

void os_lock_drop(struct os_lock *lock)
{
    CloseHandle((HANDLE)lock->handle);
}

HANDLE os_win_open_pipe(const char *path, DWORD access, DWORD flags)
{
    wchar_t w[OS_WIN_PATH];
    HANDLE h = INVALID_HANDLE_VALUE;

    os_win_path(path, w);
    for (int i = 0; i < 50; i++) {
        h = CreateFileW(w, access, 0, NULL, OPEN_EXISTING, flags, NULL);
        if (h != INVALID_HANDLE_VALUE || GetLastError() != ERROR_PIPE_BUSY)
            break;
        (void)WaitNamedPipeW(w, 100);
    }
    return h;
}

static HANDLE connect_to(const char *path, struct err *err)
{
    HANDLE h = os_win_open_pipe(path, GENERIC_READ | GENERIC_WRITE, FILE_FLAG_OVERLAPPED);

    if (h == INVALID_HANDLE_VALUE)
        err_set(err, ERR_CONNECT, "the agent's service does not answer at %s: error %lu", path,
                GetLastError());
    return h;
}

int os_socket_answers(const char *path, struct err *err)
{
    HANDLE h = connect_to(path, err);

    if (h == INVALID_HANDLE_VALUE)
        return ERR_CONNECT;
    CloseHandle(h);
    return 0;
}

void os_ignore_pipe_signal(void)
{
    /* there is none */
}

void os_binary_streams(void)
{
    (void)_setmode(_fileno(stdin), _O_BINARY);
    (void)_setmode(_fileno(stdout), _O_BINARY);
}

void os_crash(void)
{
    (void)TerminateProcess(GetCurrentProcess(), 137);
}

/* libuv cannot open the standard streams that sshd gives, so they get plain
 * reads and writes, each way in a thread of its own. The pipe is overlapped: on
 * a plain handle a read would hold up every write. */
struct copy {
    HANDLE from, to, pipe;
};

static bool transfer(const struct copy *c, HANDLE h, void *bytes, DWORD len, DWORD *ret_n, bool write)
{
    OVERLAPPED o = { .hEvent = h == c->pipe ? CreateEventW(NULL, TRUE, FALSE, NULL) : NULL };
    OVERLAPPED *how = h == c->pipe ? &o : NULL;
    BOOL ok = write ? WriteFile(h, bytes, len, ret_n, how) : ReadFile(h, bytes, len, ret_n, how);

    if (how == NULL)
        return ok;
    if (!ok && GetLastError() == ERROR_IO_PENDING)
        ok = TRUE;
    ok = ok && GetOverlappedResult(h, how, ret_n, TRUE);
    CloseHandle(o.hEvent);
    return ok;
}

static DWORD WINAPI copy_all(void *arg)
{
    const struct copy *c = arg;
    char block[65536];
    DWORD n, done, w = 0;

    while (transfer(c, c->from, block, sizeof block, &n, false) && n > 0)
        for (done = 0; done < n; done += w)
            if (!transfer(c, c->to, block + done, n - done, &w, true))
                return 1;
    return 0;
}

/* Whichever side ends first ends both: the other thread may hang in a read for ever. */
int os_relay(const char *socket_path, struct err *err)
{
    HANDLE pipe = connect_to(socket_path, err), threads[2];
    struct copy in = { GetStdHandle(STD_INPUT_HANDLE), pipe, pipe };
    struct copy out = { pipe, GetStdHandle(STD_OUTPUT_HANDLE), pipe };

    if (pipe == INVALID_HANDLE_VALUE)
        return ERR_CONNECT;
    threads[0] = CreateThread(NULL, 0, copy_all, &in, 0, NULL);
    threads[1] = CreateThread(NULL, 0, copy_all, &out, 0, NULL);
    if (threads[0] == NULL || threads[1] == NULL)
        return os_win_fail(err, "relay", socket_path);
    (void)WaitForMultipleObjects(2, threads, FALSE, INFINITE);
    ExitProcess(0);
}
