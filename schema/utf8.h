/* UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef PATCHWAVE_UTF8_H
#define PATCHWAVE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The character at `s`: its length in bytes, and in *ret_char its number; 0
 * when there is no valid one within `len` bytes. */
size_t utf8_read(const char *s, size_t len, uint32_t *ret_char);
/* The longest prefix of at most `max` bytes that cuts no character in two. */
size_t utf8_cut(const char *s, size_t max);

#endif
