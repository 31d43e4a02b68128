#!/usr/bin/env bash
# verify_test.sh BUILD REPOSITORY: scripts/gpu-check verify over what BUILD has. Exit code 77: no root, so no root folder.
set -euo pipefail

build=$1
cd "$2"
if [ "$(id -u)" -ne 0 ] || ! unshare --mount true 2>/dev/null; then
  echo "needs root and mounts of its own"
  exit 77
fi
mkdir -p "$build/gpu-check"
python3 -B tests/gpu/bundle.py make "$build" "$build/gpu-check"
GPU_CHECK_BUILD=$build scripts/gpu-check verify "$build/gpu-check"
