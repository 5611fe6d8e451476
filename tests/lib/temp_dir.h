/* A folder of a test's own, removed with all that is in it. */
#ifndef PATCHWAVE_TESTS_TEMP_DIR_H
#define PATCHWAVE_TESTS_TEMP_DIR_H

struct temp_dir {
    char path[128];
    char text[512];
};
void temp_dir_make(struct temp_dir *d);
void temp_dir_remove(struct temp_dir *d);
/* "PATH/name"; valid until the next call. */
const char *temp_dir_file(struct temp_dir *d, const char *name);

#endif
