/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes that the whole tree uses. Nothing else belongs here. */
#ifndef SP_ATTR_H
#define SP_ATTR_H

/* Run fn(&variable) when the variable goes out of scope: locals that own something carry this. */
#define SP_CLEANUP(fn) __attribute__((__cleanup__(fn)))
/* The result says whether it worked; dropping it is a compile-time warning. */
#define SP_MUST_CHECK __attribute__((__warn_unused_result__))
/* For the libraries that this program loads: they find this function here before any other of its name. */
#define SP_EXPORT __attribute__((__visibility__("default")))
#define SP_PRINTF(format_index, first_arg) \
	__attribute__((__format__(__printf__, format_index, first_arg)))
#define SP_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
