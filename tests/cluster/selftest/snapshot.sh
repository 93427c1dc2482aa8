#!/usr/bin/env bash
# What clusters whose name begins with $1 could leave on the machine, and what no cluster may touch. Compare before and after.
set -u
export SNAPSHOT=1      # marks the processes of this script
echo "# links";     ip -o link | awk '{print $2}'
echo "# addresses"; ip -o -4 addr | awk '{print $2, $4}'
echo "# routes";    ip -4 route
echo "# mounts";    awk '{print $5}' /proc/self/mountinfo | sort
echo "# cgroups";   find /sys/fs/cgroup -maxdepth 3 -type d -path "*/trimtab-$1*" | sort
echo "# sysctls";   cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/bridge/bridge-nf-call-iptables /proc/sys/net/netfilter/nf_conntrack_max 2> /dev/null
echo "# processes"
for p in /proc/[0-9]*; do
  environment=$({ tr '\0' '\n' < "$p/environ"; } 2> /dev/null) || continue
  grep -qx "SNAPSHOT=1" <<< "$environment" && continue
  command=$({ tr '\0' ' ' < "$p/cmdline"; } 2> /dev/null) || continue
  case $command in *selftest.sh*) continue ;; esac
  if grep -q "^CLUSTER_NAME=$1" <<< "$environment" || [[ $command == *trimtab-cluster*/$1* ]]; then echo "${command:0:100}"; fi
done | sort
echo "# directories"; ls -d /var/lib/kubelet /var/lib/cni /var/log/containers /var/log/pods /run/containerd /run/netns/* 2> /dev/null
exit 0
