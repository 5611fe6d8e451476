#include "orchestrator/package_files.h"

#include "orchestrator/io/file_digest.h"

#include <string.h>

static int recorded_anew(const char *kb, struct err *err)
{
    return err_set(err, ERR_INVALID,
                   "%s was recorded anew with another digest after this plan was made: plan again", kb);
}

int package_files_find(struct store *s, const struct plan *p, struct arena *a, struct package_files *ret,
                       struct err *err)
{
    const struct patch *planned = &p->rollout->patch;
    const char **checkpoints = ARENA_ARRAY(a, const char *, planned->n_checkpoints + 1u);
    struct patch known = { 0 };
    int rc;

    if (checkpoints == NULL)
        return err_set(err, ERR_NOMEM, "package");
    rc = store_find_patch(s, planned->kb, a, &known, &ret->target, err);
    if (rc != 0)
        return rc;
    if (strcmp(known.sha256, planned->sha256) != 0 || known.n_checkpoints != planned->n_checkpoints)
        return recorded_anew(planned->kb, err);
    for (uint32_t i = 0; i < known.n_checkpoints; i++) {
        if (strcmp(known.checkpoints[i].sha256, planned->checkpoints[i].sha256) != 0)
            return recorded_anew(planned->kb, err);
        checkpoints[i] = known.checkpoints[i].path;
    }
    ret->checkpoints = checkpoints;
    return 0;
}

static int check_file(const char *kb, const char *path, const char *planned, struct err *err)
{
    char sha256[SHA256_TEXT];
    uint64_t bytes = 0;
    int rc = file_digest(path, sha256, &bytes, err);

    if (rc == ERR_NOT_FOUND)
        (void)err_set(err, ERR_NOT_FOUND,
                      "%s is not there: put it back, or `patchwave patch add FILE` tells where it lies now",
                      path);
    if (rc != 0)
        return err_wrap(err, "package of %s", kb);
    if (strcmp(sha256, planned) != 0)
        return err_set(
            err, ERR_INVALID,
            "package %s was altered: its SHA-256 is %s, approved is %s: put the approved file back, or "
            "add this one (`patchwave patch add`) and plan anew",
            path, sha256, planned);
    return 0;
}

int package_files_check(const struct plan *p, const struct package_files *files, struct err *err)
{
    const struct patch *planned = &p->rollout->patch;
    int rc = check_file(planned->kb, files->target, planned->sha256, err);

    for (uint32_t i = 0; rc == 0 && i < planned->n_checkpoints; i++)
        rc = check_file(planned->kb, files->checkpoints[i], planned->checkpoints[i].sha256, err);
    return rc;
}
