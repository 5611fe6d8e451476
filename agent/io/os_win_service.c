/* The agent as a Windows service (O28): LocalSystem, automatic start, no
 * dependency on cluster or vmms, restarted when it dies. */
#include "agent/io/os.h"

#include <windows.h>

#include <stdio.h>
#include <string.h>

#define NAME L"patchwave-agent"
#define EVENT_KEY L"SYSTEM\\CurrentControlSet\\Services\\EventLog\\Application\\patchwave-agent"
#define STOP_HINT_MS 20000
#define PRESHUTDOWN_MS 180000
#define COMMAND_CHARS 4096

static int fail(struct err *err, const char *what)
{
    return err_set(err, GetLastError() == ERROR_ACCESS_DENIED ? ERR_REFUSED : ERR_IO, "%s: error %lu", what,
                   GetLastError());
}

/* "PROGRAM" serve --config "FILE": the service starts in another folder, so FILE is made full. */
static int write_command(const char *config, wchar_t out[COMMAND_CHARS], struct err *err)
{
    wchar_t program[COMMAND_CHARS / 2], file[COMMAND_CHARS / 4], full[COMMAND_CHARS / 4];
    DWORD n;

    if (GetModuleFileNameW(NULL, program, COMMAND_CHARS / 2) == 0)
        return fail(err, "own path");
    if (MultiByteToWideChar(CP_UTF8, 0, config == NULL ? os_default_config() : config, -1, file,
                            COMMAND_CHARS / 4) == 0)
        return fail(err, "configuration's path");
    n = GetFullPathNameW(file, COMMAND_CHARS / 4, full, NULL);
    if (n == 0 || n >= COMMAND_CHARS / 4)
        return fail(err, "configuration's full path");
    swprintf(out, COMMAND_CHARS, L"\"%ls\" serve --config \"%ls\"", program, full);
    return 0;
}

/* What is not supported everywhere (Wine) is no reason to have no service. */
static void describe(SC_HANDLE service)
{
    SC_ACTION restart[3] = { { SC_ACTION_RESTART, 2000 },
                             { SC_ACTION_RESTART, 2000 },
                             { SC_ACTION_RESTART, 10000 } };
    SERVICE_FAILURE_ACTIONSW failure = { .dwResetPeriod = 86400, .cActions = 3, .lpsaActions = restart };
    SERVICE_FAILURE_ACTIONS_FLAG flag = { .fFailureActionsOnNonCrashFailures = TRUE };
    SERVICE_PRESHUTDOWN_INFO preshutdown = { .dwPreshutdownTimeout = PRESHUTDOWN_MS };
    wchar_t text[] = L"Runs the operations of a staged rollout on this node";
    SERVICE_DESCRIPTIONW description = { .lpDescription = text };

    (void)ChangeServiceConfig2W(service, SERVICE_CONFIG_DESCRIPTION, &description);
    (void)ChangeServiceConfig2W(service, SERVICE_CONFIG_FAILURE_ACTIONS, &failure);
    (void)ChangeServiceConfig2W(service, SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, &flag);
    (void)ChangeServiceConfig2W(service, SERVICE_CONFIG_PRESHUTDOWN_INFO, &preshutdown);
}

static void register_events(void)
{
    static const wchar_t file[] =
        L"%SystemRoot%\\System32\\EventCreate.exe"; /* its message 1 is the text itself */
    DWORD types = EVENTLOG_ERROR_TYPE | EVENTLOG_WARNING_TYPE | EVENTLOG_INFORMATION_TYPE;
    HKEY key;

    if (RegCreateKeyExW(HKEY_LOCAL_MACHINE, EVENT_KEY, 0, NULL, 0, KEY_WRITE, NULL, &key, NULL) !=
        ERROR_SUCCESS)
        return;
    (void)RegSetValueExW(key, L"EventMessageFile", 0, REG_EXPAND_SZ, (const BYTE *)file, sizeof file);
    (void)RegSetValueExW(key, L"TypesSupported", 0, REG_DWORD, (const BYTE *)&types, sizeof types);
    RegCloseKey(key);
}

