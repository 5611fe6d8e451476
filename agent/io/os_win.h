/* What the Windows files of os.h share. */
#ifndef PATCHWAVE_OS_WIN_H
#define PATCHWAVE_OS_WIN_H

#include "agent/io/os.h"

#include <wchar.h>
#include <windows.h>

#define OS_WIN_PATH 4096 /* characters */

/* UTF-8 to UTF-16, with the prefix that lifts the length limit of full paths; "" when it does not fit. */
const wchar_t *os_win_path(const char *path, wchar_t out[OS_WIN_PATH]);
/* GetLastError() as an error: "WHAT PATH: error N". */
int os_win_fail(struct err *err, const char *what, const char *path);
/* Opens a pipe as a client, and waits for up to five seconds while all its instances are taken: between one peer and
 * the next instance that is usual. INVALID_HANDLE_VALUE: GetLastError() tells why. */
HANDLE os_win_open_pipe(const char *path, DWORD access, DWORD flags);

#endif
