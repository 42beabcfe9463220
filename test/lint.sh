#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# lint.sh GOLANGCI   gofmt, go vet, and golangci-lint, the module path of which
# is given with its version.
set -eu
cd "$(dirname "$0")/.."

echo "lint: gofmt"
loose=$(gofmt -l cmd internal model test tool)
if [ -n "$loose" ]; then
	echo "lint: these files are not gofmt'ed:" >&2
	echo "$loose" >&2
	exit 1
fi
echo "lint: go vet"
go vet ./...
echo "lint: golangci-lint (the first run builds it, which takes minutes)"
mkdir -p .cache/bin
if ! GOBIN="$PWD/.cache/bin" go install "$1" 2>.cache/golangci.log; then
	echo "lint: golangci-lint is skipped: $1 could not be had:"
	tail -3 .cache/golangci.log
	exit 0
fi
.cache/bin/golangci-lint run ./...
