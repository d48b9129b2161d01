#!/bin/bash
# Starts one node of the sandbox cluster: `entrypoint.sh login`, `entrypoint.sh compute` or, in front of the cluster,
# `entrypoint.sh gateway`.
# Read by login and compute nodes: /etc/sandbox, a volume shared by all nodes, which the login node fills in. SLURM's own directory links there.
set -euo pipefail

role=$1
ready=/run/sandbox-ready
rm -f "$ready"

say() { printf '%s %s\n' "$(date +%T)" "$*"; }

await() { # seconds, what, command...
  local limit=$1 what=$2
  shift 2
  for ((tenth = 0; tenth < limit * 10; tenth++)); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  say "gave up after $limit s waiting for $what"
  return 1
}

write_slurm_configuration() {
  local accounting=accounting_storage/none
  if [[ $SANDBOX_ACCOUNTING == 1 ]]; then accounting=accounting_storage/slurmdbd; fi
  {
    cat /usr/local/share/sandbox/slurm.conf
    echo "AccountingStorageType=$accounting"
    if [[ $SANDBOX_ACCOUNTING == 1 ]]; then echo "AccountingStorageHost=login"; fi
    echo "NodeName=c[1-$SANDBOX_NODES] CPUs=$SANDBOX_CPUS RealMemory=$SANDBOX_MEMORY_MB Gres=gpu:2 State=UNKNOWN"
    echo "PartitionName=batch Nodes=ALL Default=YES MaxTime=7-00:00:00 DefaultTime=01:00:00 DefMemPerCPU=500 State=UP"
    echo "PartitionName=devel Nodes=c1 MaxTime=00:10:00 DefMemPerCPU=500 State=UP"
  } >/etc/sandbox/slurm.conf.new
  echo 'Name=gpu File=/dev/nvidia[0-1]' >/etc/sandbox/gres.conf
  echo 'CgroupPlugin=disabled' >/etc/sandbox/cgroup.conf
  mv /etc/sandbox/slurm.conf.new /etc/sandbox/slurm.conf
}

start_munge() {
  install -o munge -g munge -m 0400 /etc/sandbox/munge.key /etc/munge/munge.key
  setpriv --reuid=munge --regid=munge --clear-groups /usr/sbin/munged
}

# Host keys, and the user's home directory with the key that lets her in.
prepare_sshd() {
  local home
  home=$(getent passwd "$SANDBOX_USER" | cut -d: -f6)
  if [[ ! -d $home ]]; then cp -r /etc/skel "$home"; fi
  install -d -m 0700 "$home/.ssh"
  printf '%s\n' "$SANDBOX_AUTHORIZED_KEY" >"$home/.ssh/authorized_keys"
  chmod 0600 "$home/.ssh/authorized_keys"
  chown -R "$SANDBOX_USER:" "$home/.ssh"
  chown "$SANDBOX_USER:" "$home" "$home"/.[a-z]*
  chmod 0750 "$home"
  [[ -e /etc/ssh/ssh_host_ed25519_key ]] || ssh-keygen -q -A
}

start_gateway() {
  prepare_sshd
  /usr/sbin/sshd -D -e 2>/var/log/sshd.log &
}

start_login() {
  chmod 0666 /dev/fuse
  if [[ ! -s /etc/sandbox/munge.key ]]; then
    (umask 077 && dd if=/dev/urandom of=/etc/sandbox/munge.key.new bs=1024 count=1 status=none)
    mv /etc/sandbox/munge.key.new /etc/sandbox/munge.key
  fi
  write_slurm_configuration

  quirk apply home
  prepare_sshd
  quirk apply shell sh rc modules containers login

  start_munge
  if [[ $SANDBOX_ACCOUNTING == 1 ]]; then
    say 'starting mariadb and slurmdbd'
    mariadbd --user=mysql >/var/log/slurm/mariadb.log 2>&1 &
    await 30 mariadb mariadb-admin ping
    slurmdbd -D >/var/log/slurm/slurmdbd.out 2>&1 &
    await 30 slurmdbd sacctmgr -n -P list cluster
  fi
  say 'starting slurmctld and sshd'
  slurmctld -D >/var/log/slurm/slurmctld.out 2>&1 &
  await 30 slurmctld scontrol ping
  /usr/sbin/sshd -D -e 2>/var/log/sshd.log &
}

start_compute() {
  chmod 0666 /dev/fuse
  quirk apply home shell sh modules containers
  await 60 "the login node's configuration" test -s /etc/sandbox/slurm.conf
  start_munge
  # Device nodes with the numbers of real ones, and no GPU behind them: enough for SLURM's gres bookkeeping.
  for index in 0 1; do
    [[ -e /dev/nvidia$index ]] || mknod -m 666 "/dev/nvidia$index" c 195 "$index"
  done
  [[ -e /dev/nvidiactl ]] || mknod -m 666 /dev/nvidiactl c 195 255
  say "starting slurmd on $(hostname)"
  slurmd -D >/var/log/slurm/slurmd.out 2>&1 &
}

# What `hpcrun sandbox up --quirk` asked for; once, so that what was switched later stays switched.
if [[ $role != gateway && ! -d /var/lib/sandbox/quirks ]]; then
  mkdir -p /var/lib/sandbox/quirks
  for name in $SANDBOX_QUIRKS; do touch "/var/lib/sandbox/quirks/$name"; done
fi
rm -f /run/munge/munged.pid /run/slurm*.pid /run/sshd.pid
case $role in
  gateway) start_gateway ;;
  login) start_login ;;
  compute) start_compute ;;
  *) say "unknown role: $role" && exit 2 ;;
esac
touch "$ready"
say 'ready'

# The node lives as long as all its daemons do; a daemon that dies takes the node with it, where it is seen.
trap 'kill $(jobs -p) 2>/dev/null; exit 0' TERM INT
wait -n
say 'a daemon ended'
exit 1
