import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { answers } from './greeting.ts'
import type { StorePrograms } from './programs.ts'
import type { RecipeContext, StoreRecipe } from './recipe.ts'
import { giveTo } from './service-user.ts'

const AMQP_HEADER = Buffer.from('AMQP\0\0\u0009\u0001', 'latin1')

/** The type of the first frame a broker answers with, `connection.start`. */
const METHOD_FRAME = 1

export function rabbitmqRecipe(programs: StorePrograms['rabbitmq'], context: RecipeContext): StoreRecipe {
  const { folder, user } = context
  const port = context.port('rabbitmq')
  const distPort = context.port('rabbitmq-dist')
  const epmdPort = context.port('epmd')
  const password = context.secret('rabbitmq')

  return {
    name: 'rabbitmq',
    title: 'RabbitMQ',
    url: `amqp://blitzbuy:${password}@127.0.0.1:${port}`,
    folder,
    user,
    logFiles: [join(folder, 'output.log'), join(folder, 'logs', 'bb@localhost.log')],

    prepare: async () => {
      const files = {
        enabled_plugins: '[].\n',
        'rabbitmq.config': `[{rabbit, [
  {default_user, <<"blitzbuy">>},
  {default_pass, <<"${password}">>},
  {default_user_tags, [administrator]},
  {loopback_users, []},
  {vm_memory_high_watermark, {absolute, 536870912}},
  {disk_free_limit, 50000000}
]}].
`,
      }
      for (const [name, content] of Object.entries(files)) {
        const file = join(folder, name)
        rmSync(file, { force: true })
        writeFileSync(file, content, { mode: 0o600 })
        giveTo(file, user)
      }
      for (const name of ['logs', 'mnesia', 'config']) {
        mkdirSync(join(folder, name), { recursive: true })
        giveTo(join(folder, name), user)
      }
    },

    // The broker would start a port mapper itself, out of sight, and leave it running. It finds this one instead.
    companions: [
      {
        name: 'epmd',
        command: programs.epmd,
        args: ['-address', '127.0.0.1', '-port', String(epmdPort)],
      },
    ],

    daemon: {
      name: 'rabbitmq',
      command: programs.server,
      args: [],
      env: {
        HOME: folder,
        RABBITMQ_NODENAME: 'bb@localhost',
        RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
        RABBITMQ_NODE_PORT: String(port),
        RABBITMQ_DIST_PORT: String(distPort),
        ERL_EPMD_PORT: String(epmdPort),
        ERL_EPMD_ADDRESS: '127.0.0.1',
        RABBITMQ_CONF_ENV_FILE: '/dev/null',
        RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
        RABBITMQ_LOG_BASE: join(folder, 'logs'),
        RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
        RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq'),
        RABBITMQ_GENERATED_CONFIG_DIR: join(folder, 'config'),
        RABBITMQ_PID_FILE: join(folder, 'pid'),
        RABBITMQ_SERVER_START_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
        // No busy waiting: on a small machine the idle schedulers would take the processors from everybody else.
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+sbwt none +sbwtdcpu none +sbwtdio none',
        // Makes the script become the broker instead of waiting for it, so that its pid is the broker's.
        RUNNING_UNDER_SYSTEMD: 'true',
      },
    },

    isReady: () => answers(port, AMQP_HEADER, (received) => received[0] === METHOD_FRAME),
  }
}
