import { loadConfig } from '@blitzbuy/core/config'
import { captchaCountKey } from '@blitzbuy/core/gate/gate-keys'
import { createLog } from '@blitzbuy/core/log'
import { redisReady } from '@blitzbuy/core/redis/connect-redis'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import { afterAll, beforeAll } from 'vitest'

import { readCaptcha } from '../../../test/pass-gate.ts'
import { NEVER_SHED } from '../../../test/running-blitzbuy.ts'
import { useOwnStores, type OwnStores } from '../../core/test/own-stores.ts'
import { buildApi } from '../src/app.ts'
import { ApiConfig } from '../src/config.ts'
import { wireCore, type Core } from '../src/wire-core.ts'

export const PUBLIC_ORIGIN = 'http://shop.test'

export interface OwnApi {
  app: FastifyInstance
  core: Core
  stores: OwnStores
  config: ApiConfig
}

/** An api on stores of its own, inside the test's process; `changes` are variables of its environment. */
export function useOwnApi(changes: Record<string, string> = {}): OwnApi {
  const stores = useOwnStores()
  return useApiOn(stores, changes)
}

/** One more instance on the same stores. */
export function useApiOn(stores: OwnStores, changes: Record<string, string> = {}): OwnApi {
  const api = { stores } as OwnApi

  beforeAll(async () => {
    api.config = loadConfig(ApiConfig, {
      NODE_ENV: 'test',
      LOG_LEVEL: 'fatal',
      MYSQL_URL: stores.mysqlUrl,
      REDIS_URL: stores.redisUrl,
      AMQP_URL: stores.amqpUrl,
      NAMESPACE: stores.namespace,
      HEALTH_HOST: '127.0.0.1',
      HEALTH_PORT: '0',
      HOST: '127.0.0.1',
      PORT: '0',
      PUBLIC_ORIGIN,
      SESSION_SECRETS: 's'.repeat(32),
      ORDER_ID_SECRETS: 'o'.repeat(32),
      // Limits stay on: each shopper has an address of their own, which this proxy tells.
      TRUSTED_PROXIES: '127.0.0.1',
      PURCHASE_TOKEN_SECRETS: 'p'.repeat(32),
      PAYMENT_CALLBACK_SECRETS: 'c'.repeat(32),
      ...NEVER_SHED,
      SECOND_FACTOR_SECRETS: 'f'.repeat(32),
      ...changes,
    })
    const log = createLog({ name: 'api', level: 'fatal' })
    api.core = wireCore(api.config, log)
    await redisReady(api.core.redis, 5_000)
    api.app = await buildApi({ config: api.config, core: api.core, log })
    await api.app.ready()
  }, 60_000)

  afterAll(async () => {
    await api.app.close()
    await api.core.close()
  }, 30_000)

  return api
}

/** As if a minute had passed for who has asked for as many challenges as one may. */
export async function letMinutePass(stores: OwnStores, { userId }: Pick<Shopper, 'userId'>): Promise<void> {
  await stores.redis.del(captchaCountKey(userId))
}

/** Solves a picture as a person would, by the api's own calls. */
export async function passGate(api: OwnApi, shopper: Shopper, saleId: number): Promise<string> {
  const url = `/api/v1/sales/${saleId}`
  const challenge = await shopper.call({ method: 'POST', url: `${url}/captchas` })
  if (challenge.statusCode !== 201) throw new Error(`no captcha: ${challenge.statusCode} ${challenge.body}`)
  const { captchaId } = challenge.json<{ captchaId: string }>()
  const answer = await readCaptcha(api.stores, captchaId)
  const token = await shopper.call({
    method: 'POST',
    url: `${url}/purchase-tokens`,
    payload: { captchaId, answer },
  })
  if (token.statusCode !== 201) throw new Error(`no token: ${token.statusCode} ${token.body}`)
  return token.json<{ purchaseToken: string }>().purchaseToken
}

export type Call = (options: InjectOptions) => Promise<LightMyRequestResponse>

export interface Shopper {
  userId: number
  cookie: string
  phone: string
  password: string
  /** Where they sit: what the proxy says in X-Forwarded-For. */
  address: string
  /** Sent with every call once it is here: see `passGate`. */
  purchaseToken?: string
  call: Call
}

let lastPhone = Math.floor(Math.random() * 4_000_000)

/** A Chinese mobile number that no other test has. */
export function newPhone(): string {
  lastPhone += 1
  return `+86138${String(lastPhone).padStart(8, '0')}`
}

let lastAddress = 0

/** An IPv4 address that nobody else of this test file has. */
export function newAddress(): string {
  lastAddress += 1
  return `10.${(lastAddress >> 16) & 255}.${(lastAddress >> 8) & 255}.${lastAddress & 255}`
}

/** Registers by the api and keeps the session's cookie. */
export async function newShopper(api: OwnApi, address: string = newAddress()): Promise<Shopper> {
  const phone = newPhone()
  const password = 'correct horse battery'
  const answer = await api.app.inject({
    method: 'POST',
    url: '/api/v1/auth/register',
    headers: { 'x-forwarded-for': address },
    payload: { phone, password },
  })
  const cookie = cookieOf(answer)
  const shopper: Shopper = {
    userId: answer.json<{ userId: number }>().userId,
    cookie,
    phone,
    password,
    address,
    call: (options) => {
      const { purchaseToken } = shopper
      const token = purchaseToken === undefined ? {} : { 'x-purchase-token': purchaseToken }
      const headers = { cookie, 'x-forwarded-for': address, ...token, ...options.headers }
      return api.app.inject({ ...options, headers })
    },
  }
  return shopper
}

/** What a buyer does on the page of the sandbox provider; the shop has been told when this resolves. */
export async function actInSandbox(
  api: OwnApi,
  paymentUrl: string,
  act = 'pay',
): Promise<LightMyRequestResponse> {
  return api.app.inject({
    method: 'POST',
    url: new URL(paymentUrl).pathname,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: `act=${act}`,
  })
}

/** The fields and headers with which a browser posts a form of ours: the page is opened first, for its token. */
export async function openForm(api: OwnApi, cookie = ''): Promise<{ formToken: string; cookie: string }> {
  const page = await api.app.inject({ url: cookie ? '/' : '/login', headers: { cookie } })
  const formToken = /name="formToken" value="([^"]+)"/.exec(page.body)?.[1] ?? ''
  return { formToken, cookie: [cookie, page.cookies.length > 0 && cookieOf(page)].filter(Boolean).join('; ') }
}

export function cookieOf(answer: LightMyRequestResponse): string {
  const [cookie] = answer.cookies
  if (!cookie) throw new Error(`no cookie came with ${answer.statusCode} ${answer.body}`)
  return `${cookie.name}=${encodeURIComponent(cookie.value)}`
}
