#!/bin/busybox sh
# Everything that runs in the sandbox's VM: the network by DHCP as any cloud image has it, a shell on the second
# serial port for the tests, and a web server that says hello.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </modules/order

cat >/dhcp <<'D'
#!/bin/sh
case $1 in
  deconfig) ip link set "$interface" up ;;
  bound | renew)
    ip link set "$interface" mtu "${mtu:-1500}"
    ip address replace "$ip/$mask" dev "$interface"
    for gateway in $router; do ip route replace default via "$gateway"; done
    echo "address $ip mtu ${mtu:-1500} after $(cut -d' ' -f1 /proc/uptime) s" >/dev/console
    ;;
esac
D
chmod +x /dhcp
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -s /dhcp -t 1000 -T 1 -A 1 -O mtu -b >/dev/console 2>&1 &

mkdir /www
echo "hello from the VM" >/www/index.html
httpd -p 80 -h /www

stty -F /dev/ttyS1 raw -echo
while :; do
  setsid sh </dev/ttyS1 >/dev/ttyS1 2>&1
done
