import { createHmac, randomBytes } from 'node:crypto'

import fc from 'fast-check'
import { expect, it } from 'vitest'

import { createHmacSha256 } from './hmac-sha256.ts'

it('is the HMAC that everybody else computes, for keys and messages of every length', () => {
  const secrets = fc.string({ minLength: 1, maxLength: 200, unit: 'binary' })
  const messages = fc.uint8Array({ maxLength: 64 })

  fc.assert(
    fc.property(secrets, messages, messages, (secret, first, second) => {
      const hmac = createHmacSha256(secret)
      for (const message of [first, second, first]) {
        const expected = createHmac('sha256', secret).update(message).digest()
        expect(Buffer.from(hmac(message), 'latin1')).toEqual(expected)
      }
    }),
  )
})

it('refuses a message that it has no room for', () => {
  expect(() => createHmacSha256('secret')(randomBytes(65))).toThrow(RangeError)
})
