/* SPDX-License-Identifier: Apache-2.0 */
/* The same faults for the libraries that the broker uses. */
#include <curl/curl.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "test.h"

static void *
crypto_malloc(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return malloc(n);
}

static void *
crypto_realloc(void *old, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return realloc(old, n);
}

static void
crypto_free(void *old, const char *file, int line)
{
	(void)file;
	(void)line;
	free(old);
}

/* The linker replaces calls and not addresses taken elsewhere: these are called from here. */
static void *
own_malloc(size_t n)
{
	return malloc(n);
}

static void *
own_calloc(size_t n, size_t size)
{
	return calloc(n, size);
}

static void *
own_realloc(void *old, size_t n)
{
	return realloc(old, n);
}

static char *
own_strdup(const char *text)
{
	return strdup(text);
}

static void
own_free(void *old)
{
	free(old);
}

void
fault_install_libraries(void)
{
	assert_int_equal(CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free), 1);
	event_set_mem_functions(own_malloc, own_realloc, own_free);
	assert_int_equal(curl_global_init_mem(CURL_GLOBAL_NOTHING, own_malloc, own_free,
			     own_realloc, own_strdup, own_calloc),
	    CURLE_OK);
}
