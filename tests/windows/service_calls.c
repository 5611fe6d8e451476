/* What the agent asks of the service manager, and how its service answers it. Wine keeps no recovery actions, sends no preshutdown and
 * has no event log, so the imports are taken here and each call is looked at. Prints a line per finding, `ok` or `not ok`. */
#include "agent/io/os.h"

#include <windows.h>

#include <aclapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

typedef void (*import)(void);
#define IMPORT(name, function)                              \
    extern import import_of_##name __asm__("__imp_" #name); \
import import_of_##name =(import)(function)
#define HANDLE_OF_OURS ((SC_HANDLE)(intptr_t)0x5e)

static int n_bad;

static void found(const char *title, bool ok)
{
    n_bad += !ok;
    printf("%s - %s\n", ok ? "ok" : "not ok", title);
}

/* --- the service manager --- */

static struct {
    bool exists; /* the service is there already */
    int made, changed, stopped, deleted, described;
    DWORD type, start, restarts[3], n_restarts, reset, preshutdown;
    BOOL bad_exits, delayed;
    bool no_account, no_dependency;
    wchar_t command[1024];
} scm;

static SC_HANDLE WINAPI open_manager(LPCWSTR machine, LPCWSTR database, DWORD access)
{
    (void)machine, (void)database, (void)access;
    return HANDLE_OF_OURS;
}
IMPORT(OpenSCManagerW, open_manager);

static void note_config(DWORD type, DWORD start, LPCWSTR command, LPCWSTR dependencies, LPCWSTR account)
{
    scm.type = type;
    scm.start = start;
    scm.no_account = account == NULL;
    scm.no_dependency = dependencies == NULL;
    wcsncpy(scm.command, command, 1023);
}

static SC_HANDLE WINAPI create_service(SC_HANDLE m, LPCWSTR name, LPCWSTR shown, DWORD access, DWORD type,
                                       DWORD start, DWORD control, LPCWSTR command, LPCWSTR group,
                                       LPDWORD tag, LPCWSTR dependencies, LPCWSTR account, LPCWSTR password)
{
    (void)m, (void)name, (void)shown, (void)access, (void)control, (void)group, (void)tag, (void)password;
    if (scm.exists) {
        SetLastError(ERROR_SERVICE_EXISTS);
        return NULL;
    }
    scm.made++;
    note_config(type, start, command, dependencies, account);
    return HANDLE_OF_OURS;
}
IMPORT(CreateServiceW, create_service);

static BOOL WINAPI change_config(SC_HANDLE s, DWORD type, DWORD start, DWORD control, LPCWSTR command,
                                 LPCWSTR group, LPDWORD tag, LPCWSTR dependencies, LPCWSTR account,
                                 LPCWSTR password, LPCWSTR shown)
{
    (void)s, (void)control, (void)group, (void)tag, (void)password, (void)shown;
    scm.changed++;
    note_config(type, start, command, dependencies, account);
    return TRUE;
}
IMPORT(ChangeServiceConfigW, change_config);

static BOOL WINAPI change_config2(SC_HANDLE s, DWORD part, LPVOID what)
{
    const SERVICE_FAILURE_ACTIONSW *f = what;

    (void)s;
    if (part == SERVICE_CONFIG_FAILURE_ACTIONS) {
        scm.n_restarts = f->cActions;
        scm.reset = f->dwResetPeriod;
        for (DWORD i = 0; i < f->cActions && i < 3; i++)
            scm.restarts[i] = f->lpsaActions[i].Type == SC_ACTION_RESTART ? f->lpsaActions[i].Delay : 0;
    } else if (part == SERVICE_CONFIG_FAILURE_ACTIONS_FLAG) {
        scm.bad_exits = ((const SERVICE_FAILURE_ACTIONS_FLAG *)what)->fFailureActionsOnNonCrashFailures;
    } else if (part == SERVICE_CONFIG_PRESHUTDOWN_INFO) {
        scm.preshutdown = ((const SERVICE_PRESHUTDOWN_INFO *)what)->dwPreshutdownTimeout;
    } else if (part == SERVICE_CONFIG_DELAYED_AUTO_START_INFO) {
        scm.delayed = ((const SERVICE_DELAYED_AUTO_START_INFO *)what)->fDelayedAutostart;
    } else if (part == SERVICE_CONFIG_DESCRIPTION) {
        scm.described++;
    }
    return TRUE;
}
IMPORT(ChangeServiceConfig2W, change_config2);

static SC_HANDLE WINAPI open_service(SC_HANDLE m, LPCWSTR name, DWORD access)
{
    (void)m, (void)name, (void)access;
    return HANDLE_OF_OURS;
}
IMPORT(OpenServiceW, open_service);

