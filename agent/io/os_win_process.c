/* os.h on Windows: processes and what they start. What may be killed runs in a
 * job object whose only handle is ours, so that it also ends with us, however
 * we end (O10 says what must never be in one). */
#include "agent/io/os.h"

#include <windows.h>

#include <tlhelp32.h>

#define ENDED 137 /* the exit code of what was ended */

int64_t os_process_start(int64_t pid)
{
    HANDLE h = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, (DWORD)pid);
    FILETIME created = { 0 }, a, b, c;
    int64_t start = 0;

    if (h == NULL)
        return 0;
    if (WaitForSingleObject(h, 0) == WAIT_TIMEOUT && GetProcessTimes(h, &created, &a, &b, &c))
        start = (int64_t)((uint64_t)created.dwHighDateTime << 32 | created.dwLowDateTime);
    CloseHandle(h);
    return start;
}

static void terminate(DWORD pid)
{
    HANDLE h = OpenProcess(PROCESS_TERMINATE, FALSE, pid);

    if (h == NULL)
        return;
    (void)TerminateProcess(h, ENDED);
    CloseHandle(h);
}

/* The children first, by the table of processes: for what is in no job of ours. */
static void end_tree(DWORD pid, int depth)
{
    HANDLE all = depth > 16 ? INVALID_HANDLE_VALUE : CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    PROCESSENTRY32W e = { .dwSize = sizeof e };
    int64_t born = os_process_start(pid);

    if (all != INVALID_HANDLE_VALUE) {
        for (BOOL more = Process32FirstW(all, &e); more;
             more = Process32NextW(all, &e)) /* ids are used again: a child is younger */
            if (e.th32ParentProcessID == pid && e.th32ProcessID != pid &&
                os_process_start(e.th32ProcessID) >= born)
                end_tree(e.th32ProcessID, depth + 1);
        CloseHandle(all);
    }
    terminate(pid);
}

void os_process_end(int64_t pid)
{
    if (pid > 4)
        end_tree((DWORD)pid, 0);
}

static bool closing_ends(HANDLE job)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = { 0 };

    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    return SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits) != FALSE;
}

int os_job_hold(int64_t pid, struct os_job *ret_job, struct err *err)
{
    HANDLE job = CreateJobObjectW(NULL, NULL); /* not inherited: nobody else keeps it open */
    HANDLE process = OpenProcess(PROCESS_SET_QUOTA | PROCESS_TERMINATE, FALSE, (DWORD)pid);
    bool held = job != NULL && process != NULL && closing_ends(job) && AssignProcessToJobObject(job, process);
    DWORD last = GetLastError();

    if (process != NULL)
        CloseHandle(process);
    if (!held && job != NULL)
        CloseHandle(job);
    ret_job->handle = held ? (intptr_t)job : 0;
    if (held || os_process_start(pid) == 0) /* one that has ended started nothing that we could hold */
        return 0;
    return err_set(err, ERR_IO, "hold the driver in a job: error %lu", last);
}

void os_job_end(struct os_job *job)
{
    if (job->handle == 0)
        return;
    (void)TerminateJobObject((HANDLE)job->handle, ENDED);
    CloseHandle((HANDLE)job->handle);
    job->handle = 0;
}
