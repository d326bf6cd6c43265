import { hash, verify } from '@node-rs/argon2'

/** OWASP's argon2id setting for 19 MiB; about 20 ms a hash. Algorithm 2 is argon2id. */
const ARGON2ID = { algorithm: 2, memoryCost: 19_456, timeCost: 2, parallelism: 1 }

export const PASSWORD_LENGTH_MIN = 8
export const PASSWORD_LENGTH_MAX = 128

/** Hashes a password; the same characters typed on different keyboards (NFC, NFD, full-width) are the same. */
export function hashPassword(password: string): Promise<string> {
  return hash(password.normalize('NFKC'), ARGON2ID)
}

/**
 * Whether the password belongs to the hash.
 *
 * For an account that does not exist (`undefined`) it takes the same time and is always false, so that nobody can
 * find out by the clock which numbers have an account.
 */
export async function verifyPassword(passwordHash: string | undefined, password: string): Promise<boolean> {
  const matches = await verify(passwordHash ?? (await hashOfNobody()), password.normalize('NFKC'))
  return passwordHash !== undefined && matches
}

let nobody: Promise<string> | undefined
function hashOfNobody(): Promise<string> {
  nobody ??= hashPassword('no account has this password')
  return nobody
}
