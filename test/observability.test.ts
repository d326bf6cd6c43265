import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'

import { addSale, useOwnStores } from '../packages/core/test/own-stores.ts'
import { findFreePort } from '../scripts/stores/ports.ts'
import { makeTemporaryFolder, type TemporaryFolder } from '../scripts/stores/temporary-folder.ts'
import { PROMETHEUS, findOrInstall } from '../scripts/stores/test-programs.ts'
import { answers, useProcesses, type PackageName, type RunningProcess } from './running-blitzbuy.ts'
import { buy, makeShoppers, passGates, readOrder, type Shopper } from './shoppers.ts'

const docker = fileURLToPath(new URL('../docker/', import.meta.url))
const alertsFile = join(docker, 'prometheus', 'alerts.yml')

const stores = useOwnStores()
const processes = useProcesses(stores, { LOG_LEVEL: 'debug' })
const running = {} as Record<PackageName, RunningProcess>
let shoppers: Shopper[]
let saleId: number
let promtool: string

beforeAll(async () => {
  const prometheus = await findOrInstall(PROMETHEUS, () => undefined)
  promtool = join(dirname(prometheus), 'promtool')
  for (const name of ['api', 'order-worker', 'stock-warmer'] as const)
    running[name] = await processes.startReady(name)
  saleId = await addSale(stores, { quota: 2 })
  await vi.waitFor(
    async () => expect(await stores.redis.hget(`{sale:${saleId}}:stock`, 'state')).toBe('open'),
    { timeout: 30_000 },
  )
  shoppers = await makeShoppers(stores, 3, () => running.api.origin)
  await passGates(stores, shoppers, saleId, () => running.api.origin)
}, 120_000)

async function scrape(name: PackageName): Promise<string> {
  const answer = await fetch(`${running[name].healthUrl}/metrics`)
  expect(answer.status).toBe(200)
  return answer.text()
}

/** The value of one series, or undefined. Labels in any order. */
function valueOf(text: string, name: string, labels: Record<string, string> = {}): number | undefined {
  const line = text.split('\n').find((one) => {
    if (!one.startsWith(`${name}{`) && !one.startsWith(`${name} `)) return false
    return Object.entries(labels).every(([label, value]) => one.includes(`${label}="${value}"`))
  })
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ') + 1))
}

describe('one purchase', () => {
  it('is found by one request id in the answer, the log of the api, the message and the log of the worker', async () => {
    const [buyer] = shoppers as [Shopper]
    const answer = await fetch(`${running.api.origin}/api/v1/sales/${saleId}/orders`, {
      method: 'POST',
      headers: { cookie: buyer.cookie, 'x-purchase-token': buyer.tokens.get(saleId) ?? '' },
    })
    expect(answer.status).toBe(202)
    const { orderId } = (await answer.json()) as { orderId: string }
    const requestId = answer.headers.get('x-request-id') ?? 'none'

    const linesWith = (name: PackageName) =>
      running[name]
        .output()
        .split('\n')
        .filter((line) => line.includes(requestId))
        .map((line) => JSON.parse(line) as { msg: string; orders: Record<string, string> })
    await expect.poll(() => linesWith('order-worker').length, { timeout: 10_000 }).toBe(1)
    expect(linesWith('api')).toMatchObject([{ msg: 'handed off', orders: { [orderId]: requestId } }])
    expect(linesWith('order-worker')).toMatchObject([
      { msg: 'placed and settled', orders: { [orderId]: requestId } },
    ])
    expect((await readOrder(buyer, running.api.origin, orderId)).state).toBe('awaiting_payment')
  })

  it('that is refused leads from the answer to the counters, and names nobody there', async () => {
    const [, second, third] = shoppers as [Shopper, Shopper, Shopper]
    expect((await buy(second, running.api.origin, saleId)).status).toBe(202)
    expect((await buy(second, running.api.origin, saleId)).status).toBe(200)
    expect((await buy(third, running.api.origin, saleId)).code).toBe('sold-out')
    // A sale that nobody has heard of makes no label.
    expect((await buy(third, running.api.origin, 987_654)).status).not.toBe(202)

    const api = await scrape('api')
    const sale = String(saleId)
    const attempts = 'blitzbuy_purchase_attempts_total'
    expect(valueOf(api, attempts, { sale, outcome: 'reserved' })).toBe(2)
    expect(valueOf(api, attempts, { sale, outcome: 'already_reserved' })).toBe(1)
    expect(valueOf(api, attempts, { sale, outcome: 'sold_out' })).toBe(1)
    expect(api).not.toContain('987654')
    const route = '/api/v1/sales/:saleId/orders'
    expect(
      valueOf(api, 'http_request_duration_seconds_count', { route, method: 'POST', status: '202' }),
    ).toBe(2)
    expect(valueOf(api, 'blitzbuy_login_total', { result: 'logged_in' })).toBe(3)
    expect(valueOf(api, 'blitzbuy_captcha_total', { result: 'solved' })).toBe(3)
    expect(valueOf(api, 'http_requests_in_flight')).toBe(0)

    const results = { sale, result: 'awaiting_payment' }
    await expect
      .poll(async () => valueOf(await scrape('order-worker'), 'blitzbuy_order_results_total', results))
      .toBe(2)
    const all = [api, await scrape('order-worker'), await scrape('stock-warmer')].join('\n')
    for (const { cookie, address, userId } of shoppers) {
      expect(all).not.toContain(cookie)
      expect(all).not.toContain(address)
      expect(all).not.toMatch(new RegExp(`user[^\n]*"${userId}"`))
    }
  })

  it('shows in the figures of its sale within a look of the stock-warmer', async () => {
    const sale = String(saleId)
    const units = async () => {
      const text = await scrape('stock-warmer')
      return ['units_left', 'unsettled', 'awaiting_payment', 'paid'].map((state) =>
        valueOf(text, 'blitzbuy_stock_units', { sale, state }),
      )
    }
    await expect.poll(units, { timeout: 30_000, interval: 200 }).toEqual([0, 0, 2, 0])
    const text = await scrape('stock-warmer')
    expect(valueOf(text, 'blitzbuy_stock_drift_units', { sale })).toBe(0)
    expect(valueOf(text, 'blitzbuy_oversell_units')).toBe(0)
    expect(valueOf(text, 'blitzbuy_queue_consumers')).toBe(1)
    expect(valueOf(text, 'blitzbuy_dead_letters')).toBe(0)
  })
})

