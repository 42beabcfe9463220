#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# venv.sh NAME...   makes the virtual environments .venv/NAME from
# requirements/NAME.txt, side by side, and keeps those that are up to date.
set -eu
cd "$(dirname "$0")/.."

python=
for p in python3.11 python3.12 python3.13 python3 python; do
	if "$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
		python=$p
		break
	fi
done
if [ -z "$python" ]; then
	echo "venv: the tests need Python 3.11 or newer as python3.11, python3 or python; none was found" >&2
	exit 1
fi

# make_one builds one environment in place. Its stamp is written last, so one
# that was cut off is made again.
make_one() {
	name=$1
	began=$(date +%s)
	rm -rf ".venv/$name"
	"$python" -m venv ".venv/$name"
	# Bytecode is written at the first import, and only for what is imported.
	".venv/$name/bin/python" -m pip install --disable-pip-version-check --no-compile --progress-bar off \
		-r "requirements/$name.txt" >".venv/$name.log" 2>&1 || {
		tail -20 ".venv/$name.log" >&2
		echo "venv: $name could not be installed; the whole log is .venv/$name.log" >&2
		return 1
	}
	echo "$2" >".venv/$name/stamp"
	echo "venv: $name is ready after $(($(date +%s) - began)) s"
}

mkdir -p .venv
jobs=
for name in "$@"; do
	want=$("$python" -c 'import hashlib, sys
print(sys.version.split()[0], hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "requirements/$name.txt")
	if [ "$(cat ".venv/$name/stamp" 2>/dev/null)" = "$want" ]; then
		echo "venv: $name is up to date"
		continue
	fi
	echo "venv: installing $(grep -c '==' "requirements/$name.txt") packages for $name with $python"
	make_one "$name" "$want" &
	jobs="$jobs $!"
done
failed=0
for job in $jobs; do
	wait "$job" || failed=1
done
exit $failed
