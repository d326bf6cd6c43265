import { Registry, collectDefaultMetrics, Gauge, type Metric } from 'prom-client'

import { RELEASE } from '../release.ts'
import type { Buckets } from './buckets.ts'
import type { Tally } from './tally.ts'

export type { Registry } from 'prom-client'

/** Gauges that are called totals, which Prometheus' own linter refuses. Their parts by type stay. */
const MISNAMED = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
]

/** The metrics of one process: its event loop, memory and release from the start; the rest is added by its parts. */
export function createRegistry(commit: string): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const name of MISNAMED) registry.removeSingleMetric(name)
  new Gauge({
    name: 'blitzbuy_build_info',
    help: 'Always 1; the labels say what runs here.',
    labelNames: ['version', 'commit', 'node'],
    registers: [registry],
  }).set({ version: RELEASE, commit, node: process.version }, 1)
  let before = performance.eventLoopUtilization()
  addGauge(
    registry,
    'blitzbuy_event_loop_utilization',
    'Share of the time since the last scrape in which the event loop worked.',
    () => {
      const now = performance.eventLoopUtilization()
      const { utilization } = performance.eventLoopUtilization(now, before)
      before = now
      return utilization
    },
  )
  return registry
}

/** A gauge that is read when somebody scrapes; what cannot be read then is left out. */
export function addGauge(
  registry: Registry,
  name: string,
  help: string,
  read: () => number | undefined | Promise<number | undefined>,
): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    async collect() {
      this.reset()
      const value = await read()
      if (value !== undefined) this.set(value)
    },
  })
}

/** One value per set of labels. */
export interface Sample {
  labels: Record<string, string | number>
  value: number
}

/** The same with labels. */
export function addGauges(
  registry: Registry,
  name: string,
  help: string,
  read: () => readonly Sample[] | Promise<readonly Sample[]>,
): void {
  addOwn(registry, { name, help, type: 'gauge' }, async () => await read())
}

/** A number that only grows, kept by somebody else. */
export function addCounter(
  registry: Registry,
  name: string,
  help: string,
  read: () => readonly Sample[],
): void {
  addOwn(registry, { name, help, type: 'counter' }, async () => read())
}

/** A tally as a counter with the labels `sale` and `label`. */
export function addTally(
  registry: Registry,
  name: string,
  help: string,
  label: string,
  tally: Tally<string>,
): void {
  addCounter(registry, name, help, () =>
    tally.read().map(({ sale, outcome, value }) => ({ labels: { sale, [label]: outcome }, value })),
  )
}

/** Cheap histograms under one name, each with its labels. */
export function addHistogram(
  registry: Registry,
  name: string,
  help: string,
  read: () => Iterable<{ labels: Record<string, string | number>; buckets: Buckets }>,
): void {
  addOwn(registry, { name, help, type: 'histogram' }, async () =>
    [...read()].flatMap(({ labels, buckets }) => toSamples(name, labels, buckets)),
  )
}

function toSamples(
  name: string,
  labels: Sample['labels'],
  buckets: Buckets,
): (Sample & { metricName: string })[] {
  const { counts, count, sum } = buckets.read()
  let below = 0
  const samples = buckets.bounds.map((le, at) => {
    below += counts[at] ?? 0
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: below }
  })
  return [
    ...samples,
    { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count },
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ]
}

/** prom-client prints whatever has a name and values; its own classes could only be given values one by one. */
function addOwn(
  registry: Registry,
  described: { name: string; help: string; type: 'gauge' | 'counter' | 'histogram' },
  read: () => Promise<readonly Sample[]>,
): void {
  const metric = {
    ...described,
    labelNames: [],
    aggregator: 'sum',
    reset: () => undefined,
    get: async () => ({ ...described, aggregator: 'sum', values: await read() }),
  }
  registry.registerMetric(metric as unknown as Metric)
}
