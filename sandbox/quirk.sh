#!/bin/bash
# quirk on NAME… | off NAME… | apply [PART…] | list
# Makes this node of the sandbox like clusters people have met. What is on is a file in $flags; each part of the node is then set up
# from those files, so that everything can be done twice, undone and combined. The entry point calls it for `hpcrun sandbox up
# --quirk`, the tests call it on every node of a sandbox that runs. src/sandbox/quirks.ts says what each quirk is.
set -euo pipefail

flags=/var/lib/sandbox/quirks
share=/usr/local/share/sandbox
user=$SANDBOX_USER
# The part of the node that a quirk changes; `rules` is read by SLURM's job_submit.lua at each submission.
declare -A parts=(
  [tcsh]=shell [fish]=shell [zsh]=shell [bash-sh]=sh
  [noisy-rc]=rc [slow-rc]=rc [exec-rc]=rc
  [modules]='modules containers' [compute-only-apptainer]=containers [singularity]=containers
  [key-totp]=login [password-totp]=login [no-sftp]=login [max-sessions-1]=login [max-startups-1]=login
  [reject-mem]=rules [require-account]=rules
  [other-home]='home rc'
  # These shape the whole sandbox, and are here to be listed only.
  [gateway]='' [no-accounting]=''
)

has() { [[ -e $flags/$1 ]]; }
is_login() { [[ $(hostname) == login ]]; }
home_of() { getent passwd "$user" | cut -d: -f6; }

apply_home() {
  local plain=/home/$user other=/data/home/$user
  if has other-home; then
    mkdir -p /home/.elsewhere /data/home
    mountpoint -q /data/home || mount --bind /home/.elsewhere /data/home
    if is_login && [[ -d $plain ]]; then mv "$plain" "$other"; fi
    usermod --home "$other" "$user"
  elif [[ $(home_of) == "$other" ]]; then
    if is_login && [[ -d $other ]]; then mv "$other" "$plain"; fi
    if mountpoint -q /data/home; then umount --lazy /data/home; fi
    usermod --home "$plain" "$user"
  fi
}

apply_shell() {
  local shell=/bin/bash name
  for name in tcsh fish zsh; do
    if has "$name"; then shell=/usr/bin/$name; fi
  done
  if [[ $(getent passwd "$user" | cut -d: -f7) != "$shell" ]]; then usermod --shell "$shell" "$user"; fi
}

apply_sh() {
  if has bash-sh; then ln -sfn bash /bin/sh; else ln -sfn dash /bin/sh; fi
}

# What each shell reads at its start, also for `ssh HOST COMMAND`. Lines of ours go first: Debian's .bashrc returns early.
apply_rc() {
  local home file lines=''
  home=$(home_of)
  if ! is_login || [[ ! -d $home ]]; then return; fi
  if has noisy-rc; then lines+="sh -c 'cat $share/noise.txt; cat $share/noise.txt >&2' # quirk"$'\n'; fi
  if has slow-rc; then lines+='sleep 5 # quirk'$'\n'; fi
  for file in .bashrc .zshenv .tcshrc .config/fish/config.fish; do
    local own=$lines old=''
    # It takes the place of a shell that cannot be changed with chsh, and forgets what that was to do.
    if has exec-rc && [[ $file == .bashrc ]]; then own+='exec zsh # quirk'$'\n'; fi
    if [[ -f $home/$file ]]; then old=$(grep -v '# quirk$' "$home/$file" || true); fi
    if [[ -z $own && ! -f $home/$file ]]; then continue; fi
    setpriv --reuid="$user" --regid="$user" --clear-groups mkdir -p "$(dirname "$home/$file")"
    printf '%s%s\n' "$own" "$old" >"$home/$file.new"
    chown "$user:" "$home/$file.new"
    mv "$home/$file.new" "$home/$file"
  done
}

apply_modules() {
  local command
  for command in /opt/slurm/bin/*; do
    if has modules; then rm -f "/usr/bin/${command##*/}"; else ln -sfn "$command" "/usr/bin/${command##*/}"; fi
  done
  if has modules; then ln -sfn "$share/lmod.sh" /etc/profile.d/lmod.sh; else rm -f /etc/profile.d/lmod.sh; fi
}

