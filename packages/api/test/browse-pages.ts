import type { LightMyRequestResponse } from 'fastify'

import { readCaptcha } from '../../../test/pass-gate.ts'
import { PUBLIC_ORIGIN, cookieOf, openForm, type OwnApi, type Shopper } from './own-api.ts'

export const HTML = { accept: 'text/html,application/xhtml+xml' }

/** Opens pages and posts forms as a browser without JavaScript does. */
export function useBrowser(api: OwnApi) {
  const open = (url: string, headers: object = {}) =>
    api.app.inject({ url, headers: { ...HTML, ...headers } })
  const post = async (
    url: string,
    fields: Record<string, string> = {},
    headers: { cookie?: string; origin?: string } = {},
  ) => {
    const { formToken, cookie } = await openForm(api, headers.cookie)
    return api.app.inject({
      method: 'POST',
      url,
      payload: new URLSearchParams({ formToken, ...fields }).toString(),
      headers: {
        ...HTML,
        'content-type': 'application/x-www-form-urlencoded',
        origin: PUBLIC_ORIGIN,
        'sec-fetch-site': 'same-origin',
        ...headers,
        cookie,
      },
    })
  }

  /** Passes the human check by its form, as long as there is one, and presses Buy. */
  async function buyByForm(
    shopper: Pick<Shopper, 'cookie'>,
    saleId: number,
    fields: Record<string, string> = {},
  ) {
    const check = await open(`/sales/${saleId}/check`, as(shopper))
    let { cookie } = shopper
    if (check.statusCode === 200) {
      const answered = await post(`/sales/${saleId}/check`, await solvedForm(check), as(shopper))
      cookie += `; ${cookieOf(answered)}`
    }
    return post(`/sales/${saleId}/buy`, fields, { cookie })
  }
  async function solvedForm(check: LightMyRequestResponse): Promise<Record<string, string>> {
    const captchaId = /name="captchaId" value="([^"]+)"/.exec(check.body)?.[1] ?? ''
    return { captchaId, answer: await readCaptcha(api.stores, captchaId) }
  }

  return { open, post, buyByForm, solvedForm }
}

export const as = ({ cookie }: Pick<Shopper, 'cookie'>) => ({ cookie })

export function headingOf({ body }: LightMyRequestResponse): string | undefined {
  return /<h1[^>]*>([^<]*)<\/h1>/.exec(body)?.[1]
}

/** The words of a page, as a person reads them: fields and what is typed in them are no words. */
export function textOf({ body }: LightMyRequestResponse): string {
  return body
    .replaceAll(/<[^>]+>/g, ' ')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&')
    .replaceAll(/\s+/g, ' ')
}
