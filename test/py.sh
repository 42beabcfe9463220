#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# py.sh [ARG...]   the Python tests of the built binary, with a container engine
# if one can be had. With arguments, which go to pytest, one after the other;
# without, the SDKs' beside boto3's: they do nothing but wait for most of their
# time, as the SDKs look at an endpoint every 30 seconds.
set -eu
cd "$(dirname "$0")/.."

docker=$(test/dockerd.sh start)
if [ -n "$docker" ]; then
	export SAGEBRUSH_TEST_DOCKER="$docker"
fi
pytest=".venv/boto3/bin/python -m pytest"
code=0
if [ $# -gt 0 ]; then
	$pytest test --ignore=test/quality "$@" || code=$?
else
	told=$(mktemp -d)
	trap 'rm -rf "$told"' EXIT
	$pytest test/sdk2 --ignore=test/sdk2/test_hosting.py --ignore=test/sdk2/test_jumpstart.py >"$told/sdk2" 2>&1 &
	sdk2=$!
	$pytest test/sdk2/test_hosting.py test/sdk2/test_jumpstart.py >"$told/hosting" 2>&1 &
	hosting=$!
	$pytest test/sdk3 >"$told/sdk3" 2>&1 &
	sdk3=$!
	.venv/quality/bin/python -m pytest test/quality >"$told/quality" 2>&1 &
	quality=$!
	$pytest test/boto3 || code=$?
	wait $sdk2 || code=$?
	wait $hosting || code=$?
	wait $sdk3 || code=$?
	wait $quality || code=$?
	cat "$told/sdk2" "$told/hosting" "$told/sdk3" "$told/quality"
fi
test/dockerd.sh stop
exit $code
