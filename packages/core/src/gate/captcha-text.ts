import { randomInt } from 'node:crypto'

/** Capitals and digits that nobody takes for each other, also when they lean: no B8, D0OQ, G6, I1J, S5, UV, Z2, 7. */
export const CAPTCHA_ALPHABET = 'ACEFHKLMNPRTWXY34'
/** 17 ** 6: a blind guess is right once in 24 million. */
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
