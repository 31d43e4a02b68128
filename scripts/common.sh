# What the scripts share; sourced, with the repository root as the working folder.

say() { printf '\n== %s\n' "$*"; }

# Builds of C++ with gRPC take up to 2 GiB per job: as many jobs as CPUs, fewer where memory is short.
build_jobs() {
  local cpus available_kib by_memory
  cpus=$(nproc)
  available_kib=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
  by_memory=$((available_kib / (2 * 1024 * 1024)))
  [ "$by_memory" -ge 1 ] || by_memory=1
  echo $((cpus < by_memory ? cpus : by_memory))
}

# configure_and_build PRESET [CMAKE-ARGUMENT...] [-- TARGET...]
configure_and_build() {
  local preset=$1 arguments=() jobs
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do arguments+=("$1"); shift; done
  [ $# -eq 0 ] || shift
  say "configure: preset $preset, in build/$preset"
  cmake --preset "$preset" "${arguments[@]}"
  jobs=$(build_jobs)
  say "build: ${*:-everything}, $jobs jobs"
  cmake --build --preset "$preset" --parallel "$jobs" ${1:+--target "$@"}
}

# as_root COMMAND...: directly, or by sudo.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "$0: needs root for: $*; run as root, or install sudo" >&2
    return 1
  fi
}

# install_packages PACKAGE...: those Debian packages that are missing.
install_packages() {
  local package missing=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    echo "every package is installed"
    return
  fi
  echo "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
