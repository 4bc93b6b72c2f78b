# What the scripts that build Go programs share: to be sourced. Finds a Go that is new enough and
# builds one program with it, saying how far it is.

say() { echo "$(basename "$0"): $*" >&2; }

go_is_new_enough() {
    local have
    have=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
    have=${have#go}
    [ "$(printf '%s\n' 1.24 "$have" | sort -V | head -1)" = 1.24 ]
}

find_go() {
    local candidate
    for candidate in go /usr/local/go/bin/go /usr/lib/go-1.2[4-9]/bin/go; do
        if go_is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

# Prints the path of a Go that is new enough, asking apt for one where there is none.
require_go() {
    find_go && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "no Go 1.24 or newer; asking apt"
        { apt-get update -qq && apt-get install -y -qq golang-go; } >&2 || say "apt did not help"
    fi
    find_go && return
    say "Go 1.24 or newer is needed to build the tools of the tests: install it as /usr/local/go (https://go.dev/doc/install) and run this again"
    return 1
}

# go_build GO PACKAGE TARGET LDFLAGS: builds in the current module. The target appears whole or not
# at all, so that a build that was killed is not taken for a finished one.
go_build() {
    local go=$1 package=$2 target=$3 ldflags=$4
    local name began=$SECONDS told=30 build partial
    name=$(basename "$target")
    partial=$(dirname "$target")/.$name.partial
    "$go" build -trimpath -ldflags "-s -w $ldflags" -o "$partial" "$package" &
    build=$!
    # shellcheck disable=SC2064 # the trap must keep these values
    trap "kill $build 2>/dev/null; rm -f '$partial'" EXIT
    while sleep 1 && kill -0 "$build" 2>/dev/null; do
        [ $((SECONDS - began)) -ge "$told" ] || continue
        say "  $name: $((SECONDS - began)) s"
        told=$((told + 30))
    done
    wait "$build"
    trap - EXIT
    mv "$partial" "$target"
    say "$name took $((SECONDS - began)) s"
}
