import { describe, expect, it } from 'vitest'

import { en } from '../src/messages/en.ts'
import { textOf, useBrowser } from './browse-pages.ts'
import { cookieOf, newPhone, newShopper, useOwnApi } from './own-api.ts'

const api = useOwnApi({ LIMIT_CHALLENGE_USER: '1000/60' })
const { open, post } = useBrowser(api)
describe('a login form', () => {
  it('that failed keeps what was typed, but never the password', async () => {
    const phone = newPhone()
    const page = await post('/login', {
      phone,
      region: 'CN',
      password: 'a secret nobody sees',
      next: '/orders',
    })
    expect(page.statusCode).toBe(401)
    expect(page.body).toContain(`value="${phone}"`)
    expect(page.body).toContain('value="CN" selected')
    expect(page.body).toContain('name="next" value="/orders"')
    expect(page.body).not.toContain('a secret nobody sees')
  })

  it('that failed says so in its title and leads to the field', async () => {
    const page = await post('/login', { phone: '', password: '' })
    expect(page.statusCode).toBe(422)
    expect(page.body).toMatch(/<title>Error: Log in/)
    expect(page.body).toMatch(/role="alert"[\s\S]*href="#phone"[\s\S]*href="#password"/)
    expect(page.body).toMatch(/id="phone"[^>]*aria-invalid="true"/)
    expect(page.body).toMatch(/id="phone"[^>]*aria-describedby="phone-hint phone-error"/)
  })

  it('gives the same answer for an unknown phone as for a wrong password', async () => {
    const { phone } = await newShopper(api)
    const known = await post('/login', { phone, password: 'not this one' })
    const unknown = await post('/login', { phone: newPhone(), password: 'not this one' })
    expect(known.statusCode).toBe(401)
    expect(textOf(known)).toBe(textOf(unknown))
  })

  it('logs in, whatever the spelling of the number', async () => {
    const shopper = await newShopper(api)
    const spelled = `0086 ${shopper.phone.slice(3, 6)}-${shopper.phone.slice(6)}`
    const done = await post('/login', { phone: spelled, password: shopper.password, next: '/orders' })
    expect([done.statusCode, done.headers.location]).toEqual([303, '/orders'])
    expect((await open('/login?next=/orders', { cookie: cookieOf(done) })).headers.location).toBe('/orders')
  })

  it.each([
    'https://evil.example/',
    '//evil.example',
    '/\\evil.example',
    '/\t/evil.example',
    '/orders/../../evil',
    '/sales/1?x=//evil.example',
    'javascript:alert(1)',
    '/sales/1\r\nset-cookie: a=b',
    '/logout',
    '/orders\\@evil.example',
    '/orders@evil.example',
    '/orders//evil.example',
    '/orders#//evil.example',
    '/orders/\n//evil.example',
    '/orders\u0000',
    '/orders\n',
    ' /orders',
    '/%2f%2fevil.example',
    '/%5cevil.example',
    '\\\\evil.example',
    '///evil.example',
    'https:/orders',
    'data:text/html,x',
    '/／evil.example',
    '/sales/1/../../login',
    '/sales/01',
    '/sales/1/confirming',
    `/orders/${'A'.repeat(27)}`,
  ])('never leads to another site or another path: next=%s', async (next) => {
    const shopper = await newShopper(api)
    const page = await open(`/login?next=${encodeURIComponent(next)}`)
    expect(page.body).toContain('name="next" value="/"')
    const done = await post('/login', { phone: shopper.phone, password: shopper.password, next })
    expect([done.statusCode, done.headers.location]).toEqual([303, '/'])
  })
})

describe('a registration form', () => {
  it.each([
    ['the number has an account', 409, {}, 'refusal.phone-taken'],
    ['the number is none', 422, { phone: '12345' }, 'refusal.phone-invalid'],
    ['the password is short', 422, { phone: 'new', password: 'short' }, 'refusal.password-weak'],
    ['the name is long', 422, { nickname: 'n'.repeat(41) }, 'form.nickname-long'],
  ] as const)('is shown again when %s', async (_why, status, changes, key) => {
    const { phone } = await newShopper(api)
    const fields = { phone, password: 'correct horse', nickname: '', ...changes }
    if (fields.phone === 'new') fields.phone = newPhone()
    const page = await post('/register', fields)
    expect(page.statusCode).toBe(status)
    expect(textOf(page)).toContain(en[key])
    expect(page.cookies).toEqual([])
  })

  it('never shows markup that somebody typed as markup', async () => {
    const typed = '"><img src=x onerror=alert(1)>'
    const page = await post('/register', { phone: typed, password: 'x', nickname: typed, next: typed })
    expect(page.body).not.toContain('<img src=x')
  })

  it('that comes from another site is refused with a page', async () => {
    const page = await post(
      '/register',
      { phone: newPhone(), password: 'correct horse' },
      { origin: 'https://evil.example' },
    )
    expect([page.statusCode, page.headers['content-type']]).toEqual([403, 'text/html; charset=utf-8'])
    expect(textOf(page)).toContain(en['refusal.cross-site'])
  })
})
