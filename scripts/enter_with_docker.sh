# Runs in namespaces of its own (mounts, network, processes): makes a folder the root, with what Docker Engine needs, and
# runs a command there.
#
#   unshare --mount --net --pid --fork --kill-child sh enter_with_docker.sh ROOT COMMAND ...
set -eu
root=$1
shift
ip link set lo up
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    # Those that this machine has in a hierarchy of the first version.
    for controller in $(awk '!/^#/ && $2 != 0 { print $1 }' /proc/cgroups); do
        mkdir "$root/sys/fs/cgroup/$controller"
        mount -t cgroup -o "$controller" "$controller" "$root/sys/fs/cgroup/$controller"
    done
fi
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
# The root of the namespace itself, since containers are entered by it.
mkdir "$root/outside"
cd "$root"
pivot_root . outside
umount -l outside
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"
