/** What the images of the differential tests are made of: one static program, and scripts for it. */

export const busyboxImage = 'hpcrun-test/busybox';
export const debianImage = 'hpcrun-test/python';

const applets =
  'awk base64 basename cat chmod cp cut dd df echo env false find grep head id kill ln ls mkdir mkfifo mv printf ps pwd ' +
  'readlink rm rmdir sed seq sh sha256sum sleep sort stat tail test touch tr true truncate umask wc';

/** Kept under a name of its own, so that the next run of the tests finds its layers. */
export const busyboxDockerfile = `FROM debian:trixie-slim AS builder
RUN apt-get update && apt-get install -y --no-install-recommends busybox-static
RUN mkdir -p /root-of-image/bin && cd /root-of-image && cp /bin/busybox bin/busybox \\
  && for name in ${applets}; do ln -s busybox "bin/$name"; done \\
  && mkdir -p dev etc home proc root sys tmp var/tmp && chmod 1777 tmp var/tmp
COPY show probe probe-files /root-of-image/bin/
RUN chmod 755 /root-of-image/bin/*
FROM scratch
COPY --from=builder /root-of-image /
`;

// Kept out: what both sides make anew for each container, and the directories that are the job's own.
const unlisted = ['/proc', '/sys', '/dev', '/tmp/*', '/var/tmp/*', '/home/researcher', '/.singularity.d'].concat(
  ['hosts', 'hostname', 'resolv.conf', 'mtab', 'passwd', 'group'].map((name) => `/etc/${name}`),
  ['/.dockerenv'],
);

export const busyboxFiles: Record<string, string> = {
  Dockerfile: busyboxDockerfile,
  show: `#!/bin/sh
# Prints its arguments, and where it runs.
for word do printf '[%s]' "$word"; done
printf ' in %s\\n' "$(pwd)"
`,
  probe: `#!/bin/sh
# Prints what a program sees: the environment and every file. Everything that may hold any byte is base64.
printf 'environment %s\\n' "$(env -0 | base64 -w 0)"
find / \\( ${unlisted.map((path) => `-path '${path}'`).join(' -o ')} \\) -prune -o -exec sh /bin/probe-files {} + 2>/dev/null
# What cannot be read shows in the list.
true
`,
  'probe-files': `#!/bin/sh
for path do
  link= content=
  if [ -L "$path" ]; then
    link=$(readlink -n "$path" | base64 -w 0)
  elif [ -f "$path" ]; then
    if [ ! -r "$path" ]; then content=unreadable
    elif [ "$(stat -c %s "$path")" -lt 100000000 ]; then content=$(sha256sum <"$path")
    else content=$({ head -c 1000000 "$path"; tail -c 1000000 "$path"; } | sha256sum)
    fi
  elif [ -d "$path" ]; then
    if [ ! -r "$path" ] || [ ! -x "$path" ]; then content=unreadable; fi
  fi
  printf 'file %s|%s|%s|%s\\n' "$(stat -c '%f|%s|%h|%Y' "$path")" "$(printf %s "$path" | base64 -w 0)" "$link" "\${content%% *}"
done
`,
};
