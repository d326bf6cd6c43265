import { randomInt } from 'node:crypto'

/**
 * Capitals and a digit that people do not take for each other when they lean and lines run through them: of A4, B8,
 * D0OQ, FY, G6, I1, KXY, MNW, S5, UV and Z27 one at most.
 */
export const CAPTCHA_ALPHABET = 'ACEFHJLPRTUWXZ3'
/** 15 ** 6: a blind guess is right once in 11 million, and an account has ten a minute. */
export const CAPTCHA_LENGTH = 6

/** From a CSPRNG: whoever has seen any number of texts knows nothing of the next. */
export function newCaptchaText(): string {
  let text = ''
  while (text.length < CAPTCHA_LENGTH) text += CAPTCHA_ALPHABET[randomInt(CAPTCHA_ALPHABET.length)]
  return text
}

/** What a person may type for the same picture: small letters, full-width ones, spaces between or around. */
export function normaliseAnswer(answer: string): string {
  return answer.normalize('NFKC').replaceAll(/\s/g, '').toUpperCase()
}
