#!/bin/sh
# The flags of the build, read back from what it made.
# usage: hardening.sh BINARY... | --self-test CC
set -u
rc=0
bad() { echo "FAIL: $*"; rc=1; }

check() {
	name=${1##*/}
	readelf -h "$1" | grep -q 'Type:.*DYN' || bad "$name is not position independent"
	readelf -d "$1" | grep -q 'FLAGS_1.*PIE' || bad "$name is not marked as an executable at any address"
	readelf -d "$1" | grep -q 'BIND_NOW\|FLAGS_1.*NOW' || bad "$name binds lazily"
	readelf -lW "$1" | grep -q GNU_RELRO || bad "$name has no read-only relocations"
	readelf -lW "$1" | grep GNU_STACK | grep -q 'RW ' || bad "$name has no stack mark"
	readelf -lW "$1" | grep GNU_STACK | grep -q 'E ' && bad "$name has an executable stack"
	readelf -lW "$1" | grep -q 'LOAD.*RWE' && bad "$name has a segment that is writable and executable"
	readelf -d "$1" | grep -q 'TEXTREL' && bad "$name has text relocations"
	readelf -d "$1" | grep -q 'RPATH\|RUNPATH' && bad "$name looks for libraries in a path of its own"
	nm -D "$1" | grep -q '__stack_chk_fail' || bad "$name is built without stack protector"
	nm -D "$1" | grep -q '_chk@' || bad "$name is built without fortified functions"
	nm -D "$1" | grep -q '__asan_\|__ubsan_' && bad "$name contains a sanitizer"
}

# expect OUTCOME FLAGS...: build one with these flags and check it
expect() {
	want=$1
	shift
	"$cc" "$@" -o "$work/prog" "$work/prog.c" 2>/dev/null || exit 1
	rc=0
	check "$work/prog" >"$work/out"
	[ $rc = "$want" ] || { cat "$work/out"; echo "FAIL: outcome $rc for $*"; exit 1; }
}

self_test() {
	cc=$1
	work=$(mktemp -d) || exit 1
	trap 'rm -rf "$work"' EXIT
	cat >"$work/prog.c" <<-'C'
	#include <string.h>
	#include <stdio.h>
	int main(int argc, char **argv) { char b[16]; strcpy(b, argv[argc - 1]); return puts(b); }
	C
	good='-O2 -fPIE -pie -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
		-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack'
	expect 0 $good
	expect 1 $good -no-pie -fno-pie
	expect 1 $good -fno-stack-protector
	expect 1 $good -U_FORTIFY_SOURCE
	expect 1 $good -Wl,-z,lazy
	expect 1 $good -Wl,-z,norelro
	expect 1 $good -Wl,-z,execstack
	expect 1 $good -Wl,-rpath,/tmp
	exit 0
}

[ "$1" != --self-test ] || self_test "$2"
for binary in "$@"; do check "$binary"; done
exit $rc
