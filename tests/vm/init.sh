#!/bin/busybox sh
# First process of the machine: load the disk driver, mount the root image, unpack the project, go there.
bb=/bin/busybox
$bb mount -t devtmpfs dev /dev
$bb mount -t proc proc /proc
for module in /modules/*; do $bb insmod "$module"; done
$bb mount -t ext4 /dev/vda /new || $bb reboot -f
$bb mount -t devtmpfs dev /new/dev
$bb mkdir -p /new/dev/pts /new/dev/shm /new/dev/mqueue
$bb mount -t devpts -o ptmxmode=666 devpts /new/dev/pts
$bb mount -t tmpfs -o mode=1777 tmpfs /new/dev/shm
$bb mount -t proc proc /new/proc
$bb mount -t sysfs sys /new/sys
for directory in tmp run project; do $bb mount -t tmpfs tmpfs /new/$directory; done
$bb mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /new/sys/fs/cgroup
$bb tar -x -f /dev/vdb -C /new/project
case $($bb cat /proc/cmdline) in
*utsuwa.systemd*) first="/lib/systemd/systemd --unit=utsuwa.target" ;;
*) first="/bin/busybox sh /project/.vm/start" ;;
esac
$bb umount /proc
# shellcheck disable=SC2086
exec $bb switch_root /new $first
