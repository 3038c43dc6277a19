# Shared by setup and run: where a peer lives. Sourced, never executed.

PEERS=(python node java go flask express collector telemetrygen browser kubernetes compose prometheus alertmanager)

peers_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
peers_cache=${ISOTEL_PEER_CACHE:-$HOME/.cache/isotel-peers}

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi
}

# The directory of a built peer. Its name holds a hash of the peer's sources and
# lock files, so that a change of either is a different directory and two
# checkouts can share one cache.
peer_home() {
  local peer=$1 key
  key=$(
    cd "$peers_dir/$peer"
    # An untracked leftover must not change the key: only the kinds of file
    # which a build reads are counted.
    find . -type f \( -name '*.py' -o -name '*.txt' -o -name '*.mjs' -o -name 'package*.json' \
      -o -name '*.java' -o -name 'pom.xml' -o -name '*.go' -o -name 'go.mod' -o -name 'go.sum' \) |
      LC_ALL=C sort | while IFS= read -r file; do
        printf '%s\n' "$file"
        cat "$file"
      done | sha256
  )
  printf '%s/%s-%s\n' "$peers_cache" "$peer" "${key:0:16}"
}

# The browser that there is; nothing and exit 1 when there is none.
find_browser() {
  local name
  for name in ${ISOTEL_BROWSER:-chromium chromium-browser google-chrome}; do
    command -v "$name" && return
  done
  return 1
}

is_peer() {
  local peer
  for peer in "${PEERS[@]}"; do
    [[ $peer == "$1" ]] && return 0
  done
  return 1
}
