/* A real sshd for a test: own address on 127/8, own host keys, own config in
 * a folder that goes away with it. The program behind it is a forced command. */
#ifndef PATCHWAVE_TESTS_SSHD_BED_H
#define PATCHWAVE_TESTS_SSHD_BED_H

#include "orchestrator/io/ssh_hostkeys.h"

#include <stdint.h>
#include <sys/types.h>

#define BED_PATH_MAX 256

/* A temporary folder with a user's keys: user_ed25519, user_ecdsa, user_rsa, stranger (not
 * authorized), locked (ed25519, passphrase "open sesame"), each with its .pub, and authorized_keys. */
struct bed {
    char dir[BED_PATH_MAX];
    char user[64];
    unsigned next_host; /* numbers for bed_address() */
};
void bed_open(struct bed *b);
/* Removes the folder. */
void bed_close(struct bed *b);
/* `dir/name`, in a buffer of the bed's caller. */
const char *bed_path(const struct bed *b, const char *name, char out[BED_PATH_MAX]);
/* A loopback address that no other test process uses: 127.x.y.z. */
void bed_address(struct bed *b, char out[32]);
/* Run a program and wait for its good end; fails the test otherwise. */
void bed_run(const char *const *argv);

struct sshd_bed;
struct sshd_setup {
    const char *hostkey_type;          /* "ed25519" (default), "ecdsa", "rsa" */
    const struct sshd_bed *hostkey_of; /* the same key as that one's; may be NULL */
    const char *command;               /* forced; NULL: what the client asks for */
    const char *more;                  /* more lines of sshd_config; may be NULL */
};
struct sshd_bed {
    char name[32];
    char address[32];
    uint16_t port;
    pid_t pid;
    char config[BED_PATH_MAX];
    struct ssh_hostkey hostkey; /* what it will show */
};
/* Start it and wait until it listens. */
void sshd_start(struct bed *b, struct sshd_bed *d, const struct sshd_setup *setup);
/* End it (by pid) with its sessions left alone; start again with sshd_restart(). */
void sshd_stop(struct sshd_bed *d);
void sshd_restart(struct bed *b, struct sshd_bed *d);
/* Another host key from now on, at the next restart; `hostkey` is then the new one. */
void sshd_new_hostkey(struct bed *b, struct sshd_bed *d, const char *type);

#endif
