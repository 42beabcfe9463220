#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# generate.sh   makes what is generated: digests of the service models and the
# wire packages from the botocore wheel of model/botocore.version, the kernels of
# internal/algo/vec, and docs/coverage.md from the running table.
set -eu
cd "$(dirname "$0")/.."

version=$(cat model/botocore.version)
wheel=.cache/botocore-$version-py3-none-any.whl
if [ ! -f "$wheel" ]; then
	test/venv.sh boto3
	echo "generate: fetching botocore $version"
	.venv/boto3/bin/python -m pip download --disable-pip-version-check -q --no-deps --only-binary :all: \
		-d .cache "botocore==$version"
fi
echo "generate: messages and digests"
go run ./tool/wiregen -wheel "$wheel"
echo "generate: assembly of internal/algo/vec"
go generate ./internal/algo/vec
echo "generate: docs/coverage.md and the other printed parts of the documents"
go test ./internal/server -run 'Coverage|Docs' -count 1 -update
