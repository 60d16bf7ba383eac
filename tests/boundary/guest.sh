#!/bin/sh
# The guest runs in anybody's image: it must bring everything and be small.
# usage: guest.sh BUNDLE
set -u
rc=0
bad() { echo "FAIL: $*"; rc=1; }
guest=$1/sallyport-guest

[ -x "$guest" ] || { echo "FAIL: $guest is not there"; exit 1; }
[ "$(ls -A "$1")" = sallyport-guest ] || bad "containers would get more than it: $(ls -A "$1")"
size=$(stat -c %s "$guest")
[ "$size" -lt 1572864 ] || bad "it has $size bytes, more than 1.5 MiB"
readelf -lW "$guest" | grep -q 'INTERP' && bad "it asks for a dynamic loader"
readelf -d "$guest" 2>/dev/null | grep -q 'NEEDED' && bad "it needs shared libraries"
readelf -lW "$guest" | grep GNU_STACK | grep -q 'E ' && bad "its stack is executable"
readelf -lW "$guest" | grep -q 'LOAD.*RWE' && bad "a segment is writable and executable"
# Control: the same questions, asked of a program for which the answers are others.
readelf -lW /bin/sh | grep -q 'INTERP' || bad "the check does not see a loader in /bin/sh"
readelf -d /bin/sh | grep -q 'NEEDED' || bad "the check does not see the libraries of /bin/sh"
echo "$size bytes"
exit $rc
