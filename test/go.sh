#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# go.sh   go vet and the Go tests, under the race detector where there is a C
# compiler, which it needs on Linux.
set -eu
cd "$(dirname "$0")/.."

cc=$(go env CC)
race=-race
if ! command -v "$cc" >/dev/null 2>&1; then
	echo "go: no race detector: it needs a C compiler, and there is no $cc"
	race=
fi
# Some Go tests drive Python clients; `make test` has made the environment.
python=$PWD/.venv/boto3/bin/python
if [ -x "$python" ]; then
	export SAGEBRUSH_TEST_PYTHON="$python" SAGEBRUSH_XGBOOST_PYTHON="$python"
else
	echo "go: the tests that drive boto3 and xgboost are skipped: there is no $python, which 'make venv' makes"
fi
# The Docker runtime is tested with an engine, if one can be had.
docker=$(test/dockerd.sh start)
if [ -n "$docker" ]; then
	export SAGEBRUSH_TEST_DOCKER="$docker"
fi
echo "go: vet"
go vet ./...
echo "go: test $race"
if [ -n "$race" ]; then
	# Else each process that has the detector sleeps for a second before it ends.
	export GORACE="${GORACE:-atexit_sleep_ms=50}"
	CGO_ENABLED=1 exec go test -race ./...
fi
exec go test ./...
