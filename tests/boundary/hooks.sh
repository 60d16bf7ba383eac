#!/bin/sh
# Does the libssh that this program will load still sign and verify through the calls that the
# program takes over, and through no other? Run against the real library of this machine.
# usage: hooks.sh SALLYPORTD | --self-test CC
set -u
rc=0
bad() { echo "FAIL: $*"; rc=1; }

# One call site each: a second would be a signature that nobody has looked at.
taken_over='EVP_DigestSign EVP_DigestVerify'
imported='EVP_DigestSign EVP_DigestVerify EVP_DigestUpdate'
exported='EVP_DigestSign EVP_DigestVerify EVP_DigestUpdate EVP_PKEY_new_raw_private_key ssh_buffer_get_data ssh_buffer_add_data'
# How it uses the client's socket. Were they called by other names, a stream would be slower, nothing else.
socket='recv send poll'
# The library's own, which it must call as a program would: through its table of imports.
its_own='ssh_buffer_get_data ssh_buffer_add_data'
# Other ways of OpenSSL to make or check a signature.
forbidden='EVP_PKEY_sign EVP_PKEY_sign_init EVP_PKEY_verify EVP_PKEY_verify_init EVP_PKEY_verify_recover
	EVP_PKEY_sign_message_init EVP_PKEY_verify_message_init EVP_SignFinal EVP_SignFinal_ex
	EVP_VerifyFinal EVP_VerifyFinal_ex EVP_DigestVerifyUpdate EVP_DigestVerifyFinal
	RSA_sign RSA_verify RSA_private_encrypt RSA_public_decrypt ECDSA_sign ECDSA_do_sign
	ECDSA_verify ECDSA_do_verify DSA_sign DSA_do_sign DSA_verify DSA_do_verify ED25519_sign
	ED25519_verify'

imports() { nm -D --undefined-only "$1" | awk '{ sub(/@.*/, "", $NF); print $NF }'; }
exports() { nm -D --defined-only "$1" | awk '{ sub(/@.*/, "", $NF); print $NF }'; }
call_sites() { objdump -d --no-show-raw-insn "$1" | grep -cE "[[:space:]](call|jmp|bl|b)q?[[:space:]].*<$2@plt>"; }

check_library() {
	for f in $imported; do
		imports "$1" | grep -qx "$f" || bad "${1##*/} does not import $f"
	done
	for f in $socket; do
		imports "$1" | grep -qx "$f" || bad "${1##*/} does not import $f: is client_socket.c still needed?"
	done
	for f in $taken_over; do
		n=$(call_sites "$1" "$f")
		[ "$n" = 1 ] || bad "${1##*/} calls $f from $n places instead of 1"
	done
	for f in $forbidden; do
		imports "$1" | grep -qx "$f" && bad "${1##*/} imports $f: a second way to sign or verify"
	done
	for f in $its_own; do
		readelf -rW "$1" | grep -q "_JU*MP_SL.* $f[@ ]" ||
			bad "${1##*/} calls its own $f directly"
	done
	readelf -d "$1" | grep -q SYMBOLIC && bad "${1##*/} is linked with -Bsymbolic: it cannot be hooked"
}

check_program() {
	for f in $exported $socket; do
		exports "$1" | grep -qx "$f" || bad "${1##*/} does not export $f"
	done
}

# All that libssh wants of the Kerberos library comes from the program, in whose place it is not loaded.
check_no_kerberos() {
	library=$(imports "$2" | grep -i '^gss_' | sort)
	[ -n "$library" ] || bad "${2##*/} imports nothing of Kerberos: is no_kerberos.c still needed?"
	for f in $library; do
		exports "$1" | grep -qx "$f" || bad "${1##*/} does not export $f, and cannot be loaded with ${2##*/}"
	done
	loaded=$(ldd "$1" | grep -E 'gssapi|krb5|k5crypto|com_err|keyutils|resolv')
	[ -z "$loaded" ] || bad "${1##*/} loads" $loaded
}

self_test() {
	work=$(mktemp -d) || exit 1
	trap 'rm -rf "$work"' EXIT
	cat >"$work/lib.c" <<-'C'
	int EVP_DigestSign(void), EVP_DigestVerify(void), EVP_DigestUpdate(void);
	int EVP_DigestVerifyFinal(void), ssh_buffer_get_data(void), ssh_buffer_add_data(void);
	int recv(void), send(void), poll(void);
	int sign(void); int sign2(void); int verify(void); int update(void); int more(void);
	int sign(void) { return 1 + EVP_DigestSign(); }
	int verify(void) { return 1 + EVP_DigestVerify(); }
	int update(void) { return 1 + EVP_DigestUpdate() + recv() + send() + poll(); }
	#ifdef DIRECT
	__attribute__((__visibility__("protected")))
	#endif
	int ssh_buffer_get_data(void) { return 4; }
	#ifdef DIRECT_ADD
	__attribute__((__visibility__("protected")))
	#endif
	int ssh_buffer_add_data(void) { return 5; }
	int unpack(void); int unpack(void) { return 1 + ssh_buffer_get_data() + ssh_buffer_add_data(); }
	#ifdef TWICE
	int sign2(void) { return 2 + EVP_DigestSign(); }
	#endif
	#ifdef OTHER
	int more(void) { return 3 + EVP_DigestVerifyFinal(); }
	#endif
	C
	for flag in GOOD TWICE OTHER DIRECT DIRECT_ADD; do
		"$1" -O1 -fno-inline -shared -fPIC -D$flag -o "$work/$flag.so" "$work/lib.c" || exit 1
		rc=0
		check_library "$work/$flag.so" >"$work/out"
		case $flag in
		GOOD) [ $rc = 0 ] || { cat "$work/out"; echo "FAIL: a good library is refused"; exit 1; } ;;
		*) [ $rc = 1 ] || { echo "FAIL: a library with $flag passes"; exit 1; } ;;
		esac
	done
	rc=0
	check_program "$work/GOOD.so" >/dev/null
	[ $rc = 1 ] || { echo "FAIL: a program without the hooks passes"; exit 1; }
	rc=0
	check_no_kerberos "$work/GOOD.so" "$work/GOOD.so" >/dev/null
	[ $rc = 1 ] || { echo "FAIL: a library without Kerberos passes as libssh"; exit 1; }
	exit 0
}

[ "$1" != --self-test ] || self_test "$2"
library=$(ldd "$1" | awk '$1 ~ /^libssh\.so/ { print $3 }')
[ -n "$library" ] || { echo "FAIL: $1 loads no libssh"; exit 1; }
check_library "$(readlink -f "$library")"
check_program "$1"
check_no_kerberos "$1" "$(readlink -f "$library")"
[ $rc = 0 ] && echo "ok: $(readlink -f "$library")"
exit $rc
