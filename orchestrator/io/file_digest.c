#include "orchestrator/io/file_digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES (256u << 10)

int file_digest(const char *path, char out[SHA256_TEXT], uint64_t *ret_bytes, struct err *err)
{
    uint8_t *block = malloc(BLOCK_BYTES), digest[SHA256_BYTES];
    struct sha256 h;
    uint64_t bytes = 0;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = 0;

    sha256_init(&h);
    if (fd < 0)
        rc = err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID, "%s: %s", path, strerror(errno));
    else if (block == NULL)
        rc = err_set(err, ERR_NOMEM, "%s", path);
    while (rc == 0 && (n = read(fd, block, BLOCK_BYTES)) > 0) {
        sha256_add(&h, block, (size_t)n);
        bytes += (uint64_t)n;
    }
    if (rc == 0 && n < 0)
        rc = err_set(err, ERR_INVALID, "%s: %s", path, strerror(errno));
    if (rc == 0) {
        sha256_end(&h, digest);
        sha256_hex(digest, out);
        *ret_bytes = bytes;
    }
    if (fd >= 0)
        close(fd);
    free(block);
    return rc;
}
