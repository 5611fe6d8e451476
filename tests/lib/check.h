/* What a test file needs: cmocka with the headers it wants in front, and the
 * checks our contracts ask for most often. Every check prints both sides. */
#ifndef PATCHWAVE_TESTS_CHECK_H
#define PATCHWAVE_TESTS_CHECK_H

#include "schema/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TABLE_LEN(t) (sizeof(t) / sizeof(t)[0])

/* `call` succeeds; otherwise the test fails with the error's text. */
#define check_ok(call, err)                                                                \
    do {                                                                                   \
        int check_rc = (call);                                                             \
        if (check_rc != 0)                                                                 \
            fail_msg("%s: %s: %s", #call, err_name((enum err_code)check_rc), (err)->text); \
    } while (0)

/* `call` fails with `want`, says so in `err`, and with exactly that text. */
#define check_err(call, err, want, want_text)                                 \
    do {                                                                      \
        assert_string_equal(err_name((enum err_code)(call)), err_name(want)); \
        assert_string_equal(err_name((err)->code), err_name(want));           \
        assert_string_equal((err)->text, want_text);                          \
    } while (0)

#endif
