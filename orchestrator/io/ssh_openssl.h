/* OpenSSL has a type with the name of one of our error codes: its headers
 * come in here, under another name for it. */
#ifndef PATCHWAVE_SSH_OPENSSL_H
#define PATCHWAVE_SSH_OPENSSL_H

#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#undef ERR_STATE

#endif
