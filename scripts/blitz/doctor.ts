import { SharedConfig } from '@blitzbuy/core/config'
import type { Command } from 'commander'
import { Type } from 'typebox'

import { paint } from '../steps.mjs'
import { examine } from './doctor/examine.ts'
import { say } from './connect-system.ts'
import { readSystemSettings } from './environment.ts'

const DoctorConfig = Type.Object({
  MYSQL_URL: SharedConfig.properties.MYSQL_URL,
  REDIS_URL: SharedConfig.properties.REDIS_URL,
  AMQP_URL: SharedConfig.properties.AMQP_URL,
  NAMESPACE: SharedConfig.properties.NAMESPACE,
})

const HELP = `
Looks, and changes nothing. Run it on every host with the environment of its processes, a day before a sale and again on
its day.

Exit status: 0 nothing that must not be; 1 something must be put right before a sale.
MYSQL_URL, REDIS_URL, AMQP_URL and NAMESPACE name the system; when none of them is set, it is the \`npm start\` that runs here.
`

const MARKS = { ok: paint('green', '✓'), warn: paint('yellow', '!'), fail: paint('red', '✗') }

export function registerDoctor(blitz: Command): void {
  blitz
    .command('doctor')
    .description('looks at the live stores and this host for what must not be in production')
    .option('--json', 'one JSON object a line on stdout')
    .addHelpText('after', HELP)
    .action(doctor)
}

async function doctor({ json }: { json?: true }): Promise<void> {
  const { settings, origin } = readSystemSettings(DoctorConfig, { allowsProduction: true })
  say(`examining ${origin} …`)
  const findings = await examine({
    mysqlUrl: settings.MYSQL_URL,
    redisUrl: settings.REDIS_URL,
    amqpUrl: settings.AMQP_URL,
    namespace: settings.NAMESPACE,
    env: process.env,
  })
  const width = Math.max(...findings.map(({ check }) => check.length))
  for (const finding of findings) {
    const { check, verdict, found, advice } = finding
    if (json) process.stdout.write(`${JSON.stringify(finding)}\n`)
    else {
      process.stdout.write(`${MARKS[verdict]} ${check.padEnd(width)}  ${found}\n`)
      if (advice !== undefined) process.stdout.write(`  ${' '.repeat(width)}  → ${advice}\n`)
    }
  }
  const failed = findings.filter(({ verdict }) => verdict === 'fail').length
  const warned = findings.filter(({ verdict }) => verdict === 'warn').length
  say(`${findings.length} checks: ${failed} must be put right, ${warned} worth a look`)
  if (failed > 0) process.exitCode = 1
}
