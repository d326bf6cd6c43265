import { answers, decimal, whole, type Section } from '../report/section.ts'
import { median } from '../summary.ts'
import { STORMS, type StormSummary } from './storm.ts'

const RATIO_MAX = 2
const MEANING = {
  api: 'to the api, where the purchases go as well',
  bare: 'to the bare server, another process that has nothing to do with the purchases',
}

export function stormSection({ at, logins, perSecond }: StormSummary): Section {
  const ratio = median(at.api.ratios)
  const own = at.api.stormyP95Ms / at.bare.stormyP95Ms
  return {
    title: 'A storm of logins',
    parts: [
      `${logins} logins in one moment, each on a connection of its own, beside ${perSecond} purchases a second on 64 open ` +
        'connections. Times of the purchases, from when they were due; medians of the rounds.',
      {
        head: [
          'the storm goes',
          'p95 ms before it',
          'p50 ms while it lasts',
          'p95 ms while it lasts',
          'p95 × before',
          'lasts ms',
          'answers',
        ],
        rows: STORMS.map((one) => [
          MEANING[one],
          decimal(at[one].quietP95Ms, 1),
          decimal(at[one].stormyP50Ms, 1),
          decimal(at[one].stormyP95Ms, 1),
          `${decimal(median(at[one].ratios), 1)} (${at[one].ratios.map((value) => decimal(value, 1)).join(', ')})`,
          whole(at[one].stormMs),
          answers(at[one].logins),
        ]),
      },
      `**Beside a storm on the api the purchases' p95 is ${decimal(own, 1)} times what it is beside the same storm on another ` +
        `process, ${asItShould(own < RATIO_MAX)} (less than ${RATIO_MAX}).** Next to the time before it, it is ` +
        `${decimal(ratio, 1)} times as long: generator, buyers and stores have no core of their own.`,
    ],
  }
}

function asItShould(isSo: boolean): string {
  return isSo ? 'as it should be' : 'not as it should be'
}
