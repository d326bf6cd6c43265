import { totpAt } from '@blitzbuy/core/user/totp'
import type { InjectOptions, LightMyRequestResponse } from 'fastify'

import { cookieOf, newShopper, type Call, type OwnApi, type Shopper } from './own-api.ts'

export interface OperatorAtWork extends Shopper {
  /** Of the second factor: an app that shows it could be set up anew. */
  secret: string
  recoveryCodes: string[]
  /** Posts a form of a page, with the page's own token and hidden fields. */
  submit(page: string, action: string, fields?: Record<string, string>): Promise<LightMyRequestResponse>
  page(url: string): Promise<LightMyRequestResponse>
}

const HTML = { accept: 'text/html' }

/** Makes an account an operator's, as `blitz user create --role operator` does. */
export async function promote(api: OwnApi, { userId }: Pick<Shopper, 'userId'>): Promise<void> {
  await api.stores.mysql.use(({ connection }) =>
    connection.query("UPDATE users SET role = 'operator' WHERE id = ?", [userId]),
  )
}

/** Somebody whose account is an operator's and who has just given the password, and no code yet. */
export async function newOperatorLogin(api: OwnApi): Promise<Shopper> {
  const shopper = await newShopper(api)
  await promote(api, shopper)
  const answer = await api.app.inject({
    method: 'POST',
    url: '/api/v1/auth/login',
    headers: { 'x-forwarded-for': shopper.address },
    payload: { phone: shopper.phone, password: shopper.password },
  })
  return withCookie(api, shopper, cookieOf(answer))
}

/** The same with the second factor set up by the page and shown. */
export async function newOperator(api: OwnApi): Promise<OperatorAtWork> {
  const login = await newOperatorLogin(api)
  const page = await login.call({ url: '/admin/second-factor', headers: HTML })
  const secret = secretOf(page.body)
  const answer = await postForm(login, page, '/admin/second-factor', { code: totpAt(secret, Date.now()) })
  const recoveryCodes = [...answer.body.matchAll(/[0-9A-Z]{4}(?:-[0-9A-Z]{4}){3}/g)].map(([code]) => code)
  const cookie = cookieOf(answer)
  const shopper = withCookie(api, login, cookie)
  const read = (url: string) => shopper.call({ url, headers: HTML })
  return {
    ...shopper,
    secret,
    recoveryCodes,
    page: read,
    submit: async (from, action, fields = {}) => postForm(shopper, await read(from), action, fields),
  }
}

/** The key that the page of the enrolment shows for an app that cannot scan. */
export function secretOf(html: string): string {
  const [, key] = /class="code key">([A-Z2-7 ]+)</.exec(html) ?? []
  if (!key) throw new Error('the page shows no key')
  return key.replaceAll(' ', '')
}

/** What the page's form for this action holds already. */
function hiddenFields(html: string, action: string): Record<string, string> {
  const [form = ''] = html.match(new RegExp(`<form[^>]* action="${action}"[\\s\\S]*?</form>`)) ?? []
  return Object.fromEntries(
    [...form.matchAll(/<input type="hidden" name="([\w-]+)" value="([^"]*)">/g)].map(([, name, value]) => [
      name,
      value,
    ]),
  )
}

export async function postForm(
  who: Pick<Shopper, 'call' | 'cookie'>,
  page: LightMyRequestResponse,
  action: string,
  fields: Record<string, string> = {},
): Promise<LightMyRequestResponse> {
  return who.call({
    method: 'POST',
    url: action,
    headers: {
      ...HTML,
      'content-type': 'application/x-www-form-urlencoded',
    },
    payload: new URLSearchParams({ ...hiddenFields(page.body, action), ...fields }).toString(),
  })
}

/** Calls with this session, and with the cookie of the forms once a page has set it, as a browser does. */
export function withCookie(api: OwnApi, shopper: Shopper, cookie: string): Shopper {
  let formCookie = ''
  const call: Call = async (options: InjectOptions) => {
    const cookies = formCookie === '' ? cookie : `${cookie}; ${formCookie}`
    const headers = { cookie: cookies, 'x-forwarded-for': shopper.address, ...options.headers }
    const answer = await api.app.inject({ ...options, headers })
    const set = answer.cookies.find(({ name }) => name.endsWith('-form'))
    if (set) formCookie = `${set.name}=${encodeURIComponent(set.value)}`
    return answer
  }
  return { ...shopper, cookie, call }
}