static BOOL WINAPI control_service(SC_HANDLE s, DWORD control, LPSERVICE_STATUS status)
{
    (void)s, (void)status;
    scm.stopped += control == SERVICE_CONTROL_STOP;
    return TRUE;
}
IMPORT(ControlService, control_service);

static BOOL WINAPI delete_service(SC_HANDLE s)
{
    (void)s;
    scm.deleted += scm.stopped > 0; /* the one that runs is stopped first */
    return TRUE;
}
IMPORT(DeleteService, delete_service);

static BOOL WINAPI close_handle(SC_HANDLE s)
{
    (void)s;
    return TRUE;
}
IMPORT(CloseServiceHandle, close_handle);

static void test_install(void)
{
    struct err err = { 0 };
    const wchar_t *full;

    found("it is installed",
          os_service_install("agent.json", &err) == 0 && scm.made == 1 && scm.described == 1);
    found("as a process of its own that starts with the machine, not later",
          scm.type == SERVICE_WIN32_OWN_PROCESS && scm.start == SERVICE_AUTO_START && !scm.delayed);
    found("as LocalSystem, depending on nothing", scm.no_account && scm.no_dependency);
    full = wcsstr(scm.command, L"serve --config \"");
    found("with the full path of a configuration that was named by half",
          scm.command[0] == L'"' && full != NULL && full[17] == L':' && full[18] == L'\\' &&
              wcsstr(full, L"\\agent.json\"") != NULL);
    found("it is restarted after 2, 2 and 10 s, also when it ends badly by itself, counted by the day",
          scm.n_restarts == 3 && scm.restarts[0] == 2000 && scm.restarts[1] == 2000 &&
              scm.restarts[2] == 10000 && scm.bad_exits && scm.reset == 86400);
    found("it has three minutes before a shutdown", scm.preshutdown == 180000);
    scm.exists = true;
    scm.start = scm.preshutdown = 0;
    found("one that is there is changed to the same",
          os_service_install("C:\\other.json", &err) == 0 && scm.made == 1 && scm.changed == 1 &&
              scm.start == SERVICE_AUTO_START && scm.preshutdown == 180000 &&
              wcsstr(scm.command, L"\"C:\\other.json\"") != NULL);
    found("uninstall stops it and removes it", os_service_uninstall(&err) == 0 && scm.deleted == 1);
}

/* --- the service's own life --- */

static LPHANDLER_FUNCTION_EX handler;
static SERVICE_STATUS states[16];
static int n_states, n_stops, exit_code;
static DWORD asked; /* the control that is sent while it runs */

static SERVICE_STATUS_HANDLE WINAPI register_handler(LPCWSTR name, LPHANDLER_FUNCTION_EX f, LPVOID context)
{
    (void)name, (void)context;
    handler = f;
    return (SERVICE_STATUS_HANDLE)HANDLE_OF_OURS;
}
IMPORT(RegisterServiceCtrlHandlerExW, register_handler);

static BOOL WINAPI set_status(SERVICE_STATUS_HANDLE h, LPSERVICE_STATUS s)
{
    (void)h;
    states[n_states < 15 ? n_states++ : 15] = *s;
    return TRUE;
}
IMPORT(SetServiceStatus, set_status);

static bool by_hand;

static BOOL WINAPI dispatch(const SERVICE_TABLE_ENTRYW *table)
{
    if (by_hand) {
        SetLastError(ERROR_FAILED_SERVICE_CONTROLLER_CONNECT);
        return FALSE;
    }
    table[0].lpServiceProc(0, NULL);
    return TRUE;
}
IMPORT(StartServiceCtrlDispatcherW, dispatch);

static void stop(void)
{
    n_stops++;
}

static int run(void *arg)
{
    (void)arg;
    found("a question is answered and stops nothing",
          handler(SERVICE_CONTROL_INTERROGATE, 0, NULL, NULL) == NO_ERROR && n_stops == 0);
    found("a control that was not asked for is refused",
          handler(SERVICE_CONTROL_PAUSE, 0, NULL, NULL) == ERROR_CALL_NOT_IMPLEMENTED && n_stops == 0);
    if (asked != 0)
        (void)handler(asked, 0, NULL, NULL);
    return exit_code;
}

static void play(DWORD control, int code)
{
    const struct os_service service = { .run = run, .stop = stop };
    int got = -1;

    n_states = n_stops = 0;
    asked = control;
    exit_code = code;
    found("it runs as the service and gives its exit code back",
          os_service_run(&service, &got) && got == code);
}

