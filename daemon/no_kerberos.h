/* SPDX-License-Identifier: Apache-2.0 */
/* What libssh gets for the Kerberos library: see no_kerberos.c. Types as in RFC 2744 section 3. */
#ifndef SP_NO_KERBEROS_H
#define SP_NO_KERBEROS_H

#include <stddef.h>
#include <stdint.h>

#include "attr.h"

/* gss_OID_set_desc */
struct oid_set {
	size_t count;
	void *elements;
};

/* Which mechanisms there are: none. Gives GSS_S_COMPLETE; the set is nobody's to free. */
SP_EXPORT uint32_t gss_indicate_mechs(uint32_t *minor, struct oid_set **ret_set);

#endif
