import { describe, expect, it } from 'vitest'

import { cookieOf, newPhone, newShopper, openForm, useOwnApi } from './own-api.ts'

const api = useOwnApi()
const HTML = { accept: 'text/html' }
const FORM = { ...HTML, 'content-type': 'application/x-www-form-urlencoded' }
const JSON_BODY = { 'content-type': 'application/json' }
const form = (fields: Record<string, string>) => new URLSearchParams(fields).toString()
const codeOf = (answer: { json(): unknown }) => (answer.json() as { code: string }).code

describe('a body', () => {
  const register = (payload: string) =>
    api.app.inject({ method: 'POST', url: '/api/v1/auth/register', headers: JSON_BODY, payload })

  it.each([
    ['a prototype', `{"phone":"+8613800138000","password":"long enough","__proto__":{"role":"operator"}}`],
    [
      'a constructor',
      `{"phone":"+8613800138000","password":"long enough","constructor":{"prototype":{"role":"operator"}}}`,
    ],
    ['an object for a string', `{"phone":{"toString":1},"password":{"password":1}}`],
    ['an array for a string', `{"phone":["+8613800138000"],"password":"long enough"}`],
    ['nothing but depth', '['.repeat(8_000) + ']'.repeat(8_000)],
    [
      'depth inside a field',
      `{"phone":${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)},"password":"long enough"}`,
    ],
    ['a number beyond numbers', '{"phone":1e999,"password":"long enough"}'],
    ['a byte order mark and junk', '\uFEFF{]'],
    ['single quotes', `{'phone':'1','password':'x'}`],
    ['a comment', '{"phone":"1"/* */,"password":"x"}'],
    [
      'a field that appears twice, wrong at last',
      '{"phone":"+8613800138000","phone":1,"password":"long enough"}',
    ],
  ])('with %s is refused and changes nothing', async (_what, payload) => {
    const answer = await register(payload)
    expect([answer.statusCode, codeOf(answer)]).toEqual([400, 'request-invalid'])
    expect(({} as { role?: string }).role).toBeUndefined()
    expect(answer.cookies).toEqual([])
  })

  it.each(['role', 'isBlacklisted', 'id', 'userId', 'passwordHash', 'createdAt', 'phoneMasked', 'deviceId'])(
    'cannot set what is not for the client to set: %s',
    async (field) => {
      const phone = newPhone()
      const answer = await register(JSON.stringify({ phone, password: 'correct horse', [field]: 'operator' }))
      expect(answer.json()).toMatchObject({
        code: 'request-invalid',
        errors: [{ field, message: 'is not a known field' }],
      })
      const [rows] = await api.stores.mysql.use(({ connection }) =>
        connection.query('SELECT id FROM users WHERE phone = ?', [phone]),
      )
      expect(rows).toEqual([])
    },
  )

  it('of a form cannot set them either', async () => {
    const phone = newPhone()
    const { formToken, cookie } = await openForm(api)
    const done = await api.app.inject({
      method: 'POST',
      url: '/register',
      headers: { ...FORM, cookie },
      payload: form({
        formToken,
        phone,
        password: 'correct horse',
        role: 'operator',
        id: '1',
        '__proto__[role]': 'operator',
      }),
    })
    expect(done.statusCode).toBe(303)
    const me = await api.app.inject({ url: '/api/v1/me', headers: { cookie: cookieOf(done) } })
    expect(me.json()).toMatchObject({ role: 'shopper' })
  })

  it.each([
    ['text/plain', '{"phone":"1","password":"x"}'],
    ['multipart/form-data; boundary=x', '--x--'],
    ['application/x-www-form-urlencoded', 'phone=1&password=x'],
    ['application/xml', '<a/>'],
    ['application/json5', '{}'],
  ])('of a type that a plain form of another site can send is not JSON: %s', async (type, payload) => {
    const answer = await api.app.inject({
      method: 'POST',
      url: '/api/v1/auth/login',
      headers: { 'content-type': type },
      payload,
    })
    expect([answer.statusCode, codeOf(answer)]).toEqual([415, 'media-type-unsupported'])
  })

  it.each([
    ["' OR 1=1 -- ", 'x'],
    ['"; DROP TABLE users; --', "' OR '1'='1"],
    ['+86 138 0013 8000\0', "x' UNION SELECT password_hash FROM users -- "],
  ])('is never a part of a statement: %s', async (phone, password) => {
    const answer = await api.app.inject({
      method: 'POST',
      url: '/api/v1/auth/login',
      payload: { phone, password },
    })
    expect([answer.statusCode, codeOf(answer)]).toEqual([401, 'credentials-invalid'])
    const shopper = await newShopper(api)
    const list = await shopper.call({ url: `/api/v1/orders?cursor=${encodeURIComponent(phone)}` })
    expect([200, 400]).toContain(list.statusCode)
  })
})