int os_service_install(const char *config, struct err *err)
{
    wchar_t command[COMMAND_CHARS];
    SC_HANDLE manager, service = NULL;
    int rc = write_command(config, command, err);

    if (rc != 0)
        return rc;
    manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CREATE_SERVICE);
    if (manager == NULL)
        return fail(err, "service control manager");
    service = CreateServiceW(manager, NAME, L"Patchwave agent", SERVICE_ALL_ACCESS, SERVICE_WIN32_OWN_PROCESS,
                             SERVICE_AUTO_START, SERVICE_ERROR_NORMAL, command, NULL, NULL, NULL, NULL, NULL);
    if (service == NULL && GetLastError() == ERROR_SERVICE_EXISTS) {
        service = OpenServiceW(manager, NAME, SERVICE_ALL_ACCESS);
        if (service != NULL &&
            !ChangeServiceConfigW(service, SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START,
                                  SERVICE_ERROR_NORMAL, command, NULL, NULL, NULL, NULL, NULL, NULL))
            rc = fail(err, "change the service");
    }
    if (service == NULL) {
        rc = fail(err, "make the service");
    } else {
        describe(service);
        register_events();
        CloseServiceHandle(service);
    }
    CloseServiceHandle(manager);
    return rc;
}

/* One of ChangeServiceConfig2W's parts, as it is stored; NULL when the system does not tell. */
static const void *stored(SC_HANDLE service, DWORD part, void *room, DWORD size)
{
    DWORD n = 0;

    return QueryServiceConfig2W(service, part, room, size, &n) ? room : NULL;
}

static void tell_recovery(SC_HANDLE service, struct buf *out)
{
    union {
        SERVICE_FAILURE_ACTIONSW actions;
        SERVICE_FAILURE_ACTIONS_FLAG flag;
        SERVICE_PRESHUTDOWN_INFO preshutdown;
        SERVICE_DELAYED_AUTO_START_INFO delayed;
        char room[1024];
    } u;
    const SERVICE_FAILURE_ACTIONSW *a = stored(service, SERVICE_CONFIG_FAILURE_ACTIONS, &u, sizeof u);

    buf_str(out, a == NULL ? "; recovery not told" : a->cActions == 0 ? "; no recovery" : "; recovery");
    for (DWORD i = 0; a != NULL && i < a->cActions; i++)
        buf_printf(out, " %s after %lu ms,",
                   a->lpsaActions[i].Type == SC_ACTION_RESTART ? "restart" : "something else",
                   a->lpsaActions[i].Delay);
    if (stored(service, SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, &u, sizeof u) != NULL)
        buf_str(out, u.flag.fFailureActionsOnNonCrashFailures ? " for bad exits too" : " for crashes only");
    if (stored(service, SERVICE_CONFIG_PRESHUTDOWN_INFO, &u, sizeof u) != NULL)
        buf_printf(out, "; preshutdown %lu ms", u.preshutdown.dwPreshutdownTimeout);
    if (stored(service, SERVICE_CONFIG_DELAYED_AUTO_START_INFO, &u, sizeof u) != NULL)
        buf_str(out, u.delayed.fDelayedAutostart ? "; delayed" : "; not delayed");
}

void os_service_describe(struct buf *out)
{
    SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT), service = NULL;
    union {
        QUERY_SERVICE_CONFIGW config;
        char room[8192]; /* the most that it may need */
    } u;
    HKEY key = NULL;
    DWORD n = 0;

    if (manager != NULL)
        service = OpenServiceW(manager, NAME, SERVICE_QUERY_CONFIG);
    if (service == NULL || !QueryServiceConfigW(service, &u.config, sizeof u, &n)) {
        buf_printf(out, "no service: error %lu", GetLastError());
    } else {
        buf_printf(out, "start %lu; account %ls; %s", u.config.dwStartType,
                   u.config.lpServiceStartName == NULL ? L"-" : u.config.lpServiceStartName,
                   u.config.lpDependencies == NULL || u.config.lpDependencies[0] == L'\0'
                       ? "depends on nothing"
                       : "HAS DEPENDENCIES");
        tell_recovery(service, out);
        buf_str(out, RegOpenKeyExW(HKEY_LOCAL_MACHINE, EVENT_KEY, 0, KEY_READ, &key) == ERROR_SUCCESS
                         ? "; event source there"
                         : "; NO EVENT SOURCE");
    }
    if (key != NULL)
        RegCloseKey(key);
    if (service != NULL)
        CloseServiceHandle(service);
    if (manager != NULL)
        CloseServiceHandle(manager);
}

