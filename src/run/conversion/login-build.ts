import { quote } from '../../ssh/quote.js';
import { scriptPrelude } from '../../ssh/remote-script.js';
import { farStatus, renderBuilder, renderReceive, shownLogLines, type FarBuild } from './build-functions.js';

/**
 * Builds on the login node, from an archive on standard input or from a registry; then standard input holds a user name and a
 * password, a line each, if `hasCredentials`. Prints `at …` every second, which is also how the script learns that nobody
 * listens any more, and at last `stored SHA256 BYTES` or `failed STATUS`.
 */
export function renderLoginBuild(
  build: FarBuild,
  source: { kind: 'archive' } | { kind: 'registry'; reference: string; insecure: boolean; hasCredentials: boolean },
): string {
  const receive =
    source.kind === 'archive'
      ? renderReceive()
      : source.hasCredentials
        ? `IFS= read -r APPTAINER_DOCKER_USERNAME
IFS= read -r APPTAINER_DOCKER_PASSWORD
SINGULARITY_DOCKER_USERNAME=$APPTAINER_DOCKER_USERNAME SINGULARITY_DOCKER_PASSWORD=$APPTAINER_DOCKER_PASSWORD
export APPTAINER_DOCKER_USERNAME APPTAINER_DOCKER_PASSWORD SINGULARITY_DOCKER_USERNAME SINGULARITY_DOCKER_PASSWORD`
        : '';
  const from = source.kind === 'archive' ? '"docker-archive:$work/image.tar"' : quote(`docker://${source.reference}`);
  return `${scriptPrelude}${renderBuilder(build, source)}
find_container || exit ${farStatus.noApptainer}
begin
${receive}
start_build ${from} "$work"
stop() {
  end_build
  exit 1
}
trap stop HUP INT TERM
while kill -0 "$build" 2>/dev/null; do
  printf 'at %s\\n' "$(last_words)" 2>/dev/null || stop
  sleep 1
done
wait "$build"
status=$?
if [ "$status" -ne 0 ]; then
  tail -n ${shownLogLines} "$work/build.log" >&2
  printf 'failed %s\\n' "$status"
  exit ${farStatus.buildFailed}
fi
store || exit 1
printf '%s\\n' "$answer"
`;
}
