import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'

import { describe, expect, it } from 'vitest'

import { REFUSALS } from '../packages/api/src/refusals.ts'
import { useOwnApi } from '../packages/api/test/own-api.ts'
import { addSale, addWarmSale } from '../packages/core/test/own-stores.ts'
import { useProcesses } from './running-blitzbuy.ts'

interface OpenApi {
  openapi: string
  paths: Record<string, Record<string, OpenApiCall>>
}
interface OpenApiCall {
  requestBody?: { content: Record<string, { schema: { properties: object } }> }
  responses: object
}

const text = readFileSync(new URL('../API.md', import.meta.url), 'utf8')
const inProcess = useOwnApi()
const processes = useProcesses(inProcess.stores)

describe('API.md', () => {
  it('describes every call that the api has under /api/v1, and no other', () => {
    const described = [...text.matchAll(/^### `([A-Z]+) (\/\S+)`$/gm)].map(
      (match) => `${match[1]} ${match[2]}`,
    )
    const routes = [...inProcess.app.methodsByUrl]
      .filter(([url]) => url.startsWith('/api/'))
      .flatMap(([url, methods]) =>
        [...methods].filter((method) => method !== 'HEAD').map((method) => `${method} ${url}`),
      )
    expect(described.toSorted()).toEqual(routes.toSorted())
  })

  it('is what the OpenAPI document says: the same calls, made of the schemas that check them', () => {
    const document = inProcess.app.swagger() as unknown as OpenApi
    const calls = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
    )
    const described = [...text.matchAll(/^### `([A-Z]+) (\/\S+)`$/gm)].map(
      (match) => `${match[1]} ${match[2]}`,
    )
    expect(document.openapi).toBe('3.1.0')
    expect(calls.toSorted()).toEqual(described.toSorted())
    const order = document.paths['/api/v1/sales/{saleId}/orders']?.['post']
    expect(order?.requestBody?.content['application/json']?.schema.properties).toHaveProperty('quantity')
    expect(Object.keys(order?.responses ?? {})).toEqual(['200', '202', 'default'])
  })

  it('names every code that the api can answer, and none that it cannot', () => {
    const named = new Set(
      [...text.matchAll(/`([a-z]+(?:-[a-z]+)+|internal|blocked|overloaded|draining)`/g)].map(
        ([, code]) => code,
      ),
    )
    expect(Object.keys(REFUSALS).filter((code) => !named.has(code))).toEqual([])
  })

  it('is not on the port of the shoppers', async () => {
    const answer = await inProcess.app.inject({ url: '/openapi.json' })
    expect(answer.statusCode).toBe(404)
  })

  it('has a quick start for curl that works as it stands', async () => {
    const saleId = await addWarmSale(inProcess.stores)
    const [api] = await Promise.all([processes.startReady('api'), processes.startReady('order-worker')])
    const script = /```sh\n([\s\S]+?)```/.exec(text)?.[1] ?? ''
    const { stdout } = await promisify(execFile)('bash', ['-euc', script], {
      env: {
        PATH: process.env.PATH,
        ORIGIN: api.origin,
        SALE_ID: String(saleId),
        PHONE: '+86 138 0013 8001',
      },
      timeout: 60_000,
    })
    expect(stdout).toMatch(/"state":"(queued|awaiting_payment)"/)
    expect((await fetch(`${api.healthUrl}/openapi.json`)).status).toBe(200)
  })

  it('has a walk-through that works as it stands', async () => {
    const saleId = await addSale(inProcess.stores)
    const [api] = await Promise.all([
      processes.startReady('api'),
      processes.startReady('order-worker'),
      processes.startReady('stock-warmer'),
    ])
    const state = () => inProcess.stores.redis.hget(`{sale:${saleId}}:stock`, 'state')
    await expect.poll(state, { timeout: 10_000 }).toBe('open')

    const script = /```js\n([\s\S]+?)```/.exec(text)?.[1] ?? ''
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '--eval', script],
      {
        env: { ORIGIN: api.origin, SALE_ID: String(saleId), PHONE: '+86 138 0013 8000' },
        timeout: 30_000,
      },
    )
    const [bought, placed, paid] = stdout.trim().split('\n')
    expect(bought).toMatch(/^202 queued \/api\/v1\/orders\/\w{26}$/)
    expect(placed).toBe('awaiting_payment 4900 USD')
    expect(paid).toBe('201 paid')
  })
})
