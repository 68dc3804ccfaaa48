#!/usr/bin/env bash
# What a real node needs of the machine, and how the machine is left as it was. Needs root.
#
#   node.sh prepare FOLDER ADDRESS DEBIAN    a veth pair with the node's address: the machine's own interfaces stay as they
#                                            are. DEBIAN is the folder of `fetch.sh node`
#   node.sh stop FOLDER                      kills every container, while containerd still runs and the kubelet does not
#   node.sh clear FOLDER                     undoes the rest, when containerd does not run any more
set -uo pipefail
folder=$2
node=$folder/node

# The kubelet, kube-proxy and the CNI plugin set these and leave them set.
settings=(vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys
    kernel/keys/root_maxbytes net/ipv4/ip_forward)

prepare() {
    set -e
    mkdir "$node"
    ln -s "$2" "$node/debian"
    (cd /proc/sys && grep -sH . "${settings[@]}") >"$node/settings" || true # Not every kernel has all of them.
    ip link delete pinion-node 2>/dev/null || true # What a machine that was cut off has left.
    ip link add pinion-node type veth peer name pinion-node-far
    ip address add "$1/32" dev pinion-node
    ip link set pinion-node-far up
    ip link set pinion-node up
}

stop() {
    local container ctr=(timeout 10 "$node/debian/usr/bin/ctr" -a "$node/containerd.sock" -n k8s.io)
    [ -S "$node/containerd.sock" ] || return 0
    for container in $("${ctr[@]}" containers ls -q); do
        "${ctr[@]}" tasks delete --force "$container"
        "${ctr[@]}" containers delete "$container"
        rm -f /var/lib/cni/results/*-"$container"-*
    done
}

clear() {
    local shim mount cgroup setting value family
    # Shims that outlived their containers: their working folders are here.
    find /proc -maxdepth 2 -name cwd -lname "$node/*" | while read -r shim; do
        shim=${shim#/proc/}
        kill -KILL "${shim%/cwd}"
    done
    for family in ip ip6; do
        LD_LIBRARY_PATH=$node/debian/usr/lib/x86_64-linux-gnu "$node/debian/usr/sbin/nft" delete table "$family" kube-proxy
    done
    ip link delete pinion-node
    awk -v start="$folder/" 'index($2, start) == 1 {print $2}' /proc/mounts | sort -r | while read -r mount; do
        umount --lazy "$mount"
    done
    for cgroup in /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/kubepods; do
        for _ in $(seq 50); do # Until the killed have left it.
            [ -d "$cgroup" ] || break
            find "$cgroup" -depth -type d -exec rmdir {} \; || sleep 0.1
        done
    done
    # Places that no setting moves.
    rm -f /var/lib/kubelet/device-plugins/kubelet.sock
    find /var/log/containers -lname "$folder/*" -delete
    rmdir /var/log/containers /var/lib/kubelet/device-plugins /var/lib/kubelet /var/lib/cni/results /var/lib/cni
    while IFS=: read -r setting value; do
        echo "$value" >"/proc/sys/$setting"
    done <"$node/settings"
}

"$1" "${@:3}"
