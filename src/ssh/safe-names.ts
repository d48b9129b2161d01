// What OpenSSH refuses on its command line since 9.6 (ssh.c, valid_hostname and valid_ruser).
const unsafeInHost = /^-|[\s'"`$\\;&<>|(){}\p{Cc}]/u;
const unsafeInUser = /^-|['"`;&<>|(){}\p{Cc}]|\s-|\\$/u;

/** Whether a host's name can be handed to a shell by a ProxyCommand, and to ssh as an argument, and stay what it is. */
export function isSafeHost(name: string): boolean {
  return name !== '' && !unsafeInHost.test(name);
}

/** The same for the name of a user; domains (`DOMAIN\\ada`) are allowed. */
export function isSafeUser(name: string): boolean {
  return name !== '' && !unsafeInUser.test(name);
}
