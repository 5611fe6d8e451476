/* What a driver writes: evidence of exactly one kind, or none with a reason. */
#include "tests/fuzz/fuzz.h"

#include "agent/core/driver_proto.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct driver_answer a;
    struct driver_manifest m;
    struct err e = { ERR_OK, "" };

    for (int mode = 0; mode < 2; mode++) {
        driver_answer_read(mode == 0 ? DRIVER_RUN : DRIVER_WITNESS, (const char *)data, size, &a);
        assert((a.kind == DRIVER_NO_EVIDENCE) == (a.doc == NULL));
        assert((a.kind == DRIVER_NO_EVIDENCE) == (a.why[0] != '\0'));
        assert((a.kind == DRIVER_RESULT) == (a.result != NULL));
        assert((a.kind == DRIVER_ERROR) == (a.error != NULL));
        assert(a.kind != DRIVER_WITNESSED || a.witness < DRIVER_WITNESSES);
        assert(mode == 1 || a.kind != DRIVER_WITNESSED);
        driver_answer_clear(&a);
    }
    if (driver_manifest_read("driver.json", (const char *)data, size, &m, &e) == 0) {
        assert(driver_manifest_find(&m, "facts") != NULL);
        driver_manifest_clear(&m);
    }
    return 0;
}
