import { answers, decimal, whole, type Section } from '../report/section.ts'
import { median } from '../summary.ts'
import { STORMS, type StormSummary } from './storm.ts'

const RATIO_MAX = 2
const MEANING = {
  api: 'to the api, where the purchases go as well',
  bare: 'to the bare server, another process that has nothing to do with the purchases',
}

export function stormSection({ at, logins, perSecond, hasOwnCore }: StormSummary): Section {
  const ratio = median(at.api.ratios)
  const control = median(at.bare.ratios)
  return {
    title: 'A storm of logins',
    parts: [
      `${logins} logins in one moment, each on a connection of its own, beside ${perSecond} purchases a second on 64 open ` +
        'connections. Times of the purchases, from when they were due; medians of the rounds. ' +
        (hasOwnCore
          ? 'The api has a core to itself; generators, stores and workers have the others.'
          : 'The api shares all cores with generators, stores and workers: what they take from it is in these figures.'),
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
      `**Beside a storm on the api the purchases' p95 is ${decimal(ratio, 1)} times what it was before, ` +
        `${asItShould(ratio < RATIO_MAX)} (less than ${RATIO_MAX}).** While the same storm goes to another process it is ` +
        `${decimal(control, 1)} times: that much the machine does.`,
    ],
  }
}

function asItShould(isSo: boolean): string {
  return isSo ? 'as it should be' : 'not as it should be'
}
