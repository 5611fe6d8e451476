#include "orchestrator/io/wire_error.h"

#include <string.h>

enum err_code wire_error_code(const char *name, enum err_code otherwise)
{
    for (int code = ERR_OK + 1; code < ERR_CODES; code++) {
        if (strcmp(err_name((enum err_code)code), name) == 0)
            return (enum err_code)code;
    }
    return otherwise;
}
