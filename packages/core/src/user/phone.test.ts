import { describe, expect, it } from 'vitest'

import { maskPhone, parsePhone } from './phone.ts'

describe('a phone number', () => {
  it.each([
    '13800138000',
    '138 0013 8000',
    '138-0013-8000',
    '+86 138 0013 8000',
    '+8613800138000',
    '0086 138 0013 8000',
    '008613800138000',
    '86 13800138000',
    '８６１３８００１３８０００',
    '＋８６　１３８００１３８０００',
    ' (138) 0013-8000 ',
  ])('written as a Chinese reader would, %s, leads to one key', (spelling) => {
    expect(parsePhone(spelling)).toBe('+8613800138000')
    expect(parsePhone(spelling, 'CN')).toBe('+8613800138000')
  })

  it.each([
    '2133734253',
    '213-373-4253',
    '(213) 373-4253',
    '213.373.4253',
    '1 213 373 4253',
    '+1 213 373 4253',
    '001 213 373 4253',
    '+1 (213) 373-4253',
  ])('written as an American reader would, %s, leads to one key', (spelling) => {
    expect(parsePhone(spelling)).toBe('+12133734253')
    expect(parsePhone(spelling, 'US')).toBe('+12133734253')
  })

  it('that could be of both countries is of the chosen one', () => {
    // 501 is an area code of Arkansas, 150 a prefix of Chinese mobiles.
    expect(parsePhone('15017543010', 'US')).toBe('+15017543010')
    expect(parsePhone('15017543010', 'CN')).toBe('+8615017543010')
    expect(parsePhone('15017543010')).toBe('+8615017543010')
  })

  it.each([
    '',
    '12345',
    'not a number',
    '12800138000',
    '+44 7911 123456',
    '+852 5123 4567',
    '0044 7911 123456',
    '+1 787 555 0123',
    '138001380001380013800013800138000138001380',
    '213-373-4253 ext. 5',
    "2133734253' OR '1'='1",
  ])('of no US or CN subscriber, %s, is refused', (spelling) => {
    expect(parsePhone(spelling)).toBeUndefined()
    expect(parsePhone(spelling, 'US')).toBeUndefined()
    expect(parsePhone(spelling, 'CN')).toBeUndefined()
  })

  it('is shown with its middle hidden', () => {
    expect(maskPhone('+8613800138000')).toBe('+86 138****8000')
    expect(maskPhone('+12133734253')).toBe('+1 (213) ***-4253')
  })
})