# Apptainer itself lies in /usr/apptainer; these are the names under which it is found.
apply_containers() {
  local names=(apptainer singularity)
  if has singularity; then names=(singularity); fi
  if has modules || { has compute-only-apptainer && is_login; }; then names=(); fi
  rm -f /usr/bin/apptainer /usr/bin/singularity /usr/apptainer/bin/*
  for name in "${names[@]}"; do ln -s /usr/apptainer/apptainer "/usr/bin/$name"; done
  # What the module puts into the PATH.
  mkdir -p /usr/apptainer/bin
  if has modules && ! { has compute-only-apptainer && is_login; }; then
    if has singularity; then name=singularity; else name=apptainer; fi
    ln -s ../apptainer "/usr/apptainer/bin/$name"
  fi
}

apply_login() {
  if ! is_login; then return; fi
  local auth=/etc/pam.d/sandbox-auth code
  code="auth required pam_google_authenticator.so user=root secret=/var/lib/sandbox/totp"
  {
    if has key-totp; then
      printf '%s\n' 'KbdInteractiveAuthentication yes' 'PasswordAuthentication no' \
        'AuthenticationMethods publickey,keyboard-interactive'
    elif has password-totp; then
      printf '%s\n' 'KbdInteractiveAuthentication yes' 'PasswordAuthentication no' 'PubkeyAuthentication no' \
        'AuthenticationMethods keyboard-interactive'
    fi
    if ! has no-sftp; then echo 'Subsystem sftp /usr/lib/openssh/sftp-server'; fi
    if has max-sessions-1; then echo 'MaxSessions 1'; fi
    if has max-startups-1; then echo 'MaxStartups 1'; fi
  } >/etc/ssh/sshd_config.d/quirks.conf
  if has key-totp; then
    printf '%s\n' "$code" >$auth
  elif has password-totp; then
    printf '%s\n' 'auth requisite pam_unix.so' "$code" >$auth
  else
    echo '@include common-auth' >$auth
  fi
  if has password-totp; then chpasswd <<<"$user:$SANDBOX_PASSWORD"; else usermod --password '*' "$user"; fi
  # The options are the authenticator's own: six digits of 30 s, a code may be used twice, clocks may differ by a minute.
  (umask 077 && printf '%s\n' "$SANDBOX_TOTP_SECRET" '" WINDOW_SIZE 5' '" TOTP_AUTH' >/var/lib/sandbox/totp)
  reload_sshd
}

# Returns when sshd listens again.
reload_sshd() {
  local log=/var/log/sshd.log before
  if [[ ! -s /run/sshd.pid ]] || ! kill -0 "$(</run/sshd.pid)" 2>/dev/null; then return 0; fi
  before=$(grep -c 'Server listening' $log)
  /usr/sbin/sshd -t
  kill -HUP "$(</run/sshd.pid)"
  for ((tenth = 0; tenth < 300; tenth++)); do
    if (($(grep -c 'Server listening' $log) > before)); then return 0; fi
    sleep 0.1
  done
  echo 'sshd has not read its configuration within 30 s' >&2
  exit 1
}

apply() {
  local part
  for part; do
    case $part in
      rules) ;;
      home | shell | sh | rc | modules | containers | login) "apply_$part" ;;
      *) echo "there is no part $part" >&2 && exit 2 ;;
    esac
  done
}

command=$1
shift
mkdir -p $flags
case $command in
  on | off)
    changed=()
    for name; do
      if [[ ! -v parts[$name] ]]; then echo "there is no quirk $name" >&2 && exit 2; fi
      if [[ $command == on ]]; then touch "$flags/$name"; else rm -f "$flags/$name"; fi
      read -ra touched <<<"${parts[$name]}"
      changed+=("${touched[@]}")
    done
    # In this order, each once: rc files are in the home directory, and sshd is told last.
    for part in home shell sh rc modules containers login; do
      if [[ " ${changed[*]-} " == *" $part "* ]]; then apply "$part"; fi
    done
    ;;
  apply) apply "$@" ;;
  list) ls $flags ;;
  *) echo "quirk on|off NAME…, quirk apply PART…, quirk list" >&2 && exit 2 ;;
esac
