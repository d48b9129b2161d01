#!/bin/bash
# Prints what squeue and sacct of a Debian release's SLURM say of jobs of every kind, in the words in which src/slurm/query.ts
# asks, for test/captured/slurm/. Runs inside a container of that release, as root, with the packages below:
#
#   debootstrap --variant=minbase --include=ca-certificates bookworm DIR && tar -C DIR -c . | docker import - slurm-base
#   docker run --rm --hostname node --cap-add SYS_NICE -i slurm-base bash -s <scripts/capture-slurm.sh >test/captured/slurm/22.05.txt
#
# Suites: bullseye 20.11, bookworm 22.05, trixie 24.11, sid 26.05.
set -u
exec 3>&1 1>&2
export DEBIAN_FRONTEND=noninteractive
if ! command -v slurmctld >/dev/null; then
  apt-get -o Acquire::Check-Valid-Until=false update &&
    apt-get install -y --no-install-recommends slurm-wlm slurmdbd slurm-client munge mariadb-server procps || exit 1
fi
await() { # what is awaited, command
  local left=60
  until "${@:2}" >/dev/null 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || { echo "no $1" >&2; tail -n 20 /var/log/slurm/* >&2; exit 1; }
    sleep 1
  done
}
mkdir -p /etc/slurm /etc/slurm-llnl /var/spool/slurmctld /var/spool/slurmd /var/log/slurm /run/munge /run/mysqld
[ -s /etc/munge/munge.key ] || dd if=/dev/urandom of=/etc/munge/munge.key bs=1024 count=1 status=none
chown munge: /etc/munge/munge.key /run/munge && chmod 400 /etc/munge/munge.key
chown mysql: /run/mysqld
useradd --create-home ada
runuser -u munge -- munged --force
mariadbd --user=mysql >/var/log/slurm/mariadb.log 2>&1 || mysqld --user=mysql >/var/log/slurm/mariadb.log 2>&1 &
await mariadb mysqladmin ping
mysql -e "create database if not exists slurm_acct_db; create or replace user slurm@localhost identified by 'slurm'; grant all on slurm_acct_db.* to slurm@localhost"
rm -f /etc/slurm/*.conf
cat >/etc/slurm/slurmdbd.conf <<'end'
AuthType=auth/munge
DbdHost=localhost
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
PidFile=/run/slurmdbd.pid
LogFile=/var/log/slurm/slurmdbd.log
end
chmod 600 /etc/slurm/slurmdbd.conf
cat >/etc/slurm/slurm.conf <<end
ClusterName=captured
SlurmctldHost=$(hostname)
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
$(case $(slurmctld -V) in *' 20.'*) echo 'AccountingStoreJobComment=YES' ;; *) echo 'AccountingStoreFlags=job_comment' ;; esac)
SchedulerParameters=sched_interval=2,batch_sched_delay=1
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
NodeName=$(hostname) CPUs=4 RealMemory=1000 State=UNKNOWN
PartitionName=batch Nodes=ALL Default=YES MaxTime=60 DefaultTime=10 State=UP
end
cp /etc/slurm/*.conf /etc/slurm-llnl/ && chmod 600 /etc/slurm-llnl/slurmdbd.conf
slurmdbd
await slurmdbd sacctmgr -n list cluster
sacctmgr -i add cluster captured || true
slurmctld
await slurmctld sh -c 'scontrol ping | grep -q UP'
slurmd
await node sh -c 'sinfo -h -o %T | grep -q idle'

as_ada() { runuser -u ada -- "$@"; }
cd /home/ada || exit 1
submit() { # comment, options, shell commands
  local comment=$1 commands=${*: -1}
  as_ada sbatch --parsable -n1 --comment="$comment" --output=/dev/null "${@:2:$#-2}" --wrap="$commands"
}
run() { printf 'hpcrun:20261122-08153%s-k3f9' "$1"; }
submit "$(run 0)" true
submit "$(run 1)" 'exit 7'
submit "$(run 2)" 'kill -9 $$'
submit "$(run 3)" 'sleep 600'
cancelled=$(submit "$(run 4)" 'sleep 600')
submit "$(run 5)" --begin=now+1hour true
submit "$(run 6)" --dependency=afterok:"$cancelled" true
submit "$(run 7) tasks 0-9" --array=0-9%1 'exit $((SLURM_ARRAY_TASK_ID % 2))'
requeued=$(submit "$(run 8)" --requeue 'sleep 600')
await 'running jobs' sh -c "[ \"\$(squeue -h -t R -j $cancelled,$requeued | wc -l)\" = 2 ]"
scontrol requeue "$requeued"
scancel "$cancelled"
await 'four ended tasks' sh -c '[ "$(squeue -h -r -t F,CD -o %k | grep -c tasks)" -ge 4 ]'
sleep 3
{
  slurmctld -V
  export SLURM_TIME_FORMAT=%s SLURM_BITSTR_LEN=0
  # --me is not known to all of them.
  as_ada squeue --me --states=all -h -o 'squeue|%i|%T|%r|%S|%M|%N|%k'
  as_ada sacct -n -P -X -D -S now-1hour -o JobID,State,ExitCode,Submit,Start,ElapsedRaw,NodeList,Reason,Comment | sed 's/^/sacct|/'
} >&3
