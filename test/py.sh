#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# py.sh [ARG...]   the Python tests of the built binary, with a container engine
# if one can be had; arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."

docker=$(test/dockerd.sh start)
if [ -n "$docker" ]; then
	export SAGEBRUSH_TEST_DOCKER="$docker"
fi
code=0
.venv/boto3/bin/python -m pytest test "$@" || code=$?
test/dockerd.sh stop
exit $code
