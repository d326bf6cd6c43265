import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'

import { describe, expect, it } from 'vitest'

import { useOwnApi } from '../packages/api/test/own-api.ts'
import { addSale } from '../packages/core/test/own-stores.ts'
import { useProcesses } from './running-blitzbuy.ts'

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
