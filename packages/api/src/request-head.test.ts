import { describe, expect, it } from 'vitest'

import { readRequestHead } from './request-head.ts'

const read = (text: string) => readRequestHead(Buffer.from(text, 'latin1'))

describe('the head of a request that no parser has seen', () => {
  it('is read as far as it takes to refuse it, however the names are written', () => {
    expect(
      read(
        'POST /login?next=%2F HTTP/1.1\r\nHost: x\r\nACCEPT:text/html\r\nAccept-Language:  zh\r\nCookie: a=1\r\n\r\nbody',
      ),
    ).toEqual({
      method: 'POST',
      url: '/login?next=%2F',
      headers: { accept: 'text/html', 'accept-language': 'zh', cookie: 'a=1' },
    })
  })

  it('says nothing of what comes behind it', () => {
    expect(read('POST / HTTP/1.1\r\nhost: x\r\n\r\ncookie: of=the body\r\n\r\n')?.headers).toEqual({})
  })

  it.each([
    ['that is not there whole', 'POST /login HTTP/1.1\r\nhost: x\r\n'],
    ['of another version', 'POST /login HTTP/1.0\r\nhost: x\r\n\r\n'],
    ['that is none', '\x16\x03\x01\r\n\r\n'],
    ['with a space too many', 'POST  /login HTTP/1.1\r\n\r\n'],
  ])('is left to the parser: one %s', (_what, text) => {
    expect(read(text)).toBeUndefined()
  })
})
