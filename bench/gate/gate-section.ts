import { answers, decimal, whole, type Section } from '../report/section.ts'
import { GATE_STEPS, type GateStep, type GateSummary } from './gate.ts'

const GATE_MAX_US = 40
const PICTURE_MAX_US = 200
const STEP_MEANING: Record<GateStep, string> = {
  bare: 'a Fastify route with the same schemas that does nothing',
  gate: 'a purchase before the opening: blacklist, limits, session and purchase token, then refused',
  puzzle: 'a human check with a puzzle for the browser, with its two trips to Redis',
  picture: 'a human check whose picture comes from the pool, with its two trips to Redis',
  login: 'a login, one after the other; its hash is computed on a thread of its own',
}

export function gateSection({ steps }: GateSummary): Section {
  const above = steps.gate.cpuUs - steps.bare.cpuUs
  const ofPicture = steps.picture.mainThreadUs - steps.puzzle.mainThreadUs
  return {
    title: 'The gate',
    parts: [
      {
        head: ['step', 'is', 'CPU µs', 'of it the thread that answers', 'above bare', 'p50 ms', 'answers'],
        rows: GATE_STEPS.map((step) => {
          const { cpuUs, mainThreadUs, p50Ms, statuses } = steps[step]
          return [
            step,
            STEP_MEANING[step],
            whole(cpuUs),
            whole(mainThreadUs),
            step === 'bare' ? '–' : whole(mainThreadUs - steps.bare.mainThreadUs),
            decimal(p50Ms, 1),
            answers(statuses),
          ]
        }),
      },
      `**The gate of a purchase takes ${whole(above)} µs of CPU more than the bare route, ` +
        `${asItShould(above <= GATE_MAX_US)} (${GATE_MAX_US} µs at most)**, refusal included; that it makes no trip is ` +
        'a test (`packages/api/test/no-trips.test.ts`). The load generator of these two never sleeps: to wake it would be ' +
        'work of the process that answers.',
      `**A picture takes ${whole(ofPicture)} µs of the thread that answers more than a puzzle, ` +
        `${asItShould(ofPicture <= PICTURE_MAX_US)} (${PICTURE_MAX_US} µs at most)**. What of a human check and of a login is ` +
        'not on the thread that answers is drawing pictures for the pool, and hashing.',
    ],
  }
}

function asItShould(isSo: boolean): string {
  return isSo ? 'as it should be' : 'not as it should be'
}
