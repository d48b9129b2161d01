/**
 * Exit status by error code: 2 usage or configuration, 3 Docker or build, 4 conversion, 5 connection, login or host
 * key, 6 transfer, quota or disk, 7 SLURM refused, 8 not found, 130 interrupted. 1 is left for bugs.
 */
const exitStatusByCode = {
  USAGE: 2,
  CONFIG_INVALID: 2,
  PROJECT_NOT_FOUND: 2,
  DOCKERFILE_NOT_FOUND: 2,
  SCRIPT_NOT_FOUND: 2,
  SCRIPT_OUTSIDE_PROJECT: 2,
  COMMAND_MISSING: 2,
  OUTPUT_EXISTS: 2,
  TEMPLATE_NOT_FOUND: 2,
  TEMPLATE_INVALID: 2,
  CLUSTER_UNKNOWN: 2,
  VARIABLE_MISSING: 2,
  BIND_SOURCE_MISSING: 2,
  CODE_UNSENDABLE: 2,
  INPUT_NEEDED: 2,
  ENGINE_MISSING: 3,
  ENGINE_FAILED: 3,
  BUILD_FAILED: 3,
  IMAGE_NOT_FOUND: 3,
  PLATFORM_MISMATCH: 3,
  IMAGE_UNSUITABLE: 3,
  SANDBOX_FAILED: 3,
  MKSQUASHFS_MISSING: 4,
  CONVERSION_FAILED: 4,
  CONNECTION_FAILED: 5,
  CONNECTION_LOST: 5,
  LOGIN_FAILED: 5,
  HOST_KEY_UNKNOWN: 5,
  HOST_KEY_CHANGED: 5,
  HOST_KEY_REVOKED: 5,
  FORWARD_REFUSED: 5,
  SHARED_CONNECTION_UNSAFE: 5,
  SHARED_CONNECTION_OUTDATED: 5,
  SHARED_CONNECTION_FAILED: 5,
  REMOTE_SHELL_UNUSABLE: 5,
  REMOTE_TIMEOUT: 5,
  REMOTE_COMMAND_FAILED: 6,
  TRANSFER_FAILED: 6,
  REMOTE_DISK_FULL: 6,
  IMAGE_DAMAGED: 6,
  IMAGE_IN_USE: 2,
  IMAGE_AMBIGUOUS: 2,
  IMAGE_NOT_STORED: 8,
  SLURM_REFUSED: 7,
  SLURM_MISSING: 7,
  SUBMISSION_UNCERTAIN: 7,
  CONTAINER_UNUSABLE: 7,
  RUN_NOT_FOUND: 8,
  RUN_AMBIGUOUS: 2,
  RUN_NOT_RUNNING: 8,
  PORT_IN_USE: 2,
  INTERRUPTED: 130,
} as const;

export type ErrorCode = keyof typeof exitStatusByCode;

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(exitStatusByCode, text);
}

/** Something a user can meet and mend. Every other error is a bug in hpcrun and is shown with its stack. */
export class HpcrunError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  /**
   * @param message what failed, on what, with what was expected and what was found
   * @param options.hint the next thing to try, as a sentence or a command
   */
  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'HpcrunError';
    this.code = code;
    this.hint = options.hint;
  }

  get exitStatus(): number {
    return exitStatusByCode[this.code];
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether the error is a system error of this code, such as `ENOENT`. */
export function isSystemError(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** Whether a path could not be found: nothing is there, or a directory on its way is a file. */
export function isMissing(error: unknown): boolean {
  return isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR');
}

/** Throws INTERRUPTED if the user has asked to stop. */
export function throwIfInterrupted(signal: AbortSignal): void {
  if (signal.aborted) throw interrupted();
}

export function interrupted(): HpcrunError {
  return new HpcrunError('INTERRUPTED', 'interrupted');
}
