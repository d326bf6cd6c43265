import { drawLines } from '../report/draw-lines.ts'
import { answers, decimal, megabytes, percent, whole, type Section } from '../report/section.ts'
import { FLAT_WITHIN, type Verdict } from './judge.ts'
import type { DimensionSummary, ScaleSummary } from './scale.ts'

export function scaleSection({ rounds, dimensions }: ScaleSummary): Section {
  return {
    title: 'Scale: what one purchase costs',
    parts: [
      `CPU of the api and of Redis per purchase, the order worker running, sessions only in Redis: of the api from when all ` +
        `connections stand until the last answer, of Redis until everything is settled. Medians of ${rounds} rounds in which ` +
        `the points took turns; in brackets the cheapest and the dearest round of both together. “Flat” means that no point is more ` +
        `than ${percent(FLAT_WITHIN)} from the middle between the cheapest and the dearest. MB are what is resident at the end ` +
        `of the last round; Redis holds all earlier sales of the run as well. What refusals (503) cost is in the price of a purchase.`,
      ...dimensions.flatMap((dimension) => [
        `**${dimension.title}: ${inWords(dimension.verdict)}** ${dimension.what}`,
        {
          head: [
            dimension.title,
            'api µs',
            'Redis µs',
            'both',
            'rounds',
            'requests/s',
            'p50 ms',
            'p99 ms',
            'api MB',
            'Redis MB',
            'answers',
          ],
          rows: dimension.points.map((point) => [
            whole(point.point),
            decimal(point.apiCpuUs, 1),
            decimal(point.redisCpuUs, 1),
            decimal(point.cpuUs, 1),
            `(${point.cpuUsRange.map((us) => decimal(us, 0)).join(' to ')})`,
            whole(point.requestsPerSecond),
            decimal(point.p50Ms, 0),
            decimal(point.p99Ms, 0),
            megabytes(point.apiBytes),
            megabytes(point.redisBytes),
            answers(point.statuses),
          ]),
        },
      ]),
    ],
    pictures: [
      {
        file: 'scale.svg',
        shows: 'CPU per purchase while one thing grows',
        svg: drawLines('CPU µs per purchase while one thing grows', dimensions.map(plotOf), {
          a: 'api + Redis',
          b: 'Redis',
        }),
      },
    ],
  }
}

function inWords({ isFlat, least, most, leastAt, mostAt }: Verdict): string {
  const share = (value: number): string => `${value < 0 ? '−' : '+'}${Math.abs(Math.round(value * 100))} %`
  return isFlat
    ? `flat (${share(least)} to ${share(most)}).`
    : `not flat: ${share(least)} with ${whole(leastAt)}, ${share(most)} with ${whole(mostAt)}.`
}

function plotOf({ title, verdict, points }: DimensionSummary) {
  return {
    title: `${title}: ${verdict.isFlat ? 'flat' : 'not flat'}`,
    points: points.map(({ point, cpuUs, redisCpuUs, cpuUsRange }) => ({
      x: point,
      a: cpuUs,
      b: redisCpuUs,
      range: cpuUsRange,
    })),
  }
}
