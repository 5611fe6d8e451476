/* The lab's directory: what lies where. Paths are written into a buffer of
 * LAB_PATH bytes; a path that does not fit is cut and will not open. */
#ifndef PATCHWAVE_LAB_DIR_H
#define PATCHWAVE_LAB_DIR_H

#include "schema/err.h"

#include <stddef.h>

#define LAB_PATH 512

/*  DIR/world.db            the world, truth included (0600)
 *  DIR/inventory.json      for `patchwave inventory import`
 *  DIR/consents           "GUID METHOD" per VM that cannot move
 *  DIR/driver.sock         what drivers and stand-ins speak to
 *  DIR/admin.sock, admin.token   truth and faults (0600; no agent is told)
 *  DIR/driver/             driver.json, hvlab-driver, hvlab.conf
 *  DIR/keys/               user key, authorized_keys, known_hosts
 *  DIR/nodes/HV01/         agent.json, sshd_config, host key, state/, logs
 *  DIR/nodes/HV01/agent    a machine of somebody else's: when it is there, this
 *                          program is started in the agent's place, with the
 *                          agent's arguments; all it leaves running ends when
 *                          the node loses its power */
const char *lab_path(const char *dir, const char *name, char out[LAB_PATH]);
const char *lab_node_path(const char *dir, const char *node, const char *name, char out[LAB_PATH]);

/* Whole files. Reading gives NUL-terminated text to free(). ERR_IO. */
int lab_file_write(const char *path, const char *text, size_t len, unsigned mode, struct err *err);
int lab_file_read(const char *path, char **ret_text, size_t *ret_len, struct err *err);
/* With its parents. ERR_IO. */
int lab_mkdir(const char *path, struct err *err);
/* The folder this program lies in. */
int lab_own_folder(char out[LAB_PATH], struct err *err);

#endif
