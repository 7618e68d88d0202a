# Runs the command (.vm/command, written by tests/vm/run); tells on the third disk that it does, and how it ended.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb
ifconfig lo 127.0.0.1 up
hostname vm
printf 'running\n' >/dev/vdc
cd /project || reboot -f
sh .vm/command </dev/null
printf 'status %d\n' $? >/dev/vdc
sync
dmesg -n 1
reboot -f
