#!/bin/bash
# Run once while the image is built: makes slurmdbd's database and registers the cluster, an account and the user, so
# that a starting sandbox has nothing left to create.
set -euo pipefail
user=$1

(umask 077 && dd if=/dev/urandom of=/etc/munge/munge.key bs=1024 count=1 status=none)
chown munge: /etc/munge/munge.key
setpriv --reuid=munge --regid=munge --clear-groups /usr/sbin/munged

mariadbd --user=mysql &
for _ in {1..300}; do mariadb-admin ping 2>/dev/null && break; sleep 0.1; done
mariadb <<SQL
CREATE DATABASE slurm_acct_db;
CREATE USER 'slurm'@'localhost';
GRANT ALL ON slurm_acct_db.* TO 'slurm'@'localhost';
SQL

cat >/etc/slurm/slurm.conf <<CONF
ClusterName=sandbox
SlurmctldHost=login
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
CONF
slurmdbd -D &
slurmdbd=$!
for _ in {1..300}; do sacctmgr -n list cluster >/dev/null 2>&1 && break; sleep 0.1; done
sacctmgr -i add cluster sandbox
sacctmgr -i add account research description=research organization=sandbox
sacctmgr -i add user "$user" account=research
kill "$slurmdbd"
wait "$slurmdbd" || true
mariadb-admin shutdown
wait
kill "$(cat /run/munge/munged.pid)"
rm -f /etc/munge/munge.key /etc/slurm/slurm.conf
