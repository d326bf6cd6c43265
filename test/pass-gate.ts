import type { CaptchaRecord } from '@blitzbuy/core/gate/captchas'
import { captchaKey } from '@blitzbuy/core/gate/gate-keys'

import type { OwnStores } from '../packages/core/test/own-stores.ts'

/** What the picture of a challenge shows: in Redis, where only the api and its tests look. */
export async function readCaptcha(stores: Pick<OwnStores, 'redis'>, captchaId: string): Promise<string> {
  const kept = await stores.redis.get(captchaKey(captchaId))
  const record = kept === null ? undefined : (JSON.parse(kept) as CaptchaRecord)
  if (record?.kind !== 'image') throw new Error(`there is no picture ${captchaId}`)
  return record.text
}

/** Solves a picture as a person would, by the api's own calls; the purchase token it buys. */
export async function passGate(
  stores: OwnStores,
  origin: string,
  cookie: string,
  saleId: number,
  address = '10.9.9.9',
): Promise<string> {
  const post = async (path: string, body: object): Promise<Record<string, string>> => {
    const answer = await fetch(`${origin}/api/v1/sales/${saleId}${path}`, {
      method: 'POST',
      headers: { cookie, 'content-type': 'application/json', 'x-forwarded-for': address },
      body: JSON.stringify(body),
    })
    if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
    return (await answer.json()) as Record<string, string>
  }
  const { captchaId = '' } = await post('/captchas', {})
  const answer = await readCaptcha(stores, captchaId)
  const { purchaseToken = '' } = await post('/purchase-tokens', { captchaId, answer })
  return purchaseToken
}
