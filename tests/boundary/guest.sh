#!/bin/sh
# What runs in anybody's image must bring everything and be small.
# usage: guest.sh BUNDLE
set -u
rc=0
bad() { echo "FAIL: $*"; rc=1; }
programs="sallyport-guest sallyport-sftp"

[ "$(ls -A "$1" | tr '\n' ' ')" = "$programs " ] || bad "not just what containers get: $(ls -A "$1")"
for program in $programs; do
	file=$1/$program
	[ -x "$file" ] || { echo "FAIL: $file is not there"; exit 1; }
	size=$(stat -c %s "$file")
	echo "$program: $size bytes"
	[ "$size" -lt 1572864 ] || bad "$program has more than 1.5 MiB"
	readelf -lW "$file" | grep -q 'INTERP' && bad "$program asks for a dynamic loader"
	readelf -d "$file" 2>/dev/null | grep -q 'NEEDED' && bad "$program needs shared libraries"
	readelf -lW "$file" | grep GNU_STACK | grep -q 'E ' && bad "the stack of $program is executable"
	readelf -lW "$file" | grep -q 'LOAD.*RWE' && bad "a segment of $program is writable and executable"
done
# Control: the same questions, asked of a program for which the answers are others.
readelf -lW /bin/sh | grep -q 'INTERP' || bad "the check does not see a loader in /bin/sh"
readelf -d /bin/sh | grep -q 'NEEDED' || bad "the check does not see the libraries of /bin/sh"
exit $rc
