/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker: what stands in for the Kerberos library. libssh is linked with it, and an unadvertised "gssapi-with-mic"
 * request would steer a stranger into it before any login: it opens files and asks name servers. So this program
 * carries that library's name (its DT_SONAME, see CMakeLists.txt), and the dynamic linker takes it for the library:
 * neither it nor the six that it needs are ever loaded. What libssh imports of it is here, and has no mechanisms to
 * offer, so that the request fails as any unknown method does.
 *
 * A dynamic linker that does not take the name loads the library after all; these come first even then.
 * Names, types and values are RFC 2744's; libssh's arguments come from the network.
 */
#include "no_kerberos.h"

#define GSS_S_COMPLETE    0u
#define GSS_S_UNAVAILABLE (16u << 16)

/* Given out as every set there is; libssh counts, and gives it back. */
static struct oid_set no_mechanisms;

/* Named in calls that are never made. */
extern SP_EXPORT void *GSS_C_NT_HOSTBASED_SERVICE;
extern SP_EXPORT void *GSS_C_NT_USER_NAME;
void *GSS_C_NT_HOSTBASED_SERVICE;
void *GSS_C_NT_USER_NAME;

static uint32_t
give_none(uint32_t *minor, struct oid_set **set)
{
	*minor = 0;
	*set = &no_mechanisms;
	return GSS_S_COMPLETE;
}

SP_EXPORT uint32_t gss_create_empty_oid_set(uint32_t *minor, struct oid_set **set);
SP_EXPORT uint32_t gss_release_oid_set(uint32_t *minor, struct oid_set **set);
SP_EXPORT uint32_t gss_test_oid_set_member(uint32_t *minor, void *member, struct oid_set *set,
    int *present);

uint32_t
gss_indicate_mechs(uint32_t *minor, struct oid_set **ret_set)
{
	return give_none(minor, ret_set);
}

uint32_t
gss_create_empty_oid_set(uint32_t *minor, struct oid_set **set)
{
	return give_none(minor, set);
}

uint32_t
gss_release_oid_set(uint32_t *minor, struct oid_set **set)
{
	*minor = 0;
	*set = NULL;
	return GSS_S_COMPLETE;
}

uint32_t
gss_test_oid_set_member(uint32_t *minor, void *member, struct oid_set *set, int *present)
{
	(void)member;
	(void)set;
	*minor = 0;
	*present = 0;
	return GSS_S_COMPLETE;
}

/* What is left needs a mechanism, a name or a credential. All of it has the place for the minor status first. */
#define UNAVAILABLE(name)                         \
	SP_EXPORT uint32_t name(uint32_t *minor); \
	uint32_t name(uint32_t *minor)            \
	{                                         \
		*minor = 0;                       \
		return GSS_S_UNAVAILABLE;         \
	}

UNAVAILABLE(gss_accept_sec_context)
UNAVAILABLE(gss_acquire_cred)
UNAVAILABLE(gss_add_oid_set_member)
UNAVAILABLE(gss_delete_sec_context)
UNAVAILABLE(gss_display_name)
UNAVAILABLE(gss_display_status)
UNAVAILABLE(gss_get_mic)
UNAVAILABLE(gss_import_name)
UNAVAILABLE(gss_init_sec_context)
UNAVAILABLE(gss_inquire_cred)
UNAVAILABLE(gss_inquire_cred_by_mech)
UNAVAILABLE(gss_release_buffer)
UNAVAILABLE(gss_release_cred)
UNAVAILABLE(gss_release_name)
UNAVAILABLE(gss_release_oid)
UNAVAILABLE(gss_verify_mic)