static void test_life(void)
{
    const struct os_service service = { .run = run, .stop = stop };
    int got = -1;

    play(SERVICE_CONTROL_PRESHUTDOWN, 0);
    found("running, it takes stop and preshutdown",
          n_states == 3 && states[0].dwCurrentState == SERVICE_RUNNING &&
              states[0].dwControlsAccepted == (SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_PRESHUTDOWN));
    found("before a shutdown it is asked to end, and says how long that may take",
          n_stops == 1 && states[1].dwCurrentState == SERVICE_STOP_PENDING && states[1].dwWaitHint >= 10000);
    found("and has ended well",
          states[2].dwCurrentState == SERVICE_STOPPED && states[2].dwWin32ExitCode == NO_ERROR);
    play(SERVICE_CONTROL_STOP, 0);
    found("so it is when it is stopped",
          n_stops == 1 && n_states == 3 && states[2].dwWin32ExitCode == NO_ERROR);
    play(0, 4);
    found("an end of its own is told as a failure, which is what its recovery asks for",
          n_states == 2 && states[1].dwCurrentState == SERVICE_STOPPED &&
              states[1].dwWin32ExitCode == ERROR_SERVICE_SPECIFIC_ERROR &&
              states[1].dwServiceSpecificExitCode == 4);
    by_hand = true;
    found("started by hand it is no service", !os_service_run(&service, &got));
}

/* --- what people hear --- */

static wchar_t heard[256], source[64];
static WORD heard_type;
static DWORD heard_id;

static HANDLE WINAPI register_source(LPCWSTR machine, LPCWSTR name)
{
    (void)machine;
    wcsncpy(source, name, 63);
    return (HANDLE)HANDLE_OF_OURS;
}
IMPORT(RegisterEventSourceW, register_source);

static BOOL WINAPI report_event(HANDLE log, WORD type, WORD category, DWORD id, PSID user, WORD n, DWORD size,
                                LPCWSTR *lines, LPVOID raw)
{
    (void)log, (void)category, (void)user, (void)size, (void)raw;
    heard_type = type;
    heard_id = id;
    if (n == 1)
        wcsncpy(heard, lines[0], 255);
    return TRUE;
}
IMPORT(ReportEventW, report_event);

static BOOL WINAPI end_source(HANDLE log)
{
    (void)log;
    return TRUE;
}
IMPORT(DeregisterEventSource, end_source);

static void test_events(void)
{
    os_tell_people("journal \xe6\xbc\xa2: disk is full");
    found("a start that failed is an error in the event log, under the agent's name, whole",
          heard_type == EVENTLOG_ERROR_TYPE && heard_id == 1 && wcscmp(source, L"patchwave-agent") == 0 &&
              wcscmp(heard, L"journal \x6f22: disk is full") == 0);
}

/* --- folders that were there --- */

static bool foreign; /* everything belongs to somebody else */

static DWORD WINAPI security_of(LPCWSTR name, SE_OBJECT_TYPE type, SECURITY_INFORMATION what, PSID *owner,
                                PSID *group, PACL *rules, PACL *audit, PSECURITY_DESCRIPTOR *holds)
{
    typedef DWORD(WINAPI * real)(LPCWSTR, SE_OBJECT_TYPE, SECURITY_INFORMATION, PSID *, PSID *, PACL *,
                                 PACL *, PSECURITY_DESCRIPTOR *);
    union {
        FARPROC any;
        real call;
    } advapi = { GetProcAddress(GetModuleHandleW(L"advapi32"), "GetNamedSecurityInfoW") };
    static SID somebody = { SID_REVISION, 1, { SECURITY_NT_AUTHORITY }, { SECURITY_INTERACTIVE_RID } };
    DWORD rc = advapi.call(name, type, what, owner, group, rules, audit, holds);

    if (foreign && owner != NULL)
        *owner = &somebody;
    return rc;
}
IMPORT(GetNamedSecurityInfoW, security_of);

static void test_folders(void)
{
    struct err err = { 0 };

    (void)RemoveDirectoryW(L"C:\\pw-folder");
    found("a folder is made, and is private",
          os_private_dir("C:\\pw-folder", &err) == 0 && os_is_private("C:\\pw-folder"));
    found("one that is there and ours is taken", os_private_dir("C:\\pw-folder", &err) == 0);
    foreign = true;
    found("one that belongs to somebody else is refused: its owner could open it again",
          os_private_dir("C:\\pw-folder", &err) == ERR_REFUSED && strstr(err.text, "belongs to") != NULL);
    found("for the agent's group folders too",
          os_group_dir("C:\\pw-folder", "S-1-5-21-1-2-3-1107", true, &err) == ERR_REFUSED);
    found("it is not private, and others may write to it",
          !os_is_private("C:\\pw-folder") && os_others_may_write("C:\\pw-folder"));
    foreign = false;
    (void)RemoveDirectoryW(L"C:\\pw-folder");
}

int main(void)
{
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    test_install();
    test_life();
    test_events();
    test_folders();
    found("all was looked at", true);
    return n_bad > 0;
}
