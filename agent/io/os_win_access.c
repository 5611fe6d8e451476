/* os.h on Windows: who may do what. Folders are closed by explicit security
 * descriptors (SYSTEM and Administrators, and the SSH account's SID where it
 * has business: O9, O27). Who owns a file may change its rights, so what was
 * there before must belong to SYSTEM, Administrators or this account. */
#include "agent/io/os_win.h"

#include <windows.h>

#include <aclapi.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>

#define SDDL_CLOSED "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
#define TRUSTED_INSTALLER "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
#define CHANGES                                                                                       \
    (FILE_WRITE_DATA | FILE_APPEND_DATA | FILE_WRITE_EA | FILE_WRITE_ATTRIBUTES | FILE_DELETE_CHILD | \
     DELETE | WRITE_DAC | WRITE_OWNER | GENERIC_WRITE | GENERIC_ALL)

union account {
    TOKEN_USER user;
    char room[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
};

static bool this_account(union account *ret)
{
    DWORD n = 0;
    HANDLE token = NULL;
    bool told = OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token) &&
                GetTokenInformation(token, TokenUser, ret, sizeof *ret, &n);

    if (token != NULL)
        CloseHandle(token);
    return told;
}

static bool is_this_account(PSID sid)
{
    union account found;

    return this_account(&found) && EqualSid(found.user.User.Sid, sid);
}

bool os_account(struct buf *out)
{
    union account found;
    char *sid = NULL;
    bool system = false;

    if (this_account(&found) && ConvertSidToStringSidA(found.user.User.Sid, &sid)) {
        system = IsWellKnownSid(found.user.User.Sid, WinLocalSystemSid);
        buf_str(out, sid);
        LocalFree(sid);
    } else {
        buf_str(out, "an account that cannot be told");
    }
    return system;
}

static bool is_trusted(PSID sid)
{
    PSID installer = NULL;
    bool is = IsWellKnownSid(sid, WinLocalSystemSid) || IsWellKnownSid(sid, WinBuiltinAdministratorsSid) ||
              IsWellKnownSid(sid, WinCreatorOwnerSid) || is_this_account(sid);

    if (!is && ConvertStringSidToSidA(TRUSTED_INSTALLER, &installer)) {
        is = EqualSid(installer, sid);
        LocalFree(installer);
    }
    return is;
}

struct rights {
    PSID owner;
    PACL rules; /* NULL: everybody may do everything */
    PSECURITY_DESCRIPTOR holds;
};

static bool read_rights(const char *path, struct rights *ret)
{
    wchar_t w[OS_WIN_PATH];

    os_win_path(path, w);
    *ret = (struct rights){ 0 };
    return GetNamedSecurityInfoW(w, SE_FILE_OBJECT, OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                                 &ret->owner, NULL, &ret->rules, NULL, &ret->holds) == ERROR_SUCCESS;
}

/* Whether a rule lets somebody who is not trusted do any of `what`. */
static bool others_may(PACL rules, DWORD what)
{
    for (DWORD i = 0; rules != NULL && i < rules->AceCount; i++) {
        ACCESS_ALLOWED_ACE *ace = NULL;

        if (GetAce(rules, i, (void **)&ace) && ace->Header.AceType == ACCESS_ALLOWED_ACE_TYPE &&
            (ace->Header.AceFlags & INHERIT_ONLY_ACE) == 0 && (ace->Mask & what) != 0 &&
            !is_trusted(&ace->SidStart))
            return true;
    }
    return rules == NULL;
}

bool os_others_may_write(const char *path)
{
    struct rights r;
    bool may = !read_rights(path, &r) || !is_trusted(r.owner) || others_may(r.rules, CHANGES);

    LocalFree(r.holds);
    return may;
}

static int check_owner(const char *path, struct err *err)
{
    struct rights r;
    bool known = read_rights(path, &r), ours = known && is_trusted(r.owner);

    LocalFree(r.holds);
    if (!ours)
        return err_set(err, ERR_REFUSED,
                       "folder %s belongs to neither SYSTEM nor the administrators: look what it is", path);
    return 0;
}

static int make_dir(const char *path, const char *sddl, struct err *err)
{
    wchar_t w[OS_WIN_PATH];
    SECURITY_ATTRIBUTES sa = { .nLength = sizeof sa };
    int rc = 0;

    if (!ConvertStringSecurityDescriptorToSecurityDescriptorA(sddl, SDDL_REVISION_1, &sa.lpSecurityDescriptor,
                                                              NULL))
        return os_win_fail(err, "security descriptor for", path);
    if (!CreateDirectoryW(os_win_path(path, w), &sa))
        rc = GetLastError() == ERROR_ALREADY_EXISTS ? check_owner(path, err)
                                                    : os_win_fail(err, "make folder", path);
    if (rc == 0 &&
        !SetFileSecurityW(os_win_path(path, w), DACL_SECURITY_INFORMATION, sa.lpSecurityDescriptor))
        rc = os_win_fail(err, "protect folder", path);
    LocalFree(sa.lpSecurityDescriptor);
    return rc;
}

int os_private_dir(const char *path, struct err *err)
{
    return make_dir(path, SDDL_CLOSED, err);
}

int os_group_dir(const char *path, const char *group, bool write, struct err *err)
{
    char sddl[512];

    if (group == NULL)
        return os_private_dir(path, err);
    /* pass: traverse this folder only; write: create and write files, inherited, no delete of others' */
    snprintf(sddl, sizeof sddl,
             write ? SDDL_CLOSED "(A;OICI;0x1301bf;;;%s)" : SDDL_CLOSED "(A;;0x1200a0;;;%s)", group);
    return make_dir(path, sddl, err);
}

int os_sub_dir(const char *path, struct err *err)
{
    wchar_t w[OS_WIN_PATH];

    return CreateDirectoryW(os_win_path(path, w), NULL) || GetLastError() == ERROR_ALREADY_EXISTS
               ? 0
               : os_win_fail(err, "make folder", path);
}

bool os_is_private(const char *path)
{
    struct rights r;
    wchar_t *sddl = NULL;
    bool closed = false;

    if (read_rights(path, &r) && is_trusted(r.owner) &&
        ConvertSecurityDescriptorToStringSecurityDescriptorW(r.holds, SDDL_REVISION_1,
                                                             DACL_SECURITY_INFORMATION, &sddl, NULL)) {
        closed = wcsstr(sddl, L";;;WD)") == NULL && wcsstr(sddl, L";;;BU)") == NULL &&
                 wcsstr(sddl, L";;;AU)") == NULL;
        LocalFree(sddl);
    }
    LocalFree(r.holds);
    return closed;
}

void os_socket_access(const char *path, struct buf *out)
{
    HANDLE h = os_win_open_pipe(path, GENERIC_READ, 0);
    PSECURITY_DESCRIPTOR sd = NULL;
    char *sddl = NULL;

    if (h != INVALID_HANDLE_VALUE &&
        GetSecurityInfo(h, SE_KERNEL_OBJECT, DACL_SECURITY_INFORMATION, NULL, NULL, NULL, NULL, &sd) ==
            ERROR_SUCCESS &&
        ConvertSecurityDescriptorToStringSecurityDescriptorA(sd, SDDL_REVISION_1, DACL_SECURITY_INFORMATION,
                                                             &sddl, NULL))
        buf_str(out, sddl);
    else
        buf_printf(out, "not told: error %lu", GetLastError());
    LocalFree(sddl);
    LocalFree(sd);
    if (h != INVALID_HANDLE_VALUE)
        CloseHandle(h);
}