describe('what Prometheus makes of it', () => {
  let folder: TemporaryFolder
  let server: ChildProcess
  let origin: string

  beforeAll(async () => {
    folder = await makeTemporaryFolder()
    const port = await findFreePort(new Set())
    origin = `http://127.0.0.1:${port}`
    const jobs = Object.entries(running).map(([name, { healthUrl }]) => ({
      job_name: name,
      static_configs: [{ targets: [new URL(healthUrl).host] }],
    }))
    // Prometheus reads YAML, of which JSON is a part.
    writeFileSync(
      join(folder.path, 'prometheus.yml'),
      JSON.stringify({
        global: { scrape_interval: '1s', evaluation_interval: '1s' },
        rule_files: [alertsFile],
        scrape_configs: jobs,
      }),
    )
    server = spawn(
      join(dirname(promtool), 'prometheus'),
      [
        `--config.file=${join(folder.path, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(folder.path, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: 'ignore' },
    )
    await answers(`${origin}/-/ready`)
    // Rates need two scrapes.
    await vi.waitFor(async () => expect(await query('count_over_time(up[30s]) > 2')).toHaveLength(3), {
      timeout: 30_000,
    })
  }, 60_000)
  afterAll(async () => {
    const ended = once(server, 'exit')
    server.kill('SIGTERM')
    await ended
    await folder.remove()
  })

  async function query(expression: string): Promise<{ metric: Record<string, string> }[]> {
    const answer = await fetch(`${origin}/api/v1/query?query=${encodeURIComponent(expression)}`)
    const { status, error, data } = (await answer.json()) as {
      status: string
      error?: string
      data?: { result: { metric: Record<string, string> }[] }
    }
    if (status !== 'success') throw new Error(`${expression}: ${error}`)
    return data?.result ?? []
  }

  it.each(['api', 'order-worker', 'stock-warmer'] as const)(
    'promtool finds nothing to complain about in the metrics of %s',
    async (name) => {
      const input = await scrape(name)
      expect(execFileSync(promtool, ['check', 'metrics'], { input, encoding: 'utf8' })).toBe('')
    },
  )

  it('promtool accepts the rules and the configuration', () => {
    const check = (...args: string[]) => execFileSync(promtool, ['check', ...args], { encoding: 'utf8' })
    expect(check('rules', alertsFile)).toMatch(/SUCCESS: \d+ rules found/)
    expect(check('config', join(docker, 'prometheus', 'prometheus.yml'))).toContain('SUCCESS')
  })

  it('wrong passwords that come slowly and from everywhere are told of, those of every day are not', () => {
    // For seven hours one in ten seconds, as people mistype; then one a second more, whoever sends them.
    const told = {
      exp_labels: { severity: 'ticket' },
      exp_annotations: {
        summary: 'Three times as many wrong passwords as in the hours before',
        runbook: 'docs/operations.md#loginsfail',
      },
    }
    const file = join(folder.path, 'logins-fail.json')
    const rulesTest = {
      rule_files: [alertsFile],
      evaluation_interval: '1m',
      tests: [
        {
          interval: '1m',
          input_series: [
            {
              series: 'blitzbuy_login_total{result="credentials_invalid"}',
              values: '0+6x420 2580+66x40',
            },
          ],
          alert_rule_test: [
            { alertname: 'LoginsFail', eval_time: '7h', exp_alerts: [] },
            { alertname: 'LoginsFail', eval_time: '7h30m', exp_alerts: [told] },
          ],
        },
      ],
    }
    // JSON is YAML too.
    writeFileSync(file, JSON.stringify(rulesTest))
    expect(execFileSync(promtool, ['test', 'rules', file], { encoding: 'utf8' })).toContain('SUCCESS')
  })

  it('every alert leads to a section of the runbook, and the runbook has no others', () => {
    const rules = readFileSync(alertsFile, 'utf8')
    const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name)
    const runbook = readFileSync(join(docker, '..', 'docs', 'operations.md'), 'utf8')
    const [, chapter = ''] = /^## Runbook$([\s\S]*?)^## /m.exec(runbook) ?? []
    expect([...chapter.matchAll(/^### (\w+)$/gm)].map(([, name]) => name)).toEqual(alerts)
    for (const alert of alerts) expect(rules).toContain(`docs/operations.md#${String(alert).toLowerCase()}'`)
  })

  it('every query of the dashboards and the alerts asks for metrics and labels that there are', async () => {
    const queries = [...dashboardQueries(), ...alertQueries()]
    expect(queries.length).toBeGreaterThan(60)
    const problems = await Promise.all(queries.map(problemsOf))
    expect(problems.flat()).toEqual([])
  })

  it('no alert fires while all is well', async () => {
    const answer = await fetch(`${origin}/api/v1/alerts`)
    const { data } = (await answer.json()) as {
      data: { alerts: { labels: { alertname: string }; state: string }[] }
    }
    expect(
      data.alerts.filter(({ state }) => state === 'firing').map(({ labels }) => labels.alertname),
    ).toEqual([])
  })

  /** It parses, each metric in it is exported, with each label that it is asked by. */
  async function problemsOf(expression: string): Promise<string[]> {
    await query(expression)
    const problems: string[] = []
    const selectors = expression.matchAll(/\b([a-z][a-z0-9]*(?:_[a-z0-9]+)+|up)\b(?:\{([^}]*)\})?(?!\s*\()/g)
    for (const [, name, matchers = ''] of selectors) {
      if (name === undefined || PARTS_OF_QUERIES.has(name)) continue
      const [series] = await query(name)
      if (!series) {
        problems.push(`${expression}: there is no ${name}`)
        continue
      }
      for (const [, label] of matchers.matchAll(/(\w+)\s*(?:=~|!=|!~|=)/g)) {
        if (label && !(label in series.metric)) problems.push(`${expression}: ${name} has no label ${label}`)
      }
    }
    return problems
  }
})

/** What looks like the name of a metric, and is none. */
const PARTS_OF_QUERIES = new Set(['histogram_quantile', 'label_values'])

function dashboardQueries(): string[] {
  const folder = join(docker, 'grafana', 'dashboards')
  const texts = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'))
  return texts.flatMap((text) => {
    const { panels } = JSON.parse(text) as { panels: { targets: { expr: string }[] }[] }
    return panels.flatMap(({ targets }) => targets.map(({ expr }) => expr.replaceAll('$sale', '.*')))
  })
}

/** As promtool reads them: one line each. */
function alertQueries(): string[] {
  const text = readFileSync(alertsFile, 'utf8')
  return [...text.matchAll(/^ {8}expr: (?:>-\n((?: {10}.*\n)+)|(.*)\n)/gm)].map(([, folded, plain]) =>
    (folded ?? plain ?? '').replaceAll(/\s+/g, ' ').trim(),
  )
}
