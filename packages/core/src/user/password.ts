import { hash, verify, type Options } from '@node-rs/argon2'
import { dictionary } from '@zxcvbn-ts/language-common'

/** OWASP's argon2id setting for 19 MiB; about 20 ms a hash. Algorithm 2 is argon2id. */
const ARGON2ID = { algorithm: 2, memoryCost: 19_456, timeCost: 2, parallelism: 1 }

/** What computes the hashes: the library itself, or threads of a low priority (hash-workers.ts). */
export interface Argon2 {
  hash(password: string, options: Options): Promise<string>
  verify(passwordHash: string, password: string): Promise<boolean>
}

const ON_THREAD_POOL: Argon2 = { hash, verify }

/** Characters are code points after NFKC: what a person counts, whatever the keyboard sent. */
export const PASSWORD_LENGTH_MIN = 8
export const PASSWORD_LENGTH_MAX = 128

/**
 * The most common passwords of the leaks, from the dictionary of zxcvbn-ts (MIT). Those that are too short anyhow
 * are left out.
 */
const COMMON = new Set(
  dictionary['passwords-common'].filter((password) => password.length >= PASSWORD_LENGTH_MIN),
)

/** What somebody tries here who would try something else elsewhere. */
const WORDS_OF_THIS_SITE = /blitz[-_ ]?buy|blitz|flash[-_ ]?sale/g
/** So few letters beside such words, as in `blitzbuy-2026` or `my BlitzBuy`, make no password of them. */
const LETTERS_BESIDE_MIN = 4
/** So many digits in a row of one's own phone number are what the neighbour tries. */
const PHONE_DIGITS_MAX = 7

/**
 * Whether a password may be chosen: long enough, not too long, typed by a person, and not one that everybody tries, or
 * whoever knows which site or whose account it is for.
 */
export function isAcceptablePassword(password: string, phone?: string): boolean {
  const chosen = password.normalize('NFKC')
  const lower = chosen.toLowerCase()
  return (
    isPossible(chosen) && !COMMON.has(lower) && !isOfThisSite(lower) && !(phone && isOfPhone(lower, phone))
  )
}

function isOfThisSite(lower: string): boolean {
  const beside = lower.replaceAll(WORDS_OF_THIS_SITE, '')
  return beside !== lower && lettersOf(beside) < LETTERS_BESIDE_MIN
}

function isOfPhone(lower: string, phone: string): boolean {
  if (lettersOf(lower) > 0) return false
  const digits = lower.replaceAll(/\D/g, '')
  return digits.length > PHONE_DIGITS_MAX && (phone.includes(digits) || digits.includes(phone.slice(-8)))
}

function lettersOf(text: string): number {
  return text.match(/\p{L}/gu)?.length ?? 0
}

/** Hashes a password; the same characters typed on different keyboards (NFC, NFD, full-width) are the same. */
export function hashPassword(password: string, argon2: Argon2 = ON_THREAD_POOL): Promise<string> {
  return argon2.hash(password.normalize('NFKC'), ARGON2ID)
}

/**
 * Whether the password belongs to the hash.
 *
 * For an account that does not exist (`undefined`), and for what cannot be a password, it takes the same time and is
 * always false, so that nobody can find out by the clock which numbers have an account.
 */
export async function verifyPassword(
  passwordHash: string | undefined,
  password: string,
  argon2: Argon2 = ON_THREAD_POOL,
): Promise<boolean> {
  const typed = password.normalize('NFKC')
  const couldBe = isPossible(typed)
  const matches = await argon2.verify(
    passwordHash ?? (await hashOfNobody()),
    couldBe ? typed : 'not a password',
  )
  return passwordHash !== undefined && couldBe && matches
}

/** NUL ends a string for some libraries: a password that holds one would be shorter than it looks. Nobody types it. */
function isPossible(normalised: string): boolean {
  const length = Array.from(normalised).length
  return length >= PASSWORD_LENGTH_MIN && length <= PASSWORD_LENGTH_MAX && !normalised.includes('\0')
}

let nobody: Promise<string> | undefined
function hashOfNobody(): Promise<string> {
  nobody ??= hashPassword('no account has this password')
  return nobody
}