int os_service_uninstall(struct err *err)
{
    SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT), service;
    SERVICE_STATUS status;
    int rc = 0;

    if (manager == NULL)
        return fail(err, "service control manager");
    service = OpenServiceW(manager, NAME, SERVICE_STOP | SERVICE_QUERY_STATUS | DELETE);
    if (service == NULL) {
        rc = fail(err, "open the service");
    } else {
        (void)ControlService(service, SERVICE_CONTROL_STOP, &status);
        if (!DeleteService(service))
            rc = fail(err, "delete the service");
        CloseServiceHandle(service);
    }
    CloseServiceHandle(manager);
    (void)RegDeleteKeyW(HKEY_LOCAL_MACHINE, EVENT_KEY);
    return rc;
}

/* A process is at most one service, and the control manager's callbacks take no argument of ours. */
static struct {
    const struct os_service *what;
    SERVICE_STATUS_HANDLE handle;
    int exit_code;
} running;

static void report(DWORD state)
{
    SERVICE_STATUS s = {
        .dwServiceType = SERVICE_WIN32_OWN_PROCESS,
        .dwCurrentState = state,
        .dwControlsAccepted = state == SERVICE_RUNNING ? SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_PRESHUTDOWN : 0,
        .dwWin32ExitCode =
            state == SERVICE_STOPPED && running.exit_code != 0 ? ERROR_SERVICE_SPECIFIC_ERROR : NO_ERROR,
        .dwServiceSpecificExitCode = (DWORD)running.exit_code,
        .dwWaitHint = state == SERVICE_STOP_PENDING ? STOP_HINT_MS : 0,
    };

    (void)SetServiceStatus(running.handle, &s);
}

static DWORD WINAPI on_control(DWORD control, DWORD event, void *data, void *context)
{
    (void)event;
    (void)data;
    (void)context;
    if (control == SERVICE_CONTROL_INTERROGATE)
        return NO_ERROR;
    if (control != SERVICE_CONTROL_STOP && control != SERVICE_CONTROL_PRESHUTDOWN)
        return ERROR_CALL_NOT_IMPLEMENTED;
    report(SERVICE_STOP_PENDING);
    running.what->stop();
    return NO_ERROR;
}

static void WINAPI service_main(DWORD argc, wchar_t **argv)
{
    (void)argc;
    (void)argv;
    running.handle = RegisterServiceCtrlHandlerExW(NAME, on_control, NULL);
    if (running.handle == NULL)
        return;
    report(SERVICE_RUNNING);
    running.exit_code = running.what->run(running.what->arg);
    report(SERVICE_STOPPED);
}

bool os_service_run(const struct os_service *what, int *ret_exit)
{
    wchar_t name[] = NAME;
    SERVICE_TABLE_ENTRYW table[] = { { name, service_main }, { NULL, NULL } };

    running.what = what;
    if (!StartServiceCtrlDispatcherW(table))
        return false; /* started by hand */
    *ret_exit = running.exit_code;
    return true;
}

/* A service has no standard error: the event log hears what people should. */
void os_tell_people(const char *text)
{
    HANDLE log = RegisterEventSourceW(NULL, NAME);
    wchar_t wide[1200];
    const wchar_t *lines[] = { wide };

    if (log == NULL || MultiByteToWideChar(CP_UTF8, 0, text, -1, wide, 1200) == 0)
        return;
    (void)ReportEventW(log, EVENTLOG_ERROR_TYPE, 0, 1, NULL, 1, 0, lines, NULL);
    (void)DeregisterEventSource(log);
}
