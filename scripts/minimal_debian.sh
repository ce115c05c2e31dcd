# Read by the scripts that try something where nothing is installed: makes a minimal Debian in a temporary folder, which is
# gone when the script ends. The network is reached from there as this machine reaches it: proxies, certificates, and
# settings of apt and pip are taken over. MIRROR chooses the Debian mirror (else this machine's own, else debootstrap's).
#
# Afterwards: $root is the folder of that Debian, $work the one around it with `variables`, what programs in there need to
# reach the network, a NAME=VALUE a line.

fail() {
    echo "$*" >&2
    exit 1
}

# Nothing where this machine is no Debian: debootstrap then takes its own default.
mirror_of_this_machine() {
    apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Label: Debian' 'Component: main' 2>/dev/null |
        head -n 1
}

# Copies paths of this machine to the same places in there, those that exist.
take_over() {
    for path in "$@"; do
        [ -e "$path" ] || continue
        mkdir -p "$root$(dirname "$path")"
        cp -RL "$path" "$root$(dirname "$path")"
    done
}

network_variables() { env | grep -iE '^(pip_[a-z_]+|(https?|all|no)_proxy|ssl_cert_file|requests_ca_bundle)='; }

take_over_the_network() {
    take_over /etc/hosts /etc/resolv.conf /etc/pip.conf /etc/xdg/pip /root/.config/pip /usr/local/share/ca-certificates
    chroot "$root" update-ca-certificates >/dev/null 2>&1
    network_variables >"$work/variables" || true
    # A certificate may be a file that only a variable names.
    cut -d = -f 2- "$work/variables" | while read -r value; do
        case $value in /*) [ ! -f "$value" ] || take_over "$value" ;; esac
    done
    apt-config dump 2>/dev/null | grep -E '^Acquire::(https?::|Check-)' >"$root/etc/apt/apt.conf.d/90network" || true
}

# make_minimal_debian SUITE PACKAGES [TOOL ...]: the packages are separated by commas, the tools must be on this machine.
make_minimal_debian() {
    suite=$1 packages=$2
    shift 2
    [ "$(id -u)" -eq 0 ] || fail "Only root can make a Debian to change into: sudo $0"
    for tool in debootstrap git "$@"; do
        command -v "$tool" >/dev/null 2>&1 ||
            fail "$tool is needed (Debian, Ubuntu: apt-get install debootstrap git util-linux systemd-container buildah)."
    done
    work=$(mktemp -d "${TMPDIR:-/tmp}/minimal_debian.XXXXXX")
    trap 'rm -rf --one-file-system "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    root=$work/root
    echo "Making a minimal Debian ($suite) in $root ..."
    if ! debootstrap --variant=minbase --include="$packages" "$suite" "$root" ${MIRROR:-$(mirror_of_this_machine)} \
        >"$work/log" 2>&1; then
        tail -n 15 "$work/log" >&2
        fail "debootstrap failed (its own words are above)."
    fi
    take_over_the_network
}
