/* SPDX-License-Identifier: Apache-2.0 */
/* The grammars of names that a policy may use. Each answers with what is wrong, or NULL. */
#ifndef SP_NAMES_H
#define SP_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#define NAMES_IMAGE_MAX    255
#define NAMES_PATH_MAX     4095
#define NAMES_VARIABLE_MAX 128

/* Login and group names: [a-z_][a-z0-9_.-]{0,63}. */
bool names_login_valid(const char *name, size_t len);
/* Targets of a login: [a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}. */
bool names_target_valid(const char *name, size_t len);
/* Rules, profiles and names of images: [a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}. */
const char *names_label_fault(const char *name);
/* Volumes and networks: the same, of 2 characters at least, which engines ask for. */
const char *names_engine_fault(const char *name);
/* Environment variables: [A-Za-z_][A-Za-z0-9_]{0,127}; pattern: also * and ?. */
const char *names_variable_fault(const char *name, bool pattern);
/* An absolute path without "//", ".", ".." and trailing slash, so that it has one spelling. */
const char *names_path_fault(const char *path);
/* Whether path is directory or lies below it; both in that spelling. */
bool names_path_within(const char *path, const char *directory);
/* A reference to an image as engines take it: [host[:port]/]name[:tag][@sha256:digest]. */
const char *names_image_fault(const char *reference);

#endif
