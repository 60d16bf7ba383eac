#!/bin/sh
# Which shared libraries the programs ask for, and which symbols.
# usage: libraries.sh SALLYPORTD BROKER TOOL
set -u
worker=$1 broker=$2 tool=$3
rc=0
bad() { echo "FAIL: $*"; rc=1; }

needed() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
undefined() { nm -D --undefined-only "$1" | awk '{ sub(/@.*/, "", $NF); print $NF }'; }

refuse_libraries() {
	for name in $2; do
		needed "$1" | grep -q "^$name\." && bad "${1##*/} is linked to $name"
	done
}

refuse_symbols() {
	found=$(undefined "$1" | grep -E "$2")
	[ -z "$found" ] || bad "${1##*/} uses" $found
}

refuse_libraries "$worker" 'libcurl libcurl-gnutls libjansson libevent libevent_core libcrypt libseccomp'
refuse_libraries "$broker" 'libssh libssh_gcrypt libssh2'
refuse_libraries "$tool" 'libssh libssh_gcrypt libssh2 libcurl libcurl-gnutls libevent libevent_core'
needed "$worker" | grep -q '^libssh\.so' || bad "sallyportd is not linked to the shared libssh"
needed "$broker" | grep -q '^libcurl' || bad "the broker is not linked to libcurl: is this the broker?"

refuse_symbols "$worker" '^(curl_|json_|event_|execv|fork$|vfork$|posix_spawn|system$|popen$|socket$|connect$)'
refuse_symbols "$broker" '^(ssh_|sftp_|system$|popen$)'
# Policy and engine code is not in the worker under any name, nor SSH code in the broker.
for pattern in '^policy_' '^engine_' '^config_' '^container_'; do
	nm "$worker" | awk '{ print $NF }' | grep -qE "$pattern" && bad "sallyportd contains ${pattern#^}*"
done
nm "$broker" | awk '{ print $NF }' | grep -qE '^(hooks_|channel_|dummy_key_)' &&
	bad "the broker contains code of the daemon"

# For people: everything that ends up in each address space. A distribution's libcurl may bring an
# SSH library of its own, which the broker never calls: only the http scheme is allowed.
for program in "$worker" "$broker" "$tool"; do
	echo "${program##*/} needs:" $(needed "$program")
	echo "  with all of theirs:" $(ldd "$program" | awk '{ print $1 }' | sed 's|.*/||' | sort)
done
exit $rc
