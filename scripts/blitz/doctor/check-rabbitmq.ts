import { examineQueues, type ExaminedQueue } from '@blitzbuy/core/rabbitmq/examine-queues'

import { judge, type Finding } from './finding.ts'

export async function checkRabbitmq(url: string, namespace: string): Promise<Finding[]> {
  const { place, dead } = await examineQueues(url, namespace)
  return [
    checkQueue('rabbitmq queue of reservations', place),
    checkQueue('rabbitmq queue of dead letters', dead),
    judge(
      'order-workers',
      place.consumerCount > 0,
      `${place.consumerCount} take messages`,
      'Start an order-worker: reservations else wait in the queue.',
      'warn',
    ),
    judge(
      'dead letters',
      dead.readyCount === 0,
      String(dead.readyCount),
      'Look at them: blitz dead-letters ls',
      'warn',
    ),
  ]
}

function checkQueue(check: string, { isThere, difference }: ExaminedQueue): Finding {
  if (!isThere)
    return {
      check,
      verdict: 'warn',
      found: 'not declared yet',
      advice: 'Start an order-worker: it declares its queues.',
    }
  return judge(
    check,
    difference === undefined,
    difference ?? 'a quorum queue with our delivery limit',
    'Let it run empty, delete it, and start an order-worker, which declares it: with another delivery limit a worker that crashes a few times dead-letters healthy orders.',
  )
}
