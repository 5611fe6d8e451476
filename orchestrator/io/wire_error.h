/* Errors as they come over the wire, by name. */
#ifndef PATCHWAVE_WIRE_ERROR_H
#define PATCHWAVE_WIRE_ERROR_H

#include "schema/err.h"

/* The code whose err_name() is `name`; `otherwise` when there is none (a newer agent). */
enum err_code wire_error_code(const char *name, enum err_code otherwise);

#endif
