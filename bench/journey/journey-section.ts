import { answers, decimal, percent, seconds, whole, type Section } from '../report/section.ts'
import { LOGIN_SHARE, type JourneySummary } from './journey.ts'
import { JOURNEY_STEPS, STEP_MEANING } from './steps.ts'

export function journeySection(summary: JourneySummary): Section {
  const { people, arriveWithinMs, payWithinMs, elapsedMs, paid, steps } = summary
  return {
    title: 'The whole journey',
    parts: [
      `${whole(people)} people, each with a browser's connections of their own, in one sale with a unit for each. They ` +
        `come over ${seconds(arriveWithinMs)}; ${percent(LOGIN_SHARE)} log in then, the others have a session already: a ` +
        'password costs 20 ms of a core on purpose, so logins are let in one after the other, and who finds the line full ' +
        'waits as long as `Retry-After` says. All show that they are a person, and all buy within half a second of the ' +
        'opening. Half of them listen to a stream of events, half poll; each takes up to ' +
        `${seconds(payWithinMs)} to find their card. The provider is the sandbox, which keeps its books in the same MySQL.`,
      {
        head: ['step', 'is', 'people', 'p50 ms', 'p95 ms', 'p99 ms', 'answers'],
        rows: JOURNEY_STEPS.map((step) => {
          const figures = steps[step]
          return [
            step,
            STEP_MEANING[step],
            whole(figures.people),
            decimal(figures.p50, 0),
            decimal(figures.p95, 0),
            decimal(figures.p99, 0),
            answers(figures.statuses),
          ]
        }),
      },
      `${whole(paid)} orders were paid, the last one ${seconds(elapsedMs)} after the opening. Then the auditor compared MySQL, ` +
        'Redis and what the provider had taken, order by order.',
    ],
  }
}
