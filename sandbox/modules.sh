#!/bin/bash
# Run once while the image is built: moves SLURM's and Apptainer's commands to places of their own, writes their modules, and
# splits what `quirk` changes off the configuration of sshd.
set -euo pipefail

mkdir -p /opt/slurm/bin /etc/lmod/modules/{slurm,apptainer} /usr/apptainer/bin
for command in $(dpkg -L slurm-client | grep '^/usr/bin/.'); do
  mv "$command" /opt/slurm/bin/
  ln -s "/opt/slurm/bin/${command##*/}" "$command"
done
ln -s /usr/apptainer/apptainer /usr/bin/apptainer
ln -sfn /usr/apptainer/apptainer /usr/bin/singularity
# Login shells know modules only under the quirk of that name.
mv /etc/profile.d/lmod.sh /usr/local/share/sandbox/lmod.sh

echo 'prepend_path("PATH", "/opt/slurm/bin")' >/etc/lmod/modules/slurm/24.11.lua
echo 'prepend_path("PATH", "/usr/apptainer/bin")' >/etc/lmod/modules/apptainer/1.4.lua

# A test that logs in often, or wrongly on purpose, is not to be shut out.
echo 'PerSourcePenalties no' >/etc/ssh/sshd_config.d/sandbox.conf
sed -i '/^Subsystem/d' /etc/ssh/sshd_config
echo 'Subsystem sftp /usr/lib/openssh/sftp-server' >/etc/ssh/sshd_config.d/quirks.conf
sed -i 's/^@include common-auth$/@include sandbox-auth/' /etc/pam.d/sshd
echo '@include common-auth' >/etc/pam.d/sandbox-auth
grep -q sandbox-auth /etc/pam.d/sshd
