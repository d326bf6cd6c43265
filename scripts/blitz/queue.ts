import { SharedConfig } from '@blitzbuy/core/config'
import { examineQueues } from '@blitzbuy/core/rabbitmq/examine-queues'
import type { Command } from 'commander'
import { Type } from 'typebox'

import { readSystemSettings } from './environment.ts'

const QueueConfig = Type.Object({
  AMQP_URL: SharedConfig.properties.AMQP_URL,
  NAMESPACE: SharedConfig.properties.NAMESPACE,
})

export function registerQueue(blitz: Command): void {
  const queue = blitz.command('queue').description('the queues of RabbitMQ').helpCommand(false)
  queue
    .command('stats')
    .description('messages ready and workers, of the reservations and of the dead letters')
    .option('--json', 'one JSON object a line on stdout')
    .action(stats)
}

async function stats({ json }: { json?: true }): Promise<void> {
  const { settings } = readSystemSettings(QueueConfig, { allowsProduction: true })
  const queues = await examineQueues(settings.AMQP_URL, settings.NAMESPACE)
  for (const one of Object.values(queues)) {
    const { queue, isThere, readyCount, consumerCount, difference } = one
    const words = isThere ? `${readyCount} ready, ${consumerCount} consumers` : 'not declared yet'
    process.stdout.write(
      json ? `${JSON.stringify(one)}\n` : `${queue}  ${words}${difference ? `  ${difference}` : ''}\n`,
    )
  }
}
