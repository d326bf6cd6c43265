import { decimal, percent, whole, type Section, type Table } from '../report/section.ts'
import { CROWD_KINDS, LOGIN_EVERY } from './crowd-work.ts'
import { OVERLOAD, shareShed, type CrowdSummary, type OverloadSummary } from './overload.ts'

const GOODPUT_MIN = 0.9
const REFUSED_WITHIN_MS = 1_000

export function overloadSection({ peaks, peak, overload, impatient }: OverloadSummary): Section {
  const ratio = overload.goodputPerSecond / peak.goodputPerSecond
  return {
    title: `Overload: ${OVERLOAD} times the people it can serve`,
    parts: [
      'People on a connection of their own, who without a pause look at the page of the sale, the list, the page again, buy, ' +
        `wait for the order, begin to pay, and begin anew as somebody else; one of ${LOGIN_EVERY} things they do is a login. The ` +
        'load it can carry is the fewest people with whom it gives nearly the most good answers (looking how far an order is ' +
        'counts as none). Then ten times as many come. Who is refused waits as long as the answer says, as the pages do; in ' +
        'the last line nobody waits. The people live in one process of lower priority, so that it does not take from the ' +
        'server what elsewhere would be the server’s; how long they wait for their turn is in all latencies.',
      {
        head: [
          'people',
          'good answers/s',
          '× peak',
          'page /s',
          'list /s',
          'logins /s',
          'purchases /s',
          'payments /s',
          'crowd late ms',
        ],
        rows: [...peaks, overload, impatient].map((crowd) => [
          `${whole(crowd.people)}${crowd.isPatient ? '' : ', nobody waits'}`,
          whole(crowd.goodputPerSecond),
          decimal(crowd.goodputPerSecond / peak.goodputPerSecond, 2),
          ...(['page', 'list', 'login', 'purchase', 'payment'] as const).map((kind) =>
            whole(crowd.kinds[kind].good / crowd.countedSeconds),
          ),
          whole(crowd.ownDelayMs),
        ]),
      },
      `**Goodput with ${whole(overload.people)} people: ${percent(ratio)} of the peak, ${ratio >= GOODPUT_MIN ? 'as' : 'not as'} it should ` +
        `be (${percent(GOODPUT_MIN)}); 99 % of all refusals within ${whole(overload.refusedP99Ms)} ms, ` +
        `${overload.refusedP99Ms <= REFUSED_WITHIN_MS || Number.isNaN(overload.refusedP99Ms) ? 'as' : 'not as'} they should be (${whole(REFUSED_WITHIN_MS)} ms).**`,
      `What was refused, of ${whole(overload.people)} people:`,
      shedTable(overload),
      'An event loop that is late, or a line for MySQL that is long, gives up browsing first, then logins, purchases and ' +
        'payments last. Who has begun to pay is never refused.',
      'And when nobody waits, which no shop can serve: a refusal costs the api a part of what an answer costs.',
      shedTable(impatient),
    ],
  }
}

function shedTable(crowd: CrowdSummary): Table {
  return {
    head: ['asked for', 'good', 'refused', 'share refused', 'p50 ms', 'p99 ms', 'refusals p50 ms', 'p99 ms'],
    rows: CROWD_KINDS.map((kind) => {
      const result = crowd.kinds[kind]
      return [
        kind,
        whole(result.good),
        whole(result.refused),
        percent(shareShed(result)),
        decimal(result.goodLatencyMs.p50, 0),
        decimal(result.goodLatencyMs.p99, 0),
        decimal(result.refusedLatencyMs.p50, 0),
        decimal(result.refusedLatencyMs.p99, 0),
      ]
    }),
  }
}
